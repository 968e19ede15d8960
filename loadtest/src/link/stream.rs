//! The bytes of a connection, whatever carries them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::framing::Framing;
use super::quic::QuicStream;
use super::{ConnectError, Lost, Route, Transport, trust};

/// An open connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Quic(Box<QuicStream>),
}

impl Stream {
    /// Connects, and shakes hands where that is encrypted.
    pub(super) async fn open(route: Route) -> Result<Self, ConnectError> {
        Ok(match route.transport {
            Transport::Ws => Self::Tcp(tcp(route).await?),
            Transport::Wss => {
                let connector = TlsConnector::from(trust::of_websocket());
                let name = ServerName::try_from("localhost").expect("it is a name");
                let stream = connector.connect(name, tcp(route).await?).await?;
                Self::Tls(Box::new(stream))
            }
            Transport::Quic | Transport::WebTransport => {
                Self::Quic(Box::new(QuicStream::open(route).await?))
            }
        })
    }

    pub(super) const fn framing(&self) -> Framing {
        match self {
            Self::Tcp(_) | Self::Tls(_) => Framing::WebSocket,
            Self::Quic(_) => Framing::Lengths,
        }
    }

    /// From here on [`Self::poll_datagram`] gives some.
    pub(super) fn receive_datagrams(&mut self) -> io::Result<()> {
        match self {
            Self::Quic(quic) => {
                quic.receive_datagrams();
                Ok(())
            }
            Self::Tcp(_) | Self::Tls(_) => {
                let why =
                    "there are no datagrams over TCP: --transport quic and webtransport have them";
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
        }
    }

    /// The next datagram.
    pub(super) fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        match self {
            Self::Quic(quic) => quic.poll_datagram(cx),
            Self::Tcp(_) | Self::Tls(_) => Poll::Pending,
        }
    }

    /// Why nothing more comes.
    pub(super) fn why_ended(&self, error: Option<io::Error>) -> Lost {
        match (self, error) {
            (Self::Quic(quic), error) => quic.why_ended(error),
            (_, Some(error)) => error.into(),
            (_, None) => Lost::Closed(None),
        }
    }

    /// Ends a connection that has no goodbye in its messages, and waits until the other side has all that was sent.
    pub(super) async fn finish(&mut self) {
        if let Self::Quic(quic) = self {
            quic.finish().await;
        }
    }

    /// Ends it without a goodbye.
    pub(super) fn cut(self) {
        let tcp = match &self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            // Dropped, it says nothing.
            Self::Quic(_) => return,
        };
        let socket = socket2::SockRef::from(tcp);
        drop(socket.set_linger(Some(Duration::ZERO)));
    }
}

async fn tcp(route: Route) -> io::Result<TcpStream> {
    let socket = match route.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(bytes) = route.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = route.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(route.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
            Self::Quic(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
