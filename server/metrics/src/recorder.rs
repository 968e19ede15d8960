//! From what was counted to a page for Prometheus: a recorder of the library `metrics` shows it, and what none can show is added.

use std::sync::Arc;

use metrics::{Recorder, set_global_recorder};

use crate::description::Kind;
use crate::table;

/// Another recorder is there already: there is one in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl std::fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("metrics of this process are recorded already")
    }
}

impl std::error::Error for AlreadyInstalled {}

/// Has histograms recorded from now on. Whatever else counts does so from the first moment.
///
/// # Errors
/// [`AlreadyInstalled`].
pub fn install<R: Recorder + Send + Sync + 'static>(
    recorder: Arc<R>,
) -> Result<(), AlreadyInstalled> {
    set_global_recorder(recorder).map_err(|_| AlreadyInstalled)
}

/// Tells the recorder what every metric says.
pub fn describe(recorder: &dyn Recorder) {
    for described in table::all().map(|metric| metric.description()) {
        let (name, help) = (described.line.name.into(), described.line.help.into());
        match described.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram => recorder.describe_histogram(name, None, help),
        }
    }
}

/// Gives the recorder what was counted so far, before a page is written.
pub fn publish(recorder: &dyn Recorder) {
    table::all().for_each(|metric| metric.publish(recorder));
}

/// Adds what no recorder can show to a page for Prometheus.
pub fn append(page: &mut String) {
    table::all().for_each(|metric| metric.append(page));
}
