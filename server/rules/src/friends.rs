//! The rules of friendship, requests and blocks: one player's side, pure and synchronous.
//!
//! Each player is an entity with a log of its own. What a player asks is decided at once by that player's own
//! [`Relations`], given what was read of the other one ([`Other`]). The other one hears of it by a [`FriendSignal`], decides
//! again, and answers by a signal if it can't follow. Signals come late, but each is applied once, and those of one player to
//! another in the order in which they were sent. Whatever was asked meanwhile: when no signal is under way, two players agree
//!
//! | one | the other |
//! |---|---|
//! | friend | friend, by the same requests and since the same time |
//! | requested | received, the same request |
//! | nothing | nothing |
//! | blocked | nothing, or blocked |
//!
//! What makes them agree: each request has a number of its own ([`RequestId`]), and everything said later names it, so
//! that an answer to an earlier request changes nothing in a later one. Requests that cross are both an agreement: the
//! friendship rests on both, and ends when either does; whoever hears that one has ended ends the other.
//!
//! A player's list of received requests, the only one that others write to, has a cap. What does not fit is refused: the
//! requester loses the request and finds [`InboxEntry::FriendRemoved`](pitturu_protocol::types::inbox::InboxEntry), as after
//! a refusal for any other reason, so that a block can't be told from a declined request.
//!
//! - [`rows`]: what is stored, and what is told to another player's entity;
//! - [`refusal`]: limits, and why a call is refused;
//! - [`relations`]: commands and signals.

pub mod refusal;
pub mod relations;
pub mod rows;

#[cfg(test)]
mod tests;

pub use refusal::{BLOCKS_MAX, FRIEND_REQUESTS_MAX, FRIENDS_MAX, FriendLimit, FriendRefusal};
pub use relations::{Commit, FriendEffects, Other, Relations};
pub use rows::{EndedWhy, FriendCounts, FriendIds, FriendSignal, Relation, RequestId, Standing};
