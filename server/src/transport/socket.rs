//! A TCP connection, plain or under TLS, that counts the bytes it has taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::connections::link::{Broadcast, InlineWrite, InlineWriter};
use crate::transport::wire::FRAMING;

mod tls;

pub use tls::TlsTcp;

/// What carries a WebSocket.
#[derive(Debug)]
pub enum Socket {
    /// As it is.
    Plain(PlainTcp),
    /// Under TLS.
    Tls(TlsTcp),
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
}

/// Writes as soon as the socket takes something.
fn poll_write_with<T>(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut(&TcpStream) -> io::Result<T>,
) -> Poll<io::Result<T>> {
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
fn poll_receive(tcp: &TcpStream, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
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
            _ => return Poll::Ready(Ok(came)),
        }
    }
}

/// Closes a socket for writing.
fn shut_down(tcp: &TcpStream) -> io::Result<()> {
    SockRef::from(tcp).shutdown(std::net::Shutdown::Write)
}

impl AsyncRead for PlainTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(poll_receive(&self.tcp.0, cx, buf.initialize_unfilled()))?;
        self.read += count as u64;
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
        poll_write_with(&self.tcp.0, cx, |tcp| tcp.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_with(&self.tcp.0, cx, |tcp| tcp.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_down(&self.tcp.0))
    }
}

impl Socket {
    /// The part for writes from elsewhere.
    pub fn inline_writer(&self) -> Arc<dyn InlineWriter> {
        match self {
            Self::Plain(plain) => Arc::<SharedTcp>::clone(&plain.tcp),
            Self::Tls(tls) => tls.inline_writer(),
        }
    }

    /// Bytes that came from the kernel, those of TLS after its handshake included.
    pub const fn received(&self) -> u64 {
        match self {
            Self::Plain(tcp) => tcp.read,
            Self::Tls(tls) => tls.received(),
        }
    }

    /// Whether something that was taken still waits for the kernel.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_unsent(),
        }
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
                let $stream = Pin::new(stream);
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
