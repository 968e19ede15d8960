//! Results kept under idempotency keys.

use serde::{Deserialize, Serialize};

/// The first result of a call that carried an idempotency key, stored in the same commit as its effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Number of the method.
    pub method: u16,
    /// First 16 bytes of the SHA-256 of the encoded request: another request under the same key is refused.
    pub request_hash: [u8; 16],
    /// Encoded reply.
    #[serde(with = "serde_bytes")]
    pub reply: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}
