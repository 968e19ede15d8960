//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use pitturu_admin::arguments::Admin;

use crate::services::audit_log::verification::KnownEntry;

/// A real-time messaging core for games.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "pitturu", version)]
pub struct Flags {
    /// Development mode: data in ./var/dev, readable logs, loopback addresses, any web page may connect.
    #[arg(long, global = true)]
    pub dev: bool,

    /// Configuration file [default: ./pitturu.toml, if there is one].
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// Address for WebSocket connections, in development mode also for QUIC; short for --set listen.ws=ADDRESS (and --set
    /// listen.quic=ADDRESS).
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,

    /// Folder of the embedded store; short for --set store.dir=FOLDER.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data: Option<String>,

    /// Sets one key of the configuration; may be repeated.
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub sets: Vec<String>,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does instead of serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Prints the configuration in effect and where each value comes from.
    Config {
        /// Prints the table of all keys as a Markdown page instead.
        #[arg(long)]
        markdown: bool,
    },
    /// Prints every metric that the server shows, as a Markdown page.
    Metrics,
    /// Makes a backup of the store, of a server that runs or does not, in `backup.folder`. Ends with 0 only when it was verified.
    Backup {
        /// Name of the backup's folder: letters, digits, `.`, `-` and `_` [default: the time].
        name: Option<String>,
    },
    /// Makes the store out of a backup, in a data folder that is absent or empty.
    Restore {
        /// Folder of the backup.
        from: PathBuf,
    },
    /// Looks after the ledger of points.
    Ledger {
        /// What to do.
        #[command(subcommand)]
        what: Ledger,
    },
    /// Does what the staff does, on a running server, as one of the staff.
    Admin(Admin),
    /// Looks after the audit log.
    AuditLog {
        /// What to do.
        #[command(subcommand)]
        what: AuditLog,
    },
}

/// What the program does with the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AuditLog {
    /// Checks every entry against the digests, of a server that does not run, and exits with 1 if one was changed, removed or put in.
    Verify {
        /// An entry of which the server's log has said `audit log stands at`: its number, a colon and its digest. Shows whether the
        /// audit log was written anew or cut short since; may be repeated.
        #[arg(long = "known", value_name = "NUMBER:DIGEST")]
        known: Vec<KnownEntry>,
    },
}

/// What the program does with the ledger of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Ledger {
    /// Adds up all lines of all players' books, of a server that does not run, and exits with 1 if something does not add up.
    Verify,
}
