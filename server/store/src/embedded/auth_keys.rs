//! [`AuthKeys`] in the embedded store.

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::Embedded;
use super::engine::{Limit, Range, Tx, View};
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::auth_keys::{AuthKeys, Secret, SigningKeyRow};

/// Keys live for weeks and minutes: there are never more than a handful.
const SCAN: Limit = Limit::rows(1_000);

fn get_now<T: DeserializeOwned>(
    tx: &Tx<'_>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    tx.get(table, key)?
        .map(|row| rows::decode(table, &row))
        .transpose()
}

fn all(view: &View) -> Result<Vec<SigningKeyRow>, StoreError> {
    let found = view.scan(Table::SigningKeys, &Range::all(), false, SCAN)?;
    let mut keys: Vec<SigningKeyRow> = found
        .iter()
        .map(|(_, row)| rows::decode(Table::SigningKeys, row))
        .collect::<Result<_, _>>()?;
    keys.sort_by_key(|key| key.created_at);
    Ok(keys)
}

fn rotate(tx: &mut Tx<'_>, key: &SigningKeyRow, newest: Option<&str>) -> Result<bool, StoreError> {
    let found = tx.scan(Table::SigningKeys, &Range::all(), false, SCAN)?;
    let mut in_use = Vec::new();
    for (_, row) in &found {
        let old: SigningKeyRow = rows::decode(Table::SigningKeys, row)?;
        if old.retired_at.is_none() {
            in_use.push(old);
        }
    }
    in_use.sort_by_key(|old| old.created_at);
    if in_use.last().map(|old| old.kid.as_str()) != newest {
        return Ok(false);
    }
    for old in in_use {
        put(
            tx,
            &SigningKeyRow {
                retired_at: Some(key.created_at),
                ..old
            },
        );
    }
    put(tx, key);
    Ok(true)
}

fn raise_life(tx: &mut Tx<'_>, kid: &str, life_ms: u64) -> Result<(), StoreError> {
    if let Some(mut key) = get_now::<SigningKeyRow>(tx, Table::SigningKeys, kid.as_bytes())? {
        key.life_ms = key.life_ms.max(life_ms);
        put(tx, &key);
    }
    Ok(())
}

fn secret(tx: &mut Tx<'_>, name: &str, fresh: [u8; 32]) -> Result<Secret, StoreError> {
    if let Some(kept) = get_now(tx, Table::Secrets, name.as_bytes())? {
        return Ok(kept);
    }
    let fresh = Secret(fresh);
    tx.put(Table::Secrets, name.as_bytes(), rows::encode(&fresh));
    Ok(fresh)
}

fn put(tx: &mut Tx<'_>, key: &SigningKeyRow) {
    tx.put(Table::SigningKeys, key.kid.as_bytes(), rows::encode(key));
}

#[async_trait]
impl AuthKeys for Embedded {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        self.engine().read(all).await
    }

    async fn rotate_signing_key(
        &self,
        key: SigningKeyRow,
        newest: Option<String>,
    ) -> Result<bool, StoreError> {
        self.engine()
            .write(move |tx| rotate(tx, &key, newest.as_deref()))
            .await
    }

    async fn raise_signing_key_life(&self, kid: String, life_ms: u64) -> Result<(), StoreError> {
        self.engine()
            .write(move |tx| raise_life(tx, &kid, life_ms))
            .await
    }

    async fn delete_signing_key(&self, kid: String) -> Result<(), StoreError> {
        self.engine()
            .write(move |tx| {
                tx.delete(Table::SigningKeys, kid.as_bytes());
                Ok(())
            })
            .await
    }

    async fn secret(&self, name: &'static str, fresh: [u8; 32]) -> Result<Secret, StoreError> {
        self.engine().write(move |tx| secret(tx, name, fresh)).await
    }
}
