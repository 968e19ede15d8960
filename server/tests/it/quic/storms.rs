//! Addresses that change with every packet, because their client moves that fast or because somebody copies its packets from elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_protocol::ALPN;
use pitturu_protocol::types::system::Echo;
use quinn::ConnectionError;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::QUIC;
use super::raw::{RawQuic, dial, endpoint};
use crate::launch::Server;
use crate::player::{Player, hello};

/// Addresses of one client.
const ADDRESSES: usize = 100;

/// Packets of the client in one storm, and the time between two of them.
const PACKETS: u64 = 600;
const PAUSE: Duration = Duration::from_millis(2);

/// A client whose answers go elsewhere soon may send no more until it has some: then the storm is over after this time.
const LONGEST: Duration = Duration::from_secs(3);

/// Clients in a storm at the same time.
const CLIENTS: usize = 4;

/// By so much may the server's memory grow in a storm.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// What becomes of a client's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Each comes from the next address, and answers come back from all.
    Moving,
    /// A copy of each comes first, from an address at which nobody listens.
    Copied,
}

/// Stands between a client and the server.
struct Storm {
    address: SocketAddr,
    is_calm: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Storm {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Storm {
    async fn before(server: SocketAddr, weather: Weather) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let mut ways = Vec::new();
        for _ in 0..ADDRESSES {
            let way = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            way.connect(server).await.unwrap();
            ways.push(Arc::new(way));
        }
        let client = Arc::new(Mutex::new(None));
        let listening = match weather {
            Weather::Moving => &ways[..],
            Weather::Copied => &ways[..1],
        };
        let back = listening.iter().map(|way| {
            let (way, front, client) = (Arc::clone(way), Arc::clone(&front), Arc::clone(&client));
            tokio::spawn(back(way, front, client)).abort_handle()
        });
        let mut tasks: Vec<AbortHandle> = back.collect();
        let (is_calm, packets) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicU64>::default());
        let (calm, counted) = (Arc::clone(&is_calm), Arc::clone(&packets));
        let forward = async move {
            let mut bytes = vec![0; 2_048];
            while let Ok((count, from)) = front.recv_from(&mut bytes).await {
                *client.lock() = Some(from);
                let packet = &bytes[..count];
                if calm.load(Ordering::SeqCst) {
                    ways[0].send(packet).await.ok();
                    continue;
                }
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let next = 1 + usize::try_from(number).unwrap() % (ADDRESSES - 1);
                ways[next].send(packet).await.ok();
                if weather == Weather::Copied {
                    ways[0].send(packet).await.ok();
                }
            }
        };
        tasks.push(tokio::spawn(forward).abort_handle());
        Self {
            address,
            is_calm,
            packets,
            tasks,
        }
    }

    fn set_calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::SeqCst);
    }
}

async fn back(way: Arc<UdpSocket>, front: Arc<UdpSocket>, client: Arc<Mutex<Option<SocketAddr>>>) {
    let mut bytes = vec![0; 2_048];
    loop {
        // Nobody listening is an error of one packet.
        let Ok(count) = way.recv(&mut bytes).await else {
            continue;
        };
        let client = *client.lock();
        if let Some(client) = client {
            front.send_to(&bytes[..count], client).await.ok();
        }
    }
}

/// A client behind a storm that has not broken loose.
async fn client_behind(storm: &Storm) -> RawQuic {
    let endpoint = endpoint(&[ALPN]);
    let connection = dial(&endpoint, storm.address).await.unwrap();
    let mut client = RawQuic::on(endpoint, connection).await;
    client.send(&hello()).await;
    client.welcomed().await;
    client.echo().await;
    client
}

/// Sends through a storm until as many packets have gone as it has, and is calm again. Then it goes on, or has been told why not.
async fn weather_out(mut client: RawQuic, storm: &Storm) {
    storm.set_calm(false);
    let began = Instant::now();
    while storm.packets.load(Ordering::SeqCst) < PACKETS
        && began.elapsed() < LONGEST
        && client.connection.close_reason().is_none()
    {
        // What is no good once it is late, so that nothing queues up.
        let input = super::hostile::input(1);
        client.connection.send_datagram(input.into()).ok();
        tokio::time::sleep(PAUSE).await;
    }
    storm.set_calm(true);
    match client.connection.close_reason() {
        None => client.echo().await,
        Some(ConnectionError::TimedOut | ConnectionError::Reset) => {}
        Some(
            told @ (ConnectionError::ApplicationClosed(_) | ConnectionError::ConnectionClosed(_)),
        ) => {
            println!("closed: {told}");
        }
        Some(other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_of_addresses_cost_no_memory_and_disturb_nobody() {
    for weather in [Weather::Moving, Weather::Copied] {
        let server = Server::start(&[QUIC]);
        let mut bystander = RawQuic::connect(&server).await;
        let mut websocket = Player::connect(server.ws);
        let echo = Echo {
            data: b"beside it".to_vec(),
        };
        let mut storms = Vec::new();
        for _ in 0..CLIENTS {
            let storm = Storm::before(server.quic.unwrap(), weather).await;
            let client = client_behind(&storm).await;
            storms.push((storm, client));
        }
        let before = server.resident_bytes();
        let began = Instant::now();
        let storms = storms
            .into_iter()
            .map(|(storm, client)| tokio::spawn(async move { weather_out(client, &storm).await }));
        let storms: Vec<_> = storms.collect();
        let (mut most, mut longest) = (before, Duration::ZERO);
        while !storms.iter().all(tokio::task::JoinHandle::is_finished) {
            let asked = Instant::now();
            bystander.echo().await;
            longest = longest.max(asked.elapsed());
            tokio::task::block_in_place(|| websocket.call(&echo)).expect("an echo");
            most = most.max(server.resident_bytes());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for storm in storms {
            storm.await.unwrap();
        }
        println!(
            "{weather:?}: {CLIENTS} clients with {PACKETS} packets each in {:?}; {} bytes more at most; a bystander waited {longest:?} at most",
            began.elapsed(),
            most - before,
        );
        assert!(
            most - before <= GROWTH_BYTES_MAX,
            "{} bytes more",
            most - before
        );
    }
}
