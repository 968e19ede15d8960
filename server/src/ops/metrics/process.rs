//! What the system knows of the process, under the names that all Prometheus clients use. What it does not say, where there is no
//! `/proc`, is not shown.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use pitturu_metrics::table;
use rustix::process::{Resource, getrlimit};

/// Ticks per second in `/proc`; Linux shows this rate to all programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` after the name of the program: user and system time.
const TIME_FIELDS: [usize; 2] = [11, 12];

/// Notes when the process began: now.
pub(super) fn began() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    table::PROCESS_START_TIME.set(now.unwrap_or_default().as_secs_f64());
}

/// Reads everything else.
pub(super) fn sample() {
    if let Some(seconds) = cpu_seconds() {
        table::PROCESS_CPU_SECONDS.set(seconds);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let figures = [
        ("VmRSS:", &table::PROCESS_RESIDENT_MEMORY, 1_024.0),
        ("VmSize:", &table::PROCESS_VIRTUAL_MEMORY, 1_024.0),
        ("Threads:", &table::PROCESS_THREADS, 1.0),
    ];
    for (field, gauge, factor) in figures {
        if let Some(value) = field_of(&status, field) {
            gauge.set(value * factor);
        }
    }
    if let Some(files) = open_files() {
        table::PROCESS_OPEN_FILES.count(files);
    }
    table::PROCESS_MAX_FILES.set(max_files());
}

/// The number behind a field's name.
fn field_of(status: &str, field: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
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

fn open_files() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

#[allow(clippy::cast_precision_loss, reason = "a page shows fewer digits")]
fn max_files() -> f64 {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(f64::INFINITY, |limit| limit as f64)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_is_measured() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = field_of(&status, "VmRSS:").unwrap();
        assert!(resident > 100.0);
        assert!(field_of(&status, "VmSize:").unwrap() > resident);
        assert!(field_of(&status, "Threads:").unwrap() >= 1.0);
        let open = open_files().unwrap();
        assert!(open >= 3);
        assert!(max_files() >= open as f64);
        let before = cpu_seconds().unwrap();
        let began = Instant::now();
        while cpu_seconds().unwrap() < before + 0.02 {
            assert!(began.elapsed() < Duration::from_secs(20), "no time passes");
        }
    }
}
