//! Signals that wait to be applied, and what was applied of others'.

use pitturu_protocol::ids::ID_BYTES;

use crate::StoreError;
use crate::embedded::engine::{Limit, Range, Tx, View};
use crate::embedded::rows;
use crate::embedded::tables::Table;
use crate::entities::{Applied, ENTITY_BYTES, EntityId, Signal, Undelivered};

const _: () = assert!(ENTITY_BYTES == ID_BYTES + 1);

fn signal_key(sender: EntityId, version: u64, index: u16) -> Vec<u8> {
    let mut key = sender.as_bytes().to_vec();
    key.extend(version.to_be_bytes());
    key.extend(index.to_be_bytes());
    key
}

fn applied_key(target: EntityId, sender: EntityId) -> Vec<u8> {
    [target.as_bytes().as_slice(), sender.as_bytes()].concat()
}

pub(super) fn put(
    tx: &mut Tx<'_>,
    sender: EntityId,
    version: u64,
    signals: &[Signal],
) -> Result<(), StoreError> {
    for (index, signal) in signals.iter().enumerate() {
        let index = u16::try_from(index)
            .map_err(|_| StoreError::Conflict("more signals than one commit may have"))?;
        let key = signal_key(sender, version, index);
        tx.put(Table::Signals, key, rows::encode(signal));
    }
    Ok(())
}

/// A version behind the one stored for the same incarnation of the sender does nothing.
pub(super) fn put_applied(
    tx: &mut Tx<'_>,
    target: EntityId,
    applied: &Applied,
) -> Result<(), StoreError> {
    let key = applied_key(target, applied.from);
    let before = tx.get(Table::Applied, &key)?;
    let before: Option<Applied> = before
        .map(|row| rows::decode(Table::Applied, &row))
        .transpose()?;
    let is_behind = before.is_some_and(|before| {
        before.incarnation == applied.incarnation && before.version > applied.version
    });
    if !is_behind {
        tx.put(Table::Applied, key, rows::encode(applied));
    }
    Ok(())
}

/// Whether a sender has signals that are not known to be applied.
pub(super) fn is_waiting(tx: &Tx<'_>, sender: EntityId) -> Result<bool, StoreError> {
    let range = Range::prefix(sender.as_bytes());
    let found = tx.scan(Table::Signals, &range, false, Limit::rows(1))?;
    Ok(!found.is_empty())
}

pub(super) fn applied(
    view: &View,
    target: EntityId,
    sender: EntityId,
) -> Result<Option<Applied>, StoreError> {
    view.get(Table::Applied, &applied_key(target, sender))?
        .map(|row| rows::decode(Table::Applied, &row))
        .transpose()
}

pub(super) fn undelivered(
    view: &View,
    sender: EntityId,
    after: Option<(u64, u16)>,
    limit: Limit,
) -> Result<Vec<Undelivered>, StoreError> {
    let mut range = Range::prefix(sender.as_bytes());
    if let Some((version, index)) = after {
        range = range.after(signal_key(sender, version, index));
    }
    view.scan(Table::Signals, &range, false, limit)?
        .iter()
        .map(|(key, row)| {
            let (version, index) = version_and_index(key)?;
            Ok(Undelivered {
                version,
                index,
                signal: rows::decode(Table::Signals, row)?,
            })
        })
        .collect()
}

fn version_and_index(key: &[u8]) -> Result<(u64, u16), StoreError> {
    let of_signal = || -> Option<(u64, u16)> {
        let (version, index) = key.get(ENTITY_BYTES..)?.split_at_checked(8)?;
        Some((
            u64::from_be_bytes(version.try_into().ok()?),
            u16::from_be_bytes(index.try_into().ok()?),
        ))
    };
    of_signal().ok_or_else(|| StoreError::damaged("a key of signals is none"))
}

pub(super) fn delivered(tx: &mut Tx<'_>, sender: EntityId, signals: &[(u64, u16)]) {
    for &(version, index) in signals {
        tx.delete(Table::Signals, signal_key(sender, version, index));
    }
}

/// Steps from sender to sender, whatever lies between.
pub(super) fn senders(
    view: &View,
    after: Option<EntityId>,
    limit: usize,
) -> Result<Vec<EntityId>, StoreError> {
    let beyond = |sender: EntityId| Range::all().after(signal_key(sender, u64::MAX, u16::MAX));
    let mut range = after.map_or_else(Range::all, beyond);
    let mut found = Vec::new();
    while found.len() < limit {
        let next = view.scan(Table::Signals, &range, false, Limit::rows(1))?;
        let Some((key, _)) = next.first() else {
            break;
        };
        let sender = key
            .get(..ENTITY_BYTES)
            .and_then(EntityId::from_bytes)
            .ok_or_else(|| StoreError::damaged("a key of signals is none"))?;
        found.push(sender);
        range = beyond(sender);
    }
    Ok(found)
}
