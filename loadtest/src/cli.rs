//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::flood::Flood;
use crate::floor::Floor;
use crate::link::Transport;
use crate::objective::Objective;
use crate::probe;
use crate::run::Setting;
use crate::scenarios::Scenario;

/// Capacity tests of a PittuRu server.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario and report.
    Run(Run),
    /// Raise a scenario's load until an objective breaks.
    Capacity(Capacity),
    /// Compare two JSON reports; fails when the second is worse beyond a budget.
    Compare(Compare),
    /// Serve as a floor, a bare program to compare with. Started by `run`, and by hand to be somewhere else.
    Floor {
        /// Which.
        floor: Floor,
        /// What carries the messages. In place of WebTransport that is QUIC: a floor has no HTTP/3.
        #[arg(long, value_enum, default_value_t)]
        transport: Transport,
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Flood this address. Started by `run`.
    #[command(hide = true)]
    Flooder {
        /// Which.
        to: SocketAddr,
        /// What is sent.
        #[command(flatten)]
        flood: Flood,
    },
    /// Serve as a generator process. Started by `run`.
    #[command(hide = true)]
    Worker,
}

/// `loadtest run`.
#[derive(Debug, Args)]
pub struct Run {
    /// How to run.
    #[command(flatten)]
    pub options: Options,
    /// Run the bare program as well, in turn with the server, and print ratios.
    #[arg(long)]
    pub floor: bool,
    /// Times to run; ratios are of medians.
    #[arg(long, default_value_t = 1)]
    pub repeat: u32,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
    /// What players do.
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// `loadtest capacity`.
#[derive(Debug, Args)]
pub struct Capacity {
    /// How to run.
    #[command(flatten)]
    pub options: Options,
    /// What must hold, as in `deliver.p99<50ms`; may be given several times. That nothing is lost must hold anyway.
    #[arg(long, default_value = "p99<50ms")]
    pub objective: Vec<Objective>,
    /// First load to try.
    #[arg(long)]
    pub from: f64,
    /// Highest load to try.
    #[arg(long)]
    pub to: f64,
    /// How closely to find the limit, as a part of it.
    #[arg(long, default_value_t = 0.1)]
    pub within: f64,
    /// Where results go.
    #[command(flatten)]
    pub output: Output,
    /// What players do.
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// `loadtest compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The report to compare with.
    pub before: PathBuf,
    /// The report to judge.
    pub after: PathBuf,
    /// How much worse a figure may be, as in `p99=30%` or `cpu_per_delivery=5%`; may be given several times.
    #[arg(long)]
    pub budget: Vec<String>,
}

/// How to run.
#[derive(Debug, Args)]
pub struct Options {
    /// Seconds of the measured part.
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
    /// Seconds of load before it.
    #[arg(long, default_value_t = 3)]
    pub warm_up: u32,
    /// Generator processes. More are used when one may not open as many files.
    #[arg(long, default_value_t = 1)]
    pub processes: u64,
    /// Threads of each generator process. 0: half of the cores.
    #[arg(long, default_value_t = 0)]
    pub threads: u32,
    /// Loopback addresses that connections come from. 0: as many as the connections need.
    #[arg(long, default_value_t = 0)]
    pub sources: u8,
    /// What carries the protocol. The generator believes any certificate. The floor of `webtransport` is that of `quic`, without HTTP/3.
    #[arg(long, value_enum, default_value_t)]
    pub transport: Transport,
    /// The server's program.
    #[arg(long, default_value_os_t = program_beside())]
    pub server: PathBuf,
    /// Folder below which the server keeps its data: on the disk to be measured.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// A setting for the server, as `section.key=value`; may be given several times.
    #[arg(long = "set")]
    pub settings: Vec<String>,
    /// Address of a server that runs already, for this transport, instead of starting one.
    #[arg(long)]
    pub address: Option<SocketAddr>,
    /// Operations port of that server, for its processor time and memory.
    #[arg(long, requires = "address")]
    pub ops: Option<SocketAddr>,
    /// Chooses accounts and moments; drawn when absent.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Where results go, beside the terminal.
#[derive(Debug, Args)]
pub struct Output {
    /// Write the report as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the report as a page with charts.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// Connections from one address that the ports of Linux allow by default, less a reserve.
const CONNECTIONS_PER_SOURCE: u64 = 25_000;

/// Open files of a process beside its connections.
const FILES_RESERVE: u64 = 100;

impl Options {
    /// As a run needs it, for this scenario on this machine.
    pub fn setting(&self, scenario: &Scenario) -> Setting {
        let connections = scenario.connections();
        let files = open_files().saturating_sub(FILES_RESERVE).max(1);
        let sources = match self.sources {
            0 => u8::try_from(connections.div_ceil(CONNECTIONS_PER_SOURCE)).unwrap_or(u8::MAX),
            sources => sources,
        };
        let threads = match self.threads {
            0 => u32::try_from(probe::cores() / 2).unwrap_or(1).max(1),
            threads => threads,
        };
        Setting {
            transport: self.transport,
            warm_up: self.warm_up,
            seconds: self.seconds.max(1),
            processes: self.processes.max(connections.div_ceil(files)).max(1),
            threads,
            sources: if sources > 1 { sources } else { self.sources },
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..) >> 8),
            program: self.server.clone(),
            data: self.data.clone(),
            settings: self.settings.clone(),
            running: self
                .address
                .map(|address| (address, self.ops.map(probe::Probe::Metrics))),
        }
    }
}

/// Files that a process may open. Raised as far as it may be, also for the processes that this one starts.
fn open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum.unwrap_or(u64::MAX)
    } else {
        limit.current.unwrap_or(u64::MAX)
    }
}

/// The server that was built with this program.
fn program_beside() -> PathBuf {
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|path| Some(path.parent()?.join("pitturu")));
    beside.unwrap_or_else(|| PathBuf::from("pitturu"))
}
