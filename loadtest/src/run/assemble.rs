//! From what was gathered to a part of the report.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::is_limit;
use crate::fleet::Gathered;
use crate::link::Transport;
use crate::outcome::Outcome;
use crate::probe::ResourceSample;
use crate::report::{Instant, Latency, Operation, Run, Second, Subject, Usage};
use crate::scenarios::Scenario;
use crate::tally::{OPS, Op, Slice};

/// Points of the percentile curve between each halving of what is left to 100 %.
const TICKS_PER_HALF: u32 = 4;

/// Share of the offered rate below which a warning is due.
const ACHIEVED_MIN: f64 = 0.97;

/// Lateness of the generator at which a warning is due, 99 of 100, in milliseconds.
const LATE_MS: f64 = 5.0;

/// One run, as the report shows it.
pub(super) fn run(
    scenario: &Scenario,
    transport: Transport,
    outcome: &Outcome,
    gathered: &Gathered,
    repetition: u32,
) -> Run {
    let offered = scenario.offered();
    let operations = outcome
        .operations()
        .map(|op| operation(op, outcome, &offered))
        .collect();
    let mut figures = outcome.figures();
    figures.extend(scenario.figures(outcome));
    let checks = scenario.checks(outcome);
    // First of all, so that nobody takes one transport for another, neither a reader nor a comparison.
    let mut parameters = vec![("transport".to_owned(), transport.name().to_owned())];
    parameters.extend(scenario.parameters());
    let mut run = Run {
        scenario: scenario.name().to_owned(),
        subject: outcome.subject,
        repetition,
        parameters,
        settings: Vec::new(),
        seconds: outcome.seconds,
        connections: scenario.connections(),
        operations,
        counts: outcome.measured.counts.clone(),
        server: outcome.server.clone(),
        generator: outcome.generator.clone(),
        figures,
        timeline: timeline(gathered),
        checks,
        warnings: Vec::new(),
    };
    run.warnings = warnings(&run);
    run
}

fn operation(op: Op, outcome: &Outcome, offered: &[(Op, f64)]) -> Operation {
    let empty = Slice::default();
    let (slice, measured) = outcome.slice_of(op).unwrap_or((&empty, false));
    let times = slice.times(op);
    let done = times.latency.len();
    let seconds = if measured {
        outcome.seconds
    } else {
        f64::INFINITY
    };
    let rate = offered.iter().find(|(paced, _)| *paced == op);
    Operation {
        name: op.name().to_owned(),
        offered_per_second: rate.map(|(_, rate)| *rate),
        achieved_per_second: done as f64 / seconds,
        done,
        errors: times.errors.clone(),
        latency: latency(&times.latency),
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    if histogram.is_empty() {
        return Latency::default();
    }
    let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
    Latency {
        samples: histogram.len(),
        mean_ms: histogram.mean() / 1e3,
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: milliseconds(histogram.max()),
        curve: histogram
            .iter_quantiles(TICKS_PER_HALF)
            .map(|point| {
                let value = milliseconds(point.value_iterated_to());
                (point.quantile_iterated_to() * 100.0, value)
            })
            .collect(),
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e3
}

fn timeline(gathered: &Gathered) -> Vec<Second> {
    let mut seconds = Vec::new();
    for (&second, slice) in &gathered.by_second {
        let ends = gathered
            .resources
            .get(&second)
            .zip(gathered.resources.get(&(second + 1)));
        seconds.push(entry(second, slice, ends));
    }
    seconds
}

/// One second of the timeline, between two looks at the processes.
pub(crate) fn entry(
    second: i64,
    slice: &Slice,
    ends: Option<(&ResourceSample, &ResourceSample)>,
) -> Second {
    let operations: BTreeMap<String, Instant> = OPS
        .into_iter()
        .filter_map(|op| {
            let times = slice.times(op);
            let errors = times.errors.values().sum();
            let histogram = &times.latency;
            (!histogram.is_empty() || errors > 0).then(|| {
                let instant = Instant {
                    done: histogram.len(),
                    errors,
                    p50_ms: milliseconds(histogram.value_at_quantile(0.5)),
                    p99_ms: milliseconds(histogram.value_at_quantile(0.99)),
                    max_ms: milliseconds(histogram.max()),
                };
                (op.name().to_owned(), instant)
            })
        })
        .collect();
    let apart = ends.map_or(1.0, |(from, to)| {
        (to.at.saturating_sub(from.at)).max(1) as f64 / crate::clock::SECOND as f64
    });
    let server = ends.and_then(|(from, to)| from.server.zip(to.server));
    Second {
        second,
        operations,
        counts: slice.counts.clone(),
        server_cores: server.map(|(from, to)| (to.cpu_seconds - from.cpu_seconds) / apart),
        generator_cores: ends.map_or(0.0, |(from, to)| {
            (to.generator.cpu_seconds - from.generator.cpu_seconds) / apart
        }),
        server_memory_bytes: server.map(|(_, to)| to.memory_bytes),
    }
}

fn warnings(run: &Run) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_limit(&run.generator, run.seconds) {
        let Usage {
            cpu_seconds,
            threads,
            ..
        } = run.generator;
        warnings.push(format!(
            "the generator used {:.0} % of its {threads} threads: it is the limit, not the {}; add --processes or --threads on a larger machine",
            100.0 * cpu_seconds / run.seconds / threads as f64,
            match run.subject {
                Subject::Server => "server",
                Subject::Floor => "floor",
            }
        ));
    }
    for operation in &run.operations {
        if let Some(offered) = operation.offered_per_second
            && operation.achieved_per_second < offered * ACHIEVED_MIN
        {
            warnings.push(format!(
                "{}: {:.0} per second of {offered:.0} offered ended in the measured part",
                operation.name, operation.achieved_per_second
            ));
        }
        if operation.name == Op::Late.name() && operation.latency.p99_ms > LATE_MS {
            warnings.push(format!(
                "the generator itself was late: 99 of 100 sends left within {:.1} ms of their moment; latencies include this",
                operation.latency.p99_ms
            ));
        }
    }
    warnings
}
