//! The writer thread: groups of writes, one commit and one fsync for each, and the way back from a failure.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fjall::{AbstractTree, PersistMode};

use super::open::{self, COMMIT_KEY, KEY_GENERATION_KEY, KeyGeneration};
use super::queue::Queued;
use super::read::Generation;
use super::tx::{Overlay, Tx};
use super::{EngineHealth, GROUP_BYTES_MAX, GROUP_JOBS_MAX, Key, Shared, Value};
use crate::store::StoreError;
use crate::store::embedded::tables::Table;

/// How often free space is looked at and the commit mark written, and how often a failing store tries again.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long an idle writer sleeps before it looks whether the database still works.
const IDLE_CHECK_EVERY: Duration = Duration::from_secs(10);

/// Bytes written to see whether there is space again.
const PROBE_BYTES: usize = 512 * 1024;

/// Unflushed memtables of one table at which the writer waits for the workers. At 4 the library would wait by itself,
/// and for ever if its workers have given up.
const SEALED_MEMTABLES_MAX: usize = 2;

/// Runs of files in the youngest level at which the writer waits. At 30 the library would wait by itself.
const YOUNG_RUNS_MAX: usize = 24;

/// How long the writer waits for the readers of a database that it wants to close.
const READERS_WAIT: Duration = Duration::from_secs(10);

/// Changes whose commit failed: they may or may not be in the journal, until the folder is opened again.
struct Doubt {
    /// Number of the commit that failed.
    commit: u64,
    /// What was there before.
    undo: Vec<(Table, Key, Option<Value>)>,
}

struct Writer {
    shared: Arc<Shared>,
    commit: u64,
    keys: KeyGeneration,
    doubt: Option<Doubt>,
    space_checked: Option<Instant>,
    marked: u64,
    marked_at: Instant,
    /// Held, never read: the folder is ours as long as it is open.
    _lock: File,
}

/// Starts the writer thread.
pub(super) fn spawn(
    shared: Arc<Shared>,
    lock: File,
    commit: u64,
    keys: KeyGeneration,
) -> io::Result<JoinHandle<()>> {
    let mut writer = Writer::new(shared, lock, commit, keys);
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())
}

/// Why a group was not committed.
struct Failure {
    reason: String,
    recovers: bool,
}

impl Writer {
    fn new(shared: Arc<Shared>, lock: File, commit: u64, keys: KeyGeneration) -> Self {
        Self {
            shared,
            commit,
            keys,
            doubt: None,
            space_checked: None,
            marked: 0,
            marked_at: Instant::now(),
            _lock: lock,
        }
    }

    fn run(&mut self) {
        loop {
            let failing = self.shared.failing.load(Ordering::Acquire);
            let wait = if failing {
                CHECK_EVERY
            } else {
                IDLE_CHECK_EVERY
            };
            let group = self
                .shared
                .queue
                .take(GROUP_JOBS_MAX, GROUP_BYTES_MAX, wait);
            if group.is_empty() && self.shared.queue.finished() {
                break;
            }
            if failing {
                refuse(group, &self.shared.unavailable());
                self.recover();
            } else {
                self.write_group(group);
            }
            self.look_after();
        }
        self.shut_down();
    }

    fn write_group(&mut self, mut group: Vec<Queued>) {
        let generation = match self.shared.generation() {
            Ok(generation) => generation,
            Err(error) => return refuse(group, &error),
        };
        let mut overlay = Overlay::new();
        let keys = self.shared.key_tables();
        let fence = self.shared.fence.load(Ordering::Acquire);
        for queued in &mut group {
            let run = AssertUnwindSafe(|| {
                let mut tx = Tx::new(&generation, &mut overlay, fence, keys);
                queued.job.run(&mut tx)
            });
            let keep = catch_unwind(run).unwrap_or_else(|_| {
                tracing::error!("a write broke off; nothing of it is kept");
                false
            });
            if keep {
                overlay.keep();
            } else {
                overlay.roll_back();
            }
        }
        let notes = overlay.take_notes();
        match self.commit(&generation, overlay) {
            Ok(()) => {
                for queued in group {
                    finish(queued, Ok(()));
                }
                if let Some(listener) = self.shared.inbox_listener.get() {
                    for (user, seq) in notes {
                        listener(user, seq);
                    }
                }
            }
            Err(failure) => {
                self.fail(&failure);
                refuse(group, &self.shared.unavailable());
            }
        }
        let (jobs, bytes) = self.shared.queue.depth();
        #[expect(clippy::cast_precision_loss, reason = "gauges are approximate")]
        {
            metrics::gauge!("pitturu_store_queue_jobs").set(jobs as f64);
            metrics::gauge!("pitturu_store_queue_bytes").set(bytes as f64);
        }
    }

    /// Commits the changes and syncs them. Without changes there is nothing to wait for.
    fn commit(&mut self, generation: &Generation, mut overlay: Overlay) -> Result<(), Failure> {
        if overlay.is_empty() {
            return Ok(());
        }
        self.check_space()?;
        wait_for_workers(generation)?;
        let commit = self.commit + 1;
        overlay.set(
            Table::Meta,
            COMMIT_KEY.into(),
            Some(commit.to_be_bytes().into()),
        );
        let started = Instant::now();
        let result = apply(generation, &overlay);
        metrics::histogram!("pitturu_store_commit_seconds").record(started.elapsed());
        match result {
            Ok(rows) => {
                self.commit = commit;
                #[expect(clippy::cast_precision_loss, reason = "histograms are approximate")]
                metrics::histogram!("pitturu_store_commit_rows").record(rows as f64);
                Ok(())
            }
            Err(error) => {
                // The failed database still answers reads, without the changes.
                let undo = undo_of(generation, &overlay);
                self.doubt = Some(Doubt { commit, undo });
                Err(judge(&error))
            }
        }
    }

    /// Refuses to write when free space is below the reserve.
    fn check_space(&mut self) -> Result<(), Failure> {
        if self
            .space_checked
            .is_some_and(|at| at.elapsed() < CHECK_EVERY)
        {
            return Ok(());
        }
        self.space_checked = Some(Instant::now());
        let Some(free) = free_bytes(&self.shared.dir) else {
            return Ok(());
        };
        #[expect(clippy::cast_precision_loss, reason = "gauges are approximate")]
        metrics::gauge!("pitturu_store_free_bytes").set(free as f64);
        let needed = self.shared.options.free_bytes_min;
        if free < needed {
            return Err(Failure {
                reason: format!("{free} bytes are free and {needed} are kept in reserve"),
                recovers: true,
            });
        }
        Ok(())
    }

    fn fail(&self, failure: &Failure) {
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
    fn recover(&mut self) {
        let EngineHealth::Failing { recovers: true, .. } = self.shared.health() else {
            return;
        };
        let dir = &self.shared.dir;
        let reserve = self.shared.options.free_bytes_min;
        if free_bytes(dir).is_some_and(|free| free < reserve) || probe(dir).is_err() {
            return;
        }
        if !self.usable() && !self.reopen() {
            return;
        }
        if let Err(error) = self.settle_doubt() {
            tracing::warn!(%error, "the store has not recovered yet");
            return;
        }
        tracing::info!(dir = %self.shared.dir.display(), "the store writes again");
        self.shared.set_health(EngineHealth::Ok);
    }

    /// Whether the database that is open takes writes.
    fn usable(&self) -> bool {
        self.shared
            .generation()
            .is_ok_and(|generation| generation.db.persist(PersistMode::Buffer).is_ok())
    }

    /// Closes the database and opens it again.
    fn reopen(&self) -> bool {
        let old = self
            .shared
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut old) = old {
            let started = Instant::now();
            loop {
                match Arc::try_unwrap(old) {
                    Ok(generation) => break drop(generation),
                    Err(shared) if started.elapsed() > READERS_WAIT => {
                        tracing::warn!("readers keep the store from opening again");
                        self.set_generation(shared);
                        return false;
                    }
                    Err(shared) => old = shared,
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        match open::open_database(&self.shared.dir, &self.shared.options, Table::ALL) {
            Ok(generation) => {
                self.set_generation(Arc::new(generation));
                true
            }
            Err(error) => {
                tracing::error!(%error, "the store does not open again");
                false
            }
        }
    }

    fn set_generation(&self, generation: Arc<Generation>) {
        *self
            .shared
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(generation);
    }

    /// Takes back a commit that was reported as failed and yet reached the journal.
    fn settle_doubt(&mut self) -> Result<(), StoreError> {
        let Some(doubt) = &self.doubt else {
            return Ok(());
        };
        let generation = self.shared.generation()?;
        let stored = open::commit_number(&generation)
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        let settled = doubt.commit + 1;
        if stored == doubt.commit {
            let mut overlay = Overlay::new();
            for (table, key, value) in &doubt.undo {
                overlay.set(*table, key.clone(), value.clone());
            }
            let number = settled.to_be_bytes();
            overlay.set(Table::Meta, COMMIT_KEY.into(), Some(number.into()));
            apply(&generation, &overlay)
                .map_err(|error| StoreError::unavailable(error.to_string()))?;
            tracing::warn!(commit = doubt.commit, "a failed commit was taken back");
        }
        self.commit = if stored < doubt.commit {
            stored
        } else {
            settled
        };
        self.doubt = None;
        Ok(())
    }

    /// What is due now and then: the commit mark, the generation of keyed results, a look at the database.
    fn look_after(&mut self) {
        if self.shared.failing.load(Ordering::Acquire) {
            return;
        }
        if self.marked != self.commit && self.marked_at.elapsed() >= CHECK_EVERY {
            self.mark();
        }
        if !self.usable() {
            let failure = Failure {
                reason: "the database's background work has stopped".to_owned(),
                recovers: true,
            };
            return self.fail(&failure);
        }
        let now = now_ms();
        let age = Duration::from_millis(now.saturating_sub(self.keys.since));
        if self.keys.since == 0 {
            self.turn_keys(self.keys.table, now);
        } else if age >= self.shared.options.key_generation {
            self.turn_keys(1 - self.keys.table, now);
        }
    }

    /// Empties the older table of keyed results and makes it the one that is written; or only notes the time when
    /// the table stays the same.
    fn turn_keys(&mut self, table: u64, now: u64) {
        let Ok(generation) = self.shared.generation() else {
            return;
        };
        let next = KeyGeneration { table, since: now };
        if table != self.keys.table {
            let emptied = self.shared.key_tables()[1];
            if let Err(error) = generation.table(emptied).clear() {
                return self.fail(&judge(&error));
            }
        }
        let mut overlay = Overlay::new();
        let row = next.to_bytes();
        overlay.set(Table::Meta, KEY_GENERATION_KEY.into(), Some(row.into()));
        match self.commit(&generation, overlay) {
            Ok(()) => {
                self.keys = next;
                self.shared.key_table.store(table, Ordering::Release);
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn mark(&mut self) {
        self.marked_at = Instant::now();
        match open::write_commit_mark(&self.shared.dir, self.commit) {
            Ok(()) => self.marked = self.commit,
            Err(error) => tracing::warn!(%error, "the commit mark was not written"),
        }
    }

    fn shut_down(&mut self) {
        let generation = self
            .shared
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if !self.shared.failing.load(Ordering::Acquire) {
            if let Some(generation) = &generation
                && let Err(error) = generation.db.persist(PersistMode::SyncAll)
            {
                tracing::error!(%error, "the last sync of the store went wrong");
            }
            self.mark();
        }
        self.shared.set_health(EngineHealth::Closed);
    }
}

fn finish(queued: Queued, outcome: Result<(), StoreError>) {
    let report = AssertUnwindSafe(|| queued.job.finish(outcome));
    if catch_unwind(report).is_err() {
        tracing::error!("the report of a write broke off");
    }
}

fn refuse(group: Vec<Queued>, error: &StoreError) {
    for queued in group {
        finish(queued, Err(error.clone()));
    }
}

/// Commits and syncs; the number of rows.
fn apply(generation: &Generation, overlay: &Overlay) -> Result<usize, fjall::Error> {
    let mut batch = generation.db.batch().durability(Some(PersistMode::SyncAll));
    for table in Table::ALL {
        let keyspace = generation.table(*table);
        for (key, value) in &overlay.tables[table.index()] {
            match value {
                Some(value) => batch.insert(keyspace, key.clone(), value.clone()),
                None => batch.remove(keyspace, key.clone()),
            }
        }
    }
    let rows = batch.len();
    batch.commit()?;
    Ok(rows)
}

fn undo_of(generation: &Generation, overlay: &Overlay) -> Vec<(Table, Key, Option<Value>)> {
    let mut undo = Vec::new();
    for table in Table::ALL {
        for key in overlay.tables[table.index()].keys() {
            match generation.get(*table, key) {
                Ok(value) => undo.push((*table, key.clone(), value)),
                Err(error) => tracing::error!(%error, "a row before a failed commit is unreadable"),
            }
        }
    }
    undo
}

/// Waits while the workers are behind, unless they have given up.
fn wait_for_workers(generation: &Generation) -> Result<(), Failure> {
    let behind = || {
        generation.tables.iter().any(|table| {
            table.sealed_memtable_count() > SEALED_MEMTABLES_MAX
                || table.tree.l0_run_count() > YOUNG_RUNS_MAX
        })
    };
    while behind() {
        if let Err(error) = generation.db.persist(PersistMode::Buffer) {
            return Err(judge(&error));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Whether the engine may open the folder again by itself.
///
/// It may when space ran out, and when only the background work gave up: what was committed is in the journal. It may not
/// after another error of a write or fsync: the system may have dropped the pages while the cache still shows them,
/// so that a journal continued behind them would break off there at the next start.
fn judge(error: &fjall::Error) -> Failure {
    let recovers = match open::io_cause(error) {
        Some(io) => matches!(
            io.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        ),
        None => matches!(error, fjall::Error::Poisoned),
    };
    let reason = match open::io_cause(error) {
        Some(io) => io.to_string(),
        None => "the database's background work has stopped".to_owned(),
    };
    Failure { reason, recovers }
}

fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes and removes a file, to see whether there is space.
fn probe(dir: &std::path::Path) -> io::Result<()> {
    let path = dir.join("pitturu.probe");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::engine::EngineOptions;

    fn changes(rows: &[(&str, Option<&str>)], commit: u64) -> Overlay {
        let mut overlay = Overlay::new();
        for &(key, value) in rows {
            overlay.set(Table::Rooms, key.into(), value.map(Value::from));
        }
        let number = commit.to_be_bytes();
        overlay.set(Table::Meta, COMMIT_KEY.into(), Some(number.into()));
        overlay
    }

    /// What a failed commit left in the journal is taken back when the folder is opened again, and what it did not is not.
    #[test]
    fn a_failed_commit_leaves_nothing_whether_it_reached_the_journal_or_not() {
        for reached in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let options = EngineOptions::default();
            let opened = open::open(dir.path(), &options).unwrap();
            let first = changes(&[("a", Some("old")), ("b", Some("old"))], 1);
            apply(&opened.generation, &first).unwrap();
            let shared = Shared::new(dir.path(), options, opened.generation, 0);
            let mut writer = Writer::new(shared, opened.lock, 1, opened.keys);

            let failed = changes(&[("a", Some("new")), ("b", None), ("c", Some("new"))], 2);
            let generation = writer.shared.generation().unwrap();
            writer.doubt = Some(Doubt {
                commit: 2,
                undo: undo_of(&generation, &failed),
            });
            if reached {
                apply(&generation, &failed).unwrap();
            }
            drop(generation);
            assert!(writer.reopen());
            writer.settle_doubt().unwrap();

            let generation = writer.shared.generation().unwrap();
            let get = |key: &str| generation.get(Table::Rooms, key.as_bytes()).unwrap();
            assert_eq!(get("a").unwrap(), b"old", "reached: {reached}");
            assert_eq!(get("b").unwrap(), b"old");
            assert!(get("c").is_none());
            assert_eq!(open::commit_number(&generation).unwrap(), writer.commit);
        }
    }
}
