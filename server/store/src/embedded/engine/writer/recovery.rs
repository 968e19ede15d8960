//! The way back from a failure: what may go on by itself, and how a commit that failed is undone.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fjall::PersistMode;

use super::super::error::io_cause;
use super::super::open::{self, COMMIT_KEY};
use super::super::read::OpenDatabase;
use super::super::tx::Overlay;
use super::super::{EngineHealth, Key, Value};
use super::{Writer, apply};
use crate::StoreError;
use crate::embedded::tables::Table;
use crate::fail_points::{is_undone, pass};

/// Bytes written to see whether there is space again.
const PROBE_BYTES: usize = 512 * 1024;

/// How long the writer waits for the readers of a database that it wants to close.
const READERS_WAIT: Duration = Duration::from_secs(10);

/// How often it looks whether they are done.
const READERS_POLL: Duration = Duration::from_millis(2);

/// Changes whose commit failed: they may or may not be in the journal, until the folder is opened again.
pub(super) struct UnknownCommit {
    /// Number of the commit that failed.
    pub(super) commit: u64,
    /// What was there before.
    pub(super) undo: Vec<(Table, Key, Option<Value>)>,
}

/// Why a group was not committed.
pub(super) struct Failure {
    pub(super) reason: String,
    /// Whether the engine may go on by itself.
    pub(super) recovers: bool,
}

impl Writer {
    pub(super) fn fail(&self, failure: &Failure) {
        let dir = self.shared.dir.display();
        let reason = format!("writing to {dir} went wrong: {}", failure.reason);
        tracing::error!(recovers = failure.recovers, "{reason}");
        metrics::counter!("pitturu_store_failures_total").increment(1);
        self.shared.set_health(EngineHealth::Failing {
            reason: reason.into(),
            recovers: failure.recovers,
        });
        // After the health, so that who sees the new fence finds the store failing, not a gap between the two.
        self.shared.fence.fetch_add(1, Ordering::AcqRel);
    }

    /// Tries to write again after a failure.
    pub(super) fn recover(&mut self) {
        let EngineHealth::Failing { recovers: true, .. } = self.shared.health() else {
            return;
        };
        let dir = &self.shared.dir;
        let reserve = self.shared.options.free_bytes_min;
        if free_bytes(dir).is_some_and(|free| free < reserve) || probe(dir).is_err() {
            return;
        }
        let recovered = if self.usable() {
            self.go_on()
        } else {
            self.reopen()
        };
        if let Err(error) = recovered {
            tracing::warn!(%error, "the store has not recovered yet");
            return;
        }
        tracing::info!(dir = %self.shared.dir.display(), "the store writes again");
        self.shared.set_health(EngineHealth::Ok);
    }

    /// Whether the database that is open takes writes.
    pub(super) fn usable(&self) -> bool {
        self.shared.database().is_ok_and(|database| {
            database.db.persist(PersistMode::Buffer).is_ok() && database.broken.shown().is_none()
        })
    }

    /// Goes on with the database that is open. It shows nothing of a commit that failed: changes are synced before they
    /// are shown.
    fn go_on(&mut self) -> Result<(), StoreError> {
        let database = self.shared.database()?;
        self.heads.forget();
        self.settle_unknown(&database)
    }

    /// Closes the database, opens it again, and settles what is in doubt before anybody can read it: a commit that was
    /// reported as failed may be in the journal, and must not be seen before it is taken back.
    fn reopen(&mut self) -> Result<(), StoreError> {
        pass("store.reopen");
        if !self.close_database() {
            return Err(StoreError::unavailable(
                "readers keep the store from opening again",
            ));
        }
        let dir = &self.shared.dir;
        let database = open::check_files(dir, Table::ALL)
            .and_then(|_| open::open_database(dir, &self.shared.options, Table::ALL))
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        // Which of the last changes are there is found out only now.
        self.heads.forget();
        let database = Arc::new(database);
        if is_undone("settle_before_publish") {
            self.set_database(Arc::clone(&database));
        }
        pass("store.reopened");
        self.settle_unknown(&database)?;
        pass("store.undone");
        self.set_database(database);
        Ok(())
    }

    /// Closes the database once its readers are done. False if they take too long; then it stays as it was, or, when the
    /// engine is closed, open for those readers.
    pub(super) fn close_database(&self) -> bool {
        let taken = self.shared.database.write().take();
        let Some(mut database) = taken else {
            return true;
        };
        let started = Instant::now();
        loop {
            match Arc::try_unwrap(database) {
                Ok(database) => {
                    drop(database);
                    return true;
                }
                Err(in_use) if started.elapsed() > READERS_WAIT => {
                    if self.shared.health() != EngineHealth::Closed {
                        self.set_database(in_use);
                    }
                    return false;
                }
                Err(in_use) => database = in_use,
            }
            std::thread::sleep(READERS_POLL);
        }
    }

    fn set_database(&self, database: Arc<OpenDatabase>) {
        *self.shared.database.write() = Some(database);
    }

    /// Takes back a commit that was reported as failed and yet reached the journal.
    fn settle_unknown(&mut self, database: &OpenDatabase) -> Result<(), StoreError> {
        let Some(unknown) = &self.unknown else {
            return Ok(());
        };
        let stored = open::commit_number(database)
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        let settled = unknown.commit + 1;
        if stored == unknown.commit {
            let mut overlay = Overlay::new();
            for (table, key, value) in &unknown.undo {
                overlay.set(*table, key.clone(), value.clone());
            }
            let number = settled.to_be_bytes();
            overlay.set(Table::Meta, COMMIT_KEY.into(), Some(number.into()));
            apply(database, &overlay)
                .map_err(|error| StoreError::unavailable(error.to_string()))?;
            tracing::warn!(commit = unknown.commit, "a failed commit was taken back");
        }
        self.commit = if stored < unknown.commit {
            stored
        } else {
            settled
        };
        self.unknown = None;
        Ok(())
    }
}

/// What the keys of a failed commit held before it.
pub(super) fn undo_of(
    database: &OpenDatabase,
    overlay: &Overlay,
) -> Result<Vec<(Table, Key, Option<Value>)>, StoreError> {
    let mut undo = Vec::new();
    for table in Table::ALL {
        for key in overlay.tables[table.index()].keys() {
            undo.push((*table, key.clone(), database.get(*table, key)?));
        }
    }
    Ok(undo)
}

/// Whether the engine may open the folder again by itself.
///
/// It may when space ran out, and when only the background work gave up: what was committed is in the journal. It may not
/// after another error of a write or fsync: the system may have dropped the pages while the cache still shows them,
/// so that a journal continued behind them would break off there at the next start.
pub(super) fn judge(error: &fjall::Error) -> Failure {
    let recovers = match io_cause(error) {
        Some(io) => matches!(
            io.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        ),
        None => matches!(error, fjall::Error::Poisoned),
    };
    let reason = match io_cause(error) {
        Some(io) => io.to_string(),
        None => "the database's background work has stopped".to_owned(),
    };
    Failure { reason, recovers }
}

/// Bytes that this process may still write; none if the system does not say.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes and removes a file, to see whether there is space.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join("pitturu.probe");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::engine::{EngineOptions, Shared};

    fn changes(rows: &[(&str, Option<&str>)], commit: u64) -> Overlay {
        let mut overlay = Overlay::new();
        for &(key, value) in rows {
            overlay.set(Table::EntityRows, key.into(), value.map(Value::from));
        }
        let number = commit.to_be_bytes();
        overlay.set(Table::Meta, COMMIT_KEY.into(), Some(number.into()));
        overlay
    }

    /// A writer of a folder with the rows `a` and `b`, whose second commit was reported as failed.
    fn writer_in_doubt(dir: &Path, reached: bool) -> Writer {
        let options = EngineOptions::default();
        let opened = open::open(dir, &options).unwrap();
        let first = changes(&[("a", Some("old")), ("b", Some("old"))], 1);
        apply(&opened.database, &first).unwrap();
        let shared = Shared::new(dir, options, opened.database, 0);
        let mut writer = Writer::new(shared, opened.lock, 1, opened.keys);

        let failed = changes(&[("a", Some("new")), ("b", None), ("c", Some("new"))], 2);
        let database = writer.shared.database().unwrap();
        writer.unknown = Some(UnknownCommit {
            commit: 2,
            undo: undo_of(&database, &failed).unwrap(),
        });
        if reached {
            apply(&database, &failed).unwrap();
        }
        writer
    }

    /// Whoever reads while the store recovers sees what was there before the failed commit, or that the store is not
    /// available: never what is about to be taken back.
    #[test]
    fn what_is_taken_back_is_shown_to_nobody() {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = writer_in_doubt(dir.path(), true);
            assert!(writer.close_database());
            let shared = Arc::clone(&writer.shared);
            let reader = std::thread::spawn(move || {
                loop {
                    // Looks as often as it can: it is there before the one who opens.
                    if let Ok(database) = shared.database() {
                        return database.get(Table::EntityRows, b"a").unwrap();
                    }
                }
            });
            writer.reopen().unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), b"old");
        }
    }

    /// What a failed commit left in the journal is taken back when the folder is opened again, and what it did not is not.
    #[test]
    fn a_failed_commit_leaves_nothing_whether_it_reached_the_journal_or_not() {
        for reached in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = writer_in_doubt(dir.path(), reached);
            writer.reopen().unwrap();

            let database = writer.shared.database().unwrap();
            let get = |key: &str| database.get(Table::EntityRows, key.as_bytes()).unwrap();
            assert_eq!(get("a").unwrap(), b"old", "reached: {reached}");
            assert_eq!(get("b").unwrap(), b"old");
            assert!(get("c").is_none());
            assert_eq!(open::commit_number(&database).unwrap(), writer.commit);
        }
    }
}
