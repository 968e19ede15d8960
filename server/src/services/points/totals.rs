//! What the books of all players had at the end of a day: added up once, soon after it, and kept.
//!
//! A player's books tell days apart by themselves: the row of a day has the books as it began. So a pass that runs while points
//! move, or later, finds the same: books of a player whose newest movement is of the day or before it are those of that movement, of
//! any other those with which the first day after it began.

use std::time::Duration;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_rules::points::wallet::DAY_MS;
use pitturu_rules::points::{Books, Totals};
use pitturu_store::StoreError;
use pitturu_store::clock::removal_ms;
use pitturu_store::entities::PAGE_ROWS_MAX;
use tokio::time::{Instant, MissedTickBehavior};

use crate::players::store::PlayerStore;
use crate::players::totals::TotalsOwner;

/// How often the task looks whether a day is over that was not added up.
const EVERY: Duration = Duration::from_secs(60);

/// How long after the start, when everybody comes back.
const AFTER_START: Duration = Duration::from_secs(60);

/// How long after midnight a day is added up at the earliest, in milliseconds: movements that were called for before it are on disk.
const SETTLED_MS: u64 = 5 * 60 * 1_000;

/// Days without totals that are made up for; those before them stay without.
const MADE_UP_MAX: u32 = 31;

/// Pause between two pages of wallets, so that a pass over many takes little of the store's time.
const PAUSE: Duration = Duration::from_millis(20);

/// Adds up days and keeps them.
#[derive(Clone)]
pub struct DailyTotals {
    players: PlayerStore,
    owner: TotalsOwner,
}

/// A player's books at the end of a day.
enum Ending {
    /// Just so.
    Exact(Books),
    /// The newest: a clock was ahead, and they don't tell the days since then apart.
    Ahead(Books),
}

impl DailyTotals {
    /// Of these players, kept at this owner.
    pub const fn new(players: PlayerStore, owner: TotalsOwner) -> Self {
        Self { players, owner }
    }

    /// Adds up each day once it is over, until the process ends.
    pub async fn run(self) {
        let mut tick = tokio::time::interval_at(Instant::now() + AFTER_START, EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // A clock that jumps ahead ends no day.
            if let Err(fault) = self.record_due(removal_ms()).await {
                tracing::warn!(%fault, "days of points are added up at the next turn");
            }
        }
    }

    /// Adds up the days that are over at this moment, in milliseconds since 1970, and are not kept yet: those since the newest that
    /// is, 31 at most; without any the last one. How many it has kept.
    ///
    /// # Errors
    /// Those of the store. What was kept before stays.
    pub async fn record_due(&self, now: u64) -> Result<u32, Fault> {
        let settled = u32::try_from(now.saturating_sub(SETTLED_MS) / DAY_MS).unwrap_or(u32::MAX);
        let Some(last) = settled.checked_sub(1) else {
            return Ok(0);
        };
        let newest = self.players.points_totals(Some(settled), 1).await?;
        let first = match newest.first() {
            Some((newest, _)) => (newest + 1).max(settled.saturating_sub(MADE_UP_MAX)),
            None => last,
        };
        let mut kept = 0;
        for day in first..=last {
            let totals = self.totals_of(day, now / DAY_MS).await?;
            if self.owner.record(day, totals, now).await? {
                kept += 1;
                tracing::info!(day, "the points of a day are added up");
            }
        }
        Ok(kept)
    }

    /// Adds up the books of all players as they were at the end of a day.
    async fn totals_of(&self, day: u32, today: u64) -> Result<Totals, StoreError> {
        let mut totals = Totals::default();
        let mut after = None;
        loop {
            let users = self.players.wallets(after, PAGE_ROWS_MAX).await?;
            for user in &users {
                match self.ending(*user, u64::from(day), today).await {
                    Ok(Ending::Exact(books)) => totals.add(&books),
                    Ok(Ending::Ahead(books)) => totals.add_ahead(&books),
                    Err(error @ StoreError::Damaged(_)) => {
                        tracing::error!(%user, %error, "a day of points lacks a player");
                        totals.add_unread();
                    }
                    Err(error) => return Err(error),
                }
            }
            match users.last() {
                Some(last) => after = Some(*last),
                None => return Ok(totals),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A player's books at the end of a day before `today`.
    async fn ending(&self, user: UserId, day: u64, today: u64) -> Result<Ending, StoreError> {
        // In this order: a movement that comes between the two reads shows in the second one if it is of a later day.
        let newest = self.players.newest_movement(user).await?;
        let last = self.players.last_points_day(user).await?;
        let (Some((_, newest)), Some((last, opening))) = (newest, last) else {
            return Err(StoreError::damaged("a wallet lacks its last line or day"));
        };
        if last <= day {
            return Ok(Ending::Exact(newest.books));
        }
        // The day may turn while the pass runs.
        for next in day + 1..=today + 1 {
            if next == last {
                return Ok(Ending::Exact(opening));
            }
            if let Some(row) = self.players.points_day(next, user).await? {
                return Ok(Ending::Exact(row.opening));
            }
        }
        Ok(Ending::Ahead(newest.books))
    }
}
