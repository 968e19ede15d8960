//! Seasons against calendars and clocks that are written down here.

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use crate::boards::{Reset, Season, Seasons, Weekday};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

const ZONES: [&str; 5] = [
    "Asia/Seoul",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "UTC",
];

/// Days from 1970 to a date, by counting them.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let of_years: u64 = (1970..year).map(|year| 365 + u64::from(leap(year))).sum();
    let of_months: u64 = (1..month)
        .map(|month| match month {
            2 => 28 + u64::from(leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        })
        .sum();
    of_years + of_months + day - 1
}

/// The instant of a date and time in UTC.
fn utc(year: u64, month: u64, day: u64, hour: u64, minute: u64) -> u64 {
    days(year, month, day) * DAY + hour * HOUR + minute * 60_000
}

pub(super) fn daily(at: &str, zone: &str) -> Reset {
    Reset::Day {
        at: at.to_owned(),
        zone: zone.to_owned(),
    }
}

pub(super) fn weekly(day: Weekday, at: &str, zone: &str) -> Reset {
    Reset::Week {
        day,
        at: at.to_owned(),
        zone: zone.to_owned(),
    }
}

pub(super) fn months(months: u32, from: &str, at: &str, zone: &str) -> Reset {
    Reset::Months {
        months,
        from: from.to_owned(),
        at: at.to_owned(),
        zone: zone.to_owned(),
    }
}

pub(super) fn dates(dates: &[&str], at: &str, zone: &str) -> Reset {
    Reset::Dates {
        dates: dates.iter().map(|&date| date.to_owned()).collect(),
        at: at.to_owned(),
        zone: zone.to_owned(),
    }
}

fn seasons(reset: &Reset) -> Seasons {
    Seasons::new(reset).unwrap()
}

/// Whether a season holds its instants, and adjoins its neighbours.
fn check(seasons: &Seasons, season: Season) {
    assert!(season.ends_at.is_none_or(|end| season.starts_at < end));
    assert!(season.contains(season.starts_at));
    assert_eq!(seasons.at(season.starts_at), season);
    assert_eq!(seasons.numbered(season.number), Some(season));
    match season.ends_at {
        Some(end) => {
            assert!(season.contains(end - 1) && !season.contains(end));
            assert_eq!(seasons.at(end - 1), season);
            let next = seasons.at(end);
            assert_eq!((next.number, next.starts_at), (season.number + 1, end));
        }
        None => assert_eq!(seasons.numbered(season.number + 1), None),
    }
    match season.starts_at.checked_sub(1) {
        Some(last) => {
            assert!(!season.contains(last));
            let before = seasons.at(last);
            assert_eq!(before.number + 1, season.number);
            assert_eq!(before.ends_at, Some(season.starts_at));
        }
        None => assert_eq!(season.number, 0),
    }
}

/// All seasons from one instant to another; each follows from the end of the one before it.
fn walk(seasons: &Seasons, from: u64, to: u64) -> Vec<Season> {
    let mut all = vec![seasons.at(from)];
    while let Some(end) = all.last().unwrap().ends_at.filter(|&end| end <= to) {
        all.push(seasons.at(end));
    }
    all
}

#[test]
fn seasons_tile_thirty_years() {
    let (from, to) = (utc(2007, 1, 1, 0, 0), utc(2037, 1, 1, 0, 0));
    for zone in ZONES {
        for at in ["00:00", "01:30", "02:15", "23:59"] {
            for (reset, length, least) in [
                (daily(at, zone), DAY, 10_950),
                (weekly(Weekday::Sunday, at, zone), 7 * DAY, 1_560),
            ] {
                let seasons = seasons(&reset);
                let all = walk(&seasons, from, to);
                assert!(all.len() > least);
                for &season in &all {
                    check(&seasons, season);
                    let lasts = season.ends_at.unwrap() - season.starts_at;
                    assert!(
                        (length - HOUR..=length + HOUR).contains(&lasts),
                        "{season:?}"
                    );
                }
            }
            let monthly = seasons(&months(1, "2007-01-31", at, zone));
            let all = walk(&monthly, from, to);
            // The last reset of 2036 is in 2037 by UTC where the clocks are behind.
            assert!((360..=361).contains(&all.len()));
            for season in all {
                check(&monthly, season);
            }
        }
    }
}

/// A day of the month by its week, as clocks are put forward and back in New York since 2007.
fn nth_sunday(year: u64, month: u64, nth: u64) -> u64 {
    // 1970 began on a Thursday: day 3 was a Sunday.
    let first = days(year, month, 1);
    first + (3 + 7 * first - first) % 7 + 7 * (nth - 1)
}

#[test]
fn midnights_of_new_york_and_seoul_are_those_of_their_laws() {
    let new_york = seasons(&daily("00:00", "America/New_York"));
    let seoul = seasons(&daily("00:00", "Asia/Seoul"));
    let (mut short, mut long) = (0, 0);
    for year in 2008..2038 {
        let summer = nth_sunday(year, 3, 2);
        let winter = nth_sunday(year, 11, 1);
        for day in days(year, 1, 1)..days(year + 1, 1, 1) {
            // At midnight of the day itself the clocks still show what they did the day before.
            let behind = |day: u64| if summer < day && day <= winter { 4 } else { 5 };
            let season = new_york.at(day * DAY + 12 * HOUR);
            assert_eq!(season.starts_at, day * DAY + behind(day) * HOUR);
            match season.ends_at.unwrap() - season.starts_at {
                lasts if lasts == 23 * HOUR => short += 1,
                lasts if lasts == 25 * HOUR => long += 1,
                lasts => assert_eq!(lasts, 24 * HOUR),
            }
            let season = seoul.at(day * DAY);
            assert_eq!(season.starts_at, day * DAY - 9 * HOUR);
            assert_eq!(season.ends_at, Some(day * DAY + 15 * HOUR));
            // The first moment of 1970 was nine in the morning there: the season of that day is 0.
            assert_eq!(season.number, day);
        }
    }
    assert_eq!((short, long), (30, 30));
}

#[test]
fn a_time_that_is_left_out_or_comes_twice_is_one_reset() {
    // (zone, time of the day, instant within the season, its beginning, its end)
    for (zone, at, within, starts_at, ends_at) in [
        // 8 March 2026: after 01:59 EST comes 03:00 EDT.
        (
            "America/New_York",
            "02:30",
            utc(2026, 3, 8, 12, 0),
            utc(2026, 3, 8, 7, 30),
            utc(2026, 3, 9, 6, 30),
        ),
        // 1 November 2026: after 01:59 EDT comes 01:00 EST.
        (
            "America/New_York",
            "01:30",
            utc(2026, 11, 1, 6, 30),
            utc(2026, 11, 1, 5, 30),
            utc(2026, 11, 2, 6, 30),
        ),
        // 29 March 2026: after 00:59 GMT comes 02:00 BST.
        (
            "Europe/London",
            "01:00",
            utc(2026, 3, 29, 9, 0),
            utc(2026, 3, 29, 1, 0),
            utc(2026, 3, 30, 0, 0),
        ),
        // 25 October 2026: after 01:59 BST comes 01:00 GMT.
        (
            "Europe/London",
            "01:45",
            utc(2026, 10, 25, 1, 46),
            utc(2026, 10, 25, 0, 45),
            utc(2026, 10, 26, 1, 45),
        ),
        // 4 October 2026: after 01:59 at +10:30 comes 02:30 at +11.
        (
            "Australia/Lord_Howe",
            "02:10",
            utc(2026, 10, 4, 0, 0),
            utc(2026, 10, 3, 15, 40),
            utc(2026, 10, 4, 15, 10),
        ),
        // 5 April 2026: after 01:59 at +11 comes 01:30 at +10:30.
        (
            "Australia/Lord_Howe",
            "01:45",
            utc(2026, 4, 4, 15, 15),
            utc(2026, 4, 4, 14, 45),
            utc(2026, 4, 5, 15, 15),
        ),
    ] {
        let seasons = seasons(&daily(at, zone));
        let season = seasons.at(within);
        assert_eq!(
            (season.starts_at, season.ends_at),
            (starts_at, Some(ends_at)),
            "{zone} {at}"
        );
        check(&seasons, season);
    }
}

#[test]
fn weeks_begin_on_their_day() {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    // 23 November 2026 is a Monday.
    let week = [
        Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday,
    ];
    for (day, date) in week.into_iter().zip(23..) {
        let seasons = seasons(&weekly(day, "05:00", "Asia/Seoul"));
        let begin = utc(2026, 11, date - 1, 20, 0);
        let season = seasons.at(begin + 3 * DAY);
        assert_eq!(season.starts_at, begin);
        assert_eq!(season.ends_at, Some(begin + 7 * DAY));
        check(&seasons, season);
        assert_eq!(seasons.at(0).number, 0);
        assert_eq!(seasons.at(begin - 1).number + 1, season.number);
    }
}

#[test]
fn months_end_when_they_do() {
    for (every, from, at, starts) in [
        (
            1,
            "2027-12-31",
            utc(2028, 4, 1, 0, 0),
            vec![(2028, 1, 31), (2028, 2, 29), (2028, 3, 31)],
        ),
        (
            1,
            "2026-12-31",
            utc(2027, 4, 1, 0, 0),
            vec![(2027, 1, 31), (2027, 2, 28), (2027, 3, 31)],
        ),
        (
            12,
            "2024-02-29",
            utc(2029, 1, 1, 0, 0),
            vec![(2026, 2, 28), (2027, 2, 28), (2028, 2, 29)],
        ),
        (
            3,
            "2026-01-01",
            utc(2026, 12, 1, 0, 0),
            vec![(2026, 4, 1), (2026, 7, 1), (2026, 10, 1)],
        ),
    ] {
        let seasons = seasons(&months(every, from, "00:00", "UTC"));
        let mut season = seasons.at(at);
        for &(year, month, day) in starts.iter().rev() {
            assert_eq!(season.starts_at, utc(year, month, day, 0, 0), "{from}");
            check(&seasons, season);
            season = seasons.numbered(season.number - 1).unwrap();
        }
    }
}

#[test]
fn seasons_count_from_their_first_date() {
    let quarterly = seasons(&months(3, "2026-01-01", "00:00", "Asia/Seoul"));
    let begin = utc(2025, 12, 31, 15, 0);
    let before = Season {
        number: 0,
        starts_at: 0,
        ends_at: Some(begin),
    };
    assert_eq!(quarterly.at(0), before);
    assert_eq!(quarterly.at(begin - 1), before);
    assert_eq!(quarterly.at(begin).number, 1);
    assert_eq!(quarterly.at(utc(2026, 12, 31, 14, 59)).number, 4);
    assert_eq!(quarterly.at(utc(2026, 12, 31, 15, 0)).number, 5);

    let written = seasons(&dates(&["2026-03-01", "2026-06-15"], "12:00", "UTC"));
    let (first, last) = (utc(2026, 3, 1, 12, 0), utc(2026, 6, 15, 12, 0));
    for (at, number, starts_at, ends_at) in [
        (0, 0, 0, Some(first)),
        (first - 1, 0, 0, Some(first)),
        (first, 1, first, Some(last)),
        (last - 1, 1, first, Some(last)),
        (last, 2, last, None),
        (u64::MAX, 2, last, None),
    ] {
        let season = Season {
            number,
            starts_at,
            ends_at,
        };
        assert_eq!(written.at(at), season);
        check(&written, season);
    }

    let only = Season {
        number: 0,
        starts_at: 0,
        ends_at: None,
    };
    assert_eq!(seasons(&Reset::default()).at(utc(2026, 1, 1, 0, 0)), only);
    assert_eq!(seasons(&Reset::default()).numbered(1), None);
}

#[test]
fn a_day_that_a_zone_left_out_is_no_season() {
    // Samoa went from 29 to 31 December 2011, from -10 to +14; Kwajalein from 20 to 22 August 1993, from -12 to +12.
    for (zone, change) in [
        ("Pacific/Apia", utc(2011, 12, 30, 10, 0)),
        ("Pacific/Kwajalein", utc(1993, 8, 21, 12, 0)),
    ] {
        for at in ["00:00", "06:00", "23:59"] {
            let seasons = seasons(&daily(at, zone));
            let around = walk(&seasons, change - 5 * DAY, change + 5 * DAY);
            for season in around {
                check(&seasons, season);
            }
            let weekly = self::seasons(&weekly(Weekday::Friday, at, zone));
            check(&weekly, weekly.at(change - 1));
            check(&weekly, weekly.at(change));
        }
    }
}

#[test]
fn every_zone_has_seasons_at_both_ends_of_time() {
    let zones = TimeZoneDatabase::bundled();
    let mut count = 0;
    for zone in zones.available() {
        count += 1;
        for reset in [
            daily("00:00", zone.as_str()),
            weekly(Weekday::Monday, "02:30", zone.as_str()),
            months(1, "1970-01-02", "12:00", zone.as_str()),
        ] {
            let seasons = seasons(&reset);
            let first = seasons.at(0);
            assert_eq!((first.number, first.starts_at), (0, 0));
            check(&seasons, first);
            let last = seasons.at(u64::MAX);
            assert_eq!(last.ends_at, None);
            check(&seasons, last);
        }
    }
    assert!(count > 400, "{count} zones are compiled in");
}

fn reset() -> impl Strategy<Value = Reset> {
    let at = (0..24, 0..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"));
    let zone = prop::sample::select(&ZONES).prop_map(str::to_owned);
    let from = (1971..2030, 1..=12, 1..=28)
        .prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"));
    let day = prop::sample::select(vec![Weekday::Monday, Weekday::Thursday, Weekday::Sunday]);
    let dates = proptest::collection::btree_set(from.clone(), 1..20);
    (at, zone, from, day, 1..=120_u32, dates, 0..4).prop_map(
        |(at, zone, from, day, months, dates, kind)| match kind {
            0 => daily(&at, &zone),
            1 => weekly(day, &at, &zone),
            2 => super::seasons::months(months, &from, &at, &zone),
            _ => Reset::Dates {
                dates: dates.into_iter().collect(),
                at,
                zone,
            },
        },
    )
}

proptest! {
    #[test]
    fn each_instant_is_in_one_season(
        reset in reset(),
        instants in proptest::collection::vec(0..utc(2060, 1, 1, 0, 0), 2..40),
    ) {
        let seasons = seasons(&reset);
        let mut instants = instants;
        instants.sort_unstable();
        let mut last = seasons.at(0);
        for instant in instants {
            let season = seasons.at(instant);
            prop_assert!(season.contains(instant));
            check(&seasons, season);
            prop_assert!(season.number >= last.number);
            prop_assert_eq!(season.number == last.number, season == last);
            last = season;
        }
    }
}
