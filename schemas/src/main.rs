//! `write` brings every derived file up to date; `check` names those that are not.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pitturu_schemas::catalog::Catalog;
use pitturu_schemas::{fullest, output};

#[derive(Parser)]
#[command(about = "Writes and checks what is derived from the protocol tables")]
struct Arguments {
    /// The project's top folder.
    #[arg(long, default_value_os_t = project_folder())]
    root: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Writes every derived file.
    Write,
    /// Exits with 1 and names each derived file that differs from what would be written.
    Check,
    /// Prints every frame that a server can send, as long as it can be, as JSON.
    Fullest,
}

fn project_folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.action {
        Action::Write => output::write(&arguments.root),
        Action::Check => output::check(&arguments.root),
        Action::Fullest => {
            let frames = fullest::frames(&Catalog::collect());
            let text = serde_json::to_string(&frames).expect("frames are plain data");
            // Whoever reads no further has seen enough.
            let _ = writeln!(std::io::stdout(), "{text}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
