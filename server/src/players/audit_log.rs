//! The entity that keeps the audit log. There is one, so that its entries have one order and each holds the digest of the one before.
//!
//! Whoever decides something that belongs there tells it by a [`signal`] in the same commit: the entry is there if and only if it
//! happened, a moment later at most. Only what no entity decides, a lock-out, is noted by [`AuditLogOwner::note`].
//!
//! | row | |
//! |---|---|
//! | `h` | where the log stands |
//! | `e` number | an entry, with its digest |
//! | `d` number | its details, which may be erased |
//! | `u` player, number (newest first) | that the entry is about this player, or about what they did |

mod live_audit_log;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::audit_log::{AuditDetails, AuditEntry, AuditRecord};
use pitturu_rules::audit_log::{AuditSignal, Head, Note};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Entities, EntityId, Kind, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
    Signal,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::live_audit_log::LiveAuditLog;
use super::Environment;
use super::store::PlayerStore;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering::Loaded;
use crate::owners::journal::Journal;

/// The audit log among the kinds of entities.
pub const AUDIT_LOG: Kind = Kind(7);

/// The row that says where the log stands.
const HEAD: &[u8] = b"h";

/// Rows of entries: number.
const ENTRIES: &[u8] = b"e";

/// Rows of details: number.
const DETAILS: &[u8] = b"d";

/// Rows that lead to the entries about a player: player, what is left to the last possible number.
const ABOUT: &[u8] = b"u";

/// The id of the one entity of its kind.
const ID: UserId = UserId::from_bytes([0; ID_BYTES]);

/// The audit log among entities.
pub fn entity() -> EntityId {
    EntityId::new(AUDIT_LOG, ID)
}

/// What is asked of the audit log.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Note something that no entity has decided.
    Note(Box<Note>),
    /// Erase the details of these entries.
    Erase(Vec<u64>),
}

/// What another entity's commit tells the audit log.
pub fn signal(note: Note) -> Signal {
    Signal {
        to: entity(),
        body: codec::encode(&AuditSignal::Noted(Box::new(note))),
    }
}

fn entry_key(number: u64) -> RowKey {
    [ENTRIES, &number.to_be_bytes()].concat()
}

fn details_key(number: u64) -> RowKey {
    [DETAILS, &number.to_be_bytes()].concat()
}

fn about_key(user: UserId, number: u64) -> RowKey {
    let left = u64::MAX - number;
    [ABOUT, user.as_bytes(), &left.to_be_bytes()].concat()
}

/// An entry as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct EntryRow {
    #[serde(rename = "e")]
    entry: AuditEntry,
    #[serde(rename = "d")]
    digest: String,
}

/// The rows of a new entry, as changes of a commit.
fn rows_of(record: AuditRecord) -> Vec<(RowKey, Option<Vec<u8>>)> {
    let AuditRecord {
        entry,
        digest,
        details,
    } = record;
    let number = entry.number;
    let mut rows = Vec::with_capacity(4);
    let (user, by) = (entry.user, entry.by.filter(|by| Some(*by) != entry.user));
    let about = user.into_iter().chain(by);
    rows.extend(about.map(|user| (about_key(user, number), Some(Vec::new()))));
    let details = details.map(|details| (details_key(number), Some(codec::encode(&details))));
    rows.extend(details);
    let row = EntryRow { entry, digest };
    rows.push((entry_key(number), Some(codec::encode(&row))));
    rows
}

fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    let number = key.last_chunk().copied().map(u64::from_be_bytes);
    number.ok_or_else(|| StoreError::damaged("a key of the audit log is none"))
}

fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, StoreError> {
    codec::decode(row).map_err(|error| StoreError::damaged(format!("audit log: {error}")))
}

async fn load(entities: Arc<dyn Entities>) -> Result<Loaded<Head>, StoreError> {
    // Before the read: a failure in between makes the fence old, not the state.
    let fence = entities.fence();
    let parts = vec![Part::Rows(RowRange::prefix(HEAD))];
    let Some(loaded) = entities.load(entity(), parts).await? else {
        return Ok(Loaded {
            journal: Journal::begin(entity(), fence),
            state: Head::default(),
            undelivered: Vec::new(),
        });
    };
    let rows = match loaded.parts.as_slice() {
        [LoadedPart::Rows(rows)] => rows.as_slice(),
        _ => return Err(StoreError::damaged("the audit log came in other parts")),
    };
    // A log that goes on without its head would number its entries anew.
    let Some((_, head)) = rows.first() else {
        return Err(StoreError::damaged("the audit log has no head"));
    };
    Ok(Loaded {
        journal: Journal::of(entity(), &loaded),
        state: decode(head)?,
        undelivered: loaded.undelivered,
    })
}

/// The owner of the audit log.
pub type AuditLogOwner = Owners<LiveAuditLog>;

/// Starts the owner, whose task runs on one of these I/O threads.
pub fn start(io_threads: &IoThreads, environment: &Environment) -> AuditLogOwner {
    let owner = AuditLogOwner::start(io_threads, 1, environment);
    owner.route(&environment.routes);
    owner
}

impl AuditLogOwner {
    /// Notes something that no entity has decided.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note(&self, note: Note) -> Result<(), Fault> {
        let now = note.at;
        let ask = Ask::Note(Box::new(note));
        self.ask_under(ID, ask, None, now).await.map(drop)
    }

    /// Erases the details of these entries: the reason, and the address.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase(&self, numbers: Vec<u64>, now: u64) -> Result<(), Fault> {
        let ask = Ask::Erase(numbers);
        self.ask_under(ID, ask, None, now).await.map(drop)
    }
}

impl PlayerStore {
    /// Entries before this number, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit_log(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let newest = match self.audit_head().await? {
            Some(head) => head.number,
            None => return Ok(Vec::new()),
        };
        let newest = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
        let numbers = (1..=newest).rev().take(limit.min(PAGE_ROWS_MAX));
        self.audit_records(numbers.collect()).await
    }

    /// Entries before this number that are about a player, or about what they did, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit_log_about(
        &self,
        user: UserId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let prefix = [ABOUT, user.as_bytes()].concat();
        let range = RowRange::prefix(prefix).after(before.map(|before| about_key(user, before)));
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities().rows(entity(), range, bounds).await?;
        let number = |(key, _): &Row| number_of(key).map(|left| u64::MAX - left);
        let numbers = rows.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        self.audit_records(numbers).await
    }

    /// Where the log stands; nothing if nothing was ever noted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        let wanted = vec![(entity(), HEAD.to_vec())];
        let rows = self.entities().rows_of(wanted).await?;
        let head = rows.into_iter().flatten().next();
        head.map(|head| decode(&head)).transpose()
    }

    /// Entries behind this number in their order, as they are stored: the log is to be checked, so nothing is assumed of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit_log_after(&self, after: u64) -> Result<Vec<AuditRecord>, StoreError> {
        let range = RowRange::prefix(ENTRIES).after(Some(entry_key(after)));
        let bounds = Bounds::rows(PAGE_ROWS_MAX);
        let rows = self.entities().rows(entity(), range, bounds).await?;
        let numbers = rows.iter().map(|(key, _)| number_of(key));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        self.audit_records(numbers).await
    }

    /// These entries, as far as they are there.
    async fn audit_records(&self, numbers: Vec<u64>) -> Result<Vec<AuditRecord>, StoreError> {
        let wanted = |number: u64| [entry_key(number), details_key(number)];
        let wanted = numbers.into_iter().flat_map(wanted);
        let wanted = wanted.map(|key| (entity(), key)).collect();
        let rows = self.entities().rows_of(wanted).await?;
        let mut records = Vec::with_capacity(rows.len() / 2);
        for pair in rows.chunks(2) {
            let [Some(entry), details] = pair else {
                continue;
            };
            let EntryRow { entry, digest } = decode(entry)?;
            let details = details
                .as_ref()
                .map(|details| decode::<AuditDetails>(details));
            records.push(AuditRecord {
                entry,
                digest,
                details: details.transpose()?,
            });
        }
        Ok(records)
    }
}
