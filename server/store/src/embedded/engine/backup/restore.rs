//! The way back from a backup.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::files::{self, Part};
use super::manifest::Manifest;
use super::{Backup, BackupError, rows};

/// Makes the store in the folder `to`, which is absent or empty, out of the backup in `from`, which stays as it is. The store gets an
/// epoch of its own. Blocks while all of it is copied and read.
///
/// # Errors
/// Each variant of [`BackupError`] says what to do; then `to` is as it was.
pub fn restore(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let manifest = Manifest::read(from)?;
    check_empty(to)?;
    let part = Part::begin(to)?;
    // Without the manifest it is a store, and without an epoch it gets a new one.
    files::copy(from, part.dir(), &manifest.files)?;
    // What is read is what will serve.
    rows::check(part.dir(), from, &manifest, &|_| Ok(()))?;
    check_empty(to)?;
    part.finish(to)?;
    Ok(Backup::of(to, &manifest))
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
