//! Movements of points: those of players at their owners over the embedded store, and the same in SQLite, by turns in one run.
//!
//! What is measured is printed for each turn, and at the end the medians with their ratio. A movement counts when its answer is
//! there, which is when it is on the disk. `cargo bench -p pitturu-server --bench movements -- --help` says what can be set.

#![allow(clippy::print_stdout, reason = "what was measured")]

mod load;
mod owners;
mod plan;
mod sqlite;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use pitturu_server::ops::metrics::Metrics;
use tempfile::TempDir;
use tikv_jemallocator::Jemalloc;

use self::load::{Ledger, Turn, drive};
use self::owners::Owned;
use self::sqlite::Sqlite;

/// The allocator of the `pitturu` program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Seeds of what is not measured: its keys are others.
const WARM_UP_SEEDS: u64 = 1_000;

/// What can be set.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Players.
    #[arg(long, default_value_t = 10_000)]
    players: u32,
    /// Players who have the hot share of the movements.
    #[arg(long, default_value_t = 100)]
    hot: u32,
    /// Movements of a hundred that are of a hot player.
    #[arg(long, default_value_t = 80)]
    hot_share: u32,
    /// Movements of a hundred that are gifts; the others are grants and spends, as many of each.
    #[arg(long, default_value_t = 10)]
    gifts: u32,
    /// Movements without an answer at any time.
    #[arg(long, default_value_t = 4_096)]
    in_flight: usize,
    /// Seconds of each turn before anything counts.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Length of a turn in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Turns of each.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Leaves SQLite out.
    #[arg(long)]
    alone: bool,
    /// Folder for both stores: to be on the disk that is meant.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let metrics = Metrics::install().expect("the only recorder");
    let ours = TempDir::new_in(&options.dir).expect("a folder");
    let theirs = TempDir::new_in(&options.dir).expect("a folder");
    let owned = Owned::start(ours.path(), &options);
    let sqlite = (!options.alone).then(|| Sqlite::start(theirs.path(), &options));
    println!(
        "{} players, {} % of the movements on {}, {} % gifts, {} in flight, {} s each",
        options.players,
        options.hot_share,
        options.hot,
        options.gifts,
        options.in_flight,
        options.seconds
    );
    let (mut of_ours, mut of_sqlite) = (Vec::new(), Vec::new());
    let length = Duration::from_secs(options.seconds);
    for round in 0..options.rounds {
        let seed = u64::from(round);
        of_ours.push(turn(&owned, &metrics, &options, length, seed));
        if let Some(sqlite) = &sqlite {
            of_sqlite.push(turn(sqlite, &metrics, &options, length, seed));
        }
    }
    let ours = median(&of_ours);
    println!("median: pitturu {ours:.0} movements/s");
    if !of_sqlite.is_empty() {
        let theirs = median(&of_sqlite);
        println!(
            "median: SQLite {theirs:.0} movements/s, ratio {:.2}",
            ours / theirs
        );
    }
}

/// One turn of one of the two. Prints it.
fn turn<L: Ledger>(
    ledger: &L,
    metrics: &Metrics,
    options: &Options,
    length: Duration,
    seed: u64,
) -> f64 {
    drive(
        ledger,
        options,
        Duration::from_secs(options.warm_up),
        WARM_UP_SEEDS + seed,
    );
    let before = Written::so_far(metrics);
    let turn: Turn = drive(ledger, options, length, seed);
    let written = Written::so_far(metrics).less(before);
    let count = turn.answers.len() as f64;
    print!(
        "{:8} {:7.0}/s  p50 {:5.1} ms  p99 {:5.1} ms  {:5.1} us of processor, {:4.0} bytes of disk each",
        L::NAME,
        count / turn.seconds,
        turn.percentile(50),
        turn.percentile(99),
        turn.processor_seconds * 1e6 / count,
        turn.disk_bytes / count,
    );
    if written.rows > 0.0 {
        print!(
            "  {:4.2} rows, {:4.0} bytes committed each, {:.0} commits/s",
            written.rows / count,
            written.bytes / count,
            written.commits / turn.seconds
        );
    }
    println!();
    count / turn.seconds
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// What the embedded store has committed.
#[derive(Clone, Copy)]
struct Written {
    rows: f64,
    bytes: f64,
    commits: f64,
}

impl Written {
    fn so_far(metrics: &Metrics) -> Self {
        let text = metrics.render();
        let value = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
        };
        Self {
            rows: value("pitturu_store_commit_rows_sum"),
            bytes: value("pitturu_store_committed_bytes_total"),
            commits: value("pitturu_store_commit_rows_count"),
        }
    }

    fn less(self, before: Self) -> Self {
        Self {
            rows: self.rows - before.rows,
            bytes: self.bytes - before.bytes,
            commits: self.commits - before.commits,
        }
    }
}
