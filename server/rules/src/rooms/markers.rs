//! Read markers that sending moves.
//!
//! Whoever sends has read what came before. Storing that with each message as the sender's place would be one row more per
//! message, so the newest message's row says it instead: of its own sender, and of the last few before. A place is stored
//! for that reason only when more members than these write by turns. Whoever reads a place takes the newest message into
//! account ([`MemberRow::with_newest`]).

use std::collections::{BTreeMap, VecDeque};

use pitturu_protocol::ids::UserId;

use super::rows::{MemberRow, MessageRow};

/// Markers that a message's row says beside its own sender's. A circle of friends that writes by turns stores no places; each
/// costs 19 bytes in each message, while the player has written less than 128 messages before.
pub const MOVED_MAX: usize = 15;

/// The markers that the newest message's row says, and the places in the store do not: the longest ago first.
#[derive(Debug, Default)]
pub(super) struct MovedMarkers(VecDeque<(UserId, u64)>);

impl MovedMarkers {
    /// Those that the newest message says.
    pub(super) fn load(newest: Option<&MessageRow>) -> Self {
        Self(newest.into_iter().flat_map(markers).collect())
    }

    /// Moves the places of those who wrote.
    pub(super) fn apply(&self, members: &mut BTreeMap<UserId, MemberRow>) {
        for (user, seq) in &self.0 {
            if let Some(row) = members.get_mut(user) {
                row.read = row.read.max(*seq);
            }
        }
    }

    /// A player sends a message under this sequence. Returns whose marker no longer finds a place.
    pub(super) fn sends(&mut self, user: UserId, seq: u64) -> Option<UserId> {
        self.is_stored(user);
        self.0.push_back((user, seq));
        if self.0.len() > MOVED_MAX + 1 {
            return self.0.pop_front().map(|(user, _)| user);
        }
        None
    }

    /// The player's place is stored as it is now, or ends.
    pub(super) fn is_stored(&mut self, user: UserId) {
        self.0.retain(|(held, _)| *held != user);
    }

    /// Whose places are to be stored, because the newest message goes.
    pub(super) fn take(&mut self) -> impl Iterator<Item = UserId> + use<> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|(user, _)| user)
    }

    /// What the row of the newest message, which is this one, has to say.
    pub(super) fn beside(&self, newest: u64) -> Vec<(UserId, u64)> {
        let others = self.0.iter().filter(|(_, seq)| *seq < newest);
        others.map(|(user, seq)| (*user, newest - seq)).collect()
    }
}

impl MemberRow {
    /// The place as it is, after what the room's newest message says of the read marker.
    #[must_use]
    pub fn with_newest(mut self, newest: Option<&MessageRow>) -> Self {
        let moved = newest.into_iter().flat_map(markers);
        let moved = moved.filter(|(user, _)| *user == self.user);
        self.read = moved.fold(self.read, |read, (_, seq)| read.max(seq));
        self
    }
}

/// The markers that a message says while it is the newest: the longest ago first.
fn markers(row: &MessageRow) -> impl Iterator<Item = (UserId, u64)> {
    let newest = row.msg.seq;
    let others = row.moved.iter();
    let others = others.map(move |(user, before)| (*user, newest.saturating_sub(*before)));
    others.chain([(row.msg.from, newest)])
}
