//! Metrics for Prometheus: what the code counts, and the process itself.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::gauge;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::connections::call_metrics;

/// Bounds of histograms in seconds: from an echo to a slow disk.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Bounds of histograms in bytes.
const BYTES: [f64; 8] = [
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
];

/// How often histograms are put in order, so that they do not grow between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Ticks per second in `/proc`; Linux shows this rate to all programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` after the name of the program: user and system time.
const TIME_FIELDS: [usize; 2] = [11, 12];

/// What has been counted in this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)
}

impl Metrics {
    /// Makes what this process counts visible. Once per process.
    pub fn install() -> Result<Self, BuildError> {
        let handle = builder()?.install_recorder()?;
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        gauge!("process_start_time_seconds").set(started.as_secs_f64());
        gauge!("pitturu_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self { handle })
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
        let mut page = self.handle.render();
        call_metrics::append(&mut page);
        append_process(&mut page);
        page
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let recorder = builder().unwrap().build_recorder();
        Self {
            handle: recorder.handle(),
        }
    }
}

/// What the system knows of the process, under the names that all Prometheus clients use. Left out where there is no `/proc`.
fn append_process(page: &mut String) {
    let mut line = |name: &str, kind: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(page, "# TYPE {name} {kind}\n{name} {value}");
        }
    };
    line("process_resident_memory_bytes", "gauge", resident_bytes());
    line("process_cpu_seconds_total", "counter", cpu_seconds());
    line("process_open_fds", "gauge", open_files());
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: Option<Vec<f64>> = TIME_FIELDS
        .iter()
        .map(|field| fields.get(*field)?.parse().ok())
        .collect();
    Some(ticks?.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_is_measured() {
        assert!(resident_bytes().unwrap() > 100_000.0);
        assert!(open_files().unwrap() >= 3.0);
        let before = cpu_seconds().unwrap();
        let began = std::time::Instant::now();
        while cpu_seconds().unwrap() < before + 0.02 {
            assert!(began.elapsed() < Duration::from_secs(20), "no time passes");
        }
    }
}
