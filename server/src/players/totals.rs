//! The entity that keeps what the books of all players had at the end of each day. There is one, so that each day is kept once: of
//! two that add up the same day, one is first.

mod live_totals;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_rules::points::{RecordedDays, Totals};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Entities, EntityId, Kind, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
};

pub use self::live_totals::LiveTotals;
use super::Environment;
use super::store::PlayerStore;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering::{Answered, Loaded};
use crate::owners::journal::Journal;

/// Totals of days among the kinds of entities.
pub const TOTALS: Kind = Kind(6);

/// Rows of days: what is left to the last possible day, so that the newest come first.
const DAYS: &[u8] = b"d";

/// The id of the one entity of its kind.
const ID: UserId = UserId::from_bytes([0; ID_BYTES]);

/// The totals among entities.
pub fn entity() -> EntityId {
    EntityId::new(TOTALS, ID)
}

fn day_key(day: u32) -> RowKey {
    [DAYS, &(u32::MAX - day).to_be_bytes()].concat()
}

fn day_of(key: &[u8]) -> Result<u32, StoreError> {
    let left = key.last_chunk().copied().map(u32::from_be_bytes);
    let day = left.map(|left| u32::MAX - left);
    day.ok_or_else(|| StoreError::damaged("a key of totals is none"))
}

/// Keeps what was found of a day. Answers a `bool`, whether it was the first to be found.
#[derive(Debug)]
pub struct Record {
    /// The day, since 1970.
    pub day: u32,
    /// What all players had at its end.
    pub totals: Box<Totals>,
}

async fn load(entities: Arc<dyn Entities>) -> Result<Loaded<RecordedDays>, StoreError> {
    // Before the read: a failure in between makes the fence old, not the state.
    let fence = entities.fence();
    let parts = vec![Part::Rows(RowRange::prefix(DAYS))];
    let Some(loaded) = entities.load(entity(), parts).await? else {
        return Ok(Loaded {
            journal: Journal::begin(entity(), fence),
            state: RecordedDays::default(),
            undelivered: Vec::new(),
        });
    };
    let rows = match loaded.parts.as_slice() {
        [LoadedPart::Rows(rows)] => rows.as_slice(),
        _ => return Err(StoreError::damaged("totals were loaded in other parts")),
    };
    let days = rows.iter().map(|(key, _)| day_of(key));
    Ok(Loaded {
        journal: Journal::of(entity(), &loaded),
        state: RecordedDays::load(days.collect::<Result<Vec<_>, _>>()?),
        undelivered: loaded.undelivered,
    })
}

/// The owner of the totals.
pub type TotalsOwner = Owners<LiveTotals>;

/// Starts the owner, whose task runs on one of these I/O threads.
pub fn start(io_threads: &IoThreads, environment: &Environment) -> TotalsOwner {
    let owner = TotalsOwner::start(io_threads, 1, environment);
    owner.route(&environment.routes);
    owner
}

impl TotalsOwner {
    /// Keeps what was found of a day, if nothing is kept of it yet. Whether it was kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn record(&self, day: u32, totals: Totals, now: u64) -> Result<bool, Fault> {
        let totals = Box::new(totals);
        let ask = Record { day, totals };
        let Answered { body, .. } = self.ask_under(ID, ask, None, now).await?;
        codec::decode(&body).map_err(|_| Fault::of(Code::Internal))
    }
}

impl PlayerStore {
    /// What is kept of days before this one, or of all, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn points_totals(
        &self,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<(u32, Totals)>, StoreError> {
        let range = RowRange::prefix(DAYS).after(before.map(day_key));
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities().rows(entity(), range, bounds).await?;
        let day = |(key, row): &Row| {
            let totals = codec::decode(row);
            let totals = totals.map_err(|error| StoreError::damaged(format!("totals: {error}")));
            Ok((day_of(key)?, totals?))
        };
        rows.iter().map(day).collect()
    }
}
