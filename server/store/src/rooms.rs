//! Rooms and their messages: what a room's owner writes, and what anyone reads.

use futures_util::future::BoxFuture;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::rows::{
    ChangeRow, MemberRow, MessageRow, ReactionRow, RoomRow, RoomRows, StoredRoom,
};

use super::idempotency::KeyRecord;
use super::reservation::Reservation;
use super::{Done, StoreError};

/// Most rows that one page of the store holds, whatever the caller asks for.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Which state of the store a room was loaded from. A write under an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub(crate) u64);

/// A room as its owner takes it over.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRoom {
    /// To be carried by every write that rests on this state.
    pub fence: Fence,
    /// The room. If its row is `deleted`, there are no members and the room takes no writes.
    pub stored: StoredRoom,
}

/// What lists tell of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSummary {
    /// Settings.
    pub row: RoomRow,
    /// Players in state [`MemberState::Member`](pitturu_rules::rooms::rows::MemberState::Member).
    pub members: u32,
    /// As in [`StoredRoom`].
    pub head: u64,
    /// As in [`StoredRoom`].
    pub rev: u64,
    /// As in [`StoredRoom`].
    pub first: u64,
    /// As in [`StoredRoom`].
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
    /// What changed.
    pub rows: RoomRows,
    /// The keyed result of the call, under its player and key.
    pub key: Option<(UserId, String, KeyRecord)>,
}

impl RoomWrite {
    /// A write that changes nothing yet.
    pub fn new(room: RoomId, fence: Fence) -> Self {
        Self {
            room,
            fence,
            rows: RoomRows::default(),
            key: None,
        }
    }

    /// Whether there is nothing to store.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.key.is_none()
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

    /// Keeps room for one write of about so many bytes. Asked before anything is decided: then a refusal has changed
    /// nothing, and handing over can't fail.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: too much waits. [`StoreError::Unavailable`]: the store can't write now.
    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError>;

    /// Hands a write over without waiting.
    ///
    /// - `done` is called exactly once, on a thread where it must not block, after the write is on disk or has failed. The
    ///   writes of one room take effect and report in the order of the calls.
    /// - All rows of one write are there or none, after a crash too. Readers of other rooms' lists and of inboxes may
    ///   see them a moment apart.
    /// - After a write has failed with [`StoreError::Unavailable`], every later write under the same fence fails as
    ///   well, so that nothing rests on what was lost. The owner refuses what waits and loads again.
    ///
    /// # Errors
    /// Through `done`: [`StoreError::Unavailable`], and [`StoreError::Conflict`]: wrong sequence, revision or fence, room
    /// deleted or unknown; nothing was changed.
    fn write(&self, reservation: Reservation, write: RoomWrite, done: Done);

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
