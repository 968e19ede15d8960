//! Accepts connections, counts them, and hands each that has shaken hands to a task of its own.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pitturu_metrics::labels::{HandshakeRefusal, Transport};
use pitturu_metrics::table;
use socket2::{Domain, Protocol, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::connections::address::Address;
use crate::connections::link::Peer;
use crate::io_threads::{IoThreads, ThreadSlot};
use crate::log_lines::{ACCEPTS_FAILED, HANDSHAKES_REFUSED};
use crate::replaceable::Replaceable;
use crate::transport::connection_limiter::{ConnectionLimiter, ConnectionPermit, Entered, Full};
use crate::transport::handshake::{HandshakeError, Origins, Refusal, Unadmitted, upgrade};
use crate::transport::proxies::{Proxies, proxy_protocol};
use crate::transport::socket::{PlainTcp, Socket, TlsTcp};
use crate::transport::ws::WebSocketLink;

/// What is served here, in metrics.
const TRANSPORT: Transport = Transport::WebSocket;

/// Connections that wait for the accept loop in the kernel.
const BACKLOG: i32 = 4096;

/// Bytes that the kernel keeps for a reader that does not read; it doubles them for its own needs.
const KERNEL_SEND_BYTES: usize = 64 * 1024;

/// Unsent bytes above which the kernel takes no more. What waits should wait in the outbox, which knows what may go.
const KERNEL_UNSENT_BYTES: u32 = 16 * 1024;

/// Silence after which the kernel asks whether the peer's host is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Pause after an accept that found no file descriptor or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Refusals written at the same time. Connections beyond are dropped without an answer.
const REFUSALS_MAX: usize = 64;

/// What all listeners of a server share.
#[derive(Debug)]
pub struct AcceptContext {
    /// Limits and counts.
    pub connections: ConnectionLimiter,
    /// Where connections are served.
    pub io_threads: IoThreads,
    /// Which web pages may connect.
    pub origins: Replaceable<Origins>,
    /// Who in front is believed about whom it brings.
    pub proxies: Replaceable<Proxies>,
    /// Longest time from the accept to the answer of the handshake.
    pub handshake_timeout: Duration,
    refusals: Arc<Semaphore>,
}

impl AcceptContext {
    /// The shared part of listeners, without proxies in front.
    pub fn new(
        connections: ConnectionLimiter,
        io_threads: IoThreads,
        origins: Origins,
        handshake_timeout: Duration,
    ) -> Self {
        Self {
            connections,
            io_threads,
            origins: Replaceable::new(origins),
            proxies: Replaceable::new(Proxies::default()),
            handshake_timeout,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        }
    }
}

/// Listens at `address`. Accepted sockets inherit its options.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(KERNEL_SEND_BYTES)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 4),
    )?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until `stop` turns true. Each connection gets an I/O thread, shakes hands there, and then runs `session` in a task of
/// its own, so that what the handshake needed is given back before the long life of the connection begins.
pub async fn serve<F, S>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    context: Arc<AcceptContext>,
    session: F,
    mut stop: watch::Receiver<bool>,
) where
    F: Fn(WebSocketLink, Peer) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            // Its own I/O thread listens to the socket, and this thread does not.
            Ok((tcp, address)) => match tcp.into_std() {
                Ok(tcp) => {
                    let arrival = Arrival {
                        tcp,
                        address: address.ip(),
                        tls: tls.clone(),
                    };
                    receive(arrival, &context, &session);
                }
                Err(error) => {
                    let address = Address::from(address.ip());
                    debug!(%address, %error, "connection broke off");
                }
            },
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                table::ACCEPT_ERRORS.increment();
                if ACCEPTS_FAILED.admit() {
                    warn!(%error, "can't accept connections for the moment; raise the limit of open files if this repeats");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts a handshake that led to no connection, and says so.
pub(super) fn note_refused(transport: Transport, address: Address, reason: HandshakeRefusal) {
    table::HANDSHAKES_REFUSED
        .at((transport, reason))
        .increment();
    if HANDSHAKES_REFUSED.admit() {
        let (transport, reason) = (transport.name(), reason.name());
        info!(transport, %address, reason, "handshake refused");
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// A fresh connection.
struct Arrival {
    tcp: std::net::TcpStream,
    address: IpAddr,
    tls: Option<TlsAcceptor>,
}

/// The place of a connection.
enum Place {
    /// It is counted to whom it is from.
    Counted(ConnectionPermit),
    /// One of these proxies brings it, and has yet to say from whom.
    Brought(Entered, Arc<Proxies>),
}

impl AcceptContext {
    fn place_for(&self, address: IpAddr) -> Result<Place, Full> {
        let proxies = self.proxies.get();
        if proxies.contains(address) {
            let entered = self.connections.enter_over_tcp()?;
            return Ok(Place::Brought(entered, proxies));
        }
        let counted = self.connections.enter_over_tcp()?.count_to(address);
        counted.map(Place::Counted)
    }

    /// One that has no place is told so, as long as not too many are.
    fn unadmitted(&self, full: Full) -> Unadmitted {
        Unadmitted {
            refusal: full_refusal(full),
            told: Arc::clone(&self.refusals).try_acquire_owned().ok(),
        }
    }
}

fn receive<F, S>(arrival: Arrival, context: &Arc<AcceptContext>, session: &F)
where
    F: Fn(WebSocketLink, Peer) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    match context.place_for(arrival.address) {
        Ok(place) => {
            let slot = context.io_threads.assign();
            let io_thread = slot.runtime().clone();
            let admission = admit(arrival, place, slot, Arc::clone(context), session.clone());
            io_thread.spawn(admission);
        }
        Err(full) => turn_away(arrival, full, context),
    }
}

/// Shakes hands, then lets go of everything but the link.
async fn admit<F, S>(
    arrival: Arrival,
    place: Place,
    slot: ThreadSlot,
    context: Arc<AcceptContext>,
    session: F,
) where
    F: Fn(WebSocketLink, Peer) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    // The proxy's, until it has said whom it brings.
    let mut address = Address::from(arrival.address);
    let secure = arrival.tls.is_some();
    let handshake = Box::pin(shake_hands(arrival, place, &context, &mut address));
    match timeout(context.handshake_timeout, handshake).await {
        Ok(Ok((mut link, permit))) => {
            table::CONNECTIONS_OPENED.at(TRANSPORT).increment();
            link.hold(permit, slot);
            let peer = Peer {
                address,
                transport: TRANSPORT.shared_name(),
                secure,
            };
            tokio::spawn(session(link, peer));
        }
        Ok(Err(HandshakeError::Refused(refusal))) => {
            note_refused(TRANSPORT, address, refusal.label);
        }
        Ok(Err(HandshakeError::Proxy(error))) => {
            note_refused(TRANSPORT, address, HandshakeRefusal::ProxyHeader);
            debug!(%address, %error, "a proxy did not say whom it brings");
        }
        Ok(Err(HandshakeError::Io(error))) => {
            note_refused(TRANSPORT, address, HandshakeRefusal::Io);
            debug!(%address, %error, "handshake broke off");
        }
        Err(_elapsed) => {
            note_refused(TRANSPORT, address, Refusal::too_slow().label);
        }
    }
}

/// From a fresh connection to a link. `address` becomes that of the player as soon as it is known.
async fn shake_hands(
    arrival: Arrival,
    place: Place,
    context: &AcceptContext,
    address: &mut Address,
) -> Result<(WebSocketLink, ConnectionPermit), HandshakeError> {
    let Arrival { tcp, tls, .. } = arrival;
    let mut tcp = TcpStream::from_std(tcp)?;
    let place = match place {
        Place::Brought(entered, proxies) if proxies.speak_proxy_protocol() => {
            if let Some(player) = proxy_protocol::read_header(&mut tcp).await? {
                *address = player.into();
            }
            match entered.count_to(address.ip()) {
                Ok(permit) => Place::Counted(permit),
                Err(full) => {
                    let unadmitted = context.unadmitted(full);
                    return Err(unadmitted.tell(secure(tcp, tls)).await);
                }
            }
        }
        place => place,
    };
    let socket = secure(tcp, tls).await?;
    let origins = context.origins.get();
    upgrade(socket, &origins, |headers| match place {
        Place::Counted(permit) => Ok(permit),
        Place::Brought(entered, proxies) => {
            *address = proxies.player(address.ip(), headers).into();
            let counted = entered.count_to(address.ip());
            counted.map_err(|full| context.unadmitted(full))
        }
    })
    .await
}

async fn secure(tcp: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Socket> {
    tcp.set_nodelay(true)?;
    match tls {
        None => Ok(Socket::Plain(PlainTcp::new(tcp))),
        Some(acceptor) => {
            let (tcp, tls) = acceptor.accept(tcp).await?.into_inner();
            Ok(Socket::Tls(TlsTcp::new(tcp, tls)))
        }
    }
}

fn full_refusal(full: Full) -> Refusal {
    match full {
        Full::Total => Refusal::full(
            StatusCode::SERVICE_UNAVAILABLE,
            full.label(),
            "the server has as many connections as it may: try again later",
        ),
        Full::Address => Refusal::full(
            StatusCode::TOO_MANY_REQUESTS,
            full.label(),
            "too many connections from this address: close some, or try again later",
        ),
    }
}

/// Tells a connection that there is no place for it.
fn turn_away(arrival: Arrival, full: Full, context: &AcceptContext) {
    let unadmitted = context.unadmitted(full);
    note_refused(TRANSPORT, arrival.address.into(), full.label());
    if unadmitted.told.is_none() {
        return;
    }
    let proxies = context.proxies.get();
    let speaks_proxy_protocol = proxies.speak_proxy_protocol() && proxies.contains(arrival.address);
    let socket = async move {
        let mut tcp = TcpStream::from_std(arrival.tcp)?;
        if speaks_proxy_protocol {
            // TLS begins behind it.
            let header = proxy_protocol::read_header(&mut tcp).await;
            header.map_err(io::Error::other)?;
        }
        secure(tcp, arrival.tls).await
    };
    tokio::spawn(Box::pin(unadmitted.tell(socket)));
}
