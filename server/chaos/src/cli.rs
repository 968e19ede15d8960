//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::faults::Kind;
use crate::ledger;

/// Rounds of the short form in which the process ends: a commit that failed may be in the journal then, and nothing takes it back
/// at the next start. So failures that leave it there have rounds of their own.
const WITH_ENDS: &[Kind] = &[
    Kind::FileLimit,
    Kind::FullSync,
    Kind::FailingSync,
    Kind::AbortRecovery,
];

/// Rounds in which it goes on.
const WITHOUT_ENDS: &[Kind] = &[
    Kind::Kill,
    Kind::Stop,
    Kind::Abort,
    Kind::AbortRecovery,
    Kind::ShortQueue,
    Kind::FailingWrite,
    Kind::FailingSync,
];

/// The rounds of the short form: seconds, and kinds of faults that stay out.
const SHORT: &[(f64, &[Kind])] = &[(5.0, WITH_ENDS), (4.0, WITHOUT_ENDS), (5.0, WITH_ENDS)];

/// Breaks a server by seed, and checks all that its clients were told.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "pitturu-chaos",
    version,
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Another kind of run.
    #[command(subcommand)]
    pub other: Option<Other>,

    /// Goes on with the next seed for so long.
    #[arg(long, default_value_t = 5.0)]
    pub minutes: f64,

    /// Runs exactly so many rounds instead.
    #[arg(long)]
    pub rounds: Option<u64>,

    /// Seed of the first round; the next round has the next number.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// How long the server is broken in each round, in seconds.
    #[arg(long, default_value_t = 20.0)]
    pub round_seconds: f64,

    /// Players with the Rust SDK.
    #[arg(long, default_value_t = 8)]
    pub sdk_players: usize,

    /// Players with frames of their own, four at least.
    #[arg(long, default_value_t = 8)]
    pub raw_players: usize,

    /// What each player does at the same time.
    #[arg(long, default_value_t = 4)]
    pub workers: usize,

    /// Only these kinds of faults, by their names in the report.
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    pub only: Vec<Kind>,

    /// All kinds of faults but these.
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    pub without: Vec<Kind>,

    /// Leaves protections out, to see that they would be missed: settle_before_publish, reserve_then_decide, load_barrier,
    /// numbered_openings, signal_deduplication, lasting_keys, keys_across_seasons.
    #[arg(long, value_delimiter = ',')]
    pub undo: Vec<String>,

    /// Runs a few short rounds with fixed seeds instead: the form that is a test.
    #[arg(long)]
    pub short: bool,

    /// Fails when nothing was found: for protections that are left out.
    #[arg(long)]
    pub must_find: bool,

    /// Goes on after a round with violations.
    #[arg(long)]
    pub keep_going: bool,

    /// Writes the report as JSON to this file as well.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Runs of another kind.
#[derive(Clone, Debug, Subcommand)]
pub enum Other {
    /// Only points, very many movements of them.
    Ledger(ledger::cli::Arguments),
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| {
        let names: Vec<&str> = Kind::all().map(Kind::name).collect();
        format!("one of {}", names.join(", "))
    })
}

impl Arguments {
    /// The kinds of faults that are wanted.
    pub fn kinds(&self) -> Vec<Kind> {
        Kind::all()
            .filter(|kind| self.only.is_empty() || self.only.contains(kind))
            .filter(|kind| !self.without.contains(kind))
            .collect()
    }

    /// The round after so many, or nothing after the last one that was asked for.
    pub fn round(&self, number: u64) -> Option<Self> {
        if self.short {
            return self.short_round(number);
        }
        let is_wanted = self.rounds.is_none_or(|rounds| number < rounds);
        is_wanted.then(|| Self {
            seed: self.seed + number,
            ..self.clone()
        })
    }

    fn short_round(&self, number: u64) -> Option<Self> {
        let (seconds, without) = SHORT.get(usize::try_from(number).ok()?)?;
        Some(Self {
            seed: 1 + number,
            rounds: Some(1),
            round_seconds: *seconds,
            sdk_players: 5,
            raw_players: 5,
            without: without.to_vec(),
            ..self.clone()
        })
    }

    /// How to run this round again.
    pub fn command(&self) -> String {
        let names = |kinds: &[Kind]| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            names.join(",")
        };
        let mut command = format!(
            "--seed {} --rounds 1 --round-seconds {} --sdk-players {} --raw-players {} --workers {}",
            self.seed, self.round_seconds, self.sdk_players, self.raw_players, self.workers
        );
        for (flag, value) in [
            ("only", names(&self.only)),
            ("without", names(&self.without)),
            ("undo", self.undo.join(",")),
        ] {
            if !value.is_empty() {
                command = format!("{command} --{flag} {value}");
            }
        }
        format!("make chaos ARGS=\"{command}\"")
    }
}
