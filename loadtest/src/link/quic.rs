//! A QUIC connection and its control stream.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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

use super::{Lost, Route, trust};

/// What a player says who leaves.
const NORMAL: VarInt = VarInt::from_u32(1000);

/// What says nothing.
const NOTHING: VarInt = VarInt::from_u32(0);

thread_local! {
    static CRYPTO: OnceCell<Arc<QuicClientConfig>> = const { OnceCell::new() };
    /// Sockets whose connections are over. Each has a large buffer, so those who come and go take over from each other.
    static IDLE: RefCell<Vec<(Option<IpAddr>, Endpoint)>> = const { RefCell::new(Vec::new()) };
}

type Datagrams = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// An open connection. Dropped, it ends without a goodbye.
pub(super) struct QuicStream {
    endpoint: Endpoint,
    source: Option<IpAddr>,
    connection: Connection,
    sender: SendStream,
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
    /// first message.
    pub(super) async fn open(route: Route) -> io::Result<Self> {
        let endpoint = endpoint(route)?;
        let connection = endpoint
            .connect_with(config(route.receive_buffer), route.address, "localhost")
            .map_err(io::Error::other)?
            .await?;
        let (sender, receiver) = connection.open_bi().await?;
        Ok(Self {
            endpoint,
            source: route.source,
            connection,
            sender,
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
        let Some(datagrams) = &mut self.datagrams else {
            return Poll::Pending;
        };
        match datagrams.as_mut().poll_next(cx) {
            Poll::Ready(Some(datagram)) => Poll::Ready(datagram),
            Poll::Ready(None) => {
                self.datagrams = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Why nothing more comes.
    pub(super) fn why_ended(&self, error: Option<io::Error>) -> Lost {
        match (self.connection.close_reason(), error) {
            (Some(ConnectionError::ApplicationClosed(closed)), _) => {
                Lost::Closed(u16::try_from(closed.error_code.into_inner()).ok())
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
        self.connection.close(NORMAL, b"");
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        self.connection.close(NOTHING, b"");
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

fn config(receive_buffer: Option<u32>) -> ClientConfig {
    let crypto = CRYPTO.with(|crypto| {
        let made = || {
            let tls = trust::config_for(ALPN);
            Arc::new(QuicClientConfig::try_from(tls).expect("ring has the suite that begins QUIC"))
        };
        Arc::clone(crypto.get_or_init(made))
    });
    let mut transport = TransportConfig::default();
    transport
        // The server opens no streams.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        // The heartbeat of the protocol finds out who is gone.
        .max_idle_timeout(None)
        // As the SDK does.
        .enable_segmentation_offload(false);
    if let Some(bytes) = receive_buffer {
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
        AsyncRead::poll_read(Pin::new(&mut self.receiver), cx, buf)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.sender), cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.finish().map_err(io::Error::other))
    }
}
