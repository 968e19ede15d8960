//! The page for Prometheus: everything in [`pitturu_metrics::table`].

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::Mutex;
use pitturu_metrics::labels::Version;
use pitturu_metrics::recorder::AlreadyInstalled;
use pitturu_metrics::{recorder, table};

mod process;
pub mod report;

/// How often histograms are put in order, so that they do not grow between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

type Sampler = Arc<dyn Fn() + Send + Sync>;

/// What has been counted in this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    prometheus: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    samplers: Arc<Mutex<Vec<Sampler>>>,
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A histogram has no bounds.
    #[error(transparent)]
    Bounds(#[from] BuildError),
    /// It was done before.
    #[error(transparent)]
    Again(#[from] AlreadyInstalled),
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    fn new() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for metric in table::all() {
            let name = metric.description().line.name.to_owned();
            if let bounds @ [_, ..] = metric.bounds() {
                builder = builder.set_buckets_for_metric(Matcher::Full(name), bounds)?;
            }
        }
        let prometheus = builder.build_recorder();
        recorder::describe(&prometheus);
        Ok(Self {
            handle: prometheus.handle(),
            prometheus: Arc::new(prometheus),
            samplers: Arc::default(),
        })
    }

    /// Makes what this process counts visible. Once per process.
    pub fn install() -> Result<Self, InstallError> {
        let metrics = Self::new()?;
        recorder::install(Arc::clone(&metrics.prometheus))?;
        process::began();
        table::BUILD_INFO.set_at(Version, 1.0);
        metrics.sample(process::sample);
        Ok(metrics)
    }

    /// Has `sampler` set gauges right before each page is written. It must not block.
    pub fn sample(&self, sampler: impl Fn() + Send + Sync + 'static) {
        self.samplers.lock().push(Arc::new(sampler));
    }

    /// Puts histograms in order for as long as the process runs.
    pub async fn maintain(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }

    /// The page for Prometheus.
    pub fn render(&self) -> String {
        let samplers = self.samplers.lock().clone();
        samplers.iter().for_each(|sampler| sampler());
        recorder::publish(&*self.prometheus);
        let mut page = self.handle.render();
        recorder::append(&mut page);
        page
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let metrics = Self::new().unwrap();
        metrics.sample(process::sample);
        metrics
    }
}
