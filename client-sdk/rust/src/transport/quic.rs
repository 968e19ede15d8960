//! QUIC: messages on one stream, the control stream.

use std::collections::VecDeque;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, unfold};
use futures_util::{Stream, StreamExt as _};
use pitturu_protocol::ALPN;
use pitturu_protocol::framing::{MessageReader, length};
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, TransportConfig,
    VarInt, WriteError,
};

use super::{CLOSE_WITHIN, Incoming, Server, UNSENT_BYTES_MAX};

/// Silence of one address after which the next one is tried as well.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Bytes of datagrams that wait for the application; the oldest are dropped.
const DATAGRAMS_RECEIVED_BYTES: usize = 64 * 1024;

/// Bytes of datagrams that wait for the network; the oldest are dropped.
const DATAGRAMS_SENT_BYTES: usize = 8 * 1024;

/// What is said to be the longest datagram can be sent only as long as the path stays as it is.
const DATAGRAM_MARGIN_BYTES: usize = 1;

/// Makes connections to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    server: Server,
    config: quinn::ClientConfig,
}

impl Connector {
    pub(crate) fn new(server: Server, mut tls: rustls::ClientConfig) -> Self {
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = QuicClientConfig::try_from(tls).expect("ring has the suite that begins QUIC");
        let mut transport = TransportConfig::default();
        transport
            // The server opens no streams.
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            // The heartbeat of the protocol finds out who is gone.
            .max_idle_timeout(None)
            // Packets that leave in bursts are lost on mobile networks.
            .enable_segmentation_offload(false)
            .datagram_receive_buffer_size(Some(DATAGRAMS_RECEIVED_BYTES))
            .datagram_send_buffer_size(DATAGRAMS_SENT_BYTES);
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Self { server, config }
    }

    /// Opens a connection and its control stream. A host's next address is tried as well when the one before it has not answered soon,
    /// for nobody says that a UDP port is closed. The caller bounds the time.
    pub(crate) async fn connect(self) -> Result<Socket, String> {
        let host = self.server.host.as_str();
        let mut addresses = tokio::net::lookup_host((host, self.server.port))
            .await
            .map_err(|error| error.to_string())?;
        let mut why = format!("{host} has no address");
        let mut attempts: FuturesUnordered<_> = addresses
            .next()
            .map(|to| self.connect_to(to))
            .into_iter()
            .collect();
        loop {
            match tokio::time::timeout(NEXT_ADDRESS_AFTER, attempts.next()).await {
                Ok(Some(Ok(socket))) => return Ok(socket),
                Ok(Some(Err(error))) => why = error,
                Ok(None) => return Err(why),
                Err(_elapsed) => {}
            }
            attempts.extend(addresses.next().map(|to| self.connect_to(to)));
        }
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Socket, String> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let endpoint = Endpoint::client(any).map_err(|error| error.to_string())?;
        let connection = endpoint
            .connect_with(self.config.clone(), address, &self.server.host)
            .map_err(|error| error.to_string())?
            .await
            .map_err(|error| error.to_string())?;
        let (sender, receiver) = connection
            .open_bi()
            .await
            .map_err(|error| error.to_string())?;
        Ok(Socket {
            endpoint,
            sender,
            receiver,
            reader: MessageReader::default(),
            unread: Bytes::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            datagrams: datagrams_of(&connection),
            is_datagrams_turn: false,
            connection,
            lost: None,
        })
    }
}

type Datagrams = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// An open connection with its control stream.
pub(crate) struct Socket {
    endpoint: Endpoint,
    connection: Connection,
    sender: SendStream,
    receiver: RecvStream,
    reader: MessageReader,
    unread: Bytes,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// Holds the place in the line of those who wait for datagrams, from one poll to the next.
    datagrams: Datagrams,
    /// Messages and datagrams are asked for first by turns, so that neither keeps the other waiting.
    is_datagrams_turn: bool,
    /// The control stream has ended. Waits for the code of the close, which comes behind it.
    lost: Option<Pin<Box<dyn Future<Output = Incoming> + Send>>>,
}

impl Socket {
    /// Sends a message once [`Self::next`] is awaited.
    pub(crate) fn send(&mut self, message: Vec<u8>) {
        let length = Bytes::copy_from_slice(&length(message.len()));
        self.unsent_bytes += length.len() + message.len();
        self.unsent.push_back(length);
        self.unsent.push_back(message.into());
    }

    /// Writes what is to be sent, and waits for what comes. May be dropped at any point and called again.
    pub(crate) async fn next(&mut self) -> Incoming {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.lost.is_none() {
            // What can't be written any more is no reason not to read what came before.
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                tracing::debug!(%error, "can't write to the control stream");
                self.unsent.clear();
                self.unsent_bytes = 0;
            }
            self.is_datagrams_turn = !self.is_datagrams_turn;
            let is_asked = self.is_datagrams_turn;
            if is_asked && let Poll::Ready(datagram) = self.poll_datagram(cx) {
                return Poll::Ready(Incoming::Datagram(datagram));
            }
            match self.poll_message(cx) {
                Poll::Pending if is_asked => return Poll::Pending,
                Poll::Pending => return self.poll_datagram(cx).map(Incoming::Datagram),
                Poll::Ready(Some(message)) => return Poll::Ready(Incoming::Message(message)),
                Poll::Ready(None) => {
                    let connection = self.connection.clone();
                    self.lost = Some(Box::pin(why_closed(connection)));
                }
            }
        }
        match &mut self.lost {
            Some(lost) => lost.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Longest datagram in bytes that can be sent now.
    pub(crate) fn datagram_bytes_max(&self) -> Option<usize> {
        let bytes = self.connection.max_datagram_size()?;
        Some(bytes.saturating_sub(DATAGRAM_MARGIN_BYTES))
    }

    /// Sends a datagram at once, or drops it.
    pub(crate) fn send_datagram(&mut self, datagram: Vec<u8>) {
        if let Err(error) = self.connection.send_datagram(datagram.into()) {
            tracing::debug!(%error, "a datagram is dropped");
        }
    }

    /// Pending for ever once the connection is gone: the control stream tells of that.
    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        match self.datagrams.as_mut().poll_next(cx) {
            Poll::Ready(Some(datagram)) => Poll::Ready(datagram),
            Poll::Ready(None) => {
                self.datagrams = Box::pin(futures_util::stream::pending());
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// None: the stream has ended, or holds what can't be read.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.unsent_bytes > UNSENT_BYTES_MAX {
            return Poll::Pending;
        }
        loop {
            match self.reader.read(&mut self.unread) {
                Ok(Some(message)) => return Poll::Ready(Some(message)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the server sent what can't be read");
                    return Poll::Ready(None);
                }
            }
            let chunk = ready!(pin!(self.receiver.read_chunk(MESSAGE_BYTES_MAX, true)).poll(cx));
            match chunk {
                Ok(Some(chunk)) => self.unread = chunk.bytes,
                Ok(None) => return Poll::Ready(None),
                Err(error) => {
                    if !matches!(error, ReadError::ConnectionLost(_)) {
                        tracing::debug!(%error, "the control stream broke off");
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        while !self.unsent.is_empty() {
            let pieces = self.unsent.make_contiguous();
            let written = ready!(pin!(self.sender.write_chunks(pieces)).poll(cx))?;
            self.unsent.drain(..written.chunks);
            self.unsent_bytes -= written.bytes;
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye, or answers the other side's, and waits a little for the other side to hear it.
    pub(crate) async fn close(mut self, code: u16) {
        let goodbye = async {
            let written = std::future::poll_fn(|cx| self.poll_write(cx)).await;
            if written.is_ok() && self.sender.finish().is_ok() {
                // Whatever comes of it: there is nothing more to wait for.
                drop(self.sender.stopped().await);
            }
        };
        if tokio::time::timeout(CLOSE_WITHIN, goodbye).await.is_err() {
            tracing::debug!("the server did not confirm what was sent");
        }
        self.connection
            .close(VarInt::from_u32(u32::from(code)), b"");
        drop(tokio::time::timeout(CLOSE_WITHIN, self.endpoint.wait_idle()).await);
    }
}

fn datagrams_of(connection: &Connection) -> Datagrams {
    Box::pin(unfold(connection.clone(), |connection| async {
        let datagram = connection.read_datagram().await.ok()?;
        Some((datagram, connection))
    }))
}

/// Why the connection is over, as soon as that is known.
async fn why_closed(connection: Connection) -> Incoming {
    let Ok(error) = tokio::time::timeout(CLOSE_WITHIN, connection.closed()).await else {
        return Incoming::Closed {
            code: None,
            why: "the server ended the control stream".into(),
        };
    };
    match error {
        ConnectionError::ApplicationClosed(closed) => Incoming::Closed {
            code: u16::try_from(closed.error_code.into_inner()).ok(),
            why: String::from_utf8_lossy(&closed.reason).into_owned(),
        },
        error => Incoming::Closed {
            code: None,
            why: error.to_string(),
        },
    }
}
