//! Members of a room, and what moderators do to them.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// What a member may do. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Reads and writes.
    Member,
    /// Kicks, bans, mutes and deletes messages of those below.
    Moderator,
    /// Everything, including roles and settings. A room that a player made keeps at least one owner.
    Owner,
}

/// The caller's own place in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Membership {
    /// Role.
    pub role: MemberRole,
    /// Read marker: every message up to this sequence is read.
    pub read: u64,
    /// May not write until then. Absent for the product's moderators and admins, whom it does not bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    /// Since when.
    pub joined_at: u64,
}

/// Becomes a member, and opens the room on this connection. A member who joins again only opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinRoom {
    /// The room.
    pub room: RoomId,
}

/// Ends the membership, or declines an invitation. The last owner's place goes to the longest-standing moderator, or else
/// member. When the last member leaves, the room ends with its messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaveRoom {
    /// The room.
    pub room: RoomId,
}

/// Lets a player into a private room. Members may invite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InviteToRoom {
    /// The room.
    pub room: RoomId,
    /// The player.
    pub user: UserId,
}

/// Puts a member out. They may come back: to a private room when they are invited again, the product's moderators and admins without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KickMember {
    /// The room.
    pub room: RoomId,
    /// The member.
    pub user: UserId,
    /// Shown to them; at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Puts a player out and keeps them out. Whoever was neither a member nor invited is not told. A ban that is over is as if they
/// had left. It does not keep out the product's moderators and admins while they have that role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BanMember {
    /// The room.
    pub room: RoomId,
    /// The player, member or not.
    pub user: UserId,
    /// Until when; absent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Shown to them; at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Lifts a ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnbanMember {
    /// The room.
    pub room: RoomId,
    /// The player.
    pub user: UserId,
}

/// Stops a member from writing for a time, which leaving and coming back does not end. While they are away it can be changed.
/// It does not bind the product's moderators and admins while they have that role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MuteMember {
    /// The room.
    pub room: RoomId,
    /// The member.
    pub user: UserId,
    /// Until when; 0 lifts the mute.
    pub until: u64,
}

/// Sets a member's role. Owners only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetMemberRole {
    /// The room.
    pub room: RoomId,
    /// The member.
    pub user: UserId,
    /// The new role.
    pub role: MemberRole,
}

/// The members of a room, and who of them has it open. Rooms do not know blocks: it shows those who blocked the caller, or whom the
/// caller blocked, as all others; only who hides looks offline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListMembers {
    /// The room.
    pub room: RoomId,
    /// Only those who have it open.
    #[serde(default)]
    pub online: bool,
    /// The last player of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListMembers`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Members {
    /// In the order of their ids.
    pub members: Vec<Member>,
    /// Whether more follow.
    pub more: bool,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// The player.
    pub user: UserId,
    /// Display name.
    pub name: String,
    /// Role.
    pub role: MemberRole,
    /// Whether they have the room open.
    pub online: bool,
    /// May not write until then, unless they are the product's moderators or admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    /// Since when.
    pub joined_at: u64,
}

/// The players banned from a room. Moderators only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListBans {
    /// The room.
    pub room: RoomId,
    /// The last player of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListBans`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bans {
    /// In the order of their ids.
    pub bans: Vec<Ban>,
    /// Whether more follow.
    pub more: bool,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ban {
    /// Who is kept out.
    pub user: UserId,
    /// By whom.
    pub by: UserId,
    /// Until when; absent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
