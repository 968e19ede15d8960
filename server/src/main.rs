//! The `pitturu` program.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use pitturu_admin::arguments::Admin;
use pitturu_server::app::{EarlySignals, Setup, StartError};
use pitturu_server::config::flags::{AuditLog, Command, Flags, Known, Ledger};
use pitturu_server::config::{self, Loaded, report as shown};
use pitturu_server::ops::logs::{self, LogControl, LogError};
use pitturu_server::ops::metrics::report as shown_metrics;
use pitturu_server::{app, assembly};
use pitturu_text::plain::plain;
use rustix::fs::Mode;
use rustix::process::umask;
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, Runtime};

/// Returns memory of connections that have gone, which the system's allocator keeps in fragments.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Exit code for a configuration that is not allowed.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(refused) => return refuse(&refused),
    };
    // Connections have threads of their own.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    match flags.command.clone() {
        // It runs wherever the staff is: no configuration is read.
        Some(Command::Admin(admin)) => administer(&runtime, admin),
        Some(command) => match config::load(&flags) {
            Ok(loaded) => carry_out(&runtime, &command, &loaded),
            Err(error) => fail(MISCONFIGURED, &error),
        },
        None => serve(&runtime, flags),
    }
}

fn serve(runtime: &Runtime, flags: Flags) -> ExitCode {
    // Before anything is read, which may take its time. What comes before this line ends the process.
    let signals = runtime.block_on(async { EarlySignals::listen() });
    let signals = match signals {
        Ok(signals) => signals,
        Err(error) => return fail(1, &error),
    };
    let loaded = match config::load(&flags) {
        Ok(loaded) => loaded,
        Err(error) => return fail(MISCONFIGURED, &error),
    };
    let logs = match begin_to_write(&loaded) {
        Ok(logs) => logs,
        Err(error) => return fail(MISCONFIGURED, &error),
    };
    let setup = Setup {
        loaded,
        again: Box::new(move || config::load(&flags)),
        logs,
        signals,
    };
    match runtime.block_on(Box::pin(app::run(setup, assembly::start))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
}

/// Whatever is written from now on holds what players trust the server with.
fn begin_to_write(loaded: &Loaded) -> Result<LogControl, LogError> {
    umask(Mode::from_bits_truncate(0o077));
    let log = &loaded.config.log;
    logs::start(log.level.as_str(), log.format)
}

fn carry_out(runtime: &Runtime, command: &Command, loaded: &Loaded) -> ExitCode {
    if let Err(error) = begin_to_write(loaded) {
        return fail(MISCONFIGURED, &error);
    }
    let config = &loaded.config;
    match command {
        Command::Config { markdown: true } => print(&shown::markdown()),
        Command::Config { markdown: false } => print(&shown::effective(loaded)),
        Command::Metrics => print(&shown_metrics::markdown()),
        Command::Admin(admin) => administer(runtime, admin.clone()),
        Command::Ledger {
            what: Ledger::Verify,
        } => {
            let verified = runtime.block_on(assembly::verify_ledger(config));
            report(verified, |audit| audit.faults)
        }
        Command::AuditLog {
            what: AuditLog::Verify { known },
        } => {
            let known = Known::entries(known);
            let verified = runtime.block_on(assembly::verify_audit_log(config, &known));
            report(verified, |verification| verification.faults)
        }
        Command::Backup { name } => {
            let backup = assembly::backups::back_up(config, name.clone());
            report(runtime.block_on(backup), |_| 0)
        }
        Command::Restore { from } => report(assembly::backups::restore(config, from), |_| 0),
    }
}

fn administer(runtime: &Runtime, admin: Admin) -> ExitCode {
    match runtime.block_on(pitturu_admin::run(admin, &mut io::stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// What was found, and 1 if anything is wrong.
fn report<T: Display>(found: Result<T, StartError>, faults: impl Fn(&T) -> u64) -> ExitCode {
    let found = match found {
        Ok(found) => found,
        Err(error) => return fail(error.exit_code(), &error),
    };
    match writeln!(io::stdout(), "{found}") {
        Ok(()) if faults(&found) == 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Says what is wrong with a command line, or the help that was asked for.
fn refuse(refused: &clap::Error) -> ExitCode {
    if !refused.use_stderr() {
        return match refused.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let text = match io::stderr().is_terminal() {
        true => refused.render().ansi().to_string(),
        false => refused.render().to_string(),
    };
    let shown = plain(&text, true, io::stderr().is_terminal());
    // Without standard error there is only the exit code.
    let _ = write!(io::stderr(), "{shown}");
    ExitCode::from(MISCONFIGURED)
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    // Without standard error there is only the exit code.
    // It may quote files and arguments.
    let shown = plain(&error.to_string(), true, false).into_owned();
    let _ = writeln!(io::stderr(), "pitturu: {shown}");
    ExitCode::from(code)
}
