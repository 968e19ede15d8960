//! What a generator process is told beside the scenario: against what, how much of it, and for how long.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use pitturu_protocol::ids::RoomId;
use serde::{Deserialize, Serialize};

use crate::clock::SECOND;
use crate::link::{Route, Transport};
use crate::report::Subject;

/// One generator process's part of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What the players play against.
    pub subject: Subject,
    /// What carries the protocol.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
    /// Loopback addresses that connections come from, each good for about 28,000. 0: the system's choice.
    pub sources: u8,
    /// Which process of how many.
    pub share: Share,
    /// Threads of each process.
    pub threads: u32,
    /// Seconds of load before the measured part.
    pub warm_up: u32,
    /// Seconds of the measured part.
    pub seconds: u32,
    /// Chooses the accounts; the same seed signs in to the same accounts.
    pub seed: u64,
    /// Rooms made for the run.
    pub rooms: Vec<RoomId>,
}

impl Plan {
    /// A room made for the run. Floors know rooms by number only, so that any id will do for them.
    pub fn room(&self, number: u64) -> RoomId {
        usize::try_from(number)
            .ok()
            .and_then(|number| self.rooms.get(number).copied())
            .unwrap_or(RoomId::from_bytes([0; 10]))
    }

    /// The route of one player.
    pub fn route(&self, player: u64) -> Route {
        let source = (self.sources > 0 && self.address.ip().is_loopback()).then(|| {
            let last = player % u64::from(self.sources);
            let last = u8::try_from(last).expect("below a number of eight bits");
            IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + last % 250))
        });
        let transport = match self.subject {
            Subject::Server => self.transport,
            Subject::Floor => self.transport.of_floor(),
        };
        Route {
            source,
            ..Route::to(transport, self.address)
        }
    }
}

/// One part of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// From 0.
    pub index: u64,
    /// How many.
    pub of: u64,
}

impl Share {
    /// Which of `total` things belong to this share: every thing to one share, as evenly as possible.
    pub const fn range(self, total: u64) -> Range<u64> {
        total * self.index / self.of..total * (self.index + 1) / self.of
    }

    /// This share of a thing that has been shared out before.
    pub const fn within(self, outer: Self) -> Self {
        Self {
            index: outer.index * self.of + self.index,
            of: outer.of * self.of,
        }
    }
}

/// The times of one run, in nanoseconds of [`crate::clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The load begins.
    pub start: u64,
    /// The measured part begins.
    pub from: u64,
    /// The measured part and the load end.
    pub end: u64,
}

impl Window {
    /// The window of a run that starts at `start`.
    pub fn new(start: u64, warm_up: u32, seconds: u32) -> Self {
        let from = start + u64::from(warm_up) * SECOND;
        Self {
            start,
            from,
            end: from + u64::from(seconds) * SECOND,
        }
    }

    /// In which second a moment lies; negative ones are warm-up.
    pub fn second(self, at: u64) -> i64 {
        let whole = |count| i64::try_from(count).expect("a run has few seconds");
        if at >= self.from {
            whole((at - self.from) / SECOND)
        } else {
            -whole((self.from - at).div_ceil(SECOND))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once() {
        for total in [0, 1, 7, 1_000] {
            for of in [1, 2, 3, 8] {
                let mut next = 0;
                for index in 0..of {
                    let range = Share { index, of }.range(total);
                    assert_eq!(range.start, next);
                    next = range.end;
                }
                assert_eq!(next, total);
            }
        }
        let inner = Share { index: 1, of: 2 }.within(Share { index: 2, of: 3 });
        assert_eq!(inner, Share { index: 5, of: 6 });
    }

    #[test]
    fn seconds_before_the_measured_part_are_negative() {
        let window = Window::new(10 * SECOND, 2, 5);
        assert_eq!(window.second(window.start), -2);
        assert_eq!(window.second(window.from - 1), -1);
        assert_eq!(window.second(window.from), 0);
        assert_eq!(window.second(window.end), 5);
    }
}
