//! What the program does for each command.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use crate::cli::{self, Output};
use crate::fleet::Watched;
use crate::probe::{self, ResourceSample};
use crate::report::progress::Progress;
use crate::report::{Capacity, LAYOUT, Report, Run, Subject, compare, html, json, table};
use crate::run::assemble::entry;
use crate::run::ratios::ratios;
use crate::run::{RunError, Setting};
use crate::scenarios::Scenario;
use crate::target::Target;

mod capacity;
mod cold_rooms;
mod flood;

pub use capacity::{InvalidBounds, SearchError};
pub use flood::FloodError;

/// Exit code when a check was broken, an objective never held, or a comparison shows a regression.
const FAILED: u8 = 1;

/// Exit code when the command could not do its work.
const UNABLE: u8 = 2;

/// Why a command could not do its work.
pub type Error = Box<dyn std::error::Error>;

/// Why a scenario was not measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The run itself.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What was to load the server beside it.
    #[error(transparent)]
    Flood(#[from] FloodError),
}

/// Says why.
pub fn fail(error: &Error) -> ExitCode {
    eprintln!("loadtest: {error}");
    ExitCode::from(UNABLE)
}

/// `loadtest run`.
pub fn run(options: &cli::Run) -> Result<ExitCode, Error> {
    let began = SystemTime::now();
    let setting = options.options.setting(&options.scenario);
    let runtime = runtime()?;
    let mut runs = Vec::new();
    for repetition in 1..=options.repeat.max(1) {
        if options.floor && options.scenario.has_server() {
            let subject = Subject::Floor;
            runs.push(runtime.block_on(one(&setting, &options.scenario, subject, repetition))?);
        }
        runs.extend(runtime.block_on(of_server(&setting, &options.scenario, repetition))?);
    }
    let held = runs
        .iter()
        .flat_map(|run| &run.checks)
        .all(|check| check.held);
    finish(began, runs, None, &options.output)?;
    Ok(good(held))
}

/// `loadtest capacity`.
pub fn capacity(options: &cli::Capacity) -> Result<ExitCode, Error> {
    let began = SystemTime::now();
    let (runs, found) = runtime()?.block_on(capacity::search(options))?;
    let held = found.held_at.is_some();
    finish(began, runs, Some(found), &options.output)?;
    Ok(good(held))
}

/// `loadtest compare`.
pub fn compare(options: &cli::Compare) -> Result<ExitCode, Error> {
    let budgets = options
        .budget
        .iter()
        .map(|budget| budget.parse())
        .collect::<Result<Vec<compare::Budget>, _>>()?;
    let before = json::read(&options.before)?;
    let after = json::read(&options.after)?;
    let comparison = compare::compare(&before, &after, &compare::Budgets::with(budgets));
    print(&comparison.text(is_terminal()));
    Ok(good(!comparison.regressed))
}

fn good(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// What the server does under a scenario, or its floor where the server can't play it: one run, more where the scenario has
/// several parts.
async fn of_server(
    setting: &Setting,
    scenario: &Scenario,
    repetition: u32,
) -> Result<Vec<Run>, MeasureError> {
    if let Some(stages) = cold_rooms::Stages::of(scenario) {
        return Ok(stages.run(setting, repetition).await?);
    }
    let subject = if scenario.has_server() {
        Subject::Server
    } else {
        Subject::Floor
    };
    let run = one(setting, scenario, subject, repetition).await?;
    Ok(vec![run])
}

/// Starts the subject, runs the scenario against it, and stops it.
async fn one(
    setting: &Setting,
    scenario: &Scenario,
    subject: Subject,
    repetition: u32,
) -> Result<Run, MeasureError> {
    if let Some(flooded) = flood::Flooded::of(scenario) {
        return flooded.run(setting, subject, repetition).await;
    }
    let started = setting.target(scenario, subject)?;
    Ok(watched(setting, scenario, &started.target, repetition, || {}).await?)
}

/// Runs a scenario with live progress. `begin` is called once, when all players are ready.
async fn watched(
    setting: &Setting,
    scenario: &Scenario,
    target: &Target,
    repetition: u32,
    begin: impl FnOnce(),
) -> Result<Run, RunError> {
    let subject = target.subject.name();
    let title = format!("{} ({subject}, run {repetition})", scenario.name());
    let progress = Progress::begin(&title, u64::from(setting.seconds));
    progress.phase("players getting ready", scenario.players());
    if let Some((op, rate)) = scenario.offered().last() {
        progress.follow(op.name(), Some(*rate));
    }
    let mut last: Option<ResourceSample> = None;
    let mut begin = Some(begin);
    let mut waiting = scenario.players();
    let run = setting
        .measure(scenario, target, repetition, |watched| match watched {
            Watched::Ready(count) => {
                progress.inc(count);
                waiting = waiting.saturating_sub(count);
                if waiting == 0
                    && let Some(begin) = begin.take()
                {
                    begin();
                }
            }
            Watched::Second(second, slice, resources) => {
                let ends = last.as_ref().map(|last| (last, resources));
                progress.second(&entry(second, slice, ends));
                last = Some(*resources);
            }
        })
        .await;
    progress.finish();
    run
}

/// Shows and writes the report.
fn finish(
    began: SystemTime,
    runs: Vec<Run>,
    capacity: Option<Capacity>,
    output: &Output,
) -> Result<(), Error> {
    let report = Report {
        layout: LAYOUT,
        began: humantime::format_rfc3339_seconds(began).to_string(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        host: probe::host(),
        ratios: ratios(&runs),
        runs,
        capacity,
    };
    print(&table::table(&report, is_terminal()));
    if let Some(path) = &output.json {
        json::write(path, &report)?;
    }
    if let Some(path) = &output.html {
        fs::write(path, html::page(&report))
            .map_err(|error| format!("writing {}: {error}", path.display()))?;
    }
    Ok(())
}

fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whoever reads may have gone, as `head` does.
fn print(text: &str) {
    drop(writeln!(io::stdout(), "{}", text.trim_end()));
}
