//! Purchases: what is bought is paid and owned at once, or neither.

use pitturu_protocol::limits::INTEGER_MAX;
use pitturu_protocol::types::items::{ItemReason, Purchased};
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Item};
use super::inventory::{Inventory, ItemChanged, ItemsCommit, ItemsEffects, check_count};
use super::refusal::ItemRefusal;
use super::rows::{ItemsSignal, OrderRow, StockSignal};
use crate::points::wallet::About;
use crate::points::{Flow, PointsAccount, PointsCommit, PointsEffects, PointsRefusal, Wallet};

/// Most orders of one player that wait for stocks.
pub const ORDERS_MAX: usize = 16;

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Paid and owned.
    Purchased(Purchased),
    /// Fewer were left.
    SoldOut {
        /// How many.
        left: u64,
    },
    /// When it was the player's turn the wallet had fewer points.
    NotEnoughPoints {
        /// What could be spent.
        available: i64,
    },
    /// When it was the player's turn they could own no more, or the item had left the catalogue.
    NotTaken,
}

/// What a purchase is decided as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bought {
    /// Paid and owned.
    Purchased(Purchased),
    /// The stock is asked by the order with this number.
    Ordered(u64),
}

/// A purchase that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Purchase<'a> {
    /// The item.
    pub item: &'a str,
    /// How many.
    pub count: u64,
    /// What the player was told that one costs.
    pub price: u64,
}

/// What one commit changes of both.
pub type PurchaseEffects<'a> = (&'a mut ItemsEffects, &'a mut PointsEffects);

impl Inventory {
    /// The player buys something.
    ///
    /// # Errors
    /// [`ItemRefusal`], for points as well.
    pub fn buy(
        &mut self,
        wallet: &mut Wallet,
        commit: &ItemsCommit<'_>,
        purchase: Purchase<'_>,
        catalogue: &Catalogue,
        (items, points): PurchaseEffects<'_>,
    ) -> Result<Bought, ItemRefusal> {
        let Purchase {
            item: name, count, ..
        } = purchase;
        let item = catalogue.get(name).ok_or(ItemRefusal::NoItem)?;
        let cost = cost(item, &purchase)?;
        self.with((name, item), count, commit.at)?;
        if item.stock.is_none() {
            let paid = self.pay(wallet, commit, (name, item, count), cost, (items, points))?;
            return Ok(Bought::Purchased(paid));
        }
        let available = wallet
            .books_at(commit.at)
            .of(PointsAccount::Wallet)
            .available();
        if u64::try_from(available).unwrap_or(0) < cost {
            return Err(PointsRefusal::NotEnough { available }.into());
        }
        if self.orders.len() >= ORDERS_MAX {
            return Err(ItemRefusal::TooManyOrders);
        }
        self.head.orders += 1;
        items.head = Some(self.head);
        let order = self.head.orders;
        let row = OrderRow {
            item: name.to_owned(),
            count,
            points: cost,
            id: commit.id.map(str::to_owned),
            outcome: None,
        };
        items.orders.push((order, row.clone()));
        self.orders.insert(order, row);
        let signal = StockSignal::Order {
            item: name.to_owned(),
            order,
            count,
        };
        items.signals.push((name.to_owned(), signal));
        Ok(Bought::Ordered(order))
    }

    /// Applies what a stock tells of an order.
    pub fn settle(
        &mut self,
        wallet: &mut Wallet,
        signal: ItemsSignal,
        at: u64,
        catalogue: &Catalogue,
        (items, points): PurchaseEffects<'_>,
    ) {
        let (ItemsSignal::Reserved { order } | ItemsSignal::SoldOut { order, .. }) = signal;
        // A stock answers an order once.
        let Some(mut row) = self.orders.remove(&order) else {
            return;
        };
        let outcome = match signal {
            ItemsSignal::SoldOut { left, .. } => Outcome::SoldOut { left },
            ItemsSignal::Reserved { .. } => {
                let commit = &ItemsCommit {
                    id: row.id.as_deref(),
                    by: None,
                    at,
                };
                let name = row.item.as_str();
                let item = catalogue.get(name).ok_or(ItemRefusal::NoItem);
                let paid = item.and_then(|item| {
                    let what = (name, item, row.count);
                    self.pay(wallet, commit, what, row.points, (&mut *items, points))
                });
                match paid {
                    Ok(purchased) => Outcome::Purchased(purchased),
                    Err(ItemRefusal::Points(PointsRefusal::NotEnough { available })) => {
                        Outcome::NotEnoughPoints { available }
                    }
                    Err(_) => Outcome::NotTaken,
                }
            }
        };
        let is_reserved = matches!(signal, ItemsSignal::Reserved { .. });
        if is_reserved && !matches!(outcome, Outcome::Purchased(_)) {
            let signal = StockSignal::Returned { count: row.count };
            items.signals.push((row.item.clone(), signal));
        }
        row.outcome = Some(outcome);
        items.orders.push((order, row));
    }

    /// Takes the points and gives the item, or refuses and changes nothing.
    fn pay(
        &mut self,
        wallet: &mut Wallet,
        commit: &ItemsCommit<'_>,
        (name, item, count): (&str, &Item, u64),
        cost: u64,
        (items, points): PurchaseEffects<'_>,
    ) -> Result<Purchased, ItemRefusal> {
        self.with((name, item), count, commit.at)?;
        let points_commit = PointsCommit {
            id: commit.id,
            by: commit.by,
            at: commit.at,
        };
        let about = About {
            reference: Some(name),
            note: None,
        };
        let movement = wallet.flow(&points_commit, (Flow::Spend, cost), about, points)?;
        let why = ItemChanged {
            movement: Some(movement.number),
            ..ItemChanged::by(ItemReason::Bought)
        };
        let change = self.give(commit, (name, item), count, why, items)?;
        Ok(Purchased {
            change,
            points: cost,
            balance: movement.balance,
        })
    }

    /// Orders that wait for stocks.
    pub fn open_orders(&self) -> usize {
        self.orders.len()
    }
}

/// What a purchase costs.
fn cost(item: &Item, purchase: &Purchase<'_>) -> Result<u64, ItemRefusal> {
    check_count(purchase.count)?;
    let price = item.price.ok_or(ItemRefusal::NotForSale)?;
    if price != purchase.price {
        return Err(ItemRefusal::PriceChanged { price });
    }
    let cost = price.checked_mul(purchase.count);
    let cost = cost.filter(|cost| *cost <= INTEGER_MAX);
    cost.ok_or(ItemRefusal::NoCount)
}
