//! The entity that keeps reports. There is one, so that each report has a number, and two of the staff do not settle it both.
//!
//! | row | |
//! |---|---|
//! | `h` | the number of the newest report |
//! | `o` number (newest first) | a report that nobody has settled |
//! | `s` number (newest first) | one that somebody has |
//! | `u` player, number (newest first) | that a report is about this player |

mod live_reports;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::reports::{Report, ReportOutcome};
use pitturu_rules::reports::OpenReports;
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Entities, EntityId, Kind, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
};
use serde::de::DeserializeOwned;

pub use self::live_reports::LiveReports;
use super::Environment;
use super::store::PlayerStore;
use crate::connections::address::Address;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering::{Answered, Loaded};
use crate::owners::journal::Journal;
use crate::owners::keys::of_this_request;

/// Reports among the kinds of entities.
pub const REPORTS: Kind = Kind(8);

/// The row of the newest number.
const NEWEST: &[u8] = b"h";

/// Rows of reports that nobody has settled.
const OPEN: &[u8] = b"o";

/// Rows of reports that are settled.
const SETTLED: &[u8] = b"s";

/// Rows that lead to the reports about a player.
const ABOUT: &[u8] = b"u";

/// The id of the one entity of its kind.
const ID: UserId = UserId::from_bytes([0; ID_BYTES]);

/// The reports among entities.
pub fn entity() -> EntityId {
    EntityId::new(REPORTS, ID)
}

/// A key that puts the newest first.
fn key(family: &[u8], number: u64) -> RowKey {
    [family, &(u64::MAX - number).to_be_bytes()].concat()
}

fn about_key(user: UserId, number: u64) -> RowKey {
    key(&[ABOUT, user.as_bytes()].concat(), number)
}

fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    let left = key.last_chunk().copied().map(u64::from_be_bytes);
    let number = left.map(|left| u64::MAX - left);
    number.ok_or_else(|| StoreError::damaged("a key of reports is none"))
}

fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, StoreError> {
    codec::decode(row).map_err(|error| StoreError::damaged(format!("reports: {error}")))
}

/// What is asked of the reports.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Take a report, which has no number yet. Answers the number, a `u64`.
    Add(Box<Report>),
    /// Forget a player whose account is erased; these reports of or about them are settled. Answers `()`.
    ErasePlayer(UserId, Vec<Report>),
    /// Have one of the staff look after a report. Answers the `Report`.
    Take(u64, UserId),
    /// Note what came of a report, by a call of this one of the staff from there. Answers the `Report`.
    Settle {
        /// The report.
        number: u64,
        /// What came of it, and more in words.
        how: (ReportOutcome, Option<String>),
        /// Who says so.
        by: (UserId, Address),
    },
}

async fn load(entities: Arc<dyn Entities>) -> Result<Loaded<OpenReports>, StoreError> {
    // Before the read: a failure in between makes the fence old, not the state.
    let fence = entities.fence();
    let parts = vec![
        Part::Rows(RowRange::prefix(NEWEST)),
        Part::Rows(RowRange::prefix(OPEN)),
    ];
    let Some(loaded) = entities.load(entity(), parts).await? else {
        return Ok(Loaded {
            journal: Journal::begin(entity(), fence),
            state: OpenReports::default(),
            undelivered: Vec::new(),
        });
    };
    let [LoadedPart::Rows(newest), LoadedPart::Rows(open)] = loaded.parts.as_slice() else {
        return Err(StoreError::damaged("reports were loaded in other parts"));
    };
    // Reports that are numbered anew would take the places of older ones.
    let Some((_, newest)) = newest.first() else {
        return Err(StoreError::damaged("reports have no newest number"));
    };
    let open = open.iter().map(|(_, row)| decode(row));
    let open = open.collect::<Result<Vec<Report>, _>>()?;
    Ok(Loaded {
        journal: Journal::of(entity(), &loaded),
        state: OpenReports::load(decode(newest)?, open),
        undelivered: loaded.undelivered,
    })
}

/// The owner of the reports.
pub type ReportsOwner = Owners<LiveReports>;

/// Starts the owner, whose task runs on one of these I/O threads.
pub fn start(io_threads: &IoThreads, environment: &Environment) -> ReportsOwner {
    let owner = ReportsOwner::start(io_threads, 1, environment);
    owner.route(&environment.routes);
    owner
}

impl ReportsOwner {
    /// Forgets a player whose account is erased; these reports of or about them are settled.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase_player(
        &self,
        user: UserId,
        settled: Vec<Report>,
        now: u64,
    ) -> Result<(), Fault> {
        let ask = Ask::ErasePlayer(user, settled);
        self.ask_under(ID, ask, None, now).await.map(drop)
    }

    /// Has the reports decide something under the key of the call, which belongs to the caller.
    ///
    /// # Errors
    /// Those of the rules and of the store.
    pub async fn decide<T: DeserializeOwned>(&self, caller: &Caller, ask: Ask) -> Result<T, Fault> {
        let by = caller.user()?;
        let key = caller.key.clone().map(|key| (by, key));
        let Answered { body, .. } = self.ask_under(ID, ask, key, caller.now).await?;
        codec::decode(&body).map_err(|_| Fault::of(Code::Internal))
    }
}

impl PlayerStore {
    /// What a call under this key of `by`'s was answered by the reports, if it is stored.
    ///
    /// # Errors
    /// `KeyReused` when that was another request; those of the store.
    pub async fn reported_before(
        &self,
        by: UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<u64>, Fault> {
        let found = self.entities().recall(entity(), by, &key.key).await?;
        let body = of_this_request(found, key)?;
        let number = body.map(|body| codec::decode(&body)).transpose();
        number.map_err(|_| Fault::of(Code::Internal))
    }

    /// Reports before this number that are settled, or those that are not, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reports(
        &self,
        are_settled: bool,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Report>, StoreError> {
        let family = if are_settled { SETTLED } else { OPEN };
        let range = RowRange::prefix(family).after(before.map(|before| key(family, before)));
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities().rows(entity(), range, bounds).await?;
        rows.iter().map(|(_, row)| decode(row)).collect()
    }

    /// The settled report of this number.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn settled_report(&self, number: u64) -> Result<Option<Report>, StoreError> {
        let row = (entity(), key(SETTLED, number));
        let found = self.entities().rows_of(vec![row]).await?.pop().flatten();
        found.map(|row| decode(&row)).transpose()
    }

    /// Reports about a player before this number, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reports_about(
        &self,
        user: UserId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Report>, StoreError> {
        let prefix = [ABOUT, user.as_bytes()].concat();
        let range = RowRange::prefix(prefix).after(before.map(|before| about_key(user, before)));
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities().rows(entity(), range, bounds).await?;
        let numbers = rows.iter().map(|(key, _): &Row| number_of(key));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        // It is under one of the two, and may move from the first to the second in between.
        let wanted = |number: u64| [key(OPEN, number), key(SETTLED, number)];
        let wanted = numbers.into_iter().flat_map(wanted);
        let wanted = wanted.map(|key| (entity(), key)).collect();
        let rows = self.entities().rows_of(wanted).await?;
        rows.iter().flatten().map(|row| decode(row)).collect()
    }
}
