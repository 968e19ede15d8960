//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

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

    /// Address for WebSocket connections, in development mode also for QUIC; short for --set listen.ws=ADDRESS, beside which it
    /// is refused (and --set listen.quic=ADDRESS, which holds).
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,

    /// Folder of the embedded store; short for --set store.dir=FOLDER, beside which it is refused.
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
        known: Vec<Known>,
    },
}

/// What the server's log has said of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was empty, which it may have been before whatever is in it.
    Empty,
    /// Its newest entry.
    Entry(KnownEntry),
}

impl Known {
    /// The entries among them.
    pub fn entries(known: &[Self]) -> Vec<KnownEntry> {
        let entry = |known: &Self| match known {
            Self::Empty => None,
            Self::Entry(entry) => Some(entry.clone()),
        };
        known.iter().filter_map(entry).collect()
    }
}

impl FromStr for Known {
    type Err = <KnownEntry as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0:" => Ok(Self::Empty),
            text => text.parse().map(Self::Entry),
        }
    }
}

/// What the program does with the ledger of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Ledger {
    /// Adds up all lines of all players' books, of a server that does not run, and exits with 1 if something does not add up.
    Verify,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_of_an_empty_audit_log_is_known() {
        let verify = |known: &str| {
            let flags = Flags::try_parse_from(["pitturu", "audit-log", "verify", "--known", known]);
            flags.map(|flags| flags.command)
        };
        let what = AuditLog::Verify {
            known: vec![Known::Empty],
        };
        assert_eq!(verify("0:").unwrap(), Some(Command::AuditLog { what }));
        let digest = "0a".repeat(32);
        let Some(Command::AuditLog {
            what: AuditLog::Verify { known },
        }) = verify(&format!("17:{digest}")).unwrap()
        else {
            panic!("it is another command");
        };
        assert_eq!(Known::entries(&known).len(), 1);
        for wrong in ["", "0", "0:0", "17:", &format!("0:{digest}")] {
            assert!(verify(wrong).is_err(), "{wrong}");
        }
    }
}
