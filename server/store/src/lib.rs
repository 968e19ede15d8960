//! What lasts: ports that state their guarantees, and the stores behind them.
//!
//! A port is a trait named by a plural noun, whose documentation says what it promises: order, atomicity, and what a crash
//! leaves. [`entities`] knows neither kinds nor rules, and promises nothing beyond one entity: a store of many partitions can
//! keep it. [`accounts`] still promises what only [`embedded`] can keep, which has everything in one folder, in one order: an account
//! is written together with the claim of its name, and the last admin is known.

pub mod accounts;
pub mod clock;
#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;
pub mod entities;
pub mod error;
pub mod fail_points;
pub mod idempotency;
pub mod keyed;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod reservation;

pub use error::StoreError;

use std::sync::Arc;

/// The ports of one store.
#[derive(Clone)]
pub struct Ports {
    /// Entities: rooms and players.
    pub entities: Arc<dyn entities::Entities>,
    /// Accounts, sessions, keys.
    pub accounts: Arc<dyn accounts::Accounts>,
}

impl Ports {
    /// All ports on one store that implements each.
    pub fn all<S>(store: S) -> Self
    where
        S: entities::Entities + accounts::Accounts + Clone + 'static,
    {
        Self {
            entities: Arc::new(store.clone()),
            accounts: Arc::new(store),
        }
    }
}

/// Told the outcome of a write, once. Called where it must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
