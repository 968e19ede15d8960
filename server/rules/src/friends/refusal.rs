//! Limits of friends, requests and blocks, and why a call is refused.

use pitturu_protocol::codes::{Code, Fault};

/// Most friends of one player.
pub const FRIENDS_MAX: u32 = 1_000;

/// Most open requests that one player has sent, and most that one has received, of which the oldest goes when one more comes.
pub const FRIEND_REQUESTS_MAX: u32 = 200;

/// Most players that one player has blocked.
pub const BLOCKS_MAX: u32 = 1_000;

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
    /// The caller's blocks.
    #[error("you have blocked {BLOCKS_MAX} players, the most there can be")]
    Blocks,
}

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FriendRefusal {
    /// The other player is the caller.
    #[error("that is you")]
    Yourself,
    /// There is no such player.
    #[error("there is no such player")]
    NoPlayer,
    /// One of the two has blocked the other.
    #[error("one of the two has blocked the other")]
    Blocked,
    /// There is no such friendship or request.
    #[error("there is no such friendship or request")]
    NotFriends,
    /// There is no such block.
    #[error("the player is not blocked")]
    NotBlocked,
    /// A bound is reached.
    #[error(transparent)]
    Limit(#[from] FriendLimit),
}

impl From<FriendRefusal> for Fault {
    fn from(refusal: FriendRefusal) -> Self {
        match refusal {
            FriendRefusal::Yourself => Self::invalid("user", refusal.to_string()),
            FriendRefusal::NoPlayer => Self::of(Code::NotFound),
            FriendRefusal::Blocked => Self::of(Code::Blocked),
            FriendRefusal::NotFriends => Self::of(Code::NotFriends),
            FriendRefusal::NotBlocked => Self::new(Code::NotFound, refusal.to_string()),
            FriendRefusal::Limit(limit) => Self::new(Code::LimitReached, limit.to_string()),
        }
    }
}
