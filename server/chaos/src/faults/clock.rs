//! Where the server's wall clock stands.

use crate::game::{DAY_MS, SEOUL_MS};

/// How far a clock at rest is from the next midnight, and from the one before, at least, in milliseconds: so long that nothing begins or
/// ends while one looks, and that all that had to end has ended.
const REST_MS: u64 = 10 * 60 * 1_000;

/// The wall clock. It strays around where it would be, and goes on to another day now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// How far it is ahead, in milliseconds.
    pub offset_ms: i64,
    /// Where it would be without straying.
    base_ms: i64,
    /// How far it was ahead at most.
    most_ms: i64,
}

impl Clock {
    /// It strays by so much from where it would be.
    pub fn stray(&mut self, step_ms: i64) {
        self.offset_ms = self.base_ms + step_ms;
        self.most_ms = self.most_ms.max(self.offset_ms);
    }

    /// It is so long before the next midnight, of UTC or of Seoul. `now` is what it shows.
    pub fn go_to_midnight(&mut self, now: u64, before_ms: i64) {
        let step = to_midnight(now).cast_signed() - before_ms;
        self.base_ms = self.offset_ms + step;
        self.stray(0);
    }

    /// It is not behind where it was at most, and far from any midnight. `now` is what it shows.
    pub fn come_to_rest(&mut self, now: u64) {
        let step = self.most_ms - self.offset_ms;
        let ahead = now.saturating_add_signed(step);
        let (to, since) = (to_midnight(ahead), since_midnight(ahead));
        let more = match (to < REST_MS, since < REST_MS) {
            (true, _) => to + REST_MS,
            (false, true) => REST_MS - since,
            (false, false) => 0,
        };
        self.base_ms = self.most_ms + more.cast_signed();
        self.stray(0);
    }
}

/// How long it is to the next midnight, of UTC or of Seoul.
const fn to_midnight(now: u64) -> u64 {
    let of_utc = DAY_MS - now % DAY_MS;
    let of_seoul = DAY_MS - (now + SEOUL_MS) % DAY_MS;
    if of_utc < of_seoul { of_utc } else { of_seoul }
}

/// How long ago the last one was.
const fn since_midnight(now: u64) -> u64 {
    let (of_utc, of_seoul) = (now % DAY_MS, (now + SEOUL_MS) % DAY_MS);
    if of_utc < of_seoul { of_utc } else { of_seoul }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;
    const HOUR: u64 = 60 * 60 * 1_000;

    #[test]
    fn midnights_come_one_after_the_other_and_straying_goes_around_them() {
        let mut clock = Clock::default();
        let now = |clock: &Clock| NOON.saturating_add_signed(clock.offset_ms);
        clock.go_to_midnight(now(&clock), 1_000);
        assert_eq!(now(&clock), NOON + 3 * HOUR - 1_000, "midnight in Seoul");
        clock.stray(2_000);
        clock.go_to_midnight(now(&clock), 0);
        assert_eq!(now(&clock), NOON + 12 * HOUR);
        clock.stray(-5);
        assert_eq!(now(&clock), NOON + 12 * HOUR - 5);
    }

    #[test]
    fn at_rest_it_is_where_it_was_at_most_or_later_and_far_from_midnight() {
        for (strayed, due) in [
            (0, NOON + HOUR),
            (3 * HOUR, NOON + 3 * HOUR + REST_MS),
            (3 * HOUR - 1, NOON + 3 * HOUR + REST_MS),
            (12 * HOUR + 7, NOON + 12 * HOUR + REST_MS),
        ] {
            let mut clock = Clock::default();
            clock.stray(HOUR.cast_signed());
            clock.stray(strayed.cast_signed());
            clock.stray(-HOUR.cast_signed());
            clock.come_to_rest(NOON - HOUR);
            assert_eq!(NOON.saturating_add_signed(clock.offset_ms), due);
        }
    }
}
