//! What is written of an entity at once.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;

use super::{Applied, EntityId, Entry, Fence, List, RowKey, Signal};
#[cfg(doc)]
use super::{Entities, Head, Loaded};
use crate::reservation::Reservation;

/// The result of a keyed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedResult {
    /// Whose key it is.
    pub user: UserId,
    /// The client's key, 1 to 64 bytes.
    pub key: Arc<str>,
    /// Number of the method.
    pub method: u16,
    /// What was asked. It also says how long the result is kept.
    pub request: KeyedRequest,
    /// Body of the reply.
    pub reply: Vec<u8>,
}

/// What was asked under a key, to refuse the key for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyedRequest {
    /// First 16 bytes of the SHA-256 of the encoded request, of a result that is kept for a day or two.
    Hash([u8; 16]),
    /// The encoded request, of a result that is kept for good: whoever comes with another one can be told what differs.
    Whole(Bytes),
}

/// Everything that decisions about one entity change together.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The entity.
    pub entity: EntityId,
    /// From [`Loaded::fence`], or [`Entities::fence`] for an entity that is being created.
    pub fence: Fence,
    /// The version before it plus one. 1 creates the entity.
    pub version: u64,
    /// With version 1 a random number, then [`Head::incarnation`].
    pub incarnation: u64,
    /// Rows that change, and what they become: `None` is removed. Of a key that is there twice the last counts.
    pub rows: Vec<(RowKey, Option<Vec<u8>>)>,
    /// Rows of streams, in order. A stream that there is not, or a number behind the next one, refuses the commit.
    pub entries: Vec<Entry>,
    /// Single rows of streams that are removed, by stream and number; ones that there are not do nothing. Readers find a hole, and
    /// the number is not given again.
    pub dropped: Vec<(u8, u64)>,
    /// Streams whose oldest rows are kept no longer, and the oldest that is, as of the heads behind `entries`. Bounds behind
    /// those stored do nothing, bounds past the head mean everything. The rows themselves go with [`Entities::trim`].
    pub firsts: Vec<(u8, u64)>,
    /// Rows of lists that change, and what they become; as with `rows`.
    pub lists: Vec<(List, RowKey, Option<Vec<u8>>)>,
    /// Results of calls, each under its player and key. They outlive the entity.
    pub results: Vec<KeyedResult>,
    /// What it tells other entities, at most 65,536. Undelivered ones outlive it.
    pub signals: Vec<Signal>,
    /// What it has applied. A version behind the one stored for the same incarnation of the sender does nothing; another
    /// incarnation takes its place.
    pub applied: Option<Applied>,
    /// Ends the entity, now, in milliseconds since 1970. Its rows go with [`Entities::sweep`]; rows of lists have to be among
    /// `lists`.
    pub ends_at: Option<u64>,
}

impl Commit {
    /// A commit that changes nothing yet.
    pub const fn new(entity: EntityId, fence: Fence, version: u64, incarnation: u64) -> Self {
        Self {
            entity,
            fence,
            version,
            incarnation,
            rows: Vec::new(),
            entries: Vec::new(),
            dropped: Vec::new(),
            firsts: Vec::new(),
            lists: Vec::new(),
            results: Vec::new(),
            signals: Vec::new(),
            applied: None,
            ends_at: None,
        }
    }
}

/// A commit that takes further changes until the store carries it out: what is decided about an entity while its last commit waits for
/// the disk need not be one of its own. Clones are the same commit.
#[derive(Clone, Debug)]
pub struct OpenCommit(Arc<Mutex<Opened>>);

#[derive(Debug)]
struct Opened {
    commit: Commit,
    is_open: bool,
    /// Room for what was added.
    reservations: Vec<Reservation>,
}

impl From<Commit> for OpenCommit {
    fn from(commit: Commit) -> Self {
        Self(Arc::new(Mutex::new(Opened {
            commit,
            is_open: true,
            reservations: Vec::new(),
        })))
    }
}

impl OpenCommit {
    /// Has more put into the commit, for which this room is kept. Hands the room back when the store has begun with the commit:
    /// nothing was put then.
    ///
    /// # Errors
    /// The reservation.
    pub fn join(
        &self,
        reservation: Reservation,
        put: impl FnOnce(&mut Commit),
    ) -> Result<(), Reservation> {
        let mut opened = self.0.lock();
        if !opened.is_open {
            return Err(reservation);
        }
        put(&mut opened.commit);
        opened.reservations.push(reservation);
        Ok(())
    }

    /// What `look` sees in the commit as it is now.
    pub fn look<T>(&self, look: impl FnOnce(&Commit) -> T) -> T {
        look(&self.0.lock().commit)
    }

    /// Takes nothing more from now on. The room for what was added is to be given back where nothing is locked.
    pub(crate) fn close(&self) -> Vec<Reservation> {
        let mut opened = self.0.lock();
        opened.is_open = false;
        std::mem::take(&mut opened.reservations)
    }
}
