//! What the table says of a metric.

use metrics::{Key, Label, Level, Metadata, Recorder};

use crate::labels::{LabelDescription, Labels};

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something was below each of some bounds.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What one of it is. Prometheus wants base units, and their names at the end of a metric's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// So many of these.
    Count(&'static str),
    /// 1 for yes, 0 for no.
    Yes,
}

impl Unit {
    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Count(what) => what,
            Self::Yes => "1 or 0",
        }
    }
}

/// When a metric is on the page for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// From the start, in all its series: what grows begins at 0, or its first growth would be seen by no `rate()`.
    AtStart,
    /// Once there is something to show.
    Later,
}

/// One line of the table, as it is written there.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The metric's name.
    pub name: &'static str,
    /// What one of it is.
    pub unit: Unit,
    /// When it is first shown.
    pub begins: Begins,
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// All that is known of a metric.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its line.
    pub line: Line,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: Vec<LabelDescription>,
}

/// A metric of the table.
pub trait Metric: Sync {
    /// What the table says of it.
    fn description(&self) -> Description;

    /// Upper bounds of a histogram that the recorder keeps; none for whatever else.
    fn bounds(&self) -> &'static [f64] {
        &[]
    }

    /// Gives the recorder what was counted so far, before a page is written.
    fn publish(&self, recorder: &dyn Recorder);

    /// Adds what no recorder can show to a page, in Prometheus' text format.
    fn append(&self, page: &mut String) {
        let _unchanged = page;
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The recorder's name for one series.
pub(crate) fn key<L: Labels>(line: &Line, values: &[&'static str]) -> Key {
    let labels: Vec<Label> = L::names()
        .into_iter()
        .zip(values)
        .map(|(name, value)| Label::from_static_parts(name, value))
        .collect();
    Key::from_parts(line.name, labels)
}

/// Where a recorder is told that a series comes from: one place for all.
pub(crate) const fn metadata() -> &'static Metadata<'static> {
    &METADATA
}
