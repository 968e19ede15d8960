//! The UDP socket of all QUIC connections: who may shake hands, and how it ends.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use pitturu_metrics::labels::{HandshakeRefusal, Transport};
use pitturu_metrics::table;
use pitturu_protocol::ALPN;
use pitturu_protocol::codes::CloseCode;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, RecvStream, Runtime as _,
    SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hkdf;
use ring::hmac::{HMAC_SHA256, Key, sign};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::TRANSPORT;
use super::closing::close;
use super::guarded_socket::GuardedSocket;
use super::link::QuicLink;
use super::webtransport::{self, Refused};
use crate::connections::address::Address;
use crate::connections::link::{CloseReason, Peer};
use crate::io_threads::{IoThreads, ThreadSlot};
use crate::transport::connection_limiter::{ConnectionPermit, Full};
use crate::transport::listener::{AcceptContext, note_refused};
use crate::transport::tls::{ServedCertificate, TlsError};

/// Bytes that the kernel keeps for each direction of the one socket, or as many as it allows.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;

/// First packets that wait for the accept loop. What comes on top is refused.
const INCOMING_MAX: usize = 1024;

/// Bytes kept of what follows a first packet before it is accepted.
const INCOMING_BYTES: u64 = 16 * 1024;

/// The same for all first packets together.
const INCOMING_BYTES_ALL: u64 = 4 * 1024 * 1024;

/// Bytes of datagrams of one connection that wait for the session; the oldest are dropped.
const DATAGRAMS_RECEIVED_BYTES: usize = 16 * 1024;

/// Bytes of datagrams of one connection that wait for the network; the oldest are dropped.
const DATAGRAMS_SENT_BYTES: usize = 8 * 1024;

/// Silence after which the path is kept open, where the session's pings are rarer. Routers forget a UDP flow after half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// Least time between two answers to clients of an earlier run. Each is shorter than what it answers.
const RESETS_EVERY: Duration = Duration::from_millis(1);

/// How long a closing endpoint waits for its last packets to go out.
const LAST_PACKETS: Duration = Duration::from_secs(1);

/// How an endpoint treats its connections.
#[derive(Clone)]
pub struct QuicSettings {
    /// Handshakes at a time whose client has not shown that its address is its own. Above it, clients have to show that first.
    pub unvalidated_max: usize,
    /// First packets of handshakes that are looked at per second, with and without a token.
    pub first_packets_per_second: u32,
    /// Longest time from the first packet to the control stream.
    pub handshake_timeout: Duration,
    /// Time between two pings of the session. A connection that is silent for three of them is forgotten, should the session not
    /// have closed it by then.
    pub ping: Duration,
    /// Bytes of one connection that may be on their way to the session.
    pub receive_window: u32,
    /// Bytes of one connection that the network keeps until the client has confirmed them.
    pub send_window: u32,
    /// Secret by which clients of an earlier run are told that their connection is gone. None: drawn now.
    pub reset_key: Option<String>,
    /// Secret that signs what clients show for their address. None: drawn now.
    pub token_key: Option<String>,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The certificate is not good for QUIC.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket can't be used.
    #[error("can't use the socket: {0}")]
    Socket(#[from] io::Error),
}

/// An open endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QuicEndpoint {
    endpoint: Endpoint,
    unvalidated: Arc<Semaphore>,
    handshake_timeout: Duration,
}

/// Takes the address. Nothing is answered until an endpoint is opened on the socket.
///
/// # Errors
/// The address is taken, or not of this machine.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    for set in [
        RawSocket::set_recv_buffer_size,
        RawSocket::set_send_buffer_size,
    ] {
        if let Err(error) = set(&socket, KERNEL_BYTES) {
            debug!(%error, "the kernel keeps its own size of a buffer");
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl QuicEndpoint {
    /// Opens an endpoint on a bound socket. One of the I/O threads receives for all connections.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        socket: UdpSocket,
        certificate: &Arc<ServedCertificate>,
        settings: &QuicSettings,
        io_threads: &IoThreads,
    ) -> Result<Self, OpenError> {
        let server = server_config(certificate, settings)?;
        let endpoint = endpoint_config(settings);
        // What the library starts by itself runs where it is asked to: the endpoint here, each connection on its I/O thread.
        let _entered = io_threads.of_task(0).enter();
        let runtime = Arc::new(TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket)?;
        let socket = Arc::new(GuardedSocket::new(
            socket,
            settings.first_packets_per_second,
        ));
        let endpoint = Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)?;
        Ok(Self {
            endpoint,
            unvalidated: Arc::new(Semaphore::new(settings.unvalidated_max)),
            handshake_timeout: settings.handshake_timeout,
        })
    }

    /// Accepts until `stop` turns true. Each connection gets an I/O thread, shakes hands there, and then runs `session` in a task
    /// of its own.
    pub async fn serve<F, S>(
        self,
        context: Arc<AcceptContext>,
        session: F,
        mut stop: watch::Receiver<bool>,
    ) where
        F: Fn(QuicLink, Peer) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let Some(incoming) = incoming else {
                break;
            };
            if let Some((incoming, place)) = self.admit(incoming, &context) {
                let slot = context.io_threads.assign();
                let io_thread = slot.runtime().clone();
                let (endpoint, context) = (self.clone(), Arc::clone(&context));
                io_thread.spawn(endpoint.receive(incoming, place, slot, context, session.clone()));
            }
        }
        // Connections that there are go on. Nobody new gets an answer.
        self.endpoint.set_server_config(None);
    }

    /// Closes what is still open. Sessions that have said goodbye are not touched by it.
    pub async fn close(&self) {
        let code = CloseCode::ShuttingDown;
        let number = VarInt::from_u32(u32::from(code.number()));
        self.endpoint.close(number, code.name().as_bytes());
        // Whoever has not confirmed by then meets a socket that is gone, and comes back as after any loss.
        drop(timeout(LAST_PACKETS, self.endpoint.wait_idle()).await);
    }

    /// Decides by the first packet, before any work for a handshake.
    fn admit(&self, incoming: Incoming, context: &AcceptContext) -> Option<(Incoming, Place)> {
        let address = incoming.remote_address().ip();
        if incoming.remote_address_validated() {
            return match context.connections.admit(address) {
                Ok(permit) => Some((incoming, Place::Permit(permit))),
                Err(full) => turn_away(incoming, full),
            };
        }
        if let Err(full) = context.connections.check(address) {
            return turn_away(incoming, full);
        }
        match Arc::clone(&self.unvalidated).try_acquire_owned() {
            Ok(held) => Some((incoming, Place::Unvalidated(held))),
            Err(_) => {
                table::QUIC_RETRIES.increment();
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
                None
            }
        }
    }

    /// Shakes hands, then lets go of everything but the link.
    async fn receive<F, S>(
        self,
        incoming: Incoming,
        place: Place,
        slot: ThreadSlot,
        context: Arc<AcceptContext>,
        session: F,
    ) where
        F: Fn(QuicLink, Peer) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let address = Address::from(incoming.remote_address().ip());
        let until = Instant::now() + self.handshake_timeout;
        let handshake = Box::pin(shake_hands(incoming, place, slot, context, until));
        match handshake.await {
            Ok((link, transport)) => {
                table::CONNECTIONS_OPENED.at(transport).increment();
                let peer = Peer {
                    address,
                    transport: transport.shared_name(),
                    secure: true,
                };
                tokio::spawn(session(link, peer));
            }
            Err((transport, reason)) => {
                note_refused(transport, address, reason);
            }
        }
    }
}

/// What bounds a handshake.
enum Place {
    /// The client has shown that the address is its own, and the connection has its place already.
    Permit(ConnectionPermit),
    /// It has not: places are counted by address, and nobody may take those of others.
    Unvalidated(OwnedSemaphorePermit),
}

impl Place {
    /// The place of the connection, once the handshake has shown whose the address is.
    fn validated(self, address: IpAddr, context: &AcceptContext) -> Result<ConnectionPermit, Full> {
        match self {
            Self::Permit(permit) => Ok(permit),
            Self::Unvalidated(_held) => context.connections.admit(address),
        }
    }
}

fn turn_away<T>(incoming: Incoming, full: Full) -> Option<T> {
    let address = Address::from(incoming.remote_address().ip());
    note_refused(TRANSPORT, address, full.label());
    incoming.refuse();
    None
}

/// The link and what its transport calls itself, or that and the label of what went wrong.
async fn shake_hands(
    incoming: Incoming,
    place: Place,
    slot: ThreadSlot,
    context: Arc<AcceptContext>,
    until: Instant,
) -> Result<(QuicLink, Transport), (Transport, HandshakeRefusal)> {
    let address = incoming.remote_address().ip();
    let connection = timeout_at(until, async { incoming.accept()?.await }).await;
    let connection = connection
        .map_err(|_elapsed| (TRANSPORT, HandshakeRefusal::Timeout))?
        .map_err(|error| (TRANSPORT, label(&error)))?;
    let is_webtransport = match protocol(&connection).as_deref() {
        Some(webtransport::ALPN) => true,
        Some(ALPN) => false,
        _ => {
            let reason = CloseReason::Protocol(CloseCode::VersionUnsupported);
            close(&connection, reason, false);
            return Err((TRANSPORT, HandshakeRefusal::Protocol));
        }
    };
    let transport = if is_webtransport {
        webtransport::TRANSPORT
    } else {
        TRANSPORT
    };
    let linked = async {
        let permit = place.validated(address, &context).map_err(|full| {
            let reason = CloseReason::Protocol(CloseCode::Overloaded);
            Refused::Close(full.label(), reason)
        })?;
        let places = (permit, slot);
        if is_webtransport {
            let accepted = webtransport::accept(&connection, &context.origins.get(), until).await?;
            Ok(QuicLink::webtransport(connection.clone(), accepted, places))
        } else {
            let control = control_stream(&connection, until).await?;
            Ok(QuicLink::native(connection.clone(), control, places))
        }
    };
    match linked.await {
        Ok(link) => Ok((link, transport)),
        Err(Refused::Told(reason)) => Err((transport, reason)),
        Err(Refused::Close(reason, why)) => {
            close(&connection, why, is_webtransport);
            Err((transport, reason))
        }
    }
}

async fn control_stream(
    connection: &Connection,
    until: Instant,
) -> Result<(SendStream, RecvStream), Refused> {
    match timeout_at(until, connection.accept_bi()).await {
        Ok(Ok(control)) => Ok(control),
        Ok(Err(error)) => Err(Refused::Told(label(&error))),
        Err(_elapsed) => Err(Refused::late()),
    }
}

/// The application protocol that both sides have agreed on.
fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

/// Why a handshake broke off, for metrics.
const fn label(error: &ConnectionError) -> HandshakeRefusal {
    match error {
        ConnectionError::TransportError(_) | ConnectionError::ConnectionClosed(_) => {
            HandshakeRefusal::Tls
        }
        ConnectionError::TimedOut => HandshakeRefusal::Timeout,
        _ => HandshakeRefusal::Io,
    }
}

fn endpoint_config(settings: &QuicSettings) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if let Some(key) = &settings.reset_key {
        let key = Key::new(HMAC_SHA256, key.as_bytes());
        // Connection ids bear a mark by which an endpoint knows its own. Only for those of an earlier run that bear it, too, are
        // resets sent.
        let mut mark = [0; 8];
        mark.copy_from_slice(&sign(&key, b"connection ids").as_ref()[..8]);
        let mark = u64::from_be_bytes(mark);
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(mark)))
            .min_reset_interval(RESETS_EVERY)
            .reset_key(Arc::new(key));
    }
    config
}

fn server_config(
    certificate: &Arc<ServedCertificate>,
    settings: &QuicSettings,
) -> Result<ServerConfig, TlsError> {
    let tls = certificate.config(&[&rustls::version::TLS13], &[ALPN, webtransport::ALPN])?;
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|error| TlsError::Unusable(rustls::Error::General(error.to_string())))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    if let Some(key) = &settings.token_key {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
        config.token_key(Arc::new(salt.extract(key.as_bytes())));
    }
    config
        .transport_config(Arc::new(transport_config(settings)))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL);
    Ok(config)
}

fn transport_config(settings: &QuicSettings) -> TransportConfig {
    let idle_ms = u32::try_from((3 * settings.ping).as_millis()).unwrap_or(u32::MAX);
    let mut config = TransportConfig::default();
    config
        // The control stream or a request.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        // What HTTP/3 has: this is said before it is known whether the client speaks it.
        .max_concurrent_uni_streams(VarInt::from_u32(3))
        .max_idle_timeout(Some(VarInt::from_u32(idle_ms).into()))
        .keep_alive_interval((settings.ping > KEEP_ALIVE).then_some(KEEP_ALIVE))
        .stream_receive_window(VarInt::from_u32(settings.receive_window))
        .receive_window(VarInt::from_u32(settings.receive_window))
        .send_window(u64::from(settings.send_window))
        .datagram_receive_buffer_size(Some(DATAGRAMS_RECEIVED_BYTES))
        .datagram_send_buffer_size(DATAGRAMS_SENT_BYTES)
        // Packets that leave in bursts are lost on mobile networks.
        .enable_segmentation_offload(false);
    config
}
