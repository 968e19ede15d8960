//! The surface of the server's `sync`, made of a scheduler's primitives.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::task::{Poll, Waker};

use shuttle::rand::{Rng, thread_rng};
pub use shuttle::sync::MutexGuard;
use shuttle::sync::TryLockError;
pub use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread::{self, JoinHandle};

/// A lock that a panic does not poison.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The waker of one task, which others wake.
#[derive(Debug)]
pub struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    /// Wakes nobody yet.
    #[expect(
        clippy::new_without_default,
        reason = "the server's has the same surface"
    )]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Has the next [`Self::wake`] wake this one.
    pub fn register(&self, waker: &Waker) {
        *self.0.lock() = Some(waker.clone());
    }

    /// Wakes whoever registered last, once.
    pub fn wake(&self) {
        let waker = self.0.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Wakes one task or thread, also when it begins to wait only afterwards.
#[derive(Debug, Default)]
pub struct Notify(Mutex<Permit>);

#[derive(Debug, Default)]
struct Permit {
    is_given: bool,
    waiting: Option<Waker>,
}

impl Notify {
    /// Nobody was notified yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Permit {
            is_given: false,
            waiting: None,
        }))
    }

    /// Lets one wait end.
    pub fn notify_one(&self) {
        let waiting = {
            let mut permit = self.0.lock();
            permit.is_given = true;
            permit.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Waits as a task.
    pub fn notified(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let mut permit = self.0.lock();
            if std::mem::take(&mut permit.is_given) {
                return Poll::Ready(());
            }
            permit.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Waits as a thread.
    pub fn wait(&self) {
        shuttle::future::block_on(self.notified());
    }
}

/// The threads apart of one schedule.
#[derive(Default)]
struct Apart {
    is_ending: bool,
    threads: Vec<JoinHandle<()>>,
}

shuttle::lazy_static! {
    static ref APART: Mutex<Apart> = Mutex::default();
}

/// What a worker panics with when the scenario wants it to. Any other panic fails the test.
#[derive(Clone, Copy, Debug)]
pub struct BreaksOff;

impl BreaksOff {
    /// Breaks off, without the message of a panic.
    pub fn now() -> ! {
        resume_unwind(Box::new(Self))
    }

    /// Has `work` done until it ends or breaks off.
    pub fn catch(work: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(work))
            && !payload.is::<Self>()
        {
            resume_unwind(payload);
        }
    }
}

/// A way to have something done by a thread apart.
#[derive(Debug)]
pub struct Offload(());

impl Offload {
    /// Threads apart, which there always are here.
    pub fn from_here() -> Option<Self> {
        Some(Self(()))
    }

    /// Has it done. What `work` holds may be dropped instead once [`Self::end`] was called: here and now or by the thread.
    pub fn run(self, work: impl FnOnce() + Send + 'static) {
        let is_ending = APART.lock().is_ending;
        if is_ending && thread_rng().gen_bool(0.3) {
            drop(work);
            return;
        }
        let thread = thread::spawn(move || {
            if is_ending && thread_rng().gen_bool(0.5) {
                drop(work);
            } else {
                BreaksOff::catch(work);
            }
        });
        APART.lock().threads.push(thread);
    }

    /// From now on the runtime is ending.
    pub fn end() {
        APART.lock().is_ending = true;
    }

    /// Waits until all threads apart have ended, and those that they began.
    pub fn join() {
        loop {
            let thread = APART.lock().threads.pop();
            let Some(thread) = thread else { return };
            thread.join().expect("only what breaks off panics");
        }
    }
}
