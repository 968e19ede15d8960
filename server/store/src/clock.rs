//! The two clocks: the wall clock for what is stored and shown, and a steady one for intervals.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::fail_points::clock_offset_ms;

/// The process's first look at both clocks.
static BEGAN: LazyLock<(Instant, u64)> = LazyLock::new(|| (Instant::now(), now_ms()));

/// How far ahead of the process's own reckoning the wall clock is followed at once, in milliseconds.
const AHEAD_MS: u64 = 60_000;

/// Milliseconds since 1970 UTC. May jump in either direction: for what is stored or shown, never for an interval.
pub fn now_ms() -> u64 {
    let system = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
    system
        .saturating_add_signed(clock_offset_ms())
        .saturating_add_signed(shift_ms())
}

#[cfg(feature = "memory")]
std::thread_local! {
    static SHIFT_MS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// Has the wall clock jump for this thread alone: for tests of what a jump does.
#[cfg(feature = "memory")]
pub fn shift_here(milliseconds: i64) {
    SHIFT_MS.set(milliseconds);
}

#[cfg(feature = "memory")]
fn shift_ms() -> i64 {
    SHIFT_MS.get()
}

#[cfg(not(feature = "memory"))]
const fn shift_ms() -> i64 {
    0
}

/// The wall clock for what is removed by age: when it has jumped ahead since the process began, the time that has really passed
/// counts instead. What a jump made look old is so kept, at the latest until the next start.
pub fn removal_ms() -> u64 {
    let (_, began_at) = *BEGAN;
    removal(now_ms(), began_at.saturating_add(Steady::now().0))
}

fn removal(wall: u64, reckoned: u64) -> u64 {
    wall.min(reckoned.saturating_add(AHEAD_MS))
}

/// A moment on the clock that never jumps, for intervals. It has no meaning outside of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steady(u64);

impl Steady {
    /// Now.
    pub fn now() -> Self {
        let passed = BEGAN.0.elapsed().as_millis();
        Self(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// So many milliseconds after the process's first look.
    pub const fn at_ms(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the process's first look.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The moment so many milliseconds later.
    #[must_use]
    pub const fn after_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this; 0 if it is not earlier.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_jumps_ahead_makes_nothing_old() {
        const DAY: u64 = 24 * 60 * 60 * 1_000;
        let reckoned = 20_000 * DAY;
        assert_eq!(removal(reckoned, reckoned), reckoned);
        assert_eq!(removal(reckoned - DAY, reckoned), reckoned - DAY);
        assert_eq!(removal(reckoned + 40 * DAY, reckoned), reckoned + AHEAD_MS);
    }

    #[test]
    fn steady_moments_are_ordered_and_far_ones_do_not_overflow() {
        let moment = Steady::now();
        assert!(moment <= Steady::now());
        assert_eq!(moment.after_ms(5).since_ms(moment), 5);
        assert_eq!(moment.since_ms(moment.after_ms(5)), 0);
        assert!(moment.after_ms(u64::MAX) > moment);
    }
}
