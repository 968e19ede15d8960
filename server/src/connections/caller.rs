//! Who calls, as services see it.

use std::sync::Arc;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::types::accounts::Identity;
use pitturu_store::clock::Steady;
use pitturu_store::entities::KeyedRequest;

use super::address::Address;

/// The idempotency key of a call that writes, with what tells a repetition from another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key, 1 to 64 bytes.
    pub key: Arc<str>,
    /// Number of the method.
    pub method: u16,
    /// What is asked: the whole of a call whose key is [`Key::Lasting`](pitturu_protocol::methods::Key::Lasting), and so its result is kept for
    /// good.
    pub request: KeyedRequest,
    /// On the first attempt of the call alone: the newest sequence of its room that the client had seen when it made the
    /// call. Whatever was decided under the key was decided when the room had come that far, so a room that remembers every
    /// key decided since then need not look this one up. It is the client's word, and may lie above the room's
    /// newest. Absent: a result may be of any time within which results are kept.
    pub first_head: Option<u64>,
}

/// One call's caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The connection that the call came on.
    pub conn: ConnectionId,
    /// The number of the call on it.
    pub call: CallId,
    /// Who is signed in on it.
    pub identity: Option<Identity>,
    /// Network address of the other end.
    pub address: Address,
    /// When the call was read, in milliseconds since 1970.
    pub now: u64,
    /// The same moment on the clock for intervals.
    pub steady: Steady,
    /// Its idempotency key, if it has one.
    pub key: Option<IdempotencyKey>,
}

impl Caller {
    /// The signed-in player.
    pub fn identity(&self) -> Result<&Identity, Fault> {
        self.identity
            .as_ref()
            .ok_or_else(|| Fault::of(pitturu_protocol::codes::Code::Unauthenticated))
    }

    /// The signed-in player's id.
    pub fn user(&self) -> Result<UserId, Fault> {
        self.identity().map(|identity| identity.user)
    }
}
