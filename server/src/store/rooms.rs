//! Rooms and their messages: what a room's owner writes, and what anyone reads.

use futures_util::future::BoxFuture;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{MemberRole, Message, Retention, RoomKind};
use pitturu_protocol::types::inbox::InboxEntry;
use serde::{Deserialize, Serialize};

use super::idempotency::KeyRecord;
use super::{Done, StoreError};

/// Most rows that one page of the store holds, whatever the caller asks for.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// A room's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomRow {
    /// The room.
    pub room: RoomId,
    /// Who may find and enter it. Never changes.
    pub kind: RoomKind,
    /// Name.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub topic: Option<String>,
    /// Milliseconds between two messages of a member; 0 for none.
    #[serde(default)]
    pub slow_mode_ms: u32,
    /// What is kept.
    #[serde(default)]
    pub retention: Retention,
    /// When it was created, in milliseconds since 1970.
    pub created_at: u64,
    /// The two players of a direct room.
    #[serde(default)]
    pub peers: Option<[UserId; 2]>,
    /// Set to delete the room. Its rows go in the background, see [`Rooms::sweep`]; after that the room is unknown.
    #[serde(default)]
    pub deleted: bool,
}

/// How a player stands to a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Belongs to it.
    Member,
    /// May join.
    Invited,
    /// Is kept out.
    Banned {
        /// By whom.
        by: UserId,
        /// Until when; absent for good.
        until: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// Nothing: writing it removes the row. Never read back.
    Left,
}

/// One player's place in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The player.
    pub user: UserId,
    /// Display name.
    pub name: String,
    /// Role.
    pub role: MemberRole,
    /// How they stand to the room.
    pub state: MemberState,
    /// Read marker.
    #[serde(default)]
    pub read: u64,
    /// May not write until then.
    #[serde(default)]
    pub muted_until: Option<u64>,
    /// Since when, in milliseconds since 1970.
    pub joined_at: u64,
    /// Who invited them.
    #[serde(default)]
    pub invited_by: Option<UserId>,
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRow {
    /// The message.
    pub msg: Message,
    /// Revision of the newest change to it; 0 for none.
    #[serde(default)]
    pub rev: u64,
}

/// A change to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Place among the changes of the room: dense, from 1.
    pub rev: u64,
    /// The room's head when it happened.
    pub at_seq: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The text was replaced.
    Edited {
        /// The message.
        seq: u64,
        /// The new text.
        text: String,
    },
    /// It was deleted.
    Deleted {
        /// The message.
        seq: u64,
        /// By whom.
        by: UserId,
    },
    /// A reaction was added or taken back.
    Reacted {
        /// The message.
        seq: u64,
        /// Whose.
        user: UserId,
        /// Emoji or short code.
        emoji: String,
        /// True added, false took back.
        on: bool,
        /// How many now react with it.
        count: u32,
    },
}

/// The reactions of one player to one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReactionRow {
    /// The player.
    pub user: UserId,
    /// Emoji and short codes.
    pub emoji: Vec<String>,
}

/// Which state of the store a room was loaded from. A write under an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub(crate) u64);

#[cfg(test)]
impl Fence {
    /// A fence for rules that are tested without a store.
    pub(crate) const fn of_tests() -> Self {
        Self(0)
    }
}

/// A room as its owner takes it over.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRoom {
    /// To be carried by every write that rests on this state.
    pub fence: Fence,
    /// Settings. If `deleted`, there are no members and the room takes no writes.
    pub row: RoomRow,
    /// Members, invited and banned players, in the order of their ids.
    pub members: Vec<MemberRow>,
    /// Sequence of the newest message; 0 before the first.
    pub head: u64,
    /// Revision of the newest change; 0 before the first.
    pub rev: u64,
    /// Oldest message that is kept; `head + 1` when none is.
    pub first: u64,
    /// Oldest change that is kept; `rev + 1` when none is.
    pub changes_first: u64,
    /// The newest message, unless retention has removed it.
    pub last: Option<MessageRow>,
    /// When the newest message was sent, 0 before the first. The next one is not before it.
    pub last_at: u64,
}

/// What lists tell of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSummary {
    /// Settings.
    pub row: RoomRow,
    /// Players in state [`MemberState::Member`].
    pub members: u32,
    /// As in [`LoadedRoom`].
    pub head: u64,
    /// As in [`LoadedRoom`].
    pub rev: u64,
    /// As in [`LoadedRoom`].
    pub first: u64,
    /// As in [`LoadedRoom`].
    pub last: Option<MessageRow>,
}

/// A page of rooms and where the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomsPage {
    /// The rooms, in the order of the list.
    pub rooms: Vec<RoomId>,
    /// Position for the next page; absent on the last. A page may be empty and yet have a next one.
    pub next: Option<String>,
}

/// Everything that one action in a room changes.
#[derive(Clone, Debug)]
pub struct RoomWrite {
    /// The room.
    pub room: RoomId,
    /// From [`LoadedRoom::fence`], or [`Rooms::fence`] for a room that is being created.
    pub fence: Fence,
    /// The settings, when the room is created or they changed. The index of names follows.
    pub row: Option<RoomRow>,
    /// Places that changed.
    pub members: Vec<MemberRow>,
    /// The next message: its sequence is the stored head plus one.
    pub message: Option<MessageRow>,
    /// Messages that were there and have changed. One that retention has removed meanwhile stays removed.
    pub updated: Vec<MessageRow>,
    /// The next change: its revision is the stored one plus one.
    pub change: Option<ChangeRow>,
    /// Message, player, and all that the player now reacts with; nothing removes the row.
    pub reactions: Vec<(u64, UserId, Vec<String>)>,
    /// The keyed result of the call, under its player and key.
    pub key: Option<(UserId, String, KeyRecord)>,
    /// Entries for inboxes: player, entry, when.
    pub inbox: Vec<(UserId, InboxEntry, u64)>,
}

impl RoomWrite {
    /// A write that changes nothing yet.
    pub fn new(room: RoomId, fence: Fence) -> Self {
        Self {
            room,
            fence,
            row: None,
            members: Vec::new(),
            message: None,
            updated: Vec::new(),
            change: None,
            reactions: Vec::new(),
            key: None,
            inbox: Vec::new(),
        }
    }
}

/// Rooms: one owner writes each, anyone reads.
///
/// Reads show committed writes only, and everything whose outcome was reported before they began. Page limits above
/// [`PAGE_ROWS_MAX`] count as that.
pub trait Rooms: Send + Sync {
    /// The fence for a room that is being created; see [`RoomWrite::fence`].
    fn fence(&self) -> Fence;

    /// The room with all its members as of one moment, or nothing if it is unknown.
    ///
    /// The owner loads while none of its own writes is under way.
    fn load(&self, room: RoomId) -> BoxFuture<'static, Result<Option<LoadedRoom>, StoreError>>;

    /// Hands a write over without waiting.
    ///
    /// - `done` is called exactly once if and only if this returns `Ok`, on a thread where it must not block, after
    ///   the write is on disk. The writes of one room take effect and report in the order of the calls.
    /// - All rows of one write are there or none, after a crash too. Readers of other rooms' lists and of inboxes may
    ///   see them a moment apart.
    /// - After a write has failed with [`StoreError::Unavailable`], every later write under the same fence fails as
    ///   well, so that nothing rests on what was lost. The owner refuses what waits and loads again.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`]: nothing was handed over and `done` is dropped. Through `done`
    /// also [`StoreError::Conflict`]: wrong sequence, revision or fence, room deleted or unknown; nothing was changed.
    fn write(&self, write: RoomWrite, done: Done) -> Result<(), StoreError>;

    /// Names the one listener that is called after outcomes of writes were reported: once for all that came together, on
    /// a thread where it must not block. False if there is one already.
    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool;

    /// Summaries, in the order of `rooms`. Unknown and deleted rooms are left out.
    fn summaries(
        &self,
        rooms: Vec<RoomId>,
    ) -> BoxFuture<'static, Result<Vec<RoomSummary>, StoreError>>;

    /// Public rooms in the order of their folded names.
    ///
    /// # Errors
    /// [`StoreError::InvalidPosition`] for an `after` that is no page's `next`.
    fn public_rooms(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<RoomsPage, StoreError>>;

    /// Public rooms whose name has, for each word of the query, a word that begins with it. Case and compatibility
    /// forms (NFKC) do not matter. A query without words finds nothing.
    ///
    /// # Errors
    /// [`StoreError::InvalidPosition`] for an `after` that is no page's `next`.
    fn search(
        &self,
        query: String,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<RoomsPage, StoreError>>;

    /// The rooms that the player belongs to or is invited to, in the order of their ids, with the player's place.
    fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<(RoomId, MemberRow)>, StoreError>>;

    /// One player's place in a room.
    fn member(
        &self,
        room: RoomId,
        user: UserId,
    ) -> BoxFuture<'static, Result<Option<MemberRow>, StoreError>>;

    /// All rooms in the order of their ids.
    fn rooms_page(
        &self,
        after: Option<RoomId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<RoomRow>, StoreError>>;

    /// Removes messages before `first` and changes before `changes_first`, for retention. Bounds behind those stored do
    /// nothing; bounds past the head mean everything.
    ///
    /// Readers miss the rows from the first moment on; the rows themselves go in pieces between other writes. After
    /// a crash the next call removes what is left.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for an unknown or deleted room.
    fn remove_before(
        &self,
        room: RoomId,
        first: u64,
        changes_first: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Removes a bounded number of rows of deleted rooms, between other writes. True when there is more to do. To be called
    /// now and then by one caller; what a crash leaves is taken up by a later call.
    fn sweep(&self) -> BoxFuture<'static, Result<bool, StoreError>>;
}

/// Messages, the changes to them and the reactions, read by anyone.
pub trait Messages: Send + Sync {
    /// The oldest kept messages after `after`, oldest first: at most `limit` and about `bytes`, at least one.
    fn messages_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<MessageRow>, StoreError>>;

    /// The newest messages before `before`, oldest first: at most `limit` and about `bytes`, at least one.
    fn messages_before(
        &self,
        room: RoomId,
        before: u64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<MessageRow>, StoreError>>;

    /// One message.
    fn message(
        &self,
        room: RoomId,
        seq: u64,
    ) -> BoxFuture<'static, Result<Option<MessageRow>, StoreError>>;

    /// The oldest kept changes after `after`, oldest first.
    fn changes_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<ChangeRow>, StoreError>>;

    /// Sequence of the first kept message sent at `at` or later; head + 1 if there is none.
    fn seq_at_time(&self, room: RoomId, at: u64) -> BoxFuture<'static, Result<u64, StoreError>>;

    /// Who reacted to a message, in the order of their ids.
    fn reactions(
        &self,
        room: RoomId,
        seq: u64,
        after: Option<UserId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<ReactionRow>, StoreError>>;

    /// What one player reacted with; nothing if they did not.
    fn reaction_of(
        &self,
        room: RoomId,
        seq: u64,
        user: UserId,
    ) -> BoxFuture<'static, Result<Vec<String>, StoreError>>;
}
