//! What one entity tells another.

use crate::boards::{Placement, SeasonOf};
use crate::friends::FriendSignal;
use crate::items::ItemsSignal;
use crate::points::PointsSignal;
use crate::rewards::Play;
use pitturu_protocol::ids::{RoomId, UserId};
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
    /// How a room stands in the player's list of rooms.
    Room {
        /// The room.
        room: RoomId,
        /// How; absent if it is not in the list.
        listed: Option<Listed>,
    },
    /// From another player.
    Friend(FriendSignal),
    /// From another player's books.
    Points(PointsSignal),
    /// From a leaderboard whose season has ended: the player's place.
    Placed(Placement),
    /// From the stock of an item.
    Items(ItemsSignal),
    /// From a match: the player has played it.
    Played {
        /// What was played, and how it came out.
        play: Play,
        /// When it ended, in milliseconds since 1970.
        at: u64,
    },
    /// From who keeps roles: the player's role is this one.
    Role {
        /// The role.
        role: Role,
        /// When it was decided, in milliseconds since 1970.
        at: u64,
    },
}

/// How a room came into a player's list of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listed {
    /// The player made it, joined it, or took up what was offered: it counts against their own limit.
    Own,
    /// This player has invited them.
    Invited(UserId),
    /// This player has opened a direct room with them, and they have not written in it yet.
    Direct(UserId),
}

impl Listed {
    /// Whose offer it is, if it is none of the player's own.
    pub const fn offered_by(&self) -> Option<UserId> {
        match self {
            Self::Own => None,
            Self::Invited(by) | Self::Direct(by) => Some(*by),
        }
    }
}

/// What a direct room is told by its two players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomSignal {
    /// The sender blocks the other from now on.
    Blocked,
    /// The sender no longer does.
    Unblocked,
}

/// What a season of a leaderboard is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoardSignal {
    /// A player has reached a score. The sender picks the season by `at`; one that is closed passes it on to the next.
    Score {
        /// The season that is told.
        of: SeasonOf,
        /// The player.
        player: UserId,
        /// The score.
        score: i64,
        /// What the game wants to show with it; empty for nothing.
        metadata: String,
        /// When, in milliseconds since 1970.
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
