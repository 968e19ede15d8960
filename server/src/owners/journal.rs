//! Where one life of an entity stands in the entity's log.

use pitturu_store::entities::{Commit, EntityId, Fence, Loaded};

use crate::random::random_bytes;

/// Where one life of an entity stands in the entity's log: what its next commit has to rest on.
#[derive(Debug)]
pub struct Journal {
    entity: EntityId,
    fence: Fence,
    incarnation: u64,
    version: u64,
}

impl Journal {
    /// Of an entity that the store has.
    pub const fn of(entity: EntityId, loaded: &Loaded) -> Self {
        Self {
            entity,
            fence: loaded.fence,
            incarnation: loaded.head.incarnation,
            version: loaded.head.version,
        }
    }

    /// Of an entity that its next commit creates.
    pub fn begin(entity: EntityId, fence: Fence) -> Self {
        Self {
            entity,
            fence,
            // Below 2^53, as every number that may come before a client.
            incarnation: u64::from_be_bytes(random_bytes()) >> 11,
            version: 0,
        }
    }

    /// The entity.
    pub const fn entity(&self) -> EntityId {
        self.entity
    }

    /// Tells the entity from one with the same id that ended before.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The version that was decided last; 0 before the first.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The fence that its commits carry: a failure since makes the store refuse them.
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// The next commit, without changes yet. It has to be handed over before another one is asked for.
    pub const fn next(&mut self) -> Commit {
        self.version += 1;
        Commit::new(self.entity, self.fence, self.version, self.incarnation)
    }
}
