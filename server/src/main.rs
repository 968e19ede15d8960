//! The `pitturu` program.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use pitturu_admin::arguments::Admin;
use pitturu_server::app::{Setup, StartError};
use pitturu_server::config::flags::{AuditLog, Command, Flags, Ledger};
use pitturu_server::config::{self, Loaded, report as shown};
use pitturu_server::ops::logs;
use pitturu_server::ops::metrics::report as shown_metrics;
use pitturu_server::{app, assembly};
use rustix::fs::Mode;
use rustix::process::umask;
use tikv_jemallocator::Jemalloc;

/// Returns memory of connections that have gone, which the system's allocator keeps in fragments.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Exit code for a configuration that is not allowed.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    let flags = Flags::parse();
    // It runs wherever the staff is: no configuration is read.
    if let Some(Command::Admin(admin)) = flags.command {
        return administer(admin);
    }
    let loaded = match config::load(&flags) {
        Ok(loaded) => loaded,
        Err(error) => return fail(MISCONFIGURED, &error),
    };
    if let Some(Command::Config { markdown }) = flags.command {
        return print(&shown_config(&loaded, markdown));
    }
    if let Some(Command::Metrics) = flags.command {
        return print(&shown_metrics::markdown());
    }
    // Whatever the server writes holds what players trust it with.
    umask(Mode::from_bits_truncate(0o077));
    let log = &loaded.config.log;
    let logs = match logs::start(log.level.as_str(), log.format) {
        Ok(logs) => logs,
        Err(error) => return fail(MISCONFIGURED, &error),
    };
    // Connections have threads of their own.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    if let Some(Command::Ledger {
        what: Ledger::Verify,
    }) = flags.command
    {
        let verified = runtime.block_on(assembly::verify_ledger(&loaded.config));
        return report(verified, |audit| audit.faults);
    }
    if let Some(Command::AuditLog {
        what: AuditLog::Verify { known },
    }) = &flags.command
    {
        let verified = runtime.block_on(assembly::verify_audit_log(&loaded.config, known));
        return report(verified, |verification| verification.faults);
    }
    match &flags.command {
        Some(Command::Backup { name }) => {
            let backup = assembly::backups::back_up(&loaded.config, name.clone());
            return report(runtime.block_on(backup), |_| 0);
        }
        Some(Command::Restore { from }) => {
            return report(assembly::backups::restore(&loaded.config, from), |_| 0);
        }
        _ => {}
    }
    let setup = Setup {
        loaded,
        again: Box::new(move || config::load(&flags)),
        logs,
    };
    match runtime.block_on(Box::pin(app::run(setup, assembly::start))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
}

fn administer(admin: Admin) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(pitturu_admin::run(admin, &mut io::stdout())),
        Err(error) => return fail(1, &error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

fn shown_config(loaded: &Loaded, markdown: bool) -> String {
    if markdown {
        shown::markdown()
    } else {
        shown::effective(loaded)
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

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    // Without standard error there is only the exit code.
    let _ = writeln!(io::stderr(), "pitturu: {error}");
    ExitCode::from(code)
}
