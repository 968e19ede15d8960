//! Random movements of some players against sums kept apart: every book balances after every line, nothing is lost under way.

use std::collections::{BTreeMap, VecDeque};

use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::INTEGER_MAX;
use pitturu_protocol::types::points::{MovementState, PointsAccount, PointsReason};
use proptest::prelude::*;

use super::super::books::Books;
use super::super::rows::{Entry, EntryRow, PointsSignal};
use super::super::wallet::{About, Flow, PointsCommit, PointsEffects, Wallet};
use super::super::{PendingRow, PointsRefusal, RefundedRow};

const PLAYERS: usize = 4;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug)]
enum Ask {
    Grant(u64),
    Deduct(u64),
    Reward(u64),
    Purchase(u64),
    ClawBack(u64),
    Spend(u64),
    Expire(u64),
    Refund(usize, Option<u64>),
    SetAside(u64, u64),
    PostPending(usize, Option<u64>),
    VoidPending(usize),
    Give(usize, u64),
    /// The next signal to this player is applied, or sent back.
    Deliver(bool),
    /// Time goes on, or back.
    Wait(u64),
    SetClockBack(u64),
    /// Everything is loaded again from what is stored.
    Reload,
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..50, 1 => Just(INTEGER_MAX), 1 => Just(INTEGER_MAX - 20), 1 => any::<u64>()]
}

fn ask() -> impl Strategy<Value = Ask> {
    let part = || proptest::option::of(amount());
    prop_oneof![
        4 => amount().prop_map(Ask::Grant),
        1 => amount().prop_map(Ask::Deduct),
        2 => amount().prop_map(Ask::Reward),
        2 => amount().prop_map(Ask::Purchase),
        1 => amount().prop_map(Ask::ClawBack),
        4 => amount().prop_map(Ask::Spend),
        1 => amount().prop_map(Ask::Expire),
        3 => (any::<usize>(), part()).prop_map(|(of, part)| Ask::Refund(of, part)),
        3 => (amount(), 0..40 * DAY_MS).prop_map(|(amount, after)| Ask::SetAside(amount, after)),
        3 => (any::<usize>(), part()).prop_map(|(of, part)| Ask::PostPending(of, part)),
        2 => any::<usize>().prop_map(Ask::VoidPending),
        4 => (0..PLAYERS, amount()).prop_map(|(to, amount)| Ask::Give(to, amount)),
        6 => any::<bool>().prop_map(Ask::Deliver),
        2 => (0..3 * DAY_MS).prop_map(Ask::Wait),
        1 => (0..2 * DAY_MS).prop_map(Ask::SetClockBack),
        1 => Just(Ask::Reload),
    ]
}

fn user(number: usize) -> UserId {
    let number = u8::try_from(number).expect("few players");
    UserId::from_bytes([number + 1; 10])
}

/// What is stored of one player, and what is on its way to them.
#[derive(Default)]
struct Stored {
    lines: Vec<EntryRow>,
    pending: BTreeMap<u64, PendingRow>,
    refunded: BTreeMap<u64, RefundedRow>,
    days: BTreeMap<u64, super::super::DayRow>,
    coming: VecDeque<(UserId, PointsSignal)>,
}

impl Stored {
    fn wallet(&self, of: usize) -> Wallet {
        let newest = self.lines.last();
        let newest = newest.map(|line| (self.lines.len() as u64, line.books));
        let day = self.days.last_key_value();
        Wallet::load(
            user(of),
            newest,
            self.pending.clone(),
            self.refunded.clone(),
            day.map(|(day, row)| (*day, row.opening)),
        )
    }

    fn put(&mut self, effects: &PointsEffects) {
        for (number, line) in &effects.entries {
            assert_eq!(*number, self.lines.len() as u64 + 1, "dense");
            assert!(line.books.are_balanced(), "{line:?}");
            self.lines.push(line.clone());
        }
        for (number, row) in &effects.pending {
            match row {
                Some(row) => drop(self.pending.insert(*number, *row)),
                None => drop(self.pending.remove(number)),
            }
        }
        self.refunded.extend(effects.refunded.iter().copied());
        self.days.extend(effects.days.iter().copied());
    }

    /// Adds up the lines alone.
    fn sums(&self) -> BTreeMap<PointsAccount, i128> {
        let mut sums = BTreeMap::new();
        for EntryRow { entry, .. } in &self.lines {
            if entry.state != MovementState::Pending {
                *sums.entry(entry.debit).or_default() -= i128::from(entry.amount);
                *sums.entry(entry.credit).or_default() += i128::from(entry.amount);
            }
        }
        sums
    }
}

struct World {
    wallets: Vec<Wallet>,
    stored: Vec<Stored>,
    now: u64,
}

impl World {
    fn new() -> Self {
        let stored: Vec<Stored> = (0..PLAYERS).map(|_| Stored::default()).collect();
        let wallets = stored
            .iter()
            .enumerate()
            .map(|(of, stored)| stored.wallet(of));
        Self {
            wallets: wallets.collect(),
            stored,
            now: 20_000 * DAY_MS,
        }
    }

    fn keep(&mut self, of: usize, effects: PointsEffects) {
        self.stored[of].put(&effects);
        for (to, signal) in effects.signals {
            let to = (0..PLAYERS)
                .find(|number| user(*number) == to)
                .expect("known");
            self.stored[to].coming.push_back((user(of), signal));
        }
    }

    fn carry_out(&mut self, of: usize, ask: &Ask) {
        let commit = PointsCommit {
            id: Some("id"),
            by: None,
            at: self.now,
        };
        let about = About {
            reference: Some("sword"),
            note: None,
        };
        let before = self.wallets[of].clone();
        let mut effects = PointsEffects::default();
        let wallet = &mut self.wallets[of];
        let toss = PointsAccount::PurchasesToss;
        let picked = |place: usize, of: usize| {
            let count = self.stored[of].lines.len();
            (count > 0).then(|| place % count)
        };
        let outcome = match *ask {
            Ask::Grant(amount) => wallet.flow(&commit, (Flow::Grant, amount), about, &mut effects),
            Ask::Deduct(amount) => {
                wallet.flow(&commit, (Flow::Deduction, amount), about, &mut effects)
            }
            Ask::Reward(amount) => {
                wallet.flow(&commit, (Flow::Reward, amount), about, &mut effects)
            }
            Ask::Purchase(amount) => wallet.purchase(&commit, (toss, amount), about, &mut effects),
            Ask::ClawBack(amount) => wallet.claw_back(&commit, (toss, amount), about, &mut effects),
            Ask::Spend(amount) => wallet.flow(&commit, (Flow::Spend, amount), about, &mut effects),
            Ask::Expire(amount) => {
                wallet.flow(&commit, (Flow::Expiry, amount), about, &mut effects)
            }
            Ask::Refund(place, part) => {
                let Some(place) = picked(place, of) else {
                    return;
                };
                let spent: &Entry = &self.stored[of].lines[place].entry;
                wallet.refund(&commit, (place as u64 + 1, spent), part, None, &mut effects)
            }
            Ask::SetAside(amount, after) => {
                wallet.set_aside(&commit, (amount, self.now + after), about, &mut effects)
            }
            Ask::PostPending(place, part) => {
                let number = picked(place, of).map_or(7, |place| place as u64 + 1);
                wallet.post_pending(&commit, number, part, &mut effects)
            }
            Ask::VoidPending(place) => {
                let number = picked(place, of).map_or(7, |place| place as u64 + 1);
                wallet.void_pending(&commit, number, &mut effects)
            }
            Ask::Give(to, amount) => wallet.give(&commit, (user(to), amount), None, &mut effects),
            Ask::Deliver(takes) => {
                let Some((from, signal)) = self.stored[of].coming.pop_front() else {
                    return;
                };
                wallet.apply(from, signal, takes, self.now, &mut effects);
                return self.keep(of, effects);
            }
            Ask::Wait(time) => return self.now += time,
            Ask::SetClockBack(time) => return self.now -= time,
            Ask::Reload => {
                let loaded = self.stored[of].wallet(of);
                assert_eq!(loaded, before, "what is stored is what is in memory");
                return;
            }
        };
        match outcome {
            Ok(movement) => {
                let (number, line) = effects.entries.last().expect("a line").clone();
                assert_eq!(line.movement(number), movement);
                self.keep(of, effects);
            }
            Err(refusal) => {
                assert_eq!(effects, PointsEffects::default(), "{refusal}");
                assert_eq!(self.wallets[of], before, "{refusal} has changed something");
            }
        }
    }

    fn check(&self, of: usize) {
        let (wallet, stored) = (&self.wallets[of], &self.stored[of]);
        let sums = stored.sums();
        for (account, counters) in wallet.books().accounts() {
            let sum = sums.get(&account).copied().unwrap_or_default();
            assert_eq!(i128::from(counters.balance()), sum, "{account:?}");
        }
        let set_aside: u64 = stored.pending.values().map(|row| row.amount).sum();
        let counters = wallet.books().of(PointsAccount::Wallet);
        assert_eq!(counters.debits_pending, set_aside);
        let has_clawed_back = stored
            .lines
            .iter()
            .any(|line| line.entry.reason == PointsReason::ClawBack);
        assert!(counters.available() >= 0 || has_clawed_back);
        let free = wallet.books_at(u64::MAX).of(PointsAccount::Wallet);
        assert_eq!(free.debits_pending, 0);
        self.check_days(of);
    }

    /// The days tell what the lines tell.
    fn check_days(&self, of: usize) {
        let stored = &self.stored[of];
        let mut closed = Books::default();
        for row in stored.days.values() {
            assert_eq!(row.opening, closed, "a day begins as the one before ended");
            let last = stored.lines.last().expect("a day has lines").books;
            closed = row.closing.unwrap_or(last);
        }
        let open = stored.days.values().filter(|row| row.closing.is_none());
        assert_eq!(open.count(), usize::from(!stored.lines.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn books_balance_and_nothing_is_lost(asks in proptest::collection::vec((0..PLAYERS, ask()), 1..120)) {
        let mut world = World::new();
        for (of, ask) in &asks {
            world.carry_out(*of, ask);
            world.check(*of);
        }
        // Everything arrives or comes back.
        while let Some(of) = (0..PLAYERS).find(|of| !world.stored[*of].coming.is_empty()) {
            world.carry_out(of, &Ask::Deliver(true));
        }
        let under_way: i128 = (0..PLAYERS)
            .map(|of| world.stored[of].sums().get(&PointsAccount::Transit).copied().unwrap_or_default())
            .sum();
        let is_full = world.wallets.iter().any(|wallet| {
            wallet.books().accounts().any(|(_, counters)| {
                counters.credits_posted.max(counters.debits_posted) > INTEGER_MAX / 2
            })
        });
        prop_assert!(under_way == 0 || is_full, "{} points are lost", under_way);
    }
}

#[test]
fn what_is_refused_says_why() {
    let mut wallet = Stored::default().wallet(0);
    let commit = PointsCommit {
        at: DAY_MS,
        ..PointsCommit::default()
    };
    let mut effects = PointsEffects::default();
    let about = About::default();
    let refused = wallet.flow(&commit, (Flow::Spend, 1), about, &mut effects);
    assert_eq!(refused, Err(PointsRefusal::NotEnough { available: 0 }));
    for none in [0, INTEGER_MAX + 1, u64::MAX] {
        let refused = wallet.flow(&commit, (Flow::Grant, none), about, &mut effects);
        assert_eq!(refused, Err(PointsRefusal::NoAmount));
    }
    let granted = wallet
        .flow(&commit, (Flow::Grant, 100), about, &mut effects)
        .unwrap();
    assert_eq!((granted.number, granted.balance), (1, 100));
    let spent = wallet
        .flow(&commit, (Flow::Spend, 60), about, &mut effects)
        .unwrap();
    let line = effects.entries[1].1.clone();
    let back = |wallet: &mut Wallet, amount, effects: &mut PointsEffects| {
        wallet.refund(&commit, (spent.number, &line.entry), amount, None, effects)
    };
    assert!(back(&mut wallet, Some(40), &mut effects).is_ok());
    let refused = back(&mut wallet, Some(30), &mut effects);
    assert_eq!(refused, Err(PointsRefusal::Refunded { left: 20 }));
    assert!(back(&mut wallet, None, &mut effects).is_ok());
    let refused = back(&mut wallet, None, &mut effects);
    assert_eq!(refused, Err(PointsRefusal::Refunded { left: 0 }));
    let first = effects.entries[0].1.entry.clone();
    let refused = wallet.refund(&commit, (1, &first), None, None, &mut effects);
    assert_eq!(refused, Err(PointsRefusal::NoMovement));
    let refused = wallet.give(&commit, (user(0), 1), None, &mut effects);
    assert_eq!(refused, Err(PointsRefusal::Yourself));
    for until in [0, DAY_MS, DAY_MS + 31 * DAY_MS] {
        let refused = wallet.set_aside(&commit, (1, until), about, &mut effects);
        assert_eq!(refused, Err(PointsRefusal::NoSuchEnd));
    }
}

#[test]
fn what_was_set_aside_is_free_again_when_its_time_is_over() {
    let mut wallet = Stored::default().wallet(0);
    let at = |at| PointsCommit {
        at,
        ..PointsCommit::default()
    };
    let mut effects = PointsEffects::default();
    let about = About::default();
    wallet
        .flow(&at(1_000), (Flow::Grant, 10), about, &mut effects)
        .unwrap();
    let aside = wallet
        .set_aside(&at(1_000), (8, 2_000), about, &mut effects)
        .unwrap();
    assert_eq!((aside.balance, aside.available), (10, 2));
    assert!(
        wallet
            .flow(&at(1_999), (Flow::Spend, 3), about, &mut effects)
            .is_err()
    );
    let spent = wallet
        .flow(&at(2_000), (Flow::Spend, 3), about, &mut effects)
        .unwrap();
    assert_eq!((spent.number, spent.balance, spent.available), (4, 7, 7));
    assert_eq!(effects.entries[2].1.entry.state, MovementState::Void);
    let late = wallet.post_pending(&at(2_001), aside.number, None, &mut effects);
    assert_eq!(late, Err(PointsRefusal::NoPending));
}
