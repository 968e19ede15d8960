//! Who runs a shard, in the orders that its threads may take.
//!
//! In each, every item is taken once, those of one sender in order, by one thread at a time, and told afterwards; what comes last
//! is done as well, so the shard was left to nobody. What a test waits for in vain ends it as a deadlock.
//!
//! | done otherwise in the executor | what the model finds |
//! |---|---|
//! | `run` looks into the mailbox once, instead of until it is empty | deadlock: an item lies forgotten |
//! | `send` does not look after its own item; a thread apart does not look after giving the shard back | deadlock: an item lies forgotten |
//! | `run` does not notify the task after a turn's share | deadlock, with more than a share |
//! | `report` or `announce` does not notify the task; a turn does not flush; `offloaded` is never taken back | deadlock |
//! | `offloaded` is set after the lock was let go | an item overtakes what is left for the thread |
//! | `send` takes its item though the mailbox is not empty, or though the shard is offloaded; `run` goes on though it is | an item overtakes another |
//! | what a broadcast leaves of its burst is dropped | items are missing |
//! | a thread that never begins leaves to others what was left for it | an item overtakes it, or deadlock |
//!
//! Not found: a panic while another one unwinds ends the process, here as well, so one item of a schedule breaks off at most.

use std::sync::Arc;

use pitturu_model::explore;
use pitturu_model::owners::executor::{Executor, OFFLOAD_FANOUT_MIN, Worker};
use pitturu_model::owners::{is_at_rest, wait_for_work};
use pitturu_model::sync::{AtomicBool, BreaksOff, Mutex, Notify, Offload, Ordering};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

/// Orders tried of each kind, for scenarios of a few items.
const ITERATIONS: usize = 4_000;

/// And for the one with more items than a turn's share.
const ITERATIONS_LONG: usize = 60;

/// Items of each sender.
const ITEMS: usize = 4;

/// More than four bursts.
const SHARE_AND_MORE: usize = 1_030;

/// Who sends what nobody else does.
const NOBODY: usize = 0;

/// Senders with a number of their own, the reporter among them.
const SENDERS: usize = 5;

#[derive(Debug)]
struct Item {
    sender: usize,
    number: usize,
    /// It is told to so many that the shard is left to a thread.
    is_loud: bool,
    breaks: bool,
}

/// What became of the items.
#[derive(Debug, Default)]
struct Record {
    seen: Mutex<Seen>,
    inside: AtomicBool,
    flushed: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// By sender, in order.
    taken: [Vec<usize>; SENDERS],
    unflushed: usize,
    is_broken: bool,
}

impl Record {
    /// Waits until so many of a sender were taken, and told.
    fn wait_for(&self, sender: usize, count: usize) {
        loop {
            {
                let seen = self.seen.lock();
                if seen.taken[sender].len() >= count && seen.unflushed == 0 {
                    return;
                }
            }
            self.flushed.wait();
        }
    }
}

/// Whoever is inside of the worker.
struct Inside<'a>(&'a AtomicBool);

impl<'a> Inside<'a> {
    fn alone(inside: &'a AtomicBool) -> Self {
        assert!(
            !inside.swap(true, Ordering::AcqRel),
            "two are in the worker"
        );
        Self(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

struct Toy {
    record: Arc<Record>,
    owes: usize,
}

impl Worker for Toy {
    type Item = Item;

    fn tick() -> Item {
        Item {
            sender: NOBODY,
            number: 0,
            is_loud: false,
            breaks: false,
        }
    }

    fn take(&mut self, item: Item) {
        let _inside = Inside::alone(&self.record.inside);
        let mut seen = self.record.seen.lock();
        seen.unflushed += 1;
        seen.taken[item.sender].push(item.number);
        if item.breaks {
            seen.is_broken = true;
            drop(seen);
            BreaksOff::now();
        }
        self.owes = if item.is_loud {
            OFFLOAD_FANOUT_MIN
        } else {
            self.owes.max(1)
        };
    }

    fn pending_fanout(&self) -> usize {
        self.owes
    }

    fn flush(&mut self) {
        let _inside = Inside::alone(&self.record.inside);
        self.owes = 0;
        self.record.seen.lock().unflushed = 0;
        self.record.flushed.notify_one();
    }
}

/// A shard, its task, and what became of its items.
struct Stage {
    executor: Arc<Executor<Toy>>,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

impl Stage {
    fn new() -> Self {
        let record = Arc::new(Record::default());
        let worker = Toy {
            record: Arc::clone(&record),
            owes: 0,
        };
        let executor = Executor::new(|_| worker);
        let mailbox = Arc::clone(executor.mailbox());
        let weak = Arc::downgrade(&executor);
        let task = thread::spawn(move || {
            loop {
                wait_for_work(&mailbox);
                let Some(executor) = weak.upgrade() else {
                    return;
                };
                BreaksOff::catch(|| executor.run());
            }
        });
        Self {
            executor,
            record,
            task,
        }
    }

    /// A thread that sends its items in both ways.
    fn sender(&self, sender: usize, breaks_at: Option<usize>) -> JoinHandle<Vec<usize>> {
        let executor = Arc::clone(&self.executor);
        let record = Arc::clone(&self.record);
        thread::spawn(move || {
            let mut after_the_break = Vec::new();
            for number in 0..ITEMS {
                if record.seen.lock().is_broken {
                    after_the_break.push(number);
                }
                let item = Item {
                    sender,
                    number,
                    is_loud: thread_rng().gen_bool(0.3),
                    breaks: breaks_at == Some(number),
                };
                let is_bounded = thread_rng().gen_bool(0.5);
                BreaksOff::catch(|| {
                    if is_bounded {
                        executor.send(item).expect("few wait");
                    } else {
                        executor.send_unbounded(item);
                    }
                });
            }
            after_the_break
        })
    }

    /// A thread that reports as the store's writer does, and as work does that was given away.
    fn reporter(&self, sender: usize) -> JoinHandle<()> {
        let mailbox = Arc::clone(self.executor.mailbox());
        thread::spawn(move || {
            for number in 0..ITEMS {
                let item = Item {
                    sender,
                    number,
                    is_loud: thread_rng().gen_bool(0.2),
                    breaks: false,
                };
                if thread_rng().gen_bool(0.3) {
                    mailbox.report(item);
                } else {
                    mailbox.report_write(item);
                    if number + 1 == ITEMS || thread_rng().gen_bool(0.3) {
                        mailbox.announce();
                    }
                }
            }
            mailbox.announce();
        })
    }

    /// What comes last is done as well: the shard was left to nobody. Then nothing waits, and the task ends with the shard.
    fn end(self) -> Arc<Record> {
        Offload::join();
        let before = self.record.seen.lock().taken[NOBODY].len();
        self.executor.send_unbounded(Toy::tick());
        self.record.wait_for(NOBODY, before + 1);
        Offload::join();
        let mailbox = Arc::clone(self.executor.mailbox());
        drop(self.executor);
        self.task.join().expect("it ends");
        assert!(is_at_rest(&mailbox));
        self.record
    }
}

/// All were taken, once and in order.
fn assert_complete(record: &Record, sender: usize, count: usize) {
    let seen = record.seen.lock();
    assert_eq!(
        seen.taken[sender],
        (0..count).collect::<Vec<_>>(),
        "of {sender}"
    );
}

fn everything_is_taken() {
    let stage = Stage::new();
    let senders: Vec<_> = (1..=3).map(|it| stage.sender(it, None)).collect();
    let reporter = stage.reporter(4);
    for sender in senders {
        sender.join().expect("it ends");
    }
    reporter.join().expect("it ends");
    // No tick, and nothing else, helps here: what was forgotten would be waited for without end.
    for sender in 1..=4 {
        stage.record.wait_for(sender, ITEMS);
    }
    let record = stage.end();
    for sender in 1..=4 {
        assert_complete(&record, sender, ITEMS);
    }
}

#[test]
fn every_item_is_taken_once_in_order_and_told() {
    explore(ITERATIONS, everything_is_taken);
}

fn more_than_a_share() {
    let stage = Stage::new();
    for number in 0..SHARE_AND_MORE {
        let mut item = Toy::tick();
        item.sender = 4;
        item.number = number;
        stage.executor.mailbox().report_write(item);
    }
    stage.executor.mailbox().announce();
    let sender = stage.sender(1, None);
    sender.join().expect("it ends");
    stage.record.wait_for(4, SHARE_AND_MORE);
    stage.record.wait_for(1, ITEMS);
    let record = stage.end();
    assert_complete(&record, 4, SHARE_AND_MORE);
    assert_complete(&record, 1, ITEMS);
}

#[test]
fn what_exceeds_a_turns_share_is_taken_too() {
    explore(ITERATIONS_LONG, more_than_a_share);
}

fn one_breaks_off() {
    let stage = Stage::new();
    let breaks_at = thread_rng().gen_range(0..ITEMS);
    let first = stage.sender(1, Some(breaks_at));
    let others = [stage.sender(2, None), stage.sender(3, None)];
    let mut later = vec![(1, first.join().expect("it ends"))];
    for (index, other) in others.into_iter().enumerate() {
        later.push((index + 2, other.join().expect("it ends")));
    }
    // What lay in the mailbox waits for the next tick, which comes now.
    let record = stage.end();
    let seen = record.seen.lock();
    for (sender, later) in later {
        let taken = &seen.taken[sender];
        assert!(taken.is_sorted_by(|one, next| one < next), "{taken:?}");
        let is_all = later.iter().all(|number| taken.contains(number));
        assert!(is_all, "{later:?} of {taken:?}");
    }
}

#[test]
fn whoever_breaks_off_gives_the_shard_back() {
    explore(ITERATIONS, one_breaks_off);
}

fn the_runtime_ends() {
    let stage = Stage::new();
    Offload::end();
    let senders = [1, 2, 3].map(|it| stage.sender(it, None));
    for sender in senders {
        sender.join().expect("it ends");
    }
    let record = stage.end();
    for sender in 1..=3 {
        assert_complete(&record, sender, ITEMS);
    }
}

#[test]
fn a_thread_that_never_begins_gives_the_shard_back() {
    explore(ITERATIONS, the_runtime_ends);
}
