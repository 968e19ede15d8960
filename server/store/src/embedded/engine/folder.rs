//! The engine's own files in the folder: schema, lock, and the mark of durable commits.

use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::error::{OpenError, Stage, refused};
use crate::embedded::tables::Table;

/// Version of the folder's layout and rows that this program writes.
pub const SCHEMA: u32 = 1;

/// Oldest version that this program can read.
pub(super) const SCHEMA_OLDEST: u32 = 1;

pub(super) const LOCK_FILE: &str = "pitturu.lock";
const SCHEMA_FILE: &str = "pitturu.schema";
pub(super) const COMMITS_FILE: &str = "pitturu.commits";
/// Which history of the store the folder holds: 16 hexadecimal digits.
pub(super) const EPOCH_FILE: &str = "pitturu.epoch";

/// Bits of an epoch: as many as every client's numbers have.
const EPOCH_BITS: u32 = 53;

/// What the schema file says while the store is being created.
const NEW: &[u8] = b"new\n";

/// Where a small file is written before it takes its place.
pub(super) const DRAFT_FILE: &str = "pitturu.draft";

/// What only the owner may do with the folder, and what others may not.
const OWNERS: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// The tables that the folder must have; none if it is empty or its first opening was cut short.
pub(super) type Expected = Vec<Table>;

/// Makes the folder, if it is not there. One that is empty is closed to others than its owner.
pub(super) fn make(dir: &Path) -> Result<(), OpenError> {
    let io = |error: io::Error| refused(dir, &error, Stage::Folder);
    DirBuilder::new()
        .recursive(true)
        .mode(OWNERS)
        .create(dir)
        .map_err(io)?;
    if mode(dir)? & OTHERS != 0 && is_empty(dir).map_err(io)? {
        fs::set_permissions(dir, Permissions::from_mode(OWNERS)).map_err(io)?;
    }
    Ok(())
}

/// Refuses a folder that others than its owner may use: what it holds may have been read by them, which its owner has to know.
pub(super) fn check_own(dir: &Path) -> Result<(), OpenError> {
    let mode = mode(dir)?;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(OpenError::Exposed {
        dir: dir.to_path_buf(),
        mode,
    })
}

fn mode(dir: &Path) -> Result<u32, OpenError> {
    let metadata = fs::metadata(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

/// Whether the folder says that it is a store, or was about to be made one.
pub(super) fn is_marked(dir: &Path) -> bool {
    dir.join(SCHEMA_FILE).exists()
}

/// Marks the folder as being created.
pub(super) fn write_new(dir: &Path) -> io::Result<()> {
    write_file(&dir.join(SCHEMA_FILE), NEW)
}

/// Marks the folder as one of this schema with all of this program's tables.
pub(super) fn write_schema(dir: &Path) -> io::Result<()> {
    write_file(&dir.join(SCHEMA_FILE), schema_text().as_bytes())
}

fn schema_text() -> String {
    let names: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
    format!(
        "pitturu store\nschema {SCHEMA}\ntables {}\n",
        names.join(" ")
    )
}

/// Reads what the folder says of itself.
pub(super) fn check_schema(dir: &Path) -> Result<Expected, OpenError> {
    let text = match fs::read_to_string(dir.join(SCHEMA_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if is_empty(dir).map_err(|error| refused(dir, &error, Stage::Folder))? {
                Ok(Expected::new())
            } else {
                Err(OpenError::NotAStore {
                    dir: dir.to_path_buf(),
                })
            };
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(refused(dir, &error, Stage::Folder)),
    };
    if text.as_bytes() == NEW {
        return Ok(Expected::new());
    }
    let dir = dir.to_path_buf();
    match parse_schema(&text) {
        Some((found, _)) if found > SCHEMA => Err(OpenError::SchemaNewer { dir, found }),
        Some((found, _)) if found < SCHEMA_OLDEST => Err(OpenError::SchemaOlder { dir, found }),
        Some((_, expected)) if expected.contains(&Table::Meta) => Ok(expected),
        _ => Err(OpenError::Damaged {
            dir,
            detail: format!("{SCHEMA_FILE} does not say which schema it has"),
        }),
    }
}

/// Schema and tables. Tables that this program does not know are no loss to it.
fn parse_schema(text: &str) -> Option<(u32, Expected)> {
    let rest = text.strip_prefix("pitturu store\nschema ")?;
    let (schema, rest) = rest.split_once('\n')?;
    let names: Vec<_> = rest.strip_prefix("tables ")?.split_whitespace().collect();
    let expected = Table::ALL
        .iter()
        .filter(|table| names.contains(&table.name()))
        .copied()
        .collect();
    Some((schema.parse().ok()?, expected))
}

fn is_empty(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        // What a disk of its own holds from the start, and what a first start leaves when it is cut short.
        if name != "lost+found" && name != LOCK_FILE && name != DRAFT_FILE {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes the folder for this process, as long as the file is open.
pub(super) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| refused(dir, &error, Stage::Folder))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(OpenError::Locked {
                dir: dir.to_path_buf(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(refused(dir, &error, Stage::Folder)),
    }
    // The number is a hint for the next one who finds the lock taken; the lock holds without it.
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    Ok(file)
}

/// Which store of this machine it is, by the file that is its lock: whichever path, link or mount leads there, and in whichever container.
/// A copy of the folder is another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId {
    device: u64,
    file: u64,
}

impl StoreId {
    /// That of the store in this folder.
    ///
    /// # Errors
    /// The folder has no lock, or can't be read.
    pub fn of(dir: &Path) -> io::Result<Self> {
        fs::metadata(dir.join(LOCK_FILE)).map(|lock| Self::from(&lock))
    }

    /// That of the store with this lock.
    pub(super) fn of_lock(lock: &File) -> io::Result<Self> {
        lock.metadata().map(|lock| Self::from(&lock))
    }
}

impl From<&fs::Metadata> for StoreId {
    fn from(lock: &fs::Metadata) -> Self {
        Self {
            device: lock.dev(),
            file: lock.ino(),
        }
    }
}

/// Two hexadecimal numbers with a `-` in between.
impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.device, self.file)
    }
}

/// The epoch of a folder that is locked. One that has none, or none that can be read, gets a new one, which costs clients what they
/// know of their streams, and can't mislead them.
pub(super) fn epoch(dir: &Path) -> io::Result<u64> {
    let path = dir.join(EPOCH_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if let Some(epoch) = parse_epoch(&text) {
        return Ok(epoch);
    }
    let epoch = draw_epoch()?;
    write_file(&path, format!("{epoch:016x}\n").as_bytes())?;
    Ok(epoch)
}

fn parse_epoch(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let epoch = u64::from_str_radix(text, 16).ok()?;
    (text.len() == 16 && (1..1 << EPOCH_BITS).contains(&epoch)).then_some(epoch)
}

/// Never 0, by which clients name no epoch at all.
fn draw_epoch() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok((u64::from_be_bytes(bytes) >> (u64::BITS - EPOCH_BITS)).max(1))
}

/// Replaces a small file so that a crash leaves either the old or the new contents.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_file_name(DRAFT_FILE);
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Notes that everything up to `commit` is durable. Not synced: it may lag, and never runs ahead of the journal, so
/// a folder whose journal ends before it has lost something.
pub(super) fn write_commit_mark(dir: &Path, commit: u64) -> io::Result<()> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&commit.to_be_bytes());
    bytes[8..].copy_from_slice(&(!commit).to_be_bytes());
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(COMMITS_FILE))?
        .write_all_at(&bytes, 0)
}

pub(super) fn read_commit_mark(dir: &Path) -> Option<u64> {
    let bytes = fs::read(dir.join(COMMITS_FILE)).ok()?;
    let (commit, check) = bytes.split_first_chunk::<8>()?;
    let commit = u64::from_be_bytes(*commit);
    // A mark that was torn by a crash says nothing.
    (check == (!commit).to_be_bytes()).then_some(commit)
}
