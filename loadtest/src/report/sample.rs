//! A made-up report for tests: two repetitions against the server, two against the floor.

use std::collections::BTreeMap;

use super::{
    Better, Check, Figure, Host, Instant, LAYOUT, Latency, Operation, Ratio, Report, Run, Second,
    Subject, Usage,
};
use crate::tally::count;

pub(crate) fn report() -> Report {
    Report {
        layout: LAYOUT,
        began: "2026-01-31T12:00:00Z".into(),
        command: "loadtest fanout --players 1000 --rate 500 --floor --repeat 2".into(),
        host: Host {
            cores: 4,
            processor: "Example Processor 9000 @ 3.0 GHz".into(),
            memory_bytes: 16 << 30,
            kernel: "Linux 6.1.0".into(),
        },
        runs: vec![
            run(Subject::Server, 1, 1.0),
            run(Subject::Floor, 1, 0.4),
            run(Subject::Server, 2, 1.1),
            run(Subject::Floor, 2, 0.42),
        ],
        ratios: vec![
            ratio("cpu_per_delivery", 7.31, 3.0, "µs"),
            ratio("deliver_p99", 18.4, 6.2, "ms"),
        ],
        capacity: None,
    }
}

/// No runs at all.
pub(crate) fn empty() -> Report {
    Report {
        runs: Vec::new(),
        ratios: Vec::new(),
        ..report()
    }
}

/// A run in which nothing happened.
pub(crate) fn bare_run() -> Run {
    Run {
        scenario: "idle".into(),
        subject: Subject::Server,
        repetition: 1,
        parameters: Vec::new(),
        settings: Vec::new(),
        seconds: 0.0,
        connections: 0,
        operations: Vec::new(),
        counts: BTreeMap::new(),
        server: None,
        generator: Usage::default(),
        figures: Vec::new(),
        timeline: Vec::new(),
        checks: Vec::new(),
        warnings: Vec::new(),
    }
}

/// `cost` 1 is the server's; every time and every use of a processor is multiplied by it.
pub(crate) fn run(subject: Subject, repetition: u32, cost: f64) -> Run {
    Run {
        scenario: "fanout".into(),
        subject,
        repetition,
        parameters: vec![
            ("players".into(), "1000".into()),
            ("rate".into(), "500".into()),
        ],
        settings: vec!["limits.outbox=1MiB".into()],
        seconds: 60.0,
        connections: 1_000,
        operations: vec![
            operation("connect", None, 1_000, 4.0 * cost),
            operation("send", Some(500.0), 30_000, 2.5 * cost),
            operation("deliver", Some(50_000.0), 2_999_220, 3.1 * cost),
        ],
        counts: BTreeMap::from([
            (count::PERSISTED.into(), 30_000),
            (count::DELIVERED.into(), 2_999_220),
            (count::BYTES_OUT.into(), 512_000_000),
            (count::DUPLICATES.into(), 0),
        ]),
        server: Some(usage(73.1 * cost, 310 << 20)),
        generator: usage(51.0, 220 << 20),
        figures: vec![
            figure(
                "cpu_per_delivery",
                "server CPU per delivery",
                7.31 * cost,
                "µs",
            ),
            figure(
                "memory_per_connection",
                "memory per connection",
                9_011.0 * cost,
                "bytes",
            ),
        ],
        timeline: (-5..64).map(|second| at(second, cost)).collect(),
        checks: vec![Check {
            title: "every message reached every member".into(),
            held: true,
            detail: "2,999,220 of 2,999,220".into(),
        }],
        warnings: vec!["the generator used 98% of its core in 3 of 60 seconds".into()],
    }
}

pub(crate) fn operation(name: &str, offered: Option<f64>, done: u32, p50: f64) -> Operation {
    let curve = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99];
    let mut curve: Vec<(f64, f64)> = curve
        .iter()
        .map(|percentile| {
            let nines = -(1.0 - percentile / 100.0_f64).log10();
            (
                *percentile,
                p50 * (0.55 + 0.9 * nines * nines + 0.6 * nines),
            )
        })
        .collect();
    curve.push((100.0, p50 * 22.0));
    Operation {
        name: name.into(),
        offered_per_second: offered,
        achieved_per_second: f64::from(done) / 60.0,
        done: u64::from(done),
        errors: BTreeMap::from([("overloaded".to_owned(), 12)]),
        latency: Latency {
            samples: u64::from(done),
            mean_ms: p50 * 1.2,
            p50_ms: p50,
            p90_ms: p50 * 2.2,
            p99_ms: p50 * 6.0,
            p999_ms: p50 * 12.0,
            max_ms: p50 * 22.0,
            curve,
        },
    }
}

pub(crate) fn figure(name: &str, title: &str, value: f64, unit: &str) -> Figure {
    Figure {
        name: name.into(),
        title: title.into(),
        value,
        unit: unit.into(),
        better: Some(Better::Lower),
    }
}

fn usage(cpu_seconds: f64, memory_bytes: u64) -> Usage {
    Usage {
        cpu_seconds,
        cpu_system_seconds: Some(cpu_seconds * 0.3),
        memory_before_bytes: 12 << 20,
        memory_bytes,
        memory_max_bytes: memory_bytes + (9 << 20),
        threads: 4,
    }
}

fn ratio(name: &str, server: f64, floor: f64, unit: &str) -> Ratio {
    Ratio {
        scenario: "fanout".into(),
        figure: name.into(),
        server,
        floor,
        unit: unit.into(),
        ratio: server / floor,
        better: Better::Lower,
    }
}

fn at(second: i32, cost: f64) -> Second {
    let wave = (f64::from(second) / 5.0).sin();
    let busy = if second < 60 { 1.0 } else { 0.1 };
    let deliveries: u32 = if second < 60 { 49_987 } else { 4_000 };
    let sends: u32 = if second < 60 { 500 } else { 0 };
    let instant = |done: u32, p50: f64| Instant {
        done: u64::from(done),
        errors: 0,
        p50_ms: p50 * (1.0 + 0.08 * wave),
        p99_ms: p50 * (5.0 + wave),
        max_ms: p50 * (9.0 + 4.0 * wave * wave + if second == 31 { 30.0 } else { 0.0 }),
    };
    Second {
        second: i64::from(second),
        operations: BTreeMap::from([
            ("send".to_owned(), instant(sends, 2.5 * cost)),
            ("deliver".to_owned(), instant(deliveries, 3.1 * cost)),
        ]),
        counts: BTreeMap::from([(count::DELIVERED.to_owned(), u64::from(deliveries))]),
        server_cores: Some(1.2 * cost * busy * (1.0 + 0.05 * wave)),
        generator_cores: 0.85 * busy,
        server_memory_bytes: Some((280 + u64::from(second.unsigned_abs()) / 2) << 20),
    }
}
