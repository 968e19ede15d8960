//! The audit log: what the staff has done, and what has happened to the safety of accounts.
//!
//! Entries are numbered from 1 and only ever added. Each holds the digest of the one before it, so that nobody changes, removes or
//! inserts one without changing all later digests. A digest is the SHA-256 hash of MessagePack bytes, as 64 lower-case hexadecimal
//! digits: that of an entry is over [`AuditEntry`] as it is sent, that of its details over [`AuditDetails`] as they are sent to admins.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};
use crate::types::accounts::Role;
use crate::types::chat::MemberRole;

/// Asks for entries, newest first. All of them: admins alone. Those about one player: moderators, too, without addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListAuditLog {
    /// Entries about this player alone, or about what this one of the staff has done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Entries before this number only; from the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Entries per page: 1 to 200, by default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListAuditLog`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditLog {
    /// Entries, newest first.
    pub entries: Vec<AuditRecord>,
    /// The last number of the page, if older ones follow: the next page's `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An entry with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRecord {
    /// The entry.
    pub entry: AuditEntry,
    /// Its digest, which the next one holds.
    pub digest: String,
    /// What else is known of it. Absent if there is nothing else, or if it was erased with the account that it was about: the digest
    /// of it that the entry holds stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<AuditDetails>,
}

/// What is kept for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Its number, from 1.
    pub number: u64,
    /// Digest of the entry before it; empty for the first.
    pub previous: String,
    /// When it happened. An entry is added a moment later, so later numbers may have earlier times.
    pub at: u64,
    /// What happened.
    pub act: AuditAct,
    /// Who did it; absent if it was the server, the configuration, or somebody who was not signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// About which player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// In which room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// Which message of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Until when it holds by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The role in the whole product that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The role in the room that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_role: Option<MemberRole>,
    /// On which leaderboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// In which of its seasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u64>,
    /// Digest of the details, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// What may be personal, and is erased with the account that the entry is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditDetails {
    /// Random digits, so that nobody finds out what was erased by trying. Not shown to moderators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Why, in the words that were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The network address that it came from. Not shown to moderators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditAct {
    /// The staff, or the server by a rule, suspended a player.
    Suspended,
    /// The staff ended a suspension.
    SuspensionLifted,
    /// The staff, or the server by a rule, muted a player everywhere.
    Muted,
    /// The staff ended such a mute.
    Unmuted,
    /// All sessions of a player were ended, by themselves or by the staff.
    SignedOutEverywhere,
    /// The staff changed a player's name, picture or bio.
    ProfileReset,
    /// A player got another role, by an admin or by the configuration.
    RoleChanged,
    /// An admin issued a password-reset token.
    PasswordResetIssued,
    /// A player changed their password, or an admin's or mailed token was used to set a new one.
    PasswordChanged,
    /// A guest got a name and a password.
    GuestUpgraded,
    /// A player ended one of their sessions from another.
    SessionRevoked,
    /// A refresh token came a second time: it was copied, or the answer was lost. The session ended.
    RefreshTokenReused,
    /// Wrong passwords locked a name or a network out for a while. Not each refused attempt is an entry.
    LockedOut,
    /// The staff put a member out of a room.
    Kicked,
    /// The staff banned a player from a room.
    Banned,
    /// The staff took such a ban back.
    Unbanned,
    /// The staff muted a member in a room, or took that back.
    MutedInRoom,
    /// The staff gave a member another role in a room.
    RoomRoleChanged,
    /// The staff deleted a room.
    RoomDeleted,
    /// The staff deleted somebody's message.
    MessageDeleted,
    /// A server of the game or an admin took a player's score off a leaderboard.
    ScoreRemoved,
    /// The staff settled a report about a player.
    ReportSettled,
    /// The deletion of an account was asked for, by the player or by an admin.
    DeletionAsked,
    /// The player took it back by signing in.
    DeletionTakenBack,
    /// The account was erased.
    AccountErased,
}

/// Its name on the wire.
impl fmt::Display for AuditAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
