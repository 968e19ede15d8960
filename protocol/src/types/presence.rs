//! Presence: who is there, and what they do.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// What others see of a player's connections, all devices together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No connection, or hidden.
    Offline,
    /// Connected.
    Online,
    /// Connected but away.
    Away,
    /// Does not want to be disturbed.
    Busy,
    /// In a match; set by the server.
    InGame,
}

/// A player's presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Presence {
    /// The player.
    pub user: UserId,
    /// Status.
    pub status: Status,
    /// A few words of the player's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Sets what others see of this connection's player, here and in each room. A client says it again in the hello of each later connection. With several devices, the last one to set it wins; it is
/// forgotten when the last connection closes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetPresence {
    /// `offline` hides the player; `in_game` can't be set.
    pub status: Status,
    /// At most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The presence of several players. Players who hide look offline, and so do those who blocked the caller or whom the caller blocked.
/// In a room that both are in, its `ListMembers` and `RoomPresence` show them all the same: rooms do not know blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetPresence {
    /// At most 100.
    pub users: Vec<UserId>,
}

/// Reply to [`GetPresence`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Presences {
    /// In the order asked for.
    pub presences: Vec<Presence>,
}

/// A friend's presence changed. Key: the player.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayerPresence {
    /// What it is now.
    pub presence: Presence,
}

/// Who is in a room now, blocked or not. At most a few per second for each room, however many come and go. Key: the room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomPresence {
    /// The room.
    pub room: RoomId,
    /// Players who have the room open and do not hide.
    pub online: u32,
    /// Members, online or not.
    pub members: u32,
    /// Those online by id, in rooms of at most 64 players online; page through `ListMembers` in larger ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<UserId>>,
}
