//! One scenario against one subject: from starting it to a part of the report.

use std::path::PathBuf;

use crate::fleet::{self, FleetError, Gathered, Watched};
use crate::link::{Route, Transport};
use crate::outcome::Outcome;
use crate::plan::{Plan, Share};
use crate::player::Failed;
use crate::probe::{self, ResourceSample, Sample};
use crate::report::{Run, Subject, Usage};
use crate::scenarios::Scenario;
use crate::server_settings::SETTINGS;
use crate::setup_rooms;
use crate::target::{GAME_FILE, Installation, StartError, Target};

pub(crate) mod assemble;
pub mod ratios;

/// Share of what its threads could use from which on the generator is called the limit.
const GENERATOR_BUSY: f64 = 0.9;

/// How to run, beside the scenario itself.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What carries the protocol.
    pub transport: Transport,
    /// Seconds of load before the measured part.
    pub warm_up: u32,
    /// Seconds of the measured part.
    pub seconds: u32,
    /// Generator processes.
    pub processes: u64,
    /// Threads of each.
    pub threads: u32,
    /// Loopback addresses that connections come from.
    pub sources: u8,
    /// Chooses the accounts.
    pub seed: u64,
    /// The server's program.
    pub program: PathBuf,
    /// Folder below which the server keeps its data.
    pub data: Option<PathBuf>,
    /// Settings for the server, as `key=value`.
    pub settings: Vec<String>,
    /// A server that runs already.
    pub running: Option<(std::net::SocketAddr, Option<probe::Probe>)>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The subject did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The generator did not work.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The rooms could not be made.
    #[error("making the rooms: {0}")]
    Rooms(#[from] Failed),
    /// There is no bare program for this scenario.
    #[error("scenario {0} has no floor to compare with")]
    NoFloor(&'static str),
    /// A server that runs already can't be started again.
    #[error("scenario {0} starts the server again, so it can't use one that runs already")]
    NotOurs(&'static str),
}

impl Setting {
    /// Settings that the server gets: those of every test, the scenario's, the user's; later ones win.
    pub fn server_settings(&self, scenario: &Scenario) -> Vec<String> {
        let fixed = SETTINGS.iter().map(|&setting| setting.to_owned());
        let game = scenario.game().map(|_| format!("game.file={GAME_FILE}"));
        fixed
            .chain(game)
            .chain(scenario.settings())
            .chain(self.settings.iter().cloned())
            .collect()
    }

    /// A server for this scenario.
    pub fn install(&self, scenario: &Scenario) -> Result<Installation, StartError> {
        let settings = self.server_settings(scenario);
        let program = self.program.clone();
        let data = self.data.as_deref();
        Installation::new(program, self.transport, data, settings, scenario.game())
    }

    /// The subject, started if it is not running.
    pub fn target(&self, scenario: &Scenario, subject: Subject) -> Result<Started, RunError> {
        match (subject, self.running) {
            (Subject::Floor, Some((address, probe))) if !scenario.has_server() => Ok(Started {
                target: Target::running(subject, address, probe),
                _installation: None,
            }),
            (Subject::Floor, _) => {
                let floor = scenario.floor().ok_or(RunError::NoFloor(scenario.name()))?;
                let target = Target::floor(floor, self.transport, probe::cores())?;
                Ok(Started {
                    target,
                    _installation: None,
                })
            }
            (Subject::Server, Some((address, probe))) => Ok(Started {
                target: Target::running(subject, address, probe),
                _installation: None,
            }),
            (Subject::Server, None) => {
                let installation = self.install(scenario)?;
                Ok(Started {
                    target: installation.start()?,
                    _installation: Some(installation),
                })
            }
        }
    }

    /// Runs the scenario against a target that is there.
    pub async fn measure(
        &self,
        scenario: &Scenario,
        target: &Target,
        repetition: u32,
        watch: impl FnMut(Watched<'_>),
    ) -> Result<Run, RunError> {
        let before = target.probe.and_then(probe::Probe::sample);
        let seed = self.seed.wrapping_add(u64::from(repetition) << 40);
        let rooms = match target.subject {
            Subject::Server => {
                let route = Route::to(self.transport, target.address);
                setup_rooms::make_all(route, seed, scenario.rooms()).await?
            }
            Subject::Floor => Vec::new(),
        };
        let plan = Plan {
            subject: target.subject,
            transport: self.transport,
            address: target.address,
            sources: self.sources,
            share: Share { index: 0, of: 1 },
            threads: self.threads,
            warm_up: self.warm_up,
            seconds: self.seconds,
            seed,
            rooms,
        };
        let gathered = fleet::run(scenario, &plan, self.processes, target.probe, watch).await?;
        let outcome = self.outcome(scenario, &plan, target, before, &gathered);
        let mut run = assemble::run(scenario, self.transport, &outcome, &gathered, repetition);
        if target.subject == Subject::Server {
            run.settings = self.server_settings(scenario);
        }
        Ok(run)
    }

    fn outcome(
        &self,
        scenario: &Scenario,
        plan: &Plan,
        target: &Target,
        before: Option<Sample>,
        gathered: &Gathered,
    ) -> Outcome {
        let threads = self.processes * u64::from(self.threads.max(1));
        let last = i64::from(plan.seconds);
        let from = gathered.resources.get(&0).copied().unwrap_or_default();
        let to = gathered.resources.get(&last).copied().unwrap_or(from);
        let server = from.server.zip(to.server).map(|ends| {
            let highest = highest(gathered, last, |resources| resources.server);
            usage(ends, before.unwrap_or_default(), highest, 0)
        });
        let generator = usage(
            (from.generator, to.generator),
            Sample::default(),
            highest(gathered, last, |resources| Some(resources.generator)),
            threads,
        );
        // The two looks at the processes may be a little more or less than the seconds apart.
        let seconds = (to.at.saturating_sub(from.at)) as f64 / crate::clock::SECOND as f64;
        let mut outcome = Outcome {
            subject: target.subject,
            seconds: if seconds > 0.0 {
                seconds
            } else {
                f64::from(plan.seconds)
            },
            players: scenario.players(),
            preparation: gathered.preparation.clone(),
            by_second: gathered.by_second.clone(),
            measured: crate::tally::Slice::default(),
            whole: crate::tally::Slice::default(),
            server,
            generator,
            resources: gathered.resources.clone(),
            started_in: target.started_in.map(|time| time.as_secs_f64()),
        };
        outcome.sum_up(plan.seconds);
        outcome
    }
}

/// A target, and the folder that it lives in.
#[derive(Debug)]
pub struct Started {
    /// The target.
    pub target: Target,
    /// Removed after the target has stopped.
    _installation: Option<Installation>,
}

fn usage(ends: (Sample, Sample), before: Sample, highest: u64, threads: u64) -> Usage {
    let (from, to) = ends;
    Usage {
        cpu_seconds: to.cpu_seconds - from.cpu_seconds,
        cpu_system_seconds: to
            .cpu_system_seconds
            .zip(from.cpu_system_seconds)
            .map(|(to, from)| to - from),
        memory_before_bytes: before.memory_bytes,
        memory_bytes: to.memory_bytes,
        memory_max_bytes: highest,
        threads,
    }
}

fn highest(gathered: &Gathered, last: i64, of: impl Fn(&ResourceSample) -> Option<Sample>) -> u64 {
    let samples = gathered.resources.range(0..=last);
    samples
        .filter_map(|(_, resources)| of(resources))
        .map(|sample| sample.memory_bytes)
        .max()
        .unwrap_or_default()
}

/// Whether the generator's threads had next to nothing left.
fn is_limit(generator: &Usage, seconds: f64) -> bool {
    generator.threads > 0
        && generator.cpu_seconds / seconds / generator.threads as f64 > GENERATOR_BUSY
}
