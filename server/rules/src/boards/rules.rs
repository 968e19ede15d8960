//! What an operator writes about a leaderboard.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::seasons::Seasons;

/// Most players of a season, unless the operator says otherwise: about 380 MB of memory.
pub const ENTRIES_MAX_DEFAULT: u32 = 10_000_000;

/// Seasons that have ended and are kept, unless the operator says otherwise.
pub const SEASONS_KEPT_DEFAULT: u32 = 12;

/// Most seasons that have ended and are kept.
pub const SEASONS_KEPT_MAX: u32 = 1_000;

/// Most players who find their place in their inbox.
pub const PLACES_TOLD_MAX: u32 = 10_000;

/// Most months from one reset to the next.
pub const RESET_MONTHS_MAX: u32 = 120;

/// Most dates at which a board is reset.
pub const RESET_DATES_MAX: usize = 1_000;

/// The rules of one leaderboard, in all its seasons.
///
/// ```toml
/// operator = "best"
/// direction = "higher"
/// reset = { every = "week", day = "monday", at = "05:00", zone = "Asia/Seoul" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardRules {
    /// What a submitted score does to the one that is there.
    pub operator: Operator,
    /// Which scores are better.
    #[serde(default)]
    pub direction: Direction,
    /// When a season ends and the next one begins.
    #[serde(default)]
    pub reset: Reset,
    /// Most players of a season, 1 to 2^31; the score of another one is refused.
    #[serde(default = "entries_max_default")]
    pub entries_max: u32,
    /// Seasons that have ended and are kept, 0 to [`SEASONS_KEPT_MAX`]; older ones are removed.
    #[serde(default = "seasons_kept_default")]
    pub seasons_kept: u32,
    /// How many of the best find their place in their inbox when a season has ended, 0 to [`PLACES_TOLD_MAX`].
    #[serde(default)]
    pub places_told: u32,
}

const fn seasons_kept_default() -> u32 {
    SEASONS_KEPT_DEFAULT
}

const fn entries_max_default() -> u32 {
    ENTRIES_MAX_DEFAULT
}

/// What a submitted score does to the player's score of the season.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The better one stays.
    Best,
    /// The submitted one stays.
    Latest,
    /// They are added.
    Sum,
}

/// Which scores are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Higher ones: points.
    #[default]
    Higher,
    /// Lower ones: times.
    Lower,
}

impl Direction {
    /// Whether `score` is better than `other`.
    pub const fn is_better(self, score: i64, other: i64) -> bool {
        match self {
            Self::Higher => score > other,
            Self::Lower => score < other,
        }
    }
}

/// When a season ends and the next one begins.
///
/// `at` is a time of day, `HH:MM`, on the clocks of `zone`, a name of the time-zone database such as `Asia/Seoul`. Where
/// clocks are put forward past it, the reset is as much later as they are put forward; where they are put back and show it
/// twice, it is the first time. A reset at midnight is at midnight, whether the day before had 23, 24 or 25 hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "every", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reset {
    /// Never: there is one season, number 0. Without braces, serde would pass over fields that are not there.
    Never {},
    /// Each day. The season of the first moment of 1970 in UTC has number 0.
    Day {
        /// Time of day.
        at: String,
        /// Time zone.
        zone: String,
    },
    /// Each week. The season of the first moment of 1970 in UTC has number 0.
    Week {
        /// Day of the week.
        day: Weekday,
        /// Time of day.
        at: String,
        /// Time zone.
        zone: String,
    },
    /// Every so many months. Season 1 begins at the date `from`, season 0 is before.
    Months {
        /// How many, 1 to [`RESET_MONTHS_MAX`].
        months: u32,
        /// First reset, `YYYY-MM-DD`, 1970-01-02 or later. Its day is that of all; in a month that is too short, the last.
        from: String,
        /// Time of day.
        at: String,
        /// Time zone.
        zone: String,
    },
    /// At these dates. Season 1 begins at the first, season 0 is before; that of the last does not end.
    Dates {
        /// `YYYY-MM-DD`, 1970-01-02 or later, in ascending order; at most [`RESET_DATES_MAX`].
        dates: Vec<String>,
        /// Time of day.
        at: String,
        /// Time zone.
        zone: String,
    },
}

impl Default for Reset {
    fn default() -> Self {
        Self::Never {}
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A field of [`BoardRules`] that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {mistake}")]
pub struct RulesError {
    /// The field, with a dot before those of `reset`.
    pub field: &'static str,
    /// What is wrong with it.
    pub mistake: RulesMistake,
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesMistake {
    /// No time of day.
    #[error("{0:?} is no time of day such as 05:00")]
    Time(String),
    /// No date, or before the second day of 1970.
    #[error("{0:?} is no date such as 2026-01-31, from 1970-01-02 on")]
    Date(String),
    /// No time zone.
    #[error("{0:?} is no time zone such as Asia/Seoul")]
    Zone(String),
    /// A date that is not after the one before it.
    #[error("{0:?} is not after the date before it")]
    Order(String),
    /// A number outside its range.
    #[error("{value} is not within {least} to {most}")]
    Range {
        /// What it is.
        value: u64,
        /// The least that it may be.
        least: u64,
        /// The greatest that it may be.
        most: u64,
    },
}

impl BoardRules {
    /// The rules of a file that says no more than the operator.
    pub const fn of(operator: Operator) -> Self {
        Self {
            operator,
            direction: Direction::Higher,
            reset: Reset::Never {},
            entries_max: ENTRIES_MAX_DEFAULT,
            seasons_kept: SEASONS_KEPT_DEFAULT,
            places_told: 0,
        }
    }

    /// The seasons of these rules, if they can be followed.
    pub fn check(&self) -> Result<Seasons, RulesError> {
        const SLOTS: u32 = 1 << 31;
        range("entries_max", self.entries_max, 1..=SLOTS)?;
        range("seasons_kept", self.seasons_kept, 0..=SEASONS_KEPT_MAX)?;
        range("places_told", self.places_told, 0..=PLACES_TOLD_MAX)?;
        Seasons::new(&self.reset)
    }
}

/// Refuses a number that is not within its range.
pub(super) fn range<N: Copy + Into<u64>>(
    field: &'static str,
    value: N,
    within: RangeInclusive<N>,
) -> Result<(), RulesError> {
    let (value, least, most) = (
        value.into(),
        (*within.start()).into(),
        (*within.end()).into(),
    );
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let mistake = RulesMistake::Range { value, least, most };
    Err(RulesError { field, mistake })
}
