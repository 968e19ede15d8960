//! Keys that entities have and no other can get.

use crate::StoreError;
use crate::embedded::engine::{Tx, Value, View};
use crate::embedded::tables::Table;
use crate::entities::{Claimed, EntityId, Space};

fn claim_key(space: Space, key: &[u8]) -> Vec<u8> {
    [&[space.0], key].concat()
}

fn holder(row: Option<Value>) -> Result<Option<EntityId>, StoreError> {
    let decode = |row: Value| {
        EntityId::from_bytes(&row).ok_or_else(|| StoreError::damaged("a claim names no entity"))
    };
    row.map(decode).transpose()
}

pub(super) fn claim(
    tx: &mut Tx<'_>,
    space: Space,
    key: &[u8],
    entity: EntityId,
    instead_of: Option<EntityId>,
) -> Result<Claimed, StoreError> {
    let key = claim_key(space, key);
    match holder(tx.get(Table::Claims, &key)?)? {
        Some(held) if held == entity => {}
        Some(held) if instead_of != Some(held) => return Ok(Claimed::Held(held)),
        _ => tx.put(Table::Claims, key, entity.as_bytes().as_slice()),
    }
    Ok(Claimed::Done)
}

pub(super) fn claimed(
    view: &View,
    space: Space,
    key: &[u8],
) -> Result<Option<EntityId>, StoreError> {
    holder(view.get(Table::Claims, &claim_key(space, key))?)
}

pub(super) fn release(
    tx: &mut Tx<'_>,
    space: Space,
    key: &[u8],
    entity: EntityId,
) -> Result<(), StoreError> {
    let key = claim_key(space, key);
    if holder(tx.get(Table::Claims, &key)?)? == Some(entity) {
        tx.delete(Table::Claims, key);
    }
    Ok(())
}
