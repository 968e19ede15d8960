//! What is asked of a player's entity.

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::accounts::{
    AccountRow, Claim, Login, PasswordChange, ProfileChange, ResetRow, Rotation, SecretHash,
    SessionRow,
};
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
    /// Something of the account, by a call on this connection, which still gets its answer when its session ends.
    Account(Box<AccountAsk>, ConnectionId),
}

/// What is asked of an account.
#[derive(Clone, Debug)]
pub enum AccountAsk {
    /// Create it with its first session. Answers a `Grant`.
    Create(Box<AccountRow>, SessionRow),
    /// Make sure that a claim leads to no account. Answers whether it will not, a `bool`.
    Void(Claim),
    /// Add a session. Answers a `Grant`.
    OpenSession {
        /// Count of password changes that was looked at.
        version: Option<u64>,
        /// The session.
        session: SessionRow,
        /// A role that the configuration gives.
        role: Option<Role>,
    },
    /// Exchange a refresh token. Answers a `Rotated`.
    Rotate(Rotation),
    /// End a session. Answers `()`.
    EndSession(SessionId),
    /// End a session, if it is there. Answers `()`.
    LogOut(SessionId),
    /// End all sessions. Answers `()`.
    EndSessions,
    /// Set a password. Answers a `UserId`.
    SetPassword(PasswordChange),
    /// Give a guest a name, a password, and the role that the configuration gives. Answers a `UserId`.
    Upgrade(Login, SessionId, Option<Role>),
    /// Keep a reset token. Answers a `ResetRow`.
    AddReset(SecretHash, ResetRow),
    /// Commit as much as if a reset token were kept, and keep none: there is no such account. Answers the `ResetRow`.
    AddNoReset(ResetRow),
    /// Change the profile. Answers a `ProfileRow`.
    UpdateProfile(ProfileChange),
}

/// An answer, which is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The encoded result.
    pub body: Vec<u8>,
    /// Another call under the same key brought it about; this one has changed nothing.
    pub is_repeated: bool,
}

/// Where an answer goes.
pub type Asker = oneshot::Sender<Result<Answered, Fault>>;

/// Gives an answer. Whoever asked may have gone.
pub(super) fn answer(to: Asker, body: Vec<u8>, is_repeated: bool) {
    drop(to.send(Ok(Answered { body, is_repeated })));
}

/// Gives the first answers that are held no longer.
pub(super) fn release(held: Vec<(Asker, Vec<u8>)>) {
    for (to, body) in held {
        answer(to, body, false);
    }
}

/// A call for a player's entity.
#[derive(Debug)]
pub struct PlayerCall {
    /// Whose.
    pub user: UserId,
    /// What is asked.
    pub ask: Ask,
    /// Its idempotency key, and whose key it is: mostly the player's own.
    pub key: Option<(UserId, IdempotencyKey)>,
    /// When it was read, in milliseconds since 1970.
    pub now: u64,
    /// Who is answered.
    pub to: Asker,
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
