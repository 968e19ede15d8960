//! The bounded queue of writes in front of the writer thread.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::tx::Tx;
use crate::{Done, StoreError};

/// One write on its way: run once against a transaction, finished once when the outcome is known.
pub(super) trait Job: Send {
    /// Runs the write. False takes its changes back.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Reports the outcome of the commit that the write was part of.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);

    /// Makes dropping the write report nothing: its caller has been told already.
    fn disarm(&mut self) {}
}

/// A write whose caller awaits its result.
pub(super) struct Call<F, T, E> {
    job: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Call<F, T, E> {
    pub(super) fn new(job: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, receiver) = oneshot::channel();
        let call = Self {
            job: Some(job),
            result: None,
            reply,
        };
        (call, receiver)
    }
}

impl<F, T, E> Job for Call<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(job) = self.job.take() else {
            return false;
        };
        let result = job(tx);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::damaged("the write broke off").into()),
            (Err(error), _) => Err(error.into()),
        };
        // A caller that has gone away does not want to know.
        let _ = self.reply.send(result);
    }
}

/// A write that is handed over without waiting.
pub type SubmittedJob = Box<dyn FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send>;

/// A write whose outcome is told to a callback. Told exactly once, also when the queue goes away.
pub(super) struct Submission {
    job: Option<SubmittedJob>,
    refused: Option<StoreError>,
    done: Option<Done>,
}

impl Submission {
    pub(super) fn new(job: SubmittedJob, done: Done) -> Self {
        Self {
            job: Some(job),
            refused: None,
            done: Some(done),
        }
    }
}

impl Job for Submission {
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let outcome = match self.job.take() {
            Some(job) => job(tx),
            None => Ok(()),
        };
        self.refused = outcome.err();
        self.refused.is_none()
    }

    fn finish(mut self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = committed.and(self.refused.take().map_or(Ok(()), Err));
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }

    fn disarm(&mut self) {
        self.done = None;
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(StoreError::unavailable("the store is closed")));
        }
    }
}

/// A job and what it weighs.
pub(super) struct Queued {
    pub(super) job: Box<dyn Job>,
    pub(super) bytes: usize,
}

struct State {
    jobs: VecDeque<Queued>,
    bytes: usize,
    closed: bool,
}

/// First in, first out; refuses rather than waits.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    jobs_max: usize,
    bytes_max: usize,
}

impl Queue {
    pub(super) fn new(jobs_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            wake: Condvar::new(),
            jobs_max,
            bytes_max,
        }
    }

    /// Appends a job, or hands it back with the reason. A job heavier than the whole queue is taken when it is alone.
    pub(super) fn push(&self, queued: Queued) -> Result<(), (Queued, StoreError)> {
        let mut state = self.lock();
        if state.closed {
            return Err((queued, StoreError::unavailable("the store is closed")));
        }
        let over_bytes = state.bytes + queued.bytes > self.bytes_max && !state.jobs.is_empty();
        if state.jobs.len() >= self.jobs_max || over_bytes {
            return Err((queued, StoreError::Busy));
        }
        state.bytes += queued.bytes;
        state.jobs.push_back(queued);
        let was_empty = state.jobs.len() == 1;
        drop(state);
        if was_empty {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits until there are jobs, the queue is closed, or the time is over; takes up to the two bounds, at least one job.
    pub(super) fn take(&self, jobs_max: usize, bytes_max: usize, wait: Duration) -> Vec<Queued> {
        let mut state = self.lock();
        let nothing_to_do = |state: &mut State| state.jobs.is_empty() && !state.closed;
        self.wake.wait_while_for(&mut state, nothing_to_do, wait);
        let mut group = Vec::with_capacity(state.jobs.len().min(jobs_max));
        let mut bytes = 0;
        while group.len() < jobs_max {
            let Some(next) = state.jobs.pop_front() else {
                break;
            };
            if bytes + next.bytes > bytes_max && !group.is_empty() {
                state.jobs.push_front(next);
                break;
            }
            bytes += next.bytes;
            group.push(next);
        }
        state.bytes -= bytes;
        group
    }

    /// Refuses new jobs from now on; those queued are still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Whether it is closed and everything has been handed out.
    pub(super) fn finished(&self) -> bool {
        let state = self.lock();
        state.closed && state.jobs.is_empty()
    }

    /// Jobs and bytes waiting.
    pub(super) fn depth(&self) -> (usize, usize) {
        let state = self.lock();
        (state.jobs.len(), state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one still guards a sound state.
        self.state.lock()
    }
}
