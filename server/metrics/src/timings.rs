//! How long something took that happens hundreds of thousands of times a second: one of these costs two additions to what mostly
//! one thread writes, and keeps nothing.

use std::marker::PhantomData;
use std::sync::LazyLock;

use metrics::Recorder;

use crate::description::{Description, Kind, Line, Metric, key, metadata};
use crate::labels::Labels;
use crate::page;
use crate::stripes::{CELLS_PER_LINE, Stripes};

/// Upper bounds in microseconds: from an echo to a slow disk.
const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// Buckets of a series: one for each bound, and one for what is above all.
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// The buckets of a series, and the sum of all its times: they lie together.
const CELLS_PER_SERIES: usize = BUCKETS + 1;

const _: () = assert!(CELLS_PER_SERIES == CELLS_PER_LINE);

/// A histogram of times with a series for each value of its labels. Series that are empty are not shown: each has a line for
/// every bound.
#[derive(Debug)]
pub struct Timings<L: Labels> {
    line: Line,
    cells: LazyLock<Stripes>,
    labels: PhantomData<fn(L)>,
}

fn cells<L: Labels>() -> Stripes {
    Stripes::new(L::series().len() * CELLS_PER_SERIES)
}

impl<L: Labels> Timings<L> {
    /// A line of the table.
    pub const fn new(line: Line) -> Self {
        Self {
            line,
            cells: LazyLock::new(cells::<L>),
            labels: PhantomData,
        }
    }

    /// Counts so many that took so many microseconds each.
    pub fn took(&self, labels: L, each_us: u64, count: u64) {
        let first = labels.place() * CELLS_PER_SERIES;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < each_us);
        self.cells.add(first + bucket, count);
        self.cells.add(first + BUCKETS, each_us * count);
    }

    fn counts(&self, place: usize) -> [u64; BUCKETS] {
        let first = place * CELLS_PER_SERIES;
        std::array::from_fn(|bucket| self.cells.sum(first + bucket))
    }

    fn append_series(&self, page: &mut String, place: usize, values: &[&'static str]) {
        let counts = self.counts(place);
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return;
        }
        let names = L::names();
        let labels: Vec<page::Pair<'_>> = names
            .iter()
            .zip(values)
            .map(|(name, value)| (*name, *value))
            .collect();
        let name = self.line.name;
        let mut below = 0;
        let bounds = BOUNDS_US.iter().map(|bound| seconds(*bound).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            below += count;
            let labels = [&labels[..], &[("le", bound.as_str())]].concat();
            page::sample(page, name, "_bucket", &labels, &below);
        }
        let sum_us = self.cells.sum(place * CELLS_PER_SERIES + BUCKETS);
        page::sample(page, name, "_sum", &labels, &seconds(sum_us));
        page::sample(page, name, "_count", &labels, &total);
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a page shows fewer digits than that"
)]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000_000.0
}

impl<L: Labels> Metric for Timings<L> {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Histogram,
            labels: L::descriptions(),
        }
    }

    fn publish(&self, _: &dyn Recorder) {}

    fn append(&self, page: &mut String) {
        let all = L::series();
        let mut samples = String::new();
        for (place, values) in all.iter().enumerate() {
            self.append_series(&mut samples, place, values);
        }
        if !samples.is_empty() {
            page::head(page, &self.line, Kind::Histogram);
            page.push_str(&samples);
        }
    }
}

/// How many a histogram of times has counted, as a counter that begins at 0 in every series.
#[derive(Debug)]
pub struct CountOf<L: Labels> {
    line: Line,
    of: &'static Timings<L>,
}

impl<L: Labels> CountOf<L> {
    /// A line of the table.
    pub const fn new(line: Line, of: &'static Timings<L>) -> Self {
        Self { line, of }
    }
}

impl<L: Labels> Metric for CountOf<L> {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Counter,
            labels: L::descriptions(),
        }
    }

    fn publish(&self, recorder: &dyn Recorder) {
        for (place, values) in L::series().iter().enumerate() {
            let counter = recorder.register_counter(&key::<L>(&self.line, values), metadata());
            counter.absolute(self.of.counts(place).iter().sum());
        }
    }
}
