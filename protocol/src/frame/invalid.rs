//! Why bytes are not a frame.

use super::CallId;
use crate::codec;
use crate::ids::InvalidId;
use crate::limits::{FRAME_BYTES_MAX, KEY_BYTES_MAX};
use crate::scan::Malformed;

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// Not well-formed MessagePack, or not the frame's layout.
    #[error("malformed frame: {0}")]
    Malformed(#[from] Malformed),
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame is at most {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// A kind that this side does not receive.
    #[error("unknown frame kind {0}")]
    Kind(u64),
    /// A call whose request holds an integer beyond [`INTEGER_MAX`](crate::limits::INTEGER_MAX). Nothing else is wrong with
    /// the frame, so that only this call need be refused.
    #[error("{field}: {}", Malformed::Integer)]
    Integer {
        /// Number of the call.
        call: CallId,
        /// Number of its method.
        method: u16,
        /// Where in the request the integer stands, written as `field.inner`.
        field: String,
        /// Length of the frame.
        frame_bytes: usize,
    },
    /// An idempotency key that is empty or longer than [`KEY_BYTES_MAX`].
    #[error("an idempotency key is 1 to {KEY_BYTES_MAX} bytes")]
    Key,
    /// A body of hello, welcome, fault or goaway that does not fit its type.
    #[error("malformed body: {0}")]
    Body(#[from] codec::InvalidBody),
    /// A stream that is neither a room's id nor `inbox`.
    #[error("unknown stream: {0}")]
    Stream(#[from] InvalidId),
}
