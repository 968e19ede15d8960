//! Seasons that are known to have scores, or to be about to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::BoardId;
use pitturu_rules::boards::{Definitions, SeasonOf};
use pitturu_store::clock::Steady;
use pitturu_store::entities::PAGE_ROWS_MAX;
use tokio::sync::OnceCell;

use crate::boards::store::BoardStore;

/// How far ahead of the clock a season may begin that has scores and counts as the running one: the clock has been set back. What is further
/// ahead was begun by a clock that was wrong.
const AHEAD_MS: u64 = 48 * 60 * 60 * 1_000;

/// One season, and when it was last asked to take something in this process.
struct Known {
    of: SeasonOf,
    asked: Option<Steady>,
}

#[derive(Default)]
struct OfBoard {
    /// Read from the store once.
    read: OnceCell<()>,
    /// In the order in which they begin.
    seasons: Mutex<BTreeMap<(u64, BoardId), Known>>,
}

/// The seasons in which a key may have served, and which of them is the running one.
///
/// A running season is never followed by one that began earlier: once a later one takes scores, a clock that is set back does not
/// bring the one before it back.
pub(super) struct KnownSeasons {
    store: BoardStore,
    definitions: Arc<Definitions>,
    boards: Mutex<HashMap<String, Arc<OfBoard>>>,
}

impl KnownSeasons {
    pub(super) fn new(store: BoardStore, definitions: Arc<Definitions>) -> Self {
        Self {
            store,
            definitions,
            boards: Mutex::default(),
        }
    }

    async fn of_board(&self, board: &str) -> Result<Arc<OfBoard>, Fault> {
        if self.definitions.get(board).is_none() {
            return Err(Fault::of(Code::BoardNotFound));
        }
        let found = self.boards.lock().get(board).cloned();
        let held = found
            .unwrap_or_else(|| Arc::clone(self.boards.lock().entry(board.to_owned()).or_default()));
        let read = async || -> Result<(), Fault> {
            let listed = self.store.seasons(board, None, PAGE_ROWS_MAX).await?;
            let mut seasons = held.seasons.lock();
            for listed in listed {
                let known = Known {
                    of: listed.of,
                    asked: None,
                };
                let at = (known.of.season.starts_at, known.of.id());
                seasons.entry(at).or_insert(known);
            }
            Ok(())
        };
        held.read.get_or_try_init(read).await?;
        Ok(held)
    }

    /// The season that takes scores now.
    ///
    /// # Errors
    /// [`Code::BoardNotFound`], and those of the store.
    pub(super) async fn running(&self, board: &str, now: u64) -> Result<SeasonOf, Fault> {
        let held = self.of_board(board).await?;
        let by_clock = self.definitions.season_at(board, now);
        let by_clock = by_clock.ok_or_else(|| Fault::of(Code::BoardNotFound))?;
        let seasons = held.seasons.lock();
        let begun = by_clock.season.starts_at + 1..=now.saturating_add(AHEAD_MS);
        let later = seasons.values().rev().map(|known| &known.of);
        let mut later = later.filter(|of| begun.contains(&of.season.starts_at));
        let later = later.find(|of| self.definitions.has(of)).cloned();
        Ok(later.unwrap_or(by_clock))
    }

    /// Notes that a season is about to be asked to take something.
    ///
    /// # Errors
    /// As [`Self::running`].
    pub(super) async fn note(&self, of: &SeasonOf, now: Steady) -> Result<(), Fault> {
        let held = self.of_board(&of.board).await?;
        let mut seasons = held.seasons.lock();
        let at = (of.season.starts_at, of.id());
        let known = seasons.entry(at).or_insert_with(|| Known {
            of: of.clone(),
            asked: None,
        });
        known.asked = Some(now);
        Ok(())
    }

    /// Other seasons of the leaderboard in which a key may have served that is kept for so long: those that have not ended longer ago,
    /// by the clock or by what this process has asked of them.
    ///
    /// # Errors
    /// As [`Self::running`].
    pub(super) async fn others(
        &self,
        of: &SeasonOf,
        (now, steady): (u64, Steady),
        kept_ms: u64,
    ) -> Result<Vec<SeasonOf>, Fault> {
        let held = self.of_board(&of.board).await?;
        let seasons = held.seasons.lock();
        let others = seasons.values().filter(|known| {
            let ends_at = known.of.season.ends_at.unwrap_or(u64::MAX);
            let asked = known.asked.is_some_and(|at| steady.since_ms(at) <= kept_ms);
            known.of.id() != of.id() && (asked || ends_at >= now.saturating_sub(kept_ms))
        });
        Ok(others.map(|known| known.of.clone()).collect())
    }
}
