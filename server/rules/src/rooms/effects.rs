//! What a room's rules ask for.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::chat::{EphemeralSent, LostReason, Message};
use pitturu_protocol::types::inbox::InboxEntry;

use super::rows::{ChangeRow, RoomRows};

/// Something to tell, once the write that belongs to it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEvent {
    /// A message entered the room's order.
    Sent(Message),
    /// Something was said that is not stored.
    Said(EphemeralSent),
    /// A message changed. The second part is the message as it is now.
    Changed(ChangeRow, Message),
    /// The settings changed.
    Updated,
    /// Members came or went.
    MembersMoved,
    /// A player no longer belongs to the room: their connections lose it.
    Lost(UserId, LostReason),
    /// Everybody loses the room.
    Deleted,
    /// A read marker moved.
    ReadMoved(UserId, u64),
}

/// What a call changes: rows for the store, all in one atomic write, and what to tell after it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Rows to store.
    pub rows: RoomRows,
    /// What to tell, in order.
    pub events: Vec<RoomEvent>,
}

impl Effects {
    /// Puts an entry into a player's inbox, in the same write.
    pub(super) fn tell(&mut self, user: UserId, at: u64, entry: InboxEntry) {
        self.rows.inbox.push((user, entry, at));
    }
}
