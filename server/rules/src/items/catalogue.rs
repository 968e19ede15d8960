//! What the game's team writes about items.

use std::collections::BTreeMap;

use pitturu_protocol::limits::{INTEGER_MAX, ITEM_COUNT_MAX};
use pitturu_protocol::types::items::ItemInfo;
use serde::{Deserialize, Serialize};

/// Most of one item that a player may own, unless the catalogue says less.
pub const OWNED_MAX: u64 = 1_000_000_000;

/// An hour in milliseconds.
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// Longest time that an item may last: about a hundred years.
const LASTS_HOURS_MAX: u64 = 100 * 366 * 24;

/// One item.
///
/// ```toml
/// [items.potion]
/// price = 5
/// consumable = true
/// most = 99
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What one costs, in points; absent if it is not for sale.
    #[serde(default)]
    pub price: Option<u64>,
    /// Whether players use it up.
    #[serde(default)]
    pub consumable: bool,
    /// For how many hours one is owned; absent for good. Another one lasts as much longer.
    #[serde(default)]
    pub lasts_hours: Option<u64>,
    /// Most that one player may own; of an item that lasts for a time, how many of those times ahead.
    #[serde(default = "owned_max")]
    pub most: u64,
    /// How many are sold to all players together; absent if there is no bound.
    #[serde(default)]
    pub stock: Option<u64>,
}

const fn owned_max() -> u64 {
    OWNED_MAX
}

/// All items, by their names.
pub type Catalogue = BTreeMap<String, Item>;

impl Item {
    /// For how long one is owned, in milliseconds; none for good.
    pub fn lasts_ms(&self) -> Option<u64> {
        self.lasts_hours.map(|hours| hours.saturating_mul(HOUR_MS))
    }

    /// A field that can't be followed, and what is wrong with it.
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        let range = |field, value: Option<u64>, most: u64| {
            let is_out = value.is_some_and(|value| !(1..=most).contains(&value));
            is_out.then(|| (field, format!("a whole number from 1 to {most}")))
        };
        let both = self.consumable && self.lasts_hours.is_some();
        let both = both.then(|| {
            let mistake = "what lasts for a time is not used up: leave out one of the two";
            ("consumable", mistake.to_owned())
        });
        let unsold = self.stock.is_some() && self.price.is_none();
        let unsold = unsold.then(|| ("stock", "without a price nothing is sold".to_owned()));
        range("price", self.price, INTEGER_MAX)
            .or_else(|| range("lasts_hours", self.lasts_hours, LASTS_HOURS_MAX))
            .or_else(|| range("most", Some(self.most), OWNED_MAX))
            .or_else(|| range("stock", self.stock, OWNED_MAX))
            .or(both)
            .or(unsold)
    }

    /// As clients see it, with so many sold.
    pub fn info(&self, name: &str, sold: u64) -> ItemInfo {
        ItemInfo {
            item: name.to_owned(),
            price: self.price,
            consumable: self.consumable,
            lasts_ms: self.lasts_ms(),
            most: self.most,
            left: self.stock.map(|stock| stock.saturating_sub(sold)),
        }
    }
}

const _: () = assert!(ITEM_COUNT_MAX <= OWNED_MAX && OWNED_MAX < INTEGER_MAX);
