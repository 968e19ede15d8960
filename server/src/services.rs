//! The product's rules, area by area.
//!
//! - [`caller`]: who calls; [`connections`]: what services tell open connections;
//! - [`accounts`], [`profile`], [`friends`], [`presence`], [`directory`]: calls that run for their caller;
//! - [`retention`]: the walk that removes what is past its time.

pub mod accounts;
pub mod caller;
pub mod connections;
pub mod directory;
pub mod friends;
pub mod presence;
pub mod profile;
pub mod retention;

use std::sync::Arc;

use pitturu_store::Ports;

use crate::hub::Hub;
use crate::router::Router;
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
