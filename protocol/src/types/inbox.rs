//! The inbox: a durable stream for each player, of what others did that concerns them. Entries come a moment after the reply
//! to whoever caused them, once each, also when a server ended in between.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};
use crate::types::accounts::Role;
use crate::types::chat::MemberRole;

/// One more entry in the player's inbox, which keeps 1,000: of one player's doing the newest 10, or of a friend's 100, and of all
/// who are no friends 250. What a blocked player does leaves none. It comes a moment after the reply to the call that
/// caused it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InboxAdded {
    /// Sequence in the inbox: dense, from 1.
    pub seq: u64,
    /// When.
    pub at: u64,
    /// What.
    pub entry: InboxEntry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InboxEntry {
    /// A player asks for friendship.
    FriendRequested {
        /// Who asks.
        user: UserId,
        /// Their display name.
        name: String,
    },
    /// A player agreed to be friends.
    FriendAccepted {
        /// Who agreed.
        user: UserId,
        /// Their display name.
        name: String,
    },
    /// A friendship or request has ended, or the other could not take it.
    FriendRemoved {
        /// The other player.
        user: UserId,
    },
    /// An invitation to a private room.
    RoomInvited {
        /// The room.
        room: RoomId,
        /// Its name.
        name: String,
        /// Who invites.
        by: UserId,
    },
    /// Someone opened a direct room with the player.
    DirectOpened {
        /// The room.
        room: RoomId,
        /// The other player.
        user: UserId,
        /// Their display name.
        name: String,
    },
    /// The player was put out of a room.
    RoomKicked {
        /// The room.
        room: RoomId,
        /// By whom.
        by: UserId,
        /// Their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The player was banned from a room.
    RoomBanned {
        /// The room.
        room: RoomId,
        /// By whom.
        by: UserId,
        /// Until when; absent for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The player may not write in a room for a time, or may again.
    RoomMuted {
        /// The room.
        room: RoomId,
        /// By whom.
        by: UserId,
        /// Until when; 0 when the mute was lifted.
        until: u64,
    },
    /// The player's role in a room changed.
    RoomRoleChanged {
        /// The room.
        room: RoomId,
        /// By whom.
        by: UserId,
        /// The new role.
        role: MemberRole,
    },
    /// A room that the player was in was deleted.
    RoomDeleted {
        /// The room.
        room: RoomId,
        /// Its name.
        name: String,
        /// By whom.
        by: UserId,
    },
    /// A player gave points.
    PointsReceived {
        /// Who.
        user: UserId,
        /// How many.
        amount: u64,
        /// Their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Points that the player gave came back: the other could not take them.
    PointsReturned {
        /// The other player.
        user: UserId,
        /// How many.
        amount: u64,
    },
    /// A season of a leaderboard has ended, and the player is among the best whom it tells.
    SeasonPlaced {
        /// The leaderboard.
        board: String,
        /// Number of the season.
        season: u64,
        /// The place, from 1.
        rank: u32,
        /// Players who had a score.
        count: u32,
        /// The player's score.
        score: i64,
        /// Points that rules have given for it. Items that they have given are among the player's changes of items.
        points: u64,
    },
    /// The player's role changed.
    RoleChanged {
        /// The new role.
        role: Role,
    },
    /// The player was suspended.
    Suspended {
        /// When it ends by itself; absent if it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Why.
        reason: String,
    },
    /// The player may not write anywhere.
    Muted {
        /// When it ends by itself; absent if it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        /// Why.
        reason: String,
    },
    /// The player may write again.
    Unmuted,
    /// The staff has changed what the player shows of themselves.
    ProfileReset {
        /// Why.
        reason: String,
    },
    /// An entry of a newer server.
    #[serde(other)]
    Unknown,
}
