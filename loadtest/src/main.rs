//! The `loadtest` program.

use std::process::ExitCode;

use clap::Parser;
use pitturu_loadtest::cli::{Cli, Command};
use pitturu_loadtest::{commands, floor, worker};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => commands::run(&run),
        Command::Capacity(capacity) => commands::capacity(&capacity),
        Command::Compare(compare) => commands::compare(&compare),
        Command::Floor { floor, threads } => floor::serve(floor, threads)
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Command::Worker => worker::work()
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
    };
    done.unwrap_or_else(|error: commands::Error| commands::fail(&error))
}
