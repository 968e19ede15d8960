//! What lasts: ports that state their guarantees, and the stores behind them.
//!
//! A port is a trait named by a plural noun, whose documentation says what it promises: order, atomicity, and what a crash
//! leaves. [`embedded`] keeps everything in one folder, in one order, and some ports promise what only that can
//! keep: a room's write is atomic with the entries that it puts into inboxes and with the index of names, a friendship with
//! the rows of both players, an account with the claim of its name. A store of many partitions can't keep these.

pub mod accounts;
pub mod clock;
#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;
pub mod error;
pub mod fail_points;
pub mod friends;
pub mod idempotency;
pub mod inboxes;
pub mod keyed;
pub mod reservation;
pub mod rooms;

pub use error::StoreError;

use std::sync::Arc;

/// The ports of one store.
#[derive(Clone)]
pub struct Ports {
    /// Accounts, sessions, keys.
    pub accounts: Arc<dyn accounts::Accounts>,
    /// Friendships and blocks.
    pub friends: Arc<dyn friends::Friends>,
    /// Rooms.
    pub rooms: Arc<dyn rooms::Rooms>,
    /// Messages.
    pub messages: Arc<dyn rooms::Messages>,
    /// Inboxes.
    pub inboxes: Arc<dyn inboxes::Inboxes>,
    /// Results under idempotency keys.
    pub keyed_results: Arc<dyn idempotency::KeyedResults>,
}

impl Ports {
    /// All ports on one store that implements each.
    pub fn all<S>(store: S) -> Self
    where
        S: accounts::Accounts
            + friends::Friends
            + rooms::Rooms
            + rooms::Messages
            + inboxes::Inboxes
            + idempotency::KeyedResults
            + Clone
            + 'static,
    {
        Self {
            accounts: Arc::new(store.clone()),
            friends: Arc::new(store.clone()),
            rooms: Arc::new(store.clone()),
            messages: Arc::new(store.clone()),
            inboxes: Arc::new(store.clone()),
            keyed_results: Arc::new(store),
        }
    }
}

/// Told the outcome of a write, once. Called where it must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
