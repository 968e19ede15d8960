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
}

impl Drop for Submission {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(StoreError::closed()));
        }
    }
}

/// A job and what it weighs.
pub(super) struct Queued {
    pub(super) job: Box<dyn Job>,
    pub(super) bytes: usize,
    /// It writes nothing: it tells when what is ahead of it has been reported.
    pub(super) is_marker: bool,
}

struct State {
    jobs: VecDeque<Queued>,
    bytes: usize,
    /// Jobs for which room is kept, and their bytes.
    reserved: usize,
    reserved_bytes: usize,
    /// What was taken last is being written.
    is_writing: bool,
    /// Nothing is taken until the store can write again.
    is_suspended: bool,
    closed: bool,
}

impl State {
    /// Refuses when one more job of so many bytes has no room.
    fn check(&self, bytes: usize, jobs_max: usize, bytes_max: usize) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::closed());
        }
        let jobs = self.jobs.len() + self.reserved;
        // A job heavier than the whole queue is taken when it is alone.
        let over_bytes = self.bytes + self.reserved_bytes + bytes > bytes_max && jobs > 0;
        if jobs >= jobs_max || over_bytes {
            return Err(StoreError::Busy);
        }
        Ok(())
    }

    fn append(&mut self, queued: Queued) -> bool {
        self.bytes += queued.bytes;
        self.jobs.push_back(queued);
        self.jobs.len() == 1
    }
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
                reserved: 0,
                reserved_bytes: 0,
                is_writing: false,
                is_suspended: false,
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
        if let Err(error) = state.check(queued.bytes, self.jobs_max, self.bytes_max) {
            return Err((queued, error));
        }
        let was_empty = state.append(queued);
        drop(state);
        if was_empty {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Keeps room for a job of about so many bytes, until [`Self::push_reserved`] or [`Self::release`].
    pub(super) fn reserve(&self, bytes: usize) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.check(bytes, self.jobs_max, self.bytes_max)?;
        state.reserved += 1;
        state.reserved_bytes += bytes;
        Ok(())
    }

    /// Keeps room where there is none, for a chaos run without the check.
    pub(super) fn reserve_unchecked(&self, bytes: usize) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.reserved += 1;
        state.reserved_bytes += bytes;
        Ok(())
    }

    /// Appends a job for which room was kept, whatever it weighs, also when the queue has been closed meanwhile.
    pub(super) fn push_reserved(&self, queued: Queued, reserved_bytes: usize) {
        let mut state = self.lock();
        state.reserved -= 1;
        state.reserved_bytes -= reserved_bytes;
        let was_empty = state.append(queued);
        drop(state);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Appends a job however full the queue is, unless nothing is ahead of it: then, and when the queue is suspended or closed, it
    /// is dropped.
    pub(super) fn push_behind(&self, queued: Queued) {
        let mut state = self.lock();
        let is_first = state.jobs.is_empty() && !state.is_writing;
        if state.closed || state.is_suspended || is_first {
            return;
        }
        let was_empty = state.append(queued);
        drop(state);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Nothing is taken for a while: takes the jobs that write nothing out of the line, and no more in.
    pub(super) fn suspend(&self) -> Vec<Queued> {
        let mut state = self.lock();
        state.is_suspended = true;
        let (markers, jobs) = state.jobs.drain(..).partition(|queued| queued.is_marker);
        state.jobs = jobs;
        Vec::from(markers)
    }

    /// Waits until the queue is closed and nothing can come any more, or the time is over. Whether it is closed.
    pub(super) fn wait_until_closed(&self, wait: Duration) -> bool {
        let mut state = self.lock();
        let goes_on = |state: &mut State| !(state.closed && state.reserved == 0);
        self.wake.wait_while_for(&mut state, goes_on, wait);
        state.closed && state.reserved == 0
    }

    /// Keeps the room no longer.
    pub(super) fn release(&self, reserved_bytes: usize) {
        let mut state = self.lock();
        state.reserved -= 1;
        state.reserved_bytes -= reserved_bytes;
        let is_last = state.closed && state.reserved == 0;
        drop(state);
        if is_last {
            self.wake.notify_all();
        }
    }

    /// Waits until there are jobs, the queue is closed, or the time is over; takes up to the two bounds, at least one job.
    pub(super) fn take(&self, jobs_max: usize, bytes_max: usize, wait: Duration) -> Vec<Queued> {
        let mut state = self.lock();
        state.is_writing = false;
        state.is_suspended = false;
        let nothing_to_do =
            |state: &mut State| state.jobs.is_empty() && !(state.closed && state.reserved == 0);
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
        state.is_writing = !group.is_empty();
        group
    }

    /// Refuses new jobs from now on; those queued are still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Whether it is closed, everything has been handed out, and nothing can come any more.
    pub(super) fn finished(&self) -> bool {
        let state = self.lock();
        state.closed && state.jobs.is_empty() && state.reserved == 0
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
