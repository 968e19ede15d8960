//! Friends, requests and blocks.

use std::collections::{BTreeMap, BTreeSet};

use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::friends::FriendState::{self, Blocked, Friend, Received, Requested};
use pitturu_protocol::types::inbox::InboxEntry;

use super::{Harness, user};
use crate::accounts::{AccountRow, Accounts, ProfileRow, SessionRow};
use crate::friends::{FriendError, FriendRow, Friends, Pair};
use crate::inboxes::Inboxes;
use crate::keyed::KeyUse;

const PLAYERS: u16 = 4;

async fn players<S: Accounts>(store: &S) {
    for number in 1..=PLAYERS {
        let mut secret = [0; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        let account = AccountRow {
            user: user(number),
            login: None,
            guest_secret: Some(secret),
            role: Role::Player,
            created_at: 1,
            profile: ProfileRow {
                name: format!("player {number}"),
                avatar: None,
                bio: None,
                language: None,
            },
        };
        let session = SessionRow {
            session: SessionId::from_bytes(*user(number).as_bytes()),
            device: None,
            address: String::new(),
            created_at: 1,
            used_at: 1,
            expires_at: 2,
            generation: 0,
            refresh: [0; 32],
        };
        store.create(account, session, None).await.unwrap();
    }
}

/// What each player should see of each other one, kept by the simplest rules that fit the port's description.
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

async fn act<S: Friends>(store: &S, operation: u64, pair: Pair, key: Option<KeyUse>) -> bool {
    let result = match operation {
        0 => store.request(pair, key).await.map(drop),
        1 => store.accept(pair, key).await.map(drop),
        2 => store.remove(pair, key).await.map(drop),
        3 => store.block(pair, key).await.map(drop),
        _ => store.unblock(pair, key).await.map(drop),
    };
    match result {
        Ok(()) => true,
        Err(FriendError::Blocked | FriendError::NotFriends) => false,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn random_acts_match_a_model(mut harness: impl Harness) {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).unwrap();
    let seed = u64::from_le_bytes(drawn) | 1;
    println!("seed {seed}");
    let mut random = seed;
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    players(harness.store()).await;
    let mut model = Model::default();
    for step in 0..400_u64 {
        let one = 1 + u16::try_from(draw(u64::from(PLAYERS))).unwrap();
        let step_to = 1 + u16::try_from(draw(u64::from(PLAYERS) - 1)).unwrap();
        let other = 1 + (one - 1 + step_to) % PLAYERS;
        let operation = draw(5);
        let pair = Pair {
            user: user(one),
            other: user(other),
            at: step,
        };
        let allowed = model.apply(operation, one, other);
        let key = (step % 3 == 0).then(|| KeyUse {
            scope: Some(user(one)),
            key: step.to_string(),
            method: 1,
            request_hash: [0; 16],
            at: step,
        });
        let what = format!("seed {seed}, step {step}: {operation} of {one} on {other}");
        assert_eq!(
            act(harness.store(), operation, pair, key.clone()).await,
            allowed,
            "{what}"
        );
        if key.is_some() && allowed {
            assert!(
                act(harness.store(), operation, pair, key).await,
                "{what}, repeated"
            );
        }
        if step % 150 == 149 {
            harness.restart();
        }
        compare(harness.store(), &model, &what).await;
    }
}

async fn compare<S: Friends + Inboxes>(store: &S, model: &Model, what: &str) {
    for one in 1..=PLAYERS {
        let rows = store.list(user(one), None, None, 100).await.unwrap();
        let seen: BTreeSet<(UserId, String)> = rows
            .iter()
            .map(|row| (row.user, format!("{:?}", row.state)))
            .collect();
        let expected: BTreeSet<(UserId, String)> = model
            .rows
            .iter()
            .filter(|((of, _), _)| *of == one)
            .map(|((_, other), state)| (user(*other), format!("{state:?}")))
            .collect();
        assert_eq!(seen, expected, "{what}");
        let head = store.head(user(one)).await.unwrap().head;
        assert_eq!(
            head,
            model.inboxes.get(&one).copied().unwrap_or(0),
            "{what}"
        );
        for other in 1..=PLAYERS {
            let blocked = model.between(one, other).contains(&Some(Blocked));
            let stored = store.blocked_either(user(one), user(other)).await.unwrap();
            assert_eq!(stored, blocked, "{what}");
        }
    }
}

pub(crate) async fn lists_are_paged_and_filtered(harness: impl Harness) {
    let store = harness.store();
    players(store).await;
    for number in 2..=PLAYERS {
        let pair = Pair {
            user: user(number),
            other: user(1),
            at: u64::from(number),
        };
        store.request(pair, None).await.unwrap();
    }
    let pair = Pair {
        user: user(1),
        other: user(3),
        at: 9,
    };
    let friend = store.accept(pair, None).await.unwrap().value;
    assert_eq!(
        friend,
        FriendRow {
            user: user(3),
            state: Friend,
            since: 9
        }
    );
    assert_eq!(store.friend(user(1), user(3)).await.unwrap(), Some(friend));
    let list = |state, after, limit| store.list(user(1), state, after, limit);
    let users = |rows: Vec<FriendRow>| rows.into_iter().map(|row| row.user).collect::<Vec<_>>();
    assert_eq!(
        users(list(None, None, 2).await.unwrap()),
        [user(2), user(3)]
    );
    assert_eq!(
        users(list(None, Some(user(3)), 2).await.unwrap()),
        [user(4)]
    );
    assert_eq!(
        users(list(Some(Received), None, 9).await.unwrap()),
        [user(2), user(4)]
    );
    assert_eq!(
        users(list(Some(Received), Some(user(2)), 9).await.unwrap()),
        [user(4)]
    );
    assert_eq!(list(Some(Friend), None, 9).await.unwrap(), [friend]);
    assert!(list(Some(Blocked), None, 9).await.unwrap().is_empty());
    let entries = store.entries_after(user(1), 0, 10).await.unwrap();
    let first = InboxEntry::FriendRequested {
        user: user(2),
        name: "player 2".to_owned(),
    };
    assert_eq!((entries.len(), &entries[0].entry), (3, &first));
    let nobody = Pair {
        user: user(1),
        other: user(99),
        at: 1,
    };
    assert_eq!(
        store.request(nobody, None).await,
        Err(FriendError::NoPlayer)
    );
    assert_eq!(store.block(nobody, None).await, Err(FriendError::NoPlayer));
}
