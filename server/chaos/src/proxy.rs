//! A proxy between players and server, which resets, stalls and half-closes connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are taken over at once. Small, so that a cut falls into a message now and then.
const PORTION: usize = 4 * 1024;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both ends get a reset.
    Reset,
    /// The server hears no more, and is told so.
    HalfCloseToServer,
    /// The player hears no more, and is told so.
    HalfCloseToPlayer,
}

struct Link {
    cut: watch::Sender<Option<Cut>>,
    stalled_until: Arc<AtomicU64>,
}

struct Shared {
    began: Instant,
    target: RwLock<SocketAddr>,
    links: Mutex<Vec<Link>>,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The proxy. It runs until the runtime ends.
#[derive(Clone)]
pub struct Proxy {
    /// Where players connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            address: listener.local_addr()?,
            shared: Arc::new(Shared {
                began: Instant::now(),
                target: RwLock::new(target),
                links: Mutex::default(),
            }),
        };
        tokio::spawn(accept(listener, Arc::clone(&proxy.shared)));
        Ok(proxy)
    }

    /// New connections go there from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.write() = target;
    }

    /// Cuts one of the connections; false if there is none.
    pub fn cut(&self, any: usize, cut: Cut) -> bool {
        let mut links = self.shared.links.lock();
        links.retain(|link| !link.cut.is_closed());
        if links.is_empty() {
            return false;
        }
        let place = any % links.len();
        links[place].cut.send_replace(Some(cut));
        true
    }

    /// Ends all stalls, so that nothing is left on its way.
    pub fn flow(&self) {
        for link in self.shared.links.lock().iter() {
            link.stalled_until.store(0, Ordering::Relaxed);
        }
    }

    /// Takes nothing over on one of the connections for so long; false if there is none.
    pub fn stall(&self, any: usize, time: Duration) -> bool {
        let mut links = self.shared.links.lock();
        links.retain(|link| !link.cut.is_closed());
        if links.is_empty() {
            return false;
        }
        let place = any % links.len();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.shared.now_ms().saturating_add(time);
        links[place].stalled_until.store(until, Ordering::Relaxed);
        true
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((player, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(serve(player, Arc::clone(&shared)));
    }
}

async fn serve(player: TcpStream, shared: Arc<Shared>) {
    let target = *shared.target.read();
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = player.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (cut, cuts) = watch::channel(None);
    let stalled_until = Arc::new(AtomicU64::new(0));
    shared.links.lock().push(Link {
        cut,
        stalled_until: Arc::clone(&stalled_until),
    });
    let (from_player, to_player) = player.into_split();
    let (from_server, to_server) = server.into_split();
    let there = Way::new(from_player, to_server, Cut::HalfCloseToServer, &cuts);
    let back = Way::new(from_server, to_player, Cut::HalfCloseToPlayer, &cuts);
    drop(cuts);
    tokio::join!(
        there.run(&shared, &stalled_until),
        back.run(&shared, &stalled_until)
    );
}

/// One direction of a connection.
struct Way {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    half_close: Cut,
    cuts: watch::Receiver<Option<Cut>>,
}

impl Way {
    fn new(
        from: OwnedReadHalf,
        to: OwnedWriteHalf,
        half_close: Cut,
        cuts: &watch::Receiver<Option<Cut>>,
    ) -> Self {
        Self {
            from,
            to,
            half_close,
            cuts: cuts.clone(),
        }
    }

    async fn run(mut self, shared: &Shared, stalled_until: &AtomicU64) {
        let mut portion = vec![0; PORTION];
        loop {
            let half_close = self.half_close;
            let ends = |cut: &Option<Cut>| *cut == Some(Cut::Reset) || *cut == Some(half_close);
            let read = tokio::select! {
                biased;
                _ = self.cuts.wait_for(ends) => break,
                read = self.from.read(&mut portion) => read,
            };
            let Ok(count @ 1..) = read else {
                break;
            };
            loop {
                let now = shared.now_ms();
                let left = stalled_until.load(Ordering::Relaxed).saturating_sub(now);
                if left == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(left.min(20))).await;
            }
            let written = tokio::select! {
                biased;
                _ = self.cuts.wait_for(ends) => break,
                written = self.to.write_all(&portion[..count]) => written,
            };
            if written.is_err() {
                break;
            }
        }
        if *self.cuts.borrow() == Some(Cut::Reset) {
            let _ = self.to.as_ref().set_zero_linger();
            return;
        }
        let _ = self.to.shutdown().await;
        if *self.cuts.borrow() == Some(self.half_close) {
            // What still comes is thrown away, so that the end that speaks does not hang on a full socket.
            let mut rest = vec![0; PORTION];
            while matches!(self.from.read(&mut rest).await, Ok(1..)) {}
        }
    }
}
