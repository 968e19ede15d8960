//! How rooms are stored: their rows, and what anyone reads of them.
//!
//! A room is an entity of its own. Stream 0 has its messages, stream 1 the changes to them. Its rows are the settings, the number of
//! members, the places of players, and what players reacted with. Three lists lead to rooms: one of all, and two of public
//! ones, in [`names`].

pub mod names;
mod reads;

use pitturu_protocol::codec;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::RoomKind;
use pitturu_rules::rooms::rows::{
    MemberRow, MemberState, MessageRow, RoomRow, RoomRows, SanctionRow, StoredRoom,
};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Claimed, Commit, Entities, EntityId, Entry, Glance, Head, Kind, List, Loaded,
    LoadedPart, Part, RowKey, RowRange, Space,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Rooms among the kinds of entities.
pub const ROOM: Kind = Kind(1);

/// All rooms in the order of their ids; of each its settings.
const ROOMS: List = List(1);

/// The stream of messages.
pub(super) const MESSAGES: u8 = 0;

/// The stream of changes to messages.
pub(super) const CHANGES: u8 = 1;

/// The row of the settings.
const SETTINGS: &[u8] = b"s";

/// The row of the number of members.
const JOINED: &[u8] = b"n";

/// Rows of places: user.
const MEMBERS: &[u8] = b"u";

/// Rows of reactions: sequence of the message, user.
const REACTIONS: &[u8] = b"r";

/// Rows of what limits players: user.
const SANCTIONS: &[u8] = b"x";

/// Rows of messages that are deleted: sequence.
const DELETED: &[u8] = b"d";

/// Handles of rooms among the claims.
const HANDLES: Space = Space(3);

/// The room among entities.
pub fn entity(room: RoomId) -> EntityId {
    EntityId::new(ROOM, room)
}

fn member_key(user: UserId) -> RowKey {
    [MEMBERS, user.as_bytes()].concat()
}

fn sanction_key(user: UserId) -> RowKey {
    [SANCTIONS, user.as_bytes()].concat()
}

fn deleted_key(seq: u64) -> RowKey {
    [DELETED, &seq.to_be_bytes()].concat()
}

fn reactions_of(seq: u64) -> RowKey {
    [REACTIONS, &seq.to_be_bytes()].concat()
}

fn reaction_key(seq: u64, user: UserId) -> RowKey {
    [reactions_of(seq).as_slice(), user.as_bytes()].concat()
}

/// A row as it is stored: a MessagePack map with field names, so that fields can be added under a default.
pub fn encode<T: Serialize + ?Sized>(row: &T) -> Vec<u8> {
    codec::encode(row)
}

/// Reads a row of `what`.
///
/// # Errors
/// [`StoreError::Damaged`] if the bytes are no such row.
pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes).map_err(|error| {
        tracing::error!(what, %error, "a stored row is damaged");
        StoreError::damaged(format!("{what}: {error}"))
    })
}

/// Reads a room's settings.
fn settings_of(bytes: &[u8]) -> Result<RoomRow, StoreError> {
    decode("room", bytes).map(RoomRow::in_range)
}

/// Reads a player's place in a room.
fn member(bytes: &[u8]) -> Result<MemberRow, StoreError> {
    decode("member", bytes).map(MemberRow::in_range)
}

/// Reads what limits a player in a room.
fn sanction(bytes: &[u8]) -> Result<SanctionRow, StoreError> {
    decode("sanction", bytes).map(SanctionRow::in_range)
}

/// Puts the rows of a decision into its commit.
pub fn put(commit: &mut Commit, room: RoomId, rows: &RoomRows, now: u64) {
    if let Some(row) = &rows.row {
        put_settings(commit, room, rows.row_before.as_ref(), row, now);
    }
    if let Some(joined) = rows.joined {
        commit.rows.push((JOINED.to_vec(), Some(encode(&joined))));
    }
    for member in &rows.members {
        let is_kept = member.state != MemberState::Left;
        let row = is_kept.then(|| encode(member));
        commit.rows.push((member_key(member.user), row));
    }
    for (user, sanction) in &rows.sanctions {
        let row = sanction.as_ref().map(encode);
        commit.rows.push((sanction_key(*user), row));
    }
    for (seq, is_noted) in &rows.deleted {
        commit
            .rows
            .push((deleted_key(*seq), is_noted.then(Vec::new)));
    }
    for (seq, user, emoji) in &rows.reactions {
        let row = (!emoji.is_empty()).then(|| encode(emoji));
        commit.rows.push((reaction_key(*seq, *user), row));
    }
    let mut entry = |stream, number, row| {
        commit.entries.push(Entry {
            stream,
            number,
            row,
        })
    };
    if let Some(message) = &rows.message {
        entry(MESSAGES, message.msg.seq, encode(message));
    }
    for row in &rows.updated {
        entry(MESSAGES, row.msg.seq, encode(row));
    }
    if let Some(change) = &rows.change {
        entry(CHANGES, change.rev, encode(change));
    }
}

fn put_settings(
    commit: &mut Commit,
    room: RoomId,
    before: Option<&RoomRow>,
    row: &RoomRow,
    now: u64,
) {
    commit.lists.extend(names::changes(before, row));
    let listed = (!row.deleted).then(|| encode(row));
    commit.lists.push((ROOMS, room.as_bytes().to_vec(), listed));
    if row.deleted {
        commit.ends_at = Some(now);
    } else {
        commit.rows.push((SETTINGS.to_vec(), Some(encode(row))));
    }
}

/// A room as its owner takes it up.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedRoom {
    /// Where its entity stands, and what commits to it have to rest on.
    pub loaded: Loaded,
    /// The room.
    pub stored: StoredRoom,
    /// Its newest messages.
    pub recent: Vec<MessageRow>,
}

/// What lists tell of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomSummary {
    /// Settings.
    pub row: RoomRow,
    /// Players who are members.
    pub members: u32,
    /// Newest message; 0 before the first.
    pub head: u64,
    /// Newest change; 0 before the first.
    pub rev: u64,
    /// Oldest message that is kept; `head + 1` when none is.
    pub first: u64,
    /// The newest message, unless retention has removed it.
    pub last: Option<MessageRow>,
    /// The place of the player for whom it was asked.
    pub place: Option<MemberRow>,
}

/// The rooms of a store.
#[derive(Clone)]
pub struct RoomStore {
    entities: Arc<dyn Entities>,
}

impl RoomStore {
    /// The rooms among these entities.
    pub fn new(entities: Arc<dyn Entities>) -> Self {
        Self { entities }
    }

    /// The entities underneath.
    pub fn entities(&self) -> &Arc<dyn Entities> {
        &self.entities
    }

    /// The room as its owner takes it up, with its newest messages within these bounds; nothing if it is unknown. If its row is
    /// `deleted`, the room has ended, and nothing else of it is known.
    ///
    /// # Errors
    /// Those of [`Entities::load`].
    pub async fn load(
        &self,
        room: RoomId,
        recent: Bounds,
    ) -> Result<Option<LoadedRoom>, StoreError> {
        let parts = vec![
            Part::Rows(RowRange::prefix(SETTINGS)),
            Part::Rows(RowRange::prefix(MEMBERS)),
            Part::Rows(RowRange::prefix(SANCTIONS)),
            Part::Rows(RowRange::prefix(DELETED)),
            Part::Newest(MESSAGES, recent),
        ];
        let loaded = self.entities.load(entity(room), parts).await?;
        loaded.map(|loaded| loaded_room(room, loaded)).transpose()
    }
}

impl RoomStore {
    /// The room that has a handle; `room` gets it if none has, or in place of `instead_of`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim_handle(
        &self,
        handle: &str,
        room: RoomId,
        instead_of: Option<RoomId>,
    ) -> Result<RoomId, StoreError> {
        let key = handle.as_bytes().to_vec();
        let instead_of = instead_of.map(entity);
        let claimed = self.entities.claim(HANDLES, key, entity(room), instead_of);
        Ok(match claimed.await? {
            Claimed::Done => room,
            Claimed::Held(holder) => RoomId::from_bytes(holder.id()),
        })
    }

    /// The room that has a handle.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn with_handle(&self, handle: &str) -> Result<Option<RoomId>, StoreError> {
        let holder = self.entities.claimed(HANDLES, handle.as_bytes()).await?;
        Ok(holder.map(|holder| RoomId::from_bytes(holder.id())))
    }

    /// Frees the handle of a room that has ended. It is free for whoever asks for it in any case; this spares them the look.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn free_handle(&self, handle: &str, room: RoomId) -> Result<(), StoreError> {
        let key = handle.as_bytes().to_vec();
        self.entities.release(HANDLES, key, entity(room)).await
    }
}

fn loaded_room(room: RoomId, mut loaded: Loaded) -> Result<LoadedRoom, StoreError> {
    let parts = std::mem::take(&mut loaded.parts);
    let head = loaded.head;
    if head.ended_at.is_some() {
        return Ok(LoadedRoom {
            stored: stored(deleted_row(room), &head, None),
            recent: Vec::new(),
            loaded,
        });
    }
    let Ok(
        [
            LoadedPart::Rows(settings),
            LoadedPart::Rows(members),
            LoadedPart::Rows(sanctions),
            LoadedPart::Rows(deleted),
            LoadedPart::Newest(messages),
        ],
    ) = <[LoadedPart; 5]>::try_from(parts)
    else {
        return Err(StoreError::damaged("a room was loaded in other parts"));
    };
    let Some((_, row)) = settings.first() else {
        return Err(StoreError::damaged("a room has no settings"));
    };
    let members = members.iter().map(|(_, row)| member(row));
    let recent = messages.iter().map(|(_, row)| decode("message", row));
    let recent: Vec<MessageRow> = recent.collect::<Result<_, _>>()?;
    let sanctions = sanctions.iter().map(|(_, row)| sanction(row));
    let deleted = deleted.iter().filter_map(|(key, _)| key.last_chunk());
    let stored = StoredRoom {
        members: members.collect::<Result<_, _>>()?,
        sanctions: sanctions.collect::<Result<_, _>>()?,
        deleted: deleted.map(|seq| u64::from_be_bytes(*seq)).collect(),
        ..stored(settings_of(row)?, &head, recent.last().cloned())
    };
    Ok(LoadedRoom {
        loaded,
        stored,
        recent,
    })
}

fn stored(row: RoomRow, head: &Head, last: Option<MessageRow>) -> StoredRoom {
    let [messages, changes] = head.streams;
    StoredRoom {
        row,
        members: Vec::new(),
        sanctions: Vec::new(),
        deleted: Vec::new(),
        head: messages.head,
        rev: changes.head,
        first: messages.first,
        changes_first: changes.first,
        last_at: last.as_ref().map_or(0, |row| row.msg.at),
        last,
    }
}

/// What is left of a room that has ended.
fn deleted_row(room: RoomId) -> RoomRow {
    RoomRow {
        room,
        kind: RoomKind::Private,
        name: String::new(),
        handle: None,
        topic: None,
        slow_mode_ms: 0,
        retention: pitturu_protocol::types::chat::Retention::default(),
        created_at: 0,
        peers: None,
        deleted: true,
    }
}

fn summary(glance: &Glance) -> Result<Option<RoomSummary>, StoreError> {
    let [messages, changes] = glance.head.streams;
    let [Some(row), joined, place @ ..] = glance.rows.as_slice() else {
        return Ok(None);
    };
    let last = glance.newest.as_ref();
    let last = last.filter(|(seq, _)| *seq == messages.head);
    let last = last.map(|(_, row)| decode("message", row)).transpose()?;
    let place = place.first().and_then(Option::as_ref);
    let place = place.map(|row| member(row)).transpose()?;
    Ok(Some(RoomSummary {
        row: settings_of(row)?,
        members: joined
            .as_ref()
            .map_or(Ok(0), |row| decode("number of members", row))?,
        head: messages.head,
        rev: changes.head,
        first: messages.first,
        place: place.map(|place| place.with_newest(last.as_ref())),
        last,
    }))
}

#[cfg(test)]
mod tests;
