//! What is stored of a player's friends, and what one player's entity tells another's: MessagePack maps.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::FriendState;
use serde::{Deserialize, Serialize};

/// Names one request for friendship. No two requests have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks.
    pub from: UserId,
    /// Version of the requester's log that holds the decision to ask.
    pub number: u64,
}

/// The requests that a friendship was made from: one that was accepted, or two that crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FriendIds {
    /// The lesser one in the order of ids, so that both friends store the same.
    first: RequestId,
    /// The other one of two that crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second: Option<RequestId>,
}

impl FriendIds {
    /// Made from a request that was accepted.
    pub const fn accepted(id: RequestId) -> Self {
        Self {
            first: id,
            second: None,
        }
    }

    /// Made from two requests that crossed.
    pub fn crossed(one: RequestId, other: RequestId) -> Self {
        Self {
            first: one.min(other),
            second: Some(one.max(other)),
        }
    }

    /// The requests.
    pub fn iter(&self) -> impl Iterator<Item = RequestId> + use<> {
        std::iter::once(self.first).chain(self.second)
    }
}

/// How one player stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The player asked.
    Requested {
        /// The player's own request.
        id: RequestId,
    },
    /// The other asked.
    Received {
        /// The other's request.
        id: RequestId,
        /// Place in the order in which open requests came to the player. A clock would do for as long as nobody sets it.
        number: u64,
    },
    /// Both agreed.
    Friends {
        /// To these requests.
        ids: FriendIds,
    },
    /// The player blocked the other. A block by the other is known to the other only.
    Blocked,
}

impl Standing {
    /// What clients see of it.
    pub const fn state(&self) -> FriendState {
        match self {
            Self::Requested { .. } => FriendState::Requested,
            Self::Received { .. } => FriendState::Received,
            Self::Friends { .. } => FriendState::Friend,
            Self::Blocked => FriendState::Blocked,
        }
    }

    /// The requests that it rests on.
    pub fn ids(&self) -> impl Iterator<Item = RequestId> + use<> {
        let ids = match *self {
            Self::Requested { id } | Self::Received { id, .. } => Some(FriendIds::accepted(id)),
            Self::Friends { ids } => Some(ids),
            Self::Blocked => None,
        };
        ids.into_iter().flat_map(|ids| ids.iter())
    }
}

/// A player's row for another player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Relation {
    /// How they stand.
    pub standing: Standing,
    /// Since when, in milliseconds since 1970: when it was asked, agreed or blocked. The same in both players' rows.
    pub since: u64,
}

/// How many rows a player has in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FriendCounts {
    /// Friends.
    pub friends: u32,
    /// Open requests of the player.
    pub requested: u32,
    /// Open requests of others.
    pub received: u32,
    /// Players whom the player blocked.
    pub blocked: u32,
}

impl FriendCounts {
    pub(super) const fn of(&mut self, state: FriendState) -> &mut u32 {
        match state {
            FriendState::Friend => &mut self.friends,
            FriendState::Requested => &mut self.requested,
            FriendState::Received => &mut self.received,
            FriendState::Blocked => &mut self.blocked,
        }
    }
}

/// Why a request, or a friendship that was made from it, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedWhy {
    /// The requester took it back.
    Cancelled,
    /// The one who was asked said no.
    Declined,
    /// A friend ended the friendship, or the request that it was also made from has ended.
    Removed,
    /// The sender of the signal has blocked the other.
    Blocked,
    /// It could not be followed: blocked, a list is full, or there is no such request any more.
    Refused,
}

/// What one player's entity tells another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FriendSignal {
    /// The sender asks for friendship.
    Requested {
        /// The sender's request.
        id: RequestId,
        /// The sender's display name.
        name: String,
        /// When, in milliseconds since 1970.
        at: u64,
    },
    /// The sender agreed to the receiver's request.
    Accepted {
        /// The receiver's request.
        id: RequestId,
        /// The sender's display name.
        name: String,
        /// When, in milliseconds since 1970.
        at: u64,
    },
    /// A request has ended, and with it what rests on it.
    Ended {
        /// The request, of either.
        id: RequestId,
        /// Why.
        why: EndedWhy,
    },
}
