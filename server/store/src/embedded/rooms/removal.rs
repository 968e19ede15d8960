//! Removing what retention no longer keeps and what deleted rooms leave, in pieces between other writes.

use pitturu_protocol::ids::{RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{Heads, heads_in, numbered_key, put_heads, room_key, user_room_key};
use crate::StoreError;
use crate::embedded::engine::{Engine, Limit, Range, Tx};
use crate::embedded::keys::{id_at_end, number_at_end};
use crate::embedded::rows;
use crate::embedded::tables::Table;

/// Rows removed in one write: few enough that other writes hardly wait.
const ROWS_PER_WRITE: usize = 500;

/// Tables with rows of a room, in the order in which they are emptied.
const ROOM_TABLES: [Table; 4] = [
    Table::Members,
    Table::Reactions,
    Table::Messages,
    Table::Changes,
];

pub(super) async fn remove_before(
    engine: &Engine,
    room: RoomId,
    first: u64,
    changes_first: u64,
) -> Result<(), StoreError> {
    engine
        .write(move |tx| {
            let mut heads = heads_of(tx, room)?;
            heads.first = heads.first.max(first.min(heads.head + 1));
            heads.changes_first = heads.changes_first.max(changes_first.min(heads.rev + 1));
            put_heads(tx, room, &heads);
            Ok::<_, StoreError>(())
        })
        .await?;
    while engine.write(move |tx| remove_some(tx, room)).await? {}
    Ok(())
}

fn heads_of(tx: &Tx<'_>, room: RoomId) -> Result<Heads, StoreError> {
    let heads = heads_in(tx, room)?.ok_or(StoreError::Conflict("there is no such room"))?;
    if heads.deleted {
        return Err(StoreError::Conflict("the room was deleted"));
    }
    Ok(heads)
}

/// Removes a piece of what readers no longer see. True when there may be more.
fn remove_some(tx: &mut Tx<'_>, room: RoomId) -> Result<bool, StoreError> {
    let mut heads = heads_of(tx, room)?;
    let messages = span(tx, Table::Messages, room, heads.swept, heads.first)?;
    if let Some(end) = messages.end {
        // Reactions first, so that none is left without its message.
        let range = room_range(room, heads.swept, end);
        let reactions = tx.scan(Table::Reactions, &range, false, Limit::rows(ROWS_PER_WRITE))?;
        let full = reactions.len() == ROWS_PER_WRITE;
        for (key, _) in reactions {
            tx.delete(Table::Reactions, key);
        }
        if full {
            return Ok(true);
        }
        heads.swept = end;
        messages.remove(tx, Table::Messages);
        put_heads(tx, room, &heads);
        return Ok(true);
    }
    let changes = span(
        tx,
        Table::Changes,
        room,
        heads.changes_swept,
        heads.changes_first,
    )?;
    let Some(end) = changes.end else {
        return Ok(false);
    };
    heads.changes_swept = end;
    changes.remove(tx, Table::Changes);
    put_heads(tx, room, &heads);
    Ok(true)
}

/// Rows to remove in one write, and the number up to which nothing is left then; none when nothing was left before.
struct Span {
    keys: Vec<super::super::engine::Key>,
    end: Option<u64>,
}

impl Span {
    fn remove(self, tx: &mut Tx<'_>, table: Table) {
        for key in self.keys {
            tx.delete(table, key);
        }
    }
}

fn span(tx: &Tx<'_>, table: Table, room: RoomId, from: u64, to: u64) -> Result<Span, StoreError> {
    if from >= to {
        return Ok(Span {
            keys: Vec::new(),
            end: None,
        });
    }
    let range = room_range(room, from, to);
    let rows = tx.scan(table, &range, false, Limit::rows(ROWS_PER_WRITE))?;
    let full = rows.len() == ROWS_PER_WRITE;
    let keys: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
    let last = keys.last().and_then(|key| number_at_end(key));
    let end = match last {
        Some(last) if full => last + 1,
        _ => to,
    };
    Ok(Span {
        keys,
        end: Some(end),
    })
}

/// Keys of the room whose number is at least `from` and below `to`.
fn room_range(room: RoomId, from: u64, to: u64) -> Range {
    Range::prefix(room.as_bytes())
        .from(numbered_key(room, from))
        .before(numbered_key(room, to))
}

/// How far the removal of a deleted room has come.
#[derive(Default, Serialize, Deserialize)]
struct Progress {
    /// Index in [`ROOM_TABLES`].
    stage: usize,
    /// Last key that was removed there: what is before it are traces of removed rows, slow to pass over.
    #[serde(with = "serde_bytes")]
    after: Vec<u8>,
}

/// Removes a piece of the first deleted room. True when there is more to do.
pub(super) fn sweep(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let deleted = tx.scan(Table::RoomsDeleted, &Range::all(), false, Limit::rows(2))?;
    let Some((key, row)) = deleted.first() else {
        return Ok(false);
    };
    let room = id_at_end(key)
        .map(RoomId::from_bytes)
        .ok_or_else(|| StoreError::damaged("a key of rooms_deleted is no room"))?;
    let mut progress: Progress = if row.is_empty() {
        Progress::default()
    } else {
        rows::decode(Table::RoomsDeleted, row)?
    };
    let Some(table) = ROOM_TABLES.get(progress.stage) else {
        tx.note_heads(room_key(room), None);
        tx.delete(Table::RoomHeads, room_key(room));
        tx.delete(Table::Rooms, room_key(room));
        tx.delete(Table::RoomsDeleted, room_key(room));
        return Ok(deleted.len() > 1);
    };
    let mut range = Range::prefix(room.as_bytes());
    if !progress.after.is_empty() {
        range = range.after(std::mem::take(&mut progress.after));
    }
    let rows = tx.scan(*table, &range, false, Limit::rows(ROWS_PER_WRITE))?;
    match rows.last() {
        Some((key, _)) if rows.len() == ROWS_PER_WRITE => progress.after = key.to_vec(),
        _ => progress.stage += 1,
    }
    for (key, _) in rows {
        if *table == Table::Members
            && let Some(user) = id_at_end(&key).map(UserId::from_bytes)
        {
            tx.delete(Table::UserRooms, user_room_key(user, room));
        }
        tx.delete(*table, key);
    }
    tx.put(Table::RoomsDeleted, room_key(room), rows::encode(&progress));
    Ok(true)
}
