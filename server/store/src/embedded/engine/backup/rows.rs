//! Copying all rows of a moment into a database of its own, and counting what a database holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use fjall::PersistMode;
use xxhash_rust::xxh3::Xxh3;

use super::manifest::{Manifest, Tally};
use super::{AfterPiece, BackupError};
use crate::StoreError;
use crate::embedded::engine::error::{Stage, database_refused, refused};
use crate::embedded::engine::read::{Limit, OpenDatabase, Range, Row, View};
use crate::embedded::engine::{EngineOptions, OpenError, folder, open};
use crate::embedded::tables::Table;

/// Most bytes of rows that are in memory at a time.
const PAGE_BYTES: usize = 1024 * 1024;

/// Memory for blocks: rows are read once.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// Files that stay open.
const FILES_KEPT: usize = 16;

/// The number of the newest commit, and what each table holds.
type Copied = (u64, Vec<(Table, Tally)>);

/// Copies what the view shows into a store in the folder `to`, which is there and empty. `after` is called after each page.
pub(super) fn copy(
    view: &View,
    to: &Path,
    options: &EngineOptions,
    after: AfterPiece<'_>,
) -> Result<Copied, BackupError> {
    folder::write_new(to).map_err(|error| refused(to, &error, Stage::Folder))?;
    let database = open::open_database(to, &of_a_copy(options), &[])?;
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for &table in Table::ALL {
        let tally = match table {
            // It is the last, for its rows say which commit is the newest.
            Table::Meta => continue,
            table => copy_table(view, table, &database, to, after)?,
        };
        tables.push((table, tally));
    }
    tables.push((Table::Meta, copy_meta(view, &database, to, after)?));
    let commit = open::commit_number(&database).map_err(|error| database_refused(to, &error))?;
    drop(database);
    let marked = folder::write_schema(to).and_then(|()| folder::write_commit_mark(to, commit));
    marked.map_err(|error| refused(to, &error, Stage::Folder))?;
    Ok((commit, tables))
}

fn of_a_copy(options: &EngineOptions) -> EngineOptions {
    EngineOptions {
        cache_bytes: CACHE_BYTES,
        worker_threads: 1,
        files_kept: FILES_KEPT,
        ..options.clone()
    }
}

/// Writes the table's files directly: what is not in a journal needs no commits, whose numbers would have to follow each other.
fn copy_table(
    view: &View,
    table: Table,
    database: &OpenDatabase,
    to: &Path,
    after: AfterPiece<'_>,
) -> Result<Tally, BackupError> {
    let failed = |error: fjall::Error| BackupError::Open(database_refused(to, &error));
    let mut writing = database.table(table).start_ingestion().map_err(failed)?;
    let tally = each_page(view, table, after, |page| {
        for (key, value) in page {
            writing.write(key, value).map_err(failed)?;
        }
        Ok(())
    })?;
    writing.finish().map_err(failed)?;
    Ok(tally)
}

/// The rows of the engine's own table are few, and one commit: that with which the copy ends.
fn copy_meta(
    view: &View,
    database: &OpenDatabase,
    to: &Path,
    after: AfterPiece<'_>,
) -> Result<Tally, BackupError> {
    let mut batch = database.db.batch().durability(Some(PersistMode::SyncAll));
    let meta = database.table(Table::Meta);
    let tally = each_page(view, Table::Meta, after, |page| {
        for (key, value) in page {
            batch.insert(meta, key, value);
        }
        Ok(())
    })?;
    batch
        .commit()
        .map_err(|error| BackupError::Open(database_refused(to, &error)))?;
    Ok(tally)
}

/// Hands all rows of a table over, page by page, and counts them.
fn each_page(
    view: &View,
    table: Table,
    after: AfterPiece<'_>,
    mut take: impl FnMut(Vec<Row>) -> Result<(), BackupError>,
) -> Result<Tally, BackupError> {
    let mut tally = Tally::default();
    let mut digest = Xxh3::new();
    let mut range = Range::all();
    loop {
        let began = Instant::now();
        let page = view.scan(table, &range, false, Limit::new(usize::MAX, PAGE_BYTES))?;
        let Some((last, _)) = page.last() else {
            tally.digest = digest.digest128();
            return Ok(tally);
        };
        range = range.after(last.to_vec());
        for (key, value) in &page {
            tally.rows += 1;
            for part in [key.as_ref(), value.as_ref()] {
                tally.bytes += part.len() as u64;
                digest.update(&(part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        }
        take(page)?;
        after(began)?;
    }
}

/// Opens the copy in `dir`, with all the checks of an opening, and reads it to its end. What is wrong with it is said of `shown`.
/// `after` is called after each page.
///
/// # Errors
/// [`BackupError::Damaged`] names the file or the table.
pub(super) fn check(
    dir: &Path,
    shown: &Path,
    manifest: &Manifest,
    after: AfterPiece<'_>,
) -> Result<(), BackupError> {
    let damaged = |detail: String| BackupError::Damaged {
        dir: shown.to_path_buf(),
        detail,
    };
    let options = of_a_copy(&EngineOptions::default());
    let opened = match open::open(dir, &options) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { detail, .. }) => return Err(damaged(detail)),
        Err(error) => return Err(error.into()),
    };
    if opened.commit != manifest.commit {
        let (found, copied) = (opened.commit, manifest.commit);
        return Err(damaged(format!(
            "its newest commit is {found} and should be {copied}"
        )));
    }
    let view = View::new(Arc::new(opened.database));
    for (table, copied) in &manifest.tables {
        // The library panics on some kinds of damage.
        let read = AssertUnwindSafe(|| each_page(&view, *table, after, |_| Ok(())));
        let read = catch_unwind(read).unwrap_or_else(|_| {
            let store = StoreError::damaged("its files contradict each other");
            Err(store.into())
        });
        let name = table.name();
        match read {
            Ok(found) if found == *copied => {}
            Ok(found) => {
                return Err(damaged(format!(
                    "table {name} has {} rows of {} bytes, other than the {} of {} that were copied",
                    found.rows, found.bytes, copied.rows, copied.bytes
                )));
            }
            Err(BackupError::Store(StoreError::Damaged(what))) => {
                return Err(damaged(format!("table {name}: {what}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
