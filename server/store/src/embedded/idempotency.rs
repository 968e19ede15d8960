//! Keyed results in two generations: the young one is written, both are read, the old one is emptied as a whole.

use pitturu_protocol::ids::UserId;

use super::engine::{Engine, Tx, Value};
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::idempotency::{KeyRecord, key_id};

impl Tx<'_> {
    /// Keeps a result under this id, which stands for who called whom under which key.
    pub(super) fn remember(&mut self, id: [u8; 16], result: Value) {
        let [young, _] = self.key_tables();
        self.put(young, id, result);
    }

    /// Keeps the result of a keyed call, in the same commit as the call's effect.
    pub fn remember_key(&mut self, scope: Option<UserId>, key: &str, record: &KeyRecord) {
        let [young, _] = self.key_tables();
        self.put(young, key_id(scope, key), rows::encode(record));
    }

    /// The result under `key`, seen from inside a write, so that two calls with one key cannot both act.
    ///
    /// # Errors
    /// Those of [`Tx::get`].
    pub fn recall_key(
        &self,
        scope: Option<UserId>,
        key: &str,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let row_key = key_id(scope, key);
        for table in self.key_tables() {
            if let Some(row) = self.get(table, &row_key)? {
                return rows::decode(table, &row).map(Some);
            }
        }
        Ok(None)
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

    /// The committed result under `key`.
    ///
    /// # Errors
    /// Those of [`Engine::get`].
    pub fn recall_key(
        &self,
        scope: Option<UserId>,
        key: &str,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let row_key = key_id(scope, key);
        let view = self.view()?;
        for table in self.key_tables() {
            if let Some(row) = view.get(table, &row_key)? {
                return rows::decode(table, &row).map(Some);
            }
        }
        Ok(None)
    }
}
