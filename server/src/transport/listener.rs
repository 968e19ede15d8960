//! Accepts connections, counts them, and hands each that has shaken hands to a task of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
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
use crate::log_lines::HANDSHAKES_REFUSED;
use crate::replaceable::Replaceable;
use crate::transport::connection_limiter::{ConnectionLimiter, ConnectionPermit, Full};
use crate::transport::handshake::{HandshakeError, Origins, Refusal, refuse, upgrade};
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

/// Time for a refusal to reach its reader.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What all listeners of a server share.
#[derive(Debug)]
pub struct AcceptContext {
    /// Limits and counts.
    pub connections: ConnectionLimiter,
    /// Where connections are served.
    pub io_threads: IoThreads,
    /// Which web pages may connect.
    pub origins: Replaceable<Origins>,
    /// Longest time from the accept to the answer of the handshake.
    pub handshake_timeout: Duration,
    refusals: Arc<Semaphore>,
}

impl AcceptContext {
    /// The shared part of listeners.
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
                        address,
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
                warn!(%error, "can't accept connections for the moment; raise the limit of open files if this repeats");
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

struct Arrival {
    tcp: std::net::TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

fn receive<F, S>(arrival: Arrival, context: &Arc<AcceptContext>, session: &F)
where
    F: Fn(WebSocketLink, Peer) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    match context.connections.admit(arrival.address.ip()) {
        Ok(permit) => {
            let slot = context.io_threads.assign();
            let io_thread = slot.runtime().clone();
            let admission = admit(arrival, permit, slot, Arc::clone(context), session.clone());
            io_thread.spawn(admission);
        }
        Err(full) => turn_away(arrival, full, context),
    }
}

/// Shakes hands, then lets go of everything but the link.
async fn admit<F, S>(
    arrival: Arrival,
    permit: ConnectionPermit,
    slot: ThreadSlot,
    context: Arc<AcceptContext>,
    session: F,
) where
    F: Fn(WebSocketLink, Peer) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let address = Address::from(arrival.address.ip());
    let peer = Peer {
        address,
        transport: TRANSPORT.name(),
        secure: arrival.tls.is_some(),
    };
    let handshake = Box::pin(async {
        let socket = secure(arrival).await?;
        upgrade(socket, &context.origins.get()).await
    });
    match timeout(context.handshake_timeout, handshake).await {
        Ok(Ok(mut link)) => {
            table::CONNECTIONS_OPENED.at(TRANSPORT).increment();
            link.hold(permit, slot);
            tokio::spawn(session(link, peer));
        }
        Ok(Err(HandshakeError::Refused(refusal))) => {
            note_refused(TRANSPORT, address, refusal.label);
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

async fn secure(arrival: Arrival) -> io::Result<Socket> {
    let tcp = TcpStream::from_std(arrival.tcp)?;
    tcp.set_nodelay(true)?;
    match arrival.tls {
        None => Ok(Socket::Plain(PlainTcp::new(tcp))),
        Some(acceptor) => {
            let (tcp, tls) = acceptor.accept(tcp).await?.into_inner();
            Ok(Socket::Tls(TlsTcp::new(tcp, tls)))
        }
    }
}

/// Tells a connection that there is no place for it, as long as not too many are being told.
fn turn_away(arrival: Arrival, full: Full, context: &AcceptContext) {
    let refusal = match full {
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
    };
    note_refused(
        TRANSPORT,
        Address::from(arrival.address.ip()),
        refusal.label,
    );
    let Ok(permit) = Arc::clone(&context.refusals).try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let told = timeout(REFUSAL_TIMEOUT, async {
            let socket = secure(arrival).await?;
            refuse(socket, &refusal).await
        });
        if let Ok(Err(error)) = told.await {
            debug!(%error, "refusal did not arrive");
        }
        drop(permit);
    });
}
