//! What a test found: plain data that is written as JSON, shown as a table and as a page, and compared.

pub mod compare;
pub mod html;
pub mod json;
mod medians;
pub mod number;
pub mod progress;
#[cfg(test)]
pub(crate) mod sample;
pub mod table;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the JSON layout. A reader refuses others.
pub const LAYOUT: u32 = 1;

/// Everything that one command measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`LAYOUT`].
    pub layout: u32,
    /// When the command began, in UTC, as `2026-01-31T12:00:00Z`.
    pub began: String,
    /// The command line.
    pub command: String,
    /// The machine.
    pub host: Host,
    /// In the order in which they ran.
    pub runs: Vec<Run>,
    /// The server beside a floor, medians over the repetitions.
    pub ratios: Vec<Ratio>,
    /// What a capacity search found.
    pub capacity: Option<Capacity>,
}

/// The machine that generator and server share, or the generator's when the server is elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Cores that this process may use.
    pub cores: usize,
    /// Name of the processor.
    pub processor: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel's name and release.
    pub kernel: String,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The PittuRu server.
    Server,
    /// The bare program that the scenario compares with.
    Floor,
}

/// One scenario, run once against one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of the scenario, as on the command line.
    pub scenario: String,
    /// What was measured.
    pub subject: Subject,
    /// From 1: which repetition.
    pub repetition: u32,
    /// The scenario's parameters, as on the command line, in their order.
    pub parameters: Vec<(String, String)>,
    /// The server's settings that differ from its defaults, as `key=value`.
    pub settings: Vec<String>,
    /// Length of the measured part in seconds, without warm-up and drain.
    pub seconds: f64,
    /// Connections that were open during the measured part.
    pub connections: u64,
    /// By kind, in the order in which a player meets them.
    pub operations: Vec<Operation>,
    /// Plain counts of the measured part, by name: see [`count`](crate::tally::count).
    pub counts: BTreeMap<String, u64>,
    /// The server's or floor's process; absent where it can't be seen.
    pub server: Option<Usage>,
    /// All generator processes together.
    pub generator: Usage,
    /// Figures with a unit that follow from the above or belong to this scenario alone.
    pub figures: Vec<Figure>,
    /// One entry per second, from the start of the load to the end of the drain.
    pub timeline: Vec<Second>,
    /// What was promised and whether it held: nothing lost, nothing twice, everybody back.
    pub checks: Vec<Check>,
    /// Why the figures may not be what they seem: the generator was the limit, a source ran out.
    pub warnings: Vec<String>,
}

impl Subject {
    /// As it is called in tables and pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Floor => "floor",
        }
    }
}

impl Run {
    /// The operation of that name.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations
            .iter()
            .find(|operation| operation.name == name)
    }

    /// The figure of that name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// The parameters as on a command line, `players=1000 rate=500`.
    #[must_use]
    pub fn parameters_line(&self) -> String {
        parameters_line(&self.parameters)
    }
}

/// Parameters in their order, `players=1000 rate=500`.
fn parameters_line(parameters: &[(String, String)]) -> String {
    let words: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    words.join(" ")
}

impl Usage {
    /// Cores used on average over that many seconds; absent without a length.
    #[must_use]
    pub fn cores(&self, seconds: f64) -> Option<f64> {
        let cores = self.cpu_seconds / seconds;
        cores.is_finite().then_some(cores)
    }
}

/// One kind of thing that players do or that happens to them, such as `connect`, `send` or `deliver`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// How many per second were meant to begin; absent for what the generator does not pace.
    pub offered_per_second: Option<f64>,
    /// How many per second ended well.
    pub achieved_per_second: f64,
    /// How many ended well.
    pub done: u64,
    /// How many failed, by the code of their fault or `disconnected`, `timed_out`.
    pub errors: BTreeMap<String, u64>,
    /// From the intended beginning to the end.
    pub latency: Latency,
}

/// A distribution of times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many times were measured.
    pub samples: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Half were at most this.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Points `(percentile, milliseconds)` for a curve, percentiles rising from 0 to 100.
    pub curve: Vec<(f64, f64)>,
}

/// What processes used during the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor seconds, user and system.
    pub cpu_seconds: f64,
    /// Of those, in the system; absent where only the sum is known.
    pub cpu_system_seconds: Option<f64>,
    /// Resident memory before the first connection of the test, in bytes.
    pub memory_before_bytes: u64,
    /// Resident memory at the end of the measured part, in bytes.
    pub memory_bytes: u64,
    /// Highest resident memory seen during the measured part, in bytes.
    pub memory_max_bytes: u64,
    /// Threads that could have used a core each.
    pub threads: u64,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Short name, such as `cpu_per_delivery`.
    pub name: String,
    /// What it says, for people: `server CPU per delivery`.
    pub title: String,
    /// The number.
    pub value: f64,
    /// Its unit, such as `µs`, `bytes`, `s`, `1/s`.
    pub unit: String,
    /// Which way is better. Figures without one are shown, and not compared.
    pub better: Option<Better>,
}

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Costs and times.
    Lower,
    /// Rates.
    Higher,
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the load began; the warm-up has negative seconds.
    pub second: i64,
    /// Latencies of the operations that ended in it.
    pub operations: BTreeMap<String, Instant>,
    /// Counts of that second, by the names of [`count`](crate::tally::count).
    pub counts: BTreeMap<String, u64>,
    /// Cores that the server used.
    pub server_cores: Option<f64>,
    /// Cores that the generator used.
    pub generator_cores: f64,
    /// Resident memory of the server in bytes.
    pub server_memory_bytes: Option<u64>,
}

/// One operation within one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instant {
    /// How many ended.
    pub done: u64,
    /// How many failed.
    pub errors: u64,
    /// Median in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Something that must hold for a run to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What must hold: `every message reached every member`.
    pub title: String,
    /// Whether it did.
    pub held: bool,
    /// The numbers behind it: `1,000,000 of 1,000,000`.
    pub detail: String,
}

/// The server's figure over the floor's, each the median of its repetitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Scenario.
    pub scenario: String,
    /// Name of the figure, such as `cpu_per_delivery` or `deliver_p99`.
    pub figure: String,
    /// The server's median.
    pub server: f64,
    /// The floor's median.
    pub floor: f64,
    /// Unit of both.
    pub unit: String,
    /// `server / floor`.
    pub ratio: f64,
    /// Which way is better.
    pub better: Better,
}

/// Where a capacity search ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Which parameter was raised.
    pub parameter: String,
    /// What had to hold, as on the command line.
    pub objective: String,
    /// Highest value at which the objective held; absent if it never did.
    pub held_at: Option<f64>,
    /// Lowest value at which it broke; absent if it never did.
    pub broke_at: Option<f64>,
    /// Why it broke there, in words: what exceeded what, and which side had no processor left.
    pub reason: String,
    /// Every value tried, in order: the value, whether the objective held, and what was measured.
    pub steps: Vec<Step>,
}

/// One value that a capacity search tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The parameter's value.
    pub value: f64,
    /// Whether the objective held.
    pub held: bool,
    /// What was measured, in words.
    pub detail: String,
}
