//! Rooms, their members and their messages: rows, and the port that keeps them.

use async_trait::async_trait;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{
    MemberRole, Membership, Message, Retention, RoomInfo, RoomKind,
};
use pitturu_protocol::types::inbox::InboxEntry;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::keys::KeyRecord;

/// A room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomRow {
    /// The room.
    pub room: RoomId,
    /// Who may find and enter it.
    pub kind: RoomKind,
    /// Name; empty in a direct room.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub topic: Option<String>,
    /// Milliseconds between two messages of one member.
    #[serde(default)]
    pub slow_mode_ms: u32,
    /// What is kept.
    #[serde(default)]
    pub retention: Retention,
    /// When it was created.
    pub created_at: u64,
    /// The two players of a direct room, in order.
    #[serde(default)]
    pub peers: Option<[UserId; 2]>,
    /// Their display names when it was made.
    #[serde(default)]
    pub peer_names: Option<[String; 2]>,
    /// Number of members.
    #[serde(default)]
    pub members: u32,
    /// Whether it was deleted. Its other rows are removed in the background.
    #[serde(default)]
    pub deleted: bool,
    /// Oldest message that retention has left.
    pub first: u64,
    /// Oldest change that is still kept.
    pub changes_first: u64,
}

impl RoomRow {
    /// A room without members or messages.
    pub fn new(room: RoomId, kind: RoomKind, name: String, created_at: u64) -> Self {
        Self {
            room,
            kind,
            name,
            topic: None,
            slow_mode_ms: 0,
            retention: Retention::default(),
            created_at,
            peers: None,
            peer_names: None,
            members: 0,
            deleted: false,
            first: 1,
            changes_first: 1,
        }
    }

    /// The other player of a direct room, with the name they had when it was made.
    fn peer_of(&self, viewer: UserId) -> Option<(UserId, &str)> {
        let peers = self.peers.as_ref()?;
        let names = self.peer_names.as_ref()?;
        let other = usize::from(peers[0] == viewer);
        Some((peers[other], &names[other]))
    }

    /// What the room shows to `viewer`.
    pub fn info(&self, viewer: UserId, head: u64) -> RoomInfo {
        let peer = self.peer_of(viewer);
        RoomInfo {
            room: self.room,
            kind: self.kind,
            name: peer.map_or_else(|| self.name.clone(), |(_, name)| name.to_owned()),
            topic: self.topic.clone(),
            peer: peer.map(|(user, _)| user),
            members: self.members,
            head,
            first: self.first,
            slow_mode_ms: self.slow_mode_ms,
            retention: self.retention.clone(),
            created_at: self.created_at,
        }
    }
}

/// How a player stands to a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MemberState {
    /// Belongs to it.
    Member,
    /// May join.
    Invited,
    /// Kept out.
    Banned {
        /// By whom.
        by: UserId,
        /// Until when; absent for good.
        until: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// Belonged to it once.
    Left,
}

/// A player's place in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The player.
    pub user: UserId,
    /// Their display name when they joined.
    pub name: String,
    /// Role.
    pub role: MemberRole,
    /// How they stand.
    pub state: MemberState,
    /// Read marker.
    #[serde(default)]
    pub read: u64,
    /// May not write until then.
    #[serde(default)]
    pub muted_until: Option<u64>,
    /// Since when.
    pub joined_at: u64,
    /// Who invited them.
    #[serde(default)]
    pub invited_by: Option<UserId>,
}

impl MemberRow {
    /// A member from `joined_at` on.
    pub fn new(user: UserId, name: String, role: MemberRole, joined_at: u64) -> Self {
        Self {
            user,
            name,
            role,
            state: MemberState::Member,
            read: 0,
            muted_until: None,
            joined_at,
            invited_by: None,
        }
    }

    /// What the player sees of their own place.
    pub const fn membership(&self) -> Membership {
        Membership {
            role: self.role,
            read: self.read,
            muted_until: self.muted_until,
            joined_at: self.joined_at,
        }
    }
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRow {
    /// The message.
    pub message: Message,
}

/// One change to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Revision: dense, from 1, in each room.
    pub rev: u64,
    /// The room's head when it happened: the change comes after this message in the room's order.
    pub at_seq: u64,
    /// When.
    pub at: u64,
    /// What.
    pub change: Change,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The text was replaced.
    Edited {
        /// The message.
        seq: u64,
        /// The new text.
        text: String,
    },
    /// The message was deleted.
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
        /// By whom.
        user: UserId,
        /// Which.
        emoji: String,
        /// Added or taken back.
        on: bool,
        /// How many now react with it.
        count: u32,
    },
}

/// A room as its shard takes it up.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRoom {
    /// The room.
    pub row: RoomRow,
    /// Everybody who has a row, members or not.
    pub members: Vec<MemberRow>,
    /// Newest message's sequence; 0 before the first.
    pub head: u64,
    /// Newest change's revision; 0 before the first.
    pub rev: u64,
    /// Time of the newest message or change.
    pub last_at: u64,
}

/// Rows of one room that are stored together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomWrite {
    /// The room.
    pub room: RoomId,
    /// Its row, when new or changed.
    pub row: Option<RoomRow>,
    /// Members' rows, new or changed.
    pub members: Vec<MemberRow>,
    /// A new message.
    pub message: Option<MessageRow>,
    /// Messages changed.
    pub updated: Vec<MessageRow>,
    /// A new change.
    pub change: Option<ChangeRow>,
    /// Players' reactions to one message, each replacing what they had: sequence, player, emoji.
    pub reactions: Vec<(u64, UserId, Vec<String>)>,
    /// Result to remember under an idempotency key.
    pub key: Option<(UserId, String, KeyRecord)>,
    /// Entries for players' inboxes, with their time.
    pub inbox: Vec<(UserId, InboxEntry, u64)>,
}

impl RoomWrite {
    /// Nothing to store yet.
    pub const fn new(room: RoomId) -> Self {
        Self {
            room,
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

    /// Whether there is nothing to store.
    pub const fn is_empty(&self) -> bool {
        self.row.is_none()
            && self.members.is_empty()
            && self.message.is_none()
            && self.updated.is_empty()
            && self.change.is_none()
            && self.reactions.is_empty()
            && self.key.is_none()
            && self.inbox.is_empty()
    }
}

/// A room as lists show it: what needs no members' rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSummary {
    /// The room.
    pub row: RoomRow,
    /// Newest message's sequence; 0 before the first.
    pub head: u64,
    /// Newest message.
    pub last: Option<MessageRow>,
}

/// A page of public rooms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomPage {
    /// In the order of their names.
    pub rooms: Vec<RoomId>,
    /// Where the next page begins; absent on the last.
    pub next: Option<String>,
}

/// Told on the writer's thread when a [`RoomWrite`] is on disk or has failed. Must not block.
pub type Written = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Rooms, members, messages and changes.
///
/// Ordering: writes of one room become durable, and are reported, in the order in which they were given. Atomicity: all
/// rows of one [`RoomWrite`] or none. A crash loses no write that was reported as `Ok`; one that was not reported may or may
/// not be there, whole. Reads see everything that was reported before they began.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// The room with everybody in it. Absent: there never was such a room.
    async fn load(&self, room: RoomId) -> Result<Option<LoadedRoom>, StoreError>;

    /// The room without its members.
    async fn summary(&self, room: RoomId) -> Result<Option<RoomSummary>, StoreError>;

    /// Queues a write and returns at once. [`StoreError::Busy`] when the queue is full: nothing was queued, and `done`
    /// will not be called.
    fn write(&self, write: RoomWrite, done: Written) -> Result<(), StoreError>;

    /// Up to `limit` messages, and about `bytes` bytes, with `seq > after`, oldest first.
    async fn messages_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<MessageRow>, StoreError>;

    /// Up to `limit` messages, and about `bytes` bytes, with `seq < before`: those nearest to it, oldest first.
    async fn messages_before(
        &self,
        room: RoomId,
        before: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<MessageRow>, StoreError>;

    /// One message.
    async fn message(&self, room: RoomId, seq: u64) -> Result<Option<MessageRow>, StoreError>;

    /// Up to `limit` changes with `rev > after`, oldest first.
    async fn changes_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ChangeRow>, StoreError>;

    /// The first message with `at >= time`, among those from `first` to `head`. Times never decrease along the sequence.
    async fn seq_at(
        &self,
        room: RoomId,
        first: u64,
        head: u64,
        time: u64,
    ) -> Result<Option<u64>, StoreError>;

    /// Who reacted to a message, in the order of their ids.
    async fn reactions(
        &self,
        room: RoomId,
        seq: u64,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<String>)>, StoreError>;

    /// What one player reacted with.
    async fn reactions_of(
        &self,
        room: RoomId,
        seq: u64,
        user: UserId,
    ) -> Result<Vec<String>, StoreError>;

    /// Public rooms in the order of their names. `after` is the `next` of the page before; another text begins after it.
    async fn public_rooms(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RoomPage, StoreError>;

    /// Public rooms whose name has, for each word of the query, a word that begins with it.
    async fn search(
        &self,
        query: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RoomPage, StoreError>;

    /// The rooms in which the player has a row, in the order of their ids, with that row.
    async fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<(RoomId, MemberRow)>, StoreError>;

    /// Removes messages with `seq < first`, with their reactions, and changes with `rev < changes_first`. In bounded steps;
    /// killed in between, the rest goes at the next call.
    async fn remove_before(
        &self,
        room: RoomId,
        first: u64,
        changes_first: u64,
    ) -> Result<(), StoreError>;

    /// Removes everything of a deleted room but its own row. In bounded steps, may be repeated.
    async fn remove_deleted(&self, room: RoomId) -> Result<(), StoreError>;

    /// All rooms, for the slow walk of retention.
    async fn rooms_page(
        &self,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomRow>, StoreError>;

    /// The result kept under a player's idempotency key.
    async fn recall(&self, user: UserId, key: &str) -> Result<Option<KeyRecord>, StoreError>;
}

/// An entry of a player's inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboxRow {
    /// Place in the inbox: dense, from 1.
    pub seq: u64,
    /// When.
    pub at: u64,
    /// What.
    pub entry: InboxEntry,
}

/// Players' inboxes. Entries are written with what causes them, and numbered by the writer.
#[async_trait]
pub trait Inboxes: Send + Sync {
    /// Newest sequence; 0 in an empty inbox.
    async fn head(&self, user: UserId) -> Result<u64, StoreError>;

    /// Up to `limit` entries with `seq > after`, oldest first. Entries beyond the newest 1,000 are gone: the first one
    /// returned may be later than `after + 1`.
    async fn after(
        &self,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<InboxRow>, StoreError>;

    /// Has `listener` told of every inbox that grew, after the write is durable, with its new head. On the writer's
    /// thread: must not block.
    fn on_growth(&self, listener: Box<dyn Fn(UserId, u64) + Send + Sync>);
}
