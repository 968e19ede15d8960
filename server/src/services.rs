//! Calls that run for their caller, area by area.
//!
//! - [`accounts`]: sign-in, sessions, passwords; [`profile`]: what players show of themselves;
//! - [`friends`]: friends and blocks; [`presence`]: what players see of each other.

pub mod accounts;
pub mod friends;
pub mod presence;
pub mod profile;

use std::sync::Arc;

use pitturu_rules::rooms::ChatLimits;
use pitturu_store::Ports;

use self::accounts::reset_delivery::ResetDelivery;
use self::accounts::{AccountService, AccountsConfig, OpenError};
use self::friends::FriendService;
use self::presence::PresenceService;
use self::profile::ProfileService;
use crate::chat::directory::RoomDirectory;
use crate::chat::{self, Environment, RoomOwners, retention};
use crate::connections::registry::Registry;
use crate::io_threads::IoThreads;

/// Everything that answers calls, shared by all connections.
pub struct Services {
    /// The calls of accounts and sign-in.
    pub accounts: AccountService,
    /// Profiles.
    pub profile: Arc<ProfileService>,
    /// Friends and blocks.
    pub friends: Arc<FriendService>,
    /// Presence.
    pub presence: Arc<PresenceService>,
    /// Finding and making rooms.
    pub directory: RoomDirectory,
    /// The owners of rooms.
    pub rooms: RoomOwners,
    /// Open connections.
    pub registry: Arc<Registry>,
    /// The store's ports.
    pub store: Ports,
}

/// What the services are started with.
pub struct ServicesConfig {
    /// Shards that own rooms.
    pub shards: usize,
    /// Bounds and defaults of rooms.
    pub chat: ChatLimits,
    /// Rooms that one player may belong to.
    pub rooms_per_player_max: usize,
    /// Accounts.
    pub accounts: AccountsConfig,
    /// How reset tokens reach their players; without it none are sent.
    pub reset_delivery: Option<Arc<dyn ResetDelivery>>,
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
        let environment = Environment {
            rooms: Arc::clone(&store.rooms),
            messages: Arc::clone(&store.messages),
            friends: Arc::clone(&store.friends),
            limits: Arc::new(config.chat),
        };
        let rooms = chat::start(io_threads, config.shards, &environment);
        let (registry, pairs) = Registry::new(Arc::new(rooms.clone()));
        let inbox_registry = Arc::clone(&registry);
        store
            .inboxes
            .listen(Box::new(move |user, _| inbox_registry.inbox_grew(user)));

        let friends = Arc::new(FriendService::new(
            Arc::clone(&store.friends),
            Arc::clone(&store.accounts),
            registry.clone(),
            registry.clone(),
        ));
        let profile = Arc::new(ProfileService::new(
            Arc::clone(&store.accounts),
            registry.clone(),
        ));
        let accounts = Arc::clone(&store.accounts);
        let accounts = AccountService::open(
            accounts,
            registry.clone(),
            config.reset_delivery,
            config.accounts,
            now,
        )
        .await?;
        let presence = Arc::new(PresenceService::new(registry.clone(), Arc::clone(&friends)));
        tokio::spawn(Arc::clone(&presence).run(rooms.clone(), pairs));
        tokio::spawn(retention::run(Arc::clone(&store.rooms), rooms.clone()));
        Ok(Self {
            accounts,
            directory: RoomDirectory::new(
                Arc::clone(&store.rooms),
                rooms.clone(),
                Arc::clone(&store.friends),
                profile.clone(),
                config.rooms_per_player_max,
            ),
            profile,
            friends,
            presence,
            rooms,
            registry,
            store,
        })
    }
}
