//! The `loadtest` program.

use std::process::ExitCode;

use clap::Parser;
use pitturu_loadtest::cli::{Cli, Command};
use pitturu_loadtest::{commands, flood, floor, probe, worker};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => commands::run(&run),
        Command::Capacity(capacity) => commands::capacity(&capacity),
        Command::Compare(compare) => commands::compare(&compare),
        Command::Floor {
            floor,
            transport,
            listen,
            threads,
        } => probe::end_with_parent()
            .and_then(|()| floor::serve(floor, transport, listen, threads))
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Flooder { to, flood } => probe::end_with_parent()
            .and_then(|()| flood::work(to, &flood))
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Worker => probe::end_with_parent()
            .map_err(Into::into)
            .and_then(|()| Ok(worker::work()?))
            .map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error: commands::Error| commands::fail(&error))
}
