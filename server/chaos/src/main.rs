//! The chaos program: the harness, and under the name `serve` the server that it breaks.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use pitturu_chaos::cli::{Arguments, Other};
use pitturu_chaos::ledger;
use pitturu_chaos::run::run;
use pitturu_server::app::{self, EarlySignals, Setup};
use pitturu_server::config::flags::{Command, Flags};
use pitturu_server::ops::logs;
use pitturu_server::{assembly, config};
use tokio::runtime::Builder;

/// The first argument of the server.
const SERVE: &str = "serve";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    let is_server = arguments.next().is_some_and(|first| first == SERVE);
    let ended = if is_server {
        serve(&Flags::parse_from(program.into_iter().chain(arguments)))
    } else {
        break_one(&Arguments::parse())
    };
    ended.unwrap_or_else(|error| {
        // Without standard error there is only the exit code.
        let _ = writeln!(io::stderr(), "pitturu-chaos: {error}");
        ExitCode::from(2)
    })
}

/// As the server's own program does.
fn serve(flags: &Flags) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let loaded = config::load(flags)?;
    let log = &loaded.config.log;
    let logs = logs::start(log.level.as_str(), log.format)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if matches!(flags.command, Some(Command::Ledger { .. })) {
        let audit = runtime.block_on(assembly::verify_ledger(&loaded.config))?;
        writeln!(io::stdout(), "{audit}")?;
        return Ok(ExitCode::from(u8::from(audit.faults > 0)));
    }
    if let Some(Command::Restore { from }) = &flags.command {
        let restored = assembly::backups::restore(&loaded.config, from)?;
        writeln!(io::stdout(), "{restored}")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Among others: a write beyond the limit of a file's size is an error then, and not the end of the process.
    let signals = runtime.block_on(async { EarlySignals::listen() })?;
    let flags = flags.clone();
    let setup = Setup {
        loaded,
        again: Box::new(move || config::load(&flags)),
        logs,
        signals,
    };
    runtime.block_on(Box::pin(app::run(setup, assembly::start)))?;
    Ok(ExitCode::SUCCESS)
}

fn break_one(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let program = (std::env::current_exe()?, vec![SERVE.to_owned()]);
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    if let Some(Other::Ledger(arguments)) = &arguments.other {
        let report = runtime.block_on(ledger::run(arguments, program))?;
        let is_right = report.violations.is_empty();
        show(&report, &report.json(), arguments.json.as_deref())?;
        return Ok(ended(is_right, arguments.must_find));
    }
    let report = runtime.block_on(run(arguments, program))?;
    let is_right = report.violations.is_empty();
    show(&report, &report.json(), arguments.json.as_deref())?;
    Ok(ended(is_right, arguments.must_find))
}

fn show(report: &impl Display, json: &serde_json::Value, file: Option<&Path>) -> io::Result<()> {
    if let Some(path) = file {
        std::fs::write(path, serde_json::to_vec_pretty(json)?)?;
    }
    write!(io::stdout(), "{report}")
}

fn ended(is_right: bool, must_find: bool) -> ExitCode {
    match is_right != must_find {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
