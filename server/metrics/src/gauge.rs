//! What goes up and down.

use std::marker::PhantomData;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use metrics::Recorder;

use crate::counter::UNKNOWN;
use crate::description::{Description, Kind, Line, Metric, key, metadata};
use crate::labels::Labels;

/// A value that is set by whoever knows it. Until then it is not shown.
#[derive(Debug)]
pub struct Gauge<L: Labels = ()> {
    line: Line,
    /// Bits of a floating-point number for each series.
    cells: LazyLock<Box<[AtomicU64]>>,
    labels: PhantomData<fn(L)>,
}

fn unknown<L: Labels>() -> Box<[AtomicU64]> {
    let series = L::series().into_iter();
    series.map(|_| AtomicU64::new(UNKNOWN)).collect()
}

impl<L: Labels> Gauge<L> {
    /// A line of the table.
    pub const fn new(line: Line) -> Self {
        Self {
            line,
            cells: LazyLock::new(unknown::<L>),
            labels: PhantomData,
        }
    }

    /// Sets the series of these values.
    pub fn set_at(&self, labels: L, value: f64) {
        self.cells[labels.place()].store(value.to_bits(), Ordering::Relaxed);
    }

    /// Sets the series of these values to a number of things.
    #[allow(clippy::cast_precision_loss, reason = "a page shows fewer digits")]
    pub fn count_at(&self, labels: L, count: usize) {
        self.set_at(labels, count as f64);
    }
}

impl Gauge<()> {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.set_at((), value);
    }

    /// Sets it to a number of things.
    pub fn count(&self, count: usize) {
        self.count_at((), count);
    }
}

impl<L: Labels> Metric for Gauge<L> {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Gauge,
            labels: L::descriptions(),
        }
    }

    fn publish(&self, recorder: &dyn Recorder) {
        for (cell, values) in self.cells.iter().zip(L::series()) {
            let value = f64::from_bits(cell.load(Ordering::Relaxed));
            if !value.is_nan() {
                let key = key::<L>(&self.line, &values);
                recorder.register_gauge(&key, metadata()).set(value);
            }
        }
    }
}

/// How many there are of something that comes and goes. All threads write the same cell, so that what is read is what there was
/// at one moment: nothing that happens with each message may use it.
#[derive(Debug)]
pub struct Level<L: Labels = ()> {
    line: Line,
    cells: LazyLock<Box<[AtomicI64]>>,
    labels: PhantomData<fn(L)>,
}

fn none<L: Labels>() -> Box<[AtomicI64]> {
    let series = L::series().into_iter();
    series.map(|_| AtomicI64::new(0)).collect()
}

impl<L: Labels> Level<L> {
    /// A line of the table.
    pub const fn new(line: Line) -> Self {
        Self {
            line,
            cells: LazyLock::new(none::<L>),
            labels: PhantomData,
        }
    }

    /// So many have come, or have gone if it is below 0.
    pub fn add_at(&self, labels: L, change: i64) {
        self.cells[labels.place()].fetch_add(change, Ordering::Relaxed);
    }
}

impl Level<()> {
    /// So many have come.
    pub fn came(&self, count: usize) {
        self.add_at((), i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// So many have gone.
    pub fn went(&self, count: usize) {
        self.add_at((), -i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl<L: Labels> Metric for Level<L> {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Gauge,
            labels: L::descriptions(),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a page shows fewer digits")]
    fn publish(&self, recorder: &dyn Recorder) {
        for (cell, values) in self.cells.iter().zip(L::series()) {
            let key = key::<L>(&self.line, &values);
            let value = cell.load(Ordering::Relaxed) as f64;
            recorder.register_gauge(&key, metadata()).set(value);
        }
    }
}
