//! Opening a folder: who holds it, whether it is ours, sound and of a version that this program knows.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::{Database, KeyspaceCreateOptions};

use super::EngineOptions;
use super::read::Generation;
use crate::store::embedded::tables::Table;

/// Version of the folder's layout and rows that this program writes.
pub const SCHEMA: u32 = 1;

/// Oldest version that this program can read.
const SCHEMA_OLDEST: u32 = 1;

const LOCK_FILE: &str = "pitturu.lock";
const SCHEMA_FILE: &str = "pitturu.schema";
const COMMITS_FILE: &str = "pitturu.commits";
/// What the schema file says while the store is being created.
const NEW: &[u8] = b"new\n";

/// Where a small file is written before it takes its place.
const DRAFT_FILE: &str = "pitturu.draft";

const DATABASE_FOLDER: &str = "data";

/// The file by which the library knows a database of its own.
const DATABASE_MARKER: &str = "version";

/// Where the library keeps tables, each in a folder.
const TABLES_FOLDER: &str = "keyspaces";

/// The file by which the library knows a table that was created to the end.
const TABLE_MARKER: &str = "current";

/// The row of [`Table::Meta`] that counts commits.
pub(super) const COMMIT_KEY: &[u8] = b"commit";

/// The row of [`Table::Meta`] that says which table of keyed results is written, and since when.
pub(super) const KEY_GENERATION_KEY: &[u8] = b"key_generation";

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

/// Which table of keyed results is written, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyGeneration {
    /// 0 or 1.
    pub(super) table: u64,
    /// Milliseconds since 1970.
    pub(super) since: u64,
}

impl KeyGeneration {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.table.to_be_bytes());
        bytes[8..].copy_from_slice(&self.since.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (table, since) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            table: u64::from_be_bytes(*table).min(1),
            since: u64::from_be_bytes(since.try_into().ok()?),
        })
    }
}

/// A folder that was opened.
pub(super) struct Opened {
    pub(super) generation: Generation,
    /// Holds the lock as long as it lives.
    pub(super) lock: File,
    /// Number of the newest commit.
    pub(super) commit: u64,
    pub(super) keys: KeyGeneration,
}

/// The tables that the folder must have; none if it is empty or its first opening was cut short.
type Expected = Vec<Table>;

pub(super) fn open(dir: &Path, options: &EngineOptions) -> Result<Opened, OpenError> {
    fs::create_dir_all(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    // Before the lock, which leaves a file in the folder; and under it, when no other process is creating the store.
    check_schema(dir)?;
    let lock = lock(dir)?;
    let expected = check_schema(dir)?;
    if expected.is_empty() {
        begin(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    }
    let generation = open_database(dir, options, &expected)?;
    if expected.len() < Table::ALL.len() {
        write_file(&dir.join(SCHEMA_FILE), schema_text().as_bytes())
            .map_err(|error| refused(dir, &error, Stage::Folder))?;
    }
    let commit = commit_number(&generation).map_err(|error| database_refused(dir, &error))?;
    if let Some(marked) = read_commit_mark(dir)
        && marked > commit
    {
        return Err(OpenError::Damaged {
            dir: dir.to_path_buf(),
            detail: format!(
                "{} commits that were reported as done are missing from it; to go on without them, delete the file {COMMITS_FILE} in it",
                marked - commit
            ),
        });
    }
    let keys = generation
        .table(Table::Meta)
        .get(KEY_GENERATION_KEY)
        .map_err(|error| database_refused(dir, &error))?
        .and_then(|bytes| KeyGeneration::from_bytes(&bytes))
        .unwrap_or(KeyGeneration { table: 0, since: 0 });
    Ok(Opened {
        generation,
        lock,
        commit,
        keys,
    })
}

/// Marks the folder as being created, and clears what an earlier start left that was cut short: no write was ever
/// accepted there.
fn begin(dir: &Path) -> io::Result<()> {
    write_file(&dir.join(SCHEMA_FILE), NEW)?;
    match fs::remove_dir_all(dir.join(DATABASE_FOLDER)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens the database in a folder that is already locked.
pub(super) fn open_database(
    dir: &Path,
    options: &EngineOptions,
    expected: &[Table],
) -> Result<Generation, OpenError> {
    let path = dir.join(DATABASE_FOLDER);
    if let Some(detail) = missing_part(&path, expected) {
        return Err(OpenError::Damaged {
            dir: dir.to_path_buf(),
            detail,
        });
    }
    // The library panics on some kinds of damage.
    let opened = catch_unwind(AssertUnwindSafe(|| open_tables(&path, options, expected)));
    match opened {
        Ok(Ok(Some(generation))) => Ok(generation),
        Ok(Ok(None)) => Err(OpenError::Damaged {
            dir: dir.to_path_buf(),
            detail: "tables are missing".to_owned(),
        }),
        Ok(Err(error)) => Err(database_refused(dir, &error)),
        Err(_) => Err(OpenError::Damaged {
            dir: dir.to_path_buf(),
            detail: "its files contradict each other".to_owned(),
        }),
    }
}

/// What the library would take for a database that was never finished, and begin anew: it deletes such tables.
fn missing_part(path: &Path, expected: &[Table]) -> Option<String> {
    if expected.is_empty() {
        return None;
    }
    if !path.join(DATABASE_MARKER).is_file() {
        return Some(format!(
            "the file {DATABASE_FOLDER}/{DATABASE_MARKER} is missing"
        ));
    }
    let folder = path.join(TABLES_FOLDER);
    let whole = fs::read_dir(&folder).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join(TABLE_MARKER).is_file())
            .count()
    });
    // The library keeps one more for itself.
    let least = expected.len() + 1;
    (whole < least).then(|| {
        format!(
            "{DATABASE_FOLDER}/{TABLES_FOLDER} has {whole} whole tables, and should have {least}"
        )
    })
}

/// None if an expected table is missing.
fn open_tables(
    path: &Path,
    options: &EngineOptions,
    expected: &[Table],
) -> Result<Option<Generation>, fjall::Error> {
    let db = Database::builder(path)
        .cache_size(options.cache_bytes)
        .max_journaling_size(options.journal_bytes_max)
        .worker_threads(options.worker_threads)
        .open()?;
    let exists = |table: &Table| db.keyspace_exists(table.name());
    if !expected.iter().all(exists) {
        return Ok(None);
    }
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        tables.push(db.keyspace(table.name(), || {
            KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
        })?);
    }
    Ok(Some(Generation { db, tables }))
}

pub(super) fn commit_number(generation: &Generation) -> Result<u64, fjall::Error> {
    let row = generation.table(Table::Meta).get(COMMIT_KEY)?;
    Ok(row
        .and_then(|bytes| <[u8; 8]>::try_from(bytes.as_ref()).ok())
        .map_or(0, u64::from_be_bytes))
}

fn schema_text() -> String {
    let names: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
    format!(
        "pitturu store\nschema {SCHEMA}\ntables {}\n",
        names.join(" ")
    )
}

fn check_schema(dir: &Path) -> Result<Expected, OpenError> {
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

fn lock(dir: &Path) -> Result<File, OpenError> {
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

/// Replaces a small file so that a crash leaves either the old or the new contents.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
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

fn read_commit_mark(dir: &Path) -> Option<u64> {
    let bytes = fs::read(dir.join(COMMITS_FILE)).ok()?;
    let (commit, check) = bytes.split_first_chunk::<8>()?;
    let commit = u64::from_be_bytes(*commit);
    // A mark that was torn by a crash says nothing.
    (check == (!commit).to_be_bytes()).then_some(commit)
}

enum Stage {
    /// Our own files in the folder.
    Folder,
    /// The database's.
    Database,
}

fn refused(dir: &Path, error: &io::Error, stage: Stage) -> OpenError {
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

fn database_refused(dir: &Path, error: &fjall::Error) -> OpenError {
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
