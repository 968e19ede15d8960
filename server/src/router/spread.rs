//! A loop over many connections, spread over the cores.
//!
//! A broadcast costs a write per connection, so one to thousands would hold its shard, and all rooms with it, for tens of
//! milliseconds on one core. It stays a plain loop to its caller: it returns when everybody was served.

use std::num::NonZeroUsize;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Items per thread from which on another thread is worth its start, some 30 µs beside a microsecond or more per item.
const ITEMS_PER_THREAD_MIN: usize = 1_000;

/// How far a helping thread stands back, of 19.
#[cfg(target_os = "linux")]
const HELPER_NICENESS: i32 = 10;

/// Items that a thread takes at once.
const CHUNK: usize = 64;

/// Cores of this process. Asking the system costs dozens of calls of it.
static CORES: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, NonZeroUsize::get));

/// Calls `act` with parts of the list until all items were in one. The parts are worked off beside each other when
/// there are many.
pub(super) fn for_each<T: Send>(items: &mut [T], act: impl Fn(&mut [T]) + Sync) {
    let threads = (items.len() / ITEMS_PER_THREAD_MIN).min(*CORES);
    if threads < 2 {
        return act(items);
    }
    let chunks = Mutex::new(items.chunks_mut(CHUNK));
    let work = || loop {
        let chunk = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
        match chunk {
            Some(chunk) => act(chunk),
            None => return,
        }
    };
    let spread = || {
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| {
                    step_back();
                    work();
                });
            }
            work();
        });
    };
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        // Other tasks of this thread find another one meanwhile.
        Ok(RuntimeFlavor::MultiThread) => block_in_place(spread),
        _ => spread(),
    }
}

/// Lets this thread have what others leave: it helps, and must not take its core from those who serve connections.
fn step_back() {
    // A thread that may not is one like the others.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, HELPER_NICENESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_part() {
        for count in [0, 1, 63, 999, 2_000, 2_001, 10_000] {
            let mut items = vec![0_u32; count];
            for_each(&mut items, |part| {
                part.iter_mut().for_each(|item| *item += 1);
            });
            assert!(items.iter().all(|&item| item == 1), "{count}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn tasks_run_beside_a_long_loop() {
        if *CORES < 2 {
            return;
        }
        let (began, mut beginning) = tokio::sync::mpsc::unbounded_channel();
        let (answer, answered) = std::sync::mpsc::channel();
        let answered = Mutex::new(Some(answered));
        let other = tokio::spawn(async move {
            beginning.recv().await.expect("the loop begins");
            answer.send(()).expect("the loop waits");
        });
        let looping = tokio::spawn(async move {
            let mut items = vec![0; 2 * ITEMS_PER_THREAD_MIN];
            for_each(&mut items, |_| {
                let first = answered.lock().expect("nobody panics").take();
                if let Some(answered) = first {
                    began.send(()).expect("the other task lives");
                    answered.recv().expect("the other task has its turn");
                }
            });
        });
        looping.await.expect("no panic");
        other.await.expect("no panic");
    }
}
