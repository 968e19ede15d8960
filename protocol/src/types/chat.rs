//! Rooms and messages.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// Who may find and enter a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Listed, searchable, open to all.
    Public,
    /// By invitation.
    Private,
    /// Between two players; made by [`OpenDirect`].
    Direct,
}

/// What a member may do. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Reads and writes.
    Member,
    /// Kicks, bans, mutes and deletes messages of those below.
    Moderator,
    /// Everything, including roles and settings. A room keeps at least one owner while it has members.
    Owner,
}

/// What is known of a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomInfo {
    /// The room.
    pub room: RoomId,
    /// Who may find and enter it.
    pub kind: RoomKind,
    /// Name; in a direct room the other player's display name.
    pub name: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The other player of a direct room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<UserId>,
    /// Members, online or not.
    pub members: u32,
    /// Newest message's sequence; 0 before the first.
    pub head: u64,
    /// Oldest message that retention has left.
    pub first: u64,
    /// Milliseconds that a member waits between two messages; 0 for none. Moderators don't wait.
    pub slow_mode_ms: u32,
    /// What is kept.
    pub retention: Retention,
    /// When it was created.
    pub created_at: u64,
}

/// What a room keeps. Messages beyond either bound are removed, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retention {
    /// Age in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Number of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
}

/// The caller's own place in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Membership {
    /// Role.
    pub role: MemberRole,
    /// Read marker: every message up to this sequence is read.
    pub read: u64,
    /// May not write until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    /// Since when.
    pub joined_at: u64,
}

/// A room that this connection has open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomView {
    /// The room.
    pub info: RoomInfo,
    /// The caller's place in it.
    pub me: Membership,
    /// Revision of the newest change to messages. Live events continue from `info.head` and this.
    pub rev: u64,
    /// Players who have it open.
    pub online: u32,
}

/// Creates a room, owned by the caller, and opens it on this connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateRoom {
    /// `public` or `private`.
    pub kind: RoomKind,
    /// 1 to 64 characters. Need not be unique.
    pub name: String,
    /// At most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// As in [`RoomInfo`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_mode_ms: Option<u32>,
    /// As in [`RoomInfo`]; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// The direct room with another player, made when it is new, opened on this connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenDirect {
    /// The other player.
    pub user: UserId,
}

/// Public rooms in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListRooms {
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Public rooms with a word that begins like each word of the query, without regard to case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchRooms {
    /// 1 to 64 characters.
    pub query: String,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListRooms`] and [`SearchRooms`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rooms {
    /// The rooms.
    pub rooms: Vec<RoomInfo>,
    /// Where the next page begins; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The rooms that the caller is a member of or invited to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListMyRooms {
    /// The last room of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RoomId>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListMyRooms`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MyRooms {
    /// In the order of their ids.
    pub rooms: Vec<MyRoom>,
    /// Whether more follow.
    pub more: bool,
}

/// One of the caller's rooms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MyRoom {
    /// The room.
    pub info: RoomInfo,
    /// The caller's place; absent when only invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub me: Option<Membership>,
    /// `head − max(read, first − 1)`.
    pub unread: u64,
    /// Newest message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Message>,
}

/// Becomes a member, and opens the room on this connection. A member who joins again only opens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinRoom {
    /// The room.
    pub room: RoomId,
}

/// Ends the membership. The last owner's place goes to the longest-standing moderator, or else member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaveRoom {
    /// The room.
    pub room: RoomId,
}

/// Opens a room of the caller's on this connection: its messages arrive as events from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenRoom {
    /// The room.
    pub room: RoomId,
    /// Back-fill from this message on; from the head when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Back-fill changes from this revision on; from the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<u64>,
}

/// Stops the room's events on this connection. The membership stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloseRoom {
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

/// Puts a member out. They may come back.
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

/// Puts a player out and keeps them out.
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

/// Stops a member from writing for a time.
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

/// The members of a room.
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
    /// May not write until then.
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

/// Changes a room's settings. Owners only. Absent fields stay as they are, an empty topic clears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UpdateRoom {
    /// The room.
    pub room: RoomId,
    /// 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// As in [`RoomInfo`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_mode_ms: Option<u32>,
    /// As in [`RoomInfo`]; replaces both bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Deletes a room with its messages. Owners and admins only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeleteRoom {
    /// The room.
    pub room: RoomId,
}

/// Sends a message. The reply comes when it is on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SendMessage {
    /// The room.
    pub room: RoomId,
    /// At most 4,096 bytes; may be empty. Kept byte for byte.
    pub text: String,
    /// The game's own attachment, at most 4,096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::types::bin_schema"))]
    pub data: Option<Vec<u8>>,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
}

/// Reply to [`SendMessage`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sent {
    /// The message's place in the room's order.
    pub seq: u64,
    /// When the room took it.
    pub at: u64,
}

/// Replaces the text of the caller's own message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EditMessage {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub seq: u64,
    /// The new text.
    pub text: String,
}

/// Deletes a message: the caller's own, or another's as a moderator. Its sequence stays, empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeleteMessage {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub seq: u64,
}

/// Reply to [`EditMessage`] and [`DeleteMessage`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    /// Revision of the change.
    pub rev: u64,
    /// When.
    pub at: u64,
}

/// Adds or takes back the caller's reaction to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct React {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub seq: u64,
    /// One emoji or short code, at most 32 bytes.
    pub emoji: String,
    /// True adds, false takes back.
    pub on: bool,
}

/// Reply to [`React`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reacted {
    /// Revision of the change; absent when there was nothing to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<u64>,
    /// How many now react with it.
    pub count: u32,
}

/// Who reacted to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListReactions {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub seq: u64,
    /// The last player of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListReactions`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reactors {
    /// In the order of their ids.
    pub reactors: Vec<Reactor>,
    /// Whether more follow.
    pub more: bool,
}

/// One player's reactions to one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reactor {
    /// The player.
    pub user: UserId,
    /// What they reacted with.
    pub emoji: Vec<String>,
}

/// Messages of a room, oldest first, as they are now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadHistory {
    /// The room.
    pub room: RoomId,
    /// Where to begin; from the newest backwards when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HistoryFrom>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Where a page of history lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HistoryFrom {
    /// The messages just before this sequence.
    Before(u64),
    /// The messages just after this sequence.
    After(u64),
    /// The messages from this time on.
    Since(u64),
    /// The messages before this time.
    Until(u64),
}

/// Reply to [`ReadHistory`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// Oldest first, without holes.
    pub messages: Vec<Message>,
    /// Oldest message that retention has left; 0 in an empty room.
    pub first: u64,
    /// Newest message.
    pub head: u64,
    /// Revision that the page is as of: changes up to it are in.
    pub rev: u64,
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// Place in the room's order: dense, from 1.
    pub seq: u64,
    /// Who wrote it.
    pub from: UserId,
    /// Their display name when they wrote it.
    pub name: String,
    /// Text; empty once deleted.
    pub text: String,
    /// When the room took it. Never decreases along the sequence.
    pub at: u64,
    /// The game's own attachment.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::types::bin_schema"))]
    pub data: Option<Vec<u8>>,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// When it was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<u64>,
    /// Who deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<UserId>,
    /// Reactions and how many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

/// How many react to a message in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reaction {
    /// Emoji or short code.
    pub emoji: String,
    /// How many players.
    pub count: u32,
}

/// Moves the caller's read marker forward. Going back, or past the head, moves it no further than allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MarkRead {
    /// The room.
    pub room: RoomId,
    /// Everything up to here is read.
    pub seq: u64,
}

/// Reply to [`MarkRead`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadMarker {
    /// Where the marker stands.
    pub read: u64,
    /// Messages after it.
    pub unread: u64,
}

/// Tells the others in the room that the caller is writing. Repeat every few seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Typing {
    /// The room.
    pub room: RoomId,
}

/// A message was sent. In the order of `msg.seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageSent {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub msg: Message,
}

/// A message's text was replaced. In the order of `rev`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageEdited {
    /// The room.
    pub room: RoomId,
    /// Revision of the change: dense, from 1, with the other changes of the room.
    pub rev: u64,
    /// The message.
    pub seq: u64,
    /// The new text.
    pub text: String,
    /// When.
    pub at: u64,
}

/// A message was deleted. In the order of `rev`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageDeleted {
    /// The room.
    pub room: RoomId,
    /// Revision of the change.
    pub rev: u64,
    /// The message.
    pub seq: u64,
    /// Who deleted it.
    pub by: UserId,
    /// When.
    pub at: u64,
}

/// A player reacted to a message or took it back. In the order of `rev`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReactionChanged {
    /// The room.
    pub room: RoomId,
    /// Revision of the change.
    pub rev: u64,
    /// The message.
    pub seq: u64,
    /// Who.
    pub user: UserId,
    /// With what.
    pub emoji: String,
    /// True added, false took back.
    pub on: bool,
    /// How many now react with it.
    pub count: u32,
}

/// A room's settings changed. Key: the room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomUpdated {
    /// What they are now.
    pub info: RoomInfo,
}

/// The connection no longer has the room open: put out, or the room deleted. Key: the room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomLost {
    /// The room.
    pub room: RoomId,
    /// Why.
    pub reason: LostReason,
}

/// Why a room was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// The player left on another device.
    Left,
    /// Put out by a moderator.
    Kicked,
    /// Banned.
    Banned,
    /// The room was deleted.
    Deleted,
}

/// A read marker moved: the player's own on another device, or the other player's in a direct room. Key: room and player.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadMarkerMoved {
    /// The room.
    pub room: RoomId,
    /// Whose.
    pub user: UserId,
    /// Where it stands.
    pub read: u64,
}

/// A player is writing. Fades after five seconds without another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TypingStarted {
    /// The room.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// Their display name.
    pub name: String,
}
