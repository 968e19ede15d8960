//! Keyed results in two generations: the young one is written, both are read, the old one is emptied as a whole. Beside them are
//! those that are kept for good.

use super::engine::{Engine, Tx, Value};
use super::tables::Table;
use crate::StoreError;

impl Tx<'_> {
    /// Keeps a result under this id, which stands for who called whom under which key: for good, or until its table is emptied.
    pub(super) fn remember(&mut self, id: [u8; 16], result: Value, for_good: bool) {
        let [young, _] = self.key_tables();
        let table = match for_good {
            true => Table::KeysLasting,
            false => young,
        };
        self.put(table, id, result);
    }
}

impl Engine {
    /// The committed result under this id, and the table that it is in.
    pub(super) fn result(&self, id: [u8; 16]) -> Result<Option<(Table, Value)>, StoreError> {
        let view = self.view()?;
        let tables = self.key_tables();
        for table in tables.into_iter().chain([Table::KeysLasting]) {
            if let Some(row) = view.get(table, &id)? {
                return Ok(Some((table, row)));
            }
        }
        Ok(None)
    }
}
