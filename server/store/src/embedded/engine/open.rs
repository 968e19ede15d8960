//! Opening a folder that is ours: creating or recovering the database, and checking that nothing is missing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions};

use super::EngineOptions;
use super::broken::Broken;
use super::error::{OpenError, Stage, database_refused, refused};
use super::folder::{self, COMMITS_FILE, check_schema};
use super::read::OpenDatabase;
use crate::embedded::tables::Table;
use crate::fail_points::pass;

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
    pub(super) database: OpenDatabase,
    /// Holds the lock as long as it lives.
    pub(super) lock: File,
    /// Number of the newest commit.
    pub(super) commit: u64,
    pub(super) keys: KeyGeneration,
}

pub(super) fn open(dir: &Path, options: &EngineOptions) -> Result<Opened, OpenError> {
    fs::create_dir_all(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    // Before the lock, which leaves a file in the folder; and under it, when no other process is creating the store.
    check_schema(dir)?;
    let lock = folder::lock(dir)?;
    let expected = check_schema(dir)?;
    if expected.is_empty() {
        begin(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    }
    let database = open_database(dir, options, &expected)?;
    if expected.len() < Table::ALL.len() {
        folder::write_schema(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    }
    pass("store.opened");
    let commit = commit_number(&database).map_err(|error| database_refused(dir, &error))?;
    if let Some(marked) = folder::read_commit_mark(dir)
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
    let keys = database
        .table(Table::Meta)
        .get(KEY_GENERATION_KEY)
        .map_err(|error| database_refused(dir, &error))?
        .and_then(|bytes| KeyGeneration::from_bytes(&bytes))
        .unwrap_or(KeyGeneration { table: 0, since: 0 });
    Ok(Opened {
        database,
        lock,
        commit,
        keys,
    })
}

/// Marks the folder as being created, and clears what an earlier start left that was cut short: no write was ever
/// accepted there.
fn begin(dir: &Path) -> io::Result<()> {
    folder::write_new(dir)?;
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
) -> Result<OpenDatabase, OpenError> {
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
        Ok(Ok(Some(database))) => Ok(database),
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
) -> Result<Option<OpenDatabase>, fjall::Error> {
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
    Ok(Some(OpenDatabase {
        db,
        tables,
        broken: Broken::default(),
    }))
}

pub(super) fn commit_number(database: &OpenDatabase) -> Result<u64, fjall::Error> {
    let row = database.table(Table::Meta).get(COMMIT_KEY)?;
    Ok(row
        .and_then(|bytes| <[u8; 8]>::try_from(bytes.as_ref()).ok())
        .map_or(0, u64::from_be_bytes))
}
