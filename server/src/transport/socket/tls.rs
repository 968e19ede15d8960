//! A TCP connection under TLS that others than its driver may write to as well: who has a message encrypts it there and then.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{poll_receive, poll_write_with, shut_down};
use crate::connections::link::{Broadcast, InlineWrite, InlineWriter};
use crate::sync::Mutex;
use crate::transport::wire::FRAMING;

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct TlsTcp {
    shared: Arc<SharedTls>,
    read: u64,
}

/// The part of a [`TlsTcp`] that writes from elsewhere go through.
#[derive(Debug)]
struct SharedTls {
    tcp: TcpStream,
    /// Whoever sends and the driver take turns by the state of the outbox, so nobody waits for this. It holds at most
    /// 64 KiB that the kernel has not taken, which is the library's own bound.
    tls: Mutex<ServerConnection>,
}

impl TlsTcp {
    /// Goes on after the handshake. What was received is counted from here on.
    pub fn new(tcp: TcpStream, tls: ServerConnection) -> Self {
        Self {
            shared: Arc::new(SharedTls {
                tcp,
                tls: Mutex::new(tls),
            }),
            read: 0,
        }
    }

    /// The part for writes from elsewhere.
    pub fn inline_writer(&self) -> Arc<dyn InlineWriter> {
        Arc::<SharedTls>::clone(&self.shared)
    }

    /// Bytes that came from the kernel.
    pub const fn received(&self) -> u64 {
        self.read
    }

    /// Whether the kernel has not taken everything that is encrypted.
    pub fn has_unsent(&self) -> bool {
        self.shared.tls.lock().wants_write()
    }

    /// Encrypts what `write` writes once there is room for it, and sends what the kernel takes of it.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let SharedTls { tcp, tls } = &*self.shared;
        let mut tls = tls.lock();
        ready!(poll_drain(tcp, &mut tls, cx))?;
        let count = write(&mut tls.writer())?;
        match poll_drain(tcp, &mut tls, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The flush sends the rest.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }
}

/// Sends everything that is encrypted.
fn poll_drain(
    tcp: &TcpStream,
    tls: &mut ServerConnection,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while tls.wants_write() {
        let count = ready!(poll_write_with(tcp, cx, |tcp| tls.write_tls(&mut WhenReady(tcp))))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
    }
    Poll::Ready(Ok(()))
}

/// Writes if the runtime holds the socket for ready, and tells it when it is not.
struct WhenReady<'a>(&'a TcpStream);

impl Write for WhenReady<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes without asking the runtime.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whole messages, from outside of the connection's task.
impl InlineWriter for SharedTls {
    fn try_send(&self, message: &Broadcast) -> InlineWrite {
        let framed = message.framed(&FRAMING);
        let mut tls = self.tls.lock();
        let Ok(count @ 1..) = tls.writer().write(framed) else {
            return InlineWrite::Refused;
        };
        // The driver meets an error of the socket by itself.
        while tls.wants_write()
            && tls
                .write_tls(&mut AtOnce(&self.tcp))
                .is_ok_and(|sent| sent > 0)
        {}
        if count == framed.len() && !tls.wants_write() {
            InlineWrite::Sent
        } else {
            InlineWrite::Partly(framed.slice(count..))
        }
    }
}

/// What the kernel has received.
struct Incoming<'a, 'cx> {
    tcp: &'a TcpStream,
    cx: &'a mut Context<'cx>,
    read: &'a mut u64,
}

impl Read for Incoming<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match poll_receive(self.tcp, self.cx, into) {
            Poll::Ready(outcome) => outcome.inspect(|count| *self.read += *count as u64),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsyncRead for TlsTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { shared, read } = &mut *self;
        let tcp = &shared.tcp;
        let mut tls = shared.tls.lock();
        loop {
            match tls.reader().read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let came = tls.read_tls(&mut Incoming {
                tcp,
                cx: &mut *cx,
                read,
            });
            match came {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let outcome = tls.process_new_packets();
            // An alert, or the answer to new keys. What the kernel does not take goes before what is sent next.
            let sent = poll_drain(tcp, &mut tls, cx);
            if let Err(violation) = outcome {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
            }
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl AsyncWrite for TlsTcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |writer| writer.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |writer| writer.write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let SharedTls { tcp, tls } = &*self.shared;
        poll_drain(tcp, &mut tls.lock(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let SharedTls { tcp, tls } = &*self.shared;
        let mut tls = tls.lock();
        tls.send_close_notify();
        ready!(poll_drain(tcp, &mut tls, cx))?;
        Poll::Ready(shut_down(tcp))
    }
}

#[cfg(test)]
mod tests;
