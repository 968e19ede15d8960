//! What the members of a room are told.

use serde::{Deserialize, Serialize};

use super::messages::Message;
use super::rooms::RoomInfo;
use crate::ids::{RoomId, UserId};

/// A message was sent. In the order of `msg.seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageSent {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub msg: Message,
}

/// A message's text was replaced. In the order of `rev`. A back-fill tells every replacement with the text as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageEdited {
    /// The room.
    pub room: RoomId,
    /// Revision of the change: dense, from 1, with the other changes of the room.
    pub rev: u64,
    /// The message.
    pub seq: u64,
    /// The text, as it is when this is told.
    pub text: String,
    /// When.
    pub at: u64,
}

/// A message was deleted. In the order of `rev`. A back-fill tells every change of a deleted message so.
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

/// The account of a message's author was erased: the message stands under nobody's id, which is all zeros, and no name from now on. In
/// the order of `rev`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthorErased {
    /// The room.
    pub room: RoomId,
    /// Revision of the change.
    pub rev: u64,
    /// The message.
    pub seq: u64,
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

/// The connection no longer has the room open: put out, or the room deleted. This is the end: of earlier messages whose events
/// have not come, none does any more, and the reply to the `LeaveRoom` that caused it may come before or after. Key: the room.
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
    /// The player left, here or on another device.
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

/// A player said something for the moment. It has no sequence, is in no history, counts as unread nowhere, and does not
/// come again after a reconnect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EphemeralSent {
    /// The room.
    pub room: RoomId,
    /// Who said it.
    pub from: UserId,
    /// Their display name.
    pub name: String,
    /// What they said.
    pub text: String,
    /// When the room took it.
    pub at: u64,
}
