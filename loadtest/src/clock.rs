//! Time that all processes of this machine share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Nanoseconds per second.
pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of the monotonic clock, which runs alike in every process.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the monotonic clock begins at zero");
    let nanoseconds = u64::try_from(time.tv_nsec).expect("a part of a second is not negative");
    seconds * SECOND + nanoseconds
}

/// The runtime's instant for a time of this clock.
pub fn instant(at: u64) -> Instant {
    Instant::now() + Duration::from_nanos(at.saturating_sub(now()))
}

/// Sleeps until a time of this clock; the runtime's timer adds up to a millisecond.
pub async fn sleep_until(at: u64) {
    tokio::time::sleep_until(instant(at)).await;
}
