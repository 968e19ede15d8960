//! Threads that read from the disk. A read that finds none free waits for the first that is done with another one, which takes it at
//! once: what waits wakes nobody.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::READS_AT_ONCE_MAX;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    readers: usize,
}

/// Reads that wait, and how many threads read.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<Mutex<State>>);

impl Readers {
    /// Has a thread that may block run this, in the order of the calls. To be called in a runtime.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        state.waiting.push_back(Box::new(job));
        if state.readers == READS_AT_ONCE_MAX {
            return;
        }
        state.readers += 1;
        drop(state);
        let reader = Reader {
            readers: self.clone(),
            is_done: false,
        };
        tokio::task::spawn_blocking(move || reader.read());
    }
}

/// A thread that reads. One that never begins, because its runtime ends, takes what waits with it.
struct Reader {
    readers: Readers,
    is_done: bool,
}

impl Reader {
    /// Runs what waits until nothing does.
    fn read(mut self) {
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a read broke off");
            }
        }
    }

    fn next(&mut self) -> Option<Job> {
        let mut state = self.readers.0.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.readers -= 1;
            self.is_done = true;
        }
        next
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = self.readers.0.lock();
            state.readers -= 1;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            drop(waiting);
        }
    }
}
