//! What one run gathered, before it becomes part of a report.

use std::collections::BTreeMap;

use crate::probe::ResourceSample;
use crate::report::{Check, Figure, Subject, Usage};
use crate::tally::{OPS, Op, Slice, count};

/// What one run gathered.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured.
    pub subject: Subject,
    /// Length of the measured part in seconds.
    pub seconds: f64,
    /// Players that took part.
    pub players: u64,
    /// While getting ready.
    pub preparation: Slice,
    /// By second; negative ones are warm-up.
    pub by_second: BTreeMap<i64, Slice>,
    /// The measured part.
    pub measured: Slice,
    /// From the beginning of the load to the end of the drain.
    pub whole: Slice,
    /// The server's process.
    pub server: Option<Usage>,
    /// The generator's processes.
    pub generator: Usage,
    /// What processes had used at the beginning of each second.
    pub resources: BTreeMap<i64, ResourceSample>,
    /// How long the server took to start, in seconds; absent when it ran already.
    pub started_in: Option<f64>,
}

impl Outcome {
    /// Puts the seconds together.
    pub fn sum_up(&mut self, seconds: u32) {
        for (&second, slice) in &self.by_second {
            self.whole.add(slice);
            if (0..i64::from(seconds)).contains(&second) {
                self.measured.add(slice);
            }
        }
    }

    /// The slice that says something of an operation: the measured part, else the whole run, else the preparation.
    pub fn slice_of(&self, op: Op) -> Option<(&Slice, bool)> {
        let told = |slice: &Slice| {
            let times = slice.times(op);
            !times.latency.is_empty() || !times.errors.is_empty()
        };
        if told(&self.measured) {
            Some((&self.measured, true))
        } else if told(&self.whole) {
            Some((&self.whole, false))
        } else {
            told(&self.preparation).then_some((&self.preparation, false))
        }
    }

    /// Operations that happened.
    pub fn operations(&self) -> impl Iterator<Item = Op> {
        OPS.into_iter().filter(|&op| self.slice_of(op).is_some())
    }

    /// That no connection ended without being asked to, from the first that was ready.
    pub fn nobody_was_disconnected(&self) -> Check {
        let lost = [&self.preparation, &self.whole]
            .iter()
            .map(|slice| slice.count(count::DISCONNECTS))
            .sum::<u64>();
        Check {
            title: "nobody was disconnected".to_owned(),
            held: lost == 0,
            detail: format!("{lost} of {} connections lost", self.players),
        }
    }

    /// Server memory in bytes at the beginning of a second.
    pub fn memory_at(&self, second: i64) -> Option<u64> {
        Some(self.resources.get(&second)?.server?.memory_bytes)
    }

    /// Processor seconds of the server between the beginnings of two seconds.
    pub fn server_cpu(&self, seconds: std::ops::Range<i64>) -> Option<f64> {
        let at = |second| Some(self.resources.get(&second)?.server?.cpu_seconds);
        Some(at(seconds.end)? - at(seconds.start)?)
    }

    /// How many of an operation ended well, and how many failed, from the beginning of the load to the end.
    pub fn ended(&self, op: Op) -> (u64, u64) {
        let times = self.whole.times(op);
        (times.latency.len(), times.errors.values().sum())
    }

    /// The longest time that an operation took, in seconds; none when none ended well.
    pub fn longest(&self, op: Op) -> Option<f64> {
        let latency = &self.whole.times(op).latency;
        (!latency.is_empty()).then(|| latency.max() as f64 / 1e6)
    }

    /// That each message that was taken reached all of its room's `members`.
    pub fn every_message_arrived(&self, members: u64) -> Check {
        let taken = match self.subject {
            Subject::Server => {
                self.whole.count(count::PERSISTED) + self.whole.count(count::ACCEPTED)
            }
            Subject::Floor => self.whole.times(Op::Send).intended,
        };
        let expected = taken * members;
        let delivered = self.whole.count(count::DELIVERED);
        Check {
            title: "every message reached every member".to_owned(),
            held: delivered == expected && taken > 0,
            detail: format!("{delivered} of {expected} deliveries"),
        }
    }

    /// That every player saw a dense sequence.
    pub fn nothing_twice_or_passed_over(&self) -> Check {
        let twice = self.whole.count(count::DUPLICATES);
        let missing = self.whole.count(count::MISSING);
        Check {
            title: "each player saw each message once, in order".to_owned(),
            held: twice == 0 && missing == 0,
            detail: format!("{twice} twice, {missing} passed over"),
        }
    }

    /// That operations of a kind ended well.
    pub fn none_failed(&self, op: Op) -> Check {
        let errors: u64 = [&self.preparation, &self.whole]
            .iter()
            .flat_map(|slice| slice.times(op).errors.values())
            .sum();
        let done = self.preparation.times(op).latency.len() + self.whole.times(op).latency.len();
        Check {
            title: format!("no {} failed", op.name()),
            held: errors == 0 && done > 0,
            detail: format!("{done} ended well, {errors} failed"),
        }
    }

    /// Figures that every scenario has.
    pub fn figures(&self) -> Vec<Figure> {
        use crate::report::Better::Lower;
        let mut figures = Vec::new();
        let mut add = |name: &str, title: &str, value: f64, unit: &str| {
            if value.is_finite() {
                figures.push(Figure {
                    name: name.to_owned(),
                    title: title.to_owned(),
                    value,
                    unit: unit.to_owned(),
                    better: Some(Lower),
                });
            }
        };
        let delivered = self.measured.count(count::DELIVERED) as f64;
        let bytes = self.measured.count(count::BYTES_IN) as f64;
        if delivered > 0.0 {
            add(
                "bytes_per_delivery",
                "bytes received per delivery",
                bytes / delivered,
                "bytes",
            );
            let messages = self.measured.count(count::MESSAGES_IN) as f64;
            let title = "messages of the transport per delivery";
            add("messages_per_delivery", title, messages / delivered, "");
        }
        if let Some(server) = &self.server {
            let microseconds = server.cpu_seconds * 1e6;
            if delivered > 0.0 {
                let title = "server CPU per delivery";
                add("cpu_per_delivery", title, microseconds / delivered, "µs");
            }
            for (op, name) in [
                (Op::Echo, "cpu_per_echo"),
                (Op::Move, "cpu_per_move"),
                (Op::Submit, "cpu_per_submit"),
                (Op::SignIn, "cpu_per_sign_in"),
                (Op::Connect, "cpu_per_connect"),
            ] {
                let done = self.measured.times(op).latency.len() as f64;
                if done > 0.0 {
                    let title = format!("server CPU per {}", op.name());
                    add(name, &title, microseconds / done, "µs");
                }
            }
            let players = self.players as f64;
            let grown = server
                .memory_bytes
                .saturating_sub(server.memory_before_bytes) as f64;
            let title = "server memory per connection";
            add("memory_per_connection", title, grown / players, "bytes");
        }
        if let Some(seconds) = self.started_in {
            add("started_in", "time to start", seconds, "s");
        }
        figures
    }
}
