//! Many movements in flight, as connections of two I/O threads have them.

use std::fs;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot;

use crate::Options;
use crate::plan::{Plan, Wish};

/// I/O threads, which make the movements and run the owners.
pub(crate) const THREADS: usize = 2;

/// Ticks per second in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// What keeps points.
pub(crate) trait Ledger {
    /// How it is called.
    const NAME: &'static str;

    /// What makes movements from a thread that serves connections.
    type Hand: Hand;

    /// One more hand.
    fn hand(&self) -> Self::Hand;

    /// Runs this on the I/O thread of this number.
    fn spawn(&self, number: usize, task: impl Future<Output = ()> + Send + 'static);
}

/// Makes movements.
pub(crate) trait Hand: Send + Sync + 'static {
    /// Resolves when the movement is on disk. It panics when it is refused.
    type Answer: Future<Output = ()> + Send + Unpin;

    /// Makes one.
    fn move_points(&self, wish: Wish) -> Self::Answer;
}

/// What a turn was.
pub(crate) struct Turn {
    /// How long each answer took, in microseconds, sorted.
    pub(crate) answers: Vec<u32>,
    pub(crate) seconds: f64,
    pub(crate) processor_seconds: f64,
    pub(crate) disk_bytes: f64,
}

impl Turn {
    /// In milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let place = self.answers.len() * percent / 100;
        let answer = self
            .answers
            .get(place.min(self.answers.len().saturating_sub(1)));
        f64::from(answer.copied().unwrap_or(0)) / 1_000.0
    }
}

/// Has movements made for so long, and waits for the last answers.
pub(crate) fn drive<L: Ledger>(ledger: &L, options: &Options, length: Duration, seed: u64) -> Turn {
    let (processor, disk, began) = (processor_seconds(), disk_bytes(), Instant::now());
    let ends = began + length;
    let mut tasks = Vec::new();
    for number in 0..THREADS {
        let (report, reported) = oneshot::channel();
        let plan = Plan::new(options, seed * THREADS as u64 + number as u64);
        let (hand, window) = (ledger.hand(), options.in_flight / THREADS);
        ledger.spawn(number, async move {
            let answers = keep_moving(&hand, plan, window, ends).await;
            report.send(answers).expect("the turn waits for it");
        });
        tasks.push(reported);
    }
    let mut answers: Vec<u32> = tasks
        .into_iter()
        .flat_map(|task| task.blocking_recv().expect("no movement is refused"))
        .collect();
    answers.sort_unstable();
    Turn {
        answers,
        seconds: began.elapsed().as_secs_f64(),
        processor_seconds: processor_seconds() - processor,
        disk_bytes: disk_bytes() - disk,
    }
}

/// Keeps so many movements in flight. How long each took, in microseconds.
async fn keep_moving<H: Hand>(hand: &H, mut plan: Plan, window: usize, ends: Instant) -> Vec<u32> {
    let mut answers = Vec::new();
    let mut waiting = FuturesUnordered::new();
    let mut now = Instant::now();
    loop {
        while waiting.len() < window && now < ends {
            let (began, answer) = (Instant::now(), hand.move_points(plan.next()));
            waiting.push(answer.map(move |()| began));
        }
        let Some(began) = waiting.next().await else {
            return answers;
        };
        now = Instant::now();
        answers.push(u32::try_from((now - began).as_micros()).unwrap_or(u32::MAX));
    }
}

fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind_name.split_ascii_whitespace().skip(11).take(2);
    let ticks = fields.filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn disk_bytes() -> f64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let mut lines = io.lines();
    let written = lines.find_map(|line| line.strip_prefix("write_bytes: "));
    written.and_then(|bytes| bytes.parse().ok()).unwrap_or(0.0)
}
