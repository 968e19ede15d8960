//! When a season begins and ends.
//!
//! Local times become instants by the time-zone database that is compiled in: a server needs none of its own, and all nodes
//! of one build agree. A later version of the database may move resets that are still to come.

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::rules::{
    RESET_DATES_MAX, RESET_MONTHS_MAX, Reset, RulesError, RulesMistake, Weekday, range,
};

/// Milliseconds from 1970 to the year 9999. There is no reset from then on.
const LAST_RESET_MS: u64 = 253_370_764_800_000;

/// A season: the scores of a board from one reset to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    /// Its number: that of the season before it, and one.
    #[serde(rename = "n")]
    pub number: u64,
    /// Its first millisecond, since 1970.
    #[serde(rename = "f")]
    pub starts_at: u64,
    /// The first millisecond of the next one, since 1970; none if no reset follows.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
}

impl Season {
    /// Whether this instant, in milliseconds since 1970, is in the season.
    pub fn contains(&self, instant: u64) -> bool {
        self.starts_at <= instant && self.ends_at.is_none_or(|end| instant < end)
    }
}

/// The seasons of a board, from the first moment of 1970 on. Each instant is in exactly one.
///
/// Numbers follow from the rules of resets alone. If an operator changes those, the numbers of the new rules have nothing to
/// do with the old ones.
#[derive(Clone, Debug)]
pub struct Seasons {
    resets: Resets,
    at: Time,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum Resets {
    /// Every so many days, from a first date.
    Days {
        first: Date,
        days: i64,
        /// Days after `first` that the zone left out when it crossed the date line. Their seasons would be empty.
        left_out: Vec<i64>,
    },
    /// Every so many months, from a first date.
    Months { first: Date, months: i64 },
    /// At these instants.
    Instants(Vec<u64>),
}

impl Seasons {
    /// The seasons of these rules.
    pub fn new(reset: &Reset) -> Result<Self, RulesError> {
        match reset {
            Reset::Never {} => Ok(Self {
                resets: Resets::Instants(Vec::new()),
                at: Time::midnight(),
                zone: TimeZone::UTC,
            }),
            Reset::Day { at, zone } => Self::from_days(None, at, zone),
            Reset::Week { day, at, zone } => Self::from_days(Some(*day), at, zone),
            Reset::Months {
                months,
                from,
                at,
                zone,
            } => {
                range("reset.months", *months, 1..=RESET_MONTHS_MAX)?;
                let mut seasons = Self::without_resets(at, zone)?;
                let (first, _) = seasons.reset_of("reset.from", from)?;
                let months = i64::from(*months);
                seasons.resets = Resets::Months { first, months };
                Ok(seasons)
            }
            Reset::Dates { dates, at, zone } => {
                range(
                    "reset.dates",
                    dates.len() as u64,
                    1..=RESET_DATES_MAX as u64,
                )?;
                let mut seasons = Self::without_resets(at, zone)?;
                let mut instants = Vec::new();
                for date in dates {
                    let (_, instant) = seasons.reset_of("reset.dates", date)?;
                    if instants.last().is_some_and(|&last| last >= instant) {
                        let mistake = RulesMistake::Order(date.clone());
                        return Err(mistaken("reset.dates", mistake));
                    }
                    instants.push(instant);
                }
                seasons.resets = Resets::Instants(instants);
                Ok(seasons)
            }
        }
    }

    fn without_resets(at: &str, zone: &str) -> Result<Self, RulesError> {
        let zone_found = TimeZoneDatabase::bundled().get(zone);
        Ok(Self {
            resets: Resets::Instants(Vec::new()),
            at: time(at).ok_or_else(|| mistaken("reset.at", RulesMistake::Time(at.to_owned())))?,
            zone: zone_found
                .map_err(|_| mistaken("reset.zone", RulesMistake::Zone(zone.to_owned())))?,
        })
    }

    fn from_days(day: Option<Weekday>, at: &str, zone: &str) -> Result<Self, RulesError> {
        let mut seasons = Self::without_resets(at, zone)?;
        // The first moment of 1970 is on the day before in half of the world.
        let mut first = Date::constant(1969, 12, 31);
        let day = day.map(jiff_day);
        while day.is_some_and(|day| first.weekday() != day)
            || seasons.instant(first).is_none_or(|instant| instant == 0)
        {
            first = plus(first, Span::new().days(1)).expect("the year 1970 is not the last one");
        }
        seasons.resets = Resets::Days {
            first,
            days: if day.is_some() { 7 } else { 1 },
            left_out: if day.is_some() {
                Vec::new()
            } else {
                seasons.left_out(first)
            },
        };
        Ok(seasons)
    }

    /// The days, counted from `first`, that begin and end at the same moment.
    fn left_out(&self, first: Date) -> Vec<i64> {
        const DAY_SECONDS: i32 = 24 * 60 * 60;
        // No rule that goes on for ever moves a clock by a day: what did is listed, and past.
        let listed_until = Timestamp::constant(4_102_444_800, 0);
        let mut offset = self.zone.to_offset(Timestamp::UNIX_EPOCH);
        let mut left_out = Vec::new();
        let changes = self.zone.following(Timestamp::UNIX_EPOCH);
        for change in changes.take_while(|change| change.timestamp() < listed_until) {
            let forward = change.offset().seconds() - offset.seconds();
            offset = change.offset();
            if forward < DAY_SECONDS {
                continue;
            }
            let after = days_between(first, offset.to_datetime(change.timestamp()).date());
            left_out.extend((after - 2..=after).filter(|&day| {
                let begin = |day| self.instant(plus(first, days(day)?)?);
                day >= 0 && begin(day) == begin(day + 1)
            }));
        }
        left_out
    }

    /// The season with this instant, in milliseconds since 1970.
    pub fn at(&self, instant: u64) -> Season {
        let instant = instant.min(LAST_RESET_MS);
        let mut number = self.estimate(instant);
        while self.start(number).is_none_or(|start| start > instant) {
            number -= 1;
        }
        loop {
            let starts_at = self.start(number).expect("the loop before has found it");
            let ends_at = self.start(number + 1);
            if ends_at.is_none_or(|end| instant < end) {
                return Season {
                    number,
                    starts_at,
                    ends_at,
                };
            }
            number += 1;
        }
    }

    /// The season with this number, if there is one.
    pub fn numbered(&self, number: u64) -> Option<Season> {
        Some(Season {
            number,
            starts_at: self.start(number)?,
            ends_at: self.start(number.checked_add(1)?),
        })
    }

    /// When season `number` begins. Season 0 has begun with 1970.
    fn start(&self, number: u64) -> Option<u64> {
        let Some(resets) = number.checked_sub(1) else {
            return Some(0);
        };
        let resets = i64::try_from(resets).ok()?;
        match &self.resets {
            Resets::Days {
                first,
                days: of_season,
                left_out,
            } => {
                let mut day = resets.checked_mul(*of_season)?;
                for &left_out in left_out {
                    day += i64::from(left_out <= day);
                }
                self.instant(plus(*first, days(day)?)?)
            }
            Resets::Months { first, months } => {
                let months = resets.checked_mul(*months)?;
                self.instant(plus(*first, Span::new().try_months(months).ok()?)?)
            }
            Resets::Instants(instants) => instants.get(usize::try_from(resets).ok()?).copied(),
        }
    }

    /// A number that is at most one or two from that of the season with this instant.
    fn estimate(&self, instant: u64) -> u64 {
        let millis = i64::try_from(instant).expect("the year 9999 is not beyond i64");
        let at = Timestamp::from_millisecond(millis).expect("jiff knows the year 9999");
        let date = self.zone.to_datetime(at).date();
        let resets = match &self.resets {
            Resets::Days { first, days, .. } => days_between(*first, date).div_euclid(*days) + 1,
            Resets::Months { first, months } => {
                let month = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
                (month(date) - month(*first)).div_euclid(*months) + 1
            }
            Resets::Instants(instants) => {
                return instants.partition_point(|&reset| reset <= instant) as u64;
            }
        };
        u64::try_from(resets).unwrap_or(0)
    }

    /// The date in this text, and the instant of the reset then.
    fn reset_of(&self, field: &'static str, text: &str) -> Result<(Date, u64), RulesError> {
        let found = date(text).and_then(|date| {
            let instant = self.instant(date).filter(|_| date >= EARLIEST_DATE)?;
            Some((date, instant))
        });
        found.ok_or_else(|| mistaken(field, RulesMistake::Date(text.to_owned())))
    }

    /// When it is time for a reset on this date: 0 if that was before 1970, none if it is beyond what clocks can show.
    fn instant(&self, date: Date) -> Option<u64> {
        let local = date.to_datetime(self.at);
        let instant = self.zone.to_timestamp(local).ok()?.as_millisecond();
        let instant = u64::try_from(instant).unwrap_or(0);
        (instant < LAST_RESET_MS).then_some(instant)
    }
}

/// In no zone does the day begin before 1970.
const EARLIEST_DATE: Date = Date::constant(1970, 1, 2);

fn mistaken(field: &'static str, mistake: RulesMistake) -> RulesError {
    RulesError { field, mistake }
}

/// `HH:MM`, and nothing else that jiff would read.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    };
    Time::new(two(hour)?, two(minute)?, 0, 0).ok()
}

/// `YYYY-MM-DD`, and nothing else that jiff would read.
fn date(text: &str) -> Option<Date> {
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date.then(|| text.parse().ok())?
}

fn days(days: i64) -> Option<Span> {
    Span::new().try_days(days).ok()
}

fn plus(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

fn days_between(first: Date, date: Date) -> i64 {
    first.duration_until(date).as_hours() / 24
}

const fn jiff_day(day: Weekday) -> jiff::civil::Weekday {
    use jiff::civil::Weekday as Day;
    match day {
        Weekday::Monday => Day::Monday,
        Weekday::Tuesday => Day::Tuesday,
        Weekday::Wednesday => Day::Wednesday,
        Weekday::Thursday => Day::Thursday,
        Weekday::Friday => Day::Friday,
        Weekday::Saturday => Day::Saturday,
        Weekday::Sunday => Day::Sunday,
    }
}
