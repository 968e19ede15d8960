//! When which packet leaves a way again: pure, so that times and packets are arguments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::conditions::{Conditions, Pass};
use crate::packet::{self, Kind};

/// What became of the packets of one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came.
    pub taken: u64,
    /// Packets that left at the other end, repetitions included.
    pub delivered: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Vanished because they may not pass.
    pub blocked: u64,
    /// Answered by "port unreachable".
    pub refused: u64,
    /// Set back, so that later ones could overtake them.
    pub set_back: u64,
    /// Repetitions.
    pub duplicated: u64,
}

/// What was done with a packet that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It will leave at the other end.
    Held,
    /// It will not.
    Dropped,
    /// It will not, and this is to be handed to whoever sent it.
    Refused(Vec<u8>),
}

/// One way of a link. Times count from any moment, the same for all calls, and don't go back.
///
/// The fate of a packet depends on the conditions, their seed, and how many of its kind (UDP, TCP, others) came this way before it.
#[derive(Debug)]
pub struct Schedule {
    conditions: Conditions,
    /// Makes the fates of the two ways different.
    salt: u64,
    /// Packets of each kind so far.
    seen: [u64; 3],
    /// When the way has carried all that it took.
    free_at: Duration,
    /// When the last packet leaves that was not set back.
    last_due: Duration,
    held: BinaryHeap<Reverse<Held>>,
    /// Keeps packets of one moment in their order.
    next_place: u64,
    counts: Counts,
}

/// Ordered by when it leaves.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Duration,
    place: u64,
    packet: Vec<u8>,
}

impl Schedule {
    /// A way under these conditions. Ways of different salt have different fates by the same seed.
    pub fn new(conditions: Conditions, salt: u64) -> Self {
        Self {
            conditions,
            salt,
            seen: [0; 3],
            free_at: Duration::ZERO,
            last_due: Duration::ZERO,
            held: BinaryHeap::new(),
            next_place: 0,
            counts: Counts::default(),
        }
    }

    /// What is done to packets.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// From now on other conditions. What is under way keeps its time, and is lost if nothing may pass any more.
    pub fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        if self.conditions.pass == Pass::Nothing {
            self.counts.blocked += self.held.len() as u64;
            self.held.clear();
        }
    }

    /// What became of the packets so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a packet that came at this time.
    pub fn take(&mut self, at: Duration, packet: Vec<u8>) -> Taken {
        self.counts.taken += 1;
        let kind = packet::kind(&packet);
        let fate = self.fate(kind);
        match (self.conditions.pass, kind) {
            (Pass::Nothing, _) | (Pass::NoUdp, Kind::Udp) | (Pass::NoTcp, Kind::Tcp) => {
                self.counts.blocked += 1;
                return Taken::Dropped;
            }
            (Pass::RefusedUdp, Kind::Udp) => {
                self.counts.refused += 1;
                return packet::port_unreachable(&packet).map_or(Taken::Dropped, Taken::Refused);
            }
            _ => {}
        }
        if fate.lost {
            self.counts.lost += 1;
            return Taken::Dropped;
        }
        let Some(carried) = self.carry(at, packet.len()) else {
            self.counts.overflowed += 1;
            return Taken::Dropped;
        };
        let in_order = (carried + self.conditions.delay + fate.late).max(self.last_due);
        let due = if fate.set_back {
            self.counts.set_back += 1;
            in_order + self.conditions.reorder_by
        } else {
            self.last_due = in_order;
            in_order
        };
        if fate.twice {
            self.counts.duplicated += 1;
            self.hold(due, packet.clone());
        }
        self.hold(due, packet);
        Taken::Held
    }

    /// When the next packet leaves.
    pub fn next_due(&self) -> Option<Duration> {
        self.held.peek().map(|Reverse(held)| held.due)
    }

    /// The next packet that has left by this time.
    pub fn give(&mut self, at: Duration) -> Option<Vec<u8>> {
        if self.next_due()? > at {
            return None;
        }
        let Reverse(held) = self.held.pop()?;
        self.counts.delivered += 1;
        self.counts.delivered_bytes += held.packet.len() as u64;
        Some(held.packet)
    }

    fn hold(&mut self, due: Duration, packet: Vec<u8>) {
        let place = self.next_place;
        self.next_place += 1;
        self.held.push(Reverse(Held { due, place, packet }));
    }

    /// When the way has carried a packet of this length; none when too much waits already.
    fn carry(&mut self, at: Duration, bytes: usize) -> Option<Duration> {
        let Some(rate) = self.conditions.rate else {
            return Some(at);
        };
        let rate = rate.max(1) as f64;
        let waiting = self.free_at.saturating_sub(at);
        let waiting_bytes = waiting.as_secs_f64() * rate / 8.0;
        if waiting_bytes + bytes as f64 > self.conditions.queue as f64 {
            return None;
        }
        self.free_at = at + waiting + Duration::from_secs_f64(bytes as f64 * 8.0 / rate);
        Some(self.free_at)
    }

    /// Every packet draws the same number of times whatever the conditions are, so that a change of one of them leaves the others'
    /// decisions as they were.
    fn fate(&mut self, kind: Kind) -> Fate {
        let index = match kind {
            Kind::Udp => 0,
            Kind::Tcp => 1,
            Kind::Other => 2,
        };
        let number = self.seen[index];
        self.seen[index] += 1;
        let conditions = &self.conditions;
        let stream = [self.salt, index as u64, number]
            .into_iter()
            .fold(conditions.seed, |state, part| mixed(state ^ mixed(part)));
        let draw = |which: u64| unit(mixed(stream.wrapping_add(which)));
        Fate {
            lost: draw(1) < conditions.loss,
            set_back: draw(2) < conditions.reorder,
            twice: draw(3) < conditions.duplicate,
            late: conditions.jitter.mul_f64(draw(4)),
        }
    }
}

/// What chance has decided about a packet.
struct Fate {
    lost: bool,
    set_back: bool,
    twice: bool,
    late: Duration,
}

/// Spreads a number over all numbers (the finalizer of SplitMix64). Written here, so that seeds keep their meaning.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// From 0 up to, but not including, 1.
fn unit(number: u64) -> f64 {
    const BITS: u32 = 53;
    (number >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}

#[cfg(test)]
mod tests;
