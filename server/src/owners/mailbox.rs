//! What waits for a shard, and how a shard comes to run.
//!
//! A shard has no thread of its own: whoever puts something into its mailbox runs it at once, unless somebody is running
//! it already, who then goes on with what was put in meanwhile. A call thus reaches its room, and a message everybody who
//! reads along, without waking another task. The store's writer does not run shards: it wakes the shard's task.
//!
//! A broadcast to hundreds takes milliseconds, one to thousands tens of them. Whoever has made one leaves the shard to a
//! thread apart, which runs it until nothing is left; meanwhile the others only fill the mailbox.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::shard::Shard;
use super::spread;
use crate::chat::command::{Command, Completion};

/// Calls that may wait for one shard. Beyond it, they are refused as overloaded.
pub const MAILBOX_MAX: usize = 65_536;

/// Items taken at once.
const BURST: usize = 256;

/// Items after which whoever runs a shard leaves the rest to the shard's task.
const TURN_MAX: usize = 4 * BURST;

/// Slots that an idle mailbox keeps.
const IDLE_SLOTS: usize = BURST;

/// How often a shard looks at its rooms' clocks, in milliseconds.
const TICK_MS: u64 = 250;

/// One thing for a shard to do.
#[derive(Debug)]
pub enum Item {
    /// Somebody asks.
    Command(Command),
    /// Work that was given away reports.
    Completion(Completion),
    /// Time has passed.
    Tick,
}

/// What waits for one shard, in order.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<VecDeque<Item>>,
    has_writes: AtomicBool,
    task: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports work that was given away, and has the shard's task look. Reports are bounded by the work in flight.
    pub fn report(&self, completion: Completion) {
        self.lock().push_back(Item::Completion(completion));
        self.task.notify_one();
    }

    /// Reports a write. [`Self::announce`] follows once for all that were made durable together, so that their messages
    /// gather and one look is enough.
    pub fn report_write(&self, completion: Completion) {
        self.lock().push_back(Item::Completion(completion));
        self.has_writes.store(true, Ordering::Release);
    }

    /// Has the shard's task look, if writes were reported since the last time.
    pub fn announce(&self) {
        if self.has_writes.swap(false, Ordering::AcqRel) {
            self.task.notify_one();
        }
    }

    /// Takes some items.
    fn take(&self, into: &mut Vec<Item>) {
        let mut waiting = self.lock();
        let count = waiting.len().min(BURST);
        into.extend(waiting.drain(..count));
        if waiting.is_empty() {
            waiting.shrink_to(IDLE_SLOTS);
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// A shard and its mailbox.
pub struct ShardHandle {
    mailbox: Arc<Mailbox>,
    running: Mutex<Running>,
}

/// What only one thread at a time has.
struct Running {
    shard: Shard,
    /// A thread apart runs the shard until nothing is left.
    is_apart: bool,
    /// What was taken out of the mailbox for it.
    left: Vec<Item>,
}

impl Running {
    fn work_off(&mut self) {
        for item in self.left.drain(..) {
            self.shard.take(item);
        }
        self.shard.flush();
    }
}

impl std::fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardHandle")
    }
}

impl ShardHandle {
    /// A shard that `make` makes for its mailbox, and starts its task on `lane`, which ends with the handle.
    pub fn start(lane: &Handle, make: impl FnOnce(Arc<Mailbox>) -> Shard) -> Arc<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let running = Running {
            shard: make(Arc::clone(&mailbox)),
            is_apart: false,
            left: Vec::new(),
        };
        let handle = Arc::new(Self {
            mailbox: Arc::clone(&mailbox),
            running: Mutex::new(running),
        });
        lane.spawn(attend(Arc::downgrade(&handle), mailbox));
        handle
    }

    /// What waits for the shard.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Has the shard do what is asked, now or right after what it is doing. Hands the command back when too many wait.
    pub fn send(self: &Arc<Self>, command: Command) -> Result<(), Command> {
        if let Ok(mut running) = self.running.try_lock()
            && !running.is_apart
            && self.mailbox.is_empty()
        {
            running.shard.take(Item::Command(command));
            self.end_turn(running);
        } else {
            let mut waiting = self.mailbox.lock();
            if waiting.len() >= MAILBOX_MAX {
                return Err(command);
            }
            waiting.push_back(Item::Command(command));
        }
        self.run();
        Ok(())
    }

    /// Like [`Self::send`], however many wait: for what is bounded by its cause.
    pub fn insist(self: &Arc<Self>, command: Command) {
        self.mailbox.lock().push_back(Item::Command(command));
        self.run();
    }

    /// Works off the mailbox, unless somebody else does. Whoever puts something in calls this afterwards, and whoever lets
    /// go of the shard looks into the mailbox once more: nothing is left lying.
    fn run(self: &Arc<Self>) {
        let mut burst = Vec::new();
        let mut done = 0;
        while !self.mailbox.is_empty() {
            if done >= TURN_MAX {
                self.mailbox.task.notify_one();
                return;
            }
            let mut running = match self.running.try_lock() {
                Ok(running) => running,
                Err(TryLockError::Poisoned(poisoned)) => {
                    self.running.clear_poison();
                    let mut running = poisoned.into_inner();
                    // Whoever ran it, perhaps apart, has broken off.
                    running.is_apart = false;
                    running
                }
                Err(TryLockError::WouldBlock) => return,
            };
            if running.is_apart {
                return;
            }
            self.mailbox.take(&mut burst);
            done += burst.len();
            let mut items = burst.drain(..);
            for item in items.by_ref() {
                running.shard.take(item);
                if running.shard.owes() >= spread::LONG {
                    break;
                }
            }
            running.left.extend(items);
            self.end_turn(running);
        }
    }

    /// Sends what the turn has brought, or leaves that, and the shard, to a thread apart.
    fn end_turn(self: &Arc<Self>, mut running: MutexGuard<'_, Running>) {
        let is_long = running.shard.owes() >= spread::LONG;
        // A thread without a runtime serves nobody who would have to wait.
        let Some(runtime) = is_long.then(Handle::try_current).and_then(Result::ok) else {
            running.work_off();
            return;
        };
        running.is_apart = true;
        drop(running);
        let handle = Arc::clone(self);
        runtime.spawn_blocking(move || handle.run_apart());
    }

    fn run_apart(self: &Arc<Self>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            running.work_off();
            self.mailbox.take(&mut running.left);
            if running.left.is_empty() {
                break;
            }
        }
        running.is_apart = false;
        drop(running);
        self.run();
    }
}

impl Drop for ShardHandle {
    fn drop(&mut self) {
        self.mailbox.task.notify_one();
    }
}

/// The shard's task: runs it when work reports, and when time has passed.
async fn attend(handle: Weak<ShardHandle>, mailbox: Arc<Mailbox>) {
    let every = Duration::from_millis(TICK_MS);
    let mut tick = tokio::time::interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ticked = tokio::select! {
            _ = tick.tick() => true,
            () = mailbox.task.notified() => false,
        };
        let Some(handle) = handle.upgrade() else {
            return;
        };
        if ticked {
            mailbox.lock().push_back(Item::Tick);
        }
        handle.run();
    }
}
