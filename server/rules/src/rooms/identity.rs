//! Rooms that whoever asks again finds: by an id that follows from who makes them, or by a handle.

use std::fmt;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, RoomId, UserId};
use pitturu_protocol::limits::ROOM_NAME_BYTES_MAX;
use pitturu_text::fold::room_name;
use pitturu_text::refusal::{Refusal, Rule};
use sha2::{Digest, Sha256};

/// Derives ids of rooms from who makes them, by a secret of the server: nobody else can tell the id of a room of others, and so
/// find out whether there is one.
#[derive(Clone)]
pub struct RoomIds([u8; 32]);

impl fmt::Debug for RoomIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomIds")
    }
}

impl RoomIds {
    /// Ids by this secret, which is never another one for the same rooms.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The direct room of two players, whoever asks.
    pub fn direct(&self, one: UserId, other: UserId) -> RoomId {
        self.derived(&[
            b"direct",
            one.min(other).as_bytes(),
            one.max(other).as_bytes(),
        ])
    }

    /// The room that a player makes under an idempotency key: a repetition meets the same room, and so does another request under
    /// the same key, which the room refuses.
    pub fn keyed(&self, user: UserId, key: &str) -> RoomId {
        self.derived(&[b"room", user.as_bytes(), key.as_bytes()])
    }

    /// The secret has a fixed length, and every part its length before it; half of the hash is not told, so it can't be continued.
    fn derived(&self, parts: &[&[u8]]) -> RoomId {
        let mut hash = Sha256::new_with_prefix(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(&digest[..ID_BYTES]);
        RoomId::from_bytes(bytes)
    }
}

/// A name by which a room is addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// As it was first written: the new room's name.
    pub shown: String,
    /// The form under which it is claimed: two handles with the same one are the same.
    pub key: String,
}

impl Handle {
    /// The handle that was written so, as a room may be named.
    ///
    /// # Errors
    /// `InvalidArgument` by the rule `long`: a few characters are many in the form that is claimed, which others get to see.
    pub fn new(shown: String) -> Result<Self, Fault> {
        let key = room_name(&shown);
        if key.len() > ROOM_NAME_BYTES_MAX {
            let takes = format!("At most {ROOM_NAME_BYTES_MAX} bytes once it is folded.");
            return Err(Refusal::new(Rule::Long, &takes).fault("handle"));
        }
        Ok(Self { shown, key })
    }
}
