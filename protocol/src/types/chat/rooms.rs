//! Rooms: what they are, and how to find, open and change them.

use serde::{Deserialize, Serialize};

use super::members::Membership;
use super::messages::Message;
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
    /// The handle by which [`EnterRoom`] leads here: in the form in which it is unique, with case folded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
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
    /// Oldest message that retention has left; `head + 1` when there is none, so 1 in a new room.
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

/// Creates a room, owned by the caller, and opens it on this connection. It ends when its last member leaves.
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

/// Becomes a member of the public room with this handle, which is made when there is none, and opens it on this connection.
/// However many ask for the same handle at once, they meet in one room. Nobody owns it: moderators and admins of the product
/// keep order. It ends when its last member leaves, and the handle is free again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnterRoom {
    /// 1 to 64 characters in at most 256 bytes, also in the form in which it is unique: handles that differ in case, in runs of
    /// blanks or in compatibility forms are the same. A new room has it as its name.
    pub handle: String,
}

/// The direct room with another player, made when it is new, opened on this connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenDirect {
    /// The other player.
    pub user: UserId,
}

/// Public rooms in the order of their names, without regard to case and accents.
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

/// Public rooms whose name has each part of the query that stands between blanks: its words follow each other there, and the
/// last may be only begun. Without regard to case and width.
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

/// The rooms that the caller is a member of or invited to. Of what others offer, invitations and direct rooms in which the
/// caller has not written, the newest 50 of each kind are shown, and 5 invitations of one player. One that was joined a moment ago may be missing unless a connection
/// of the caller has it open.
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
    /// Messages after the read marker that are there and not deleted: `head − max(read, first − 1)`, less the deleted ones
    /// among them. Sending a message moves the marker to it, so one's own are not among them.
    pub unread: u64,
    /// Newest message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Message>,
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
