//! What a chaos run makes of an opened database whose disk failed it: it takes no more writes, and shows only what it showed
//! before, though the failed commit may well be in its journal.

use std::io;

use fjall::{Database, Snapshot};

#[cfg(feature = "chaos")]
use parking_lot::Mutex;

use crate::fail_points::fail;

/// Whether the disk has failed a database, and what it goes on showing.
#[derive(Default)]
pub(super) struct Broken {
    #[cfg(feature = "chaos")]
    shown: Mutex<Option<Snapshot>>,
}

impl Broken {
    /// A point at which the write of a commit can fail, or its sync.
    pub(super) fn fail(&self, point: &'static str, db: &Database) -> io::Result<()> {
        fail(point).inspect_err(|_| self.set(db))
    }

    #[cfg(feature = "chaos")]
    fn set(&self, db: &Database) {
        *self.shown.lock() = Some(db.snapshot());
    }

    /// What goes on being shown. `None`: the disk has not failed.
    #[cfg(feature = "chaos")]
    pub(super) fn shown(&self) -> Option<Snapshot> {
        self.shown.lock().clone()
    }

    #[cfg(not(feature = "chaos"))]
    const fn set(&self, _db: &Database) {}

    /// What goes on being shown. `None`: the disk has not failed.
    #[cfg(not(feature = "chaos"))]
    pub(super) const fn shown(&self) -> Option<Snapshot> {
        None
    }
}
