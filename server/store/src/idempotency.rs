//! Results of calls that carried an idempotency key.

use pitturu_protocol::ids::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The result of a keyed call, kept so that a repetition gets it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Number of the method.
    pub method: u16,
    /// Hash of the request's bytes, to refuse the key for another request.
    #[serde(with = "serde_bytes")]
    pub request_hash: [u8; 16],
    /// Body of the reply.
    #[serde(with = "serde_bytes")]
    pub reply: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// A caller's key in short: half of the SHA-256 of scope and key, so that nobody finds two that are the same.
pub fn key_id(scope: Option<UserId>, key: &str) -> [u8; 16] {
    // Ids are never empty, so the length of the scope tells the two apart.
    let scope = scope.as_ref().map_or(&[][..], |user| user.as_bytes());
    let length = [u8::try_from(scope.len()).expect("an id has ten bytes")];
    let digest = Sha256::new_with_prefix(length)
        .chain_update(scope)
        .chain_update(key);
    let whole: [u8; 32] = digest.finalize().into();
    *whole.first_chunk().expect("it is longer")
}
