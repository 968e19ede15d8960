//! The link of a session over QUIC, native or under WebTransport: messages on the control stream, and datagrams.

use std::collections::VecDeque;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use pitturu_metrics::table;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::framing::{LENGTH_BYTES, MessageReader, length};
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::time::timeout;

use crate::connections::link::{CloseReason, InlineWriter, Link, LinkError, Received};
use crate::io_threads::ThreadSlot;
use crate::transport::connection_limiter::ConnectionPermit;
use crate::transport::quic::TRANSPORT;
use crate::transport::quic::closing::{self, another_stream, close, explain, violation};
use crate::transport::quic::sender::{Confirmed, ControlSender, framed};
use crate::transport::quic::webtransport::{self, Accepted, Beside, Session};

/// With this much waiting for the stream there is no room for another message.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Messages up to this are copied behind their length. Longer ones share their bytes, and the length is a piece of its own.
const COPIED_BYTES_MAX: usize = 1024;

/// What the library says is the longest datagram can be sent only as long as the path stays as it is; one byte is left for what
/// a layer between puts before it.
const DATAGRAM_MARGIN_BYTES: usize = 1;

/// Code of a connection that ends without anything to say.
const NOTHING_TO_SAY: VarInt = VarInt::from_u32(0);

/// How long a client whose session is over has for closing the connection.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

type Datagrams = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Something that a link waits for.
type Awaited<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A QUIC connection whose client has opened the control stream.
pub struct QuicLink {
    connection: Connection,
    /// None: native QUIC.
    session: Option<Session>,
    beside: Beside,
    sender: Arc<ControlSender>,
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
        confirmed: Confirmed,
    },
    /// A browser drops what its page has not read when the session closes. So the page is to end its half first.
    Answer {
        reason: CloseReason,
    },
    /// The client is to confirm that the session is over.
    Tell {
        reason: CloseReason,
        told: Awaited<bool>,
    },
    /// The client is to leave.
    Leave {
        gone: Awaited<()>,
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
    pub(super) fn native(
        connection: Connection,
        control: (SendStream, RecvStream),
        places: (ConnectionPermit, ThreadSlot),
    ) -> Self {
        let beside = Beside::of(Box::pin(no_other_stream(connection.clone())));
        Self::new(connection, None, beside, control, places)
    }

    /// The same in a session of WebTransport.
    pub(super) fn webtransport(
        connection: Connection,
        accepted: Accepted,
        places: (ConnectionPermit, ThreadSlot),
    ) -> Self {
        let Accepted {
            session,
            control,
            beside,
        } = accepted;
        Self::new(connection, Some(session), beside, control, places)
    }

    fn new(
        connection: Connection,
        session: Option<Session>,
        beside: Beside,
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
            session,
            beside,
            sender: Arc::new(ControlSender::new(sender)),
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

    const fn is_webtransport(&self) -> bool {
        self.session.is_some()
    }

    fn fail<T>(&mut self, error: LinkError) -> Poll<Result<T, LinkError>> {
        self.failed = Some(error.clone());
        Poll::Ready(Err(error))
    }

    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Option<Result<Bytes, LinkError>> {
        loop {
            match self.datagrams.as_mut().poll_next(cx) {
                Poll::Ready(Some(mut datagram)) => match &self.session {
                    None => return Some(Ok(datagram)),
                    Some(session) => match session.own(&mut datagram) {
                        Ok(true) => return Some(Ok(datagram)),
                        Ok(false) => self.count_dropped(),
                        Err(error) => return Some(Err(error)),
                    },
                },
                Poll::Ready(None) => {
                    self.datagrams = Box::pin(futures_util::stream::pending());
                    return None;
                }
                Poll::Pending => return None,
            }
        }
    }

    fn count_dropped(&self) {
        let transport = if self.is_webtransport() {
            webtransport::TRANSPORT
        } else {
            TRANSPORT
        };
        table::DATAGRAMS_DROPPED.at(transport).increment();
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, LinkError>> {
        loop {
            match self.reader.read(&mut self.unread) {
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Ok(None) => {}
                Err(_) => {
                    let reason = "a message is longer than the limit";
                    return Poll::Ready(Err(violation(reason, CloseCode::MessageTooBig.number())));
                }
            }
            let chunk = ready!(pin!(self.receiver.read_chunk(MESSAGE_BYTES_MAX, true)).poll(cx));
            match chunk {
                Ok(Some(chunk)) => self.unread = chunk.bytes,
                Ok(None) if self.reader.is_within_message() => {
                    let reason = "the control stream ended within a message";
                    return Poll::Ready(Err(violation(reason, CloseCode::ProtocolError.number())));
                }
                Ok(None) => return Poll::Ready(Err(LinkError::Closed(None))),
                Err(ReadError::ConnectionLost(error)) => {
                    return Poll::Ready(Err(explain(&error, self.is_webtransport())));
                }
                // A browser that closes its session resets the streams as well, in any order.
                Err(ReadError::Reset(code))
                    if self.is_webtransport() && closing::is_session_gone(code.into_inner()) =>
                {
                    let gone = self.beside.poll_end(cx);
                    return Poll::Ready(Err(match gone {
                        Poll::Ready(error) => error,
                        Poll::Pending => LinkError::Closed(None),
                    }));
                }
                Err(_) => {
                    let reason = "the control stream was reset";
                    return Poll::Ready(Err(violation(reason, CloseCode::ProtocolError.number())));
                }
            }
        }
    }

    /// Hands everything to the connection.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.is_stopped && !self.unsent.is_empty() {
            let pieces = self.unsent.make_contiguous();
            let written = ready!(self.sender.poll_write(cx, pieces));
            match written {
                Ok(written) => {
                    self.unsent.drain(..written.chunks);
                    self.unsent_bytes -= written.bytes;
                }
                Err(WriteError::Stopped(_)) => {
                    self.stop();
                    let reason = "the control stream was stopped";
                    return self.fail(violation(reason, CloseCode::ProtocolError.number()));
                }
                Err(WriteError::ConnectionLost(error)) => {
                    self.stop();
                    return self.fail(explain(&error, self.is_webtransport()));
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
        if self.is_webtransport() && closing::is_http3(reason.number()) {
            return self.close_connection(reason);
        }
        // A stream that was stopped or finished before has nothing to be confirmed.
        if self.is_stopped {
            return self.tell(reason);
        }
        match self.sender.finish() {
            Some(confirmed) => Closing::Confirm { reason, confirmed },
            None => self.tell(reason),
        }
    }

    /// Closes the session where there is one, else the connection.
    fn tell(&mut self, reason: CloseReason) -> Closing {
        match &mut self.session {
            Some(session) => Closing::Tell {
                reason,
                told: Box::pin(session.tell(reason)),
            },
            None => self.close_connection(reason),
        }
    }

    fn close_connection(&self, reason: CloseReason) -> Closing {
        close(&self.connection, reason, self.is_webtransport());
        Closing::Done
    }

    /// Reads and drops what still comes, until the client has ended its half.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let chunk = pin!(self.receiver.read_chunk(MESSAGE_BYTES_MAX, true)).poll(cx);
            match chunk {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.beside.poll_end(cx).map(drop),
            }
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
        let mut datagram = is_asked.then(|| self.poll_datagram(cx)).flatten();
        if datagram.is_none() {
            match self.poll_message(cx) {
                Poll::Ready(Ok(message)) => return Poll::Ready(Ok(Received::Message(message))),
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending if is_asked => {}
                Poll::Pending => datagram = self.poll_datagram(cx),
            }
        }
        match datagram {
            Some(Ok(datagram)) => Poll::Ready(Ok(Received::Datagram(datagram))),
            Some(Err(error)) => self.fail(error),
            None => match self.beside.poll_end(cx) {
                Poll::Ready(error) => self.fail(error),
                Poll::Pending => Poll::Pending,
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
        self.unsent_bytes += LENGTH_BYTES + message.len();
        if message.len() <= COPIED_BYTES_MAX {
            self.unsent.push_back(framed(&message));
        } else {
            self.unsent
                .push_back(Bytes::copy_from_slice(&length(message.len())));
            self.unsent.push_back(message);
        }
        Ok(())
    }

    fn send_rest(&mut self, rest: Bytes) {
        if !self.is_stopped && !rest.is_empty() {
            self.unsent_bytes += rest.len();
            self.unsent.push_back(rest);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_write(cx)
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn take_inline_writer(&mut self) -> Option<Arc<dyn InlineWriter>> {
        Some(Arc::<ControlSender>::clone(&self.sender))
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        let bytes = self.connection.max_datagram_size()?;
        let prefix = self
            .session
            .as_ref()
            .map_or(0, |session| session.datagram_prefix.len());
        Some(bytes.saturating_sub(DATAGRAM_MARGIN_BYTES + prefix))
    }

    fn send_datagram(&mut self, datagram: Bytes) {
        let fits = Some(datagram.len()) <= self.datagram_bytes_max();
        let datagram = match &self.session {
            Some(session) => [&session.datagram_prefix, &datagram[..]].concat().into(),
            None => datagram,
        };
        if !fits || self.connection.send_datagram(datagram).is_err() {
            self.count_dropped();
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        loop {
            self.closing = match &mut self.closing {
                Closing::No => self.begin_close(reason),
                Closing::Confirm { reason, confirmed } => {
                    let reason = *reason;
                    // Confirmed, stopped or lost: there is nothing more to wait for.
                    let _outcome = ready!(confirmed.as_mut().poll(cx));
                    match self.is_webtransport() {
                        true => Closing::Answer { reason },
                        false => self.close_connection(reason),
                    }
                }
                Closing::Answer { reason } => {
                    let reason = *reason;
                    ready!(self.poll_ended(cx));
                    self.tell(reason)
                }
                Closing::Tell { reason, told } => {
                    let reason = *reason;
                    match ready!(told.as_mut().poll(cx)) {
                        true => Closing::Leave {
                            gone: Box::pin(gone(self.connection.clone())),
                        },
                        // The connection's own code is what is left.
                        false => self.close_connection(reason),
                    }
                }
                Closing::Leave { gone } => {
                    ready!(gone.as_mut().poll(cx));
                    self.close_connection(CloseReason::Transport(closing::NO_ERROR))
                }
                Closing::Done => return Poll::Ready(()),
            };
        }
    }

    /// By the code of the connection, which waits for no window.
    fn close_now(&mut self, reason: CloseReason) {
        if !matches!(self.closing, Closing::Leave { .. } | Closing::Done) {
            self.closing = self.close_connection(reason);
        }
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        match self.closing {
            Closing::No | Closing::Leave { .. } if self.is_webtransport() => {
                close(
                    &self.connection,
                    CloseReason::Transport(closing::NO_ERROR),
                    true,
                );
            }
            Closing::No | Closing::Leave { .. } => self.connection.close(NOTHING_TO_SAY, b""),
            // Dropped in the middle of its goodbye, and still says why.
            Closing::Confirm { reason, .. }
            | Closing::Answer { reason }
            | Closing::Tell { reason, .. } => {
                close(&self.connection, reason, self.is_webtransport());
            }
            Closing::Done => {}
        }
    }
}

/// Lets the client close the connection: a page whose browser finds it closed may hear of that, and of no code. Chromium does not
/// close it, but its page has the code by then.
async fn gone(connection: Connection) {
    drop(timeout(LEAVE_WITHIN, connection.closed()).await);
}

/// QUIC lets every client open the streams that HTTP/3 has. Without HTTP/3 none may be.
async fn no_other_stream(connection: Connection) -> LinkError {
    match connection.accept_uni().await {
        Ok(_) => another_stream(),
        Err(error) => explain(&error, false),
    }
}

#[cfg(test)]
mod tests;
