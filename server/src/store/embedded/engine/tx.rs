//! One group's pending changes, and the view that a write has of them.

use std::collections::BTreeMap;
use std::ops::Bound;

use pitturu_protocol::ids::UserId;

use super::read::{Generation, Limit, Merge, Range, Row};
use super::{Key, Value};
use crate::store::StoreError;
use crate::store::embedded::tables::Table;

/// Changes of one group commit: for each table, what each key becomes. `None` is removed.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) tables: Vec<BTreeMap<Key, Option<Value>>>,
    undo: Vec<(Table, Key, Option<Option<Value>>)>,
    notes: Vec<(UserId, u64)>,
    notes_kept: usize,
}

impl Overlay {
    pub(super) fn new() -> Self {
        Self {
            tables: Table::ALL.iter().map(|_| BTreeMap::new()).collect(),
            ..Self::default()
        }
    }

    pub(super) fn set(&mut self, table: Table, key: Key, value: Option<Value>) {
        let before = self.tables[table.index()].insert(key.clone(), value);
        self.undo.push((table, key, before));
    }

    /// Makes everything since the last call final within the group.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
        self.notes_kept = self.notes.len();
    }

    /// Takes back everything since the last [`Self::keep`].
    pub(super) fn roll_back(&mut self) {
        while let Some((table, key, before)) = self.undo.pop() {
            match before {
                Some(before) => self.tables[table.index()].insert(key, before),
                None => self.tables[table.index()].remove(&key),
            };
        }
        self.notes.truncate(self.notes_kept);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(BTreeMap::is_empty)
    }

    pub(super) fn take_notes(&mut self) -> Vec<(UserId, u64)> {
        std::mem::take(&mut self.notes)
    }
}

/// What a write sees and changes: the committed state, under the changes of the writes before it in the same
/// group, under its own.
///
/// Nothing of a write that returns an error or panics is kept. Reads are never stale: there is one writer.
pub struct Tx<'a> {
    generation: &'a Generation,
    overlay: &'a mut Overlay,
    fence: u64,
    keys: [Table; 2],
}

impl<'a> Tx<'a> {
    pub(super) fn new(
        generation: &'a Generation,
        overlay: &'a mut Overlay,
        fence: u64,
        keys: [Table; 2],
    ) -> Self {
        Self {
            generation,
            overlay,
            fence,
            keys,
        }
    }

    /// The row under `key`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the disk cannot be read, [`StoreError::Damaged`] if what it holds fails its check.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        match self.overlay.tables[table.index()].get(key) {
            Some(pending) => Ok(pending.clone()),
            None => self.generation.get(table, key),
        }
    }

    /// Sets the row under `key`.
    pub fn put(&mut self, table: Table, key: impl Into<Key>, value: impl Into<Value>) {
        self.overlay.set(table, key.into(), Some(value.into()));
    }

    /// Removes the row under `key`, if there is one.
    pub fn delete(&mut self, table: Table, key: impl Into<Key>) {
        self.overlay.set(table, key.into(), None);
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
        let pending = self.overlay.tables[table.index()]
            .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>(range.checked_bounds());
        let stored = self.generation.range(table, range);
        if reverse {
            Merge::new(pending.rev(), stored.rev(), true).collect(limit)
        } else {
            Merge::new(pending, stored, false).collect(limit)
        }
    }

    /// Tells the engine's listener, once the write is durable, that this player's inbox has grown to `seq`.
    pub fn inbox_appended(&mut self, user: UserId, seq: u64) {
        self.overlay.notes.push((user, seq));
    }

    /// The fence now in force; see [`super::Engine::fence`].
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Tables of keyed results: the one that is written, then the older one.
    pub(crate) fn key_tables(&self) -> [Table; 2] {
        self.keys
    }
}
