//! What one entity tells another.

use crate::friends::FriendSignal;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::inbox::InboxEntry;
use serde::{Deserialize, Serialize};

/// What a player is told by others: rooms, other players, and who keeps roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayerSignal {
    /// An entry for the inbox.
    Inbox {
        /// The entry.
        entry: InboxEntry,
        /// When it happened, in milliseconds since 1970.
        at: u64,
    },
    /// Whether a room belongs into the player's list of rooms: they are a member, or invited.
    Room {
        /// The room.
        room: RoomId,
        /// Whether it does.
        is_listed: bool,
    },
    /// From another player.
    Friend(FriendSignal),
    /// From who keeps roles: the player's role is this one.
    Role {
        /// The role.
        role: Role,
        /// When it was decided, in milliseconds since 1970.
        at: u64,
    },
}

/// What who keeps roles is told by players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffSignal {
    /// The configuration has given the sender this role.
    Configured {
        /// The role.
        role: Role,
        /// When, in milliseconds since 1970.
        at: u64,
    },
}
