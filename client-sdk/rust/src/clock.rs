//! The server's clock, seen from here.

use std::time::{Duration, Instant};

use pitturu_protocol::client::ClockEstimate;

/// What is known of the server's clock at one moment. It is a value: ask the client again for a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerClock {
    /// When the client's own clock began.
    began: Instant,
    estimate: ClockEstimate,
}

impl ServerClock {
    pub(crate) const fn new(began: Instant, estimate: ClockEstimate) -> Self {
        Self { began, estimate }
    }

    /// What the server's clock says at a moment of ours, in milliseconds since 1970 UTC. As wrong as half the difference between the way there
    /// and the way back, and by a millisecond.
    pub fn at(&self, moment: Instant) -> u64 {
        let here = moment.saturating_duration_since(self.began).as_millis();
        let here = i64::try_from(here).unwrap_or(i64::MAX);
        u64::try_from(here.saturating_add(self.estimate.offset_ms)).unwrap_or(0)
    }

    /// What the server's clock says now, in milliseconds since 1970 UTC.
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// How long a question and its answer take, when nothing keeps them.
    pub const fn round_trip(&self) -> Duration {
        Duration::from_millis(self.estimate.round_trip_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_time_at_a_moment_is_ours_and_the_offset() {
        let began = Instant::now();
        let clock = |offset_ms| {
            ServerClock::new(
                began,
                ClockEstimate {
                    offset_ms,
                    round_trip_ms: 80,
                },
            )
        };
        let later = began + Duration::from_millis(250);
        assert_eq!(clock(1_000).at(later), 1_250);
        assert_eq!(clock(-200).at(later), 50);
        assert_eq!(clock(-300).at(later), 0);
        assert_eq!(clock(i64::MAX).at(later), i64::MAX.unsigned_abs());
        assert_eq!(clock(0).round_trip(), Duration::from_millis(80));
    }
}
