//! What one player owns.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::{ITEM_COUNT_MAX, TIME_MS_MAX};
use pitturu_protocol::types::items::{ItemChange, ItemReason};

use super::catalogue::Item;
use super::refusal::ItemRefusal;
use super::rows::{ChangeRow, HeadRow, OrderRow, OwnedRow, StockSignal};

/// Most different items that one player owns.
pub const KINDS_MAX: usize = 2_000;

/// The commit that a change goes into.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItemsCommit<'a> {
    /// The key of the call, if it is one.
    pub id: Option<&'a str>,
    /// The admin or service who calls, if it is not the player.
    pub by: Option<UserId>,
    /// Now, in milliseconds since 1970.
    pub at: u64,
}

/// Why what a player owns changes, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct ItemChanged<'a> {
    /// Why.
    pub reason: ItemReason,
    /// The movement of points that paid for it.
    pub movement: Option<u64>,
    /// What is said of it.
    pub note: Option<&'a str>,
}

impl ItemChanged<'_> {
    /// For this reason, and nothing said of it.
    pub const fn by(reason: ItemReason) -> Self {
        Self {
            reason,
            movement: None,
            note: None,
        }
    }
}

/// What a decision changes, all in one atomic commit.
#[derive(Debug, Default, PartialEq)]
pub struct ItemsEffects {
    /// What the player owns now; `None` is nothing.
    pub owned: Vec<(String, Option<OwnedRow>)>,
    /// Changes, by their numbers, which follow the newest.
    pub changes: Vec<(u64, ChangeRow)>,
    /// Orders that begin, and such as have an outcome.
    pub orders: Vec<(u64, OrderRow)>,
    /// Where changes and orders stand, if that changed.
    pub head: Option<HeadRow>,
    /// What stocks are told, by the item.
    pub signals: Vec<(String, StockSignal)>,
}

impl ItemsEffects {
    /// Whether nothing has changed.
    pub const fn is_empty(&self) -> bool {
        self.head.is_none() && self.orders.is_empty()
    }
}

/// What a player owns, at the owner of the player.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub(super) owned: BTreeMap<String, OwnedRow>,
    pub(super) orders: BTreeMap<u64, OrderRow>,
    pub(super) head: HeadRow,
}

impl Inventory {
    /// What is stored: what is owned, the orders without an outcome, and where both stand.
    pub fn load(
        owned: impl IntoIterator<Item = (String, OwnedRow)>,
        orders: impl IntoIterator<Item = (u64, OrderRow)>,
        head: HeadRow,
    ) -> Self {
        Self {
            owned: owned.into_iter().collect(),
            orders: orders.into_iter().collect(),
            head,
        }
    }

    /// What the player has of an item at this time.
    pub fn has(&self, item: &str, now: u64) -> OwnedRow {
        let row = self.owned.get(item).copied().unwrap_or_default();
        row.at(now)
    }

    /// What the player would have with so many more.
    ///
    /// # Errors
    /// [`ItemRefusal::NoCount`], `TooMany`, `TooManyKinds`.
    pub fn with(
        &self,
        (name, item): (&str, &Item),
        count: u64,
        now: u64,
    ) -> Result<OwnedRow, ItemRefusal> {
        check_count(count)?;
        let has = self.has(name, now);
        if !self.owned.contains_key(name) && self.owned.len() >= KINDS_MAX {
            return Err(ItemRefusal::TooManyKinds);
        }
        let Some(lasts) = item.lasts_ms() else {
            let row = OwnedRow {
                count: has.count + count,
                until: None,
            };
            return match row.count <= item.most {
                true => Ok(row),
                false => Err(too_many(item, has.count)),
            };
        };
        // What was owned for good stays so.
        if has.count > 0 && has.until.is_none() {
            return Err(too_many(item, has.count));
        }
        let from = has.until.unwrap_or(now);
        let ahead = (from - now).div_ceil(lasts);
        let until = lasts.checked_mul(count).and_then(|ms| from.checked_add(ms));
        let until = until.filter(|until| *until <= TIME_MS_MAX && ahead + count <= item.most);
        let until = until.ok_or_else(|| too_many(item, ahead))?;
        Ok(OwnedRow {
            count: 1,
            until: Some(until),
        })
    }

    /// Gives the player so many more.
    ///
    /// # Errors
    /// Those of [`Self::with`].
    pub fn give(
        &mut self,
        commit: &ItemsCommit<'_>,
        (name, item): (&str, &Item),
        count: u64,
        why: ItemChanged<'_>,
        effects: &mut ItemsEffects,
    ) -> Result<ItemChange, ItemRefusal> {
        let row = self.with((name, item), count, commit.at)?;
        let change = count.cast_signed();
        Ok(self.write(commit, (name, row), change, why, effects))
    }

    /// The player uses so many up.
    ///
    /// # Errors
    /// [`ItemRefusal::NoCount`], `NotConsumable`, `NotEnough`.
    pub fn use_up(
        &mut self,
        commit: &ItemsCommit<'_>,
        (name, item): (&str, &Item),
        count: u64,
        effects: &mut ItemsEffects,
    ) -> Result<ItemChange, ItemRefusal> {
        check_count(count)?;
        if !item.consumable {
            return Err(ItemRefusal::NotConsumable);
        }
        let why = ItemChanged::by(ItemReason::Used);
        self.take(commit, (name, Some(item)), count, why, effects)
    }

    /// Takes so many from the player. The item may have left the catalogue; of one that lasts for a time each is one of those times.
    ///
    /// # Errors
    /// [`ItemRefusal::NoCount`], `NotEnough`.
    pub fn take(
        &mut self,
        commit: &ItemsCommit<'_>,
        (name, item): (&str, Option<&Item>),
        count: u64,
        why: ItemChanged<'_>,
        effects: &mut ItemsEffects,
    ) -> Result<ItemChange, ItemRefusal> {
        check_count(count)?;
        let has = self.has(name, commit.at);
        let row = match (has.until, item.and_then(Item::lasts_ms)) {
            // One that was begun counts.
            (Some(until), Some(lasts)) => {
                let ahead = (until - commit.at).div_ceil(lasts);
                if count > ahead {
                    return Err(ItemRefusal::NotEnough { has: ahead });
                }
                let until = until.saturating_sub(lasts * count);
                OwnedRow {
                    count: 1,
                    until: Some(until),
                }
                .at(commit.at)
            }
            (until, _) => {
                let left = has.count.checked_sub(count);
                let count = left.ok_or(ItemRefusal::NotEnough { has: has.count })?;
                OwnedRow { count, until }
            }
        };
        let change = -count.cast_signed();
        Ok(self.write(commit, (name, row), change, why, effects))
    }

    fn write(
        &mut self,
        commit: &ItemsCommit<'_>,
        (name, row): (&str, OwnedRow),
        change: i64,
        why: ItemChanged<'_>,
        effects: &mut ItemsEffects,
    ) -> ItemChange {
        let stored = (row.count > 0).then_some(row);
        match stored {
            Some(row) => self.owned.insert(name.to_owned(), row),
            None => self.owned.remove(name),
        };
        effects.owned.push((name.to_owned(), stored));
        self.head.changes += 1;
        effects.head = Some(self.head);
        let written = ChangeRow {
            at: commit.at,
            item: name.to_owned(),
            change,
            owned: stored.unwrap_or_default(),
            reason: why.reason,
            movement: why.movement,
            id: commit.id.map(str::to_owned),
            by: commit.by,
            note: why.note.map(str::to_owned),
        };
        effects.changes.push((self.head.changes, written.clone()));
        written.shown(self.head.changes)
    }
}

pub(super) fn check_count(count: u64) -> Result<(), ItemRefusal> {
    match count {
        1..=ITEM_COUNT_MAX => Ok(()),
        _ => Err(ItemRefusal::NoCount),
    }
}

const fn too_many(item: &Item, has: u64) -> ItemRefusal {
    ItemRefusal::TooMany {
        most: item.most,
        has,
    }
}
