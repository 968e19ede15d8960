//! The way back from a failure: what may go on by itself, and how a commit in doubt is decided.
//!
//! A commit that went wrong while it was written or synced may be in the journal or not, and would be found at the next start or not.
//! Its callers are told neither: they wait. It is repeated, unchanged, as soon as the folder takes writes again, and only
//! then reported, as done. Meanwhile new writes are refused at once, reads show what was committed before, and what was queued
//! behind it waits: nothing that rests on it is lost, and nothing that was refused is there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fjall::PersistMode;
use pitturu_metrics::table;

use super::super::EngineHealth;
use super::super::error::io_cause;
use super::super::open::{self, COMMIT_KEY};
use super::super::queue::Queued;
use super::super::read::OpenDatabase;
use super::super::tx::Overlay;
use super::{Writer, apply, finish, report};
use crate::StoreError;
use crate::embedded::tables::Table;
use crate::fail_points::{is_undone, pass};

/// Bytes written to see whether there is space again.
const PROBE_BYTES: usize = 512 * 1024;

/// How long the writer waits for the readers of a database that it wants to close.
const READERS_WAIT: Duration = Duration::from_secs(10);

/// How often it looks whether they are done.
const READERS_POLL: Duration = Duration::from_millis(2);

/// A commit that may be on disk or not.
pub(super) struct InDoubt {
    /// Who waits for it.
    pub(super) group: Vec<Queued>,
    /// Its changes, with its number.
    pub(super) overlay: Overlay,
}

/// Why the folder does not take writes.
pub(super) struct Failure {
    pub(super) reason: String,
    /// Whether the engine may go on by itself.
    pub(super) recovers: bool,
}

/// Why a group was not committed.
pub(super) enum NotCommitted {
    /// Before anything was written.
    Nothing(Failure),
    /// While it was written: these changes may be on disk.
    InDoubt(Failure, Box<Overlay>),
}

impl Writer {
    /// The folder takes no writes, and what waited for it was lost: nothing may rest on that any more.
    pub(super) fn fail(&self, failure: &Failure) {
        self.set_failing(failure);
        // After the health, so that who sees the new fence finds the store failing, not a gap between the two.
        self.shared.fence.fetch_add(1, Ordering::AcqRel);
    }

    /// The folder takes no writes, and this commit is in doubt until it does again.
    pub(super) fn doubt(&mut self, failure: &Failure, group: Vec<Queued>, overlay: Overlay) {
        if is_undone("settle_before_publish") {
            self.fail(failure);
            return report(&self.shared, group, &Err(self.shared.unavailable()));
        }
        self.in_doubt = Some(InDoubt { group, overlay });
        self.set_failing(failure);
        // Who loads does not wait for writes that may take long to come: a life that is in doubt stays in memory.
        for queued in self.shared.queue.suspend() {
            finish(queued, Err(self.shared.unavailable()));
        }
    }

    fn set_failing(&self, failure: &Failure) {
        let dir = self.shared.dir.display();
        let reason = format!("writing to {dir} went wrong: {}", failure.reason);
        tracing::error!(recovers = failure.recovers, "{reason}");
        table::STORE_FAILURES.increment();
        self.shared.set_health(EngineHealth::Failing {
            reason: reason.into(),
            recovers: failure.recovers,
        });
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
        // Behind a batch that was cut short nothing may be written: the folder is opened again, and the batch goes.
        let recovered = if self.in_doubt.is_none() && self.usable() {
            self.heads.forget();
            Ok(())
        } else {
            self.reopen()
        };
        if let Err(error) = recovered {
            tracing::warn!(%error, "the store has not recovered yet");
            return;
        }
        tracing::info!(dir = %self.shared.dir.display(), "the store writes again");
        self.shared.set_health(EngineHealth::Ok);
        if let Some(in_doubt) = self.in_doubt.take() {
            report(&self.shared, in_doubt.group, &Ok(()));
        }
    }

    /// Whether the database that is open takes writes.
    pub(super) fn usable(&self) -> bool {
        self.shared.database().is_ok_and(|database| {
            database.db.persist(PersistMode::Buffer).is_ok() && database.broken.shown().is_none()
        })
    }

    /// Closes the database, opens it again, and decides what is in doubt before anybody can read it: it may be in the journal and
    /// yet not on disk.
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
        self.commit = open::commit_number(&database)
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        pass("store.reopened");
        self.repeat(&database)?;
        pass("store.repeated");
        self.set_database(Arc::new(database));
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

    /// Writes what is in doubt once more: the same changes, under the number behind the newest commit that is there. That may be the
    /// one in doubt, read from a journal that never was synced.
    fn repeat(&mut self, database: &OpenDatabase) -> Result<(), StoreError> {
        let Some(mut in_doubt) = self.in_doubt.take() else {
            return Ok(());
        };
        let number = (self.commit + 1).to_be_bytes();
        let row = Some(number.into());
        in_doubt.overlay.set(Table::Meta, COMMIT_KEY.into(), row);
        let applied = apply(database, &in_doubt.overlay);
        if applied.is_ok() {
            self.committed(&in_doubt.overlay);
            tracing::warn!(commit = self.commit, "a commit in doubt was repeated");
        }
        // Reported once the store is healthy again.
        self.in_doubt = Some(in_doubt);
        applied
            .map(drop)
            .map_err(|error| StoreError::unavailable(error.to_string()))
    }
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
pub(in super::super) fn free_bytes(dir: &Path) -> Option<u64> {
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
    use tokio::sync::oneshot;

    use super::*;
    use crate::Done;
    use crate::embedded::engine::queue::Submission;
    use crate::embedded::engine::{EngineOptions, Shared, Value};

    fn changes(rows: &[(&str, Option<&str>)], commit: u64) -> Overlay {
        let mut overlay = Overlay::new();
        for &(key, value) in rows {
            overlay.set(Table::EntityRows, key.into(), value.map(Value::from));
        }
        let number = commit.to_be_bytes();
        overlay.set(Table::Meta, COMMIT_KEY.into(), Some(number.into()));
        overlay
    }

    type Outcome = oneshot::Receiver<Result<(), StoreError>>;

    /// A writer of a folder with the rows `a` and `b`, whose second commit is in doubt, and who waits for that.
    fn writer_in_doubt(dir: &Path, reached: bool) -> (Writer, Outcome) {
        let options = EngineOptions::default();
        let opened = open::open(dir, &options).unwrap();
        let first = changes(&[("a", Some("old")), ("b", Some("old"))], 1);
        apply(&opened.database, &first).unwrap();
        let shared = Shared::new(dir, options, opened.database, 0, opened.epoch);
        let mut writer = Writer::new(shared, opened.lock, 1, opened.keys);

        let second = [("a", Some("new")), ("b", None), ("c", Some("new"))];
        if reached {
            let database = writer.shared.database().unwrap();
            apply(&database, &changes(&second, 2)).unwrap();
        }
        let (report, outcome) = oneshot::channel();
        let done: Done = Box::new(move |result| drop(report.send(result)));
        let group = vec![Queued {
            job: Box::new(Submission::new(Box::new(|_| Ok(())), done)),
            bytes: 0,
            is_marker: false,
        }];
        let failure = Failure {
            reason: "a test".to_owned(),
            recovers: true,
        };
        writer.doubt(&failure, group, changes(&second, 2));
        (writer, outcome)
    }

    /// Whoever reads while the store recovers sees what was decided, or that the store is not available.
    #[test]
    fn what_is_in_doubt_is_shown_to_nobody() {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let (mut writer, _outcome) = writer_in_doubt(dir.path(), true);
            assert!(writer.close_database());
            let shared = Arc::clone(&writer.shared);
            let reader = std::thread::spawn(move || {
                loop {
                    // Looks as often as it can: it is there before the one who opens.
                    if let Ok(database) = shared.database() {
                        return open::commit_number(&database).unwrap();
                    }
                }
            });
            writer.reopen().unwrap();
            // The second commit was there, and is repeated as the third.
            assert_eq!(reader.join().unwrap(), 3);
            assert_eq!(writer.commit, 3, "decided before it was shown");
        }
    }

    /// Whether it had reached the journal or not: a commit in doubt is there in the end, and only then reported, as done.
    #[test]
    fn a_commit_in_doubt_is_repeated_and_then_reported() {
        for reached in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let (mut writer, mut outcome) = writer_in_doubt(dir.path(), reached);
            assert!(outcome.try_recv().is_err(), "nobody is told yet");
            writer.recover();
            assert_eq!(outcome.try_recv(), Ok(Ok(())));
            assert!(writer.in_doubt.is_none());
            assert_eq!(writer.shared.health(), EngineHealth::Ok);

            let database = writer.shared.database().unwrap();
            let get = |key: &str| database.get(Table::EntityRows, key.as_bytes()).unwrap();
            assert_eq!(get("a").unwrap(), b"new", "reached: {reached}");
            assert!(get("b").is_none());
            assert_eq!(get("c").unwrap(), b"new");
            assert_eq!(writer.commit, if reached { 3 } else { 2 });
            assert_eq!(open::commit_number(&database).unwrap(), writer.commit);
            drop(database);
            writer.mark();
            assert!(writer.close_database());
            open::check_files(dir.path(), Table::ALL).expect("the journals are in order");
        }
    }
}
