//! A TCP connection, plain or under TLS, that counts the bytes it has taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::connections::link::{Broadcast, InlineWrite, InlineWriter};
use crate::transport::wire::FRAMING;

/// What carries a WebSocket.
#[derive(Debug)]
pub enum Socket {
    /// As it is.
    Plain(PlainTcp),
    /// Under TLS.
    Tls(Box<TlsStream<CountedTcp>>),
}

/// A TCP stream that counts what it receives.
#[derive(Debug)]
pub struct CountedTcp {
    tcp: TcpStream,
    read: u64,
}

impl CountedTcp {
    /// Counts from zero.
    pub const fn new(tcp: TcpStream) -> Self {
        Self { tcp, read: 0 }
    }
}

/// A TCP stream that others may write to as well. Writes borrow the stream, so both do, each whole messages under the
/// lock of the queue before the socket.
#[derive(Debug)]
pub struct PlainTcp {
    tcp: Arc<SharedTcp>,
    read: u64,
}

/// The part of a [`PlainTcp`] that writes from elsewhere go through.
#[derive(Debug)]
pub struct SharedTcp(TcpStream);

impl SharedTcp {
    /// Hands bytes to the kernel, as many as it takes now. The runtime is not asked whether the socket is ready: it is,
    /// nearly always, and asking costs a look into memory that nothing else here needs.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }
}

/// Whole messages, from outside of the connection's task.
impl InlineWriter for SharedTcp {
    fn try_send(&self, message: &Broadcast) -> InlineWrite {
        let framed = message.framed(&FRAMING);
        match self.send(framed) {
            Ok(count) if count == framed.len() => InlineWrite::Sent,
            Ok(count) => InlineWrite::Partly(framed.slice(count..)),
            // The driver meets an error of the socket by itself.
            Err(_) => InlineWrite::Refused,
        }
    }
}

impl PlainTcp {
    /// Counts from zero.
    pub fn new(tcp: TcpStream) -> Self {
        Self {
            tcp: Arc::new(SharedTcp(tcp)),
            read: 0,
        }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let tcp = &self.tcp.0;
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match write(tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Receives what has come. When it does not fill `into` there is no more, and the kernel is not asked to say so: the
    /// runtime hears of what comes later.
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let tcp = &self.tcp.0;
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            let mut came = 0;
            let outcome = tcp.try_io(Interest::READABLE, || {
                let (count, _) = recv(tcp, &mut *into, RecvFlags::empty())?;
                came = count;
                if count > 0 && count < into.len() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && came == 0 => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ => {
                    self.read += came as u64;
                    return Poll::Ready(Ok(came));
                }
            }
        }
    }
}

/// Reads, and adds to `count` how many bytes came.
fn poll_counted(
    stream: &mut (impl AsyncRead + Unpin),
    count: &mut u64,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buf.filled().len();
    let result = Pin::new(stream).poll_read(cx, buf);
    *count += (buf.filled().len() - before) as u64;
    result
}

impl AsyncRead for PlainTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(self.poll_receive(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PlainTcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |tcp| tcp.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |tcp| tcp.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tcp = &self.tcp.0;
        Poll::Ready(SockRef::from(tcp).shutdown(std::net::Shutdown::Write))
    }
}

impl Socket {
    /// A plain socket, for writes from elsewhere.
    pub fn shared(&self) -> Option<Arc<SharedTcp>> {
        match self {
            Self::Plain(plain) => Some(Arc::clone(&plain.tcp)),
            Self::Tls(_) => None,
        }
    }

    /// Bytes that came from the kernel, those of TLS included.
    pub fn received(&self) -> u64 {
        match self {
            Self::Plain(tcp) => tcp.read,
            Self::Tls(tls) => tls.get_ref().0.read,
        }
    }
}

impl AsyncRead for CountedTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, read, .. } = &mut *self;
        poll_counted(tcp, read, cx, buf)
    }
}

impl AsyncWrite for CountedTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
