//! Who runs a shard.
//!
//! A shard has no thread of its own: whoever puts something into its mailbox runs it at once, unless somebody is running
//! it already, who then goes on with what was put in meanwhile. A call thus reaches its room, and a message everybody who
//! reads along, without waking another task. The store's writer does not run shards: it wakes the shard's task.
//!
//! A broadcast to hundreds takes milliseconds, one to thousands tens of them. Whoever has made one leaves the shard to a
//! thread apart, which runs it until nothing is left; meanwhile the others only fill the mailbox.
//!
//! # States
//! `running` is the lock of the shard, `offloaded` is kept under it.
//!
//! | state | `running` | `offloaded` | who takes what is put in | what ends it |
//! |---|---|---|---|---|
//! | at rest | free | no | whoever puts it in, at once | somebody puts something in |
//! | run by a caller or the shard's task | held | no | who holds the lock, before letting go for good | mailbox empty: at rest; a turn's share done: the shard's task goes on; a long broadcast: left to a thread |
//! | left to a thread | free | yes | nobody; it waits in the mailbox | the thread takes the lock |
//! | run by the thread apart | held | yes | the thread, until the mailbox is empty | at rest, after one more look into the mailbox |
//!
//! What keeps anything from lying forgotten: whoever puts something in tries the lock *afterwards*, and whoever lets go of the
//! lock looks into the mailbox *afterwards*. One of the two sees the item. `server/model` tries the interleavings.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior};

use super::mailbox::{BURST, Mailbox};
use crate::sync::{Mutex, MutexGuard, Offload};

/// Items after which whoever runs a shard leaves the rest to the shard's task, so that a caller's connection, and the others of
/// its thread, wait for one share of them at most.
const TURN_MAX: usize = 4 * BURST;

/// How often a shard looks at the clocks of its entities, in milliseconds.
const TICK_MS: u64 = 250;

/// Connections of one broadcast from which on a shard is left to a thread apart: they take milliseconds, at one to ten
/// microseconds each, which is too much for a thread that serves connections.
pub const OFFLOAD_FANOUT_MIN: usize = 500;

/// What an executor runs: it does one thing after the other, gathers what there is to send, and sends it when told.
pub trait Worker: Send + 'static {
    /// One thing to do.
    type Item: Send + 'static;

    /// The item that tells that time has passed.
    fn tick() -> Self::Item;

    /// Does one thing.
    fn take(&mut self, item: Self::Item);

    /// Over how many connections [`Self::flush`] has to go for one broadcast at most.
    fn pending_fanout(&self) -> usize;

    /// Sends what was gathered.
    fn flush(&mut self);
}

/// A shard, its mailbox, and whoever runs it.
pub struct Executor<W: Worker> {
    mailbox: Arc<Mailbox<W::Item>>,
    running: Mutex<Running<W>>,
}

/// What only one thread at a time has.
struct Running<W: Worker> {
    worker: W,
    /// A thread apart runs the shard until nothing is left.
    offloaded: bool,
    /// What was taken out of the mailbox for it.
    left: Vec<W::Item>,
}

impl<W: Worker> Running<W> {
    fn work_off(&mut self) {
        for item in self.left.drain(..) {
            self.worker.take(item);
        }
        self.worker.flush();
    }
}

impl<W: Worker> std::fmt::Debug for Executor<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Executor")
    }
}

impl<W: Worker> Executor<W> {
    /// An executor of what `make` makes for its mailbox. [`Self::start`] has to follow.
    pub fn new(make: impl FnOnce(Arc<Mailbox<W::Item>>) -> W) -> Arc<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let running = Running {
            worker: make(Arc::clone(&mailbox)),
            offloaded: false,
            left: Vec::new(),
        };
        Arc::new(Self {
            mailbox,
            running: Mutex::new(running),
        })
    }

    /// Starts the shard's task on `thread`; it ends with the executor.
    pub fn start(self: &Arc<Self>, thread: &Handle) {
        let mailbox = Arc::clone(&self.mailbox);
        thread.spawn(run_loop(Arc::downgrade(self), mailbox));
    }

    /// What waits for the shard.
    pub fn mailbox(&self) -> &Arc<Mailbox<W::Item>> {
        &self.mailbox
    }

    /// Has the shard do what is asked, now or right after what it is doing. Hands it back when too many wait.
    pub fn send(self: &Arc<Self>, item: W::Item) -> Result<(), W::Item> {
        if let Some(mut running) = self.running.try_lock()
            && !running.offloaded
            && self.mailbox.is_empty()
        {
            // Nothing waits that the item could overtake, so it need not go through the mailbox.
            running.worker.take(item);
            self.end_turn(running);
        } else {
            self.mailbox.push(item)?;
        }
        self.run();
        Ok(())
    }

    /// Like [`Self::send`], however many wait: for what is bounded by its cause.
    pub fn send_unbounded(self: &Arc<Self>, item: W::Item) {
        self.mailbox.push_unbounded(item);
        self.run();
    }

    /// Works off the mailbox, unless somebody else does. Whoever puts something in calls this afterwards, and whoever lets
    /// go of the shard looks into the mailbox once more: nothing is left lying.
    pub fn run(self: &Arc<Self>) {
        let mut burst = Vec::new();
        let mut done = 0;
        while !self.mailbox.is_empty() {
            if done >= TURN_MAX {
                self.mailbox.task.notify_one();
                return;
            }
            let Some(mut running) = self.running.try_lock() else {
                return;
            };
            if running.offloaded {
                return;
            }
            self.mailbox.take(&mut burst);
            done += burst.len();
            let mut items = burst.drain(..);
            for item in items.by_ref() {
                running.worker.take(item);
                if running.worker.pending_fanout() >= OFFLOAD_FANOUT_MIN {
                    break;
                }
            }
            running.left.extend(items);
            self.end_turn(running);
        }
    }

    /// Sends what the turn has brought, or leaves that, and the shard, to a thread apart.
    fn end_turn(self: &Arc<Self>, mut running: MutexGuard<'_, Running<W>>) {
        let is_long = running.worker.pending_fanout() >= OFFLOAD_FANOUT_MIN;
        // A thread without a runtime serves nobody who would have to wait.
        let Some(offload) = is_long.then(Offload::from_here).flatten() else {
            running.work_off();
            return;
        };
        running.offloaded = true;
        drop(running);
        let taken = Offloaded(Arc::clone(self));
        offload.run(move || taken.run());
    }
}

/// A shard in the hands of a thread apart. It is given back when this is dropped, also when the thread breaks off or never begins.
struct Offloaded<W: Worker>(Arc<Executor<W>>);

impl<W: Worker> Offloaded<W> {
    fn run(self) {
        let mut running = self.0.running.lock();
        loop {
            running.work_off();
            self.0.mailbox.take(&mut running.left);
            if running.left.is_empty() {
                break;
            }
        }
    }
}

impl<W: Worker> Drop for Offloaded<W> {
    fn drop(&mut self) {
        let mut running = self.0.running.lock();
        running.offloaded = false;
        if std::thread::panicking() {
            // Another panic on the way out would end the process. The next tick goes on, as after a panic of a caller.
            return;
        }
        // A thread that never began has left everything, and it comes before what waits.
        running.work_off();
        drop(running);
        self.0.run();
    }
}

impl<W: Worker> Drop for Executor<W> {
    fn drop(&mut self) {
        self.mailbox.task.notify_one();
    }
}

/// The shard's task: runs it when work reports, and when time has passed.
async fn run_loop<W: Worker>(executor: Weak<Executor<W>>, mailbox: Arc<Mailbox<W::Item>>) {
    let every = Duration::from_millis(TICK_MS);
    let mut tick = tokio::time::interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ticked = tokio::select! {
            _ = tick.tick() => true,
            () = mailbox.task.notified() => false,
        };
        let Some(executor) = executor.upgrade() else {
            return;
        };
        if ticked {
            mailbox.push_unbounded(W::tick());
        }
        executor.run();
    }
}
