//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::fail_points::clock_offset_ms;

/// Milliseconds since 1970 UTC.
pub fn now_ms() -> u64 {
    let system = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
    system.saturating_add_signed(clock_offset_ms())
}
