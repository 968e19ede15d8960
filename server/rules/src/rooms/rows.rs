//! What is stored of a room.

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::{SLOW_MODE_MS_MAX, TIME_MS_MAX};
use pitturu_protocol::ranges::Ranged as _;
use pitturu_protocol::types::chat::{MemberRole, Message, Retention, RoomKind};
use serde::{Deserialize, Serialize};

/// Deleted messages that a room remembers beside the messages, so that they are not counted as unread.
pub const DELETED_KEPT: usize = 10_000;

/// A room's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomRow {
    /// The room.
    pub room: RoomId,
    /// Who may find and enter it. Never changes.
    pub kind: RoomKind,
    /// Name.
    pub name: String,
    /// The claimed handle, in the form in which it is unique.
    #[serde(default)]
    pub handle: Option<String>,
    /// What it is about.
    #[serde(default)]
    pub topic: Option<String>,
    /// Milliseconds between two messages of a member; 0 for none.
    #[serde(default)]
    pub slow_mode_ms: u32,
    /// What is kept.
    #[serde(default)]
    pub retention: Retention,
    /// When it was created, in milliseconds since 1970.
    pub created_at: u64,
    /// The two players of a direct room.
    #[serde(default)]
    pub peers: Option<[UserId; 2]>,
    /// Set to delete the room. Its rows go in the background; after that the room is unknown.
    #[serde(default)]
    pub deleted: bool,
}

/// How a player stands to a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Belongs to it.
    Member,
    /// May join.
    Invited,
    /// Is kept out.
    Banned {
        /// By whom.
        by: UserId,
        /// Until when; absent for good.
        until: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// Nothing: writing it removes the row. Never read back.
    Left,
}

/// One player's place in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The player.
    pub user: UserId,
    /// Role.
    pub role: MemberRole,
    /// How they stand to the room.
    pub state: MemberState,
    /// Read marker.
    #[serde(default)]
    pub read: u64,
    /// May not write until then.
    #[serde(default)]
    pub muted_until: Option<u64>,
    /// Since when, in milliseconds since 1970: to be shown.
    pub joined_at: u64,
    /// Place in the order in which players came to stand to the room as they do, by which the oldest is found. A clock would do for
    /// as long as nobody sets it.
    pub number: u64,
    /// Who invited them, or opened the direct room, as long as they have not taken it up by joining or writing.
    #[serde(default)]
    pub invited_by: Option<UserId>,
    /// They were kept out without ever having been let in: they may not know a room that is not public.
    #[serde(default)]
    pub unasked: bool,
}

/// What limits a player in a room, whether or not they are in it. Kept apart from [`MemberRow`], which goes when they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SanctionRow {
    /// The player.
    pub user: UserId,
    /// May not write until then.
    #[serde(default)]
    pub muted_until: Option<u64>,
    /// When they last put a text into the room while it was in slow mode; 0 for never.
    #[serde(default)]
    pub wrote_at: u64,
}

impl SanctionRow {
    /// Nothing limits the player.
    pub const fn none(user: UserId) -> Self {
        Self {
            user,
            muted_until: None,
            wrote_at: 0,
        }
    }

    /// The row as it was stored, with each number in its range: older rows may hold more than clients can read.
    #[must_use]
    pub fn in_range(mut self) -> Self {
        self.muted_until = self.muted_until.map(|until| until.min(TIME_MS_MAX));
        self
    }

    /// Whether it still limits the player, while slow mode asks for this pause.
    pub fn matters(&self, pause_ms: u64, now: u64) -> bool {
        self.muted_until.is_some_and(|until| until > now) || self.pause_left(pause_ms, now) > 0
    }

    /// Milliseconds that are left of this pause of slow mode. A text from a time still to come is none: the clock was set back.
    pub fn pause_left(&self, pause_ms: u64, now: u64) -> u64 {
        match self.wrote_at {
            0 => 0,
            at if at > now => 0,
            at => at.saturating_add(pause_ms).saturating_sub(now),
        }
    }
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRow {
    /// The message.
    pub msg: Message,
    /// Revision of the newest change to it; 0 for none.
    #[serde(default)]
    pub rev: u64,
    /// Players who wrote shortly before, and how many messages before this one, as far as their places do not say so. Of
    /// use while this is the newest message: see [`super::markers`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<(UserId, u64)>,
}

/// A change to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Place among the changes of the room: dense, from 1.
    pub rev: u64,
    /// The room's head when it happened.
    pub at_seq: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The text was replaced. The message has the text as it is now; no other one is kept.
    Edited {
        /// The message.
        seq: u64,
    },
    /// It was deleted.
    Deleted {
        /// The message.
        seq: u64,
        /// By whom.
        by: UserId,
    },
    /// Its author's account was erased.
    AuthorErased {
        /// The message.
        seq: u64,
    },
    /// A reaction was added or taken back.
    Reacted {
        /// The message.
        seq: u64,
        /// Whose.
        user: UserId,
        /// Emoji or short code.
        emoji: String,
        /// True added, false took back.
        on: bool,
        /// How many now react with it.
        count: u32,
    },
}

impl Change {
    /// The message that changed.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Edited { seq }
            | Self::Deleted { seq, .. }
            | Self::AuthorErased { seq }
            | Self::Reacted { seq, .. } => *seq,
        }
    }
}

/// The reactions of one player to one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReactionRow {
    /// The player.
    pub user: UserId,
    /// Emoji and short codes.
    pub emoji: Vec<String>,
}

/// A room with all its members, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRoom {
    /// Settings. If `deleted`, there are no members and the room takes no writes.
    pub row: RoomRow,
    /// Members, invited and banned players, in the order of their ids.
    pub members: Vec<MemberRow>,
    /// What limits players, in the order of their ids.
    pub sanctions: Vec<SanctionRow>,
    /// Sequences of deleted messages, ascending: the newest [`DELETED_KEPT`] that are kept.
    pub deleted: Vec<u64>,
    /// Sequence of the newest message; 0 before the first.
    pub head: u64,
    /// Revision of the newest change; 0 before the first.
    pub rev: u64,
    /// Oldest message that is kept; `head + 1` when none is.
    pub first: u64,
    /// Oldest change that is kept; `rev + 1` when none is.
    pub changes_first: u64,
    /// The newest message, unless retention has removed it.
    pub last: Option<MessageRow>,
    /// When the newest message was sent, 0 before the first. The next one is not before it.
    pub last_at: u64,
}

/// The rows that one action in a room changes: all of them are stored, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomRows {
    /// The settings, when the room is created or they changed. The lists of rooms follow.
    pub row: Option<RoomRow>,
    /// The settings before, when they changed.
    pub row_before: Option<RoomRow>,
    /// How many players are in state [`MemberState::Member`], when that changed.
    pub joined: Option<u32>,
    /// Places that changed.
    pub members: Vec<MemberRow>,
    /// Limits that changed; one that has run out is removed.
    pub sanctions: Vec<(UserId, Option<SanctionRow>)>,
    /// Sequences that are noted as deleted, or no longer.
    pub deleted: Vec<(u64, bool)>,
    /// The next message: its sequence is the stored head plus one.
    pub message: Option<MessageRow>,
    /// Messages that were there and have changed. One that retention has removed meanwhile stays removed.
    pub updated: Vec<MessageRow>,
    /// The next change: its revision is the stored one plus one.
    pub change: Option<ChangeRow>,
    /// Message, player, and all that the player now reacts with; nothing removes the row.
    pub reactions: Vec<(u64, UserId, Vec<String>)>,
}

impl MemberState {
    /// Whether the player's list of rooms shows a room where they stand so.
    pub const fn is_listed(&self) -> bool {
        matches!(self, Self::Member | Self::Invited)
    }

    /// Whether it says something at this time: a ban that is over does not.
    pub fn is_in_force(&self, now: u64) -> bool {
        match self {
            Self::Member | Self::Invited => true,
            Self::Banned { until, .. } => until.is_none_or(|until| until > now),
            Self::Left => false,
        }
    }
}

impl RoomRow {
    /// The row as it was stored, with each number in its range: older rows may hold more than clients can read.
    #[must_use]
    pub fn in_range(mut self) -> Self {
        self.retention.clamp();
        self.slow_mode_ms = self.slow_mode_ms.min(SLOW_MODE_MS_MAX);
        self.created_at = self.created_at.min(TIME_MS_MAX);
        self
    }
}

impl MemberRow {
    /// The row as it was stored, with each number in its range: older rows may hold more than clients can read.
    #[must_use]
    pub fn in_range(mut self) -> Self {
        self.muted_until = self.muted_until.map(|until| until.min(TIME_MS_MAX));
        self.joined_at = self.joined_at.min(TIME_MS_MAX);
        if let MemberState::Banned { until, .. } = &mut self.state {
            *until = until.map(|until| until.min(TIME_MS_MAX));
        }
        self
    }
}

impl RoomRows {
    /// Whether nothing would change.
    pub const fn is_empty(&self) -> bool {
        self.row.is_none()
            && self.members.is_empty()
            && self.sanctions.is_empty()
            && self.deleted.is_empty()
            && self.message.is_none()
            && self.updated.is_empty()
            && self.change.is_none()
            && self.reactions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_hold_more_than_clients_read_come_into_range() {
        let user = UserId::from_bytes([1; 10]);
        let member = MemberRow {
            user,
            role: MemberRole::Member,
            state: MemberState::Banned {
                by: user,
                until: Some(u64::MAX),
                reason: None,
            },
            read: 0,
            muted_until: Some(u64::MAX),
            joined_at: u64::MAX,
            number: 0,
            invited_by: None,
            unasked: false,
        }
        .in_range();
        assert_eq!(member.muted_until, Some(TIME_MS_MAX));
        assert_eq!(member.joined_at, TIME_MS_MAX);
        assert!(matches!(
            member.state,
            MemberState::Banned {
                until: Some(TIME_MS_MAX),
                ..
            }
        ));
        let room = RoomRow {
            room: RoomId::from_bytes([1; 10]),
            kind: RoomKind::Public,
            name: "Lobby".into(),
            handle: None,
            topic: None,
            slow_mode_ms: u32::MAX,
            retention: Retention {
                age_ms: Some(u64::MAX),
                messages: Some(0),
            },
            created_at: 7,
            peers: None,
            deleted: false,
        }
        .in_range();
        let muted = SanctionRow {
            muted_until: Some(u64::MAX),
            ..SanctionRow::none(user)
        };
        assert_eq!(muted.in_range().muted_until, Some(TIME_MS_MAX));
        assert_eq!(room.retention.check(), Ok(()));
        assert_eq!((room.slow_mode_ms, room.created_at), (SLOW_MODE_MS_MAX, 7));
    }
}
