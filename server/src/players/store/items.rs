//! Items and rewards among the rows of a player. What the rules need in memory lies in one family: what is owned, orders that wait for
//! stocks, where both stand, and what is kept of rewards. Changes and orders with an outcome lie in another.

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_rules::items::{
    ChangeRow, HeadRow, Inventory, ItemsEffects, OrderRow, OwnedRow, Stock,
};
use pitturu_rules::rewards::RewardsRow;
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Commit, EntityId, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
};

use super::super::{entity, stock};
use super::{PlayerStore, decode, optional};

/// Rows that are loaded with the player.
const ITEMS: &[u8] = b"I";

/// Among them: what is owned, by its name.
const OWNED: u8 = b'i';

/// Orders that wait for stocks, by their number.
const ORDERS: u8 = b'o';

/// Where changes and orders stand.
const HEAD: u8 = b'h';

/// What is kept of rewards.
const REWARDS: u8 = b'r';

/// Rows that are not loaded: changes, by their number.
const CHANGES: &[u8] = b"Jc";

/// Orders with an outcome, by their number.
const SETTLED: &[u8] = b"Jo";

fn numbered(family: &[u8], number: u64) -> RowKey {
    [family, &number.to_be_bytes()].concat()
}

fn loaded_key(family: u8, rest: &[u8]) -> RowKey {
    [ITEMS, &[family], rest].concat()
}

fn number_of((key, _): &Row) -> Result<u64, StoreError> {
    let number = key.last_chunk().copied().map(u64::from_be_bytes);
    number.ok_or_else(|| StoreError::damaged("a key of items is none"))
}

fn name_of(key: &[u8]) -> Result<String, StoreError> {
    let name = key.get(ITEMS.len() + 1..).unwrap_or_default();
    let name = std::str::from_utf8(name);
    name.map(str::to_owned)
        .map_err(|_| StoreError::damaged("a key of items is none"))
}

/// What of a player is loaded for items and rewards.
pub(super) fn part() -> Part {
    Part::Rows(RowRange::prefix(ITEMS))
}

/// What was loaded of [`part`]; nothing is owned of nothing.
pub(super) fn load(part: Option<&LoadedPart>) -> Result<(Inventory, RewardsRow), StoreError> {
    let rows = match part {
        Some(LoadedPart::Rows(rows)) => rows.as_slice(),
        _ => &[],
    };
    let (mut owned, mut orders) = (Vec::new(), Vec::new());
    let (mut head, mut rewards) = (HeadRow::default(), RewardsRow::default());
    for row in rows {
        let (key, bytes) = row;
        match key.get(ITEMS.len()) {
            Some(&OWNED) => owned.push((name_of(key)?, decode("owned item", bytes)?)),
            Some(&ORDERS) => orders.push((number_of(row)?, decode("order", bytes)?)),
            Some(&HEAD) => head = decode("head of items", bytes)?,
            Some(&REWARDS) => rewards = decode("rewards", bytes)?,
            _ => return Err(StoreError::damaged("a key of items is none")),
        }
    }
    Ok((Inventory::load(owned, orders, head), rewards))
}

/// Puts what has changed into a commit.
pub(in crate::players) fn put(commit: &mut Commit, effects: &ItemsEffects) {
    let owned = effects.owned.iter().map(|(name, row)| {
        let key = loaded_key(OWNED, name.as_bytes());
        (key, row.as_ref().map(codec::encode))
    });
    commit.rows.extend(owned);
    let changes = effects.changes.iter();
    let changes =
        changes.map(|(number, row)| (numbered(CHANGES, *number), Some(codec::encode(row))));
    commit.rows.extend(changes);
    for (number, row) in &effects.orders {
        let is_settled = row.outcome.is_some();
        let key = loaded_key(ORDERS, &number.to_be_bytes());
        let encoded = Some(codec::encode(row));
        if is_settled {
            commit.rows.push((key, None));
            commit.rows.push((numbered(SETTLED, *number), encoded));
        } else {
            commit.rows.push((key, encoded));
        }
    }
    if let Some(head) = &effects.head {
        let row = Some(codec::encode(head));
        commit.rows.push((loaded_key(HEAD, &[]), row));
    }
}

/// Puts changes that say less than before in their own places.
pub(in crate::players) fn redact(commit: &mut Commit, changes: &[(u64, ChangeRow)]) {
    let rows = changes
        .iter()
        .map(|(number, row)| (numbered(CHANGES, *number), Some(codec::encode(row))));
    commit.rows.extend(rows);
}

/// Puts what is kept of rewards into a commit.
pub(in crate::players) fn put_rewards(commit: &mut Commit, row: &RewardsRow) {
    let row = Some(codec::encode(row));
    commit.rows.push((loaded_key(REWARDS, &[]), row));
}

impl PlayerStore {
    /// What a player owns, in the order of the names. What has run out is among it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn owned_items(
        &self,
        user: UserId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, OwnedRow)>, StoreError> {
        let after = after.map(|name| loaded_key(OWNED, name.as_bytes()));
        let range = RowRange::prefix(loaded_key(OWNED, &[])).after(after);
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities.rows(entity(user), range, bounds).await?;
        let owned = |(key, row): &Row| Ok((name_of(key)?, decode("owned item", row)?));
        rows.iter().map(owned).collect()
    }

    /// Where a player's changes of items stand, and what is kept of rewards.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn items_head(&self, user: UserId) -> Result<(HeadRow, RewardsRow), StoreError> {
        let of = |family| (entity(user), loaded_key(family, &[]));
        let rows = self.entities.rows_of(vec![of(HEAD), of(REWARDS)]).await?;
        let [head, rewards] = rows.as_slice() else {
            return Err(StoreError::damaged("other rows than asked for"));
        };
        let head = optional("head of items", head.as_deref())?;
        let rewards = optional("rewards", rewards.as_deref())?;
        Ok((head.unwrap_or_default(), rewards.unwrap_or_default()))
    }

    /// Changes of what a player owns behind this number, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn item_changes(
        &self,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ChangeRow)>, StoreError> {
        let range = RowRange::prefix(CHANGES).after(Some(numbered(CHANGES, after)));
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities.rows(entity(user), range, bounds).await?;
        let change = |row: &Row| Ok((number_of(row)?, decode("change of items", &row.1)?));
        rows.iter().map(change).collect()
    }

    /// The order of a player with this number.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn order(&self, user: UserId, number: u64) -> Result<Option<OrderRow>, StoreError> {
        let waiting = loaded_key(ORDERS, &number.to_be_bytes());
        let wanted = [waiting, numbered(SETTLED, number)].map(|key| (entity(user), key));
        let rows = self.entities.rows_of(wanted.to_vec()).await?;
        let row = rows.iter().flatten().next();
        optional("order", row.map(Vec::as_slice))
    }

    /// How many were sold of each of these items.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sold(&self, items: &[&str]) -> Result<Vec<u64>, StoreError> {
        let wanted = items.iter().map(|item| stock::row_of(item));
        let wanted: Vec<(EntityId, RowKey)> = wanted.collect();
        let rows = self.entities.rows_of(wanted).await?;
        let sold = |row: &Option<Vec<u8>>| {
            let stock: Option<Stock> = optional("stock", row.as_deref())?;
            Ok(stock.unwrap_or_default().sold)
        };
        rows.iter().map(sold).collect()
    }
}
