//! Entities: what the owner of one writes, and what anyone reads of it.
//!
//! An entity is whatever has an order of its own: a room, a player. The store knows neither kinds nor rules. It keeps of each
//! entity a [`Head`], rows under keys of the kind's choice, and streams of rows under dense numbers, and takes
//! [`Commit`]s, each to one entity and resting on the version before it.
//!
//! - Beside the rows a commit carries what belongs to its moment: the result of a keyed call, [`Signal`]s to other entities, and
//!   which signals of another entity it has applied.
//! - **Lists** find entities by something other than their id, in one order, for anyone: rooms by name. Their rows are absolute
//!   values that the commits of their entities write.
//! - **Claims** are single rows that one entity has and no other can get meanwhile: a user name. A claim stands beside its
//!   entity's commits: whoever makes both claims first, and may die in between.

mod commit;
mod ranges;

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use serde::{Deserialize, Serialize};

pub use self::commit::{Commit, KeyedRequest, KeyedResult, OpenCommit};
pub use self::ranges::{Bounds, Numbered, PAGE_ROWS_MAX, Row, RowRange, Span, TakeRow};
use super::reservation::Reservation;
use super::{Done, StoreError};

/// Streams that an entity can have, numbered from 0.
pub const STREAMS: usize = 2;

/// Bytes of an entity's id in the store.
pub const ENTITY_BYTES: usize = 1 + ID_BYTES;

/// A kind of entity. Its number is part of what is stored and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind(pub u8);

/// Names one entity: its kind, and its id among those of the kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId([u8; ENTITY_BYTES]);

impl EntityId {
    /// The entity of this kind with this id.
    pub fn new(kind: Kind, id: impl Into<[u8; ID_BYTES]>) -> Self {
        let mut bytes = [kind.0; ENTITY_BYTES];
        bytes[1..].copy_from_slice(&id.into());
        Self(bytes)
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        Kind(self.0[0])
    }

    /// Its id among those of its kind.
    pub fn id(&self) -> [u8; ID_BYTES] {
        *self.0.last_chunk().expect("it is longer")
    }

    /// As stores keep it: the kind, then the id.
    pub const fn as_bytes(&self) -> &[u8; ENTITY_BYTES] {
        &self.0
    }

    /// The entity that these bytes name, if they are as many as a name has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().0, UserId::from_bytes(self.id()))
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityId({self})")
    }
}

impl Serialize for EntityId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for EntityId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: serde_bytes::ByteArray<ENTITY_BYTES> = Deserialize::deserialize(deserializer)?;
        Ok(Self(bytes.into_array()))
    }
}

/// Which state of the store an entity was loaded from: a commit that rests on an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub(crate) u64);

/// Key of a row among those of its entity: 1 to 200 bytes, the first of which tells families of rows apart.
pub type RowKey = Vec<u8>;

/// Where one stream of an entity stands. Its numbers are dense from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    /// The newest; 0 before the first.
    #[serde(rename = "h")]
    pub head: u64,
    /// The oldest that is kept; `head + 1` when none is. Readers see nothing before it.
    #[serde(rename = "f")]
    pub first: u64,
}

impl Default for StreamHead {
    fn default() -> Self {
        Self { head: 0, first: 1 }
    }
}

/// Where an entity stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many commits it has taken.
    #[serde(rename = "v")]
    pub version: u64,
    /// Tells it from an entity with the same id that ended before: drawn at random with the first commit.
    #[serde(rename = "i")]
    pub incarnation: u64,
    /// Its streams.
    #[serde(rename = "s")]
    pub streams: [StreamHead; STREAMS],
    /// When it ended, in milliseconds since 1970: its rows are gone for readers, and it takes no commits. Its streams say where
    /// it stood. Known for 48 hours, and longer while it has undelivered signals.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

/// One row of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stream.
    pub stream: u8,
    /// Its number: the stream's head plus one appends, one that is kept replaces, one before the first is dropped.
    pub number: u64,
    /// The row.
    pub row: Vec<u8>,
}

/// Which list. Its number is part of what is stored and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct List(pub u8);

/// Among which keys a claim is unique. Its number is part of what is stored and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(pub u8);

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The entity has the key, now or since before.
    Done,
    /// This one has it. Nothing was changed.
    Held(EntityId),
}

/// What one entity tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Whom it tells.
    pub to: EntityId,
    /// What: the kinds agree on it.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// Up to which version of a sender an entity has applied the signals to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Who sent them.
    pub from: EntityId,
    /// The sender's [`Head::incarnation`].
    pub incarnation: u64,
    /// The sender's version with the newest of them.
    pub version: u64,
}

/// A signal that its target has not been seen to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The sender's version that it was decided with.
    pub version: u64,
    /// Its place among the signals of that version.
    pub index: u16,
    /// The signal.
    pub signal: Signal,
}

/// What of an entity is to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Rows.
    Rows(RowRange),
    /// The newest rows of a stream, oldest first.
    Newest(u8, Bounds),
}

/// What was loaded of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadedPart {
    /// Rows in the order of their keys.
    Rows(Vec<Row>),
    /// Rows of a stream, oldest first.
    Newest(Vec<Numbered>),
}

/// An entity as its owner takes it up.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// To be carried by every commit that rests on this state.
    pub fence: Fence,
    /// Where it stands.
    pub head: Head,
    /// The parts asked for, in their order; empty ones when it has ended.
    pub parts: Vec<LoadedPart>,
    /// All its signals that are not known to be applied, oldest first.
    pub undelivered: Vec<Undelivered>,
}

/// What anyone may know of an entity at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Where it stands.
    pub head: Head,
    /// The rows asked for, in their order.
    pub rows: Vec<Option<Vec<u8>>>,
    /// The newest kept row of stream 0.
    pub newest: Option<Numbered>,
}

/// A result that some time later is there.
pub type Reading<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Entities: one owner commits to each, anyone reads.
///
/// Reads show decided commits only, and every commit whose outcome was reported before they began. Entities that are unknown or
/// have ended have no rows, no entries, and have applied nothing.
///
/// What claims, removes or notes ([`Entities::claim`], [`Entities::release`], [`Entities::remove`], [`Entities::trim`],
/// [`Entities::sweep`], [`Entities::delivered`]) is on disk when it succeeds, takes its place among the commits, and may be refused
/// with [`StoreError::Busy`].
pub trait Entities: Send + Sync {
    /// Which history of the store this is, from 1 to 2^53 - 1. It changes when a backup is restored: numbers of streams that were read
    /// under another epoch mean nothing under this one.
    fn epoch(&self) -> u64;

    /// The fence for an entity that is being created; see [`Commit::fence`].
    fn fence(&self) -> Fence;

    /// Keeps room for one commit of about so many bytes. Asked before anything is decided: then a refusal has changed nothing,
    /// and handing over can't fail.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: too much waits. [`StoreError::Unavailable`]: the store can't write now.
    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError>;

    /// Hands a commit over without waiting.
    ///
    /// - `done` is called exactly once, on a thread where it must not block, after the commit is on disk or has failed. The
    ///   commits to one entity take effect and report in the order of the calls.
    /// - All of one commit is there or nothing of it, after a crash too. It takes more until it is carried out ([`OpenCommit::join`]);
    ///   the outcome is that of everything in it.
    /// - After a commit has failed with [`StoreError::Unavailable`], every later one under the same fence fails as well, so that
    ///   nothing rests on what was lost. The owner refuses what waits and loads again.
    ///
    /// # Errors
    /// Through `done`: [`StoreError::Unavailable`], and [`StoreError::Conflict`]: another version, incarnation, number or
    /// fence, or the entity has ended; nothing was changed.
    fn commit(&self, reservation: Reservation, commit: OpenCommit, done: Done);

    /// Names the one listener that is called after outcomes were reported: once for all that came together, on a thread where it
    /// must not block. False if there is one already.
    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool;

    /// The entity as of one moment, which every commit that was handed over before this call has come to: a new life of an entity
    /// loads behind the writes of the one before it.
    fn load(&self, entity: EntityId, parts: Vec<Part>) -> Reading<Option<Loaded>>;

    /// Some entities at a glance, [`PAGE_ROWS_MAX`] at most: for each, in order, its head, these of its rows, and its newest entry in stream 0. None for one
    /// that is unknown or has ended.
    fn glances(&self, entities: Vec<EntityId>, rows: Vec<RowKey>) -> Reading<Vec<Option<Glance>>>;

    /// One row of each of these entities, [`PAGE_ROWS_MAX`] at most, in order.
    fn rows_of(&self, wanted: Vec<(EntityId, RowKey)>) -> Reading<Vec<Option<Vec<u8>>>>;

    /// Rows of an entity, in the order of their keys.
    fn rows(&self, entity: EntityId, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>>;

    /// Shows rows of an entity in the order of their keys, at most so many as of one moment, to somebody who keeps of many rows
    /// only what is made of them. Returns the key behind which there may be more, none if all were shown; what `take` refuses
    /// ends it. `take` runs where reads wait for the disk and others for their turn: many rows are shown in pieces.
    fn show(
        &self,
        entity: EntityId,
        range: RowRange,
        rows: usize,
        mut take: TakeRow,
    ) -> Reading<Option<RowKey>> {
        let page = self.rows(entity, range, Bounds::rows(rows));
        async move {
            let page = page.await?;
            for (key, row) in &page {
                take(key, row)?;
            }
            Ok(page.last().map(|(key, _)| key.clone()))
        }
        .boxed()
    }

    /// Rows of a stream, oldest first.
    fn entries(
        &self,
        entity: EntityId,
        stream: u8,
        span: Span,
        bounds: Bounds,
    ) -> Reading<Vec<Numbered>>;

    /// The result under a player's key at this entity, found for 24 to 48 hours after it, or for good if it has its request.
    fn recall(&self, entity: EntityId, user: UserId, key: &str) -> Reading<Option<KeyedResult>>;

    /// Rows of a list, in the order of their keys.
    fn list(&self, list: List, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>>;

    /// Has an entity, which there need not be yet, get this key, 1 to 200 bytes. Of several at once exactly one gets a free key.
    /// With `instead_of` it also gets a key that this entity has: one that was claimed and never used. The caller has made sure
    /// before that that entity will not use it any more.
    fn claim(
        &self,
        space: Space,
        key: RowKey,
        entity: EntityId,
        instead_of: Option<EntityId>,
    ) -> Reading<Claimed>;

    /// Who has the key.
    fn claimed(&self, space: Space, key: &[u8]) -> Reading<Option<EntityId>>;

    /// Frees the key if this entity has it.
    fn release(&self, space: Space, key: RowKey, entity: EntityId) -> Reading<()>;

    /// Removes rows of an entity for good, in pieces between other writes. What a crash leaves, the next call removes. Of an
    /// entity that is unknown there is nothing to remove; so with [`Entities::trim`].
    fn remove(&self, entity: EntityId, range: RowRange) -> Reading<()>;

    /// Removes the rows of streams that are no longer kept, in pieces between other writes. What a crash leaves, the next call
    /// removes.
    fn trim(&self, entity: EntityId) -> Reading<()>;

    /// Removes a bounded number of rows of entities that have ended, between other writes, and forgets those that ended more than
    /// 48 hours before `now` and have no undelivered signals: the entity can be created anew. True when there is more to do at
    /// once. To be called now and then by one caller.
    fn sweep(&self, now: u64) -> Reading<bool>;

    /// Up to where `target` has applied the signals of `from`.
    fn applied(&self, target: EntityId, from: EntityId) -> Reading<Option<Applied>>;

    /// Signals of an entity that are not known to be applied, oldest first, behind the version and index `after`, at most so
    /// many.
    fn undelivered(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
        limit: usize,
    ) -> Reading<Vec<Undelivered>>;

    /// Notes that these signals, by version and index, were applied. They are undelivered no longer. Does nothing for those
    /// that are not undelivered.
    fn delivered(&self, entity: EntityId, signals: Vec<(u64, u16)>) -> Reading<()>;

    /// Entities with undelivered signals, in the order of their ids, behind `after`.
    fn senders(&self, after: Option<EntityId>, limit: usize) -> Reading<Vec<EntityId>>;
}
