//! What lasts: ports that state their guarantees, and the stores behind them.
//!
//! A port is a trait named by a plural noun, whose documentation says what it promises: order, atomicity, and what a crash
//! leaves. No port knows a rule of the product, and the crate is built without them: what is stored comes encoded.
//!
//! - [`entities`]: rooms, players and whatever else has an order; it promises nothing beyond one entity or one claim, so that a
//!   store of many partitions can keep it;
//! - [`auth_keys`]: the keys behind tokens; [`master_keys`]: what these are worth nothing without, outside the store;
//! - [`embedded`]: the store in one folder.

pub mod auth_keys;
pub mod clock;
#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;
pub mod entities;
pub mod error;
pub mod fail_points;
pub mod master_keys;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod reservation;

pub use error::StoreError;

use std::sync::Arc;

/// The ports of one store.
#[derive(Clone)]
pub struct Ports {
    /// Entities: rooms, players, roles.
    pub entities: Arc<dyn entities::Entities>,
    /// The keys behind tokens.
    pub auth_keys: Arc<dyn auth_keys::AuthKeys>,
}

impl Ports {
    /// All ports on one store that implements each.
    pub fn all<S>(store: S) -> Self
    where
        S: entities::Entities + auth_keys::AuthKeys + Clone + 'static,
    {
        Self {
            entities: Arc::new(store.clone()),
            auth_keys: Arc::new(store),
        }
    }
}

/// Told the outcome of a write, once. Called where it must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
