//! The command line.

use std::path::PathBuf;

/// Moves points at random, kills the server at the points on their way, and compares every line of every player's books with a model.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Movements to be acknowledged.
    #[arg(long, default_value_t = 1_000_000)]
    pub movements: u64,

    /// Players.
    #[arg(long, default_value_t = 10_000)]
    pub players: u32,

    /// Players who get four fifths of the movements.
    #[arg(long, default_value_t = 100)]
    pub busy: u32,

    /// Clients that call at the same time.
    #[arg(long, default_value_t = 60)]
    pub connections: usize,

    /// How often the server is killed.
    #[arg(long, default_value_t = 60)]
    pub kills: u32,

    /// How often everything comes to rest and is compared before the end, each time after a kill.
    #[arg(long, default_value_t = 3)]
    pub audits: u32,

    /// Histories that are read by random filters each time.
    #[arg(long, default_value_t = 250)]
    pub queries: u64,

    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Only these fail points.
    #[arg(long, value_delimiter = ',')]
    pub points: Vec<String>,

    /// Leaves protections out, to see that they would be missed: signal_deduplication, lasting_keys.
    #[arg(long, value_delimiter = ',')]
    pub undo: Vec<String>,

    /// The form that is a test: fewer movements, players and kills.
    #[arg(long)]
    pub short: bool,

    /// Fails when nothing was found: for protections that are left out.
    #[arg(long)]
    pub must_find: bool,

    /// Writes the report as JSON to this file as well.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

impl Arguments {
    /// With the figures of the short form, if that is wanted.
    pub fn of_form(&self) -> Self {
        if !self.short {
            return self.clone();
        }
        Self {
            movements: 12_000,
            players: 300,
            busy: 20,
            connections: 30,
            kills: 12,
            audits: 2,
            queries: 30,
            short: false,
            ..self.clone()
        }
    }

    /// How to run it again.
    pub fn command(&self) -> String {
        let mut command = format!(
            "--movements {} --players {} --busy {} --connections {} --kills {} --audits {} --queries {} --seed {}",
            self.movements,
            self.players,
            self.busy,
            self.connections,
            self.kills,
            self.audits,
            self.queries,
            self.seed
        );
        for (flag, value) in [("points", &self.points), ("undo", &self.undo)] {
            if !value.is_empty() {
                command = format!("{command} --{flag} {}", value.join(","));
            }
        }
        format!("make ledger ARGS=\"{command}\"")
    }
}
