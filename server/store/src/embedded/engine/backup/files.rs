//! Folders in the making: written under another name, synced, and then put in their place.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, DirEntry, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::manifest::{FileSum, backup_around};
use super::{AfterPiece, BackupError};
use crate::embedded::engine::folder::{DRAFT_FILE, write_file};

/// What the name of a folder ends in that is not finished.
pub(super) const PART: &str = ".pitturu-part";

/// The file by which such a folder says that a backup or a restore has begun it. What has none is somebody else's and is left alone, unless
/// it holds nothing: that is what is left of a copy that was killed before it could say so.
pub(super) const PART_FILE: &str = "pitturu.part";

/// Modes: what is in it is its owner's alone.
const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// How often a folder is made or taken before another process counts as writing it, and how long to wait in between: one that looks
/// whether the folder was left behind has it for a moment.
const TRIES: usize = 20;
const TRY_PAUSE: Duration = Duration::from_millis(10);

/// Bytes of a file that are in memory at a time.
const PIECE_BYTES: usize = 1024 * 1024;

/// A folder in the making. Dropped before it is finished, it is removed.
pub(super) struct Part {
    dir: PathBuf,
    /// Its lock, which tells it from what a process left that was killed.
    _lock: File,
    is_finished: bool,
}

impl Part {
    /// Begins the folder that is to be `to`, and removes what other copies have left unfinished beside it.
    ///
    /// # Errors
    /// [`BackupError::Reserved`]: what is called so is taken for unfinished. [`BackupError::InUse`]: another process makes the same.
    /// [`BackupError::NotBegun`]: there is something in its way. [`BackupError::InBackup`]: it would be part of a backup.
    /// [`BackupError::Io`].
    pub(super) fn begin(to: &Path) -> Result<Self, BackupError> {
        check_name(to)?;
        if let Some(backup) = backup_around(to) {
            return Err(BackupError::InBackup {
                dir: to.to_path_buf(),
                backup,
            });
        }
        let above = above(to);
        make(&above, true).map_err(|error| BackupError::io(&above, error))?;
        remove_left(&above)?;
        let dir = part_of(to);
        let lock = take(&dir)?.ok_or_else(|| BackupError::InUse {
            dir: to.to_path_buf(),
        })?;
        let part = Self {
            dir,
            _lock: lock,
            is_finished: false,
        };
        let marked = write_file(&part.dir.join(PART_FILE), b"");
        marked.map_err(|error| BackupError::io(&part.dir, error))?;
        Ok(part)
    }

    /// Where it is while it is made.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Syncs all of it and puts it in its place: a crash leaves it there whole, or not at all.
    pub(super) fn finish(mut self, to: &Path) -> Result<(), BackupError> {
        sync(&self.dir)?;
        fs::rename(&self.dir, to).map_err(|error| BackupError::io(to, error))?;
        self.is_finished = true;
        let above = above(to);
        let synced = File::open(&above).and_then(|folder| folder.sync_all());
        synced.map_err(|error| BackupError::io(&above, error))?;
        // Only now: until it has its name, it is one that may be removed.
        let ours = to.join(PART_FILE);
        fs::remove_file(&ours).map_err(|error| BackupError::io(&ours, error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = remove(&self.dir)
        {
            tracing::warn!(%error, dir = %self.dir.display(), "an unfinished copy of the store was not removed");
        }
    }
}

fn above(to: &Path) -> PathBuf {
    match to.parent() {
        Some(above) if above.as_os_str().is_empty() => PathBuf::from("."),
        Some(above) => above.to_path_buf(),
        None => PathBuf::from("/"),
    }
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = to.file_name().map_or_else(OsString::new, OsString::from);
    name.push(PART);
    above(to).join(name)
}

/// Whether a folder's name ends as those of unfinished folders do.
pub(super) fn is_reserved(name: &str) -> bool {
    let end = name.len().saturating_sub(PART.len());
    // Some disks take both cases for one.
    let ending = name.get(end..);
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case(PART))
}

/// Refuses what the next copy beside it would take for unfinished.
pub(super) fn check_name(to: &Path) -> Result<(), BackupError> {
    match to.file_name() {
        Some(name) if is_reserved(&name.to_string_lossy()) => Err(BackupError::Reserved {
            dir: to.to_path_buf(),
        }),
        _ => Ok(()),
    }
}

fn make(dir: &Path, recursive: bool) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive).mode(FOLDER).create(dir)
}

/// Makes the folder, or takes one that was left behind, and empties it. None: another process has it.
///
/// # Errors
/// [`BackupError::NotBegun`]: there is something else. [`BackupError::Io`].
fn take(dir: &Path) -> Result<Option<File>, BackupError> {
    let io = |error| BackupError::io(dir, error);
    let not_begun = || BackupError::NotBegun {
        dir: dir.to_path_buf(),
    };
    for attempt in 0..TRIES {
        if attempt > 0 {
            thread::sleep(TRY_PAUSE);
        }
        match make(dir, false) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = dir.symlink_metadata();
                if there.is_ok_and(|there| !there.is_dir()) {
                    return Err(not_begun());
                }
            }
            Err(error) => return Err(io(error)),
        }
        let Some(lock) = lock(dir)? else {
            continue;
        };
        if !is_left(dir) {
            return Err(not_begun());
        }
        clear(dir)
            .and_then(|()| set_mode(dir, FOLDER))
            .map_err(io)?;
        return Ok(Some(lock));
    }
    Ok(None)
}

/// Whether a copy has begun this folder: it says so, or holds nothing but what comes before that.
fn is_left(dir: &Path) -> bool {
    let is_draft = |entry: io::Result<DirEntry>| {
        entry.is_ok_and(|entry| {
            entry.file_name() == DRAFT_FILE && entry.file_type().is_ok_and(|kind| kind.is_file())
        })
    };
    let is_folder = dir.symlink_metadata().is_ok_and(|found| found.is_dir());
    // What can't be read is not known to be ours.
    is_folder
        && (dir.join(PART_FILE).is_file()
            || fs::read_dir(dir).is_ok_and(|mut entries| entries.all(is_draft)))
}

/// Removes whatever is in a folder that was left behind, but for the file that says whose it is.
fn clear(dir: &Path) -> io::Result<()> {
    let is_ours = dir.join(PART_FILE).is_file();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        // Somebody may put something into one that says nothing, even now.
        if name == PART_FILE || !is_ours && name != DRAFT_FILE {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Removes a folder that was left behind. Killed meanwhile, it leaves one that is known as such.
fn remove(dir: &Path) -> io::Result<()> {
    clear(dir)?;
    match fs::remove_file(dir.join(PART_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => fs::remove_dir(dir),
    }
}

/// None: another process has it, has put it in its place, or has removed it.
fn lock(dir: &Path) -> Result<Option<File>, BackupError> {
    let folder = match File::open(dir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BackupError::io(dir, error)),
    };
    match folder.try_lock() {
        Ok(()) => Ok(is_at(&folder, dir).then_some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(BackupError::io(dir, error)),
    }
}

/// Whether the path still leads to this folder.
fn is_at(folder: &File, dir: &Path) -> bool {
    let same = |(one, other): (fs::Metadata, fs::Metadata)| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    let found = folder.metadata().ok().zip(dir.symlink_metadata().ok());
    found.is_some_and(same)
}

/// Removes what killed processes have left in a folder, and nothing that no copy has begun, whatever it is called.
fn remove_left(above: &Path) -> Result<(), BackupError> {
    let io = |error| BackupError::io(above, error);
    for entry in fs::read_dir(above).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_part = name.is_some_and(|name| name.ends_with(PART));
        if !is_part || !is_left(&path) {
            continue;
        }
        let Some(_lock) = lock(&path)? else {
            continue;
        };
        let says_so = path.join(PART_FILE).is_file();
        match remove(&path) {
            // It may be somebody else's after all, who has put something into it or lets nobody remove it.
            Err(_) if !says_so => {}
            removed => removed.map_err(|error| BackupError::io(&path, error))?,
        }
    }
    Ok(())
}

/// What the files in a folder hold, in the order of their names, but for those at the top that `skips` names. `after` is called after each piece.
pub(super) fn sums(
    dir: &Path,
    skips: &[&str],
    after: AfterPiece<'_>,
) -> Result<Vec<FileSum>, BackupError> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        let io = |error| BackupError::io(&path, error);
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = folder.join(entry.file_name());
            if skips.iter().any(|skipped| name == Path::new(skipped)) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(name);
                continue;
            }
            let (bytes, digest) = stream(&entry.path(), &mut io::sink(), after)?;
            let name = name.to_string_lossy().into_owned();
            found.push(FileSum {
                name,
                bytes,
                digest,
            });
        }
    }
    found.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Ok(found)
}

/// Copies these files, each of which has to hold what it says. `after` is called after each piece.
///
/// # Errors
/// [`BackupError::Damaged`] names a file that is missing or holds something else.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    files: &[FileSum],
    after: AfterPiece<'_>,
) -> Result<(), BackupError> {
    for file in files {
        let damaged = |what: &str| BackupError::Damaged {
            dir: from.to_path_buf(),
            detail: format!("{}: {what}", file.name),
        };
        let name = Path::new(&file.name);
        let is_below = name
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !is_below {
            return Err(damaged("it is no file of a backup"));
        }
        let (source, target) = (from.join(name), to.join(name));
        if !source.is_file() {
            return Err(damaged("it is missing"));
        }
        let made = target.parent().map_or(Ok(()), fs::create_dir_all);
        let opened = made.and_then(|()| File::create_new(&target));
        let mut copy = opened.map_err(|error| BackupError::io(&target, error))?;
        let held = stream(&source, &mut copy, after)?;
        if held != (file.bytes, file.digest) {
            return Err(damaged("it does not hold what was written"));
        }
    }
    Ok(())
}

/// Copies a file piece by piece. Its bytes, and their digest.
fn stream(
    from: &Path,
    to: &mut impl Write,
    after: AfterPiece<'_>,
) -> Result<(u64, u128), BackupError> {
    let io = |error| BackupError::io(from, error);
    let mut file = File::open(from).map_err(io)?;
    let (mut piece, mut bytes, mut digest) = (vec![0; PIECE_BYTES], 0, Xxh3::new());
    loop {
        let began = Instant::now();
        let read = file.read(&mut piece).map_err(io)?;
        if read == 0 {
            return Ok((bytes, digest.digest128()));
        }
        bytes += read as u64;
        digest.update(&piece[..read]);
        to.write_all(&piece[..read]).map_err(io)?;
        after(began)?;
    }
}

/// Syncs a folder with all that is in it, and closes it to others.
fn sync(dir: &Path) -> Result<(), BackupError> {
    let io = |error| BackupError::io(dir, error);
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            sync(&path)?;
        } else {
            let synced = set_mode(&path, FILE).and_then(|()| File::open(&path)?.sync_all());
            synced.map_err(|error| BackupError::io(&path, error))?;
        }
    }
    let synced = set_mode(dir, FOLDER).and_then(|()| File::open(dir)?.sync_all());
    synced.map_err(io)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A removal that is cut short leaves what the next copy removes.
    #[test]
    fn the_file_that_says_whose_it_is_goes_last() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("one.pitturu-part");
        fs::create_dir_all(left.join("data/tables")).unwrap();
        for file in ["pitturu.part", "pitturu.draft", "a", "z", "data/tables/1"] {
            fs::write(left.join(file), "").unwrap();
        }
        clear(&left).unwrap();
        let names: Vec<_> = fs::read_dir(&left)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [PART_FILE]);
        remove(&left).unwrap();
        assert!(!left.exists());
    }

    /// Each looks at the folders of the others, and takes none for left behind.
    #[test]
    fn copies_that_begin_beside_each_other_are_in_nobody_s_way() {
        let dir = tempfile::tempdir().unwrap();
        let begun: Vec<_> = (0..4)
            .map(|number| {
                let to = dir.path().join(number.to_string());
                thread::spawn(move || {
                    for _ in 0..100 {
                        let part = Part::begin(&to).unwrap();
                        assert!(part.dir().join(PART_FILE).is_file());
                    }
                })
            })
            .collect();
        for begun in begun {
            begun.join().unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
