//! Points through a session: what is granted, spent, given and set aside, under keys that are good for ever.

mod gifts;
mod totals;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::{Key, METHODS, Method};
use pitturu_protocol::types::friends::{BlockPlayer, UnblockPlayer};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::points::{
    DeductPoints, GetWallet, GivePoints, GrantPoints, ListMovements, ListPointsDays, Movement,
    MovementState, Movements, MovementsFrom, PointsAccount, PointsReason, PostPoints, RefundPoints,
    SetPointsAside, SpendPoints, VoidPoints, Wallet,
};
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{Commit, Entry};

use super::world::{Client, Raw, World};
use crate::connections::link::memory::Options;
use crate::players;
use crate::players::store::PlayerStore;
use crate::services::points::audit::Audit;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

struct Scene {
    world: World,
    admin: Client,
    player: Client,
    user: UserId,
    keys: u32,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (admin, _) = world.registered("root").await;
        let (player, signed_in) = world.guest("player", Options::default()).await;
        Self {
            world,
            admin,
            player,
            user: signed_in.identity.user,
            keys: 0,
        }
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("movement {}", self.keys)
    }

    async fn manage<M: Method<Reply = Movement>>(
        &mut self,
        request: &M,
    ) -> Result<Movement, Fault> {
        let key = self.key();
        self.admin.call_under(request, &key).await
    }

    async fn play<M: Method<Reply = Movement>>(&mut self, request: &M) -> Result<Movement, Fault> {
        let key = self.key();
        self.player.call_under(request, &key).await
    }

    async fn grant(&mut self, amount: u64) -> Movement {
        let grant = grant(self.user, amount);
        self.manage(&grant).await.expect("an admin may")
    }

    async fn wallet(&mut self) -> Wallet {
        wallet(&mut self.player).await
    }
}

async fn wallet(client: &mut Client) -> Wallet {
    let wallet = client.call(&GetWallet::default()).await;
    wallet.expect("everybody has one")
}

fn grant(user: UserId, amount: u64) -> GrantPoints {
    GrantPoints {
        user,
        amount,
        reference: None,
        note: "welcome".to_owned(),
    }
}

fn spend(amount: u64) -> SpendPoints {
    SpendPoints {
        amount,
        reference: Some("sword".to_owned()),
    }
}

fn code<T>(outcome: Result<T, Fault>) -> Option<Code> {
    outcome.err().map(|fault| fault.code)
}

#[tokio::test]
async fn what_is_granted_is_spent_refunded_and_outlives_a_restart() {
    let mut scene = Scene::new().await;
    let nothing = scene.wallet().await;
    assert_eq!(
        (nothing.balance, nothing.available, nothing.head),
        (0, 0, 0)
    );
    let granted = scene.grant(100).await;
    assert_eq!((granted.number, granted.balance), (1, 100));
    assert_eq!(granted.note.as_deref(), Some("welcome"));
    let spent = scene.play(&spend(30)).await.unwrap();
    assert_eq!(
        (spent.debit, spent.credit),
        (PointsAccount::Wallet, PointsAccount::Spend)
    );
    assert_eq!((spent.number, spent.balance, spent.by), (2, 70, None));
    assert_eq!(spent.id.as_deref(), Some("movement 2"));
    let refund = |amount| RefundPoints {
        user: scene.user,
        movement: 2,
        amount,
        note: "sorry".to_owned(),
    };
    let (some, rest) = (refund(Some(10)), refund(None));
    let back = scene.manage(&some).await.unwrap();
    assert_eq!((back.amount, back.of, back.balance), (10, Some(2), 80));
    assert_eq!(scene.manage(&rest).await.unwrap().balance, 100);
    assert_eq!(code(scene.manage(&rest).await), Some(Code::InvalidArgument));
    let mut world = scene.world;
    drop((scene.admin, scene.player));
    world = world.restarted().await;
    let (mut player, _) = world.guest("player", Options::default()).await;
    assert_eq!(wallet(&mut player).await.balance, 100);
    let again = player.call_under(&spend(30), "movement 2").await;
    assert_eq!(again, Ok(spent), "the key is good for ever");
    assert_eq!(wallet(&mut player).await.head, 4);
}

#[tokio::test]
async fn a_key_is_the_id_of_a_movement() {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    let first = scene.player.call_under(&spend(10), "mine").await.unwrap();
    for _ in 0..3 {
        let again = scene.player.call_under(&spend(10), "mine").await;
        assert_eq!(again.as_ref(), Ok(&first));
    }
    let mut other = spend(10);
    other.reference = None;
    for (request, field) in [(&spend(11), "amount"), (&other, "reference")] {
        let refused = scene.player.call_under(request, "mine").await;
        let fault = refused.expect_err("another request");
        assert_eq!(
            (fault.code, fault.field.as_deref()),
            (Code::KeyReused, Some(field))
        );
    }
    let give = GivePoints {
        user: scene.user,
        amount: 10,
        note: None,
    };
    let refused = scene.player.call_under(&give, "mine").await;
    assert_eq!(code(refused), Some(Code::KeyReused));
    // An admin's key is another one.
    let user = scene.user;
    let granted = scene.admin.call_under(&grant(user, 5), "mine").await;
    assert_eq!(granted.unwrap().balance, 95);
    // A refusal is not kept.
    let refused = scene.player.call_under(&spend(1_000), "later").await;
    assert_eq!(code(refused), Some(Code::NotEnoughPoints));
    scene.grant(1_000).await;
    assert!(
        scene
            .player
            .call_under(&spend(1_000), "later")
            .await
            .is_ok()
    );
    for info in METHODS.iter().filter(|info| info.key == Key::Lasting) {
        let raw = Raw {
            method: info.number,
            body: vec![0x80],
        };
        let call = scene.admin.encode_raw(&raw, "").0;
        let frame = pitturu_protocol::frame::ClientFrame::Call {
            call,
            method: raw.method,
            body: &raw.body,
            key: None,
            head: None,
        };
        scene.admin.peer.send(frame.encode()).await;
        let fault = scene.admin.answer_to(call).await.expect_err("no key");
        assert_eq!(
            (fault.code, fault.field.as_deref()),
            (Code::InvalidArgument, Some("key")),
            "{}",
            info.name
        );
    }
}

#[tokio::test]
async fn ten_connections_spend_one_balance_at_once() {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(scene.world.guest("player", Options::default()).await.0);
    }
    let mut calls = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        for round in 0..3 {
            let raw = Raw::of(&spend(7));
            let (call, frame) = client.encode_raw(&raw, &format!("{number} {round}"));
            client.peer.send(frame).await;
            calls.push((number, call));
        }
    }
    let mut spent = 0;
    for (number, call) in calls {
        match clients[number].answer_in_any_order(call).await {
            Ok(_) => spent += 1,
            Err(fault) => assert_eq!(fault.code, Code::NotEnoughPoints),
        }
    }
    assert_eq!((spent, scene.wallet().await.balance), (14, 2));
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let mut scene = Scene::new().await;
    scene.grant(10).await;
    let (user, nobody) = (scene.user, UserId::from_bytes([9; 10]));
    assert_eq!(
        code(scene.play(&spend(11)).await),
        Some(Code::NotEnoughPoints)
    );
    assert_eq!(
        code(scene.manage(&grant(nobody, 1)).await),
        Some(Code::NotFound)
    );
    let most = pitturu_protocol::limits::INTEGER_MAX;
    assert_eq!(
        code(scene.manage(&grant(user, most)).await),
        Some(Code::LimitReached)
    );
    let give = |user| GivePoints {
        user,
        amount: 1,
        note: None,
    };
    assert_eq!(code(scene.play(&give(nobody)).await), Some(Code::NotFound));
    assert_eq!(
        code(scene.play(&give(user)).await),
        Some(Code::InvalidArgument)
    );
    let take = DeductPoints {
        user,
        amount: 11,
        reference: None,
        note: "for the test".to_owned(),
    };
    assert_eq!(code(scene.manage(&take).await), Some(Code::NotEnoughPoints));
    for movement in [0, 1, 99] {
        let refund = RefundPoints {
            user,
            movement,
            amount: None,
            note: "for the test".to_owned(),
        };
        assert_eq!(
            code(scene.manage(&refund).await),
            Some(Code::MovementNotFound)
        );
        let (post, void) = (
            PostPoints {
                user,
                movement,
                amount: None,
            },
            VoidPoints { user, movement },
        );
        assert_eq!(code(scene.manage(&post).await), Some(Code::NotPending));
        assert_eq!(code(scene.manage(&void).await), Some(Code::NotPending));
    }
    // Somebody else's wallet, and what only admins do.
    let (mut other, _) = scene.world.guest("other", Options::default()).await;
    let theirs = GetWallet { user: Some(user) };
    assert_eq!(code(other.call(&theirs).await), Some(Code::Forbidden));
    assert_eq!(scene.admin.call(&theirs).await.unwrap().balance, 10);
    let list = ListMovements {
        user: Some(user),
        ..ListMovements::default()
    };
    assert_eq!(code(other.call(&list).await), Some(Code::Forbidden));
    assert_eq!(scene.admin.call(&list).await.unwrap().movements.len(), 1);
    let own = other.call_under(&grant(user, 1), "own").await;
    assert_eq!(code(own), Some(Code::Forbidden));
    let wallet = scene.wallet().await;
    assert_eq!((wallet.balance, wallet.head), (10, 1));
}

#[tokio::test]
async fn what_is_set_aside_is_posted_voided_or_free_when_its_time_is_over() {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    let user = scene.user;
    let aside = |amount, until| SetPointsAside {
        user,
        amount,
        until,
        reference: Some("order 7".to_owned()),
        note: None,
    };
    let soon = now_ms() + DAY_MS;
    let first = scene.manage(&aside(60, soon)).await.unwrap();
    assert_eq!(
        (first.state, first.balance, first.available),
        (MovementState::Pending, 100, 40)
    );
    assert_eq!(
        code(scene.play(&spend(41)).await),
        Some(Code::NotEnoughPoints)
    );
    let post = PostPoints {
        user,
        movement: first.number,
        amount: Some(50),
    };
    let more = PostPoints {
        amount: Some(61),
        ..post.clone()
    };
    let refused = scene.manage(&more).await.unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("amount"));
    assert!(refused.message.contains("1 to 60 points"), "{refused}");
    let posted = scene.manage(&post).await.unwrap();
    assert_eq!(
        (posted.amount, posted.balance, posted.available),
        (50, 50, 50)
    );
    assert_eq!(code(scene.manage(&post).await), Some(Code::NotPending));
    let second = scene.manage(&aside(50, soon)).await.unwrap();
    let void = VoidPoints {
        user,
        movement: second.number,
    };
    assert_eq!(scene.manage(&void).await.unwrap().available, 50);
    scene.manage(&aside(20, now_ms() + 200)).await.unwrap();
    assert_eq!(scene.wallet().await.available, 30);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(scene.wallet().await.available, 50, "its time is over");
    assert_eq!(scene.play(&spend(50)).await.unwrap().balance, 0);
    for until in [0, now_ms(), now_ms() + 31 * DAY_MS] {
        let refused = scene.manage(&aside(1, until)).await;
        assert_eq!(code(refused), Some(Code::InvalidArgument), "{until}");
    }
}

#[tokio::test]
async fn a_gift_arrives_once_or_comes_back() {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    let (mut friend, signed_in) = scene.world.guest("friend", Options::default()).await;
    let to = signed_in.identity.user;
    let give = GivePoints {
        user: to,
        amount: 30,
        note: Some("for you".to_owned()),
    };
    friend.call(&super::inbox()).await.unwrap();
    let given = scene.play(&give).await.unwrap();
    assert_eq!(
        (given.credit, given.other),
        (PointsAccount::Transit, Some(to))
    );
    let InboxAdded { entry, .. } = friend.event().await;
    let (user, amount) = (scene.user, 30);
    let note = Some("for you".to_owned());
    assert_eq!(entry, InboxEntry::PointsReceived { user, amount, note });
    assert_eq!(wallet(&mut friend).await.balance, 30);
    // A repetition gets the first result, whoever blocks whom by now.
    let key = format!("movement {}", scene.keys);
    friend
        .call(&BlockPlayer { user: scene.user })
        .await
        .unwrap();
    let again = scene.player.call_under(&give, &key).await;
    assert_eq!(again, Ok(given));
    let unblock = UnblockPlayer { user: scene.user };
    friend.call(&unblock).await.unwrap();
    // The other is blocked between the look at them and the moment at which they hear of it.
    scene
        .world
        .entities
        .fail_applying(Some(players::entity(to)));
    scene.play(&give).await.unwrap();
    friend.call(&BlockPlayer { user }).await.unwrap();
    assert_eq!(scene.wallet().await.balance, 40);
    scene.world.entities.fail_applying(None);
    while scene.wallet().await.balance == 40 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(scene.wallet().await.balance, 70);
    assert_eq!(wallet(&mut friend).await.balance, 30);
    assert_eq!(code(scene.play(&give).await), Some(Code::Blocked));
}

#[tokio::test]
async fn history_goes_both_ways_and_is_filtered() {
    let mut scene = Scene::new().await;
    for number in 0..60 {
        match number % 3 {
            0 => drop(scene.grant(10).await),
            _ => drop(scene.play(&spend(1)).await.unwrap()),
        }
    }
    let all = |from, reason, limit| ListMovements {
        from,
        reason,
        limit: Some(limit),
        ..ListMovements::default()
    };
    let mut seen = Vec::new();
    let mut from = None;
    loop {
        let page: Movements = scene.player.call(&all(from, None, 7)).await.unwrap();
        seen.extend(page.movements.into_iter().map(|movement| movement.number));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=60).rev().collect::<Vec<_>>(), "newest first");
    let mut seen = Vec::new();
    let mut from = Some(MovementsFrom::After(0));
    while from.is_some() {
        let reason = Some(PointsReason::Grant);
        let page = scene.player.call(&all(from, reason, 7)).await.unwrap();
        let grants = page.movements.iter();
        seen.extend(grants.map(|movement| movement.number));
        from = page.next;
    }
    assert_eq!(
        seen,
        (0..20).map(|number| 3 * number + 1).collect::<Vec<_>>()
    );
    let mut spent = all(Some(MovementsFrom::After(0)), None, 200);
    spent.account = Some(PointsAccount::Spend);
    let page = scene.player.call(&spent).await.unwrap();
    assert_eq!((page.movements.len(), page.next), (40, None));
    spent.until = Some(page.movements[0].at);
    assert_eq!(scene.player.call(&spent).await.unwrap().movements, []);
    spent.until = None;
    spent.since = Some(page.movements[39].at + 1);
    assert_eq!(scene.player.call(&spent).await.unwrap().movements, []);
}

#[tokio::test]
async fn a_day_adds_up_over_players() {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    scene.play(&spend(40)).await.unwrap();
    let (_, signed_in) = scene.world.guest("another", Options::default()).await;
    let another = grant(signed_in.identity.user, 7);
    scene.manage(&another).await.unwrap();
    let day = u32::try_from(now_ms() / DAY_MS).unwrap();
    // It may turn while the test runs.
    let mut sums = Vec::new();
    for day in [day - 1, day, day + 1] {
        let request = ListPointsDays { day, after: None };
        let page = scene.admin.call(&request).await.unwrap();
        assert_eq!(page.next, None);
        sums.extend(page.accounts);
    }
    let sum = |account, of: fn(&pitturu_protocol::types::points::AccountDay) -> u64| {
        let of_account = sums.iter().filter(|day| day.account == account);
        of_account.map(of).sum::<u64>()
    };
    assert_eq!(sum(PointsAccount::Issuance, |day| day.debits), 107);
    assert_eq!(sum(PointsAccount::Spend, |day| day.credits), 40);
    assert_eq!(sum(PointsAccount::Wallet, |day| day.credits), 107);
}

/// An audit finds what is under way, and what somebody has changed behind the server's back.
#[tokio::test]
async fn an_audit_adds_up_what_is_there_and_finds_what_is_not() {
    let mut scene = Scene::new().await;
    for amount in [100, 20, 3] {
        scene.grant(amount).await;
        scene.play(&spend(amount / 2)).await.unwrap();
    }
    let (mut friend, signed_in) = scene.world.guest("friend", Options::default()).await;
    let to = signed_in.identity.user;
    let give = GivePoints {
        user: to,
        amount: 9,
        note: None,
    };
    scene.play(&give).await.unwrap();
    assert_eq!(wallet(&mut friend).await.balance, 9);
    let (user, soon) = (scene.user, now_ms() + DAY_MS);
    let aside = SetPointsAside {
        user,
        amount: 5,
        until: soon,
        reference: None,
        note: None,
    };
    let pending = scene.manage(&aside).await.unwrap();
    let post = PostPoints {
        user,
        movement: pending.number,
        amount: Some(2),
    };
    scene.manage(&post).await.unwrap();
    scene.manage(&aside).await.unwrap();
    scene
        .world
        .entities
        .fail_applying(Some(players::entity(to)));
    scene.play(&give).await.unwrap();
    let players = &scene.world.context.services.players;
    let audit = Audit::of_all(players).await.unwrap();
    assert_eq!(
        (audit.wallets, audit.faults, audit.under_way),
        (2, 0, Some(9)),
        "{audit}"
    );
    assert_eq!(audit.movements, 12);
    // A line is changed as if by hand: its number is the stream's first.
    let (_, mut line) = players.movement(user, 1).await.unwrap().unwrap();
    line.entry.amount += 1;
    overwrite(players, user, 1, codec::encode(&line)).await;
    let audit = Audit::of_all(players).await.unwrap();
    assert_eq!(audit.faults, 1, "{audit}");
    let told = audit.to_string();
    assert!(
        told.contains(&format!("player {user}, movement 1:")),
        "{told}"
    );
}

/// Puts a line into a player's ledger behind the server's back.
async fn overwrite(players: &PlayerStore, user: UserId, number: u64, row: Vec<u8>) {
    let entity = players::entity(user);
    let entities = players.entities();
    let loaded = entities.load(entity, Vec::new()).await.unwrap().unwrap();
    let mut commit = Commit::new(
        entity,
        loaded.fence,
        loaded.head.version + 1,
        loaded.head.incarnation,
    );
    let stream = 1;
    commit.entries.push(Entry {
        stream,
        number,
        row,
    });
    let reservation = entities.reserve(1_000).unwrap();
    let (done, is_done) = tokio::sync::oneshot::channel();
    entities.commit(
        reservation,
        commit.into(),
        Box::new(|outcome| drop(done.send(outcome))),
    );
    is_done.await.unwrap().expect("it rests on what is there");
}

/// A line that can't be read is a fault like any other, and hides no other one.
#[tokio::test]
async fn an_audit_goes_on_past_what_it_cannot_read() {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    let (_, signed_in) = scene.world.guest("friend", Options::default()).await;
    let other = signed_in.identity.user;
    scene.manage(&grant(other, 7)).await.unwrap();
    let players = &scene.world.context.services.players;
    overwrite(players, scene.user, 1, vec![0xc1]).await;
    overwrite(players, other, 1, vec![0xc1]).await;
    for audit in [
        Audit::of_all(players).await.unwrap(),
        Audit::of_newest(players).await.unwrap(),
    ] {
        assert_eq!((audit.wallets, audit.faults), (2, 2), "{audit}");
        for user in [scene.user, other] {
            assert!(audit.to_string().contains(&user.to_string()), "{audit}");
        }
    }
}
