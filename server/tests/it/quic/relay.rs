//! Stands between a client and the server, on another address with the same port, for TCP and UDP: what it lets through can be changed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

/// What passes.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Nothing passes in either direction, and nobody is told.
    drops_udp: AtomicBool,
    drops_tcp: AtomicBool,
    /// TCP connections are closed as soon as they are there.
    refuses_tcp: AtomicBool,
    tcp_connections: AtomicU64,
    /// Datagrams of clients.
    udp_packets: AtomicU64,
}

impl Drop for Relay {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Relay {
    /// At 127.0.0.2, with the port of the server.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 2], server.port()));
        let shared = Arc::new(Shared::default());
        let tcp = TcpListener::bind(address).await.unwrap();
        let udp = Arc::new(UdpSocket::bind(address).await.unwrap());
        let tasks = vec![
            tokio::spawn(accept(tcp, server, Arc::clone(&shared))).abort_handle(),
            tokio::spawn(forward(udp, server, Arc::clone(&shared))).abort_handle(),
        ];
        Self {
            address,
            shared,
            tasks,
        }
    }

    pub(crate) fn drop_udp(&self, drops: bool) {
        self.shared.drops_udp.store(drops, Ordering::SeqCst);
    }

    pub(crate) fn drop_tcp(&self, drops: bool) {
        self.shared.drops_tcp.store(drops, Ordering::SeqCst);
    }

    pub(crate) fn refuse_tcp(&self) {
        self.shared.refuses_tcp.store(true, Ordering::SeqCst);
    }

    /// TCP connections of clients so far.
    pub(crate) fn tcp_connections(&self) -> u64 {
        self.shared.tcp_connections.load(Ordering::SeqCst)
    }

    /// Datagrams that clients have sent so far.
    pub(crate) fn udp_packets(&self) -> u64 {
        self.shared.udp_packets.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.tcp_connections.fetch_add(1, Ordering::SeqCst);
        if shared.refuses_tcp.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(server) = TcpStream::connect(server).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(pump(from_client, to_server, Arc::clone(&shared)));
        tokio::spawn(pump(from_server, to_client, Arc::clone(&shared)));
    }
}

/// What was once kept back never comes: a connection that was cut stays cut.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    shared: Arc<Shared>,
) {
    let mut bytes = vec![0; 16 * 1024];
    let mut is_cut = false;
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        is_cut |= shared.drops_tcp.load(Ordering::SeqCst);
        if !is_cut && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    if is_cut {
        // Nobody hears of the end either.
        std::future::pending::<()>().await;
    }
}

async fn forward(socket: Arc<UdpSocket>, server: SocketAddr, shared: Arc<Shared>) {
    let flows: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>> = Mutex::default();
    let mut bytes = vec![0; 2_048];
    while let Ok((count, client)) = socket.recv_from(&mut bytes).await {
        shared.udp_packets.fetch_add(1, Ordering::SeqCst);
        if shared.drops_udp.load(Ordering::SeqCst) {
            continue;
        }
        let known = flows.lock().get(&client).cloned();
        let flow = match known {
            Some(flow) => flow,
            None => {
                let flow = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                flow.connect(server).await.unwrap();
                flows.lock().insert(client, Arc::clone(&flow));
                tokio::spawn(back(
                    Arc::clone(&flow),
                    Arc::clone(&socket),
                    client,
                    Arc::clone(&shared),
                ));
                flow
            }
        };
        flow.send(&bytes[..count]).await.ok();
    }
}

async fn back(
    flow: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    shared: Arc<Shared>,
) {
    let mut bytes = vec![0; 2_048];
    while let Ok(count) = flow.recv(&mut bytes).await {
        if !shared.drops_udp.load(Ordering::SeqCst) {
            socket.send_to(&bytes[..count], client).await.ok();
        }
    }
}
