//! Reading: one opened database, ranges, limits, and consistent views.

use std::cmp::Ordering;
use std::io::ErrorKind;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use fjall::{Database, Keyspace, Readable, Snapshot};

use super::broken::Broken;
use super::error::io_cause;
use super::{Key, Value};
use crate::StoreError;
use crate::embedded::tables::Table;

/// A key and its row.
pub type Row = (Key, Value);

/// Most bytes of keys and rows that one scan returns, unless the caller asks for less.
pub const SCAN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bounds of one scan. It ends before the row that would exceed one, yet returns at least one row.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Most rows.
    pub rows: usize,
    /// Most bytes of keys and rows.
    pub bytes: usize,
}

impl Limit {
    /// At most so many rows, and [`SCAN_BYTES_MAX`].
    pub const fn rows(rows: usize) -> Self {
        Self {
            rows,
            bytes: SCAN_BYTES_MAX,
        }
    }

    /// At most so many rows and bytes.
    pub const fn new(rows: usize, bytes: usize) -> Self {
        Self { rows, bytes }
    }
}

/// A part of a table.
#[derive(Clone, Debug)]
pub struct Range {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl Range {
    /// The whole table.
    pub fn all() -> Self {
        Self {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
        }
    }

    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: Bound::Included(prefix.to_vec()),
            end: end_of_prefix(prefix),
        }
    }

    /// The same range without `key` and what is before it.
    #[must_use]
    pub fn after(mut self, key: Vec<u8>) -> Self {
        self.start = Bound::Excluded(key);
        self
    }

    /// The same range without what is before `key`.
    #[must_use]
    pub fn from(mut self, key: Vec<u8>) -> Self {
        self.start = Bound::Included(key);
        self
    }

    /// The same range without `key` and what is after it.
    #[must_use]
    pub fn before(mut self, key: Vec<u8>) -> Self {
        self.end = Bound::Excluded(key);
        self
    }

    /// Bounds that a `BTreeMap` takes: it panics on a start behind the end, which here means empty.
    pub(super) fn checked_bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = self.start.as_ref().map(Vec::as_slice);
        let end = self.end.as_ref().map(Vec::as_slice);
        let empty = match (start, end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start >= end,
            _ => false,
        };
        if empty {
            (Bound::Included(&[]), Bound::Excluded(&[]))
        } else {
            (start, end)
        }
    }
}

fn end_of_prefix(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// The database as opened once. After a failure the writer opens another one.
pub(super) struct OpenDatabase {
    pub(super) db: Database,
    pub(super) tables: Vec<Keyspace>,
    pub(super) broken: Broken,
}

impl OpenDatabase {
    pub(super) fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table.index()]
    }

    /// The newest row: for the writer, which alone may read beside an ongoing commit.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let row = match self.broken.shown() {
            Some(shown) => shown.get(self.table(table), key),
            None => self.table(table).get(key),
        };
        row.map_err(|error| unreadable(&error))
    }

    pub(super) fn range(&self, table: Table, range: &Range) -> fjall::Iter {
        self.table(table).range::<&[u8], _>(range.checked_bounds())
    }
}

/// The committed state at one moment. Whatever is committed later stays out of sight.
///
/// Short-lived: it keeps old rows from being compacted away, and the store from recovering.
pub struct View {
    database: Arc<OpenDatabase>,
    snapshot: Snapshot,
}

impl View {
    pub(super) fn new(database: Arc<OpenDatabase>) -> Self {
        let shown = database.broken.shown();
        let snapshot = shown.unwrap_or_else(|| database.db.snapshot());
        Self { database, snapshot }
    }

    /// The row under `key`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the disk cannot be read, [`StoreError::Damaged`] if what it holds fails its check.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.snapshot
            .get(self.database.table(table), key)
            .map_err(|error| unreadable(&error))
    }

    /// Rows of `range` in the order of their keys, or against it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the disk cannot be read, [`StoreError::Damaged`] if what it holds fails its check.
    pub fn scan(
        &self,
        table: Table,
        range: &Range,
        reverse: bool,
        limit: Limit,
    ) -> Result<Vec<Row>, StoreError> {
        let stored = self
            .snapshot
            .range::<&[u8], _>(self.database.table(table), range.checked_bounds());
        let pending = std::iter::empty();
        if reverse {
            Merge::new(pending, stored.rev(), true).collect(limit)
        } else {
            Merge::new(pending, stored, false).collect(limit)
        }
    }

    /// Shows rows of `range` in the order of their keys until there are no more, which is true, or `take` wants none.
    ///
    /// # Errors
    /// Those of `take`, [`StoreError::Unavailable`] if the disk cannot be read, [`StoreError::Damaged`] if what it holds fails its check.
    pub fn each(
        &self,
        table: Table,
        range: &Range,
        mut take: impl FnMut(Row) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let stored = self
            .snapshot
            .range::<&[u8], _>(self.database.table(table), range.checked_bounds());
        for guard in stored {
            if !take(guard.into_inner().map_err(|error| unreadable(&error))?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What the disk refused, or what on it does not add up, as the store's own error.
pub(super) fn unreadable(error: &fjall::Error) -> StoreError {
    tracing::error!(%error, "the store cannot be read");
    match io_cause(error) {
        // The file is there, and shorter than its index says or not what it should be.
        Some(io) if matches!(io.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => {
            StoreError::damaged(error.to_string())
        }
        Some(io) => StoreError::unavailable(format!("it cannot be read: {io}")),
        None => StoreError::damaged(error.to_string()),
    }
}

/// Pending changes over stored rows, both in the same order; the pending one wins.
pub(super) struct Merge<'a, P, S>
where
    P: Iterator<Item = (&'a Key, &'a Option<Value>)>,
    S: Iterator<Item = fjall::Guard>,
{
    pending: Peekable<P>,
    stored: S,
    next_stored: Option<Row>,
    reverse: bool,
}

impl<'a, P, S> Merge<'a, P, S>
where
    P: Iterator<Item = (&'a Key, &'a Option<Value>)>,
    S: Iterator<Item = fjall::Guard>,
{
    pub(super) fn new(pending: P, stored: S, reverse: bool) -> Self {
        Self {
            pending: pending.peekable(),
            stored,
            next_stored: None,
            reverse,
        }
    }

    pub(super) fn collect(mut self, limit: Limit) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < limit.rows {
            let Some((key, value)) = self.next()? else {
                break;
            };
            bytes += key.len() + value.len();
            if bytes > limit.bytes && !rows.is_empty() {
                break;
            }
            rows.push((key, value));
        }
        Ok(rows)
    }

    fn next(&mut self) -> Result<Option<Row>, StoreError> {
        loop {
            if self.next_stored.is_none() {
                self.next_stored = match self.stored.next() {
                    Some(guard) => Some(guard.into_inner().map_err(|error| unreadable(&error))?),
                    None => None,
                };
            }
            let order = match (self.pending.peek(), &self.next_stored) {
                (None, _) => return Ok(self.next_stored.take()),
                (Some(_), None) => Ordering::Less,
                (Some((pending, _)), Some((stored, _))) => {
                    let order = pending.as_ref().cmp(stored.as_ref());
                    if self.reverse { order.reverse() } else { order }
                }
            };
            if order == Ordering::Greater {
                return Ok(self.next_stored.take());
            }
            if order == Ordering::Equal {
                self.next_stored = None;
            }
            if let Some((key, Some(value))) = self.pending.next() {
                return Ok(Some((key.clone(), value.clone())));
            }
        }
    }
}
