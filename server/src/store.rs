//! What lasts: ports that state their guarantees, and the stores behind them.
//!
//! A port is a trait named by a plural noun. No port promises more than a partitioned store can keep: atomic
//! within one partition, conditional by comparing what is there. [`embedded`] keeps everything in one folder.

pub mod accounts;
#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;
pub mod error;
pub mod friends;
pub mod idempotency;
pub mod inboxes;
pub mod keyed;
pub mod rooms;

pub use error::StoreError;

/// Told the outcome of a write, once. Called where it must not block.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
