//! What the program does for each command.

use std::process::ExitCode;
use std::time::SystemTime;

use crate::cli::{self, Output};
use crate::fleet::{Moment, Watched};
use crate::probe;
use crate::report::{Capacity, LAYOUT, Report, Run, Subject};
use crate::run::assemble::entry;
use crate::run::ratios::ratios;
use crate::run::{RunError, Setting};
use crate::scenarios::Scenario;
use crate::target::Target;

/// Exit code when a check was broken, an objective never held, or a comparison shows a regression.
const FAILED: u8 = 1;

/// Exit code when the command could not do its work.
const UNABLE: u8 = 2;

/// Why a command could not do its work.
pub type Error = Box<dyn std::error::Error>;

/// Says why, with what caused it.
pub fn fail(error: &Error) -> ExitCode {
    eprintln!("loadtest: {error}");
    ExitCode::from(UNABLE)
}

/// `loadtest run`.
pub fn run(options: &cli::Run) -> Result<ExitCode, Error> {
    let setting = options.options.setting(&options.scenario);
    let runtime = runtime()?;
    let mut runs = Vec::new();
    for repetition in 1..=options.repeat.max(1) {
        if options.floor {
            let subject = Subject::Floor;
            runs.push(runtime.block_on(one(&setting, &options.scenario, subject, repetition))?);
        }

        let subject = Subject::Server;
        runs.push(runtime.block_on(one(&setting, &options.scenario, subject, repetition))?);
    }
    let held = runs
        .iter()
        .flat_map(|run| &run.checks)
        .all(|check| check.held);
    finish(runs, None, &options.output)?;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Starts the subject, runs the scenario against it, and stops it.
async fn one(
    setting: &Setting,
    scenario: &Scenario,
    subject: Subject,
    repetition: u32,
) -> Result<Run, RunError> {
    let started = setting.target(scenario, subject)?;
    watched(setting, scenario, &started.target, repetition).await
}

/// Runs a scenario with live progress.
async fn watched(
    setting: &Setting,
    scenario: &Scenario,
    target: &Target,
    repetition: u32,
) -> Result<Run, RunError> {
    let subject = match target.subject {
        Subject::Server => "server",
        Subject::Floor => "floor",
    };
    let mut last: Option<Moment> = None;
    let run = setting
        .measure(scenario, target, repetition, |watched| match watched {
            Watched::Ready(count) => eprint!(""),
            Watched::Second(second, slice, moment) => {
                let ends = last.as_ref().map(|last| (last, moment));

                last = Some(*moment);
            }
        })
        .await;
    run
}

/// Shows and writes the report.
fn finish(runs: Vec<Run>, capacity: Option<Capacity>, output: &Output) -> Result<(), Error> {
    let report = Report {
        layout: LAYOUT,
        began: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        host: probe::host(),
        ratios: ratios(&runs),
        runs,
        capacity,
    };
    if let Some(path) = &output.json {
        std::fs::write(path, serde_json::to_vec(&report)?)?;
    }
    Ok(())
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    println!("{text}");
}
