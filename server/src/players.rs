//! Players as entities: what a player keeps.
//!
//! A player's entity has account and sessions, the inbox, how the player stands to others, the list of rooms, points and items. It is
//! loaded by a command or a signal, and leaves memory some seconds after it; a connection that rests keeps none.
//!
//! - [`command`]: what is asked of a player's entity;
//! - [`player`]: one in memory; [`live_player`]: what it decides at its owner; [`store`]: how players are stored, and what anyone reads of them;
//! - [`names`]: display names in memory; [`staff`]: the entity that keeps everybody's role; [`audit_log`]: the one that keeps what
//!   the staff does; [`reports`]: the one that keeps what players report to it;
//! - [`stock`]: what is left of an item for all players, a kind of its own;
//! - [`totals`]: the entity that keeps what all players had at the end of each day.

pub mod audit_log;
pub mod command;
pub mod live_player;
pub mod names;
pub mod player;
pub mod reports;
pub mod staff;
pub mod stock;
pub mod store;
pub mod totals;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::game_data::Game;
use pitturu_rules::signals::PlayerSignal;
use pitturu_store::entities::{Entities, EntityId, Kind, Signal};

use self::command::Ask;
use self::live_player::LivePlayer;
use self::store::PlayerStore;
use crate::connections::caller::IdempotencyKey;
use crate::connections::session_notifier::SessionNotifier;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering;
use crate::owners::signals::Routes;

/// Players among the kinds of entities.
pub const PLAYER: Kind = Kind(2);

/// The player among entities.
pub fn entity(user: UserId) -> EntityId {
    EntityId::new(PLAYER, user)
}

/// What another entity's commit tells a player.
pub fn signal(user: UserId, signal: &PlayerSignal) -> Signal {
    Signal {
        to: entity(user),
        body: codec::encode(signal),
    }
}

/// The owners of all players.
pub type PlayerOwners = Owners<LivePlayer>;

/// Knows where two players write to each other.
pub trait DirectRooms: Send + Sync {
    /// The room, whether or not it was made yet. It hears of it when one of the two blocks the other, or no longer does.
    fn entity_of(&self, one: UserId, other: UserId) -> EntityId;
}

/// What all players work with.
#[derive(Clone)]
pub struct Environment {
    /// What is stored of them.
    pub players: PlayerStore,
    /// How to reach other entities.
    pub routes: Arc<Routes>,
    /// The players' connections.
    pub notifier: Arc<dyn SessionNotifier>,
    /// Where they write to each other.
    pub direct_rooms: Arc<dyn DirectRooms>,
    /// What the game's team has written.
    pub game: Arc<Game>,
}

impl answering::Environment for Environment {
    fn entities(&self) -> &Arc<dyn Entities> {
        self.players.entities()
    }

    fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }
}

/// Starts so many shards of players, whose tasks run on these I/O threads.
pub fn start(io_threads: &IoThreads, shards: usize, environment: &Environment) -> PlayerOwners {
    let owners = PlayerOwners::start(io_threads, shards, environment);
    owners.route(&environment.routes);
    owners
}

impl PlayerOwners {
    /// Has a player's entity do something, and waits for its answer, which is durable: the encoded result, or that of the first
    /// call under the key.
    ///
    /// # Errors
    /// Those of the rules and of the store.
    pub async fn ask(
        &self,
        user: UserId,
        ask: Ask,
        key: Option<IdempotencyKey>,
        now: u64,
    ) -> Result<Vec<u8>, Fault> {
        let key = key.map(|key| (user, key));
        let answered = self.ask_under(user, ask, key, now).await?;
        Ok(answered.body)
    }

    /// Puts an entry into a player's inbox, once for each key.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tell(
        &self,
        user: UserId,
        entry: InboxEntry,
        key: Option<IdempotencyKey>,
        now: u64,
    ) -> Result<(), Fault> {
        self.ask(user, Ask::Tell(entry), key, now).await.map(drop)
    }
}

#[cfg(test)]
pub(crate) mod tests;
