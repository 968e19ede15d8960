//! Carrying out one [`Commit`] inside the writer.

use super::{
    Head, HeadRow, entry_key, entry_value, head_in, list_key, put_head, result_id, row_key,
};
use crate::StoreError;
use crate::embedded::engine::Tx;
use crate::embedded::results;
use crate::embedded::tables::Table;
use crate::entities::{Commit, Entry, KeyedRequest, STREAMS};

/// Memory of a commit beside its rows, and of each of its rows: rough, for the bound of the queue.
const ROW_BYTES: usize = 128;

/// About how much memory a commit holds.
pub(super) fn weight(commit: &Commit) -> usize {
    let row = |key: &[u8], value: &Option<Vec<u8>>| {
        ROW_BYTES + key.len() + value.as_ref().map_or(0, Vec::len)
    };
    let rows: usize = commit.rows.iter().map(|(key, to)| row(key, to)).sum();
    let lists: usize = commit.lists.iter().map(|(_, key, to)| row(key, to)).sum();
    let entries = commit
        .entries
        .iter()
        .map(|entry| ROW_BYTES + entry.row.len());
    let signals = commit
        .signals
        .iter()
        .map(|signal| ROW_BYTES + signal.body.len());
    let results = commit.results.iter().map(|result| {
        let request = match &result.request {
            KeyedRequest::Hash(hash) => hash.len(),
            KeyedRequest::Whole(request) => request.len(),
        };
        ROW_BYTES + result.reply.len() + request
    });
    let parts = entries.chain(signals).chain(results);
    2 * ROW_BYTES + rows + lists + parts.sum::<usize>()
}

/// Carries the commit out, or refuses it as a whole.
pub(super) fn apply(tx: &mut Tx<'_>, commit: &Commit) -> Result<(), StoreError> {
    if commit.fence.0 != tx.fence() {
        return Err(StoreError::Conflict("a write before it was lost"));
    }
    let entity = commit.entity;
    let before = head_in(tx, entity)?;
    let mut next = next_head(before, commit)?;
    let is_only_appended = is_only_appended(before.as_ref(), commit);
    for entry in &commit.entries {
        put_entry(tx, entity, &mut next, entry, commit.version)?;
    }
    for &(stream, number) in &commit.dropped {
        stream_of(&mut next.head, stream)?;
        tx.delete(Table::Entries, entry_key(entity, stream, number));
    }
    for &(stream, first) in &commit.firsts {
        let stream = stream_of(&mut next.head, stream)?;
        stream.first = stream.first.max(first.min(stream.head + 1));
    }
    for (key, value) in &commit.rows {
        put_or_delete(
            tx,
            Table::EntityRows,
            row_key(entity, key),
            value.as_deref(),
        );
    }
    for (list, key, value) in &commit.lists {
        put_or_delete(tx, Table::Lists, list_key(*list, key), value.as_deref());
    }
    for result in &commit.results {
        tx.remember(
            result_id(entity, result.user, &result.key),
            results::encode(result),
            matches!(result.request, KeyedRequest::Whole(_)),
        );
    }
    super::signals::put(tx, entity, commit.version, &commit.signals)?;
    if let Some(applied) = &commit.applied {
        super::signals::put_applied(tx, entity, applied)?;
    }
    if commit.ends_at.is_some() {
        next.head.ended_at = commit.ends_at;
        tx.put(Table::EntitiesEnded, entity.as_bytes().as_slice(), b"");
    }
    if is_only_appended {
        tx.note_head(entity.as_bytes().as_slice(), Some(next));
    } else {
        put_head(tx, entity, &next);
    }
    Ok(())
}

/// The head after this commit, but for its streams; refused if the commit does not rest on the head before.
fn next_head(before: Option<HeadRow>, commit: &Commit) -> Result<HeadRow, StoreError> {
    let mut next = match before {
        Some(before) if before.head.ended_at.is_some() => {
            return Err(StoreError::Conflict("the entity has ended"));
        }
        Some(before) if before.head.incarnation != commit.incarnation => {
            return Err(StoreError::Conflict("another incarnation"));
        }
        Some(before) => before,
        None => HeadRow {
            head: Head {
                incarnation: commit.incarnation,
                ..Head::default()
            },
            swept: [1; STREAMS],
        },
    };
    if commit.version != next.head.version + 1 {
        return Err(StoreError::Conflict("not the next version"));
    }
    next.head.version = commit.version;
    Ok(next)
}

/// Whether the newest entry of stream 0 alone says where the entity stands then: its row of the head need not move.
fn is_only_appended(before: Option<&HeadRow>, commit: &Commit) -> bool {
    let Some(before) = before else {
        return false;
    };
    let head = before.head.streams[0].head;
    let mut numbers = (head + 1..).zip(&commit.entries);
    !commit.entries.is_empty()
        && numbers.all(|(number, entry)| entry.stream == 0 && entry.number == number)
        && commit.dropped.is_empty()
        && commit.firsts.is_empty()
        && commit.lists.is_empty()
        && commit.signals.is_empty()
        && commit.applied.is_none()
        && commit.ends_at.is_none()
}

fn stream_of(head: &mut Head, stream: u8) -> Result<&mut crate::entities::StreamHead, StoreError> {
    head.streams
        .get_mut(usize::from(stream))
        .ok_or(StoreError::Conflict("there is no such stream"))
}

fn put_entry(
    tx: &mut Tx<'_>,
    entity: crate::entities::EntityId,
    next: &mut HeadRow,
    entry: &Entry,
    version: u64,
) -> Result<(), StoreError> {
    let stream = stream_of(&mut next.head, entry.stream)?;
    if entry.number < stream.first {
        return Ok(());
    }
    if entry.number > stream.head + 1 {
        return Err(StoreError::Conflict("the entry is not the next one"));
    }
    stream.head = stream.head.max(entry.number);
    let key = entry_key(entity, entry.stream, entry.number);
    tx.put(Table::Entries, key, entry_value(version, &entry.row));
    Ok(())
}

fn put_or_delete(tx: &mut Tx<'_>, table: Table, key: Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => tx.put(table, key, value),
        None => tx.delete(table, key),
    }
}
