//! How long something took, or how much it was. For what happens thousands of times a second at most: the recorder keeps every
//! value until it is put in order. [`crate::timings`] is for what happens more often.

use std::time::Duration;

use metrics::{Key, Recorder, with_recorder};

use crate::description::{Description, Kind, Line, Metric, Unit, metadata};

/// Bounds in seconds: from an echo to a slow disk.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Bounds of whatever else.
const POWERS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0,
];

/// A histogram of one series.
#[derive(Debug)]
pub struct Histogram {
    line: Line,
    key: Key,
}

impl Histogram {
    /// A line of the table.
    pub const fn new(line: Line) -> Self {
        Self {
            key: Key::from_static_name(line.name),
            line,
        }
    }

    /// Counts one of this size.
    pub fn record(&self, value: f64) {
        with_recorder(|recorder| {
            recorder
                .register_histogram(&self.key, metadata())
                .record(value);
        });
    }

    /// Counts one that took so long.
    pub fn took(&self, time: Duration) {
        self.record(time.as_secs_f64());
    }
}

impl Metric for Histogram {
    fn description(&self) -> Description {
        Description {
            line: self.line,
            kind: Kind::Histogram,
            labels: Vec::new(),
        }
    }

    fn bounds(&self) -> &'static [f64] {
        match self.line.unit {
            Unit::Seconds => SECONDS,
            _ => POWERS,
        }
    }

    fn publish(&self, recorder: &dyn Recorder) {
        // Only so that it is there.
        let _known = recorder.register_histogram(&self.key, metadata());
    }
}
