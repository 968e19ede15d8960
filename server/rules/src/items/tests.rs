//! Random purchases of many players at one stock, against sums kept apart.

use std::collections::{BTreeMap, VecDeque};

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::items::ItemReason;

use super::catalogue::{Catalogue, Item};
use super::inventory::{Inventory, ItemChanged, ItemsCommit, ItemsEffects};
use super::orders::{Bought, Outcome, Purchase};
use super::refusal::ItemRefusal;
use super::rows::{ItemsSignal, StockSignal};
use super::stock::{Stock, StockEffects};
use crate::points::{Flow, PointsAccount, PointsCommit, PointsEffects, Wallet};

const HOUR_MS: u64 = 60 * 60 * 1_000;

fn catalogue(text: &str) -> Catalogue {
    toml::from_str(text).expect("a catalogue")
}

fn item(text: &str) -> Item {
    toml::from_str(text).expect("an item")
}

struct Buyer {
    user: UserId,
    wallet: Wallet,
    inventory: Inventory,
    /// What they got, spent and own by the test's own count.
    points: i64,
    hats: u64,
}

impl Buyer {
    fn new(number: u8) -> Self {
        let user = UserId::from_bytes([number; 10]);
        Self {
            user,
            wallet: Wallet::load(user, None, [], [], None),
            inventory: Inventory::default(),
            points: 0,
            hats: 0,
        }
    }

    fn balance(&self) -> i64 {
        self.wallet.books().of(PointsAccount::Wallet).balance()
    }
}

/// Signals on their way, delivered in the order of each sender and in any order between them.
#[derive(Default)]
struct Way {
    to_stock: BTreeMap<usize, VecDeque<StockSignal>>,
    to_buyers: BTreeMap<usize, VecDeque<ItemsSignal>>,
}

struct World {
    catalogue: Catalogue,
    buyers: Vec<Buyer>,
    stock: Stock,
    way: Way,
    at: u64,
}

impl World {
    fn order(&mut self, number: usize, count: u64) -> bool {
        self.at += 1;
        let buyer = &mut self.buyers[number];
        let (mut items, mut points) = (ItemsEffects::default(), PointsEffects::default());
        let commit = ItemsCommit {
            at: self.at,
            ..ItemsCommit::default()
        };
        let purchase = Purchase {
            item: "hat",
            count,
            price: 3,
        };
        let before = (buyer.wallet.clone(), buyer.inventory.clone());
        let bought = buyer.inventory.buy(
            &mut buyer.wallet,
            &commit,
            purchase,
            &self.catalogue,
            (&mut items, &mut points),
        );
        match bought {
            Ok(Bought::Ordered(_)) => {
                let told = self.way.to_stock.entry(number).or_default();
                told.extend(items.signals.into_iter().map(|(_, signal)| signal));
                assert!(points.is_empty(), "an order takes no points");
                true
            }
            Ok(Bought::Purchased(_)) => panic!("a hat has a stock"),
            Err(_) => {
                assert!(items.is_empty() && points.is_empty());
                assert_eq!(before, (buyer.wallet.clone(), buyer.inventory.clone()));
                false
            }
        }
    }

    fn deliver(&mut self, random: &mut fastrand::Rng) {
        let number = random.usize(..self.buyers.len());
        if random.bool() {
            let signal = self.way.to_stock.get_mut(&number);
            let Some(signal) = signal.and_then(VecDeque::pop_front) else {
                return;
            };
            let mut effects = StockEffects::default();
            let sold = self.catalogue["hat"].stock;
            let user = self.buyers[number].user;
            self.stock.apply(user, &signal, sold, &mut effects);
            for (to, signal) in effects.signals {
                assert_eq!(to, user);
                self.way
                    .to_buyers
                    .entry(number)
                    .or_default()
                    .push_back(signal);
            }
            return;
        }
        let signal = self.way.to_buyers.get_mut(&number);
        let Some(signal) = signal.and_then(VecDeque::pop_front) else {
            return;
        };
        self.at += 1;
        let buyer = &mut self.buyers[number];
        let (mut items, mut points) = (ItemsEffects::default(), PointsEffects::default());
        let both = (&mut items, &mut points);
        buyer
            .inventory
            .settle(&mut buyer.wallet, signal, self.at, &self.catalogue, both);
        for (_, row) in items.orders {
            match row.outcome.expect("it is settled") {
                Outcome::Purchased(purchased) => {
                    buyer.points -= i64::try_from(purchased.points).unwrap();
                    buyer.hats += row.count;
                    assert_eq!(purchased.change.owned.count, buyer.hats);
                    assert_eq!(points.entries.len(), 1, "one line pays for it");
                }
                _ => assert!(points.is_empty() && items.changes.is_empty()),
            }
        }
        let told = self.way.to_stock.entry(number).or_default();
        told.extend(items.signals.into_iter().map(|(_, signal)| signal));
    }

    fn is_quiet(&self) -> bool {
        self.way.to_stock.values().all(VecDeque::is_empty)
            && self.way.to_buyers.values().all(VecDeque::is_empty)
    }
}

#[test]
fn no_more_is_sold_than_there_is_and_all_that_is_sold_is_paid() {
    let mut random = fastrand::Rng::with_seed(7);
    for stock in [0, 1, 5, 40, 1_000] {
        let text = format!("[hat]\nprice = 3\nstock = {stock}\nmost = 12");
        let mut world = World {
            catalogue: catalogue(&text.replace("stock = 0", "stock = 1")),
            buyers: (0..8).map(Buyer::new).collect(),
            stock: Stock::default(),
            way: Way::default(),
            at: 1,
        };
        if stock == 0 {
            world.stock.sold = 1;
        }
        for step in 0..4_000 {
            let number = random.usize(..world.buyers.len());
            match random.u8(..10) {
                0 => {
                    let buyer = &mut world.buyers[number];
                    let amount = random.u64(1..30);
                    let commit = PointsCommit {
                        at: step,
                        ..PointsCommit::default()
                    };
                    let granted = buyer.wallet.flow(
                        &commit,
                        (Flow::Grant, amount),
                        Default::default(),
                        &mut PointsEffects::default(),
                    );
                    granted.expect("it fits");
                    buyer.points += i64::try_from(amount).unwrap();
                }
                1..=3 => drop(world.order(number, random.u64(0..5))),
                _ => world.deliver(&mut random),
            }
            for buyer in &world.buyers {
                assert_eq!(buyer.balance(), buyer.points);
                assert!(buyer.points >= 0);
                assert_eq!(buyer.inventory.has("hat", world.at).count, buyer.hats);
            }
        }
        while !world.is_quiet() {
            world.deliver(&mut random);
        }
        let owned: u64 = world.buyers.iter().map(|buyer| buyer.hats).sum();
        assert!(
            world
                .buyers
                .iter()
                .all(|buyer| buyer.inventory.open_orders() == 0)
        );
        let sold_before = u64::from(stock == 0);
        assert_eq!(world.stock.sold, owned + sold_before, "stock {stock}");
        assert!(
            owned <= stock && (owned > 0 || stock == 0),
            "{owned} of {stock}"
        );
    }
}

#[test]
fn a_purchase_that_costs_more_than_numbers_go_is_refused() {
    let catalogue = catalogue("[yacht]\nprice = 9007199254740991");
    let mut wallet = Wallet::load(UserId::from_bytes([1; 10]), None, [], [], None);
    let purchase = Purchase {
        item: "yacht",
        count: 2,
        price: 9_007_199_254_740_991,
    };
    let bought = Inventory::default().buy(
        &mut wallet,
        &ItemsCommit::default(),
        purchase,
        &catalogue,
        (&mut ItemsEffects::default(), &mut PointsEffects::default()),
    );
    assert_eq!(bought, Err(ItemRefusal::NoCount));
}

#[test]
fn what_lasts_for_a_time_is_counted_in_times() {
    let vip = item("price = 1\nlasts_hours = 1\nmost = 3");
    let mut inventory = Inventory::default();
    let mut effects = ItemsEffects::default();
    let why = ItemChanged::by(ItemReason::Granted);
    let at = |at| ItemsCommit {
        at,
        ..ItemsCommit::default()
    };
    let give = |inventory: &mut Inventory, now, count, effects: &mut ItemsEffects| {
        let given = inventory.give(&at(now), ("vip", &vip), count, why, effects);
        given.map(|change| change.owned.until)
    };
    assert_eq!(
        give(&mut inventory, 100, 2, &mut effects),
        Ok(Some(100 + 2 * HOUR_MS))
    );
    let too_many = Err(ItemRefusal::TooMany { most: 3, has: 2 });
    assert_eq!(give(&mut inventory, 101, 2, &mut effects), too_many);
    assert_eq!(
        give(&mut inventory, 101, 1, &mut effects),
        Ok(Some(100 + 3 * HOUR_MS))
    );
    // It runs out by itself, and then it is as if it had never been.
    let over = 100 + 3 * HOUR_MS;
    assert_eq!(inventory.has("vip", over - 1).count, 1);
    assert_eq!(inventory.has("vip", over).count, 0);
    assert_eq!(
        give(&mut inventory, over, 1, &mut effects),
        Ok(Some(over + HOUR_MS))
    );
    let take = |inventory: &mut Inventory, now, count, effects: &mut ItemsEffects| {
        let taken = inventory.take(&at(now), ("vip", Some(&vip)), count, why, effects);
        taken.map(|change| change.owned.count)
    };
    let refused = Err(ItemRefusal::NotEnough { has: 1 });
    assert_eq!(take(&mut inventory, over + 1, 2, &mut effects), refused);
    assert_eq!(take(&mut inventory, over + 1, 1, &mut effects), Ok(0));
    assert_eq!(effects.changes.len(), 4);
    let numbers = effects.changes.iter().map(|(number, _)| *number);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn a_catalogue_that_cannot_be_followed_is_refused() {
    let wrong = [
        ("price = 0", "price"),
        ("most = 0", "most"),
        ("most = 2000000000", "most"),
        ("stock = 5", "stock"),
        ("price = 1\nstock = 0", "stock"),
        ("lasts_hours = 0", "lasts_hours"),
        ("consumable = true\nlasts_hours = 5", "consumable"),
    ];
    for (text, field) in wrong {
        let mistake = item(text).mistake();
        assert_eq!(mistake.map(|(field, _)| field), Some(field), "{text}");
    }
    assert_eq!(item("").mistake(), None);
}
