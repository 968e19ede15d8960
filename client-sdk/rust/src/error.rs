//! Why a call failed, and whether to repeat it.

use pitturu_protocol::client::Refused;
use pitturu_protocol::codec::InvalidBody;
use pitturu_protocol::codes::{Code, Fault, Retry};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server refused it, or no answer came in time ([`Code::Deadline`], [`Code::Disconnected`]), or it needs a player and
    /// nobody is signed in or being signed in ([`Code::Unauthenticated`]).
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It was not sent: too many calls wait, or it is too long.
    #[error(transparent)]
    NotTaken(#[from] Refused),
    /// The client has been closed, or the server has sent it away for good.
    #[error("the client is closed")]
    Closed,
    /// The server's reply does not fit the method: the versions of client and server do not fit.
    #[error("malformed reply: {0}")]
    Reply(#[from] InvalidBody),
}

impl CallError {
    /// Whether the same call can succeed later, and after what.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Fault(fault) => fault.code.retry(),
            Self::NotTaken(Refused::QueueFull) => Retry::Later,
            Self::NotTaken(_) | Self::Closed | Self::Reply(_) => Retry::Never,
        }
    }

    /// How long to wait before trying again, in milliseconds, if the server said so.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Fault(fault) => fault.retry_after_ms,
            _ => None,
        }
    }

    /// The server's code, if it was the server that refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Fault(fault) => Some(fault.code),
            _ => None,
        }
    }
}
