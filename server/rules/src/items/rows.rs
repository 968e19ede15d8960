//! What is stored of a player's items and of stocks, and what their entities tell each other: MessagePack maps.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::items::{ItemChange, ItemReason, OwnedItem};
use serde::{Deserialize, Serialize};

use super::orders::Outcome;

/// What a player owns of an item, under its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedRow {
    /// How many. Of an item that lasts for a time: 1.
    #[serde(rename = "n")]
    pub count: u64,
    /// Until when, in milliseconds since 1970; absent for good.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl OwnedRow {
    /// What of it there is at this time.
    pub fn at(self, now: u64) -> Self {
        match self.until {
            Some(until) if until <= now => Self::default(),
            _ => self,
        }
    }

    /// As clients see it.
    pub fn shown(self, item: &str) -> OwnedItem {
        OwnedItem {
            item: item.to_owned(),
            count: self.count,
            until: self.until,
        }
    }
}

/// A change of what a player owns, under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// When, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub at: u64,
    /// The item.
    #[serde(rename = "i")]
    pub item: String,
    /// How many more, or fewer.
    #[serde(rename = "d")]
    pub change: i64,
    /// What the player owns after it.
    #[serde(rename = "o")]
    pub owned: OwnedRow,
    /// Why.
    #[serde(rename = "r")]
    pub reason: ItemReason,
    /// The movement of points that paid for it.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub movement: Option<u64>,
    /// The key of the call that made it.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The admin or service who made it.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// What is said of it.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ChangeRow {
    /// As clients see it.
    pub fn shown(self, number: u64) -> ItemChange {
        ItemChange {
            number,
            at: self.at,
            change: self.change,
            owned: self.owned.shown(&self.item),
            item: self.item,
            reason: self.reason,
            movement: self.movement,
            id: self.id,
            by: self.by,
            note: self.note,
        }
    }
}

/// Where a player's changes and orders stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// Number of the newest change; 0 before the first.
    #[serde(rename = "c")]
    pub changes: u64,
    /// Number of the newest order; 0 before the first.
    #[serde(rename = "o")]
    pub orders: u64,
}

/// A purchase of an item with a stock, under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// The item.
    #[serde(rename = "i")]
    pub item: String,
    /// How many.
    #[serde(rename = "n")]
    pub count: u64,
    /// What they cost together, in points.
    #[serde(rename = "p")]
    pub points: u64,
    /// The key of the call.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What came of it; absent while the stock has not answered.
    #[serde(rename = "O", default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What a stock tells a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemsSignal {
    /// The order with this number is counted as sold.
    Reserved {
        /// The order.
        order: u64,
    },
    /// Fewer are left than were ordered.
    SoldOut {
        /// The order.
        order: u64,
        /// How many are left.
        left: u64,
    },
}

/// What a player tells a stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockSignal {
    /// An order.
    Order {
        /// The item: whose stock this is.
        item: String,
        /// Number of the order among those of the player.
        order: u64,
        /// How many.
        count: u64,
    },
    /// What was counted as sold was not bought.
    Returned {
        /// How many.
        count: u64,
    },
}
