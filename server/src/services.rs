//! Calls that run for their caller, area by area.
//!
//! - [`accounts`]: sign-in, sessions, passwords; [`profile`]: what players show of themselves;
//! - [`friends`]: friends and blocks; [`presence`]: what players see of each other.

pub mod accounts;
pub mod friends;
pub mod presence;
pub mod profile;

use std::sync::Arc;

use pitturu_store::Ports;

use crate::chat::RoomOwners;
use crate::chat::directory::RoomDirectory;
use crate::connections::registry::Hub;

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
    pub directory: RoomDirectory,
    /// The owners of rooms.
    pub rooms: RoomOwners,
    /// Open connections.
    pub hub: Arc<Hub>,
    /// The store's ports.
    pub store: Ports,
}
