//! What the client knows of the server's clock and of the way to it, from questions that the server answers at once.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::codec;
use crate::types::system::Echo;

use super::ClientConnection;
use super::calls::Owner;
use super::request::Ticket;

/// Questions that are counted: the newest ones.
const SAMPLES_MAX: usize = 16;

/// Questions one after another on each new connection. Afterwards each ping of the server's leads to one.
const FIRST_SAMPLES: usize = 4;

/// How far the server's clock is ahead of the machine's, and how long the way there and back takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockEstimate {
    /// Milliseconds to add to the machine's time to get the server's, in milliseconds since 1970 UTC. As wrong as half the difference between the
    /// way there and the way back.
    pub offset_ms: i64,
    /// Milliseconds from a question to its answer.
    pub round_trip_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: u64,
    offset: i64,
}

#[derive(Debug, Default)]
pub(super) struct Clock {
    samples: VecDeque<Sample>,
    /// Samples of the present connection.
    taken: usize,
    /// The question that is under way, and when it was asked.
    asked: Option<(Ticket, u64)>,
    /// What is told until the present connection has samples of its own.
    before: Option<ClockEstimate>,
}

impl Clock {
    /// Another connection: the way is another one.
    fn begin(&mut self) {
        self.before = self.estimate();
        self.samples.clear();
        self.taken = 0;
        self.asked = None;
    }

    fn take(&mut self, asked_at: u64, now: u64, server: u64) {
        let round_trip = now.saturating_sub(asked_at);
        let here = i128::from(asked_at) + i128::from(round_trip) / 2;
        let Ok(offset) = i64::try_from(i128::from(server) - here) else {
            return;
        };
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { round_trip, offset });
        self.taken += 1;
    }

    /// The median of the best quarter: those that took the shortest time waited least on the way.
    fn estimate(&self) -> Option<ClockEstimate> {
        let mut samples: Vec<Sample> = self.samples.iter().copied().collect();
        if samples.is_empty() {
            return self.before;
        }
        samples.sort_by_key(|sample| sample.round_trip);
        samples.truncate(samples.len().div_ceil(4));
        let round_trip_ms = samples[samples.len() / 2].round_trip;
        samples.sort_by_key(|sample| sample.offset);
        Some(ClockEstimate {
            offset_ms: samples[samples.len() / 2].offset,
            round_trip_ms,
        })
    }
}

impl ClientConnection {
    /// The server's clock, as far as it is known: with [`Config::measures_clock`](super::Config::measures_clock), from soon after the first
    /// welcome on.
    pub fn clock(&self) -> Option<ClockEstimate> {
        self.clock.estimate()
    }

    /// A connection has been welcomed.
    pub(super) fn clock_begins(&mut self, now: u64) {
        self.clock.begin();
        self.ask_clock(now);
    }

    /// Asks the server what time it is, unless that has been done.
    pub(super) fn ask_clock(&mut self, now: u64) {
        if self.config.measures_clock && self.clock.asked.is_none() {
            let ticket = self
                .calls
                .add(Owner::Clock, &Echo { data: Vec::new() }, None);
            self.clock.asked = Some((ticket, now));
        }
    }

    /// The server has answered, or refused to.
    pub(super) fn clock_answered(&mut self, now: u64, ticket: Ticket, body: Option<&[u8]>) {
        #[derive(Deserialize)]
        struct Told {
            now: u64,
        }
        // One that a connection before was asked says nothing of this one.
        let Some((_, asked_at)) = self.clock.asked.take_if(|asked| asked.0 == ticket) else {
            return;
        };
        let Some(Told { now: server }) = body.and_then(|body| codec::decode(body).ok()) else {
            return;
        };
        self.clock.take(asked_at, now, server);
        if self.clock.taken < FIRST_SAMPLES {
            self.ask_clock(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_best_quarter_is_told_whatever_the_others_say() {
        let mut clock = Clock::default();
        assert_eq!(clock.estimate(), None);
        // The server is 5,000 ms ahead. Twelve answers were kept on their way back, four came at once.
        for number in 0..12 {
            clock.take(1_000, 1_400 + number * 50, 6_020);
        }
        for jitter in [0, 2, 4, 40] {
            clock.take(2_000, 2_040 + jitter, 7_020);
        }
        let estimate = clock.estimate().unwrap();
        assert_eq!(
            estimate,
            ClockEstimate {
                offset_ms: 4_999,
                round_trip_ms: 44
            }
        );
        // Old ones go.
        for _ in 0..SAMPLES_MAX {
            clock.take(0, 10, 105);
        }
        let offset_ms = 100;
        let round_trip_ms = 10;
        let expected = Some(ClockEstimate {
            offset_ms,
            round_trip_ms,
        });
        assert_eq!(clock.estimate(), expected);
        // Another connection begins with what is known, and forgets it with its first own sample.
        clock.begin();
        assert_eq!(clock.estimate(), expected);
        clock.take(0, 200, 200);
        assert_eq!(clock.estimate().unwrap().round_trip_ms, 200);
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_no_harm() {
        let mut clock = Clock::default();
        clock.take(10, 5, 0);
        clock.take(u64::MAX, u64::MAX, 0);
        clock.take(0, u64::MAX, u64::MAX);
        clock.take(0, 0, u64::MAX);
        assert!(clock.estimate().is_some());
    }
}
