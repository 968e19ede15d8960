//! The WebSocket link of a session.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pitturu_protocol::codes;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use tungstenite::Message;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

use crate::connections::link::{CloseReason, InlineWriter, Link, LinkError, Received};
use crate::io_threads::ThreadSlot;
use crate::transport::connection_limiter::ConnectionPermit;
use crate::transport::socket::Socket;
use crate::transport::wire::Wire;

/// Read buffer of an idle connection. It grows when a message needs it.
const READ_BUFFER_BYTES: usize = 256;

/// A received message above this is kept from the read buffer's reuse, so that the buffer shrinks again.
const READ_BUFFER_KEPT_BYTES_MAX: usize = 4096;

/// Control frames that wait for a slow reader. What comes on top replaces the newest.
const CONTROL_BYTES_MAX: usize = 4 * 1024;

/// With this much waiting for the socket there is no room for another message.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Most control frames of one peer within [`CONTROL_WINDOW`].
const CONTROL_FRAMES_MAX: u32 = 200;

/// Time over which control frames are counted.
const CONTROL_WINDOW: Duration = Duration::from_secs(1);

/// Most bytes that may come without completing a message: the longest one in fragments of one byte each.
const BYTES_PER_MESSAGE_MAX: u64 = 8 * MESSAGE_BYTES_MAX as u64;

/// Bytes thrown away after a violation, so that the peer reads the close frame before the socket goes.
const DISCARDED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Longest text that fits into a close frame.
const CLOSE_TEXT_BYTES_MAX: usize = 123;

const _: () = {
    let mut index = 0;
    while index < codes::CloseCode::ALL.len() {
        assert!(codes::CloseCode::ALL[index].name().len() <= CLOSE_TEXT_BYTES_MAX);
        index += 1;
    }
};

const PROTOCOL_ERROR: u16 = 1002;
const NOT_BINARY: u16 = 1003;
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;
const FLOODING: u16 = codes::CloseCode::Flooding.number();

/// A WebSocket after its handshake.
#[derive(Debug)]
pub struct WebSocketLink {
    /// Frames of the protocol. It does no I/O of its own, so no waker and no second task's state lie in it.
    protocol: WebSocketContext,
    wire: Wire<Socket>,
    failed: Option<LinkError>,
    /// The code of the peer's close frame, once that has come.
    peer_close: Option<Option<u16>>,
    closing: Closing,
    control_frames: u32,
    control_since: Instant,
    read_at_message: u64,
    /// Given back with the link.
    places: Option<(ConnectionPermit, ThreadSlot)>,
    /// Holds a large message until the next read has replaced the buffer that it lies in.
    large: Option<Bytes>,
}

/// How far the goodbye has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    Flush,
    Echo,
    Shutdown,
    Discard { until: u64 },
    Done,
}

impl WebSocketLink {
    /// Speaks as the server on a socket whose handshake is done. `early` is what came after the handshake.
    pub fn new(socket: Socket, early: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let protocol = if early.is_empty() {
            WebSocketContext::new(Role::Server, Some(config))
        } else {
            WebSocketContext::from_partially_read(early, Role::Server, Some(config))
        };
        Self {
            protocol,
            wire: Wire::new(socket),
            failed: None,
            peer_close: None,
            closing: Closing::No,
            control_frames: 0,
            control_since: Instant::now(),
            read_at_message: 0,
            places: None,
            large: None,
        }
    }

    /// Keeps a place among the connections, and one on an I/O thread, for as long as the link lives.
    pub fn hold(&mut self, permit: ConnectionPermit, slot: ThreadSlot) {
        self.places = Some((permit, slot));
    }

    fn fail<T>(&mut self, error: LinkError) -> Poll<Result<T, LinkError>> {
        self.failed = Some(error.clone());
        Poll::Ready(Err(error))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, LinkError>> {
        let read = self.protocol.read(&mut self.wire.on(cx));
        self.large = None;
        let Poll::Ready(read) = pending_if_blocked(read) else {
            let silent = self.socket().received() - self.read_at_message;
            if silent > BYTES_PER_MESSAGE_MAX {
                return Poll::Ready(Err(LinkError::Violation {
                    reason: "too many bytes without a message",
                    close: FLOODING,
                }));
            }
            return Poll::Pending;
        };
        Poll::Ready(match read {
            Ok(Message::Binary(message)) => {
                self.read_at_message = self.socket().received();
                if message.len() > READ_BUFFER_KEPT_BYTES_MAX {
                    self.large = Some(message.clone());
                }
                Ok(Some(message))
            }
            Ok(Message::Text(_)) => Err(LinkError::Violation {
                reason: "only binary messages are spoken here",
                close: NOT_BINARY,
            }),
            Ok(Message::Close(frame)) => {
                self.peer_close = Some(frame.map(|frame| frame.code.into()));
                Ok(None)
            }
            Ok(_) => self.count_control_frame().map(|()| None),
            Err(error) => Err(self.explain(&error)),
        })
    }

    /// Pongs are written before this returns, so a flood of pings is answered by closing.
    fn count_control_frame(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        if now.duration_since(self.control_since) > CONTROL_WINDOW {
            self.control_since = now;
            self.control_frames = 0;
        }
        self.control_frames += 1;
        if self.control_frames > CONTROL_FRAMES_MAX {
            return Err(LinkError::Violation {
                reason: "too many control frames",
                close: FLOODING,
            });
        }
        Ok(())
    }

    fn closed(&self) -> LinkError {
        LinkError::Closed(self.peer_close.flatten())
    }

    fn explain(&self, error: &Error) -> LinkError {
        let (reason, close) = match error {
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => return self.closed(),
            Error::Io(error) => return LinkError::Io(error.kind()),
            Error::Capacity(_) | Error::WriteBufferFull(_) => ("message too big", TOO_BIG),
            Error::Utf8(_) => ("text that is not UTF-8", NOT_UTF8),
            Error::Protocol(violation) => (describe(violation), PROTOCOL_ERROR),
            _ => ("invalid WebSocket traffic", PROTOCOL_ERROR),
        };
        LinkError::Violation { reason, close }
    }

    fn socket(&self) -> &Socket {
        self.wire.socket()
    }

    fn poll_flush_protocol(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match ready!(pending_if_blocked(
            self.protocol.flush(&mut self.wire.on(cx))
        )) {
            // Both sides have said goodbye, and everything is out.
            Err(Error::ConnectionClosed) => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }

    fn begin_close(&mut self, reason: CloseReason) -> Closing {
        if let Some(LinkError::Io(_)) = self.failed {
            return Closing::Done;
        }
        if self.peer_close.is_some() || matches!(self.failed, Some(LinkError::Closed(_))) {
            return Closing::Shutdown;
        }
        let text = match reason {
            CloseReason::Protocol(code) => code.name(),
            CloseReason::Transport(_) => "",
        };
        let frame = CloseFrame {
            code: CloseCode::from(reason.number()),
            reason: text.into(),
        };
        // What the socket does not take now is flushed by the next step.
        let mut cx = Context::from_waker(Waker::noop());
        match pending_if_blocked(self.protocol.close(&mut self.wire.on(&mut cx), Some(frame))) {
            Poll::Pending | Poll::Ready(Ok(())) => Closing::Flush,
            Poll::Ready(Err(_)) => Closing::Shutdown,
        }
    }

    /// One step of the goodbye; each is left when its part is done or can't be done.
    fn poll_close_step(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        Poll::Ready(match self.closing {
            Closing::No | Closing::Done => Closing::Done,
            Closing::Flush => match ready!(self.poll_flush_protocol(cx)) {
                Err(_) => Closing::Done,
                Ok(()) if self.failed.is_some() => Closing::Shutdown,
                Ok(()) => Closing::Echo,
            },
            Closing::Echo => {
                let read = self.protocol.read(&mut self.wire.on(cx));
                match ready!(pending_if_blocked(read)) {
                    Ok(_) => Closing::Echo,
                    Err(_) => Closing::Shutdown,
                }
            }
            Closing::Shutdown => match ready!(self.wire.poll_shutdown(cx)) {
                Err(_) => Closing::Done,
                Ok(()) => Closing::Discard {
                    until: self.socket().received() + DISCARDED_BYTES_MAX,
                },
            },
            Closing::Discard { until } => {
                let mut scratch = [0; 2048];
                let ended = !matches!(ready!(self.wire.poll_read(cx, &mut scratch)), Ok(1..));
                if ended || self.socket().received() > until {
                    Closing::Done
                } else {
                    self.closing
                }
            }
        })
    }
}

impl Link for WebSocketLink {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        loop {
            if let Some(error) = &self.failed {
                return Poll::Ready(Err(error.clone()));
            }
            match ready!(self.poll_message(cx)) {
                Ok(Some(message)) => return Poll::Ready(Ok(Received::Message(message))),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.wire.queued_bytes() < SEND_BUFFER_BYTES {
            return Poll::Ready(Ok(()));
        }
        match self.poll_flush(cx) {
            Poll::Pending if self.wire.queued_bytes() < SEND_BUFFER_BYTES => Poll::Ready(Ok(())),
            other => other,
        }
    }

    fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        // A peer that broke the rules still gets what explains it, but one that has gone gets nothing.
        match &self.failed {
            Some(error @ (LinkError::Closed(_) | LinkError::Io(_))) => return Err(error.clone()),
            _ if self.peer_close.is_some() || self.closing != Closing::No => {
                return Err(self.closed());
            }
            _ => {}
        }
        self.wire.push(message);
        Ok(())
    }

    fn send_rest(&mut self, rest: Bytes) {
        if !rest.is_empty() {
            self.wire.push_rest(rest);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match ready!(self.poll_flush_protocol(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => {
                let error = self.explain(&error);
                self.fail(error)
            }
        }
    }

    fn has_unsent(&self) -> bool {
        self.wire.has_unsent() || self.socket().has_unsent()
    }

    fn take_inline_writer(&mut self) -> Option<Arc<dyn InlineWriter>> {
        Some(self.socket().inline_writer())
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        if self.closing == Closing::No {
            self.closing = self.begin_close(reason);
        }
        while self.closing != Closing::Done {
            self.closing = ready!(self.poll_close_step(cx));
        }
        Poll::Ready(())
    }
}

/// Whether the socket has to be waited for, or what came of it.
fn pending_if_blocked<T>(outcome: Result<T, Error>) -> Poll<Result<T, Error>> {
    match outcome {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

const fn describe(violation: &ProtocolError) -> &'static str {
    match violation {
        ProtocolError::ReceivedAfterClosing => "a frame after the close frame",
        ProtocolError::NonZeroReservedBits => "a reserved bit is set, but no extension was agreed",
        ProtocolError::UnmaskedFrameFromClient => "a frame of a client must be masked",
        ProtocolError::FragmentedControlFrame => "a control frame must not be fragmented",
        ProtocolError::ControlFrameTooBig => "a control frame carries at most 125 bytes",
        ProtocolError::UnknownControlFrameType(_)
        | ProtocolError::UnknownDataFrameType(_)
        | ProtocolError::InvalidOpcode(_) => "a reserved opcode",
        ProtocolError::UnexpectedContinueFrame => "a continuation without a beginning",
        ProtocolError::ExpectedFragment(_) => "a new message inside a fragmented one",
        ProtocolError::InvalidCloseSequence => "a malformed close frame",
        _ => "invalid WebSocket traffic",
    }
}
