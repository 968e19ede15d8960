//! Backups: a copy of the store as it stands at one moment, made while it is written, and the way back.
//!
//! Guarantees
//! - **Consistent**: a backup holds each write whole or not at all, and with a write every write before it. Every write that was
//!   reported as done before its moment is in it.
//! - **Verified**: it takes its name only when it was written, opened anew, read to its end and synced: each table has the rows, the
//!   bytes and the digest of what was copied, and a digest of each file is noted. A restore holds each file to that, and reads all of
//!   its copy in the same way, before that takes its place.
//! - **Never half**: whatever is cut short leaves a folder whose name ends in `.pitturu-part` and that holds a file `pitturu.part`, or
//!   nothing yet but a file `pitturu.draft`, which the next backup or restore beside it removes. Nothing else is removed, and nothing that
//!   is finished is called so.
//! - **Of another epoch**: a restored store has an [epoch](super::Engine::epoch) of its own, so that cursors of before mean nothing.
//!   For the same reason a backup is not opened as a store.
//!
//! Commits go on meanwhile. What is read is read in pages, with a pause after each as long as the page took, so a backup takes at most
//! half of what the disk and one core can do.
//!
//! - `rows`: copying and counting; `manifest`: what the backup says of itself; `files`: folders in the making.

mod files;
mod manifest;
mod restore;
mod rows;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::files::Part;
pub(super) use self::manifest::backup_around;
use self::manifest::{Manifest, Tally};
use super::writer::free_bytes;
use super::{Engine, OpenError, StoreId, folder};
use crate::StoreError;
use crate::clock::now_ms;
use crate::fail_points::pass;

pub use self::restore::restore;

/// Whether a backup may not be called so, because of how the name ends: what is called so is not finished.
pub fn is_reserved(name: &str) -> bool {
    files::is_reserved(name)
}

/// Called after each piece of a copy, with the time at which that began: an error ends the copy.
type AfterPiece<'a> = &'a dyn Fn(Instant) -> Result<(), BackupError>;

/// Longest pause after a piece.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Files of a store that another one makes for itself.
const NOT_KEPT: [&str; 3] = [folder::EPOCH_FILE, folder::LOCK_FILE, files::PART_FILE];

/// A backup that was made, or restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its folder.
    pub dir: PathBuf,
    /// Its moment, in milliseconds since 1970: everything that was acknowledged before is in it.
    pub moment: u64,
    /// Number of the newest commit in it.
    pub commit: u64,
    /// Tables in it.
    pub tables: usize,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of keys and rows in it, before compression.
    pub bytes: u64,
}

impl Backup {
    fn of(dir: &Path, manifest: &Manifest) -> Self {
        let sum = |of: fn(&Tally) -> u64| manifest.tables.iter().map(|(_, tally)| of(tally)).sum();
        Self {
            dir: dir.to_path_buf(),
            moment: manifest.moment,
            commit: manifest.commit,
            tables: manifest.tables.len(),
            rows: sum(|tally| tally.rows),
            bytes: sum(|tally| tally.bytes),
        }
    }
}

/// Why there is no backup, or why it was not restored. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store is copied already.
    #[error("a backup of this store is being made; wait for it to end")]
    UnderWay,
    /// Another process makes or restores a backup of the same name.
    #[error("another process is writing {}; wait for it to end, or give another name", dir.display())]
    InUse {
        /// What it writes.
        dir: PathBuf,
    },
    /// There is something where the backup is to be.
    #[error("{} is there already, and is not written over; give another name", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// Its name is for what is not finished.
    #[error("{} can't be called so: what ends in {} is taken for unfinished; give another name", dir.display(), files::PART)]
    Reserved {
        /// The folder.
        dir: PathBuf,
    },
    /// It would be made in a backup, which stays what it is.
    #[error("{} lies in a backup, {}, into which nothing is written; name a folder apart from it", dir.display(), backup.display())]
    InBackup {
        /// What was to be made.
        dir: PathBuf,
        /// The backup.
        backup: PathBuf,
    },
    /// There is something where it would be made, which no backup and no restore has begun.
    #[error("{} is in the way, and no backup or restore has begun it; move it away, or give another name", dir.display())]
    NotBegun {
        /// What is there.
        dir: PathBuf,
    },
    /// The folder of the store can't be replaced.
    #[error(
        "{} is {what}, in whose place nothing can be put: name the folder to which it leads, or a new one in it (--data FOLDER, and          then store.dir)",
        dir.display()
    )]
    Fixed {
        /// The folder.
        dir: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// There is something where the store is to be.
    #[error(
        "{} is not empty, and nothing is restored over what is there; stop the server if one runs on it, and move the folder away",
        dir.display()
    )]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no room for it.
    #[error(
        "no room is left for {}: {free} bytes are free and {reserve} are kept in reserve; remove older backups, or name another disk",
        dir.display()
    )]
    Full {
        /// Where it was to be.
        dir: PathBuf,
        /// Free bytes there.
        free: u64,
        /// Those that nothing may take.
        reserve: u64,
    },
    /// It holds no backup, or one that was not finished.
    #[error("{} holds no finished backup: {detail}; name a folder that `pitturu backup` has reported", dir.display())]
    NotABackup {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The backup does not hold what was copied.
    #[error("the backup in {} is damaged: {detail}; use another one", dir.display())]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// The file or table, and what was found.
        detail: String,
    },
    /// The store to be copied can't be read.
    #[error("the store can't be copied: {0}")]
    Store(#[from] StoreError),
    /// A file or folder can't be read or written.
    #[error("{}: {error}; see to the disk and to who owns the folder", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The copy can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Refuses to take what the store keeps in reserve, which may lie on the same disk.
fn check_space(dir: &Path, reserve: u64) -> Result<(), BackupError> {
    match free_bytes(dir) {
        Some(free) if free < reserve => Err(BackupError::Full {
            dir: dir.to_path_buf(),
            free,
            reserve,
        }),
        _ => Ok(()),
    }
}

impl BackupError {
    /// Whether it was refused before anything was begun, because of its name or of another one: nothing is wrong with the store or the
    /// disk.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::UnderWay
                | Self::InUse { .. }
                | Self::Exists { .. }
                | Self::Reserved { .. }
                | Self::NotBegun { .. }
        )
    }

    fn io(path: &Path, error: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            error,
        }
    }
}

impl Engine {
    /// Which store of this machine it is, for whoever means one and reaches another.
    pub fn id(&self) -> StoreId {
        self.handle.id
    }

    /// Copies everything that is committed now into the folder `to`, which must not be there, while writes go on. Blocks until the
    /// copy is verified: minutes for a large store. One at a time.
    ///
    /// # Errors
    /// Each variant of [`BackupError`] says what to do; then nothing is left at `to`. A store that fails or is closed meanwhile ends
    /// the copy, for it waits for its readers.
    pub fn backup(&self, to: &Path) -> Result<Backup, BackupError> {
        let shared = &self.handle.shared;
        let Some(_turn) = shared.backing_up.try_lock() else {
            return Err(BackupError::UnderWay);
        };
        files::check_name(to)?;
        if to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists {
                dir: to.to_path_buf(),
            });
        }
        let part = Part::begin(to)?;
        self.admit()?;
        // Before the view: what was acknowledged by then is in it.
        let moment = now_ms();
        let view = self.view()?;
        let goes_on = |began: Instant| {
            if shared.failing.load(Ordering::Acquire) {
                return Err(BackupError::Store(shared.unavailable()));
            }
            check_space(part.dir(), shared.options.free_bytes_min)?;
            // Others get half of what the disk and this core can do.
            std::thread::sleep(began.elapsed().min(PAUSE_MAX));
            Ok(())
        };
        let (commit, tables) = rows::copy(&view, part.dir(), &shared.options, &goes_on)?;
        drop(view);
        pass("backup.copied");
        let mut manifest = Manifest {
            moment,
            commit,
            tables,
            files: Vec::new(),
        };
        rows::check(part.dir(), to, &manifest, &goes_on)?;
        pass("backup.checked");
        // Opening it has made what a store begins with.
        manifest.files = files::sums(part.dir(), &NOT_KEPT, &goes_on)?;
        manifest.write(part.dir())?;
        pass("backup.written");
        part.finish(to)?;
        Ok(Backup::of(to, &manifest))
    }
}
