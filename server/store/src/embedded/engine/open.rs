//! Opening a folder that is ours: creating or recovering the database, and checking that nothing is missing.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::{AbstractTree, Database, KeyspaceCreateOptions};

use super::EngineOptions;
use super::broken::Broken;
use super::error::{OpenError, Stage, database_refused, refused};
use super::folder::{self, COMMITS_FILE, StoreId, check_schema};
use super::integrity::{self, Flaw, Newest};
use super::read::OpenDatabase;
use crate::embedded::tables::Table;
use crate::fail_points::pass;

pub(super) const DATABASE_FOLDER: &str = "data";

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
    /// See [`Engine::epoch`](super::Engine::epoch).
    pub(super) epoch: u64,
    pub(super) id: StoreId,
}

pub(super) fn open(dir: &Path, options: &EngineOptions) -> Result<Opened, OpenError> {
    folder::make(dir)?;
    // Before the lock, which leaves a file in the folder; and under it, when no other process is creating the store.
    check_schema(dir)?;
    folder::check_own(dir)?;
    let lock = folder::lock(dir)?;
    let id = StoreId::of_lock(&lock).map_err(|error| refused(dir, &error, Stage::Folder))?;
    let expected = check_schema(dir)?;
    if expected.is_empty() {
        begin(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    }
    let epoch = folder::epoch(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    let marked = folder::read_commit_mark(dir);
    let journaled = check_files(dir, &expected)?;
    // Before the library opens its files, which cuts a journal off where it can't read on.
    check_mark(dir, marked, journaled.map(|newest| newest.commit))?;
    let database = open_database(dir, options, &expected)?;
    if expected.len() < Table::ALL.len() {
        folder::write_schema(dir).map_err(|error| refused(dir, &error, Stage::Folder))?;
    }
    pass("store.opened");
    let commit = commit_number(&database).map_err(|error| database_refused(dir, &error))?;
    check_mark(dir, marked, Some(commit))?;
    // Without a mark somebody has decided to go on with what is left.
    if marked.is_some() && journaled.is_some_and(|newest| contradicts(&database, commit, newest)) {
        let detail = "its journals do not end where its tables do".to_owned();
        return Err(damaged(dir, detail));
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
        epoch,
        id,
    })
}

fn damaged(dir: &Path, detail: String) -> OpenError {
    OpenError::Damaged {
        dir: dir.to_path_buf(),
        detail,
    }
}

/// Refuses a folder whose newest commit comes before the mark.
fn check_mark(dir: &Path, marked: Option<u64>, newest: Option<u64>) -> Result<(), OpenError> {
    match (marked, newest) {
        (Some(marked), Some(newest)) if marked > newest => {
            let missing = marked - newest;
            Err(damaged(
                dir,
                format!(
                    "{missing} commits that were reported as done are missing from it; to go on without them, delete the file {COMMITS_FILE} in it"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a table has rows of a commit that the journals do not have: they have lost their end, and with it the rows
/// of other tables.
fn contradicts(database: &OpenDatabase, commit: u64, newest: Newest) -> bool {
    let written = database
        .tables
        .iter()
        .filter_map(|table| table.tree.get_highest_persisted_seqno());
    commit != newest.commit || written.max() > Some(newest.seqno)
}

/// Checks the library's files in a folder that is locked, before the library opens them. The newest commit in its journals,
/// if there is one.
pub(super) fn check_files(dir: &Path, expected: &[Table]) -> Result<Option<Newest>, OpenError> {
    let path = dir.join(DATABASE_FOLDER);
    if expected.is_empty() {
        return Ok(None);
    }
    if let Some(detail) = missing_part(&path, expected) {
        return Err(damaged(dir, detail));
    }
    integrity::check(&path, &path.join(TABLES_FOLDER)).map_err(|flaw| match flaw {
        Flaw::Io(error) => refused(dir, &error, Stage::Database),
        Flaw::Damaged(detail) => damaged(dir, detail),
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

/// Opens the database in a folder that is locked and was checked by [`check_files`].
pub(super) fn open_database(
    dir: &Path,
    options: &EngineOptions,
    expected: &[Table],
) -> Result<OpenDatabase, OpenError> {
    let path = dir.join(DATABASE_FOLDER);
    // The library panics on some kinds of damage.
    let opened = catch_unwind(AssertUnwindSafe(|| open_tables(&path, options, expected)));
    match opened {
        Ok(Ok(Some(database))) => Ok(database),
        Ok(Ok(None)) => Err(damaged(dir, "tables are missing".to_owned())),
        Ok(Err(error)) => Err(database_refused(dir, &error)),
        Err(_) => Err(damaged(dir, "its files contradict each other".to_owned())),
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
        .max_cached_files(Some(options.files_kept))
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
