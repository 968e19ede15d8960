//! The calls against a store in a folder, with an injected clock.

mod creation;
mod credentials;
mod keys;
mod lockout;
mod refresh;
mod roles;
mod sign_in;
mod timing;
mod turns;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, SessionId, UserId};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{
    Identity, Login, LoginGuest, RefreshTokens, Register, Role, SignedIn,
};
use pitturu_protocol::types::items::ItemChange;
use pitturu_protocol::types::moderation::PlayerSuspended;
use pitturu_protocol::types::points::Wallet;
use pitturu_rules::accounts::Sanctions;
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use pitturu_store::entities::{Entities as _, KeyedRequest};
use pitturu_store::master_keys::MasterKeys;
use pitturu_text::username::Username;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::lockout::LockoutConfig;
use super::masters::Masters;
use super::passwords::PasswordConfig;
use super::reset_delivery::{ResetDelivery, ResetMessage};
use super::ticks::Ticks;
use super::{AccountService, AccountsConfig, Keys, Players};
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::connections::session_notifier::SessionNotifier;
use crate::io_threads::{IoThreads, RunningIoThreads};
use crate::owners::signals::Routes;
use crate::players::audit_log::{self, AuditLogOwner};
use crate::players::staff::{self, StaffOwner};
use crate::players::store::PlayerStore;
use crate::players::tests::without_rooms;
use crate::players::{self, PlayerOwners};
use crate::random::random_bytes;

pub(crate) const START: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
const PASSWORD: &str = "correct horse";

/// What the connections and the delivery were told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Ended(UserId, SessionId),
    AllEnded(UserId, Option<SessionId>),
    Role(UserId, Role),
    Upgraded(UserId),
    Renamed(UserId, String),
    Suspended(UserId, PlayerSuspended),
    Sanctioned(UserId, Sanctions),
    Friends(UserId, UserId),
}

#[derive(Default)]
pub(crate) struct Recorder {
    told: Mutex<Vec<Told>>,
    deliveries: Mutex<Vec<ResetMessage>>,
}

impl Recorder {
    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl SessionNotifier for Recorder {
    fn session_ended(&self, user: UserId, session: SessionId, _: ConnectionId) {
        self.tell(Told::Ended(user, session));
    }

    fn sessions_ended(&self, user: UserId, except: Option<SessionId>, _: ConnectionId) {
        self.tell(Told::AllEnded(user, except));
    }

    fn role_changed(&self, user: UserId, role: Role) {
        self.tell(Told::Role(user, role));
    }

    fn upgraded(&self, user: UserId) {
        self.tell(Told::Upgraded(user));
    }

    fn suspended(&self, user: UserId, told: &PlayerSuspended) {
        self.tell(Told::Suspended(user, told.clone()));
    }

    fn sanctioned(&self, user: UserId, sanctions: &Arc<Sanctions>) {
        self.tell(Told::Sanctioned(user, Sanctions::clone(sanctions)));
    }

    fn renamed(&self, user: UserId, name: &str) {
        self.tell(Told::Renamed(user, name.to_owned()));
    }

    fn friendship_changed(&self, one: UserId, other: UserId) {
        self.tell(Told::Friends(one, other));
    }

    fn inbox_grew(&self, _: UserId) {}

    fn wallet_changed(&self, _: UserId, _: Wallet) {}

    fn inventory_changed(&self, _: UserId, _: ItemChange) {}
}

impl ResetDelivery for Recorder {
    fn deliver(&self, delivery: ResetMessage) {
        self.deliveries.lock().unwrap().push(delivery);
    }
}

/// A server's accounts in a folder of their own.
pub(crate) struct World {
    pub(crate) accounts: AccountService,
    pub(crate) store: Embedded,
    pub(crate) players: PlayerStore,
    pub(crate) player_owners: PlayerOwners,
    staff: StaffOwner,
    audit_log: AuditLogOwner,
    pub(crate) recorder: Arc<Recorder>,
    config: AccountsConfig,
    dir: TempDir,
    masters: TempDir,
    io_threads: IoThreads,
    _threads: RunningIoThreads,
    pub(crate) now: u64,
    /// What the clock of delays says: the `now` of the last caller.
    ticks: Arc<AtomicU64>,
}

pub(crate) fn config() -> AccountsConfig {
    AccountsConfig {
        passwords: PasswordConfig {
            cost: 4,
            threads: 2,
        },
        lockout: LockoutConfig {
            address_failures_free: 1_000,
            ..LockoutConfig::default()
        },
        admins: vec![name("Root")],
        ..AccountsConfig::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    async fn with(mut config: AccountsConfig) -> Self {
        let ticks = Arc::new(AtomicU64::new(START));
        let told = Arc::clone(&ticks);
        config.ticks = Ticks::by(move || told.load(Ordering::Relaxed));
        let (dir, masters) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let recorder = Arc::new(Recorder::default());
        let (io_threads, threads) = IoThreads::start(1).unwrap();
        let (store, players, (staff, audit_log), accounts) =
            open([&dir, &masters], &io_threads, &recorder, &config, START).await;
        Self {
            accounts,
            store,
            players: players.store,
            player_owners: players.owners,
            staff,
            audit_log,
            io_threads,
            _threads: threads,
            recorder,
            config,
            dir,
            masters,
            now: START,
            ticks,
        }
    }

    /// Stops the server and starts it again on the same folder.
    async fn restart(&mut self) {
        self.store.engine().close();
        let (recorder, config) = (&self.recorder, &self.config);
        let folders = [&self.dir, &self.masters];
        let (store, players, (staff, audit_log), accounts) =
            open(folders, &self.io_threads, recorder, config, self.now).await;
        self.store = store;
        self.players = players.store;
        self.player_owners = players.owners;
        self.staff = staff;
        self.audit_log = audit_log;
        self.accounts = accounts;
    }

    /// A caller that is signed out.
    pub(crate) fn anyone(&self) -> Caller {
        self.ticks.store(self.now, Ordering::Relaxed);
        Caller {
            conn: ConnectionId::from_bytes([9; 10]),
            call: 1,
            identity: None,
            address: Ipv4Addr::new(192, 0, 2, 7).into(),
            now: self.now,
            steady: pitturu_store::clock::Steady::at_ms(self.now),
            key: None,
        }
    }

    /// A caller that is signed in.
    pub(crate) fn signed_in(&self, identity: &Identity) -> Caller {
        Caller {
            identity: Some(identity.clone()),
            ..self.anyone()
        }
    }

    pub(crate) async fn register(&self, username: &str) -> SignedIn {
        let request = register(username);
        self.accounts
            .register(&self.anyone(), request)
            .await
            .unwrap()
    }

    async fn login(&self, username: &str, password: &str) -> Result<SignedIn, Fault> {
        let request = login(username, password);
        self.accounts.login(&self.anyone(), request).await
    }

    pub(crate) async fn guest(&self, secret: &str) -> SignedIn {
        let request = guest(secret);
        self.accounts
            .login_guest(&self.anyone(), request)
            .await
            .unwrap()
    }

    async fn refresh(&self, refresh: &str) -> Result<SignedIn, Fault> {
        let request = RefreshTokens {
            refresh: refresh.to_owned(),
        };
        self.accounts.refresh_tokens(&self.anyone(), request).await
    }

    async fn identify(&self, tokens: &SignedIn) -> Result<Identity, Fault> {
        self.accounts.identify(&tokens.access, self.now).await
    }
}

async fn open(
    [dir, masters]: [&TempDir; 2],
    io_threads: &IoThreads,
    recorder: &Arc<Recorder>,
    config: &AccountsConfig,
    now: u64,
) -> (
    Embedded,
    Players,
    (StaffOwner, AuditLogOwner),
    AccountService,
) {
    let store = Embedded::open(dir.path(), EngineOptions::default()).unwrap();
    let players = PlayerStore::new(Arc::new(store.clone()));
    let routes = Arc::new(Routes::default());
    let environment = players::Environment {
        players: players.clone(),
        game: Arc::default(),
        direct_rooms: without_rooms(&routes),
        routes,
        notifier: Arc::clone(recorder) as _,
    };
    let owners = players::start(io_threads, 1, &environment);
    let staff = staff::start(io_threads, &environment);
    let audit_log = audit_log::start(io_threads, &environment);
    let (announce_players, announce_staff) = (owners.announcer(), staff.announcer());
    let announce_audit_log = audit_log.announcer();
    assert!(store.listen_to_reports(Box::new(move || {
        announce_players();
        announce_staff();
        announce_audit_log();
    })));
    let players = Players::new(players, owners);
    let masters = masters.path().join("master");
    let masters = MasterKeys::open(&masters, random_bytes(), now).unwrap();
    let keys = Keys {
        signing: Arc::new(store.clone()),
        masters: Masters::new(masters),
    };
    let accounts = AccountService::open(
        keys,
        players.clone(),
        (staff.clone(), audit_log.clone()),
        Some(Arc::clone(recorder) as _),
        (config.clone(), config.deletions()),
        now,
    )
    .await
    .unwrap();
    (store, players, (staff, audit_log), accounts)
}

/// A user name.
pub(crate) fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

/// The caller with a key for this request, as the dispatcher makes it.
pub(crate) fn keyed<M: Method>(caller: Caller, key: &str, request: &M) -> Caller {
    let digest = Sha256::digest(codec::encode(request));
    Caller {
        key: Some(IdempotencyKey {
            key: key.into(),
            method: M::NUMBER,
            request: KeyedRequest::Hash(digest[..16].try_into().unwrap()),
            first_head: None,
        }),
        ..caller
    }
}

fn register(username: &str) -> Register {
    Register {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        name: None,
        email: None,
        device: Some("phone".to_owned()),
    }
}

fn login(username: &str, password: &str) -> Login {
    Login {
        username: username.to_owned(),
        password: password.to_owned(),
        device: Some("tablet".to_owned()),
        known: None,
    }
}

fn guest(secret: &str) -> LoginGuest {
    LoginGuest {
        secret: secret.to_owned(),
        name: None,
        device: None,
    }
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> Code {
    result.expect_err("a refusal").code
}
