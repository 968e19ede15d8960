//! Rooms: the kind of entity that chat is made of.
//!
//! - [`command`]: what is said to a room, and what it hears back; [`request`]: calls of rooms by what they need;
//! - [`live_room`]: a room at its owner: rules, recent messages, followers, and what waits for the disk;
//! - [`recent`]: its newest messages, ready to send; [`history`]: pages of the past, for readers and for back-fill;
//! - [`blocks`]: who of a direct room's players has blocked the other;
//! - [`directory`]: finding rooms, and making them; [`joins`]: joins under way;
//! - [`store`]: how rooms are stored;
//! - [`retention`]: the walk that removes what is past its time.

pub mod blocks;
pub mod command;
pub mod directory;
pub mod history;
pub mod joins;
pub mod live_room;
pub mod recent;
pub mod request;
pub mod retention;
pub mod store;

use std::sync::Arc;

use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_rules::rooms::ChatLimits;
use pitturu_rules::rooms::identity::RoomIds;
use pitturu_store::entities::EntityId;

use self::command::Command;
use self::live_room::LiveRoom;
use self::store::RoomStore;
use crate::connections::registry::Followed;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::signals::Routes;
use crate::players::DirectRooms;
use crate::players::store::PlayerStore;

/// The owners of all rooms.
pub type RoomOwners = Owners<LiveRoom>;

/// What all rooms work with.
#[derive(Clone)]
pub struct Environment {
    /// What is stored of them.
    pub rooms: RoomStore,
    /// Who blocked whom, as direct rooms need to know.
    pub players: PlayerStore,
    /// How to reach players.
    pub routes: Arc<Routes>,
    /// Bounds and defaults.
    pub limits: Arc<ChatLimits>,
}

impl Followed for RoomOwners {
    fn left(&self, room: RoomId, connection: ConnectionId) {
        // There are never more of them than rooms open on the connections of this process.
        self.send_unbounded(Command::Detach(room, connection));
    }

    fn visibility_changed(&self, room: RoomId, user: UserId) {
        // As many for each call that sets the presence, of which there are never more than calls in flight.
        self.send_unbounded(Command::Visibility(room, user));
    }
}

impl DirectRooms for RoomIds {
    fn entity_of(&self, one: UserId, other: UserId) -> EntityId {
        store::entity(self.direct(one, other))
    }
}

/// Starts so many shards of rooms, whose tasks run on these I/O threads.
pub fn start(io_threads: &IoThreads, shards: usize, environment: &Environment) -> RoomOwners {
    let owners = RoomOwners::start(io_threads, shards, environment);
    owners.route(&environment.routes);
    owners
}

#[cfg(test)]
pub(crate) mod tests;
