//! Keyed results in two generations: the young one is written, both are read, the old one is emptied as a whole.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pitturu_protocol::ids::UserId;
use sha2::{Digest, Sha256};

use super::Embedded;
use super::engine::{Engine, Tx};
use super::rows;
use crate::store::StoreError;
use crate::store::idempotency::{KeyRecord, KeyedResults};

/// Half of the SHA-256 of scope and key. So short a key lies in the nodes of the table in memory itself, and its first bytes
/// tell it from nearly all others: that halves the memory that a look goes through.
fn row_key(scope: Option<UserId>, key: &str) -> [u8; 16] {
    // Ids are never empty, so the length of the scope tells the two apart.
    let scope = scope.as_ref().map_or(&[][..], |user| user.as_bytes());
    let length = [u8::try_from(scope.len()).expect("an id has ten bytes")];
    let digest = Sha256::new_with_prefix(length)
        .chain_update(scope)
        .chain_update(key);
    let whole: [u8; 32] = digest.finalize().into();
    *whole.first_chunk().expect("it is longer")
}

impl Tx<'_> {
    /// Keeps the result of a keyed call, in the same commit as the call's effect.
    pub fn remember_key(&mut self, scope: Option<UserId>, key: &str, record: &KeyRecord) {
        let [young, _] = self.key_tables();
        self.put(young, row_key(scope, key), rows::encode(record));
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
        let row_key = row_key(scope, key);
        for table in self.key_tables() {
            if let Some(row) = self.get(table, &row_key)? {
                return rows::decode(table, &row).map(Some);
            }
        }
        Ok(None)
    }
}

impl Engine {
    /// The committed result under `key`.
    ///
    /// # Errors
    /// Those of [`Engine::get`].
    pub fn recall_key(
        &self,
        scope: Option<UserId>,
        key: &str,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let row_key = row_key(scope, key);
        let view = self.view()?;
        for table in self.key_tables() {
            if let Some(row) = view.get(table, &row_key)? {
                return rows::decode(table, &row).map(Some);
            }
        }
        Ok(None)
    }
}

impl KeyedResults for Embedded {
    fn recall(
        &self,
        scope: Option<UserId>,
        key: &str,
    ) -> BoxFuture<'static, Result<Option<KeyRecord>, StoreError>> {
        // One look at memory and a filter in nearly every case: not worth a thread.
        let found = self.engine().recall_key(scope, key);
        std::future::ready(found).boxed()
    }
}
