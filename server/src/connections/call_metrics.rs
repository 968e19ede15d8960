//! Calls as metrics show them: how many, how they ended and how long they took, by method.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pitturu_metrics::labels::{self, CallClass, CalledMethod};
use pitturu_metrics::table;
use pitturu_protocol::codes::Code;

/// A moment in microseconds since the process began, of which 32 bits are kept: enough to tell how long a call took, as long as
/// it took less than 71 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u32);

static PROCESS_BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Moment {
    /// Now.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the low bits are what is kept"
    )]
    pub fn now() -> Self {
        let since = PROCESS_BEGAN.elapsed();
        Self((since.as_secs() * 1_000_000) as u32 + since.subsec_micros())
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Duration::from_micros(self.until(Self::now()))
    }

    fn until(self, later: Self) -> u64 {
        u64::from(later.0.wrapping_sub(self.0))
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a reply.
    Ok,
    /// With a fault.
    Fault(Code),
}

impl Outcome {
    /// As metrics show it.
    const fn label(self) -> labels::Outcome {
        match self {
            Self::Ok => labels::Outcome::Ok,
            Self::Fault(code) => labels::Outcome::of(code),
        }
    }
}

/// Counts `count` calls of a method that began at one moment and end now.
pub fn count(method: u16, began: Moment, outcome: Outcome, count: u64) {
    if let Outcome::Fault(code) = outcome {
        let class = CallClass::of(method);
        table::FAULTS.at((class, code)).add(count);
    }
    if let Some(method) = CalledMethod::of(method) {
        let took_us = began.until(Moment::now());
        table::CALL_SECONDS.took((method, outcome.label()), took_us, count);
    }
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::methods::Method as _;
    use pitturu_protocol::types::chat::KickMember;

    use super::*;

    /// The page's value of a sample. Other tests of this process count as well, so this one has a method of its own.
    fn value(sample: &str) -> u64 {
        let mut page = String::new();
        pitturu_metrics::recorder::append(&mut page);
        let found = page
            .lines()
            .find_map(|text| text.strip_prefix(sample)?.trim().parse().ok());
        found.unwrap_or(0)
    }

    #[test]
    fn calls_of_all_threads_are_added_up_by_method_and_outcome() {
        let forbidden = || {
            table::FAULTS
                .at((CallClass::Write, Code::Forbidden))
                .value()
        };
        let before = forbidden();
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    count(KickMember::NUMBER, Moment::now(), Outcome::Ok, 2);
                    let refused = Outcome::Fault(Code::Forbidden);
                    count(KickMember::NUMBER, Moment::now(), refused, 1);
                    let long_ago = Moment(Moment::now().0.wrapping_sub(200_000));
                    let failed = Outcome::Fault(Code::Overloaded);
                    count(KickMember::NUMBER, long_ago, failed, 1);
                });
            }
        });
        for (outcome, calls) in [("ok", 6), ("refused", 3), ("failed", 3)] {
            let labels = format!("{{method=\"KickMember\",outcome=\"{outcome}\"}}");
            assert_eq!(value(&format!("pitturu_call_seconds_count{labels}")), calls);
        }
        let failed = "pitturu_call_seconds_bucket{method=\"KickMember\",outcome=\"failed\",le=";
        assert_eq!(value(&format!("{failed}\"0.1\"}}")), 0);
        assert_eq!(value(&format!("{failed}\"0.25\"}}")), 3);
        assert!(forbidden() - before >= 3);
    }

    #[test]
    fn a_call_longer_than_the_clock_s_turn_still_has_its_length() {
        let began = Moment(u32::MAX - 9);
        assert_eq!(began.until(Moment(10)), 20);
    }
}
