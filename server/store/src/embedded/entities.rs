//! [`Entities`] in the embedded store.
//!
//! A commit and its rows are one atomic batch, so its record is its rows: no log is kept beside them. An entry of stream 0 carries
//! the version that it was written with. A commit that does nothing but append there does not write the row of the entity's
//! head: the newest entry says where the entity stands (decision 4). The writer keeps heads in memory, so that it seldom has
//! to look.

mod apply;
mod claims;
mod removal;
mod signals;

use futures_util::FutureExt as _;
use pitturu_protocol::ids::UserId;
use sha2::{Digest, Sha256};

use super::Embedded;
use super::engine::{HeadRow, Limit, Range, Row as StoredRow, Tx, View};
use super::tables::Table;
use super::{results, rows};
use crate::entities::{
    Applied, Bounds, Claimed, ENTITY_BYTES, Entities, EntityId, Fence, Glance, Head, KeyedResult,
    List, Loaded, LoadedPart, Numbered, OpenCommit, PAGE_ROWS_MAX, Part, Reading, Row, RowKey,
    RowRange, Space, Span, TakeRow, Undelivered,
};
use crate::reservation::Reservation;
use crate::{Done, StoreError};

/// Bytes before the row of an entry: the version that it was written with.
const VERSION_BYTES: usize = 8;

impl HeadRow {
    /// Moves the version and the head of stream 0 to the newest entry, which `scan` finds.
    fn caught_up(
        mut self,
        entity: EntityId,
        scan: impl FnOnce(&Range, Limit) -> Result<Vec<StoredRow>, StoreError>,
    ) -> Result<Self, StoreError> {
        let stream = &mut self.head.streams[0];
        let beyond = in_stream(entity, 0).after(entry_key(entity, 0, stream.head));
        if let Some((key, value)) = scan(&beyond, Limit::rows(1))?.first() {
            stream.head = entry_number(key)?;
            self.head.version = entry_version(value)?;
        }
        Ok(self)
    }
}

fn row_key(entity: EntityId, key: &[u8]) -> Vec<u8> {
    [entity.as_bytes().as_slice(), key].concat()
}

fn list_key(list: List, key: &[u8]) -> Vec<u8> {
    [&[list.0], key].concat()
}

fn entry_key(entity: EntityId, stream: u8, number: u64) -> Vec<u8> {
    let number = number.to_be_bytes();
    [entity.as_bytes().as_slice(), &[stream], &number].concat()
}

fn entry_value(version: u64, row: &[u8]) -> Vec<u8> {
    [version.to_be_bytes().as_slice(), row].concat()
}

fn entry_number(key: &[u8]) -> Result<u64, StoreError> {
    key.last_chunk()
        .map(|number| u64::from_be_bytes(*number))
        .ok_or_else(|| StoreError::damaged("a key of entries is none"))
}

fn entry_version(value: &[u8]) -> Result<u64, StoreError> {
    value
        .first_chunk()
        .map(|version| u64::from_be_bytes(*version))
        .ok_or_else(|| StoreError::damaged("an entry is too short"))
}

fn entry_row(value: &[u8]) -> Result<Vec<u8>, StoreError> {
    value
        .get(VERSION_BYTES..)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| StoreError::damaged("an entry is too short"))
}

/// A player's key at an entity in short: half of a SHA-256, so that nobody finds two that are the same.
fn result_id(entity: EntityId, user: UserId, key: &str) -> [u8; 16] {
    let digest = Sha256::new_with_prefix(entity.as_bytes())
        .chain_update(user.as_bytes())
        .chain_update(key);
    let whole: [u8; 32] = digest.finalize().into();
    *whole.first_chunk().expect("it is longer")
}

/// The keys of the store for a range of the port's, whose keys `key` makes into the store's.
fn ranged(range: &RowRange, key: impl Fn(&[u8]) -> Vec<u8>) -> Range {
    let prefix = key(&range.prefix);
    let mut found = Range::prefix(&prefix);
    if let Some(after) = range
        .after
        .as_deref()
        .map(&key)
        .filter(|key| *key >= prefix)
    {
        found = found.after(after);
    }
    // What is behind the prefix bounds nothing.
    let bounds = |key: &Vec<u8>| *key < prefix || key.starts_with(&prefix);
    if let Some(before) = range.before.as_deref().map(&key).filter(bounds) {
        found = found.before(before);
    }
    found
}

fn in_entity(entity: EntityId, range: &RowRange) -> Range {
    ranged(range, |key| row_key(entity, key))
}

fn in_stream(entity: EntityId, stream: u8) -> Range {
    Range::prefix(&[entity.as_bytes().as_slice(), &[stream]].concat())
}

/// For what the rules of its kind bound.
const ALL: Limit = Limit::new(usize::MAX, usize::MAX);

fn limit_of(bounds: Bounds) -> Limit {
    Limit::new(bounds.rows.clamp(1, PAGE_ROWS_MAX), bounds.bytes)
}

/// Where an entity stands inside a write.
fn head_in(tx: &Tx<'_>, entity: EntityId) -> Result<Option<HeadRow>, StoreError> {
    if let Some(noted) = tx.noted_head(entity.as_bytes()) {
        return Ok(Some(noted));
    }
    let Some(row) = tx.get(Table::EntityHeads, entity.as_bytes())? else {
        return Ok(None);
    };
    rows::decode::<HeadRow>(Table::EntityHeads, &row)?
        .caught_up(entity, |range, limit| {
            tx.scan(Table::Entries, range, true, limit)
        })
        .map(Some)
}

fn put_head(tx: &mut Tx<'_>, entity: EntityId, head: &HeadRow) {
    let key = entity.as_bytes().as_slice();
    tx.note_head(key, Some(*head));
    tx.put(Table::EntityHeads, key, rows::encode(head));
}

fn stored_head(view: &View, entity: EntityId) -> Result<Option<HeadRow>, StoreError> {
    view.get(Table::EntityHeads, entity.as_bytes())?
        .map(|row| rows::decode(Table::EntityHeads, &row))
        .transpose()
}

fn head_of(view: &View, entity: EntityId) -> Result<Option<Head>, StoreError> {
    let Some(stored) = stored_head(view, entity)? else {
        return Ok(None);
    };
    let scan = |range: &Range, limit| view.scan(Table::Entries, range, true, limit);
    Ok(Some(stored.caught_up(entity, scan)?.head))
}

/// The stored head of an entity that has not ended. Its stream 0 may be further.
fn live(view: &View, entity: EntityId) -> Result<Option<Head>, StoreError> {
    let stored = stored_head(view, entity)?.map(|row| row.head);
    Ok(stored.filter(|head| head.ended_at.is_none()))
}

fn row_of(view: &View, entity: EntityId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let row = view.get(Table::EntityRows, &row_key(entity, key))?;
    Ok(row.map(|row| row.to_vec()))
}

fn rows_in(
    view: &View,
    entity: EntityId,
    range: &RowRange,
    limit: Limit,
) -> Result<Vec<Row>, StoreError> {
    let found = view.scan(Table::EntityRows, &in_entity(entity, range), false, limit)?;
    let port = |(key, row): StoredRow| (key[ENTITY_BYTES..].to_vec(), row.to_vec());
    Ok(found.into_iter().map(port).collect())
}

fn show_in(
    view: &View,
    entity: EntityId,
    range: &RowRange,
    rows: usize,
    mut take: TakeRow,
) -> Result<Option<RowKey>, StoreError> {
    let (mut shown, mut last) = (0, None);
    let is_done = view.each(
        Table::EntityRows,
        &in_entity(entity, range),
        |(key, row)| {
            take(&key[ENTITY_BYTES..], &row)?;
            shown += 1;
            last = Some(key);
            Ok(shown < rows)
        },
    )?;
    let on = last.filter(|_| !is_done);
    Ok(on.map(|key| key[ENTITY_BYTES..].to_vec()))
}

fn entries_in(
    view: &View,
    entity: EntityId,
    stream: u8,
    first: u64,
    span: Span,
    limit: Limit,
) -> Result<Vec<Numbered>, StoreError> {
    let key = |number| entry_key(entity, stream, number);
    let all = in_stream(entity, stream);
    let (range, is_backwards) = match span {
        Span::After(after) => (all.from(key(first.max(after.saturating_add(1)))), false),
        Span::Before(before) => (all.from(key(first)).before(key(before)), true),
    };
    let mut found = view
        .scan(Table::Entries, &range, is_backwards, limit)?
        .into_iter()
        .map(|(key, value)| Ok((entry_number(&key)?, entry_row(&value)?)))
        .collect::<Result<Vec<Numbered>, StoreError>>()?;
    if is_backwards {
        found.reverse();
    }
    Ok(found)
}

fn first_of(head: &Head, stream: u8) -> u64 {
    let stream = head.streams.get(usize::from(stream));
    stream.map_or(u64::MAX, |stream| stream.first)
}

fn load(
    view: &View,
    entity: EntityId,
    parts: &[Part],
    fence: Fence,
) -> Result<Option<Loaded>, StoreError> {
    let Some(head) = head_of(view, entity)? else {
        return Ok(None);
    };
    let load_part = |part: &Part| match part {
        Part::Rows(_) if head.ended_at.is_some() => Ok(LoadedPart::Rows(Vec::new())),
        Part::Newest(..) if head.ended_at.is_some() => Ok(LoadedPart::Newest(Vec::new())),
        Part::Rows(range) => rows_in(view, entity, range, ALL).map(LoadedPart::Rows),
        Part::Newest(stream, bounds) => {
            let limit = Limit::new(bounds.rows.max(1), bounds.bytes);
            let (first, span) = (first_of(&head, *stream), Span::Before(u64::MAX));
            entries_in(view, entity, *stream, first, span, limit).map(LoadedPart::Newest)
        }
    };
    let parts = parts.iter().map(load_part).collect::<Result<_, _>>()?;
    let undelivered = signals::undelivered(view, entity, None, ALL)?;
    Ok(Some(Loaded {
        fence,
        head,
        parts,
        undelivered,
    }))
}

fn glance(view: &View, entity: EntityId, keys: &[RowKey]) -> Result<Option<Glance>, StoreError> {
    let Some(head) = head_of(view, entity)?.filter(|head| head.ended_at.is_none()) else {
        return Ok(None);
    };
    let rows = keys.iter().map(|key| row_of(view, entity, key));
    let rows = rows.collect::<Result<_, _>>()?;
    let stream = head.streams[0];
    let newest = if stream.first > stream.head {
        None
    } else {
        let entry = view.get(Table::Entries, &entry_key(entity, 0, stream.head))?;
        match entry.map(|value| entry_row(&value)).transpose()? {
            Some(row) => Some((stream.head, row)),
            // It was dropped.
            None => {
                let (first, span) = (stream.first, Span::Before(u64::MAX));
                entries_in(view, entity, 0, first, span, Limit::rows(1))?.pop()
            }
        }
    };
    Ok(Some(Glance { head, rows, newest }))
}

/// Reads on a thread that may wait for the disk.
macro_rules! read {
    ($store:expr, |$view:ident| $body:expr) => {{
        let engine = $store.engine().clone();
        async move { engine.read(move |$view| $body).await }.boxed()
    }};
}

impl Entities for Embedded {
    fn epoch(&self) -> u64 {
        self.engine().epoch()
    }

    fn fence(&self) -> Fence {
        Fence(self.engine().fence())
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        self.engine().reserve(bytes)
    }

    fn commit(&self, reservation: Reservation, commit: OpenCommit, done: Done) {
        let bytes = commit.look(apply::weight);
        let job = Box::new(move |tx: &mut Tx<'_>| {
            drop(commit.close());
            commit.look(|commit| apply::apply(tx, commit))
        });
        self.engine().submit(reservation, bytes, job, done);
    }

    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool {
        self.engine().listen_to_reports(listener)
    }

    fn load(&self, entity: EntityId, parts: Vec<Part>) -> Reading<Option<Loaded>> {
        let engine = self.engine().clone();
        async move {
            engine.behind_queued_writes().await;
            // Before the read: a failure in between makes the fence old, not the state.
            let fence = Fence(engine.fence());
            engine
                .read(move |view| load(view, entity, &parts, fence))
                .await
        }
        .boxed()
    }

    fn glances(&self, entities: Vec<EntityId>, rows: Vec<RowKey>) -> Reading<Vec<Option<Glance>>> {
        read!(self, |view| {
            let glances = entities.iter().take(PAGE_ROWS_MAX);
            glances.map(|entity| glance(view, *entity, &rows)).collect()
        })
    }

    fn rows_of(&self, wanted: Vec<(EntityId, RowKey)>) -> Reading<Vec<Option<Vec<u8>>>> {
        read!(self, |view| {
            let row = |(entity, key): &(EntityId, RowKey)| match live(view, *entity)? {
                Some(_) => row_of(view, *entity, key),
                None => Ok(None),
            };
            wanted.iter().take(PAGE_ROWS_MAX).map(row).collect()
        })
    }

    fn rows(&self, entity: EntityId, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        read!(self, |view| match live(view, entity)? {
            Some(_) => rows_in(view, entity, &range, limit_of(bounds)),
            None => Ok(Vec::new()),
        })
    }

    fn show(
        &self,
        entity: EntityId,
        range: RowRange,
        rows: usize,
        take: TakeRow,
    ) -> Reading<Option<RowKey>> {
        read!(self, |view| match live(view, entity)? {
            Some(_) => show_in(view, entity, &range, rows.max(1), take),
            None => Ok(None),
        })
    }

    fn entries(
        &self,
        entity: EntityId,
        stream: u8,
        span: Span,
        bounds: Bounds,
    ) -> Reading<Vec<Numbered>> {
        read!(self, |view| match live(view, entity)? {
            Some(head) => {
                let first = first_of(&head, stream);
                entries_in(view, entity, stream, first, span, limit_of(bounds))
            }
            None => Ok(Vec::new()),
        })
    }

    fn recall(&self, entity: EntityId, user: UserId, key: &str) -> Reading<Option<KeyedResult>> {
        // One look at memory and a filter in nearly every case: not worth a thread.
        let found = self.engine().result(result_id(entity, user, key));
        let decoded = found.and_then(|found| {
            let decode = |found| results::decode(found, user, key);
            found.map(decode).transpose()
        });
        std::future::ready(decoded).boxed()
    }

    fn list(&self, list: List, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        read!(self, |view| {
            let range = ranged(&range, |key| list_key(list, key));
            let found = view.scan(Table::Lists, &range, false, limit_of(bounds))?;
            let port = |(key, row): StoredRow| (key[1..].to_vec(), row.to_vec());
            Ok(found.into_iter().map(port).collect())
        })
    }

    fn claim(
        &self,
        space: Space,
        key: RowKey,
        entity: EntityId,
        instead_of: Option<EntityId>,
    ) -> Reading<Claimed> {
        let engine = self.engine().clone();
        let claim = move |tx: &mut Tx<'_>| claims::claim(tx, space, &key, entity, instead_of);
        async move { engine.write(claim).await }.boxed()
    }

    fn claimed(&self, space: Space, key: &[u8]) -> Reading<Option<EntityId>> {
        // Found in most cases, and so from the disk.
        let key = key.to_vec();
        read!(self, |view| claims::claimed(view, space, &key))
    }

    fn release(&self, space: Space, key: RowKey, entity: EntityId) -> Reading<()> {
        let engine = self.engine().clone();
        let release = move |tx: &mut Tx<'_>| claims::release(tx, space, &key, entity);
        async move { engine.write(release).await }.boxed()
    }

    fn remove(&self, entity: EntityId, range: RowRange) -> Reading<()> {
        let engine = self.engine().clone();
        async move { removal::remove(&engine, entity, range).await }.boxed()
    }

    fn trim(&self, entity: EntityId) -> Reading<()> {
        let engine = self.engine().clone();
        async move { removal::trim(&engine, entity).await }.boxed()
    }

    fn sweep(&self, now: u64) -> Reading<bool> {
        let engine = self.engine().clone();
        async move { engine.write(move |tx| removal::sweep(tx, now)).await }.boxed()
    }

    fn applied(&self, target: EntityId, from: EntityId) -> Reading<Option<Applied>> {
        read!(self, |view| match live(view, target)? {
            Some(_) => signals::applied(view, target, from),
            None => Ok(None),
        })
    }

    fn undelivered(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
        limit: usize,
    ) -> Reading<Vec<Undelivered>> {
        read!(self, |view| signals::undelivered(
            view,
            entity,
            after,
            Limit::rows(limit.min(PAGE_ROWS_MAX))
        ))
    }

    fn delivered(&self, entity: EntityId, signals: Vec<(u64, u16)>) -> Reading<()> {
        let engine = self.engine().clone();
        async move {
            let note = move |tx: &mut Tx<'_>| {
                signals::delivered(tx, entity, &signals);
                removal::signals_applied(tx, entity)
            };
            engine.write(note).await
        }
        .boxed()
    }

    fn senders(&self, after: Option<EntityId>, limit: usize) -> Reading<Vec<EntityId>> {
        read!(self, |view| signals::senders(
            view,
            after,
            limit.min(PAGE_ROWS_MAX)
        ))
    }
}
