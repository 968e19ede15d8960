//! Rooms whose ids follow from who makes them, so that whoever asks again finds the same one.

use pitturu_protocol::ids::{ID_BYTES, RoomId, UserId};
use sha2::{Digest, Sha256};

fn derived(parts: &[&[u8]]) -> RoomId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; ID_BYTES];
    bytes.copy_from_slice(&digest[..ID_BYTES]);
    RoomId::from_bytes(bytes)
}

/// The direct room of two players, whoever asks.
pub fn direct_room(one: UserId, other: UserId) -> RoomId {
    derived(&[
        b"direct",
        one.min(other).as_bytes(),
        one.max(other).as_bytes(),
    ])
}

/// The room that a player makes under an idempotency key: a repetition meets the same room, and so does another request under
/// the same key, which the room refuses.
pub fn keyed_room(user: UserId, key: &str) -> RoomId {
    derived(&[b"room", user.as_bytes(), key.as_bytes()])
}
