//! A QUIC connection and its control stream, native or in a session of WebTransport.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use pitturu_protocol::ALPN;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::webtransport::{self, Session};
use super::{ConnectError, Lost, Route, Transport, trust};

/// What a player says who leaves.
const NORMAL: u16 = 1000;

/// What says nothing.
const NOTHING: VarInt = VarInt::from_u32(0);

thread_local! {
    static NATIVE: OnceCell<Arc<QuicClientConfig>> = const { OnceCell::new() };
    static HTTP3: OnceCell<Arc<QuicClientConfig>> = const { OnceCell::new() };
    /// Sockets whose connections are over. Each has a large buffer, so those who come and go take over from each other.
    static IDLE: RefCell<Vec<(Option<IpAddr>, Endpoint)>> = const { RefCell::new(Vec::new()) };
}

type Datagrams = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// An open connection. Dropped, it ends without a goodbye.
pub(super) struct QuicStream {
    endpoint: Endpoint,
    source: Option<IpAddr>,
    connection: Connection,
    /// None: native QUIC.
    session: Option<Session>,
    sender: SendStream,
    /// The server has nothing more to say, and takes nothing more.
    is_over: bool,
    receiver: RecvStream,
    /// Keeps the place of this reader from one poll to the next.
    datagrams: Option<Datagrams>,
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicStream")
            .field("remote", &self.connection.remote_address())
            .finish_non_exhaustive()
    }
}

impl QuicStream {
    /// Connects by a socket that no other connection of this thread uses, and opens the control stream, which the server sees with the
    /// first message, in WebTransport at once.
    pub(super) async fn open(route: Route) -> Result<Self, ConnectError> {
        let endpoint = endpoint(route)?;
        let connection = endpoint
            .connect_with(config(route), route.address, "localhost")
            .map_err(io::Error::other)?
            .await
            .map_err(io::Error::from)?;
        let (session, (sender, receiver)) = if route.transport == Transport::WebTransport {
            let (session, control) = Session::open(&connection, route.address).await?;
            (Some(session), control)
        } else {
            let control = connection.open_bi().await;
            (None, control.map_err(io::Error::from)?)
        };
        Ok(Self {
            endpoint,
            source: route.source,
            connection,
            session,
            sender,
            is_over: false,
            receiver,
            datagrams: None,
        })
    }

    /// From here on [`Self::poll_datagram`] gives some.
    pub(super) fn receive_datagrams(&mut self) {
        let datagrams = unfold(self.connection.clone(), |connection| async {
            // The stream tells why the connection is gone.
            let datagram = connection.read_datagram().await.ok()?;
            Some((datagram, connection))
        });
        self.datagrams = Some(Box::pin(datagrams));
    }

    /// The next datagram.
    pub(super) fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        while let Some(datagrams) = &mut self.datagrams {
            match (ready!(datagrams.as_mut().poll_next(cx)), &self.session) {
                (Some(datagram), None) => return Poll::Ready(datagram),
                (Some(datagram), Some(session)) => {
                    if let Some(datagram) = session.own(datagram) {
                        return Poll::Ready(datagram);
                    }
                }
                (None, _) => self.datagrams = None,
            }
        }
        Poll::Pending
    }

    /// Why nothing more comes.
    pub(super) fn why_ended(&self, error: Option<io::Error>) -> Lost {
        let session = self.session.as_ref();
        if let Some(code) = session.and_then(Session::code) {
            return Lost::Closed(Some(code));
        }
        match (self.connection.close_reason(), error) {
            (Some(ConnectionError::ApplicationClosed(closed)), _) => {
                let code = closed.error_code.into_inner();
                Lost::Closed(match session {
                    Some(_) => webtransport::of_connection(code),
                    None => u16::try_from(code).ok(),
                })
            }
            (_, Some(error)) => error.into(),
            (_, None) => Lost::Closed(None),
        }
    }

    /// Ends the control stream, waits until all that was sent has come, and says goodbye.
    pub(super) async fn finish(&mut self) {
        if self.sender.finish().is_ok() {
            // Whatever comes of it: there is nothing more to wait for.
            drop(self.sender.stopped().await);
        }
        match &mut self.session {
            Some(session) => session.end(&self.connection, NORMAL).await,
            None => self.connection.close(VarInt::from(NORMAL), b""),
        }
    }

    /// The server's half of the control stream has come to its end, or to no end. A session says why on another stream, once the client
    /// has ended its half, too.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(session) = &mut self.session else {
            return Poll::Ready(());
        };
        if !self.is_over {
            self.is_over = true;
            // It may be over already.
            let _ended = self.sender.finish();
        }
        session.poll_ended(cx)
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        let nothing = match self.session {
            Some(_) => webtransport::NO_ERROR,
            None => NOTHING,
        };
        self.connection.close(nothing, b"");
        let idle = (self.source, self.endpoint.clone());
        // At the end of a thread there may be no list any more.
        let _ = IDLE.try_with(|list| list.borrow_mut().push(idle));
    }
}

fn endpoint(route: Route) -> io::Result<Endpoint> {
    let idle = IDLE.with_borrow_mut(|list| {
        let place = list
            .iter()
            .position(|(source, _)| *source == route.source)?;
        Some(list.swap_remove(place).1)
    });
    if let Some(endpoint) = idle {
        return Ok(endpoint);
    }
    let any = match route.address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    Endpoint::client(SocketAddr::new(route.source.unwrap_or(any), 0))
}

pub(super) fn config(route: Route) -> ClientConfig {
    // The server opens no streams but those of HTTP/3.
    let (crypto, alpn, streams) = match route.transport {
        Transport::WebTransport => (&HTTP3, webtransport::ALPN, webtransport::UNIDIRECTIONAL_MAX),
        _ => (&NATIVE, ALPN, 0),
    };
    let crypto = crypto.with(|crypto| {
        let made = || {
            let tls = trust::config_for(alpn);
            Arc::new(QuicClientConfig::try_from(tls).expect("ring has the suite that begins QUIC"))
        };
        Arc::clone(crypto.get_or_init(made))
    });
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(streams))
        // The heartbeat of the protocol finds out who is gone.
        .max_idle_timeout(None)
        // As the SDK does.
        .enable_segmentation_offload(false);
    if let Some(bytes) = route.receive_buffer {
        transport
            .stream_receive_window(VarInt::from_u32(bytes))
            .receive_window(VarInt::from_u32(bytes));
    }
    let mut config = ClientConfig::new(crypto);
    config.transport_config(Arc::new(transport));
    config
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = AsyncRead::poll_read(Pin::new(&mut self.receiver), cx, buf);
        match read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => read,
            Poll::Ready(ended) => {
                ready!(self.poll_told(cx));
                Poll::Ready(ended)
            }
            // A session may end without its streams.
            Poll::Pending => match &mut self.session {
                Some(session) => session.poll_ended(cx).map(Ok),
                None => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over {
            return Poll::Ready(Ok(buf.len()));
        }
        AsyncWrite::poll_write(Pin::new(&mut self.sender), cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.finish().map_err(io::Error::other))
    }
}
