//! Cells that many threads add to. Each thread adds to those of its stripe, which mostly it alone writes, and stripes are added
//! up when somebody looks: a cell that all cores write costs each of them the way to the others' caches.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// Cells that lie together.
pub(crate) const CELLS_PER_LINE: usize = 16;

/// Two lines of a cache, for they are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; CELLS_PER_LINE]);

/// Stripes: a power of two, and no fewer than cores.
static STRIPES: LazyLock<usize> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    cores.next_power_of_two()
});

/// Threads that have counted something.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Number of this thread among [`THREADS`], once it has counted something.
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The same cells in every stripe.
#[derive(Debug)]
pub(crate) struct Stripes {
    lines: Box<[Line]>,
    lines_per_stripe: usize,
}

impl Stripes {
    /// So many cells, all at 0.
    pub(crate) fn new(cells: usize) -> Self {
        let lines_per_stripe = cells.div_ceil(CELLS_PER_LINE);
        let lines = (0..*STRIPES * lines_per_stripe).map(|_| Line::default());
        Self {
            lines: lines.collect(),
            lines_per_stripe,
        }
    }

    /// Adds to a cell of this thread's stripe.
    pub(crate) fn add(&self, cell: usize, count: u64) {
        let thread = THREAD.get().unwrap_or_else(|| {
            let thread = THREADS.fetch_add(1, Ordering::Relaxed);
            THREAD.set(Some(thread));
            thread
        });
        self.cell(thread % *STRIPES, cell)
            .fetch_add(count, Ordering::Relaxed);
    }

    /// What all threads have added to a cell.
    pub(crate) fn sum(&self, cell: usize) -> u64 {
        (0..*STRIPES)
            .map(|stripe| self.cell(stripe, cell).load(Ordering::Relaxed))
            .sum()
    }

    fn cell(&self, stripe: usize, cell: usize) -> &AtomicU64 {
        let line = stripe * self.lines_per_stripe + cell / CELLS_PER_LINE;
        &self.lines[line].0[cell % CELLS_PER_LINE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_add_is_in_the_sum_of_its_cell_alone() {
        let stripes = Stripes::new(40);
        std::thread::scope(|threads| {
            for _ in 0..2 * *STRIPES {
                threads.spawn(|| (0..40).for_each(|cell| stripes.add(cell, cell as u64)));
            }
        });
        for cell in 0..40 {
            let added = 2 * *STRIPES * cell;
            assert_eq!(stripes.sum(cell), added as u64, "{cell}");
        }
    }
}
