//! Two namespaces and what joins them.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::conditions::Conditions;
use crate::namespace::Namespace;
use crate::relay::{Relay, Way, Ways};
use crate::schedule::{Counts, Schedule};

/// Address of the client's side.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Address of the server's side.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Of the net that has both addresses and nothing else.
const PREFIX: u8 = 30;

/// What the device is called on both sides.
const DEVICE: &str = "lossy";

/// Longest packet that is not cut into parts, as on most of the internet.
const MTU: u16 = 1_500;

/// Packets that may wait for the relay: the losses are to be ours, not those of a device.
const DEVICE_QUEUE: u32 = 10_000;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No namespace.
    #[error(
        "no network namespace: {0}; it takes root, or the root of a user namespace (`unshare --user --map-root-user`), and in a \
         container the capability SYS_ADMIN"
    )]
    Namespace(io::Error),
    /// No device.
    #[error(
        "no TUN device: {0}; it takes /dev/net/tun, and in a container that device and the capability NET_ADMIN"
    )]
    Tun(io::Error),
    /// `ip` of Debian's package iproute2.
    #[error("ip, of the package iproute2: {0}")]
    Ip(io::Error),
    /// The relay.
    #[error("the relay: {0}")]
    Relay(io::Error),
}

/// Two namespaces, the client's and the server's, and the link between them. Dropped, it cuts the link; programs and sockets in the
/// namespaces stay where they are.
#[derive(Debug)]
pub struct LossyLink {
    client: Namespace,
    server: Namespace,
    ways: Ways,
    _relay: Relay,
}

impl LossyLink {
    /// Two new namespaces, with these conditions on both ways. Links of one machine don't see each other.
    pub fn new(conditions: Conditions) -> Result<Self, OpenError> {
        let server = Namespace::new().map_err(OpenError::Namespace)?;
        bring_loopback_up(&server)?;
        Self::to(server, conditions)
    }

    /// One new namespace, the client's. The server's side is where this thread is, which gets a device for as long as the link is there;
    /// so there can be one such link at a time.
    pub fn to_here(conditions: Conditions) -> Result<Self, OpenError> {
        let server = Namespace::of_this_thread().map_err(OpenError::Namespace)?;
        Self::to(server, conditions)
    }

    fn to(server: Namespace, conditions: Conditions) -> Result<Self, OpenError> {
        let client = Namespace::new().map_err(OpenError::Namespace)?;
        bring_loopback_up(&client)?;
        let client_device = open_device(&client, CLIENT)?;
        let server_device = open_device(&server, SERVER)?;
        let ways = [
            Schedule::new(conditions.clone(), Way::ToServer.index() as u64),
            Schedule::new(conditions, Way::ToClient.index() as u64),
        ];
        let ways = Arc::new(Mutex::new(ways));
        let relay = Relay::start(client_device, server_device, Arc::clone(&ways));
        Ok(Self {
            client,
            server,
            ways,
            _relay: relay.map_err(OpenError::Relay)?,
        })
    }

    /// Where clients run. They reach the server at [`SERVER`].
    pub const fn client(&self) -> &Namespace {
        &self.client
    }

    /// Where servers run. They listen at [`SERVER`] or at all addresses.
    pub const fn server(&self) -> &Namespace {
        &self.server
    }

    /// Changes the conditions of one way while it runs: they hold for what comes from here on.
    pub fn change(&self, way: Way, change: impl FnOnce(&mut Conditions)) {
        let mut ways = self.ways.lock();
        let schedule = &mut ways[way.index()];
        let mut conditions = schedule.conditions().clone();
        change(&mut conditions);
        schedule.change(conditions);
    }

    /// Changes the conditions of both ways.
    pub fn change_both(&self, change: impl Fn(&mut Conditions)) {
        for way in Way::BOTH {
            self.change(way, &change);
        }
    }

    /// What became of the packets of one way since the link is there.
    pub fn counts(&self, way: Way) -> Counts {
        self.ways.lock()[way.index()].counts()
    }
}

fn bring_loopback_up(namespace: &Namespace) -> Result<(), OpenError> {
    ip(namespace, "link set lo up\n").map_err(OpenError::Ip)
}

fn open_device(namespace: &Namespace, address: Ipv4Addr) -> Result<SyncDevice, OpenError> {
    let device = namespace.run(|| {
        DeviceBuilder::new()
            .name(DEVICE)
            .ipv4(address, PREFIX, None)
            .mtu(MTU)
            .enable(false)
            .build_sync()
    });
    let device = device.map_err(OpenError::Tun)?;
    // Without an IPv6 address, a device sends nothing by itself that a test has not sent. A kernel without IPv6 knows no such mode, and
    // needs none.
    let _ = ip(namespace, &format!("link set {DEVICE} addrgenmode none\n"));
    let lines = format!("link set {DEVICE} txqueuelen {DEVICE_QUEUE}\nlink set {DEVICE} up\n");
    ip(namespace, &lines).map_err(OpenError::Ip)?;
    Ok(device)
}

/// Runs these lines of `ip` in a namespace.
fn ip(namespace: &Namespace, lines: &str) -> io::Result<()> {
    let mut command = Command::new("ip");
    command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = namespace.spawn(&mut command)?;
    let stdin = child.stdin.take().expect("it is piped");
    // What it does not take, it explains.
    drop({ stdin }.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}
