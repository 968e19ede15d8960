//! Calls that run for their caller, area by area.
//!
//! - [`accounts`]: sign-in, sessions, passwords; [`profile`]: what players show of themselves;
//! - [`points`]: what players own, earn and spend;
//! - [`friends`]: friends and blocks; [`presence`]: what players see of each other.

pub mod accounts;
pub mod friends;
pub mod points;
pub mod presence;
pub mod profile;

use std::sync::Arc;

use pitturu_rules::game_data::GameData;
use pitturu_rules::rooms::ChatLimits;
use pitturu_rules::rooms::identity::RoomIds;
use pitturu_store::{Ports, StoreError};
use tokio::sync::mpsc;

use self::accounts::masters::Masters;
use self::accounts::reset_delivery::ResetDelivery;
use self::accounts::{AccountService, AccountsConfig, Keys, OpenError, Players};
use self::friends::FriendService;
use self::points::{PointsService, audit};
use self::presence::PresenceService;
use self::profile::ProfileService;
use crate::chat::directory::{RoomDirectory, RoomsAndPlayers};
use crate::chat::store::RoomStore;
use crate::chat::{self, RoomOwners, retention};
use crate::connections::registry::{ChangedPair, Registry};
use crate::io_threads::IoThreads;
use crate::owners::signals::{Routes, wake_senders};
use crate::players::staff::{self, StaffOwner};
use crate::players::store::PlayerStore;
use crate::players::{self, PlayerOwners};
use crate::random::random_bytes;

/// Everything that answers calls, shared by all connections.
pub struct Services {
    /// The calls of accounts and sign-in.
    pub accounts: AccountService,
    /// Profiles.
    pub profile: Arc<ProfileService>,
    /// Friends and blocks.
    pub friends: Arc<FriendService>,
    /// Points.
    pub points: PointsService,
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
    /// What the game's team writes about its game, checked.
    pub game: Arc<GameData>,
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
            config.shards,
            config.chat,
            ids.clone(),
        );
        let (rooms, player_owners, registry) = (owners.rooms, owners.players, owners.registry);

        let friends = Arc::new(FriendService::new(
            player_store.clone(),
            player_owners.clone(),
            registry.clone(),
        ));
        let profile = Arc::new(ProfileService::new(
            player_store.clone(),
            player_owners.clone(),
        ));
        let players = Players::new(player_store.clone(), player_owners.clone());
        let accounts = AccountService::open(
            Keys {
                signing: Arc::clone(&store.auth_keys),
                masters: config.masters,
            },
            players,
            owners.staff.clone(),
            config.reset_delivery,
            config.accounts,
            now,
        )
        .await?;
        let presence = PresenceService::new(registry.clone(), Arc::clone(&friends));
        let presence = Arc::new(presence);
        tokio::spawn(Arc::clone(&presence).run(owners.pairs));
        tokio::spawn(audit::run(player_store.clone()));
        tokio::spawn(retention::run(room_store.clone(), rooms.clone()));
        Ok(Self {
            accounts,
            directory: RoomDirectory::new(
                RoomsAndPlayers {
                    rooms: room_store.clone(),
                    owners: rooms.clone(),
                    players: player_store.clone(),
                    player_owners: player_owners.clone(),
                },
                registry.clone(),
                profile.clone(),
                ids,
                config.rooms_per_player_max,
            ),
            profile,
            friends,
            points: PointsService::new(player_store.clone(), player_owners, owners.staff.clone()),
            presence,
            rooms,
            room_store,
            players: player_store,
            registry,
        })
    }
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
        shards: usize,
        limits: ChatLimits,
        ids: RoomIds,
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
            direct_rooms: Arc::new(ids),
        };
        let players = players::start(io_threads, shards, &environment);
        let staff = staff::start(io_threads, &environment);
        let (announce_rooms, announce_players) = (rooms.announcer(), players.announcer());
        let announce_staff = staff.announcer();
        let is_first = entities.listen_to_reports(Box::new(move || {
            announce_rooms();
            announce_players();
            announce_staff();
        }));
        assert!(is_first, "a store has one server");
        tokio::spawn(wake_senders(Arc::clone(entities), routes));
        Self {
            rooms,
            players,
            staff,
            registry,
            pairs,
        }
    }
}
