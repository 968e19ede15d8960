//! Signing keys and master keys.

use super::get_now;
use crate::StoreError;
use crate::accounts::{Hidden, SigningKeyRow};
use crate::embedded::engine::{Limit, Range, Tx, View};
use crate::embedded::rows;
use crate::embedded::tables::Table;

/// Keys live for weeks and minutes: there are never more than a handful.
const SCAN: Limit = Limit::rows(1_000);

pub(super) fn all(view: &View) -> Result<Vec<SigningKeyRow>, StoreError> {
    let found = view.scan(Table::SigningKeys, &Range::all(), false, SCAN)?;
    let mut keys: Vec<SigningKeyRow> = found
        .iter()
        .map(|(_, row)| rows::decode(Table::SigningKeys, row))
        .collect::<Result<_, _>>()?;
    keys.sort_by_key(|key| key.created_at);
    Ok(keys)
}

pub(super) fn rotate(
    tx: &mut Tx<'_>,
    key: &SigningKeyRow,
    newest: Option<&str>,
) -> Result<bool, StoreError> {
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

pub(super) fn raise_life(tx: &mut Tx<'_>, kid: &str, life_ms: u64) -> Result<(), StoreError> {
    if let Some(mut key) = get_now::<SigningKeyRow>(tx, Table::SigningKeys, kid.as_bytes())? {
        key.life_ms = key.life_ms.max(life_ms);
        put(tx, &key);
    }
    Ok(())
}

pub(super) fn secret(
    tx: &mut Tx<'_>,
    name: &str,
    fresh: [u8; 32],
) -> Result<Hidden<[u8; 32]>, StoreError> {
    if let Some(kept) = get_now(tx, Table::Secrets, name.as_bytes())? {
        return Ok(kept);
    }
    let fresh = Hidden(fresh);
    tx.put(Table::Secrets, name.as_bytes(), rows::encode(&fresh));
    Ok(fresh)
}

fn put(tx: &mut Tx<'_>, key: &SigningKeyRow) {
    tx.put(Table::SigningKeys, key.kid.as_bytes(), rows::encode(key));
}
