//! What is left of an item for all players.

use pitturu_protocol::ids::UserId;
use serde::{Deserialize, Serialize};

use super::rows::{ItemsSignal, StockSignal};

/// How many of an item were sold. How many there are to sell is the catalogue's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Sold, orders included that are on their way.
    #[serde(rename = "s")]
    pub sold: u64,
}

/// What a decision changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StockEffects {
    /// Whether the number changed.
    pub has_changed: bool,
    /// What players are told.
    pub signals: Vec<(UserId, ItemsSignal)>,
}

impl Stock {
    /// Applies what a player tells. `stock`: how many there are to sell; none if the catalogue has the item no more, or without a bound.
    pub fn apply(
        &mut self,
        from: UserId,
        signal: &StockSignal,
        stock: Option<u64>,
        effects: &mut StockEffects,
    ) {
        match signal {
            StockSignal::Order { order, count, .. } => {
                let left = stock.unwrap_or(0).saturating_sub(self.sold);
                let signal = if *count <= left {
                    self.sold += count;
                    effects.has_changed = true;
                    ItemsSignal::Reserved { order: *order }
                } else {
                    let order = *order;
                    ItemsSignal::SoldOut { order, left }
                };
                effects.signals.push((from, signal));
            }
            StockSignal::Returned { count } => {
                self.sold = self.sold.saturating_sub(*count);
                effects.has_changed = true;
            }
        }
    }
}
