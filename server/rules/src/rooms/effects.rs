//! What a room's rules ask for.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::chat::{EphemeralSent, LostReason, Message, RoomInfo};
use pitturu_protocol::types::inbox::InboxEntry;

use super::rows::{ChangeRow, RoomRows};
use crate::audit_log::Note;
use crate::signals::PlayerSignal;

/// Something to tell, once the commit that belongs to it is durable, as it was when it was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEvent {
    /// A message entered the room's order.
    Sent(Message),
    /// Something was said that is not stored.
    Said(EphemeralSent),
    /// A message changed. The second part is the message as it is now.
    Changed(ChangeRow, Message),
    /// The settings are now these. Not of direct rooms, which show themselves to each player in another way.
    Updated(RoomInfo),
    /// Members came or went, and are now so many.
    MembersMoved(u32),
    /// A player no longer belongs to the room: their connections lose it.
    Lost(UserId, LostReason),
    /// Everybody loses the room.
    Deleted,
    /// A read marker moved.
    ReadMoved(UserId, u64),
}

/// What a call changes: rows of the room and signals to players, all in one commit, and what to tell after it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Rows to store.
    pub rows: RoomRows,
    /// What players are told, whether or not they are online.
    pub signals: Vec<(UserId, PlayerSignal)>,
    /// What the audit log is told.
    pub notes: Vec<Note>,
    /// What to tell the followers, in order.
    pub events: Vec<RoomEvent>,
}

impl Effects {
    /// Whether there is anything to store. Without it a repetition is decided anew.
    pub fn changes_anything(&self) -> bool {
        !self.rows.is_empty() || !self.signals.is_empty() || !self.notes.is_empty()
    }

    /// Puts an entry into a player's inbox.
    pub(super) fn tell(&mut self, user: UserId, at: u64, entry: InboxEntry) {
        self.signals.push((user, PlayerSignal::Inbox { entry, at }));
    }
}
