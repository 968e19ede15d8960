//! What waits for a shard, in order.

use std::collections::VecDeque;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Notify, Ordering};

/// Calls that may wait for one shard. Beyond it, they are refused as overloaded.
pub const MAILBOX_MAX: usize = 65_536;

/// Items taken at once.
pub(super) const BURST: usize = 256;

/// Slots that an idle mailbox keeps.
const IDLE_SLOTS: usize = BURST;

/// What waits for one shard, in order.
#[derive(Debug)]
pub struct Mailbox<T> {
    waiting: Mutex<VecDeque<T>>,
    has_writes: AtomicBool,
    /// Wakes the shard's task.
    pub(super) task: Notify,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(VecDeque::new()),
            has_writes: AtomicBool::new(false),
            task: Notify::new(),
        }
    }
}

impl<T> Mailbox<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.waiting.lock()
    }

    /// Puts one in, or hands it back when [`MAILBOX_MAX`] wait.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut waiting = self.lock();
        if waiting.len() >= MAILBOX_MAX {
            return Err(item);
        }
        waiting.push_back(item);
        Ok(())
    }

    /// Puts one in, however many wait: for what is bounded by its cause.
    pub(super) fn push_unbounded(&self, item: T) {
        self.lock().push_back(item);
    }

    /// Reports work that was given away, and has the shard's task look. Reports are bounded by the work in flight.
    pub fn report(&self, item: T) {
        self.push_unbounded(item);
        self.task.notify_one();
    }

    /// Reports a write. [`Self::announce`] follows once for all that were made durable together, so that their messages
    /// gather and one look is enough.
    pub fn report_write(&self, item: T) {
        self.push_unbounded(item);
        self.has_writes.store(true, Ordering::Release);
    }

    /// Has the shard's task look, if writes were reported since the last time.
    pub fn announce(&self) {
        if self.has_writes.swap(false, Ordering::AcqRel) {
            self.task.notify_one();
        }
    }

    /// Takes up to [`BURST`] items.
    pub(super) fn take(&self, into: &mut Vec<T>) {
        let mut waiting = self.lock();
        let count = waiting.len().min(BURST);
        into.extend(waiting.drain(..count));
        if waiting.is_empty() {
            waiting.shrink_to(IDLE_SLOTS);
        }
    }

    /// How many wait.
    pub fn depth(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}
