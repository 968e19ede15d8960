//! Players at their owners: each case on the embedded store and on the one in memory.

mod friends;
mod inboxes;
mod movements;
pub(crate) mod stored;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::items::ItemChange;
use pitturu_protocol::types::moderation::PlayerSuspended;
use pitturu_protocol::types::points::Wallet;
use pitturu_rules::accounts::Sanctions;
use pitturu_store::entities::{Entities, EntityId, KeyedRequest, Kind};

use self::stored::Stored;
use super::command::Ask;
use super::store::PlayerStore;
use super::{DirectRooms, Environment, PlayerOwners, start};
use crate::connections::caller::IdempotencyKey;
use crate::connections::session_notifier::SessionNotifier;
use crate::io_threads::{IoThreads, RunningIoThreads};
use crate::owners::signals::{Delivery, Routes, wake_senders};

/// Longest wait for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A player of this number.
pub(crate) fn user(number: u16) -> UserId {
    let mut bytes = [1; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

/// A key for a request that this number stands for.
pub(crate) fn key(text: &str, method: u16, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        key: text.into(),
        method,
        request: KeyedRequest::Hash([request; 16]),
        first_head: None,
    }
}

/// The seed of a random test: a new one, or the one that the environment asks for. Printed, for the case of a failure.
pub(crate) fn seed() -> u64 {
    let asked = std::env::var("PITTURU_OWNERS_SEED").ok();
    let seed = asked.map_or_else(|| fastrand::u64(..), |asked| asked.parse().unwrap());
    println!("again with PITTURU_OWNERS_SEED={seed}");
    seed
}

/// Waits until no signal is on its way.
pub(crate) async fn until_quiet(entities: &Arc<dyn Entities>) {
    let began = Instant::now();
    while !entities.senders(None, 1).await.unwrap().is_empty() {
        assert!(began.elapsed() < PATIENCE, "signals stay on their way");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whose inboxes are said to have grown.
#[derive(Default)]
pub(crate) struct Grown(Mutex<Vec<UserId>>);

impl Grown {
    /// How often it was said of a player.
    pub(crate) fn times(&self, user: UserId) -> usize {
        self.0.lock().iter().filter(|&&grown| grown == user).count()
    }
}

impl SessionNotifier for Grown {
    fn session_ended(&self, _: UserId, _: SessionId, _: ConnectionId) {}

    fn sessions_ended(&self, _: UserId, _: Option<SessionId>, _: ConnectionId) {}

    fn role_changed(&self, _: UserId, _: Role) {}

    fn upgraded(&self, _: UserId) {}

    fn suspended(&self, _: UserId, _: &PlayerSuspended) {}

    fn sanctioned(&self, _: UserId, _: &Arc<Sanctions>) {}

    fn renamed(&self, _: UserId, _: &str) {}

    fn friendship_changed(&self, _: UserId, _: UserId) {}

    fn inbox_grew(&self, user: UserId) {
        self.0.lock().push(user);
    }

    fn wallet_changed(&self, _: UserId, _: Wallet) {}

    fn inventory_changed(&self, _: UserId, _: ItemChange) {}
}

/// Direct rooms none of which is in memory.
struct NoRooms;

impl DirectRooms for NoRooms {
    fn entity_of(&self, one: UserId, _: UserId) -> EntityId {
        EntityId::new(Kind(1), one)
    }
}

/// Direct rooms where nobody owns rooms.
pub(crate) fn without_rooms(routes: &Routes) -> Arc<dyn DirectRooms> {
    routes.add(Kind(1), |delivery| {
        if let Delivery::Signals(batch) = delivery {
            batch.applied();
        }
    });
    Arc::new(NoRooms)
}

/// Owners of players over a store.
struct Players<S> {
    stored: S,
    store: PlayerStore,
    owners: PlayerOwners,
    grown: Arc<Grown>,
    io_threads: IoThreads,
    _threads: RunningIoThreads,
}

impl<S: Stored> Players<S> {
    fn start(stored: S) -> Self {
        let (io_threads, threads) = IoThreads::start(1).unwrap();
        let grown = Arc::new(Grown::default());
        let (store, owners) = open(&stored, &io_threads, &grown);
        Self {
            stored,
            store,
            owners,
            grown,
            io_threads,
            _threads: threads,
        }
    }

    /// Stops the owners and the store, and starts both again.
    fn restart(&mut self) {
        self.stored.restart();
        (self.store, self.owners) = open(&self.stored, &self.io_threads, &self.grown);
    }

    /// Has a player's entity do something.
    async fn ask(
        &self,
        by: u16,
        ask: Ask,
        key: Option<IdempotencyKey>,
        now: u64,
    ) -> Result<Vec<u8>, Fault> {
        self.owners.ask(user(by), ask, key, now).await
    }
}

fn open(
    stored: &impl Stored,
    io_threads: &IoThreads,
    grown: &Arc<Grown>,
) -> (PlayerStore, PlayerOwners) {
    let entities = stored.entities();
    let store = PlayerStore::new(Arc::clone(&entities));
    let routes = Arc::new(Routes::default());
    let environment = Environment {
        players: store.clone(),
        game: Arc::default(),
        routes: Arc::clone(&routes),
        notifier: Arc::clone(grown) as _,
        direct_rooms: without_rooms(&routes),
    };
    let owners = start(io_threads, 2, &environment);
    assert!(entities.listen_to_reports(Box::new(owners.announcer())));
    tokio::spawn(wake_senders(entities, routes));
    (store, owners)
}
