//! One group's pending changes, and the view that a write has of them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::read::{Limit, Merge, OpenDatabase, Range, Row};
use super::{Key, Value};
use crate::StoreError;
use crate::embedded::tables::Table;

/// Changes of one group commit: for each table, what each key becomes. `None` is removed.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) tables: Vec<BTreeMap<Key, Option<Value>>>,
    /// Heads of entities as they are after the changes, by the key of their row.
    heads: BTreeMap<Key, Option<Value>>,
    /// What was there before: in this table, or among the heads.
    undo: Vec<(Option<Table>, Key, Option<Option<Value>>)>,
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
        self.undo.push((Some(table), key, before));
    }

    fn set_heads(&mut self, key: Key, value: Option<Value>) {
        let before = self.heads.insert(key.clone(), value);
        self.undo.push((None, key, before));
    }

    /// Makes everything since the last call final within the group.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back everything since the last [`Self::keep`].
    pub(super) fn roll_back(&mut self) {
        while let Some((table, key, before)) = self.undo.pop() {
            let changes = match table {
                Some(table) => &mut self.tables[table.index()],
                None => &mut self.heads,
            };
            match before {
                Some(before) => changes.insert(key, before),
                None => changes.remove(&key),
            };
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(BTreeMap::is_empty)
    }
}

/// Heads that are kept in memory at most; beyond it, all are forgotten.
const RECENT_HEADS_MAX: usize = 4_096;

/// Heads of entities that were written to lately, as committed. Each commit looks its entity's up and moves it, and one that only
/// appends does not write its row: the newest entry says where it is.
#[derive(Default)]
pub(super) struct RecentHeads(HashMap<Key, Value>);

impl RecentHeads {
    /// Takes over what was committed.
    pub(super) fn note(&mut self, committed: &Overlay) {
        if self.0.len() + committed.heads.len() > RECENT_HEADS_MAX {
            self.forget();
        }
        for (key, value) in &committed.heads {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }

    /// Knows nothing any more: the store was opened anew.
    pub(super) fn forget(&mut self) {
        self.0 = HashMap::new();
    }
}

/// What a write sees and changes: the committed state, under the changes of the writes before it in the same
/// group, under its own.
///
/// Nothing of a write that returns an error or panics is kept. Reads are never stale: there is one writer.
pub struct Tx<'a> {
    database: &'a OpenDatabase,
    heads: &'a RecentHeads,
    overlay: &'a mut Overlay,
    fence: u64,
    keys: [Table; 2],
}

impl<'a> Tx<'a> {
    pub(super) fn new(
        database: &'a OpenDatabase,
        heads: &'a RecentHeads,
        overlay: &'a mut Overlay,
        fence: u64,
        keys: [Table; 2],
    ) -> Self {
        Self {
            database,
            heads,
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
            None => self.database.get(table, key),
        }
    }

    /// An entity's head as [`Self::note_head`] has it; none when it has to be read.
    pub(crate) fn noted_head(&self, key: &[u8]) -> Option<Value> {
        match self.overlay.heads.get(key) {
            Some(pending) => pending.clone(),
            None => self.heads.0.get(key).cloned(),
        }
    }

    /// Notes where an entity is after this write, or that it has to be read. Kept in memory only, and not for ever.
    pub(crate) fn note_head(&mut self, key: impl Into<Key>, heads: Option<Value>) {
        self.overlay.set_heads(key.into(), heads);
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
        let stored = self.database.range(table, range);
        if reverse {
            Merge::new(pending.rev(), stored.rev(), true).collect(limit)
        } else {
            Merge::new(pending, stored, false).collect(limit)
        }
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
