//! Messages: sending, changing, reading.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// Sends a message. The reply comes when it is on disk. It moves the sender's read marker to the message, without an event.
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

/// Replaces the text of the caller's own message. What it said before is nowhere to be read any more. Slow mode counts it as a
/// message.
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

/// Deletes a message: the caller's own, or another's as a moderator. Its sequence stays, empty; text, attachment and reactions
/// are nowhere to be read any more.
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

/// Adds or takes back the caller's reaction to a message. A message has at most 32 different ones, of which one player has at most 5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct React {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub seq: u64,
    /// One emoji, or one short code such as `:party:`. Kept fully qualified: `❤` is `❤️`.
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
    /// Oldest message that retention has left; `head + 1` when there is none, so 1 in a new room.
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
    /// Messages after it that are there and not deleted.
    pub unread: u64,
}

/// Tells the others in the room that the caller is writing. Repeat every few seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Typing {
    /// The room.
    pub room: RoomId,
}

/// Says something for the moment: an emote, quick chat, banter. Everybody who has the room open hears it, the caller
/// included; it is never stored. Who may send a message may send this, under the same rules for the text, and slow mode
/// counts them with messages and edits. The reply says that it was handed on, not that anybody heard it. Cancelling the call does not
/// take it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SendEphemeral {
    /// The room.
    pub room: RoomId,
    /// At most 4,096 bytes; may be empty. Passed on byte for byte.
    pub text: String,
}
