//! Calls as Prometheus sees them: how many, how they ended and how long they took, by method.
//!
//! A busy server answers hundreds of thousands of calls a second, so a call costs two additions to counters that mostly
//! one thread writes: threads share stripes, and stripes are added up when somebody looks.

use std::cell::Cell;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use pitturu_protocol::codes::Code;
use pitturu_protocol::methods::METHODS;

/// Upper bounds of the histogram in microseconds: from an echo to a slow disk.
const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// Numbers of methods up to the highest one.
const NUMBERS: usize = METHODS[METHODS.len() - 1].number as usize + 1;

/// How calls end, as the label says it.
const OUTCOMES: [&str; 3] = ["ok", "refused", "failed"];

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
    /// The place of its label in [`OUTCOMES`]. What the server could not do is a failure, what it would not do a refusal.
    const fn label(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Fault(
                Code::Internal | Code::Unavailable | Code::Overloaded | Code::StorageUnavailable,
            ) => 2,
            Self::Fault(_) => 1,
        }
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// By bound, the last one for what is above all.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// The counters that some threads share.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    /// By number of the method and outcome.
    calls: Box<[[Histogram; OUTCOMES.len()]]>,
    /// By place in [`Code::ALL`].
    faults: Box<[AtomicU64]>,
}

static STRIPES: LazyLock<Box<[Stripe]>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let stripe = |_| Stripe {
        calls: (0..NUMBERS).map(|_| Default::default()).collect(),
        faults: Code::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
    };
    (0..cores.next_power_of_two()).map(stripe).collect()
});

/// Threads that have counted something.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Number of this thread among [`THREADS`], once it has counted something.
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

fn stripe() -> &'static Stripe {
    let thread = THREAD.get().unwrap_or_else(|| {
        let thread = THREADS.fetch_add(1, Ordering::Relaxed);
        THREAD.set(Some(thread));
        thread
    });
    &STRIPES[thread % STRIPES.len()]
}

/// Counts `count` calls of a method that began at one moment and end now.
pub fn count(method: u16, began: Moment, outcome: Outcome, count: u64) {
    let stripe = stripe();
    if let Outcome::Fault(code) = outcome
        && let Some(place) = Code::ALL.iter().position(|known| *known == code)
    {
        stripe.faults[place].fetch_add(count, Ordering::Relaxed);
    }
    let Some(outcomes) = stripe.calls.get(usize::from(method)) else {
        return;
    };
    let took_us = began.until(Moment::now());
    let histogram = &outcomes[outcome.label()];
    let bucket = BOUNDS_US.partition_point(|bound| *bound < took_us);
    histogram.counts[bucket].fetch_add(count, Ordering::Relaxed);
    histogram
        .sum_us
        .fetch_add(took_us * count, Ordering::Relaxed);
}

/// Adds all of it to a page for Prometheus. What was never counted is left out.
pub fn append(page: &mut String) {
    let mut calls = String::new();
    page.push_str(
        "# HELP pitturu_call_seconds Time from when a call was read to its answer.\n\
         # TYPE pitturu_call_seconds histogram\n",
    );
    for method in METHODS {
        for (place, outcome) in OUTCOMES.iter().enumerate() {
            let labels = format!("method=\"{}\",outcome=\"{outcome}\"", method.name);
            let counted = append_histogram(page, &labels, usize::from(method.number), place);
            if counted > 0 {
                line(&mut calls, "pitturu_calls_total", &labels, counted);
            }
        }
    }
    page.push_str(
        "# HELP pitturu_calls_total Calls that were answered.\n# TYPE pitturu_calls_total counter\n",
    );
    page.push_str(&calls);
    page.push_str(
        "# HELP pitturu_faults_total Calls that were answered with a fault.\n\
         # TYPE pitturu_faults_total counter\n",
    );
    for (place, code) in Code::ALL.iter().enumerate() {
        let count = sum(|stripe| &stripe.faults[place]);
        if count > 0 {
            let labels = format!("code=\"{}\"", code.name());
            line(page, "pitturu_faults_total", &labels, count);
        }
    }
}

/// Adds one histogram, if there is something in it, and returns how many calls.
fn append_histogram(page: &mut String, labels: &str, number: usize, place: usize) -> u64 {
    let histogram = |stripe: &'static Stripe| &stripe.calls[number][place];
    let counts: Vec<u64> = (0..=BOUNDS_US.len())
        .map(|bucket| sum(|stripe| &histogram(stripe).counts[bucket]))
        .collect();
    let total = counts.iter().sum();
    if total == 0 {
        return 0;
    }
    let mut below = 0;
    for (bound, count) in BOUNDS_US.iter().zip(&counts) {
        below += count;
        let labels = format!("{labels},le=\"{}\"", seconds(*bound));
        line(page, "pitturu_call_seconds_bucket", &labels, below);
    }
    let all = format!("{labels},le=\"+Inf\"");
    line(page, "pitturu_call_seconds_bucket", &all, total);
    let sum_us = sum(|stripe| &histogram(stripe).sum_us);
    line(page, "pitturu_call_seconds_sum", labels, seconds(sum_us));
    line(page, "pitturu_call_seconds_count", labels, total);
    total
}

fn sum(counter: impl Fn(&'static Stripe) -> &'static AtomicU64) -> u64 {
    STRIPES
        .iter()
        .map(|stripe| counter(stripe).load(Ordering::Relaxed))
        .sum()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a page shows fewer digits than that"
)]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000_000.0
}

fn line(page: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    writeln!(page, "{name}{{{labels}}} {value}").expect("a String takes all text");
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::methods::Method as _;
    use pitturu_protocol::types::chat::KickMember;

    use super::*;

    /// Other tests of this process count as well, so this one has a method of its own.
    fn value(page: &str, line: &str) -> Option<u64> {
        page.lines()
            .find_map(|text| text.strip_prefix(line)?.trim().parse().ok())
    }

    #[test]
    fn calls_of_all_threads_are_added_up_by_method_and_outcome() {
        let mut before = String::new();
        append(&mut before);
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
        let mut page = String::new();
        append(&mut page);
        let more = |line: &str| value(&page, line).unwrap_or(0) - value(&before, line).unwrap_or(0);
        for (outcome, calls) in [("ok", 6), ("refused", 3), ("failed", 3)] {
            let labels = format!("{{method=\"KickMember\",outcome=\"{outcome}\"}}");
            assert_eq!(more(&format!("pitturu_calls_total{labels}")), calls);
            assert_eq!(more(&format!("pitturu_call_seconds_count{labels}")), calls);
        }
        let failed = "pitturu_call_seconds_bucket{method=\"KickMember\",outcome=\"failed\",le=";
        assert_eq!(more(&format!("{failed}\"0.1\"}}")), 0);
        assert_eq!(more(&format!("{failed}\"0.25\"}}")), 3);
        assert!(more("pitturu_faults_total{code=\"forbidden\"}") >= 3);
    }

    #[test]
    fn a_call_longer_than_the_clock_s_turn_still_has_its_length() {
        let began = Moment(u32::MAX - 9);
        assert_eq!(began.until(Moment(10)), 20);
    }
}
