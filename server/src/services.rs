//! Calls that run for their caller, area by area.
//!
//! - [`accounts`]: sign-in, sessions, passwords; [`profile`]: what players show of themselves;
//! - [`points`]: what players own, earn and spend; [`items`]: what they buy with it; [`rewards`]: what rules give them;
//!   [`players_access`]: how all three reach players;
//! - [`boards`]: who is where on leaderboards;
//! - [`moderation`]: what moderators and admins decide about players; [`automod`]: what the server does by itself;
//!   [`audit_log`]: what is kept of it; [`reports`]: what players
//!   report to them; [`erasure`]: what goes with an account; [`export`]: what is kept about a
//!   player;
//! - [`friends`]: friends and blocks; [`presence`]: what players see of each other.

pub mod accounts;
pub mod audit_log;
pub mod automod;
pub mod boards;
pub mod deletions;
pub mod erasure;
pub mod export;
pub mod friends;
pub mod items;
pub mod moderation;
pub mod players_access;
pub mod points;
pub mod presence;
pub mod profile;
pub mod reports;
pub mod rewards;

use std::sync::Arc;

use pitturu_rules::game_data::Game;
use pitturu_rules::rooms::ChatLimits;
use pitturu_rules::rooms::identity::RoomIds;
use pitturu_store::{Ports, StoreError};
use tokio::sync::mpsc;

use self::accounts::masters::Masters;
use self::accounts::reset_delivery::ResetDelivery;
use self::accounts::{AccountService, AccountsConfig, Keys, OpenError, Players};
use self::audit_log::AuditLogService;
use self::boards::following::Following;
use self::boards::{BoardService, closing};
use self::deletions::Deletions;
use self::erasure::Erasure;
use self::export::ExportService;
use self::friends::FriendService;
use self::items::ItemsService;
use self::moderation::ModerationService;
use self::players_access::PlayersAccess;
use self::points::totals::DailyTotals;
use self::points::{PointsService, audit};
use self::presence::PresenceService;
use self::profile::ProfileService;
use self::reports::ReportService;
use self::rewards::RewardsService;
use crate::boards::BoardOwners;
use crate::boards::store::BoardStore;
use crate::chat::directory::{RoomDirectory, RoomsAndPlayers};
use crate::chat::store::RoomStore;
use crate::chat::{self, RoomOwners, retention};
use crate::connections::automod::Automod;
use crate::connections::registry::{ChangedPair, Registry};
use crate::io_threads::IoThreads;
use crate::owners::signals::{Routes, wake_senders};
use crate::players::audit_log::{self as audit_log_owner, AuditLogOwner};
use crate::players::reports::{self as reports_owner, ReportsOwner};
use crate::players::staff::{self, StaffOwner};
use crate::players::stock::{self, StockOwners};
use crate::players::store::PlayerStore;
use crate::players::totals::{self, TotalsOwner};
use crate::players::{self, PlayerOwners};
use crate::random::random_bytes;

/// Everything that answers calls, shared by all connections.
pub struct Services {
    /// Which history of the store is served; see [`Entities::epoch`](pitturu_store::entities::Entities::epoch).
    pub epoch: u64,
    /// The calls of accounts and sign-in.
    pub accounts: AccountService,
    /// Profiles.
    pub profile: Arc<ProfileService>,
    /// Friends and blocks.
    pub friends: Arc<FriendService>,
    /// Points.
    pub points: PointsService,
    /// What all players had at the end of days.
    pub totals: DailyTotals,
    /// Items.
    pub items: ItemsService,
    /// Rewards.
    pub rewards: RewardsService,
    /// The owners of stocks, which answer players' entities as long as somebody holds them.
    pub stocks: StockOwners,
    /// Leaderboards.
    pub boards: Arc<BoardService>,
    /// Moderation.
    pub moderation: ModerationService,
    /// Counts what players are refused, and has the server act by itself.
    pub automod: Arc<Automod>,
    /// The audit log.
    pub audit_log: AuditLogService,
    /// Reports.
    pub reports: ReportService,
    /// Exports of what is kept about players.
    pub export: ExportService,
    /// Presence.
    pub presence: Arc<PresenceService>,
    /// Finding and making rooms.
    pub directory: RoomDirectory,
    /// The owners of rooms.
    pub rooms: RoomOwners,
    /// What is stored of rooms.
    pub room_store: RoomStore,
    /// What is stored of players.
    pub players: PlayerStore,
    /// Open connections.
    pub registry: Arc<Registry>,
    /// Shows how much waits for the owners of all kinds.
    pub owners_gauge: Arc<dyn Fn() + Send + Sync>,
}

/// What the services are started with.
pub struct ServicesConfig {
    /// Shards that own rooms, and as many that own players.
    pub shards: usize,
    /// Bounds and defaults of rooms.
    pub chat: ChatLimits,
    /// Rooms that one player may belong to.
    pub rooms_per_player_max: usize,
    /// Accounts.
    pub accounts: AccountsConfig,
    /// The master keys of tokens.
    pub masters: Masters,
    /// How reset tokens reach their players; without it none are sent.
    pub reset_delivery: Option<Arc<dyn ResetDelivery>>,
    /// What the game's team writes about its game.
    pub game: Arc<Game>,
    /// For how long results under keys are kept at most, in milliseconds.
    pub keys_kept_ms: u64,
}

impl Services {
    /// Starts the owners of rooms on these I/O threads, and everything above them. What runs in the background ends with the
    /// runtime.
    ///
    /// # Errors
    /// Those of [`AccountService::open`].
    pub async fn start(
        store: Ports,
        io_threads: &IoThreads,
        config: ServicesConfig,
        now: u64,
    ) -> Result<Self, OpenError> {
        let ids = room_ids(&store).await?;
        let room_store = RoomStore::new(Arc::clone(&store.entities));
        let player_store = PlayerStore::new(Arc::clone(&store.entities));
        let owners = Owned::start(
            &store,
            &player_store,
            io_threads,
            (config.shards, config.chat.clone()),
            &ids,
            &config.game,
        );
        let (access, owners_gauge) = (owners.access(&player_store), owners.gauge());
        let (rooms, registry) = (owners.rooms, owners.registry);
        let (friends, profile) = friends_and_profiles(&access, &registry);
        let deletions = config.accounts.deletions();
        let told = (owners.audit_log.clone(), deletions.clone());
        let settings = (config.masters, config.reset_delivery, config.accounts);
        let accounts = open_accounts(&store, &access, told, settings, now).await?;
        let presence = Arc::new(PresenceService::new(registry.clone(), friends.clone()));
        tokio::spawn(Arc::clone(&presence).run(owners.pairs));
        let boards = start_boards(boards::Parts {
            definitions: config.game.boards.clone(),
            store: BoardStore::new(store.entities.clone()),
            owners: owners.boards,
            players: access.clone(),
            friends: friends.clone(),
            following: owners.following,
            keys_kept_ms: config.keys_kept_ms,
        });
        tokio::spawn(retention::run(room_store.clone(), rooms.clone()));
        let told = (owners.reports.clone(), owners.audit_log.clone());
        start_erasure(&boards, (&room_store, &rooms), told, &deletions);
        let names = profile.clone();
        let parts = rooms_and_players(&room_store, &rooms, &access);
        let most = config.rooms_per_player_max;
        let directory = RoomDirectory::new(parts, registry.clone(), names, ids, most);
        Ok(Self {
            epoch: store.entities.epoch(),
            accounts,
            directory,
            profile,
            friends,
            points: PointsService::new(access.clone(), config.chat.filter),
            totals: watch_points(&player_store, owners.totals),
            rewards: RewardsService::new(access.clone(), Arc::clone(&config.game)),
            moderation: ModerationService::new(access.clone(), registry.clone(), deletions),
            automod: start_automod(&access),
            audit_log: AuditLogService::new(access.clone()),
            reports: ReportService::new(access.clone(), room_store.clone(), owners.reports),
            export: ExportService::new(access.clone(), room_store.clone(), boards.clone()),
            items: ItemsService::new(access, config.game),
            stocks: owners.stocks,
            boards,
            presence,
            rooms,
            room_store,
            players: player_store,
            registry,
            owners_gauge,
        })
    }
}

fn rooms_and_players(
    room_store: &RoomStore,
    rooms: &RoomOwners,
    players: &PlayersAccess,
) -> RoomsAndPlayers {
    RoomsAndPlayers {
        rooms: room_store.clone(),
        owners: rooms.clone(),
        players: players.store.clone(),
        player_owners: players.owners.clone(),
    }
}

/// The service of accounts.
async fn open_accounts(
    store: &Ports,
    players: &PlayersAccess,
    (audit_log, deletions): (AuditLogOwner, Deletions),
    (masters, reset_delivery, config): (Masters, Option<Arc<dyn ResetDelivery>>, AccountsConfig),
    now: u64,
) -> Result<AccountService, OpenError> {
    let keys = Keys {
        signing: Arc::clone(&store.auth_keys),
        masters,
    };
    let staff = players.staff.clone();
    let players = Players::new(players.store.clone(), players.owners.clone());
    AccountService::open(
        keys,
        players,
        (staff, audit_log),
        reset_delivery,
        (config, deletions),
        now,
    )
    .await
}

/// The service of leaderboards, and what it does on a clock.
fn start_boards(parts: boards::Parts) -> Arc<BoardService> {
    tokio::spawn(closing::run(parts.clone()));
    let boards = Arc::new(BoardService::new(parts));
    tokio::spawn(Arc::clone(&boards).tell_followers());
    boards
}

/// Acts on players who break rules.
fn start_automod(players: &PlayersAccess) -> Arc<Automod> {
    let (automod, breaches) = Automod::new();
    let automod = Arc::new(automod);
    tokio::spawn(self::automod::run(
        Arc::clone(&automod),
        players.clone(),
        breaches,
    ));
    automod
}

/// Erases accounts when they are due.
fn start_erasure(
    boards: &BoardService,
    (rooms, room_owners): (&RoomStore, &RoomOwners),
    (reports, audit_log): (ReportsOwner, AuditLogOwner),
    deletions: &Deletions,
) {
    let erasure = Erasure {
        boards: boards.parts().clone(),
        rooms: rooms.clone(),
        room_owners: room_owners.clone(),
        reports,
        audit_log,
        deletions: deletions.clone(),
    };
    tokio::spawn(erasure.run());
}

/// Looks now and then whether the points of all players add up, and keeps what they had at the end of each day.
fn watch_points(players: &PlayerStore, owner: TotalsOwner) -> DailyTotals {
    tokio::spawn(audit::run(players.clone()));
    let totals = DailyTotals::new(players.clone(), owner);
    tokio::spawn(totals.clone().run());
    totals
}

/// The services of what players show, and of how they stand to each other.
fn friends_and_profiles(
    players: &PlayersAccess,
    registry: &Arc<Registry>,
) -> (Arc<FriendService>, Arc<ProfileService>) {
    let PlayersAccess { store, owners, .. } = players;
    let friends = FriendService::new(store.clone(), owners.clone(), registry.clone());
    let profile = ProfileService::new(store.clone(), owners.clone());
    (Arc::new(friends), Arc::new(profile))
}

/// What ids of rooms derive from, which is the same for as long as the store is there.
async fn room_ids(store: &Ports) -> Result<RoomIds, StoreError> {
    let secret = store.auth_keys.secret("room_ids", random_bytes()).await?;
    Ok(RoomIds::new(secret.0))
}

/// The owners of all entities, and the connections that they tell.
struct Owned {
    rooms: RoomOwners,
    players: PlayerOwners,
    staff: StaffOwner,
    stocks: StockOwners,
    totals: TotalsOwner,
    audit_log: AuditLogOwner,
    reports: ReportsOwner,
    boards: BoardOwners,
    following: Arc<Following>,
    registry: Arc<Registry>,
    /// Pairs of players whose friendship changed.
    pairs: mpsc::UnboundedReceiver<ChangedPair>,
}

impl Owned {
    /// Starts them, and has them go on with what an earlier process did not see applied.
    fn start(
        store: &Ports,
        players: &PlayerStore,
        io_threads: &IoThreads,
        (shards, limits): (usize, ChatLimits),
        ids: &RoomIds,
        game: &Arc<Game>,
    ) -> Self {
        let entities = &store.entities;
        let routes = Arc::new(Routes::default());
        let environment = chat::Environment {
            rooms: RoomStore::new(Arc::clone(entities)),
            players: players.clone(),
            routes: Arc::clone(&routes),
            limits: Arc::new(limits),
        };
        let rooms = chat::start(io_threads, shards, &environment);
        let (registry, pairs) = Registry::new(Arc::new(rooms.clone()));
        let environment = players::Environment {
            players: players.clone(),
            routes: Arc::clone(&routes),
            notifier: registry.clone(),
            direct_rooms: Arc::new(ids.clone()),
            game: Arc::clone(game),
        };
        let players = players::start(io_threads, shards, &environment);
        let staff = staff::start(io_threads, &environment);
        let stocks = stock::start(io_threads, shards, &environment);
        let totals = totals::start(io_threads, &environment);
        let audit_log = audit_log_owner::start(io_threads, &environment);
        let reports = reports_owner::start(io_threads, &environment);
        let following = Arc::new(Following::default());
        let environment = crate::boards::Environment {
            boards: BoardStore::new(Arc::clone(entities)),
            definitions: Arc::clone(&game.boards),
            routes: Arc::clone(&routes),
            notifier: following.clone(),
        };
        let boards = crate::boards::start(io_threads, shards, &environment);
        let (announce_rooms, announce_players) = (rooms.announcer(), players.announcer());
        let (announce_staff, announce_stocks) = (staff.announcer(), stocks.announcer());
        let (announce_totals, announce_boards) = (totals.announcer(), boards.announcer());
        let (announce_audit_log, announce_reports) = (audit_log.announcer(), reports.announcer());
        let is_first = entities.listen_to_reports(Box::new(move || {
            announce_rooms();
            announce_players();
            announce_staff();
            announce_stocks();
            announce_totals();
            announce_boards();
            announce_audit_log();
            announce_reports();
        }));
        assert!(is_first, "a store has one server");
        tokio::spawn(wake_senders(Arc::clone(entities), routes));
        Self {
            rooms,
            players,
            staff,
            stocks,
            totals,
            audit_log,
            reports,
            boards,
            following,
            registry,
            pairs,
        }
    }

    /// What services need to read and ask players.
    fn access(&self, store: &PlayerStore) -> PlayersAccess {
        PlayersAccess {
            store: store.clone(),
            owners: self.players.clone(),
            staff: self.staff.clone(),
        }
    }

    /// Shows how much waits for the owners of all kinds.
    fn gauge(&self) -> Arc<dyn Fn() + Send + Sync> {
        let (rooms, players) = (self.rooms.gauge(), self.players.gauge());
        let (staff, stocks) = (self.staff.gauge(), self.stocks.gauge());
        let (totals, boards) = (self.totals.gauge(), self.boards.gauge());
        let (audit_log, reports) = (self.audit_log.gauge(), self.reports.gauge());
        Arc::new(move || {
            rooms();
            players();
            staff();
            stocks();
            totals();
            boards();
            audit_log();
            reports();
        })
    }
}
