//! The engine: one folder, one writer thread, transactions in groups, reads beside them.
//!
//! Guarantees
//! - **Durable**: a write reports success after an fsync of the journal that holds it. `kill -9` loses none of those.
//! - **Atomic**: of one write all changes or none are there, after a crash as well, and for every [`View`].
//! - **In order**: writes take effect in the order in which they were queued and report in that order.
//! - **Isolated**: there is one writer thread, so a write sees exactly the writes before it.
//!
//! What fails: a full queue refuses new writes ([`StoreError::Busy`]). When free space is below the reserve, what is queued fails
//! with nothing written. When the disk fails a commit, which may then be there or not, those who wait for it are told neither:
//! it is repeated unchanged until it is decided. In both cases reads go on, new writes are refused at once, and the writer goes on
//! when it can; see [`Engine::health`] and [`Engine::fence`]. What is damaged on the disk is found when the folder is opened or the row
//! is read, and never served; `integrity` says what is found when, and what is not.

mod backup;
mod broken;
mod error;
mod folder;
mod integrity;
mod open;
mod queue;
mod read;
mod readers;
mod tx;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use pitturu_metrics::table;
use tokio::sync::oneshot;

use self::queue::{Call, Queue, Queued, Submission};
use self::read::OpenDatabase;
use self::readers::Readers;
use super::tables::Table;
use crate::fail_points::is_undone;
use crate::reservation::{Reservation, Reserved};
use crate::{Done, StoreError};

pub use self::backup::{Backup, BackupError, is_reserved, restore};
pub use self::error::OpenError;
pub use self::folder::{SCHEMA, StoreId};
pub use self::queue::SubmittedJob;
pub use self::read::{Limit, Range, Row, SCAN_BYTES_MAX, View};
pub(crate) use self::tx::HeadRow;
pub use self::tx::Tx;

/// Bytes of a key. Cheap to clone.
pub type Key = fjall::UserKey;

/// Bytes of a row. Cheap to clone.
pub type Value = fjall::UserValue;

/// Most writes that wait for the writer; more are refused with [`StoreError::Busy`].
pub const QUEUE_JOBS_MAX: usize = 16_384;

/// Most bytes that the waiting writes may hold together; more are refused with [`StoreError::Busy`].
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most writes in one commit.
pub const GROUP_JOBS_MAX: usize = 1_024;

/// Writes in one commit from which on the store counts as busy, and takes its time to let more come together.
pub const FULL_GROUP_JOBS: usize = 32;

/// Most bytes of writes in one commit.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a write counts for in the queue when the caller does not say.
pub const JOB_BYTES_DEFAULT: usize = 1_024;

/// Most reads that are on the disk at once; more wait for their turn.
pub const READS_AT_ONCE_MAX: usize = 16;

const _: () = assert!(GROUP_JOBS_MAX <= QUEUE_JOBS_MAX && GROUP_BYTES_MAX <= QUEUE_BYTES_MAX);

/// How the engine is set up. The defaults fit a small virtual machine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes of decoded blocks kept in memory.
    pub cache_bytes: u64,
    /// Bytes that one table gathers in memory before it writes a file. Fixed when the folder is created.
    pub memtable_bytes: u64,
    /// Bytes of journals on disk before tables are made to write their files. At least 64 MiB: the library ends a
    /// journal only when it has 64 MB, so a store grows by that beside its tables before it gives any of it back.
    pub journal_bytes_max: u64,
    /// Threads that write files and compact them.
    pub worker_threads: usize,
    /// Files of tables that stay open for the next read, at least 10. What is written and compacted opens more beside them.
    pub files_kept: usize,
    /// Free bytes on the disk below which writes are refused, so that compaction has room.
    pub free_bytes_min: u64,
    /// See [`QUEUE_JOBS_MAX`].
    pub queue_jobs_max: usize,
    /// See [`QUEUE_BYTES_MAX`].
    pub queue_bytes_max: usize,
    /// How long keyed results stay in the young generation; they are found for once to twice this time.
    pub key_generation: Duration,
    /// Longest time from one commit to the next while writes come together. It is used up with [`FULL_GROUP_JOBS`] writes
    /// in a commit, in proportion with fewer, a quarter of it with two; a write that comes alone does not wait.
    pub commit_every: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 * 1024 * 1024,
            memtable_bytes: 16 * 1024 * 1024,
            journal_bytes_max: 128 * 1024 * 1024,
            worker_threads: 2,
            files_kept: 900,
            free_bytes_min: 64 * 1024 * 1024,
            queue_jobs_max: QUEUE_JOBS_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            key_generation: Duration::from_secs(24 * 60 * 60),
            commit_every: Duration::from_millis(14),
        }
    }
}

/// Whether the engine can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineHealth {
    /// It can.
    Ok,
    /// It cannot. Writes fail with [`StoreError::Unavailable`], reads work where the disk lets them.
    Failing {
        /// What happened, naming the folder.
        reason: Arc<str>,
        /// Whether the engine goes on by itself when the cause is gone; otherwise the process must be restarted.
        recovers: bool,
    },
    /// It was closed.
    Closed,
}

type ReportListener = Box<dyn Fn() + Send + Sync>;

/// What the handles and the writer thread share.
struct Shared {
    dir: PathBuf,
    options: EngineOptions,
    queue: Queue,
    database: RwLock<Option<Arc<OpenDatabase>>>,
    health: Mutex<EngineHealth>,
    failing: AtomicBool,
    fence: AtomicU64,
    /// 0 or 1: which of the tables of keyed results is written.
    key_table: AtomicU64,
    report_listener: OnceLock<ReportListener>,
    epoch: u64,
    /// Held while a backup is made.
    backing_up: Mutex<()>,
}

impl Reserved for Shared {
    fn release(&self, bytes: usize) {
        self.queue.release(bytes);
    }
}

impl Shared {
    fn new(
        dir: &Path,
        options: EngineOptions,
        database: OpenDatabase,
        key_table: u64,
        epoch: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_path_buf(),
            queue: Queue::new(options.queue_jobs_max, options.queue_bytes_max),
            options,
            database: RwLock::new(Some(Arc::new(database))),
            health: Mutex::new(EngineHealth::Ok),
            failing: AtomicBool::new(false),
            fence: AtomicU64::new(1),
            key_table: AtomicU64::new(key_table),
            report_listener: OnceLock::new(),
            epoch,
            backing_up: Mutex::new(()),
        })
    }

    fn set_health(&self, health: EngineHealth) {
        self.failing
            .store(health != EngineHealth::Ok, Ordering::Release);
        *self.health.lock() = health;
    }

    fn health(&self) -> EngineHealth {
        self.health.lock().clone()
    }

    fn unavailable(&self) -> StoreError {
        match self.health() {
            EngineHealth::Failing { reason, .. } => StoreError::Unavailable(reason),
            _ => StoreError::closed(),
        }
    }

    fn database(&self) -> Result<Arc<OpenDatabase>, StoreError> {
        self.database
            .read()
            .clone()
            .ok_or_else(|| self.unavailable())
    }

    fn key_tables(&self) -> [Table; 2] {
        match self.key_table.load(Ordering::Acquire) {
            0 => [Table::KeysA, Table::KeysB],
            _ => [Table::KeysB, Table::KeysA],
        }
    }
}

/// A handle of the engine; clones share it. The folder is locked until [`Engine::close`], or until the last handle and
/// the queued writes are gone.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Readers,
    id: StoreId,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Engine {
    /// Whether there is a store in `dir`.
    pub fn is_in(dir: &Path) -> bool {
        folder::is_marked(dir)
    }

    /// Opens the store in `dir`, creating the folder if it is missing, and starts the writer thread.
    ///
    /// Blocks while the journal is replayed, about a second for each 100 MB.
    ///
    /// # Errors
    /// Each variant of [`OpenError`] names the folder and what to do. A folder that is not ours, a backup, locked or of another
    /// schema is left as it is, and so is one whose journal or lists of files are damaged.
    pub fn open(dir: &Path, options: EngineOptions) -> Result<Self, OpenError> {
        if let Some(dir) = backup::backup_around(dir) {
            return Err(OpenError::Backup { dir });
        }
        let opened = open::open(dir, &options)?;
        let (key_table, epoch) = (opened.keys.table, opened.epoch);
        let shared = Shared::new(dir, options, opened.database, key_table, epoch);
        let writer = writer::spawn(Arc::clone(&shared), opened.lock, opened.commit, opened.keys)
            .map_err(|error| OpenError::Io {
                dir: dir.to_path_buf(),
                detail: error.to_string(),
            })?;
        Ok(Self {
            handle: Arc::new(Handle {
                shared,
                writer: Mutex::new(Some(writer)),
                id: opened.id,
                readers: Readers::default(),
            }),
        })
    }

    /// The committed row under `key`. May read from disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.view()?.get(table, key)
    }

    /// Committed rows of `range` in the order of their keys, or against it. May read from disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub fn scan(
        &self,
        table: Table,
        range: &Range,
        reverse: bool,
        limit: Limit,
    ) -> Result<Vec<Row>, StoreError> {
        self.view()?.scan(table, range, reverse, limit)
    }

    /// A consistent view of everything that is committed now. Drop it soon.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the engine recovers or when it is closed.
    pub fn view(&self) -> Result<View, StoreError> {
        Ok(View::new(self.handle.shared.database()?))
    }

    /// Runs `read` on a thread that may block on the disk, at most [`READS_AT_ONCE_MAX`] at once.
    ///
    /// # Errors
    /// Those of `read`, or [`StoreError::Unavailable`].
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, found) = oneshot::channel();
        let engine = self.clone();
        self.handle.readers.run(move || {
            // Nobody reads for a caller that has gone away.
            if !reply.is_closed() {
                drop(reply.send(engine.view().and_then(|view| read(&view))));
            }
        });
        found
            .await
            .unwrap_or_else(|_| Err(StoreError::damaged("a read broke off")))
    }

    /// Runs `job` in the writer thread and resolves when its changes are on disk.
    ///
    /// A job that returns an error changes nothing, and its error is handed back once the group that it ran in is
    /// committed, so that it never rests on writes that were lost. The job is short and does not block: every
    /// other write waits for it. Dropping the future does not stop the job.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`] made into it.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_sized(JOB_BYTES_DEFAULT, job).await
    }

    /// [`Self::write`] for a job that holds about `bytes` of memory while it waits.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`] made into it.
    pub async fn write_sized<T, E>(
        &self,
        bytes: usize,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (call, reply) = Call::new(job);
        self.admit()?;
        let queued = Queued {
            job: Box::new(call),
            bytes,
            is_marker: false,
        };
        if let Err((_, error)) = self.handle.shared.queue.push(queued) {
            table::STORE_REFUSED.increment();
            return Err(error.into());
        }
        reply
            .await
            .unwrap_or_else(|_| Err(StoreError::closed().into()))
    }

    /// Resolves when the writes that were queued before have been reported, whatever became of them.
    /// While the store can't write it does not wait: what is in doubt stays in its owner's memory until it is decided.
    pub async fn behind_queued_writes(&self) {
        if self.handle.shared.failing.load(Ordering::Acquire) || is_undone("load_barrier") {
            return;
        }
        let (call, reply) = Call::<_, (), StoreError>::new(|_: &mut Tx<'_>| Ok(()));
        self.handle.shared.queue.push_behind(Queued {
            job: Box::new(call),
            bytes: 0,
            is_marker: true,
        });
        // Dropped at once when nothing is ahead or the store can't write; failed when what is ahead failed.
        let _ = reply.await;
    }

    /// Keeps room in the queue for a write of about so many bytes, until it is handed over by [`Self::submit`] or the
    /// result is dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Unavailable`].
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        self.admit()?;
        let shared = &self.handle.shared;
        let reserved = match is_undone("reserve_then_decide") {
            true => shared.queue.reserve_unchecked(bytes),
            false => shared.queue.reserve(bytes),
        };
        reserved.inspect_err(|_| {
            table::STORE_REFUSED.increment();
        })?;
        Ok(Reservation::new(
            Arc::clone(shared) as Arc<dyn Reserved>,
            bytes,
        ))
    }

    /// Queues `job`, which holds about `bytes` of memory, in room that was kept, and returns at once.
    ///
    /// `done` is called exactly once: on the writer thread, after the fsync, in the order of submission. It must not block.
    /// A job that returns an error changes nothing and `done` gets the error, as it does if the store can write no more.
    pub fn submit(&self, reservation: Reservation, bytes: usize, job: SubmittedJob, done: Done) {
        let queued = Queued {
            job: Box::new(Submission::new(job, done)),
            bytes,
            is_marker: false,
        };
        let queue = &self.handle.shared.queue;
        if is_undone("reserve_then_decide") {
            drop(reservation);
            if let Err((queued, error)) = queue.push(queued) {
                queued.job.finish(Err(error));
            }
            return;
        }
        queue.push_reserved(queued, reservation.into_bytes());
    }

    /// The number of failures so far that lost writes, plus one. It grows before the first write of a failed group is reported.
    ///
    /// An owner of state in memory notes it before it loads, and has its writes refused when it has changed
    /// ([`Tx::fence`]): so no write that rests on a lost one slips through after the store has recovered.
    pub fn fence(&self) -> u64 {
        self.handle.shared.fence.load(Ordering::Acquire)
    }

    /// Which history of the store this is: a random number from 1 to 2^53 - 1, drawn when the folder was made, and anew when a backup
    /// was restored into it. Positions in streams that were read under another epoch mean nothing here.
    pub fn epoch(&self) -> u64 {
        self.handle.shared.epoch
    }

    /// Whether the engine can write now.
    pub fn health(&self) -> EngineHealth {
        self.handle.shared.health()
    }

    /// Writes that wait for a commit, and the memory that they hold in bytes.
    pub fn queue_depth(&self) -> (usize, usize) {
        self.handle.shared.queue.depth()
    }

    /// Names the one listener that hears, on the writer thread, that the outcomes of a group were reported. It must not
    /// block. False if there is a listener already.
    pub fn listen_to_reports(&self, listener: impl Fn() + Send + Sync + 'static) -> bool {
        self.handle
            .shared
            .report_listener
            .set(Box::new(listener))
            .is_ok()
    }

    /// Tables of keyed results: the one that is written, then the older one.
    pub(crate) fn key_tables(&self) -> [Table; 2] {
        self.handle.shared.key_tables()
    }

    /// Refuses new writes, commits those that wait, and unlocks the folder. Later calls fail with
    /// [`StoreError::Unavailable`]. Blocks; a second call does nothing.
    pub fn close(&self) {
        self.handle.shared.queue.close();
        let writer = self.handle.writer.lock().take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the store's writer broke off");
        }
    }

    fn admit(&self) -> Result<(), StoreError> {
        if self.handle.shared.failing.load(Ordering::Acquire) {
            return Err(self.handle.shared.unavailable());
        }
        Ok(())
    }
}
