//! Creators of accounts who race for one name, and die anywhere.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_rules::accounts::{
    AccountRow, Claim, Grant, Hidden, Login, ProfileRow, Sanctions, SessionRow,
};
use pitturu_store::entities::{Entities as _, KeyedRequest};
use pitturu_store::memory::{Failure, Memory};

use super::super::creation::{Creation, GRACE, Ids, Make};
use super::super::{Players, Stored};
use super::{Caller, IdempotencyKey, Recorder, START};
use crate::io_threads::{IoThreads, RunningIoThreads};
use crate::owners::signals::Routes;
use crate::players::command::AccountAsk;
use crate::players::store::PlayerStore;
use crate::players::tests::without_rooms;
use crate::players::{self, PlayerOwners};

/// Ids that a key leads to, as many as a call tries.
const IDS: u8 = 8;

/// Owners of players over a store in memory, which can crash.
struct Small {
    memory: Memory,
    players: Players,
    io_threads: IoThreads,
    _threads: RunningIoThreads,
}

fn over(memory: &Memory, io_threads: &IoThreads) -> Players {
    let store = PlayerStore::new(Arc::new(memory.clone()));
    let routes = Arc::new(Routes::default());
    let environment = players::Environment {
        players: store.clone(),
        game: Arc::default(),
        direct_rooms: without_rooms(&routes),
        routes,
        notifier: Arc::new(Recorder::default()),
    };
    let owners: PlayerOwners = players::start(io_threads, 1, &environment);
    assert!(memory.listen_to_reports(Box::new(owners.announcer())));
    // Claims are taken over as soon as can be.
    Players {
        grace: Duration::ZERO,
        ..Players::new(store, owners)
    }
}

impl Small {
    fn new() -> Self {
        let (io_threads, threads) = IoThreads::start(1).unwrap();
        let memory = Memory::new();
        Self {
            players: over(&memory, &io_threads),
            memory,
            io_threads,
            _threads: threads,
        }
    }

    /// Kills the server and starts it again.
    fn crash(&mut self, found: impl FnMut(&pitturu_store::entities::Commit) -> bool) {
        self.memory = self.memory.crash(found);
        self.players = over(&self.memory, &self.io_threads);
    }

    /// Everybody's account, of those whom creators with a key below `keys` may have made.
    async fn accounts(&self, keys: u8) -> Vec<AccountRow> {
        let users = (0..keys).flat_map(|key| (0..IDS).map(move |attempt| user(key, attempt)));
        self.players.store.accounts(users.collect()).await.unwrap()
    }
}

fn user(key: u8, attempt: u8) -> UserId {
    let mut bytes = [7; 10];
    bytes[8..].copy_from_slice(&[key, attempt]);
    UserId::from_bytes(bytes)
}

fn name() -> Claim {
    Claim::Name("ana".to_owned())
}

fn caller() -> Caller {
    Caller {
        conn: ConnectionId::from_bytes([9; 10]),
        call: 1,
        identity: None,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        now: START,
        steady: pitturu_store::clock::Steady::at_ms(START),
        key: None,
    }
}

fn row(user: UserId) -> AccountRow {
    AccountRow {
        user,
        login: Some(login()),
        guest_secret: None,
        role: Role::Player,
        is_role_decided: false,
        created_at: START,
        profile: ProfileRow {
            name: "Ana".to_owned(),
            avatar: None,
            bio: None,
            language: None,
        },
        sanctions: Sanctions::default(),
        deletion: None,
    }
}

fn login() -> Login {
    Login {
        username: "ana".to_owned(),
        folded: "ana".to_owned(),
        password: Hidden("hash".to_owned()),
        version: 0,
        email: None,
    }
}

fn session(user: UserId) -> SessionRow {
    SessionRow {
        session: SessionId::from_bytes(*user.as_bytes()),
        device: None,
        address: String::new(),
        created_at: START,
        used_at: START,
        number: 0,
        expires_at: START + 1,
        generation: 0,
        refresh: [0; 32],
        nonce: [0; 16],
    }
}

/// A call to create the account under this key.
async fn create(players: &Players, key: u8) -> Result<Creation, Fault> {
    let ids: Ids = Box::new(move |attempt| user(key, u8::try_from(attempt).unwrap()));
    let make: Make = Box::new(|user| (row(user), session(user)));
    let key = IdempotencyKey {
        key: key.to_string().into(),
        method: 1,
        request: KeyedRequest::Hash([key; 16]),
        first_head: None,
    };
    players
        .create(&caller(), name(), ids, make, Some(key))
        .await
}

/// Has one player's entity create the account without looking whether the claim still stands, as a creator that was slow.
async fn create_late(players: &Players, user: UserId) -> Result<Stored<Grant>, Fault> {
    let ask = AccountAsk::Create(Box::new(row(user)), session(user));
    players.ask(user, &caller(), ask, None).await
}

fn made(created: Result<Creation, Fault>) -> UserId {
    match created {
        Ok(Creation::Made(grant)) => grant.value.user,
        other => panic!("no account but {other:?}"),
    }
}

#[tokio::test]
async fn a_name_whose_creator_died_is_taken_over_and_lost_to_the_late() {
    let mut small = Small::new();
    let late = user(0, 0);
    let claimed = small.players.store.claim(&name(), late, None).await;
    assert_eq!(claimed, Ok(None));
    small.crash(|_| false);
    assert_eq!(made(create(&small.players, 1).await), user(1, 0));
    let lost = create_late(&small.players, late).await;
    assert_eq!(lost.unwrap_err().code, Code::Unavailable);
    let again = create(&small.players, 0).await;
    assert!(matches!(again, Ok(Creation::Taken)), "{again:?}");
    assert_eq!(small.accounts(2).await, [row(user(1, 0))]);
    let found = small.players.store.account_of(&name()).await.unwrap();
    assert_eq!(found, Some(row(user(1, 0))));
}

#[tokio::test]
async fn whoever_was_robbed_gets_the_name_if_the_robber_dies() {
    let mut small = Small::new();
    let players = &small.players;
    players
        .store
        .claim(&name(), user(0, 0), None)
        .await
        .unwrap();
    // The robber dies after it has taken the claim over, or before.
    assert!(players.claim(&caller(), &name(), user(1, 0)).await.unwrap());
    small.crash(|_| false);
    assert_eq!(made(create(&small.players, 0).await), user(0, 1));
    assert_eq!(made(create(&small.players, 0).await), user(0, 1), "again");
    assert_eq!(small.accounts(2).await, [row(user(0, 1))]);
}

#[tokio::test]
async fn a_guest_whose_claim_was_taken_over_is_not_upgraded() {
    let small = Small::new();
    let (players, guest) = (&small.players, user(0, 0));
    let account = AccountRow {
        login: None,
        guest_secret: Some([1; 32]),
        ..row(guest)
    };
    let ask = AccountAsk::Create(Box::new(account.clone()), session(guest));
    let created: Result<Stored<Grant>, Fault> = players.ask(guest, &caller(), ask, None).await;
    created.unwrap();
    assert!(players.claim(&caller(), &name(), guest).await.unwrap());
    // Here the upgrade hangs, and another registers.
    assert_eq!(made(create(players, 1).await), user(1, 0));
    let ask = AccountAsk::Upgrade(login(), session(guest).session, None);
    let late: Result<Stored<UserId>, Fault> = players.ask(guest, &caller(), ask, None).await;
    assert_eq!(late.unwrap_err().code, Code::Unavailable);
    assert_eq!(players.store.account(guest).await.unwrap(), Some(account));
}

#[tokio::test]
async fn an_account_that_is_on_its_way_to_the_disk_is_not_robbed() {
    let mut small = Small::new();
    small.players.grace = GRACE;
    small.memory.hold_writer();
    let (one, other) = tokio::join!(create(&small.players, 0), async {
        // The claim waits for the writer; then it and the account's commit are written in turn.
        tokio::time::sleep(Duration::from_millis(5)).await;
        small.memory.release_writer();
        create(&small.players, 1).await
    });
    let accounts = small.accounts(2).await;
    assert_eq!(accounts.len(), 1);
    for created in [one, other] {
        match created {
            Ok(Creation::Made(grant)) => assert_eq!(grant.value.user, accounts[0].user),
            Ok(Creation::Taken) => {}
            Err(fault) => panic!("{fault:?}"),
        }
    }
}

/// Creators race, the server is killed at any moment, commits fail, and the clients of creators that got no answer call again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_has_one_account_whoever_dies() {
    const KEYS: u8 = 3;
    let seeds = fastrand::u64(..);
    for seed in (0..60).map(|step| seeds.wrapping_add(step)) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut small = Small::new();
        let mut answered: Option<UserId> = None;
        for round in 0..4 {
            let calls: Vec<_> = (0..2 * KEYS)
                .map(|call| {
                    let (players, pause) = (small.players.clone(), random.u64(0..400));
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_micros(pause)).await;
                        create(&players, call % KEYS).await
                    })
                })
                .collect();
            let is_last = round == 3;
            if !is_last {
                if random.bool() {
                    small.memory.fail_commits(1, Failure::Lost);
                }
                tokio::time::sleep(Duration::from_micros(random.u64(0..3_000))).await;
                let mut found = fastrand::Rng::with_seed(seed ^ round);
                small.crash(|_| found.bool());
            }
            for outcome in join_all(calls).await {
                match outcome.unwrap() {
                    Ok(Creation::Made(grant)) => {
                        let user = grant.value.user;
                        let first = *answered.get_or_insert(user);
                        assert_eq!(first, user, "seed {seed}: two were told that it is theirs");
                    }
                    Ok(Creation::Taken) => {}
                    Err(fault) => {
                        let hopeless = is_last && fault.code != Code::Unavailable;
                        assert!(!hopeless, "seed {seed}: {fault:?}");
                    }
                }
            }
            let accounts = small.accounts(KEYS).await;
            assert!(accounts.len() <= 1, "seed {seed}: {accounts:?}");
            if let Some(user) = answered {
                assert_eq!(
                    accounts,
                    [row(user)],
                    "seed {seed}: it was told, and is gone"
                );
                let found = small.players.store.account_of(&name()).await.unwrap();
                assert_eq!(found, Some(row(user)), "seed {seed}");
            }
        }
    }
}
