//! One connection's messages and datagrams, whatever carries them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use pitturu_protocol::codes::CloseCode;

use super::address::Address;

#[cfg(test)]
pub(crate) mod memory;

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
    /// The number, of the protocol or of the transport.
    pub const fn number(self) -> u16 {
        match self {
            Self::Protocol(code) => code.number(),
            Self::Transport(number) => number,
        }
    }
}

/// What came over a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole message. None is lost, and they come in the order in which they were sent.
    Message(Bytes),
    /// A datagram. It may be lost, come twice, and overtake others and messages.
    Datagram(Bytes),
}

/// One connection's messages, and datagrams where the transport has them. Poll-based, so that one task reads while a write
/// waits. Every method is cancel safe.
pub trait Link: Send + Unpin + 'static {
    /// What came next. Transport-level pings are answered inside. A link bounds what it holds of both kinds: beyond the
    /// bound messages wait in the network and datagrams are dropped.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>>;

    /// Whether one more message may be sent: what was sent before has left the link's own buffer.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Sends one message, after [`Self::poll_ready`] said so. It may stay in the link's buffer until flushed.
    fn send(&mut self, message: Bytes) -> Result<(), LinkError>;

    /// Sends the rest of a message whose beginning went past the driver. Only a link that gave an [`InlineWriter`] gets one.
    fn send_rest(&mut self, rest: Bytes);

    /// Hands everything to the socket.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Whether something handed over still waits for the socket.
    fn has_unsent(&self) -> bool;

    /// The way to send from outside of the driver's task, where there is one. Asked for once.
    fn take_inline_writer(&mut self) -> Option<Arc<dyn InlineWriter>>;

    /// Longest datagram in bytes that can be sent now; none where the link carries no datagrams. It may change with the
    /// path.
    fn datagram_bytes_max(&self) -> Option<usize> {
        None
    }

    /// Sends a datagram, which may get lost. Never waits: what there is no room for is dropped. So is one longer than
    /// [`Self::datagram_bytes_max`], which the transport counts; whoever sends asks first and takes a message instead.
    ///
    /// No session sends any yet: `state` frames will be the first to go this way.
    fn send_datagram(&mut self, datagram: Bytes) {
        drop(datagram);
    }

    /// Says why and closes. The caller bounds the time; dropping the link closes it at once.
    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()>;

    /// Closes without waiting for anything, for a peer that did not take in time what came before the goodbye. Says why where the
    /// transport can say it past what waits.
    fn close_now(&mut self, reason: CloseReason) {
        let _nothing_passes = reason;
    }
}

/// Sends messages past the driver: a broadcast then costs a connection the write and nothing else, no task to wake.
/// Whoever calls makes sure that the driver rests and that nothing waits before the message.
pub trait InlineWriter: fmt::Debug + Send + Sync {
    /// Sends one message if there is room for it now. Never waits for room.
    fn try_send(&self, message: &Broadcast) -> InlineWrite;
}

/// Transports that may frame broadcasts in one process, each with a slot of its own.
pub const FRAMINGS_MAX: usize = 2;

/// How one transport frames a message. A `static` of that transport.
#[derive(Debug)]
pub struct Framing {
    slot: usize,
    frame: fn(&Bytes) -> Bytes,
}

impl Framing {
    /// Has `frame` make the bytes that a broadcast keeps in `SLOT`, which no other transport uses. It lies below
    /// [`FRAMINGS_MAX`]: a larger one does not compile.
    pub const fn in_slot<const SLOT: usize>(frame: fn(&Bytes) -> Bytes) -> Self {
        const { assert!(SLOT < FRAMINGS_MAX) };
        Self { slot: SLOT, frame }
    }
}

/// One message for many connections: encoded once, and framed once for each kind of transport that it goes over. Making
/// one allocates nothing.
#[derive(Debug)]
pub struct Broadcast {
    message: Bytes,
    framed: [OnceLock<Bytes>; FRAMINGS_MAX],
}

impl Broadcast {
    /// A message for everybody.
    pub const fn new(message: Bytes) -> Self {
        Self {
            message,
            framed: [const { OnceLock::new() }; FRAMINGS_MAX],
        }
    }

    /// The message itself.
    pub const fn message(&self) -> &Bytes {
        &self.message
    }

    /// The message as `framing` makes it, once for all connections.
    pub fn framed(&self, framing: &Framing) -> &Bytes {
        self.framed[framing.slot].get_or_init(|| (framing.frame)(&self.message))
    }
}

/// What became of a message sent past the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InlineWrite {
    /// It is on its way.
    Sent,
    /// The link has the beginning, and may keep some of it. The driver must hand this rest, empty if the link has all, to
    /// [`Link::send_rest`] and flush before anything else.
    Partly(Bytes),
    /// Nothing of it was taken: it must be queued.
    Refused,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Network address, without the port.
    pub address: Address,
    /// What the transport calls itself. A label: nothing decides by it. Behind a reference, for there is one with each connection.
    pub transport: &'static &'static str,
    /// Whether the transport is encrypted.
    pub secure: bool,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static FRAMED: AtomicUsize = AtomicUsize::new(0);

    static COUNTED: Framing = Framing::in_slot::<0>(|message| {
        FRAMED.fetch_add(1, Ordering::Relaxed);
        [b"counted ", &message[..]].concat().into()
    });

    static OTHER: Framing =
        Framing::in_slot::<1>(|message| [b"other ", &message[..]].concat().into());

    #[test]
    fn each_transport_frames_a_broadcast_once() {
        let broadcast = Broadcast::new(Bytes::from_static(b"message"));
        for _ in 0..2 {
            assert_eq!(broadcast.framed(&COUNTED)[..], *b"counted message");
            assert_eq!(broadcast.framed(&OTHER)[..], *b"other message");
        }
        assert_eq!(FRAMED.load(Ordering::Relaxed), 1);
        assert_eq!(broadcast.message()[..], *b"message");
    }

    #[test]
    fn a_reason_to_close_has_the_number_of_whoever_gave_it() {
        let reason = CloseReason::Protocol(CloseCode::Flooding);
        assert_eq!(reason.number(), CloseCode::Flooding.number());
        assert_eq!(CloseReason::Transport(7).number(), 7);
    }
}
