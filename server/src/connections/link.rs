//! One connection's messages, whatever carries them.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use pitturu_protocol::codes::CloseCode;

/// Why a link gave no message. Every variant is final.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The peer closed it, with this number of the transport's if it gave one.
    #[error("closed by the peer")]
    Closed(Option<u16>),
    /// The peer broke the transport's rules, or sent what the transport does not take for the protocol. Close with
    /// [`CloseReason::Transport`] and this number.
    #[error("transport violation: {reason}")]
    Violation {
        /// What it did, for the log.
        reason: &'static str,
        /// A number of the transport's own.
        close: u16,
    },
    /// The network failed.
    #[error("network: {0}")]
    Io(std::io::ErrorKind),
}

/// Why the server closes a connection. The transport tells the peer in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// For a reason of the protocol.
    Protocol(CloseCode),
    /// For one of the transport's, which [`LinkError::Violation`] gave.
    Transport(u16),
}

impl CloseReason {
    /// The number, of the protocol or of the transport, for metrics.
    pub const fn number(self) -> u16 {
        match self {
            Self::Protocol(code) => code.number(),
            Self::Transport(number) => number,
        }
    }
}

/// One connection's messages. Poll-based, so that one task reads while a write waits. Every method is cancel safe.
pub trait Link: Send + Unpin + 'static {
    /// The next message. Transport-level pings are answered inside.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, LinkError>>;

    /// Whether one more message may be sent: what was sent before has left the link's own buffer.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Sends one message, after [`Self::poll_ready`] said so. It may stay in the link's buffer until flushed.
    fn send(&mut self, message: Bytes) -> Result<(), LinkError>;

    /// Sends the rest of a message whose beginning went past the driver.
    fn send_rest(&mut self, rest: Bytes);

    /// Hands everything to the socket.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Whether something handed over still waits for the socket.
    fn has_unsent(&self) -> bool;

    /// The way to send from outside of the driver's task, where there is one. Asked for once.
    fn take_direct(&mut self) -> Option<Arc<dyn Direct>>;

    /// Says why and closes. The caller bounds the time; dropping the link closes it at once.
    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()>;
}

/// Sends messages past the driver: a broadcast then costs a connection the write and nothing else, no task to wake.
/// Whoever calls makes sure that the driver rests and that nothing waits before the message.
pub trait Direct: fmt::Debug + Send + Sync {
    /// Sends one message if the socket takes it now. Never waits.
    fn try_send(&self, message: &Broadcast) -> Directly;
}

/// One message for many connections: encoded once, and framed once for each kind of transport that it goes over.
#[derive(Debug)]
pub struct Broadcast {
    message: Bytes,
    websocket: OnceLock<Bytes>,
}

impl Broadcast {
    /// A message for everybody.
    pub const fn new(message: Bytes) -> Self {
        Self {
            message,
            websocket: OnceLock::new(),
        }
    }

    /// The message itself.
    pub const fn message(&self) -> &Bytes {
        &self.message
    }

    /// The message as it goes over a WebSocket, made by `frame` for the first one.
    pub fn on_websocket(&self, frame: impl FnOnce(&Bytes) -> Bytes) -> &Bytes {
        self.websocket.get_or_init(|| frame(&self.message))
    }
}

/// What became of a message sent past the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directly {
    /// The socket has it.
    Sent,
    /// The socket has the beginning. The driver must hand this rest to [`Link::send_rest`] before anything else.
    Partly(Bytes),
    /// Nothing of it was taken: it must be queued.
    Refused,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Network address, without the port.
    pub address: IpAddr,
    /// What the transport calls itself. A label: nothing decides by it.
    pub transport: &'static str,
    /// Whether the transport is encrypted.
    pub secure: bool,
}
