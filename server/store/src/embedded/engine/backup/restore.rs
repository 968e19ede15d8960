//! The way back from a backup.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::files::{self, Part};
use super::manifest::Manifest;
use super::{Backup, BackupError, check_space, rows};

/// Makes the store in the folder `to`, which is absent or empty, out of the backup in `from`, which stays as it is. The store gets an
/// epoch of its own. Leaves `free_bytes_min` of its disk to others. Blocks while all of it is copied and read.
///
/// # Errors
/// Each variant of [`BackupError`] says what to do; then `to` is as it was.
pub fn restore(from: &Path, to: &Path, free_bytes_min: u64) -> Result<Backup, BackupError> {
    let manifest = Manifest::read(from)?;
    check_empty(to)?;
    check_replaceable(to)?;
    let part = Part::begin(to)?;
    let goes_on = |_| check_space(part.dir(), free_bytes_min);
    goes_on(Instant::now())?;
    // Without the manifest it is a store, and without an epoch it gets a new one.
    files::copy(from, part.dir(), &manifest.files, &goes_on)?;
    // What is read is what will serve.
    rows::check(part.dir(), from, &manifest, &goes_on)?;
    check_empty(to)?;
    part.finish(to)?;
    Ok(Backup::of(to, &manifest))
}

/// A restored folder takes the place of an empty one, which neither a link nor another disk's root can be.
fn check_replaceable(dir: &Path) -> Result<(), BackupError> {
    // A slash behind it would lead through a link.
    let dir: PathBuf = dir.components().collect();
    let Ok(found) = dir.symlink_metadata() else {
        return Ok(());
    };
    let above = dir.join("..").metadata();
    let what = if found.is_symlink() {
        "a symbolic link"
    } else if above.is_ok_and(|above| above.dev() != found.dev()) {
        "a mount point"
    } else {
        return Ok(());
    };
    Err(BackupError::Fixed { dir, what })
}

/// A folder in use is not empty, for a server makes its files first of all.
fn check_empty(dir: &Path) -> Result<(), BackupError> {
    let found = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) if error.kind() == ErrorKind::NotADirectory => true,
        Err(error) => return Err(BackupError::io(dir, error)),
    };
    match found {
        true => Err(BackupError::NotEmpty {
            dir: dir.to_path_buf(),
        }),
        false => Ok(()),
    }
}
