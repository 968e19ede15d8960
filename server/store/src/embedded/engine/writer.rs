//! The writer thread: groups of writes, one commit and one fsync for each.

mod recovery;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::{AbstractTree, PersistMode};
use pitturu_metrics::table;

pub(super) use self::recovery::free_bytes;
use self::recovery::{Failure, InDoubt, NotCommitted, judge};
use super::folder;
use super::open::{COMMIT_KEY, KEY_GENERATION_KEY, KeyGeneration};
use super::queue::Queued;
use super::read::OpenDatabase;
use super::tx::{Overlay, RecentHeads, Tx};
use super::{EngineHealth, FULL_GROUP_JOBS, GROUP_BYTES_MAX, GROUP_JOBS_MAX, Shared};
use crate::StoreError;
use crate::clock::now_ms;
use crate::embedded::tables::Table;
use crate::fail_points::pass;

/// How often free space is looked at and the commit mark written, and how often a failing store tries again.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long an idle writer sleeps before it looks whether the database still works.
const IDLE_CHECK_EVERY: Duration = Duration::from_secs(10);

/// Unflushed memtables of one table at which the writer waits for the workers. At 4 the library would wait by itself,
/// and for ever if its workers have given up.
const SEALED_MEMTABLES_MAX: usize = 2;

/// Runs of files in the youngest level at which the writer waits. At 30 the library would wait by itself.
const YOUNG_RUNS_MAX: usize = 24;

struct Writer {
    shared: Arc<Shared>,
    commit: u64,
    keys: KeyGeneration,
    /// Age of the present generation of keys when it was last looked at by another clock, and when that was.
    keys_watched: (Duration, Instant),
    /// A commit that went wrong on its way to the disk: it may be there or not, and is repeated unchanged before anything else.
    in_doubt: Option<InDoubt>,
    heads: RecentHeads,
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
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || {
            let mut writer = Writer::new(Arc::clone(&shared), lock, commit, keys);
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                give_up(&shared);
            }
        })
}

/// Refuses everything from now on, so that nobody waits for a writer that is gone.
fn give_up(shared: &Shared) {
    let reason = format!(
        "the writer of {} broke off; restart the process",
        shared.dir.display()
    );
    tracing::error!("{reason}");
    shared.set_health(EngineHealth::Failing {
        reason: reason.into(),
        recovers: false,
    });
    shared.fence.fetch_add(1, Ordering::AcqRel);
    shared.queue.close();
    while !shared.queue.finished() {
        let group = shared
            .queue
            .take(GROUP_JOBS_MAX, GROUP_BYTES_MAX, Duration::ZERO);
        report(shared, group, &Err(shared.unavailable()));
    }
}

impl Writer {
    fn new(shared: Arc<Shared>, lock: File, commit: u64, keys: KeyGeneration) -> Self {
        let age = Duration::from_millis(now_ms().saturating_sub(keys.since));
        let keys_watched = (age.min(shared.options.key_generation), Instant::now());
        Self {
            shared,
            commit,
            keys,
            keys_watched,
            in_doubt: None,
            heads: RecentHeads::default(),
            space_checked: None,
            marked: 0,
            marked_at: Instant::now(),
            _lock: lock,
        }
    }

    fn run(&mut self) {
        loop {
            if self.in_doubt.is_some() {
                self.wait_in_doubt();
                continue;
            }
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
                report(&self.shared, group, &Err(self.shared.unavailable()));
                self.recover();
            } else {
                self.write_and_pace(group);
            }
            self.look_after();
        }
        self.shut_down();
    }

    /// Repeats what is in doubt until it is decided. What was queued behind it waits as well: it may rest on it.
    fn wait_in_doubt(&mut self) {
        let is_closed = self.shared.queue.wait_until_closed(CHECK_EVERY);
        self.recover();
        if is_closed && let Some(in_doubt) = self.in_doubt.take() {
            // Nobody hears this as an answer: the connections have ended. The next start finds it whole or not at all.
            self.shared.fence.fetch_add(1, Ordering::AcqRel);
            report(
                &self.shared,
                in_doubt.group,
                &Err(self.shared.unavailable()),
            );
        }
    }

    /// Writes a group, and lets the next one gather while writes keep coming: a commit costs its sync, and waking those who
    /// wait for it, however many writes share it. The busier the store, the longer.
    fn write_and_pace(&mut self, group: Vec<Queued>) {
        let began = Instant::now();
        // What only waits for its turn is no sign of more to write.
        let writes = group.iter().filter(|queued| !queued.is_marker).count();
        let every = pace(self.shared.options.commit_every, writes);
        self.write_group(group);
        let (waiting, _) = self.shared.queue.depth();
        // What fills a group gains nothing by waiting.
        if waiting < GROUP_JOBS_MAX
            && let Some(rest) = every.checked_sub(began.elapsed())
        {
            std::thread::sleep(rest);
        }
    }

    fn write_group(&mut self, mut group: Vec<Queued>) {
        pass("store.group");
        let database = match self.shared.database() {
            Ok(database) => database,
            Err(error) => return report(&self.shared, group, &Err(error)),
        };
        let mut overlay = Overlay::new();
        let keys = self.shared.key_tables();
        let fence = self.shared.fence.load(Ordering::Acquire);
        for queued in &mut group {
            let run = AssertUnwindSafe(|| {
                let mut tx = Tx::new(&database, &self.heads, &mut overlay, fence, keys);
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
        match self.commit(&database, overlay) {
            Ok(()) => {
                pass("store.synced");
                report(&self.shared, group, &Ok(()));
                pass("store.reported");
            }
            Err(NotCommitted::Nothing(failure)) => {
                self.fail(&failure);
                report(&self.shared, group, &Err(self.shared.unavailable()));
            }
            Err(NotCommitted::InDoubt(failure, overlay)) => self.doubt(&failure, group, *overlay),
        }
    }

    /// Commits the changes and syncs them. Without changes there is nothing to wait for.
    fn commit(
        &mut self,
        database: &OpenDatabase,
        mut overlay: Overlay,
    ) -> Result<(), NotCommitted> {
        if overlay.is_empty() {
            return Ok(());
        }
        let ready = self.check_space().and_then(|()| wait_for_workers(database));
        ready.map_err(NotCommitted::Nothing)?;
        let commit = self.commit + 1;
        overlay.set(
            Table::Meta,
            COMMIT_KEY.into(),
            Some(commit.to_be_bytes().into()),
        );
        let started = Instant::now();
        pass("store.commit");
        let result = apply(database, &overlay);
        table::STORE_COMMIT_SECONDS.took(started.elapsed());
        match result {
            Ok(rows) => {
                self.committed(&overlay);
                #[expect(clippy::cast_precision_loss, reason = "histograms are approximate")]
                table::STORE_COMMIT_ROWS.record(rows as f64);
                Ok(())
            }
            Err(error) => Err(NotCommitted::InDoubt(judge(&error), Box::new(overlay))),
        }
    }

    /// The changes of the next commit are on disk.
    fn committed(&mut self, overlay: &Overlay) {
        self.commit += 1;
        self.heads.note(overlay);
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
        table::STORE_FREE_BYTES.set(free as f64);
        let needed = self.shared.options.free_bytes_min;
        if free < needed {
            return Err(Failure {
                reason: format!("{free} bytes are free and {needed} are kept in reserve"),
                recovers: true,
            });
        }
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
        if self.keys.since == 0 {
            self.turn_keys(self.keys.table);
        } else if self.keys_age() >= self.shared.options.key_generation {
            self.turn_keys(1 - self.keys.table);
        }
    }

    /// How long the present table of keyed results is written. What passed before this process began is told by the wall clock
    /// and counts for one generation at most; what passes since is measured, so that a jump of the clock forgets nothing
    /// early and keeps nothing for ever.
    fn keys_age(&self) -> Duration {
        let (before, since) = self.keys_watched;
        before + since.elapsed()
    }

    /// Empties the older table of keyed results and makes it the one that is written; or only notes the time when
    /// the table stays the same.
    fn turn_keys(&mut self, table: u64) {
        let now = now_ms();
        let Ok(database) = self.shared.database() else {
            return;
        };
        let next = KeyGeneration { table, since: now };
        if table != self.keys.table {
            let emptied = self.shared.key_tables()[1];
            if let Err(error) = database.table(emptied).clear() {
                return self.fail(&judge(&error));
            }
        }
        let mut overlay = Overlay::new();
        let row = next.to_bytes();
        overlay.set(Table::Meta, KEY_GENERATION_KEY.into(), Some(row.into()));
        match self.commit(&database, overlay) {
            Ok(()) => {
                self.keys = next;
                self.keys_watched = (Duration::ZERO, Instant::now());
                self.shared.key_table.store(table, Ordering::Release);
            }
            Err(NotCommitted::Nothing(failure)) => self.fail(&failure),
            Err(NotCommitted::InDoubt(failure, overlay)) => {
                self.doubt(&failure, Vec::new(), *overlay);
            }
        }
    }

    fn mark(&mut self) {
        self.marked_at = Instant::now();
        match folder::write_commit_mark(&self.shared.dir, self.commit) {
            Ok(()) => self.marked = self.commit,
            Err(error) => tracing::warn!(%error, "the commit mark was not written"),
        }
    }

    fn shut_down(&mut self) {
        if !self.shared.failing.load(Ordering::Acquire) {
            let synced = self
                .shared
                .database()
                .map(|database| database.db.persist(PersistMode::SyncAll));
            if let Ok(Err(error)) = synced {
                tracing::error!(%error, "the last sync of the store went wrong");
            }
            self.mark();
        }
        self.shared.set_health(EngineHealth::Closed);
        if !self.close_database() {
            tracing::warn!("readers keep the store's files open");
        }
    }
}

fn finish(queued: Queued, outcome: Result<(), StoreError>) {
    let report = AssertUnwindSafe(|| queued.job.finish(outcome));
    if catch_unwind(report).is_err() {
        tracing::error!("the report of a write broke off");
    }
}

/// Reports one outcome to a whole group.
fn report(shared: &Shared, group: Vec<Queued>, outcome: &Result<(), StoreError>) {
    for queued in group {
        finish(queued, outcome.clone());
    }
    if let Some(listener) = shared.report_listener.get() {
        listener();
    }
}

/// Time from the beginning of a commit of so many writes to that of the next. Already two show that more are coming.
fn pace(every: Duration, jobs: usize) -> Duration {
    if jobs < 2 {
        return Duration::ZERO;
    }
    let busy = u32::try_from(jobs.clamp(FULL_GROUP_JOBS / 4, FULL_GROUP_JOBS)).expect("few");
    every * busy / u32::try_from(FULL_GROUP_JOBS).expect("few")
}

/// Commits and syncs; the number of rows.
fn apply(database: &OpenDatabase, overlay: &Overlay) -> Result<usize, fjall::Error> {
    let mut batch = database.db.batch().durability(Some(PersistMode::SyncAll));
    let mut bytes = 0;
    for table in Table::ALL {
        let keyspace = database.table(*table);
        for (key, value) in &overlay.tables[table.index()] {
            bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            match value {
                Some(value) => batch.insert(keyspace, key.clone(), value.clone()),
                None => batch.remove(keyspace, key.clone()),
            }
        }
    }
    let rows = batch.len();
    database.broken.fail("store.write", &database.db)?;
    let synced = database.broken.fail("store.sync", &database.db);
    batch.commit()?;
    synced?;
    table::STORE_COMMITTED_BYTES.add(bytes as u64);
    Ok(rows)
}

/// Waits while the workers are behind, unless they have given up.
fn wait_for_workers(database: &OpenDatabase) -> Result<(), Failure> {
    let behind = || {
        database.tables.iter().any(|table| {
            table.sealed_memtable_count() > SEALED_MEMTABLES_MAX
                || table.tree.l0_run_count() > YOUNG_RUNS_MAX
        })
    };
    while behind() {
        if let Err(error) = database.db.persist(PersistMode::Buffer) {
            return Err(judge(&error));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_the_store_the_longer_a_commit_gathers() {
        let every = Duration::from_millis(12);
        let paces = [0, 1, 2, 8, 16, 32, 1_000].map(|jobs| pace(every, jobs).as_millis());
        assert_eq!(paces, [0, 0, 3, 3, 6, 12, 12]);
    }
}
