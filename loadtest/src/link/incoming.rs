//! What is read from a connection.

/// Longest payload accepted, far above the protocol's limit.
pub(super) const PAYLOAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A message that came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A binary message.
    Binary(&'a [u8]),
    /// A close frame with its code.
    Closed(Option<u16>),
    /// A ping of the transport.
    Ping(&'a [u8]),
    /// A pong of the transport.
    Pong,
}

/// What no server of ours sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A part of a message.
    #[error("a fragmented message")]
    Fragment,
    /// A masked message.
    #[error("a masked message from a server")]
    Masked,
    /// An opcode other than binary, close, ping, pong.
    #[error("opcode {0}")]
    Opcode(u8),
    /// A length beyond all limits.
    #[error("a message of {0} bytes")]
    TooLong(u64),
}
