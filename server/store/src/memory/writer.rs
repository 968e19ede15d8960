//! What waits for the writer, and the thread that takes it: groups in order, each carried out and then reported.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::Failure;
use super::state::State;
use crate::entities::{Commit, EntityId, Fence, Loaded, OpenCommit, Part};
use crate::reservation::Reserved;
use crate::{Done, StoreError};

/// Most jobs that are carried out and reported together.
const GROUP_JOBS_MAX: usize = 64;

/// What waits for the writer.
pub(super) enum Job {
    /// A commit, the bytes that were kept for it, and whom to tell.
    Commit(OpenCommit, usize, Done),
    /// A load, which comes to everything that was handed over before it.
    Load(
        EntityId,
        Vec<Part>,
        oneshot::Sender<Result<Option<Loaded>, StoreError>>,
    ),
    /// Another change, which says whether there is more of it to do.
    Change(
        Box<dyn FnOnce(&mut State) -> bool + Send>,
        oneshot::Sender<Result<bool, StoreError>>,
    ),
}

/// Tells somebody an outcome.
type Report = Box<dyn FnOnce() + Send>;

/// Everything that the handles and the writer share.
pub(super) struct Inner {
    pub(super) state: State,
    pub(super) fence: u64,
    jobs: VecDeque<Job>,
    /// Bytes of the commits that wait.
    bytes: usize,
    /// Commits for which room is kept, and their bytes.
    reserved: usize,
    reserved_bytes: usize,
    pub(super) is_held: bool,
    /// No more is taken but commits for which room was kept before.
    is_closed: bool,
    /// The state has gone to another store.
    pub(super) is_gone: bool,
    pub(super) refusal: Option<StoreError>,
    /// How many commits fail from now on, and how.
    pub(super) failures: (usize, Failure),
    /// Commits reported as failed that may yet be found.
    pub(super) unknown: Vec<Commit>,
    pub(super) loads_held: Option<Vec<Report>>,
    pub(super) loads_failing: usize,
}

impl Inner {
    /// Why nothing can be written or read now.
    pub(super) fn unavailable(&self) -> StoreError {
        if self.is_gone || self.is_closed {
            StoreError::closed()
        } else {
            StoreError::unavailable("the disk failed")
        }
    }

    fn is_failing(&self) -> bool {
        self.is_gone || !self.unknown.is_empty()
    }

    /// Carries out a job; what tells its outcome, and whether that was a commit's.
    fn run(&mut self, job: Job) -> (Option<Report>, bool) {
        match job {
            Job::Commit(commit, bytes, done) => {
                self.bytes -= bytes;
                let reservations = commit.close();
                let outcome = self.commit(commit.look(Commit::clone));
                let report = move || {
                    drop(reservations);
                    done(outcome);
                };
                (Some(Box::new(report)), true)
            }
            Job::Load(entity, parts, reply) => {
                let loaded = self.load(entity, &parts);
                // Whoever does not wait any more does not want to know; so below.
                let report = Box::new(move || drop(reply.send(loaded)));
                match &mut self.loads_held {
                    Some(held) => {
                        held.push(report);
                        (None, false)
                    }
                    None => (Some(report), false),
                }
            }
            Job::Change(change, reply) => {
                let outcome = if self.is_failing() {
                    Err(self.unavailable())
                } else {
                    Ok(change(&mut self.state))
                };
                (Some(Box::new(move || drop(reply.send(outcome)))), false)
            }
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        if self.is_failing() {
            return Err(self.unavailable());
        }
        if commit.fence.0 != self.fence {
            return Err(StoreError::Conflict("a commit before it was lost"));
        }
        let (failing, failure) = &mut self.failures;
        if *failing > 0 {
            *failing -= 1;
            if *failure == Failure::Unknown {
                self.unknown.push(commit);
            }
            self.fence += 1;
            return Err(StoreError::unavailable("the disk failed"));
        }
        self.state.apply(commit)
    }

    fn load(&mut self, entity: EntityId, parts: &[Part]) -> Result<Option<Loaded>, StoreError> {
        if self.is_failing() {
            return Err(self.unavailable());
        }
        if self.loads_failing > 0 {
            self.loads_failing -= 1;
            return Err(StoreError::unavailable("the disk failed"));
        }
        Ok(self.state.load(entity, parts, Fence(self.fence)))
    }

    /// The state that a crash at this moment leaves: of what nobody was told, each commit that may be there is, if it is found.
    pub(super) fn crash(&mut self, mut found: impl FnMut(&Commit) -> bool) -> State {
        let mut state = std::mem::take(&mut self.state);
        let fence = self.fence;
        let untold = self.jobs.iter().filter_map(|job| match job {
            Job::Commit(commit, ..) => Some(commit.look(Commit::clone)),
            _ => None,
        });
        let untold = untold.filter(|commit| commit.fence.0 == fence);
        for commit in self.unknown.iter().cloned().chain(untold) {
            if found(&commit) {
                // One that rests on another that was not found is refused.
                let _ = state.apply(commit);
            }
        }
        self.is_gone = true;
        state
    }
}

/// The store behind its handles.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    wake: Condvar,
    pub(super) listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
    pub(super) jobs_max: usize,
    pub(super) bytes_max: usize,
}

impl Reserved for Shared {
    fn release(&self, bytes: usize) {
        let mut inner = self.lock();
        inner.reserved -= 1;
        inner.reserved_bytes -= bytes;
        drop(inner);
        self.wake.notify_all();
    }
}

impl Shared {
    pub(super) fn new(state: State, fence: u64, jobs_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                state,
                fence,
                jobs: VecDeque::new(),
                bytes: 0,
                reserved: 0,
                reserved_bytes: 0,
                is_held: false,
                is_closed: false,
                is_gone: false,
                refusal: None,
                failures: (0, Failure::Lost),
                unknown: Vec::new(),
                loads_held: None,
                loads_failing: 0,
            }),
            wake: Condvar::new(),
            listener: OnceLock::new(),
            jobs_max,
            bytes_max,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Looks at the state, or changes the controls, and wakes the writer.
    pub(super) fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.lock());
        self.wake.notify_all();
    }

    /// Takes no more, and lets the writer come to what waits.
    pub(super) fn close(&self) {
        self.set(|inner| {
            inner.is_closed = true;
            inner.is_held = false;
            inner.loads_held = None;
        });
    }

    /// Jobs that wait, and the bytes of commits among them.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.jobs.len(), inner.bytes)
    }

    /// Keeps room for a commit. One heavier than the whole room is taken when it is alone.
    pub(super) fn reserve(&self, bytes: usize) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if let Some(refusal) = &inner.refusal {
            return Err(refusal.clone());
        }
        if inner.is_closed || inner.is_failing() {
            return Err(inner.unavailable());
        }
        let jobs = inner.jobs.len() + inner.reserved;
        let has_room = jobs == 0 || inner.bytes + inner.reserved_bytes + bytes <= self.bytes_max;
        if jobs >= self.jobs_max || !has_room {
            return Err(StoreError::Busy);
        }
        inner.reserved += 1;
        inner.reserved_bytes += bytes;
        Ok(())
    }

    /// Queues a commit for which these bytes were kept.
    pub(super) fn hand_over(&self, commit: OpenCommit, bytes: usize, done: Done) {
        self.set(|inner| {
            inner.reserved -= 1;
            inner.reserved_bytes -= bytes;
            inner.bytes += bytes;
            inner.jobs.push_back(Job::Commit(commit, bytes, done));
        });
    }

    /// Queues a load or a change.
    pub(super) fn queue(&self, job: Job) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(inner.unavailable());
        }
        let is_load = matches!(job, Job::Load(..));
        if !is_load && inner.jobs.len() + inner.reserved >= self.jobs_max {
            return Err(StoreError::Busy);
        }
        inner.jobs.push_back(job);
        drop(inner);
        self.wake.notify_all();
        Ok(())
    }

    /// The writer's life: until the store is closed and nothing waits or can come.
    pub(super) fn write(&self) {
        while let Some((reports, has_commits)) = self.next_group() {
            for report in reports {
                if catch_unwind(AssertUnwindSafe(report)).is_err() {
                    tracing::error!("the report of a commit broke off");
                }
            }
            if let Some(listener) = self.listener.get().filter(|_| has_commits) {
                listener();
            }
        }
    }

    /// Waits for jobs and carries out a group of them. What tells the outcomes, and whether there are commits among them.
    fn next_group(&self) -> Option<(Vec<Report>, bool)> {
        let mut inner = self.lock();
        self.wake.wait_while(&mut inner, |inner| {
            let is_over = inner.is_closed && inner.reserved == 0;
            inner.is_held || (inner.jobs.is_empty() && !is_over)
        });
        if inner.jobs.is_empty() {
            return None;
        }
        let (mut reports, mut has_commits) = (Vec::new(), false);
        for _ in 0..GROUP_JOBS_MAX {
            let Some(job) = inner.jobs.pop_front() else {
                break;
            };
            let (report, is_commit) = inner.run(job);
            reports.extend(report);
            has_commits |= is_commit;
        }
        Some((reports, has_commits))
    }
}
