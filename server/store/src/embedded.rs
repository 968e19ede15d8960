//! The store in one folder of this machine, for one process: an LSM tree behind one writer thread.
//!
//! - [`engine`]: the folder, the writer, transactions and reads;
//! - [`tables`]: which tables there are; [`rows`]: how values are made; `results`: keyed results in two generations;
//! - one file for each port.

mod auth_keys;
pub mod engine;
mod entities;
mod results;
pub mod rows;
pub mod tables;

#[cfg(test)]
mod tests;

use std::path::Path;

use self::engine::{Engine, EngineOptions, OpenError};

/// The embedded store. Implements every port; clones share it.
#[derive(Clone)]
pub struct Embedded {
    engine: Engine,
}

impl Embedded {
    /// Opens the store in `dir`; see [`Engine::open`].
    ///
    /// # Errors
    /// Those of [`Engine::open`].
    pub fn open(dir: &Path, options: EngineOptions) -> Result<Self, OpenError> {
        Ok(Self {
            engine: Engine::open(dir, options)?,
        })
    }

    /// Whether there is a store in `dir`, which [`open`](Self::open) would make otherwise.
    pub fn is_in(dir: &Path) -> bool {
        Engine::is_in(dir)
    }

    /// The engine underneath.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
