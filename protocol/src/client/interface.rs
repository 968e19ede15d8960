//! What goes into the machine at its beginning, and what comes out of it.

use bytes::Bytes;

use crate::backoff::BackOff;
use crate::codec::InvalidBody;
use crate::codes::Fault;
use crate::frame::{InvalidFrame, Missing, Stream};
use crate::ids::RoomId;
use crate::types::accounts::Identity;
use crate::types::system::Resume;

#[cfg(doc)]
use super::ClientConnection;
use super::{Ticket, Tokens};

/// What a client begins with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name and version of the client library, for the server's logs.
    pub sdk: String,
    /// Tokens kept from an earlier run.
    pub tokens: Tokens,
    /// Whether the tokens are kept where others may change them as well. The machine then asks for them by
    /// [`Output::ReadTokens`] at its beginning, where they replace `tokens`, and each time before it uses the refresh token.
    pub reads_tokens: bool,
    /// Streams to follow from the first sign-in on, with cursors kept from an earlier run and their epoch. Without `inbox` the inbox is
    /// not followed at all; 0 follows it from its beginning.
    pub resume: Resume,
    /// Waits between attempts to connect, and before repeating a call that was refused without a time to wait.
    pub back_off: BackOff,
    /// How long it may take from [`Output::Connect`] to the server's welcome.
    pub handshake_ms: u64,
    /// Whether the server's clock is measured, by a few calls of [`Echo`](crate::types::system::Echo) at the beginning of each connection
    /// and one after each ping.
    pub measures_clock: bool,
    /// A connection that has lasted this long after its welcome makes the waits begin at the shortest again.
    pub stable_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sdk: "unnamed".into(),
            tokens: Tokens::default(),
            reads_tokens: false,
            resume: Resume::default(),
            back_off: BackOff::default(),
            handshake_ms: 10_000,
            measures_clock: false,
            stable_ms: 5_000,
        }
    }
}

/// Where the client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// No connection. The next attempt begins at `retry_at`; absent before [`ClientConnection::start`].
    Offline {
        /// Time of the next attempt.
        retry_at: Option<u64>,
    },
    /// A connection is being made.
    Connecting,
    /// Connected; what was missed has not all arrived, or the player is being signed in again.
    CatchingUp,
    /// Connected, and up to date.
    Online,
    /// Closed for good: by [`ClientConnection::stop`], or by the server with this code.
    Stopped {
        /// The server's close code.
        code: Option<u16>,
    },
}

/// What the machine wants done or known, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a socket; then say [`ClientConnection::connected`] or [`ClientConnection::disconnected`].
    Connect,
    /// Close the socket, or stop opening it, with this close code. The machine already counts it as gone.
    Close(u16),
    /// The other connection, which [`ClientConnection::hand_over`] has begun, is the present one from here on, and the present one, if
    /// it is still there, the other: the driver's sockets change their roles before anything more is sent.
    TakeOver,
    /// Close the other socket of a handover with this close code. The machine already counts it as gone.
    CloseOther(u16),
    /// Where the client stands has changed.
    Connection(Connection),
    /// A call has ended: with the encoded reply of its method, or with a fault.
    Answer {
        /// Which call.
        ticket: Ticket,
        /// How.
        result: Result<Bytes, Fault>,
    },
    /// Something happened. Entries of streams come in order and once.
    Event {
        /// Number of the event; may be one that this version does not know.
        event: u16,
        /// Encoded event.
        body: Bytes,
    },
    /// An event came that can't be read: it does not fit what this version knows of it, and is stepped over.
    Unreadable {
        /// Number of the event.
        event: u16,
        /// Encoded event.
        body: Bytes,
        /// What is wrong with it.
        why: InvalidBody,
    },
    /// A frame came that can't be read. It is stepped over, unless [`Output::Close`] follows: the connection could not go on.
    UnreadableFrame {
        /// Name of its kind, or `frame` when that can't be read either.
        frame: &'static str,
        /// What is wrong with it.
        why: InvalidFrame,
    },
    /// Client and server do not fit: the server is newer, older or wrong. What was asked of it goes on without, unless
    /// [`Output::Close`] follows.
    Mismatch {
        /// What does not fit, for people to read.
        why: String,
    },
    /// Part of a stream no longer exists, can't be read, or was left out by the server for good. The cursor is after it. One that begins
    /// at 1 may take in what was handed up before: the server has restored a backup, and what is there is to be read anew.
    Gap {
        /// The stream.
        stream: Stream,
        /// What is missing.
        missing: Missing,
        /// First missing sequence or revision.
        from: u64,
        /// Last missing sequence or revision.
        to: u64,
    },
    /// The server would not open a followed stream again, so it is not followed any more.
    StreamLost {
        /// The stream.
        stream: Stream,
        /// Why.
        fault: Fault,
    },
    /// State of a match.
    State {
        /// The match's room.
        room: RoomId,
        /// The tick.
        tick: u64,
        /// The game's own encoding.
        data: Bytes,
    },
    /// The connection is signed in. Comes with each welcome and each new token.
    SignedIn(Identity),
    /// Read the kept tokens; then say [`ClientConnection::tokens_read`]. Comes only with [`Config::reads_tokens`].
    ReadTokens,
    /// The tokens are others now: keep them for the next run.
    Tokens(Tokens),
    /// The player is signed out, and must sign in anew: by a call of theirs, or because the server refused the tokens.
    SignedOut(Option<Fault>),
    /// A fault about the connection itself; a close follows.
    Fault(Fault),
}

/// Counts since the machine was made, for diagnosis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that were welcomed.
    pub welcomes: u64,
    /// Those of them that have taken over from another one.
    pub handovers: u64,
    /// Times that something was missing from a stream without a gap frame.
    pub holes: u64,
    /// Events and other frames that could not be read, but for replies and refusals.
    pub unreadable: u64,
    /// Times that a stream was cut because the owner had paused.
    pub cuts: u64,
}
