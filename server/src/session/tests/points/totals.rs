//! What all players had at the end of each day, by a clock of the test's: the days before the one on which the test runs. Gifts
//! arrive by the clock of the machine: on the day of the test, so that they are under way on all days before it. They go to a player
//! who moves nothing else, for whoever has moved points on that day moves none on an earlier one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use pitturu_protocol::ids::ConnectionId;
use pitturu_protocol::types::accounts::Identity;
use pitturu_protocol::types::points::{DayTotals, ListPointsTotals, PointsTotals};
use pitturu_store::clock::Steady;
use pitturu_store::entities::KeyedRequest;

use super::*;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::players::totals::entity;
use crate::services::points::PointsService;
use crate::services::points::totals::DailyTotals;

const MINUTE_MS: u64 = 60_000;
/// Who move points.
const PLAYERS: usize = 6;

/// What the totals of a day have to be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Model {
    /// Who has moved points.
    moved: [bool; PLAYERS],
    issued: u64,
    taken_back: u64,
    spent: u64,
    refunded: u64,
    outstanding: i64,
    pending: u64,
    under_way: i64,
}

impl Model {
    fn check(&self, day: &DayTotals) {
        let moved = self.moved.iter().filter(|moved| **moved).count() as u64;
        assert_eq!(day.wallets, moved, "{day:?}");
        assert_eq!(
            (day.issued, day.spent, day.outstanding),
            (self.issued, self.spent, self.outstanding),
            "{day:?}"
        );
        assert_eq!(
            (day.pending, day.under_way, day.unread, day.ahead),
            (self.pending, self.under_way, 0, 0),
            "{day:?}"
        );
        let of = |account| {
            let mut accounts = day.accounts.iter();
            let found = accounts.find(|it| it.account == account);
            found.map_or((0, 0), |it| (it.debits, it.credits))
        };
        assert_eq!(of(PointsAccount::Issuance), (self.issued, self.taken_back));
        assert_eq!(of(PointsAccount::Refunds), (self.refunded, 0));
        let sums = day
            .accounts
            .iter()
            .fold((0, 0), |sums, it| (sums.0 + it.debits, sums.1 + it.credits));
        assert_eq!(sums.0, sums.1, "{day:?}");
    }
}

struct Days {
    world: World,
    admin: Client,
    root: Identity,
    players: Vec<Identity>,
    keys: u32,
    model: Model,
    /// What was set aside: player, movement, amount.
    aside: Vec<(usize, u64, u64)>,
    /// What was spent and not refunded: player, movement, amount.
    spent: Vec<(usize, u64, u64)>,
}

impl Days {
    async fn new() -> Self {
        let world = World::new().await;
        let (admin, root) = world.registered("root").await;
        let mut players = Vec::new();
        for number in 0..=PLAYERS {
            let name = format!("player {number}");
            let (_, signed_in) = world.guest(&name, Options::default()).await;
            players.push(signed_in.identity);
        }
        Self {
            world,
            admin,
            root: root.identity,
            players,
            keys: 0,
            model: Model::default(),
            aside: Vec::new(),
            spent: Vec::new(),
        }
    }

    /// Stops the server and starts it again.
    async fn restarted(self) -> Self {
        let world = self.world.restarted().await;
        let admin = world.signed_in("root").await;
        Self {
            world,
            admin,
            ..self
        }
    }

    fn points(&self) -> &PointsService {
        &self.world.context.services.points
    }

    fn totals(&self) -> &DailyTotals {
        &self.world.context.services.totals
    }

    /// A call at this moment under a key of its own.
    fn caller(&mut self, identity: Identity, now: u64) -> Caller {
        self.keys += 1;
        let key = format!("movement {}", self.keys);
        Caller {
            conn: ConnectionId::from_bytes([7; 10]),
            call: 1,
            identity: Some(identity),
            address: Ipv4Addr::LOCALHOST.into(),
            now,
            steady: Steady::now(),
            key: Some(IdempotencyKey {
                request: KeyedRequest::Whole(Bytes::copy_from_slice(key.as_bytes())),
                key: key.as_str().into(),
                method: 1,
                first_head: None,
            }),
        }
    }

    fn admin_at(&mut self, now: u64) -> Caller {
        self.caller(self.root.clone(), now)
    }

    fn player_at(&mut self, player: usize, now: u64) -> Caller {
        self.caller(self.players[player].clone(), now)
    }

    async fn grant(&mut self, player: usize, amount: u64, now: u64) {
        let caller = self.admin_at(now);
        let request = grant(self.players[player].user, amount);
        let granted = self.points().grant(&caller, request).await;
        granted.expect("an admin may");
        self.model.moved[player] = true;
        self.model.issued += amount;
        self.model.outstanding += amount.cast_signed();
    }

    async fn deduct(&mut self, player: usize, amount: u64, now: u64) {
        let caller = self.admin_at(now);
        let request = DeductPoints {
            user: self.players[player].user,
            amount,
            reference: None,
            note: "it was a mistake".to_owned(),
        };
        if self.points().deduct(&caller, request).await.is_ok() {
            self.model.taken_back += amount;
            self.model.outstanding -= amount.cast_signed();
        }
    }

    async fn spend(&mut self, player: usize, amount: u64, now: u64) {
        let caller = self.player_at(player, now);
        if let Ok(movement) = self.points().spend(&caller, spend(amount)).await {
            self.model.spent += amount;
            self.model.outstanding -= amount.cast_signed();
            self.spent.push((player, movement.number, amount));
        }
    }

    async fn refund(&mut self, now: u64) {
        let Some((player, movement, amount)) = self.spent.pop() else {
            return;
        };
        let caller = self.admin_at(now);
        let request = RefundPoints {
            user: self.players[player].user,
            movement,
            amount: None,
            note: "it was broken".to_owned(),
        };
        let refunded = self.points().refund(&caller, request).await;
        refunded.expect("it was spent");
        self.model.refunded += amount;
        self.model.outstanding += amount.cast_signed();
    }

    async fn give(&mut self, player: usize, amount: u64, now: u64) {
        let caller = self.player_at(player, now);
        let request = GivePoints {
            user: self.players[PLAYERS].user,
            amount,
            note: None,
        };
        if self.points().give(&caller, request).await.is_ok() {
            self.model.under_way += amount.cast_signed();
            self.model.outstanding -= amount.cast_signed();
        }
    }

    async fn set_aside(&mut self, player: usize, amount: u64, now: u64) {
        let caller = self.admin_at(now);
        let request = SetPointsAside {
            user: self.players[player].user,
            amount,
            until: now + 20 * DAY_MS,
            reference: None,
            note: None,
        };
        if let Ok(movement) = self.points().set_aside(&caller, request).await {
            self.model.pending += amount;
            self.aside.push((player, movement.number, amount));
        }
    }

    async fn post(&mut self, now: u64) {
        let Some((player, movement, amount)) = self.aside.pop() else {
            return;
        };
        let caller = self.admin_at(now);
        let request = PostPoints {
            user: self.players[player].user,
            movement,
            amount: Some(amount),
        };
        let posted = self.points().post(&caller, request).await;
        posted.expect("it was set aside");
        self.model.pending -= amount;
        self.model.spent += amount;
        self.model.outstanding -= amount.cast_signed();
    }

    /// Whatever can move points, at one moment of a day.
    async fn move_at_random(&mut self, random: &mut fastrand::Rng, now: u64) {
        let player = random.usize(..PLAYERS);
        let amount = random.u64(1..=40);
        match random.u8(..9) {
            0 | 1 => self.grant(player, amount, now).await,
            2 => self.deduct(player, amount, now).await,
            3 | 4 => self.spend(player, amount, now).await,
            5 => self.refund(now).await,
            6 => self.give(player, amount, now).await,
            7 => self.set_aside(player, amount, now).await,
            _ => self.post(now).await,
        }
    }

    async fn list(&mut self, before: Option<u32>, limit: Option<u32>) -> PointsTotals {
        let request = ListPointsTotals { before, limit };
        self.admin.call(&request).await.expect("an admin may")
    }

    /// All days, two by two.
    async fn list_in_pages(&mut self) -> Vec<DayTotals> {
        let (mut before, mut days) = (None, Vec::new());
        loop {
            let page = self.list(before, Some(2)).await;
            assert!(page.days.len() <= 2);
            days.extend(page.days);
            before = page.next;
            if before.is_none() {
                return days;
            }
        }
    }

    /// Waits until every gift has arrived.
    async fn until_arrived(&self) {
        let players = &self.world.context.services.players;
        while Audit::of_all(players).await.expect("it reads").under_way != Some(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn today() -> u64 {
    now_ms() / DAY_MS
}

#[tokio::test]
async fn each_day_is_kept_as_it_ended_whenever_it_is_added_up() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut days = Days::new().await;
    let (today, mut models) = (today(), BTreeMap::new());
    let first = today - 5;
    // The last player has none before the third day.
    for player in 0..PLAYERS - 1 {
        days.grant(player, 500, first * DAY_MS).await;
    }
    models.insert(first - 1, Model::default());
    models.insert(first, days.model);
    // The next day has begun, for one player, when the first is added up.
    let next = (first + 1) * DAY_MS;
    days.grant(0, 7, next).await;
    let early = days.totals().record_due(next + 4 * MINUTE_MS).await;
    assert_eq!(early.expect("it reads"), 1);
    let list = days.list(None, None).await;
    let day = list.days.first().map(|day| u64::from(day.day));
    assert_eq!(day, Some(first - 1), "what is on its way may arrive");
    let due = days.totals().record_due(next + 5 * MINUTE_MS).await;
    assert_eq!(due.expect("it reads"), 1);
    for day in first + 1..today {
        for step in 1..=25 {
            let now = day * DAY_MS + step * MINUTE_MS;
            days.move_at_random(&mut random, now).await;
        }
        // Whoever has moved points on this day moves none on the day before, though the clock was set back.
        days.grant(1, 1, day * DAY_MS + 30 * MINUTE_MS).await;
        days.spend(1, 1, day * DAY_MS - 1).await;
        models.insert(day, days.model);
    }
    days.until_arrived().await;
    let mut days = days.restarted().await;
    // No pass ran on the days in between. Two run now, while points move.
    let now = today * DAY_MS + 10 * MINUTE_MS;
    let (one, other) = (days.totals().clone(), days.totals().clone());
    let moving = async {
        for _ in 0..20 {
            days.move_at_random(&mut random, now).await;
        }
    };
    let (one, other, ()) = tokio::join!(one.record_due(now), other.record_due(now), moving);
    assert_eq!(one.expect("it reads") + other.expect("it reads"), 4);
    let mut days = days.restarted().await;
    let again = days.totals().record_due(now + MINUTE_MS).await;
    assert_eq!(again.expect("it reads"), 0);
    let list = days.list(None, None).await;
    let listed = list.days.iter().map(|day| u64::from(day.day));
    let newest_first = models.keys().rev().copied();
    assert!(listed.eq(newest_first), "{list:?}");
    assert_eq!(list.next, None);
    for day in &list.days {
        models[&u64::from(day.day)].check(day);
    }
    assert_eq!(days.list_in_pages().await, list.days);
}

#[tokio::test]
async fn a_day_whose_commit_is_lost_is_added_up_after_the_next_start() {
    let mut days = Days::new().await;
    let today = today();
    days.grant(0, 10, (today - 1) * DAY_MS).await;
    let model = days.model;
    let now = today * DAY_MS + 10 * MINUTE_MS;
    days.world.entities.fail(entity(), 1, 0);
    let failed = days.totals().record_due(now).await;
    assert_eq!(code(failed), Some(Code::StorageUnavailable));
    assert_eq!(days.list(None, None).await.days, []);
    // The process ends while the commit is on its way, and it comes to nothing.
    days.world.entities.fail_late(entity());
    let pass = days.totals().clone();
    let pass = tokio::spawn(async move { pass.record_due(now).await });
    while !days.world.entities.has_failed_late() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pass.abort();
    let mut days = days.restarted().await;
    assert_eq!(days.list(None, None).await.days, []);
    days.grant(1, 5, now).await;
    assert_eq!(days.totals().record_due(now).await.expect("it reads"), 1);
    let list = days.list(None, None).await;
    assert_eq!(list.days.len(), 1);
    model.check(&list.days[0]);
}

#[tokio::test]
async fn what_cannot_be_read_or_is_dated_ahead_is_noted() {
    let mut days = Days::new().await;
    let today = today();
    let yesterday = (today - 1) * DAY_MS;
    for (player, amount) in [(0, 10), (1, 20), (2, 40)] {
        days.grant(player, amount, yesterday).await;
    }
    let user = days.players[0].user;
    let players = &days.world.context.services.players;
    overwrite(players, user, 1, vec![0xc1]).await;
    // The clock was ahead for a moment, and the wallet stays at that day.
    days.spend(1, 1, (today + 9) * DAY_MS).await;
    days.spend(1, 2, today * DAY_MS).await;
    let now = today * DAY_MS + 10 * MINUTE_MS;
    assert_eq!(days.totals().record_due(now).await.expect("it reads"), 1);
    let list = days.list(None, None).await;
    let day = &list.days[0];
    assert_eq!((day.wallets, day.unread, day.ahead), (2, 1, 1), "{day:?}");
    assert_eq!((day.issued, day.spent, day.outstanding), (60, 3, 57));
    // Nobody but admins asks.
    let request = ListPointsTotals::default();
    let (mut player, _) = days.world.guest("player 1", Options::default()).await;
    assert_eq!(code(player.call(&request).await), Some(Code::Forbidden));
    for limit in [0, 201] {
        let request = ListPointsTotals {
            limit: Some(limit),
            ..request.clone()
        };
        let refused = days.admin.call(&request).await;
        assert_eq!(code(refused), Some(Code::InvalidArgument));
    }
}
