//! Friends, requests and blocks.

use std::collections::{BTreeMap, BTreeSet};

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::friends::FriendState::{self, Blocked, Friend, Received, Requested};
use pitturu_protocol::types::inbox::InboxEntry;

use super::stored::{Stored, on_both_stores};
use super::{Players, key, seed, until_quiet, user};
use crate::connections::caller::IdempotencyKey;
use crate::players::command::Ask;
use crate::players::store::FriendRow;

on_both_stores! {
    random_acts_match_a_model,
    lists_are_paged_and_filtered,
}

const PLAYERS: u16 = 4;

/// What each player should see of each other one, when one act follows the other.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(u16, u16), FriendState>,
    inboxes: BTreeMap<u16, u64>,
}

impl Model {
    fn between(&self, one: u16, other: u16) -> [Option<FriendState>; 2] {
        [(one, other), (other, one)].map(|pair| self.rows.get(&pair).copied())
    }

    fn set(&mut self, one: u16, other: u16, states: [Option<FriendState>; 2]) {
        for (pair, state) in [(one, other), (other, one)].into_iter().zip(states) {
            match state {
                Some(state) => self.rows.insert(pair, state),
                None => self.rows.remove(&pair),
            };
        }
    }

    fn tell(&mut self, player: u16) {
        *self.inboxes.entry(player).or_default() += 1;
    }

    /// Applies an operation; whether it is allowed.
    fn apply(&mut self, operation: u64, one: u16, other: u16) -> bool {
        let between = self.between(one, other);
        let blocked = between.contains(&Some(Blocked));
        match (operation, between) {
            (0, _) if blocked => false,
            (0 | 1, [Some(Received), _]) => {
                self.set(one, other, [Some(Friend), Some(Friend)]);
                self.tell(other);
                true
            }
            (0, [None, _]) => {
                self.set(one, other, [Some(Requested), Some(Received)]);
                self.tell(other);
                true
            }
            (0, _) | (1, [Some(Friend), _]) => true,
            (2, [Some(Friend | Requested | Received), _]) => {
                self.set(one, other, [None, None]);
                self.tell(other);
                true
            }
            (3, [mine, theirs]) => {
                if matches!(mine, Some(Friend | Requested | Received)) {
                    self.tell(other);
                }
                let theirs = theirs.filter(|&state| state == Blocked);
                self.set(one, other, [Some(Blocked), theirs]);
                true
            }
            (4, [Some(Blocked), theirs]) => {
                self.set(one, other, [None, theirs]);
                true
            }
            _ => false,
        }
    }
}

impl<S: Stored> Players<S> {
    /// Carries an operation of the model out; whether it was allowed.
    async fn act(
        &self,
        operation: u64,
        (one, other): (u16, u16),
        key: Option<IdempotencyKey>,
        at: u64,
    ) -> bool {
        let name = || format!("player {one}");
        let seen = self.store.other(user(one), user(other), true).await;
        let seen = seen.unwrap();
        let ask = match operation {
            0 => Ask::Request(seen, name()),
            1 => Ask::Accept(seen, name()),
            2 => Ask::Remove(user(other)),
            3 => Ask::Block(seen),
            _ => Ask::Unblock(user(other)),
        };
        match self.ask(one, ask, key, at).await {
            Ok(_) => true,
            Err(fault) => match fault.code {
                Code::Blocked | Code::NotFriends | Code::NotFound => false,
                _ => panic!("{fault}"),
            },
        }
    }

    async fn compare(&self, model: &Model, what: &str) {
        for one in 1..=PLAYERS {
            let rows = self.store.friends(user(one), None, None, 100).await;
            let seen: BTreeSet<_> = rows
                .unwrap()
                .iter()
                .map(|row| (row.user, format!("{:?}", row.state)))
                .collect();
            let expected: BTreeSet<_> = model
                .rows
                .iter()
                .filter(|((of, _), _)| *of == one)
                .map(|((_, other), state)| (user(*other), format!("{state:?}")))
                .collect();
            assert_eq!(seen, expected, "{what}");
            let head = self.store.inbox(user(one)).await.unwrap().head;
            let told = model.inboxes.get(&one).copied().unwrap_or(0);
            assert_eq!(head, told, "{what}: inbox of {one}");
            for other in 1..=PLAYERS {
                let blocked = model.between(one, other).contains(&Some(Blocked));
                let stored = self.store.blocked_either(user(one), user(other)).await;
                assert_eq!(stored.unwrap(), blocked, "{what}");
            }
        }
    }
}

async fn random_acts_match_a_model(stored: impl Stored) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = Players::start(stored);
    let mut model = Model::default();
    for step in 0..400_u64 {
        let one = random.u16(1..=PLAYERS);
        let other = 1 + (one - 1 + random.u16(1..PLAYERS)) % PLAYERS;
        let operation = random.u64(..5);
        let what = format!("seed {seed}, step {step}: {operation} of {one} on {other}");
        let allowed = model.apply(operation, one, other);
        let key = (step % 3 == 0).then(|| key(&step.to_string(), 1, 0));
        let acted = world.act(operation, (one, other), key.clone(), step).await;
        assert_eq!(acted, allowed, "{what}");
        if key.is_some() && allowed {
            let again = world.act(operation, (one, other), key, step).await;
            assert!(again, "{what}, repeated");
        }
        until_quiet(&world.stored.entities()).await;
        if step % 150 == 149 {
            world.restart();
        }
        world.compare(&model, &what).await;
    }
}

async fn lists_are_paged_and_filtered(stored: impl Stored) {
    let world = Players::start(stored);
    for number in 2..=PLAYERS {
        assert!(world.act(0, (number, 1), None, u64::from(number)).await);
    }
    until_quiet(&world.stored.entities()).await;
    let seen = world.store.other(user(1), user(3), true).await.unwrap();
    let ask = Ask::Accept(seen, "player 1".to_owned());
    let reply = world.ask(1, ask, None, 9).await.unwrap();
    let friend = FriendRow {
        user: user(3),
        state: Friend,
        since: 9,
    };
    assert_eq!(codec::decode::<FriendRow>(&reply).unwrap(), friend);
    until_quiet(&world.stored.entities()).await;
    let list = |state, after, limit| world.store.friends(user(1), state, after, limit);
    let users = |rows: Vec<FriendRow>| rows.iter().map(|row| row.user).collect::<Vec<_>>();
    let page = list(None, None, 2).await.unwrap();
    assert_eq!(users(page), [user(2), user(3)]);
    let page = list(None, Some(user(3)), 2).await.unwrap();
    assert_eq!(users(page), [user(4)]);
    let page = list(Some(Received), None, 9).await.unwrap();
    assert_eq!(users(page), [user(2), user(4)]);
    let page = list(Some(Received), Some(user(2)), 9).await.unwrap();
    assert_eq!(users(page), [user(4)]);
    assert_eq!(list(Some(Friend), None, 9).await.unwrap(), [friend]);
    assert!(list(Some(Blocked), None, 9).await.unwrap().is_empty());
    let theirs = world.store.friends(user(3), None, None, 9).await.unwrap();
    let of_theirs = FriendRow {
        user: user(1),
        ..friend
    };
    assert_eq!(theirs, [of_theirs]);
    let entries = world.store.inbox_after(user(1), 0, 10).await.unwrap();
    let first = InboxEntry::FriendRequested {
        user: user(2),
        name: "player 2".to_owned(),
    };
    assert_eq!((entries.len(), &entries[0].entry), (3, &first));
    let nobody = world.store.other(user(1), user(99), false).await.unwrap();
    for ask in [Ask::Request(nobody, String::new()), Ask::Block(nobody)] {
        let refused = world.ask(1, ask, None, 1).await;
        assert_eq!(refused.map_err(|fault| fault.code), Err(Code::NotFound));
    }
}
