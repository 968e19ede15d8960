//! Keyed results in two generations: the young one is written, both are read, the old one is emptied as a whole.

use super::engine::{Engine, Tx, Value};
use super::tables::Table;
use crate::StoreError;

impl Tx<'_> {
    /// Keeps a result under this id, which stands for who called whom under which key.
    pub(super) fn remember(&mut self, id: [u8; 16], result: Value) {
        let [young, _] = self.key_tables();
        self.put(young, id, result);
    }
}

impl Engine {
    /// The committed result under this id, and the table that it is in.
    pub(super) fn result(&self, id: [u8; 16]) -> Result<Option<(Table, Value)>, StoreError> {
        let view = self.view()?;
        for table in self.key_tables() {
            if let Some(row) = view.get(table, &id)? {
                return Ok(Some((table, row)));
            }
        }
        Ok(None)
    }
}
