//! Days and times of day, from milliseconds since 1970.

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What the clock on the wall shows, as an offset from universal time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    offset_ms: i64,
}

impl Clock {
    /// An offset as `date +%z` writes it: `+0900` or `-03:30`.
    pub(crate) fn parse(offset: &str) -> Option<Self> {
        let offset = offset.trim();
        let (sign, digits) = match offset.split_at_checked(1)? {
            ("+", digits) => (1, digits.replace(':', "")),
            ("-", digits) => (-1, digits.replace(':', "")),
            _ => return None,
        };
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits: i64 = digits.parse().ok()?;
        let (hours, minutes) = (digits / 100, digits % 100);
        (hours <= 14 && minutes < 60).then_some(Self {
            offset_ms: sign * (hours * 60 + minutes) * 60_000,
        })
    }

    fn local(self, at: u64) -> i64 {
        i64::try_from(at)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset_ms)
    }

    /// Number of the day, for telling days apart.
    pub(crate) fn day(self, at: u64) -> i64 {
        self.local(at).div_euclid(DAY_MS)
    }

    /// `14:05`.
    pub(crate) fn time(self, at: u64) -> String {
        let minutes = self.local(at).rem_euclid(DAY_MS) / 60_000;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// `Mon 23 Nov 2026`.
    pub(crate) fn date(self, at: u64) -> String {
        let day = self.day(at);
        let (year, month, day_of_month) = civil(day);
        let name = usize::try_from(day.rem_euclid(7)).map_or("", |index| DAYS[index]);
        let month = usize::try_from(month - 1).map_or("", |index| MONTHS[index]);
        format!("{name} {day_of_month} {month} {year}")
    }

    /// As short as can be told: the time today, the date before.
    pub(crate) fn short(self, at: u64, now: u64) -> String {
        if self.day(at) == self.day(now) {
            return self.time(at);
        }
        let (_, month, day) = civil(self.day(at));
        format!("{month}/{day}")
    }
}

/// Year, month and day of the Gregorian calendar, by counting years from 1 March in eras of 400.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (
        era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day_of_month,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times() {
        let utc = Clock::default();
        assert_eq!(utc.date(0), "Thu 1 Jan 1970");
        assert_eq!(utc.date(951_782_400_000), "Tue 29 Feb 2000");
        assert_eq!(utc.date(1_795_392_000_000), "Mon 23 Nov 2026");
        let seoul = Clock::parse("+09:00").unwrap();
        assert_eq!(seoul.time(0), "09:00");
        assert_eq!(seoul.date(15 * 3_600_000), "Fri 2 Jan 1970");
        assert_eq!(Clock::parse("-0330\n").unwrap().time(0), "20:30");
        assert_eq!(seoul.short(0, 1), "09:00");
        assert_eq!(seoul.short(0, 86_400_000), "1/1");
        assert!(seoul.date(u64::MAX).len() > 5);
    }

    #[test]
    fn other_offsets_are_refused() {
        for text in [
            "", "0900", "+9", "+09:0", "+a900", "+1500", "+0960", "é0900",
        ] {
            assert_eq!(Clock::parse(text), None, "{text:?}");
        }
    }
}
