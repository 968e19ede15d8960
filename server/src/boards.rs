//! Leaderboards as entities: one for each leaderboard and season.
//!
//! The entity has the scores of its season in memory, so that every place is known at once; it stays there for some minutes after its last use. It
//! takes scores by calls and by signals while the season runs, and tells the best their places when it has ended. What
//! it decides is in [`pitturu_rules::boards`].
//!
//! - [`command`]: what is asked of a season; [`season`]: one in memory; [`live_board`]: what it decides at its owner;
//! - [`store`]: how seasons are stored, and the lists that lead to them.

pub mod command;
pub mod live_board;
pub mod season;
pub mod store;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::ids::BoardId;
use pitturu_rules::boards::Definitions;
use pitturu_rules::signals::BoardSignal;
use pitturu_store::entities::{Entities, EntityId, Kind, Signal};

use self::live_board::LiveBoard;
use self::store::BoardStore;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering;
use crate::owners::signals::Routes;

/// Seasons of leaderboards among the kinds of entities.
pub const BOARD: Kind = Kind(4);

/// The season among entities.
pub fn entity(board: BoardId) -> EntityId {
    EntityId::new(BOARD, board)
}

/// What another entity's commit tells a season.
pub fn signal(signal: &BoardSignal) -> Signal {
    let BoardSignal::Score { of, .. } = signal;
    Signal {
        to: entity(of.id()),
        body: codec::encode(signal),
    }
}

/// The owners of all seasons.
pub type BoardOwners = Owners<LiveBoard>;

/// Hears what happens on leaderboards. Calls return at once, and come after the change is durable.
pub trait BoardNotifier: Send + Sync {
    /// A score of this leaderboard has changed, in any of its seasons.
    fn changed(&self, board: &str);
}

/// What all seasons work with.
#[derive(Clone)]
pub struct Environment {
    /// What is stored of them.
    pub boards: BoardStore,
    /// The game's leaderboards.
    pub definitions: Arc<Definitions>,
    /// How to reach other entities.
    pub routes: Arc<Routes>,
    /// Who hears of changes.
    pub notifier: Arc<dyn BoardNotifier>,
}

impl answering::Environment for Environment {
    fn entities(&self) -> &Arc<dyn Entities> {
        self.boards.entities()
    }

    fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }
}

/// Starts so many shards of seasons, whose tasks run on these I/O threads.
pub fn start(io_threads: &IoThreads, shards: usize, environment: &Environment) -> BoardOwners {
    let owners = BoardOwners::start(io_threads, shards, environment);
    owners.route(&environment.routes);
    owners
}
