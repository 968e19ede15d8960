//! How messages lie in the bytes of a connection.

use super::incoming::{Incoming, Malformed};
use super::{lengths, websocket};

/// How messages lie in the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// As WebSocket has them.
    WebSocket,
    /// Each behind its length.
    Lengths,
}

impl Framing {
    /// Appends one message.
    pub(super) fn append(self, out: &mut Vec<u8>, payload: &[u8]) {
        match self {
            Self::WebSocket => websocket::append_message(out, payload),
            Self::Lengths => lengths::append_message(out, payload),
        }
    }

    /// The first message of `bytes` and what follows; none when it has not come whole.
    pub(super) fn read(self, bytes: &[u8]) -> Result<Option<(Incoming<'_>, &[u8])>, Malformed> {
        match self {
            Self::WebSocket => websocket::read_message(bytes),
            Self::Lengths => lengths::read_message(bytes),
        }
    }
}
