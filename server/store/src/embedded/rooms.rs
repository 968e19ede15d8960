//! [`Rooms`] in the embedded store.

mod names;
mod removal;
mod write;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::rows::{MemberRow, MemberState, MessageRow, RoomRow, StoredRoom};
use serde::{Deserialize, Serialize};

use super::Embedded;
use super::engine::{Limit, Range, Row, Tx, View};
use super::keys::{KeyBuilder, id_at_end};
use super::rows;
use super::tables::Table;
use crate::reservation::Reservation;
use crate::rooms::{Fence, LoadedRoom, PAGE_ROWS_MAX, RoomSummary, RoomWrite, Rooms, RoomsPage};
use crate::{Done, StoreError};

/// Where a room's sequences stand. There is one for each room, deleted ones included until they are swept.
///
/// A message does not write the row: `head` and `last_at` of a stored row may be behind, and the newest message says what
/// they are ([`Heads::caught_up`]). Whatever else changes the row writes all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heads {
    /// Newest message.
    pub(super) head: u64,
    /// Newest change.
    pub(super) rev: u64,
    /// When the newest message was sent.
    #[serde(rename = "at", default)]
    pub(super) last_at: u64,
    /// Oldest message that readers see.
    pub(super) first: u64,
    /// Oldest change that readers see.
    #[serde(rename = "cfirst")]
    pub(super) changes_first: u64,
    /// Oldest message whose row may still be there: at most `first`.
    #[serde(rename = "gone")]
    pub(super) swept: u64,
    /// Oldest change whose row may still be there: at most `changes_first`.
    #[serde(rename = "cgone")]
    pub(super) changes_swept: u64,
    /// Players in state [`MemberState::Member`].
    #[serde(rename = "n", default)]
    pub(super) members: u32,
    /// The room was deleted.
    #[serde(rename = "del", default)]
    pub(super) deleted: bool,
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            head: 0,
            rev: 0,
            last_at: 0,
            first: 1,
            changes_first: 1,
            swept: 1,
            changes_swept: 1,
            members: 0,
            deleted: false,
        }
    }
}

pub(super) fn room_key(room: RoomId) -> Vec<u8> {
    room.as_bytes().to_vec()
}

pub(super) fn member_key(room: RoomId, user: UserId) -> Vec<u8> {
    KeyBuilder::new().room(&room).user(&user).build()
}

pub(super) fn user_room_key(user: UserId, room: RoomId) -> Vec<u8> {
    KeyBuilder::new().user(&user).room(&room).build()
}

/// Key of a message by its sequence, or of a change by its revision.
pub(super) fn numbered_key(room: RoomId, number: u64) -> Vec<u8> {
    KeyBuilder::new().room(&room).number(number).build()
}

pub(super) fn reaction_key(room: RoomId, seq: u64, user: UserId) -> Vec<u8> {
    KeyBuilder::new()
        .room(&room)
        .number(seq)
        .user(&user)
        .build()
}

impl Heads {
    /// Moves `head` and `last_at` to the newest message, which `scan` finds.
    fn caught_up(
        mut self,
        room: RoomId,
        scan: impl FnOnce(&Range, Limit) -> Result<Vec<Row>, StoreError>,
    ) -> Result<Self, StoreError> {
        let beyond = Range::prefix(room.as_bytes()).after(numbered_key(room, self.head));
        if let Some((_, row)) = scan(&beyond, Limit::rows(1))?.first() {
            let newest: MessageRow = rows::decode(Table::Messages, row)?;
            self.head = newest.msg.seq;
            self.last_at = newest.msg.at;
        }
        Ok(self)
    }
}

/// The heads of a room inside a write.
fn heads_in(tx: &Tx<'_>, room: RoomId) -> Result<Option<Heads>, StoreError> {
    if let Some(noted) = tx.noted_heads(room.as_bytes()) {
        return rows::decode(Table::RoomHeads, &noted).map(Some);
    }
    let Some(row) = tx.get(Table::RoomHeads, room.as_bytes())? else {
        return Ok(None);
    };
    let stored: Heads = rows::decode(Table::RoomHeads, &row)?;
    stored
        .caught_up(room, |range, limit| {
            tx.scan(Table::Messages, range, true, limit)
        })
        .map(Some)
}

/// Writes the row of a room's heads.
fn put_heads(tx: &mut Tx<'_>, room: RoomId, heads: &Heads) {
    let row = rows::encode(heads);
    tx.note_heads(room_key(room), Some(row.clone()));
    tx.put(Table::RoomHeads, room_key(room), row);
}

/// Heads for their oldest message and change alone: the newest message is not looked for. Nothing if the room is unknown
/// or deleted.
pub(super) fn live_floors(view: &View, room: RoomId) -> Result<Option<Heads>, StoreError> {
    Ok(stored_heads(view, room)?.filter(|heads| !heads.deleted))
}

/// Where the room stands, or nothing if it is unknown or deleted.
pub(super) fn live_heads(view: &View, room: RoomId) -> Result<Option<Heads>, StoreError> {
    Ok(heads_of(view, room)?.filter(|heads| !heads.deleted))
}

fn heads_of(view: &View, room: RoomId) -> Result<Option<Heads>, StoreError> {
    let Some(stored) = stored_heads(view, room)? else {
        return Ok(None);
    };
    stored
        .caught_up(room, |range, limit| {
            view.scan(Table::Messages, range, true, limit)
        })
        .map(Some)
}

fn stored_heads(view: &View, room: RoomId) -> Result<Option<Heads>, StoreError> {
    view.get(Table::RoomHeads, room.as_bytes())?
        .map(|row| rows::decode(Table::RoomHeads, &row))
        .transpose()
}

fn room_of(view: &View, room: RoomId) -> Result<Option<RoomRow>, StoreError> {
    view.get(Table::Rooms, room.as_bytes())?
        .map(|row| rows::decode(Table::Rooms, &row))
        .transpose()
}

/// The newest message, unless retention has removed it.
fn last_of(view: &View, room: RoomId, heads: &Heads) -> Result<Option<MessageRow>, StoreError> {
    if heads.first > heads.head {
        return Ok(None);
    }
    view.get(Table::Messages, &numbered_key(room, heads.head))?
        .map(|row| rows::decode(Table::Messages, &row))
        .transpose()
}

fn load(view: &View, room: RoomId, fence: Fence) -> Result<Option<LoadedRoom>, StoreError> {
    let (Some(heads), Some(row)) = (heads_of(view, room)?, room_of(view, room)?) else {
        return Ok(None);
    };
    let members = if heads.deleted {
        Vec::new()
    } else {
        // The room's rules bound its members, and its owner holds them all in memory.
        let all = Limit::new(usize::MAX, usize::MAX);
        let range = Range::prefix(room.as_bytes());
        view.scan(Table::Members, &range, false, all)?
            .iter()
            .map(|(_, row)| rows::decode(Table::Members, row))
            .collect::<Result<_, _>>()?
    };
    let stored = StoredRoom {
        members,
        head: heads.head,
        rev: heads.rev,
        first: heads.first,
        changes_first: heads.changes_first,
        last: last_of(view, room, &heads)?,
        last_at: heads.last_at,
        row,
    };
    Ok(Some(LoadedRoom { fence, stored }))
}

fn summary(view: &View, room: RoomId) -> Result<Option<RoomSummary>, StoreError> {
    let (Some(heads), Some(row)) = (live_heads(view, room)?, room_of(view, room)?) else {
        return Ok(None);
    };
    Ok(Some(RoomSummary {
        members: heads.members,
        head: heads.head,
        rev: heads.rev,
        first: heads.first,
        last: last_of(view, room, &heads)?,
        row,
    }))
}

fn rooms_of(
    view: &View,
    user: UserId,
    after: Option<RoomId>,
    limit: usize,
) -> Result<Vec<(RoomId, MemberRow)>, StoreError> {
    let mut found = Vec::new();
    let mut range = Range::prefix(user.as_bytes());
    if let Some(after) = after {
        range = range.after(user_room_key(user, after));
    }
    while found.len() < limit {
        let wanted = limit - found.len();
        let page = view.scan(Table::UserRooms, &range, false, Limit::rows(wanted))?;
        for (key, _) in &page {
            let Some(room) = id_at_end(key).map(RoomId::from_bytes) else {
                continue;
            };
            if live_floors(view, room)?.is_none() {
                continue;
            }
            if let Some(row) = view.get(Table::Members, &member_key(room, user))? {
                found.push((room, rows::decode(Table::Members, &row)?));
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == wanted => range = range.after(key.to_vec()),
            _ => break,
        }
    }
    Ok(found)
}

impl Rooms for Embedded {
    fn fence(&self) -> Fence {
        Fence(self.engine().fence())
    }

    fn load(&self, room: RoomId) -> BoxFuture<'static, Result<Option<LoadedRoom>, StoreError>> {
        let engine = self.engine().clone();
        // Before the read: a failure in between makes the fence old, not the state.
        let fence = self.fence();
        async move { engine.read(move |view| load(view, room, fence)).await }.boxed()
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        self.engine().reserve(bytes)
    }

    fn write(&self, reservation: Reservation, write: RoomWrite, done: Done) {
        let bytes = write::weight(&write);
        let job = Box::new(move |tx: &mut Tx<'_>| write::apply(tx, &write));
        self.engine().submit(reservation, bytes, job, done);
    }

    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool {
        self.engine().listen_to_reports(listener)
    }

    fn summaries(
        &self,
        rooms: Vec<RoomId>,
    ) -> BoxFuture<'static, Result<Vec<RoomSummary>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    rooms
                        .into_iter()
                        .take(PAGE_ROWS_MAX)
                        .filter_map(|room| summary(view, room).transpose())
                        .collect()
                })
                .await
        }
        .boxed()
    }

    fn public_rooms(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<RoomsPage, StoreError>> {
        let engine = self.engine().clone();
        let limit = limit.min(PAGE_ROWS_MAX);
        async move {
            engine
                .read(move |view| names::list(view, after.as_deref(), limit))
                .await
        }
        .boxed()
    }

    fn search(
        &self,
        query: String,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<RoomsPage, StoreError>> {
        let engine = self.engine().clone();
        let limit = limit.min(PAGE_ROWS_MAX);
        async move {
            engine
                .read(move |view| names::search(view, &query, after.as_deref(), limit))
                .await
        }
        .boxed()
    }

    fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<(RoomId, MemberRow)>, StoreError>> {
        let engine = self.engine().clone();
        let limit = limit.min(PAGE_ROWS_MAX);
        async move {
            engine
                .read(move |view| rooms_of(view, user, after, limit))
                .await
        }
        .boxed()
    }

    fn member(
        &self,
        room: RoomId,
        user: UserId,
    ) -> BoxFuture<'static, Result<Option<MemberRow>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    if live_floors(view, room)?.is_none() {
                        return Ok(None);
                    }
                    view.get(Table::Members, &member_key(room, user))?
                        .map(|row| rows::decode(Table::Members, &row))
                        .transpose()
                })
                .await
        }
        .boxed()
    }

    fn rooms_page(
        &self,
        after: Option<RoomId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<RoomRow>, StoreError>> {
        let engine = self.engine().clone();
        let limit = Limit::rows(limit.min(PAGE_ROWS_MAX));
        async move {
            engine
                .read(move |view| {
                    let range = match after {
                        Some(after) => Range::all().after(room_key(after)),
                        None => Range::all(),
                    };
                    view.scan(Table::Rooms, &range, false, limit)?
                        .iter()
                        .map(|(_, row)| rows::decode(Table::Rooms, row))
                        .collect()
                })
                .await
        }
        .boxed()
    }

    fn remove_before(
        &self,
        room: RoomId,
        first: u64,
        changes_first: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let engine = self.engine().clone();
        async move { removal::remove_before(&engine, room, first, changes_first).await }.boxed()
    }

    fn sweep(&self) -> BoxFuture<'static, Result<bool, StoreError>> {
        let engine = self.engine().clone();
        async move { engine.write(removal::sweep).await }.boxed()
    }
}

/// Whether the player's list of rooms shows a room where they stand so.
fn listed(state: &MemberState) -> bool {
    matches!(state, MemberState::Member | MemberState::Invited)
}
