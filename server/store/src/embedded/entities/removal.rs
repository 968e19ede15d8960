//! Removing rows for good, in pieces between other writes.

use serde::{Deserialize, Serialize};

use super::{entry_key, entry_number, head_in, in_entity, put_head, signals};
use crate::StoreError;
use crate::embedded::engine::{Engine, Limit, Range, Tx};
use crate::embedded::rows;
use crate::embedded::tables::Table;
use crate::entities::{ENTITY_BYTES, EntityId, RowRange, STREAMS};

/// Rows removed in one write: few enough that other writes hardly wait.
const ROWS_PER_WRITE: usize = 500;

/// How long it is known that an entity has ended, in milliseconds.
const MARKER_MS: u64 = 48 * 60 * 60 * 1_000;

/// In place of a time in the markers of those that are kept for their signals alone.
const WAITING: u64 = u64::MAX;

/// Tables with rows of an entity, in the order in which they are emptied. Its undelivered signals outlive it.
const TABLES: [Table; 3] = [Table::EntityRows, Table::Entries, Table::Applied];

pub(super) async fn remove(
    engine: &Engine,
    entity: EntityId,
    range: RowRange,
) -> Result<(), StoreError> {
    let mut after = range.after.clone();
    loop {
        let piece = in_entity(entity, &range.clone().after(after));
        let last = engine
            .write(move |tx| {
                let found = tx.scan(
                    Table::EntityRows,
                    &piece,
                    false,
                    Limit::rows(ROWS_PER_WRITE),
                )?;
                let last = found.last().map(|(key, _)| key.to_vec());
                let is_full = found.len() == ROWS_PER_WRITE;
                for (key, _) in found {
                    tx.delete(Table::EntityRows, key);
                }
                Ok::<_, StoreError>(last.filter(|_| is_full))
            })
            .await?;
        match last {
            Some(key) => after = Some(key[ENTITY_BYTES..].to_vec()),
            None => return Ok(()),
        }
    }
}

pub(super) async fn trim(engine: &Engine, entity: EntityId) -> Result<(), StoreError> {
    for stream in 0..STREAMS {
        while engine
            .write(move |tx| trim_some(tx, entity, stream))
            .await?
        {}
    }
    Ok(())
}

/// Removes a piece of what readers no longer see of a stream. True when there may be more.
fn trim_some(tx: &mut Tx<'_>, entity: EntityId, stream: usize) -> Result<bool, StoreError> {
    let Some(mut stored) = head_in(tx, entity)?.filter(|row| row.head.ended_at.is_none()) else {
        return Ok(false);
    };
    let (from, to) = (stored.swept[stream], stored.head.streams[stream].first);
    if from >= to {
        return Ok(false);
    }
    let number = u8::try_from(stream).expect("few");
    let range = Range::prefix(entity.as_bytes())
        .from(entry_key(entity, number, from))
        .before(entry_key(entity, number, to));
    let found = tx.scan(Table::Entries, &range, false, Limit::rows(ROWS_PER_WRITE))?;
    let is_full = found.len() == ROWS_PER_WRITE;
    let last = found.last().map(|(key, _)| entry_number(key)).transpose()?;
    stored.swept[stream] = match last {
        Some(last) if is_full => last + 1,
        _ => to,
    };
    for (key, _) in found {
        tx.delete(Table::Entries, key);
    }
    put_head(tx, entity, &stored);
    Ok(is_full)
}

/// How far the removal of an ended entity has come.
#[derive(Default, Serialize, Deserialize)]
struct Progress {
    /// Index in [`TABLES`].
    stage: usize,
    /// Last key that was removed there: what is before it are traces of removed rows, slow to pass over.
    #[serde(with = "serde_bytes")]
    after: Vec<u8>,
}

fn marker_key(ended_at: u64, entity: EntityId) -> Vec<u8> {
    [ended_at.to_be_bytes().as_slice(), entity.as_bytes()].concat()
}

/// Removes a piece of the first ended entity, or forgets some that ended long ago. True when there is more to do.
pub(super) fn sweep(tx: &mut Tx<'_>, now: u64) -> Result<bool, StoreError> {
    let ended = tx.scan(Table::EntitiesEnded, &Range::all(), false, Limit::rows(1))?;
    let Some((key, row)) = ended.first() else {
        return forget(tx, now);
    };
    let entity = EntityId::from_bytes(key)
        .ok_or_else(|| StoreError::damaged("a key of entities_ended is none"))?;
    let mut progress: Progress = if row.is_empty() {
        Progress::default()
    } else {
        rows::decode(Table::EntitiesEnded, row)?
    };
    let Some(table) = TABLES.get(progress.stage) else {
        let head = head_in(tx, entity)?;
        let ended_at = head.and_then(|row| row.head.ended_at).unwrap_or(now);
        tx.delete(Table::EntitiesEnded, entity.as_bytes().as_slice());
        tx.put(Table::EntityMarkers, marker_key(ended_at, entity), b"");
        return Ok(true);
    };
    let mut range = Range::prefix(entity.as_bytes());
    if !progress.after.is_empty() {
        range = range.after(std::mem::take(&mut progress.after));
    }
    let found = tx.scan(*table, &range, false, Limit::rows(ROWS_PER_WRITE))?;
    match found.last() {
        Some((key, _)) if found.len() == ROWS_PER_WRITE => progress.after = key.to_vec(),
        _ => progress.stage += 1,
    }
    for (key, _) in found {
        tx.delete(*table, key);
    }
    let key = entity.as_bytes().as_slice();
    tx.put(Table::EntitiesEnded, key, rows::encode(&progress));
    Ok(true)
}

fn forget(tx: &mut Tx<'_>, now: u64) -> Result<bool, StoreError> {
    let long_ago = now.saturating_sub(MARKER_MS).to_be_bytes().to_vec();
    let range = Range::all().before(long_ago);
    let found = tx.scan(
        Table::EntityMarkers,
        &range,
        false,
        Limit::rows(ROWS_PER_WRITE),
    )?;
    let is_full = found.len() == ROWS_PER_WRITE;
    for (key, _) in found {
        if let Some(entity) = key.get(8..).and_then(EntityId::from_bytes) {
            if signals::is_waiting(tx, entity)? {
                // Out of the way of the others, until the last of its signals is applied.
                tx.put(Table::EntityMarkers, marker_key(WAITING, entity), b"");
            } else {
                let head = entity.as_bytes().as_slice();
                tx.note_head(head, None);
                tx.delete(Table::EntityHeads, head);
            }
        }
        tx.delete(Table::EntityMarkers, key);
    }
    Ok(is_full)
}

/// Signals of an entity were applied. If it ended long ago and none is left, the next sweep forgets it.
pub(super) fn signals_applied(tx: &mut Tx<'_>, entity: EntityId) -> Result<(), StoreError> {
    let waiting = marker_key(WAITING, entity);
    if tx.get(Table::EntityMarkers, &waiting)?.is_some() && !signals::is_waiting(tx, entity)? {
        tx.delete(Table::EntityMarkers, waiting);
        tx.put(Table::EntityMarkers, marker_key(0, entity), b"");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::Kind;

    #[test]
    fn markers_sort_by_time() {
        let entity = EntityId::new(Kind(1), [7; 10]);
        assert!(marker_key(255, entity) < marker_key(256, entity));
    }
}
