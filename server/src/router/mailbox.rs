//! What waits for a shard, and how a shard comes to run.
//!
//! A shard has no thread of its own: whoever puts something into its mailbox runs it at once, unless somebody is running
//! it already, who then goes on with what was put in meanwhile. A call thus reaches its room, and a message everybody who
//! reads along, without waking another task. The store's writer does not run shards: it wakes the shard's task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::command::{Command, Completion};
use super::shard::Shard;

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

    /// Takes some items; whether more wait.
    fn take(&self, into: &mut Vec<Item>) -> bool {
        let mut waiting = self.lock();
        let count = waiting.len().min(BURST);
        into.extend(waiting.drain(..count));
        if waiting.is_empty() {
            waiting.shrink_to(IDLE_SLOTS);
        }
        !waiting.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// A shard and its mailbox.
pub struct ShardHandle {
    mailbox: Arc<Mailbox>,
    shard: Mutex<Shard>,
}

impl std::fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardHandle")
    }
}

impl ShardHandle {
    /// A shard that `make` makes for its mailbox, and starts its task, which ends with the handle.
    pub fn start(make: impl FnOnce(Arc<Mailbox>) -> Shard) -> Arc<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let shard = make(Arc::clone(&mailbox));
        let handle = Arc::new(Self {
            mailbox: Arc::clone(&mailbox),
            shard: Mutex::new(shard),
        });
        tokio::spawn(attend(Arc::downgrade(&handle), mailbox));
        handle
    }

    /// Has the shard do what is asked, now or right after what it is doing. Hands the command back when too many wait.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        if let Ok(mut shard) = self.shard.try_lock()
            && self.mailbox.is_empty()
        {
            shard.take(Item::Command(command));
            shard.flush();
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
    pub fn insist(&self, command: Command) {
        self.mailbox.lock().push_back(Item::Command(command));
        self.run();
    }

    /// Works off the mailbox, unless somebody else does. Whoever puts something in calls this afterwards, and whoever lets
    /// go of the shard looks into the mailbox once more: nothing is left lying.
    fn run(&self) {
        let mut burst = Vec::new();
        let mut done = 0;
        while !self.mailbox.is_empty() {
            if done >= TURN_MAX {
                self.mailbox.task.notify_one();
                return;
            }
            let mut shard = match self.shard.try_lock() {
                Ok(shard) => shard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let mut more = true;
            while more && done < TURN_MAX {
                more = self.mailbox.take(&mut burst);
                done += burst.len();
                for item in burst.drain(..) {
                    shard.take(item);
                }
                shard.flush();
            }
        }
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
