//! A loop over many connections, spread over the cores.
//!
//! A broadcast costs a write per connection, so one to thousands would hold its shard, and all rooms with it, for tens of
//! milliseconds on one core. It stays a plain loop to its caller: it returns when everybody was served.

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::thread::{self, available_parallelism};

use crate::sync::Mutex;

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
        let chunk = chunks.lock().next();
        match chunk {
            Some(chunk) => act(chunk),
            None => return,
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                step_back();
                work();
            });
        }
        work();
    });
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
}
