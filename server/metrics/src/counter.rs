//! What only grows.

use std::marker::PhantomData;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Recorder;

use crate::description::{Description, Kind, Line, Metric, key, metadata};
use crate::labels::Labels;
use crate::page;
use crate::stripes::Stripes;

/// A counter with a series for each value of its labels. Counting is an addition to what mostly one thread writes.
#[derive(Debug)]
pub struct Counter<L: Labels = ()> {
    line: Line,
    cells: LazyLock<Stripes>,
    labels: PhantomData<fn(L)>,
}

/// One series of a [`Counter`].
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    cells: &'a Stripes,
    place: usize,
}

impl Series<'_> {
    /// Counts so many.
    pub fn add(self, count: u64) {
        self.cells.add(self.place, count);
    }

    /// Counts one.
    pub fn increment(self) {
        self.add(1);
    }

    /// How many were counted.
    pub fn value(self) -> u64 {
        self.cells.sum(self.place)
    }
}

fn cells<L: Labels>() -> Stripes {
    Stripes::new(L::series().len())
}

impl<L: Labels> Counter<L> {
    /// A line of the table.
    pub const fn new(line: Line) -> Self {
        Self {
            line,
            cells: LazyLock::new(cells::<L>),
            labels: PhantomData,
        }
    }

    /// The series of these values.
    pub fn at(&self, labels: L) -> Series<'_> {
        Series {
            cells: &self.cells,
            place: labels.place(),
        }
    }
}

impl Counter<()> {
    /// Counts so many.
    pub fn add(&self, count: u64) {
        self.at(()).add(count);
    }

    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// How many were counted.
    pub fn value(&self) -> u64 {
        self.at(()).value()
    }
}

impl<L: Labels> Metric for Counter<L> {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Counter,
            labels: L::descriptions(),
        }
    }

    fn publish(&self, recorder: &dyn Recorder) {
        for (place, values) in L::series().iter().enumerate() {
            let key = key::<L>(&self.line, values);
            let counter = recorder.register_counter(&key, metadata());
            counter.absolute(self.cells.sum(place));
        }
    }
}

/// Something that only grows and is measured elsewhere, such as time. Recorders have counters of whole numbers only.
#[derive(Debug)]
pub struct Reading {
    line: Line,
    bits: AtomicU64,
}

/// What stands for "not known" in a cell.
pub(crate) const UNKNOWN: u64 = f64::NAN.to_bits();

impl Reading {
    /// A line of the table.
    pub const fn new(line: Line) -> Self {
        Self {
            line,
            bits: AtomicU64::new(UNKNOWN),
        }
    }

    /// Where it stands now.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Metric for Reading {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Counter,
            labels: Vec::new(),
        }
    }

    fn publish(&self, _: &dyn Recorder) {}

    fn append(&self, page: &mut String) {
        let value = f64::from_bits(self.bits.load(Ordering::Relaxed));
        if !value.is_nan() {
            page::head(page, &self.line, Kind::Counter);
            page::sample(page, self.line.name, "", &[], &value);
        }
    }
}
