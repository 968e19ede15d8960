//! Players at their owners, over the embedded store with the settings of a server.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, SessionId, UserId};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::items::ItemChange;
use pitturu_protocol::types::moderation::PlayerSuspended;
use pitturu_protocol::types::points::{GivePoints, GrantPoints, SpendPoints, Wallet};
use pitturu_rules::accounts::{AccountRow, ProfileRow, Sanctions, SessionRow};
use pitturu_rules::friends::Other;
use pitturu_rules::points::Flow;
use pitturu_server::connections::caller::IdempotencyKey;
use pitturu_server::connections::session_notifier::SessionNotifier;
use pitturu_server::io_threads::{IoThreads, RunningIoThreads};
use pitturu_server::owners::answering::{Answered, Call, Command};
use pitturu_server::owners::signals::Routes;
use pitturu_server::players::command::{
    AccountAsk, Ask, Origin, PointsAsk, PointsGift, PointsWish,
};
use pitturu_server::players::store::PlayerStore;
use pitturu_server::players::{DirectRooms, Environment, PlayerOwners, start};
use pitturu_store::clock::now_ms;
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use pitturu_store::entities::{Entities, EntityId, KeyedRequest, Kind};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::Options;
use crate::load::{Hand, Ledger, THREADS};
use crate::plan::{Deed, FIRST_GRANT, Wish};

const ADMIN: UserId = UserId::from_bytes([0xad; 10]);

/// Shards of players: two per core, as a server has them.
const SHARDS: usize = 2 * THREADS;

/// Players at their owners.
pub(crate) struct Owned {
    owners: PlayerOwners,
    io_threads: IoThreads,
    _threads: RunningIoThreads,
}

/// As the settings of a server have it where they differ from those of the engine.
fn engine_options() -> EngineOptions {
    EngineOptions {
        journal_bytes_max: 256 * 1024 * 1024,
        ..EngineOptions::default()
    }
}

impl Owned {
    /// Opens the store, and makes the players.
    pub(crate) fn start(dir: &Path, options: &Options) -> Self {
        let store = Embedded::open(dir, engine_options()).expect("an empty folder");
        let entities: Arc<dyn Entities> = Arc::new(store);
        let (io_threads, threads) = IoThreads::start(THREADS).expect("two threads");
        let routes = Arc::new(Routes::default());
        let environment = Environment {
            players: PlayerStore::new(Arc::clone(&entities)),
            routes,
            notifier: Arc::new(Nobody),
            direct_rooms: Arc::new(Nobody),
            game: Arc::default(),
        };
        let owners = start(&io_threads, SHARDS, &environment);
        assert!(entities.listen_to_reports(Box::new(owners.announcer())));
        let owned = Self {
            owners,
            io_threads,
            _threads: threads,
        };
        owned.make_players(options);
        owned
    }

    /// Makes accounts, and gives each points.
    fn make_players(&self, options: &Options) {
        let (hand, players) = (self.hand(), options.players);
        let (report, reported) = oneshot::channel();
        self.spawn(0, async move {
            let accounts: Vec<_> = (0..players).map(|player| hand.make(player)).collect();
            for account in accounts {
                account.await;
            }
            let first = |player| Wish {
                player,
                deed: Deed::Grant,
                amount: FIRST_GRANT,
                key: format!("first grant {player}"),
            };
            let grants: Vec<_> = (0..players)
                .map(|player| hand.move_points(first(player)))
                .collect();
            for grant in grants {
                grant.await;
            }
            report.send(()).expect("the start waits for it");
        });
        reported.blocking_recv().expect("players are made");
    }
}

impl Ledger for Owned {
    const NAME: &'static str = "pitturu";

    type Hand = Caller;

    fn hand(&self) -> Caller {
        Caller(self.owners.clone())
    }

    fn spawn(&self, number: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.io_threads.of_task(number).spawn(task);
    }
}

/// Calls players' owners, as the service of points does.
pub(crate) struct Caller(PlayerOwners);

impl Caller {
    fn call(&self, id: UserId, ask: Ask, key: Option<(UserId, IdempotencyKey)>) -> Answer {
        let (to, answer) = oneshot::channel();
        let call = Call {
            id,
            ask,
            key,
            now: now_ms(),
            to: to.into(),
        };
        self.0.send(Command::Call(Box::new(call)));
        Answer(answer)
    }

    fn make(&self, number: u32) -> Answer {
        let user = user(number);
        let account = AccountRow {
            user,
            login: None,
            guest_secret: Some(Sha256::digest(user.as_bytes()).into()),
            role: Role::Player,
            is_role_decided: false,
            created_at: now_ms(),
            profile: ProfileRow {
                name: format!("player {number}"),
                avatar: None,
                bio: None,
                language: None,
            },
            sanctions: Sanctions::default(),
            deletion: None,
        };
        let session = SessionRow {
            session: SessionId::from_bytes(*user.as_bytes()),
            device: None,
            address: "192.0.2.1".to_owned(),
            created_at: now_ms(),
            used_at: now_ms(),
            number: 0,
            expires_at: now_ms() + 24 * 60 * 60 * 1_000,
            generation: 0,
            refresh: [1; 32],
            nonce: [1; 16],
        };
        let ask = AccountAsk::Create(Box::new(account), session);
        let origin = Origin {
            conn: ConnectionId::from_bytes([0; 10]),
            user: None,
            address: Some(Ipv4Addr::LOCALHOST.into()),
        };
        self.call(user, Ask::Account(Box::new(ask), origin), None)
    }
}

impl Hand for Caller {
    type Answer = Answer;

    fn move_points(&self, wish: Wish) -> Answer {
        let (player, amount) = (user(wish.player), wish.amount);
        let (by, key, wish, note) = match wish.deed {
            Deed::Grant => {
                let request = GrantPoints {
                    user: player,
                    amount,
                    reference: None,
                    note: "a prize".to_owned(),
                };
                let key = lasting(wish.key, &request);
                let note = Some(request.note);
                (ADMIN, key, PointsWish::Flow(Flow::Grant, amount), note)
            }
            Deed::Spend => {
                let request = SpendPoints {
                    amount,
                    reference: None,
                };
                let key = lasting(wish.key, &request);
                (player, key, PointsWish::Flow(Flow::Spend, amount), None)
            }
            Deed::Gift(to) => {
                let other = Other {
                    user: user(to),
                    exists: true,
                    reachable: true,
                    room_for_friend: true,
                };
                let request = GivePoints {
                    user: other.user,
                    amount,
                    note: None,
                };
                let key = lasting(wish.key, &request);
                let gift = PointsGift {
                    to: other,
                    amount,
                    is_note_allowed: true,
                };
                (player, key, PointsWish::Give(gift), None)
            }
        };
        let ask = PointsAsk {
            wish,
            id: Some(key.key.to_string()),
            by: (by != player).then_some(by),
            reference: None,
            note,
        };
        self.call(player, Ask::Points(Box::new(ask)), Some((by, key)))
    }
}

/// As a session makes it of a call.
fn lasting<M: Method>(key: String, request: &M) -> IdempotencyKey {
    IdempotencyKey {
        key: key.into(),
        method: M::NUMBER,
        request: KeyedRequest::Whole(codec::encode(request).into()),
        first_head: None,
    }
}

fn user(number: u32) -> UserId {
    // Spread over all ids, as those of real players are.
    let digest = Sha256::digest(number.to_be_bytes());
    UserId::from_bytes(*digest.first_chunk().expect("it is longer"))
}

/// The answer to a call.
pub(crate) struct Answer(oneshot::Receiver<Result<Answered, Fault>>);

impl Future for Answer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let answered = ready!(Pin::new(&mut self.0).poll(context));
        answered
            .expect("the owner answers")
            .expect("nothing is refused");
        Poll::Ready(())
    }
}

/// No connections, and no rooms.
struct Nobody;

impl DirectRooms for Nobody {
    fn entity_of(&self, one: UserId, _: UserId) -> EntityId {
        EntityId::new(Kind(1), one)
    }
}

impl SessionNotifier for Nobody {
    fn session_ended(&self, _: UserId, _: SessionId, _: ConnectionId) {}

    fn sessions_ended(&self, _: UserId, _: Option<SessionId>, _: ConnectionId) {}

    fn role_changed(&self, _: UserId, _: Role) {}

    fn upgraded(&self, _: UserId) {}

    fn suspended(&self, _: UserId, _: &PlayerSuspended) {}

    fn sanctioned(&self, _: UserId, _: &Arc<Sanctions>) {}

    fn renamed(&self, _: UserId, _: &str) {}

    fn friendship_changed(&self, _: UserId, _: UserId) {}

    fn inbox_grew(&self, _: UserId) {}

    fn wallet_changed(&self, _: UserId, _: Wallet) {}

    fn inventory_changed(&self, _: UserId, _: ItemChange) {}
}
