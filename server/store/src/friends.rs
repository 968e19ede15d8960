//! Friends, requests and blocks: rows, and the port that keeps them.

use async_trait::async_trait;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::FriendState;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::keyed::{KeyUse, Stored};

/// Most friends of one player.
pub const FRIENDS_MAX: u32 = 1_000;

/// Most open requests that one player has sent, and most that one has received.
pub const FRIEND_REQUESTS_MAX: u32 = 200;

/// Most players that one player has blocked.
pub const BLOCKS_MAX: u32 = 1_000;

/// How one player stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FriendRow {
    /// The other player.
    pub user: UserId,
    /// How they stand.
    pub state: FriendState,
    /// Since when.
    pub since: u64,
}

/// Which bound was reached, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FriendLimit {
    /// The caller's friends.
    #[error("you have {FRIENDS_MAX} friends, the most there can be")]
    Friends,
    /// The other player's friends.
    #[error("the other player has {FRIENDS_MAX} friends, the most there can be")]
    TheirFriends,
    /// Requests that the caller has sent.
    #[error(
        "you have sent {FRIEND_REQUESTS_MAX} requests that are not answered, the most there can be"
    )]
    Sent,
    /// Requests that the other player has received.
    #[error("the other player has {FRIEND_REQUESTS_MAX} requests to answer, the most there can be")]
    Received,
    /// The caller's blocks.
    #[error("you have blocked {BLOCKS_MAX} players, the most there can be")]
    Blocks,
}

/// Why a write was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FriendError {
    /// The store's own fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// There is no such player.
    #[error("there is no such player")]
    NoPlayer,
    /// One of the two has blocked the other.
    #[error("one of the two has blocked the other")]
    Blocked,
    /// There is no such friendship or request.
    #[error("there is no such friendship or request")]
    NotFriends,
    /// A bound is reached.
    #[error(transparent)]
    Limit(#[from] FriendLimit),
}

impl From<FriendError> for Fault {
    fn from(error: FriendError) -> Self {
        match error {
            FriendError::Store(error) => error.into(),
            FriendError::KeyReused => Self::of(Code::KeyReused),
            FriendError::NoPlayer => Self::of(Code::NotFound),
            FriendError::Blocked => Self::of(Code::Blocked),
            FriendError::NotFriends => Self::of(Code::NotFriends),
            FriendError::Limit(limit) => Self::new(Code::LimitReached, limit.to_string()),
        }
    }
}

/// The two players of a write: `user` acts on `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who acts.
    pub user: UserId,
    /// On whom.
    pub other: UserId,
    /// Now.
    pub at: u64,
}

/// Friends, requests and blocks.
///
/// Each player has a row for each other one; the two rows of a pair and the entry in the other's inbox are changed together
/// or not at all, and always fit each other: friend and friend, requested and received, blocked and nothing or blocked.
/// Writes are durable when they return, take effect one after the other for any one pair, and keep their result under a
/// [`KeyUse`] as in [`super::accounts::Accounts`].
#[async_trait]
pub trait Friends: Send + Sync {
    /// How `user` stands to `other`.
    async fn friend(&self, user: UserId, other: UserId) -> Result<Option<FriendRow>, StoreError>;

    /// Up to `limit` rows of a player after `after`, in the order of ids; only those in `state`, if given.
    async fn list(
        &self,
        user: UserId,
        state: Option<FriendState>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<FriendRow>, StoreError>;

    /// Whether one of the two has blocked the other.
    async fn blocked_either(&self, one: UserId, other: UserId) -> Result<bool, StoreError>;

    /// Asks for friendship; accepts when the other has asked. What already stands is returned as it is.
    async fn request(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<FriendRow>, FriendError>;

    /// Agrees to a request of `other`. An existing friendship is returned as it is.
    async fn accept(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<FriendRow>, FriendError>;

    /// Ends a friendship or a request and returns what it was.
    async fn remove(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<FriendState>, FriendError>;

    /// Blocks `other` and returns what was between them before.
    async fn block(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<Option<FriendState>>, FriendError>;

    /// Takes a block back. [`FriendError::NotFriends`] when there is none.
    async fn unblock(&self, pair: Pair, key: Option<KeyUse>) -> Result<Stored<()>, FriendError>;
}
