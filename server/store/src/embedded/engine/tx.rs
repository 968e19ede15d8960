//! One group's pending changes, and the view that a write has of them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::read::{Limit, Merge, OpenDatabase, Range, Row};
use super::{Key, Value};
use crate::StoreError;
use crate::embedded::tables::Table;
use crate::entities::{Head, STREAMS};

/// The row of an entity's head. `head` may be behind, see `caught_up`; where it is noted it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadRow {
    #[serde(rename = "h")]
    pub(crate) head: Head,
    /// For each stream the oldest number whose row may still be there: at most its first.
    #[serde(rename = "s")]
    pub(crate) swept: [u64; STREAMS],
}

/// Changes of one group commit: for each table, what each key becomes. `None` is removed.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) tables: Vec<BTreeMap<Key, Option<Value>>>,
    /// Heads of entities as they are after the changes, by the key of their row.
    heads: HashMap<Key, Option<HeadRow>>,
    /// What was there before.
    undo: Vec<Undo>,
}

/// What was there before a change, which is taken back by it.
enum Undo {
    Row(Table, Key, Option<Option<Value>>),
    Head(Key, Option<Option<HeadRow>>),
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
        self.undo.push(Undo::Row(table, key, before));
    }

    fn set_head(&mut self, key: Key, head: Option<HeadRow>) {
        let before = self.heads.insert(key.clone(), head);
        self.undo.push(Undo::Head(key, before));
    }

    /// Makes everything since the last call final within the group.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back everything since the last [`Self::keep`].
    pub(super) fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Row(table, key, Some(before)) => {
                    self.tables[table.index()].insert(key, before);
                }
                Undo::Row(table, key, None) => {
                    self.tables[table.index()].remove(&key);
                }
                Undo::Head(key, Some(before)) => {
                    self.heads.insert(key, before);
                }
                Undo::Head(key, None) => {
                    self.heads.remove(&key);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(BTreeMap::is_empty)
    }
}

/// Heads of one generation that are kept in memory at most.
const RECENT_HEADS_MAX: usize = 8_192;

/// Heads of entities that were written to lately, as committed. Each commit looks its entity's up and moves it, and one that only
/// appends does not write its row: the newest entry says where it is. They are kept in two generations, and when the young one is
/// full, the old one is forgotten.
#[derive(Default)]
pub(super) struct RecentHeads {
    young: HashMap<Key, HeadRow>,
    old: HashMap<Key, HeadRow>,
}

impl RecentHeads {
    /// Takes over what was committed.
    pub(super) fn note(&mut self, committed: &Overlay) {
        if self.young.len() + committed.heads.len() > RECENT_HEADS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        for (key, head) in &committed.heads {
            match head {
                Some(head) => {
                    self.young.insert(key.clone(), *head);
                }
                None => {
                    self.young.remove(key);
                    self.old.remove(key);
                }
            }
        }
    }

    fn get(&self, key: &[u8]) -> Option<HeadRow> {
        let young = self.young.get(key);
        young.or_else(|| self.old.get(key)).copied()
    }

    /// Knows nothing any more: the store was opened anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
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
    pub(crate) fn noted_head(&self, key: &[u8]) -> Option<HeadRow> {
        match self.overlay.heads.get(key) {
            Some(pending) => *pending,
            None => self.heads.get(key),
        }
    }

    /// Notes where an entity is after this write, or that it has to be read. Kept in memory only, and not for ever.
    pub(crate) fn note_head(&mut self, key: impl Into<Key>, head: Option<HeadRow>) {
        self.overlay.set_head(key.into(), head);
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
