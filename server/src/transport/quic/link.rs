//! The QUIC link of a session: messages on the control stream, and datagrams.

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use metrics::counter;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::framing::{LENGTH_BYTES, MessageReader, length};
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use quinn::{
    Connection, ConnectionError, ReadError, RecvStream, SendStream, StoppedError, VarInt,
    WriteError,
};

use crate::connections::link::{CloseReason, InlineWriter, Link, LinkError, Received};
use crate::io_threads::ThreadSlot;
use crate::transport::connection_limiter::ConnectionPermit;

/// With this much waiting for the stream there is no room for another message.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Messages up to this are copied behind their length. Longer ones share their bytes, and the length is a piece of its own.
const COPIED_BYTES_MAX: usize = 1024;

/// What the library says is the longest datagram can be sent only as long as the path stays as it is; one byte is left for what
/// a layer between puts before it.
const DATAGRAM_MARGIN_BYTES: usize = 1;

/// Code of a connection that ends without anything to say.
const NOTHING_TO_SAY: VarInt = VarInt::from_u32(0);

type Datagrams = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A QUIC connection whose client has opened the control stream.
pub struct QuicLink {
    connection: Connection,
    sender: SendStream,
    receiver: RecvStream,
    /// Holds the place in the line of those who wait for datagrams, from one poll to the next.
    datagrams: Datagrams,
    reader: MessageReader,
    /// Came on the stream and is not read yet.
    unread: Bytes,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    failed: Option<LinkError>,
    /// The client takes nothing more from the control stream.
    is_stopped: bool,
    /// Messages and datagrams are asked for first by turns, so that neither keeps the other waiting.
    is_datagrams_turn: bool,
    closing: Closing,
    /// Given back with the link.
    _places: (ConnectionPermit, ThreadSlot),
}

/// How far the goodbye has come.
enum Closing {
    No,
    /// The client is to confirm all that was sent: what is on its way when a connection closes is lost.
    Confirm {
        reason: CloseReason,
        confirmed: Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>,
    },
    Done,
}

impl fmt::Debug for QuicLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicLink")
            .field("remote", &self.connection.remote_address())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl QuicLink {
    /// Speaks as the server on a connection and its control stream.
    pub(super) fn new(
        connection: Connection,
        (sender, receiver): (SendStream, RecvStream),
        places: (ConnectionPermit, ThreadSlot),
    ) -> Self {
        let datagrams = unfold(connection.clone(), |connection| async {
            // The control stream tells why the connection is gone, behind what came on it before.
            let datagram = connection.read_datagram().await.ok()?;
            Some((datagram, connection))
        });
        Self {
            connection,
            sender,
            receiver,
            datagrams: Box::pin(datagrams),
            reader: MessageReader::default(),
            unread: Bytes::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            failed: None,
            is_stopped: false,
            is_datagrams_turn: false,
            closing: Closing::No,
            _places: places,
        }
    }

    fn fail<T>(&mut self, error: LinkError) -> Poll<Result<T, LinkError>> {
        self.failed = Some(error.clone());
        Poll::Ready(Err(error))
    }

    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Option<Received> {
        match self.datagrams.as_mut().poll_next(cx) {
            Poll::Ready(Some(datagram)) => Some(Received::Datagram(datagram)),
            Poll::Ready(None) => {
                self.datagrams = Box::pin(futures_util::stream::pending());
                None
            }
            Poll::Pending => None,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, LinkError>> {
        loop {
            match self.reader.read(&mut self.unread) {
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Ok(None) => {}
                Err(_) => {
                    let reason = "a message is longer than the limit";
                    return Poll::Ready(Err(violation(reason, CloseCode::MessageTooBig)));
                }
            }
            let chunk = ready!(pin!(self.receiver.read_chunk(MESSAGE_BYTES_MAX, true)).poll(cx));
            match chunk {
                Ok(Some(chunk)) => self.unread = chunk.bytes,
                Ok(None) if self.reader.is_within_message() => {
                    let reason = "the control stream ended within a message";
                    return Poll::Ready(Err(violation(reason, CloseCode::ProtocolError)));
                }
                Ok(None) => return Poll::Ready(Err(LinkError::Closed(None))),
                Err(ReadError::ConnectionLost(error)) => {
                    return Poll::Ready(Err(explain(&error)));
                }
                Err(_) => {
                    let reason = "the control stream was reset";
                    return Poll::Ready(Err(violation(reason, CloseCode::ProtocolError)));
                }
            }
        }
    }

    /// Hands everything to the connection.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.is_stopped && !self.unsent.is_empty() {
            let pieces = self.unsent.make_contiguous();
            let written = ready!(pin!(self.sender.write_chunks(pieces)).poll(cx));
            match written {
                Ok(written) => {
                    self.unsent.drain(..written.chunks);
                    self.unsent_bytes -= written.bytes;
                }
                Err(WriteError::Stopped(_)) => {
                    self.stop();
                    let reason = "the control stream was stopped";
                    return self.fail(violation(reason, CloseCode::ProtocolError));
                }
                Err(WriteError::ConnectionLost(error)) => {
                    self.stop();
                    return self.fail(explain(&error));
                }
                Err(WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
                    self.stop();
                    return self.fail(LinkError::Closed(None));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing can be sent any more.
    fn stop(&mut self) {
        self.is_stopped = true;
        self.unsent.clear();
        self.unsent_bytes = 0;
    }

    fn begin_close(&mut self, reason: CloseReason) -> Closing {
        // A stream that was stopped or finished before has nothing to be confirmed.
        if self.is_stopped || self.sender.finish().is_err() {
            close(&self.connection, reason);
            return Closing::Done;
        }
        Closing::Confirm {
            reason,
            confirmed: Box::pin(self.sender.stopped()),
        }
    }
}

impl Link for QuicLink {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone()));
        }
        self.is_datagrams_turn = !self.is_datagrams_turn;
        let is_asked = self.is_datagrams_turn;
        if is_asked && let Some(datagram) = self.poll_datagram(cx) {
            return Poll::Ready(Ok(datagram));
        }
        match self.poll_message(cx) {
            Poll::Ready(Ok(message)) => Poll::Ready(Ok(Received::Message(message))),
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Pending if is_asked => Poll::Pending,
            Poll::Pending => match self.poll_datagram(cx) {
                Some(datagram) => Poll::Ready(Ok(datagram)),
                None => Poll::Pending,
            },
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.unsent_bytes < SEND_BUFFER_BYTES {
            return Poll::Ready(Ok(()));
        }
        match self.poll_write(cx) {
            Poll::Pending if self.unsent_bytes < SEND_BUFFER_BYTES => Poll::Ready(Ok(())),
            other => other,
        }
    }

    fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        // A client that broke the rules still gets what explains it, but one that has gone gets nothing.
        if let Some(error @ (LinkError::Closed(_) | LinkError::Io(_))) = &self.failed {
            return Err(error.clone());
        }
        if self.is_stopped {
            return Ok(());
        }
        let length = length(message.len());
        self.unsent_bytes += LENGTH_BYTES + message.len();
        if message.len() <= COPIED_BYTES_MAX {
            self.unsent
                .push_back([&length[..], &message[..]].concat().into());
        } else {
            self.unsent.push_back(Bytes::copy_from_slice(&length));
            self.unsent.push_back(message);
        }
        Ok(())
    }

    fn send_rest(&mut self, rest: Bytes) {
        debug_assert!(rest.is_empty(), "this link has no inline writer");
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_write(cx)
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn take_inline_writer(&mut self) -> Option<Arc<dyn InlineWriter>> {
        None
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        let bytes = self.connection.max_datagram_size()?;
        Some(bytes.saturating_sub(DATAGRAM_MARGIN_BYTES))
    }

    fn send_datagram(&mut self, datagram: Bytes) {
        let fits = Some(datagram.len()) <= self.datagram_bytes_max();
        if !fits || self.connection.send_datagram(datagram).is_err() {
            counter!("pitturu_datagrams_dropped_total", "transport" => "quic").increment(1);
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        if matches!(self.closing, Closing::No) {
            self.closing = self.begin_close(reason);
        }
        if let Closing::Confirm { reason, confirmed } = &mut self.closing {
            // Confirmed, stopped or lost: there is nothing more to wait for.
            let _outcome = ready!(confirmed.as_mut().poll(cx));
            close(&self.connection, *reason);
            self.closing = Closing::Done;
        }
        Poll::Ready(())
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        match self.closing {
            Closing::No => self.connection.close(NOTHING_TO_SAY, b""),
            // The client took too long to confirm, and still hears why.
            Closing::Confirm { reason, .. } => close(&self.connection, reason),
            Closing::Done => {}
        }
    }
}

/// Closes at once. What the client has not confirmed may be lost.
pub(super) fn close(connection: &Connection, reason: CloseReason) {
    let text = match reason {
        CloseReason::Protocol(code) => code.name(),
        CloseReason::Transport(_) => "",
    };
    let code = VarInt::from_u32(u32::from(reason.number()));
    connection.close(code, text.as_bytes());
}

const fn violation(reason: &'static str, close: CloseCode) -> LinkError {
    LinkError::Violation {
        reason,
        close: close.number(),
    }
}

fn explain(error: &ConnectionError) -> LinkError {
    LinkError::Io(match error {
        ConnectionError::ApplicationClosed(closed) => {
            return LinkError::Closed(u16::try_from(closed.error_code.into_inner()).ok());
        }
        ConnectionError::LocallyClosed => return LinkError::Closed(None),
        ConnectionError::TimedOut => ErrorKind::TimedOut,
        ConnectionError::Reset | ConnectionError::ConnectionClosed(_) => ErrorKind::ConnectionReset,
        ConnectionError::TransportError(_) | ConnectionError::VersionMismatch => {
            ErrorKind::InvalidData
        }
        ConnectionError::CidsExhausted => ErrorKind::OutOfMemory,
    })
}

#[cfg(test)]
mod tests;
