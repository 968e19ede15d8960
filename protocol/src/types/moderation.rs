//! Order in the whole product: what moderators and admins decide about players, and what players hear of it.
//!
//! A moderator acts on players. An admin also acts on moderators and servers of the game, but on no admin: take the role away
//! first. Whoever is concerned is told the reason, and never by whom.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};
use crate::types::accounts::{Role, Session};
use crate::types::profile::Profile;

/// Keeps a player out: their connections are closed at once with the code `suspended`, and no way to sign in lets them back, be it a
/// refresh token, a guest's secret or another device. Sessions stay: when the suspension ends, the player goes on where they were.
/// A suspension in force is replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuspendPlayer {
    /// The player.
    pub user: UserId,
    /// When it ends by itself. Absent: when it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why, in words for the player, at most 512 bytes.
    pub reason: String,
}

/// Ends a suspension. Ending it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LiftSuspension {
    /// The player.
    pub user: UserId,
}

/// Keeps a player from putting words before others, anywhere: messages, edits, reactions, names and topics of rooms, their own name,
/// picture and bio, notes of gifts and of presence, reasons of kicks and bans. Reading goes on. A mute in force is replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MutePlayer {
    /// The player.
    pub user: UserId,
    /// When it ends by itself. Absent: when it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why, in words for the player, at most 512 bytes.
    pub reason: String,
}

/// Ends a mute of the whole product; those of single rooms stay. Ending it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnmutePlayer {
    /// The player.
    pub user: UserId,
}

/// Ends all sessions of a player. They may sign in again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignOutPlayer {
    /// The player.
    pub user: UserId,
}

/// Changes what a player shows of themselves. What is not asked for stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResetProfile {
    /// The player.
    pub user: UserId,
    /// Another display name, 1 to 40 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Takes the picture away.
    #[serde(default)]
    pub avatar: bool,
    /// Takes the bio away.
    #[serde(default)]
    pub bio: bool,
    /// Why, in words for the player, at most 512 bytes.
    pub reason: String,
}

/// Ends a player's account, as `DeleteAccount` does for themselves: all sessions end, and when the time of grace is over, everything
/// personal is erased for good. Until then the player takes it back by signing in, unless they are suspended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletePlayer {
    /// The player, who has no role above a player's.
    pub user: UserId,
    /// Without the time of grace: it begins at once, and nothing takes it back.
    #[serde(default)]
    pub at_once: bool,
    /// Why, for the audit log, at most 512 bytes.
    pub reason: String,
}

/// Finds players by the beginning of their display name. Case, width and the marks of letters do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindPlayers {
    /// What the name begins with, at least one character.
    pub name: String,
    /// The `next` of the page before; from the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Players per page: 1 to 200, by default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`FindPlayers`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayersFound {
    /// Players, in the order of their names.
    pub players: Vec<Profile>,
    /// Where the next page begins, if there is one, which may be empty. Players who get another name between two pages are seen under it
    /// where it belongs, so twice or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What the staff sees of a player.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetPlayerRecord {
    /// The player.
    pub user: UserId,
}

/// Reply to [`GetPlayerRecord`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayerRecord {
    /// What the player shows of themselves.
    pub profile: Profile,
    /// Role.
    pub role: Role,
    /// Whether the account has no name and password yet.
    pub guest: bool,
    /// Connections that are open now, on whatever the player does not show.
    pub connections: u32,
    /// The suspension in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Sanction>,
    /// The mute of the whole product in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mute: Option<Sanction>,
    /// When the account is erased, if its deletion was asked for and not taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_at: Option<u64>,
    /// Sessions, newest use first. Their addresses are shown to admins alone.
    pub sessions: Vec<Session>,
    /// Rooms that the player is in, or is asked into: the first 200 in the order of their ids. Some may have ended.
    pub rooms: Vec<RoomId>,
}

/// What was decided against a player, as the staff sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sanction {
    /// By whom. Absent: by the server itself, which follows a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// Since when.
    pub at: u64,
    /// When it ends by itself; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// What the player is told.
    pub reason: String,
}

/// The player was suspended: the connection is closed next, with the code `suspended`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayerSuspended {
    /// When it ends by itself; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why.
    pub reason: String,
}
