//! The thread between the two devices.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tun_rs::SyncDevice;

use crate::schedule::{Schedule, Taken};

/// Longest packet of a device.
const PACKET_BYTES_MAX: usize = 65_535;

/// Packets that are taken from one device before the other one, and what is due, get their turn.
const PACKETS_AT_ONCE: usize = 64;

/// One of the two ways of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// The two ways, by [`Way::index`].
pub(crate) type Ways = Arc<Mutex<[Schedule; 2]>>;

/// The running thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    thread: Option<JoinHandle<()>>,
    /// Its other end wakes the thread when this one is closed.
    running: Option<UnixStream>,
}

impl Relay {
    /// Passes packets on between the device of the client and that of the server.
    pub(crate) fn start(client: SyncDevice, server: SyncDevice, ways: Ways) -> io::Result<Self> {
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        let (running, stop) = UnixStream::pair()?;
        let between = Between {
            devices: [client, server],
            stop,
            ways,
            began: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("lossy-link".into())
            .spawn(move || between.relay())?;
        Ok(Self {
            thread: Some(thread),
            running: Some(running),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.running = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panicked)) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panicked);
        }
    }
}

struct Between {
    /// By [`Way::index`]: where the packets of a way come from.
    devices: [SyncDevice; 2],
    stop: UnixStream,
    ways: Ways,
    began: Instant,
}

impl Between {
    fn relay(&self) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            let next = self.give_what_is_due();
            if !self.wait(next) {
                return;
            }
            for way in Way::BOTH {
                self.take_what_came(way, &mut buffer);
            }
        }
    }

    /// Returns when the next packet will be due.
    fn give_what_is_due(&self) -> Option<Duration> {
        let mut ways = self.ways.lock();
        for way in Way::BOTH {
            let to = &self.devices[1 - way.index()];
            let now = self.began.elapsed();
            while let Some(packet) = ways[way.index()].give(now) {
                // A device that is down loses packets, as a cable does that is pulled.
                let _ = to.send(&packet);
            }
        }
        ways.iter().filter_map(Schedule::next_due).min()
    }

    /// Until something comes or this time is there. False: the link is over.
    fn wait(&self, until: Option<Duration>) -> bool {
        let mut files = [
            PollFd::from_borrowed_fd(self.devices[0].as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.devices[1].as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
        ];
        let rest = until.map(|until| until.saturating_sub(self.began.elapsed()));
        let rest = rest.and_then(|rest| Timespec::try_from(rest).ok());
        match poll(&mut files, rest.as_ref()) {
            Ok(_) => files[2].revents().is_empty(),
            Err(Errno::INTR) => true,
            Err(error) => panic!("polling three open files: {error}"),
        }
    }

    fn take_what_came(&self, way: Way, buffer: &mut [u8]) {
        let from = &self.devices[way.index()];
        for _ in 0..PACKETS_AT_ONCE {
            // Nothing more, or a device that is down.
            let Ok(length) = from.recv(buffer) else {
                return;
            };
            let now = self.began.elapsed();
            let taken = self.ways.lock()[way.index()].take(now, buffer[..length].to_vec());
            if let Taken::Refused(answer) = taken {
                let _ = from.send(&answer);
            }
        }
    }
}
