//! What services tell open connections, and ask of them.

use std::sync::Arc;

use pitturu_protocol::ids::{ConnectionId, SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::items::ItemChange;
use pitturu_protocol::types::moderation::PlayerSuspended;
use pitturu_protocol::types::points::Wallet;
use pitturu_protocol::types::presence::Presence;
use pitturu_rules::accounts::Sanctions;

/// The open connections of this process, and later of others. Calls return at once, may be repeated, and come after the
/// change is durable.
pub trait SessionNotifier: Send + Sync {
    /// A session has ended: its connections are signed out. `by` is the connection whose call ended it, which still
    /// gets its reply.
    fn session_ended(&self, user: UserId, session: SessionId, by: ConnectionId);

    /// All sessions of a player have ended but one.
    fn sessions_ended(&self, user: UserId, except: Option<SessionId>, by: ConnectionId);

    /// A player's role is now this one, on all connections.
    fn role_changed(&self, user: UserId, role: Role);

    /// A guest has become a named account.
    fn upgraded(&self, user: UserId);

    /// A player is suspended: the connections are told, and closed.
    fn suspended(&self, user: UserId, told: &PlayerSuspended);

    /// What the staff has decided against a player is now this.
    fn sanctioned(&self, user: UserId, sanctions: &Arc<Sanctions>);

    /// A player's display name is now this one.
    fn renamed(&self, user: UserId, name: &str);

    /// Two players have become friends, or are friends no longer.
    fn friendship_changed(&self, one: UserId, other: UserId);

    /// A player's inbox has grown.
    fn inbox_grew(&self, user: UserId);

    /// A player's points have moved.
    fn wallet_changed(&self, user: UserId, wallet: Wallet);

    /// What a player owns has changed: the newest change.
    fn inventory_changed(&self, user: UserId, change: ItemChange);
}

/// Knows what others see of a player.
pub trait Presences: Send + Sync {
    /// The player's presence now.
    fn presence(&self, user: UserId) -> Presence;
}
