//! What is asked of a player's entity.

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::friends::Other;
use pitturu_store::StoreError;
use pitturu_store::entities::{Applied, EntityId, KeyedResult};
use tokio::sync::oneshot;

use crate::connections::caller::IdempotencyKey;
use crate::owners::signals::Delivery;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Ask another player for friendship, or accept theirs. The second part is the caller's display name. Answers a `FriendRow`.
    Request(Other, String),
    /// Agree to a request. Answers a `FriendRow`.
    Accept(Other, String),
    /// End what is between the two. Answers a `FriendState`.
    Remove(UserId),
    /// Block another player. Answers what was there before, an `Option<FriendState>`.
    Block(Other),
    /// Take a block back.
    Unblock(UserId),
    /// Put an entry into the inbox.
    Tell(InboxEntry),
    /// These rooms have ended: they leave the list of rooms.
    ForgetRooms(Vec<RoomId>),
}

/// A call for a player's entity.
#[derive(Debug)]
pub struct PlayerCall {
    /// Whose.
    pub user: UserId,
    /// What is asked.
    pub ask: Ask,
    /// Its idempotency key.
    pub key: Option<IdempotencyKey>,
    /// When it was read, in milliseconds since 1970.
    pub now: u64,
    /// Who is answered, with the encoded result.
    pub to: oneshot::Sender<Result<Vec<u8>, Fault>>,
}

impl PlayerCall {
    /// Refuses it. Whoever asked may have gone.
    pub fn refuse(self, fault: &Fault) {
        drop(self.to.send(Err(fault.clone())));
    }
}

/// What a player's owner is asked by the rest of the server.
#[derive(Debug)]
pub enum Command {
    /// A call.
    Call(Box<PlayerCall>),
    /// From the owner of another entity.
    Delivery(Delivery),
}

/// Nothing makes a player's entity: it begins with its first commit.
#[derive(Clone, Copy, Debug)]
pub enum NoCreation {}

impl From<NoCreation> for Command {
    fn from(creation: NoCreation) -> Self {
        match creation {}
    }
}

impl From<Delivery> for Command {
    fn from(delivery: Delivery) -> Self {
        Self::Delivery(delivery)
    }
}

/// What a player's entity hears back from work that it gave away.
#[derive(Debug)]
pub enum Report {
    /// Whether this call was carried out before.
    Recalled(Box<PlayerCall>, Result<Option<KeyedResult>, StoreError>),
    /// How far the signals of this sender were applied.
    Applied(EntityId, Result<Option<Applied>, StoreError>),
}
