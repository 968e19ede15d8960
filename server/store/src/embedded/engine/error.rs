//! Why a folder is not opened, in words for the one who runs the server.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::folder::{SCHEMA, SCHEMA_OLDEST};

/// Why a folder was not opened. Each text names the folder and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the store in {} is in use by another process{}; stop that one, or give this one a folder of its own",
        dir.display(), holder.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// The process that wrote its number into the lock.
        holder: Option<u32>,
    },
    /// It can't be created or written.
    #[error(
        "the store's folder {} cannot be written: {detail}; make it a folder that this user owns, on a disk mounted for writing",
        dir.display()
    )]
    NotWritable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Others than its owner may read or write it.
    #[error(
        "others may use the store's folder {} (mode {mode:04o}), which holds what players trust the server with; run: chmod 700 {}",
        dir.display(), quoted(dir)
    )]
    Exposed {
        /// The folder.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No space is left.
    #[error("the disk of the store in {} is full: {detail}; free some space and start again", dir.display())]
    DiskFull {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The folder holds other things.
    #[error(
        "{} holds files but no PittuRu store; give the store an empty folder or one that is not there yet",
        dir.display()
    )]
    NotAStore {
        /// The folder.
        dir: PathBuf,
    },
    /// It is a backup, which stays what it is, or lies in one.
    #[error(
        "{} holds a backup; make a store of it by `pitturu restore`, so that clients learn that it is not the one that they knew",
        dir.display()
    )]
    Backup {
        /// The backup.
        dir: PathBuf,
    },
    /// Its contents do not add up.
    #[error(
        "the store in {} is damaged: {detail}; keep a copy of the folder for repair and restore it from a backup",
        dir.display()
    )]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer program wrote it.
    #[error(
        "the store in {} has schema {found}, and this program knows {SCHEMA}; start a newer program, or restore a backup from before the update",
        dir.display()
    )]
    SchemaNewer {
        /// The folder.
        dir: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A program too old for this one to follow wrote it.
    #[error(
        "the store in {} has schema {found}, older than {SCHEMA_OLDEST}, the oldest that this program can bring up to date; start a release between the two first",
        dir.display()
    )]
    SchemaOlder {
        /// The folder.
        dir: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Anything else that the system refused.
    #[error("the store in {} cannot be opened: {detail}; see to the disk and the limits of the process, and start again", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Where the system refused something.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// Our own files in the folder.
    Folder,
    /// The database's.
    Database,
}

pub(super) fn refused(dir: &Path, error: &io::Error, stage: Stage) -> OpenError {
    let dir = dir.to_path_buf();
    let detail = error.to_string();
    match (error.kind(), stage) {
        (ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem, _)
        | (ErrorKind::NotADirectory | ErrorKind::AlreadyExists, Stage::Folder) => {
            OpenError::NotWritable { dir, detail }
        }
        (ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge, _) => {
            OpenError::DiskFull { dir, detail }
        }
        (
            ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::IsADirectory,
            Stage::Database,
        ) => OpenError::Damaged { dir, detail },
        _ => OpenError::Io { dir, detail },
    }
}

pub(super) fn database_refused(dir: &Path, error: &fjall::Error) -> OpenError {
    if let Some(io) = io_cause(error) {
        return refused(dir, io, Stage::Database);
    }
    match error {
        fjall::Error::Locked => OpenError::Locked {
            dir: dir.to_path_buf(),
            holder: None,
        },
        other => OpenError::Damaged {
            dir: dir.to_path_buf(),
            detail: format!("{other:?}"),
        },
    }
}

/// The system's error at the bottom of the database's, if that is where it began.
pub(super) fn io_cause(error: &fjall::Error) -> Option<&io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}
