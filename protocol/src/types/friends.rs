//! Friends and blocks.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::types::presence::Presence;

/// How two players stand to each other, seen by one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FriendState {
    /// Both agreed.
    Friend,
    /// The caller asked.
    Requested,
    /// The other asked.
    Received,
    /// The caller blocked the other.
    Blocked,
}

/// The caller's friends, requests and blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListFriends {
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<FriendState>,
    /// The last player of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListFriends`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Friends {
    /// In the order of their ids.
    pub friends: Vec<Friend>,
    /// Whether more follow.
    pub more: bool,
}

/// One player in the caller's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Friend {
    /// The other player.
    pub user: UserId,
    /// Their display name.
    pub name: String,
    /// How they stand.
    pub state: FriendState,
    /// Since when.
    pub since: u64,
    /// Their presence, when they are friends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
}

/// Asks for friendship. When the other has already asked, both are friends; also when two requests cross, a moment after the
/// replies, which say `requested` then. What the other can't take after all (a block, a full list) ends with `friend_removed`
/// in the caller's inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestFriend {
    /// The other player.
    pub user: UserId,
}

/// Agrees to a request. When the other has taken it back meanwhile, the friendship ends with `friend_removed` in the caller's
/// inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AcceptFriend {
    /// The one who asked.
    pub user: UserId,
}

/// Ends a friendship, declines a request or takes one back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemoveFriend {
    /// The other player.
    pub user: UserId,
}

/// Blocks a player: no requests, invitations or direct messages either way, and no presence but in rooms that both are in. Ends a
/// friendship.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlockPlayer {
    /// The other player.
    pub user: UserId,
}

/// Takes a block back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnblockPlayer {
    /// The other player.
    pub user: UserId,
}
