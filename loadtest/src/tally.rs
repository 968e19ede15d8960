//! What players count while they play: one slice per second and thread, merged upwards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

use crate::clock;

pub mod count;

/// Longest time that is told apart, in microseconds: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// Significant decimal digits that times keep.
const DIGITS: u8 = 3;

/// Error of an operation whose connection was lost.
pub const DISCONNECTED: &str = "disconnected";

/// Error of an operation that took too long.
pub const TIMED_OUT: &str = "timed_out";

/// What players do, and what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// From the first packet to the server's welcome.
    Connect,
    /// A sign-in.
    SignIn,
    /// Opening or joining a room.
    Open,
    /// From the intended moment of a message to its answer.
    Send,
    /// From the intended moment of a message to its arrival at one player.
    Deliver,
    /// As `Deliver`, at players who read slowly or were away.
    DeliverLate,
    /// How old the newest state of a game is that a player has: a sample for each millisecond.
    Age,
    /// A call that comes back.
    Echo,
    /// A movement of points.
    Move,
    /// A score that is submitted.
    Submit,
    /// Making a room.
    Create,
    /// Any other call.
    Call,
    /// From the loss of a connection to having everything that was missed; where players stay away for a while, from
    /// their return.
    Recover,
    /// How late the generator itself was: from the intended moment to the write.
    Late,
}

/// All operations, in the order of reports.
pub const OPS: [Op; 14] = [
    Op::Connect,
    Op::SignIn,
    Op::Open,
    Op::Send,
    Op::Deliver,
    Op::DeliverLate,
    Op::Age,
    Op::Echo,
    Op::Move,
    Op::Submit,
    Op::Create,
    Op::Call,
    Op::Recover,
    Op::Late,
];

impl Op {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::SignIn => "sign_in",
            Self::Open => "open",
            Self::Send => "send",
            Self::Deliver => "deliver",
            Self::DeliverLate => "deliver_late",
            Self::Age => "age",
            Self::Echo => "echo",
            Self::Move => "move",
            Self::Submit => "submit",
            Self::Create => "create",
            Self::Call => "call",
            Self::Recover => "recover",
            Self::Late => "late",
        }
    }
}

/// Times and failures of one operation.
#[derive(Clone, Debug)]
pub struct Times {
    /// How many were meant to begin.
    pub intended: u64,
    /// Microseconds of those that ended well.
    pub latency: Histogram<u64>,
    /// How many failed, by code.
    pub errors: BTreeMap<String, u64>,
}

impl Default for Times {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
            .expect("bounds and digits are those that the library allows");
        Self {
            intended: 0,
            latency,
            errors: BTreeMap::new(),
        }
    }
}

impl Times {
    fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.latency
            .add(&other.latency)
            .expect("all histograms have the same bounds");
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }

    fn is_empty(&self) -> bool {
        self.intended == 0 && self.latency.is_empty() && self.errors.is_empty()
    }

    fn clear(&mut self) {
        self.intended = 0;
        self.latency.reset();
        self.errors.clear();
    }
}

/// What was counted in one second, or over several.
#[derive(Clone, Debug)]
pub struct Slice {
    times: [Times; OPS.len()],
    /// Plain counts by the names of [`count`].
    pub counts: BTreeMap<String, u64>,
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            times: std::array::from_fn(|_| Times::default()),
            counts: BTreeMap::new(),
        }
    }
}

impl Slice {
    /// Times of one operation.
    pub fn times(&self, op: Op) -> &Times {
        &self.times[op as usize]
    }

    /// A plain count.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Whether nothing ended or arrived, heartbeats aside.
    pub fn is_quiet(&self) -> bool {
        self.times.iter().all(Times::is_empty)
    }

    /// Adds what another slice counted.
    pub fn add(&mut self, other: &Self) {
        for (times, more) in self.times.iter_mut().zip(&other.times) {
            if !more.is_empty() {
                times.add(more);
            }
        }
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
    }

    /// As text that another process can read.
    pub fn packed(&self) -> Packed {
        let mut serializer = V2Serializer::new();
        let mut times = BTreeMap::new();
        for op in OPS {
            let held = self.times(op);
            if held.is_empty() {
                continue;
            }
            let mut bytes = Vec::new();
            serializer
                .serialize(&held.latency, &mut bytes)
                .expect("a Vec takes all bytes");
            let packed = PackedTimes {
                intended: held.intended,
                latency: STANDARD.encode(&bytes),
                errors: held.errors.clone(),
            };
            times.insert(op, packed);
        }
        Packed {
            times,
            counts: self.counts.clone(),
        }
    }

    /// Adds what another process packed.
    pub fn add_packed(&mut self, packed: &Packed) -> Result<(), Unreadable> {
        for (&op, more) in &packed.times {
            let bytes = STANDARD.decode(&more.latency).map_err(|_| Unreadable)?;
            let latency: Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .map_err(|_| Unreadable)?;
            let times = &mut self.times[op as usize];
            times.intended += more.intended;
            times.latency.add(&latency).map_err(|_| Unreadable)?;
            for (code, count) in &more.errors {
                *times.errors.entry(code.clone()).or_default() += count;
            }
        }
        for (name, count) in &packed.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        Ok(())
    }
}

/// A slice on its way between processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packed {
    times: BTreeMap<Op, PackedTimes>,
    counts: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PackedTimes {
    intended: u64,
    latency: String,
    errors: BTreeMap<String, u64>,
}

/// A packed slice that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a slice of measurements can't be read")]
pub struct Unreadable;

/// Counts that come with every message and so are plain numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages that reached a player.
    pub delivered: u64,
    /// Messages of the transport received.
    pub messages_in: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// What one thread's players count into.
#[derive(Clone, Debug, Default)]
pub struct Tally(Rc<RefCell<Counting>>);

#[derive(Debug, Default)]
struct Counting {
    slice: Slice,
    traffic: Traffic,
}

impl Tally {
    /// An operation was meant to begin.
    pub fn intend(&self, op: Op) {
        self.0.borrow_mut().slice.times[op as usize].intended += 1;
    }

    /// An operation that was meant to begin at `intended` has ended well at `ended`.
    pub fn done(&self, op: Op, intended: u64, ended: u64) {
        let microseconds = ended.saturating_sub(intended) / 1_000;
        self.0.borrow_mut().slice.times[op as usize]
            .latency
            .saturating_record(microseconds.max(1));
    }

    /// An operation that was meant to begin at `intended` has ended well now.
    pub fn done_now(&self, op: Op, intended: u64) {
        self.done(op, intended, clock::now());
    }

    /// An operation has failed.
    pub fn failed(&self, op: Op, code: &str) {
        let mut counting = self.0.borrow_mut();
        let errors = &mut counting.slice.times[op as usize].errors;
        match errors.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(errors.insert(code.to_owned(), 1)),
        }
    }

    /// Adds to a plain count.
    pub fn count(&self, name: &str, more: u64) {
        let mut counting = self.0.borrow_mut();
        match counting.slice.counts.get_mut(name) {
            Some(count) => *count += more,
            None => drop(counting.slice.counts.insert(name.to_owned(), more)),
        }
    }

    /// Adds to the counts of traffic.
    pub fn traffic(&self, add: impl FnOnce(&mut Traffic)) {
        add(&mut self.0.borrow_mut().traffic);
    }

    /// Takes what was counted since the last time.
    pub fn take(&self) -> Slice {
        let mut counting = self.0.borrow_mut();
        let traffic = std::mem::take(&mut counting.traffic);
        let mut taken = Slice::default();
        taken.add(&counting.slice);
        counting.slice.times.iter_mut().for_each(Times::clear);
        counting.slice.counts.clear();
        for (name, value) in [
            (count::DELIVERED, traffic.delivered),
            (count::MESSAGES_IN, traffic.messages_in),
            (count::FRAMES_IN, traffic.frames_in),
            (count::BYTES_IN, traffic.bytes_in),
            (count::BYTES_OUT, traffic.bytes_out),
        ] {
            if value > 0 {
                *taken.counts.entry(name.to_owned()).or_default() += value;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_survive_the_way_between_processes() {
        let tally = Tally::default();
        for microseconds in 1..=1_000_u64 {
            tally.intend(Op::Send);
            tally.done(Op::Send, 0, microseconds * 1_000);
        }
        tally.failed(Op::Send, "rate_limited");
        tally.failed(Op::Send, "rate_limited");
        tally.count(count::ACCEPTED, 1_000);
        tally.traffic(|traffic| traffic.delivered += 7);
        let packed = serde_json::to_string(&tally.take().packed()).unwrap();
        let mut merged = Slice::default();
        for _ in 0..2 {
            merged
                .add_packed(&serde_json::from_str(&packed).unwrap())
                .unwrap();
        }
        let send = merged.times(Op::Send);
        assert_eq!(send.intended, 2_000);
        assert_eq!(send.latency.len(), 2_000);
        assert_eq!(send.latency.value_at_quantile(0.5), 500);
        assert_eq!(send.errors["rate_limited"], 4);
        assert_eq!(merged.count(count::ACCEPTED), 2_000);
        assert_eq!(merged.count(count::DELIVERED), 14);
        assert!(tally.take().times(Op::Send).is_empty());
    }

    #[test]
    fn a_damaged_slice_is_refused() {
        let tally = Tally::default();
        tally.done(Op::Echo, 0, 5);
        let mut packed = tally.take().packed();
        packed.times.get_mut(&Op::Echo).unwrap().latency = "AAAA".to_owned();
        assert_eq!(Slice::default().add_packed(&packed), Err(Unreadable));
    }
}
