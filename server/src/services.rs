//! The product's rules, area by area.
//!
//! - [`accounts`], [`profile`], [`friends`], [`presence`]: calls that run for their caller.

pub mod accounts;
pub mod friends;
pub mod presence;
pub mod profile;

use std::sync::Arc;

use pitturu_store::Ports;

use crate::chat::directory;
use crate::connections::registry::Hub;
use crate::owners::Router;
use crate::session::SessionConfig;
use crate::session::rates::Rates;

/// Everything that answers calls, shared by all connections.
pub struct Services {
    /// The calls of accounts and sign-in.
    pub accounts: accounts::AccountService,
    /// Profiles.
    pub profile: Arc<profile::ProfileService>,
    /// Friends and blocks.
    pub friends: Arc<friends::FriendService>,
    /// Presence.
    pub presence: Arc<presence::PresenceService>,
    /// Finding and making rooms.
    pub directory: directory::RoomDirectory,
    /// The owners of rooms.
    pub router: Router,
    /// Open connections.
    pub hub: Arc<Hub>,
    /// The store's ports.
    pub store: Ports,
    /// How much each caller may call.
    pub rates: Rates,
    /// Bounds of one connection.
    pub session: SessionConfig,
}
