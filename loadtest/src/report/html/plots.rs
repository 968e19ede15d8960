//! Which charts a run and a comparison of runs have.

use super::axis::{Axis, Unit};
use super::chart::{Chart, Line};
use crate::report::medians::distinct;
use crate::report::number;
use crate::report::{Instant, Operation, Run, Second, Subject};
use crate::tally::count;

/// Charts of one run, on the scales of all runs that it is compared with.
pub(super) fn of_run(run: &Run, all: &[&Run]) -> String {
    let mut charts = Vec::new();
    for name in timed(&[run]) {
        charts.push(latency_over_time(run, name, all));
    }
    charts.push(percentiles_of(run, all));
    charts.extend(throughput_of(run));
    charts.push(cores_of(run, all));
    charts.push(memory(&[run], all));
    markup(&charts)
}

/// Charts of several runs of the same work, one line each.
pub(super) fn beside_each_other(runs: &[&Run]) -> String {
    let mut charts = Vec::new();
    let operations = || runs.iter().flat_map(|run| &run.operations);
    for name in distinct(operations().map(|operation| operation.name.as_str())) {
        let lines = runs.iter().filter_map(|run| {
            let curve = &run.operation(name)?.latency.curve;
            Some(line_of(run, runs, to_points(curve)))
        });
        let scale: Vec<&Operation> = operations().filter(|other| other.name == name).collect();
        let title = format!("{name}: latency by percentile");
        charts.push(percentiles(title, lines.collect(), &scale));
    }
    for name in timed(runs) {
        let p99 = runs.iter().map(|run| {
            line_of(
                run,
                runs,
                over_time(run, |second| {
                    ended(second, name).map(|instant| instant.p99_ms)
                }),
            )
        });
        let p99: Vec<Line> = p99.collect();
        let y = Axis::milliseconds(p99.iter().flat_map(Line::values));
        charts.push(time_chart(format!("{name}: p99 per second"), y, p99, runs));
    }
    let delivered: Vec<Line> = runs
        .iter()
        .map(|run| {
            line_of(
                run,
                runs,
                over_time(run, |second| counted(second, count::DELIVERED)),
            )
        })
        .collect();
    let y = Axis::from_zero(Unit::PerSecond, delivered.iter().flat_map(Line::values));
    charts.push(time_chart(
        "deliveries per second".to_owned(),
        y,
        delivered,
        runs,
    ));
    let cores: Vec<Line> = runs
        .iter()
        .map(|run| line_of(run, runs, over_time(run, |second| second.server_cores)))
        .collect();
    let y = Axis::from_zero(Unit::Cores, cores.iter().flat_map(Line::values));
    charts.push(time_chart("processor in cores".to_owned(), y, cores, runs));
    charts.push(memory(runs, runs));
    markup(&charts)
}

fn latency_over_time(run: &Run, name: &str, all: &[&Run]) -> Chart {
    let times =
        |number: fn(&Instant) -> f64| over_time(run, move |second| ended(second, name).map(number));
    let lines = vec![
        Line::new("max", "max", times(|instant| instant.max_ms)),
        Line::new("p99", "p99", times(|instant| instant.p99_ms)),
        Line::new("p50", "p50", times(|instant| instant.p50_ms)),
    ];
    let instants = all
        .iter()
        .flat_map(|run| &run.timeline)
        .filter_map(|second| ended(second, name));
    let y = Axis::milliseconds(instants.flat_map(|instant| [instant.p50_ms, instant.max_ms]));
    time_chart(format!("{name}: latency over time"), y, lines, &[run])
}

fn percentiles_of(run: &Run, all: &[&Run]) -> Chart {
    let classes = ["first", "second", "third", "fourth", "fifth"];
    let lines = run.operations.iter().zip(classes.iter().cycle());
    let lines = lines.map(|(operation, class)| {
        Line::new(&operation.name, class, to_points(&operation.latency.curve))
    });
    let operations = all.iter().flat_map(|run| &run.operations);
    let scale: Vec<&Operation> = operations
        .filter(|operation| run.operation(&operation.name).is_some())
        .collect();
    percentiles("latency by percentile".to_owned(), lines.collect(), &scale)
}

/// On the scales of these operations' curves, which the lines are among.
fn percentiles(title: String, lines: Vec<Line>, scale: &[&Operation]) -> Chart {
    let points = || {
        let curves = scale.iter().map(|operation| &operation.latency.curve);
        curves.flatten()
    };
    Chart {
        title,
        x: Axis::percentiles(points().map(|(percentile, _)| *percentile)),
        y: Axis::milliseconds(points().map(|(_, value)| *value)),
        lines,
        shaded: Vec::new(),
    }
}

/// One chart per operation, so that a small rate is not flat beside a large one.
fn throughput_of(run: &Run) -> Vec<Chart> {
    let mut charts = Vec::new();
    for name in timed(&[run]) {
        let done = over_time(run, |second| {
            let instant = second.operations.get(name);
            Some(instant.map_or(0.0, |instant| number::float(instant.done)))
        });
        let offered = run
            .operation(name)
            .and_then(|operation| operation.offered_per_second);
        let mut lines = vec![Line::new("achieved", "achieved", done)];
        if let Some(offered) = offered {
            let measured = run
                .timeline
                .iter()
                .filter(|second| is_measured(run, second));
            let points = measured.map(|second| (at(second), Some(offered)));
            lines.push(Line::new("offered", "offered", points));
        }
        let y = Axis::from_zero(Unit::PerSecond, lines.iter().flat_map(Line::values));
        charts.push(time_chart(format!("{name}: per second"), y, lines, &[run]));
    }
    if !timed(&[run]).contains(&"deliver") {
        let delivered = over_time(run, |second| counted(second, count::DELIVERED));
        let lines = vec![Line::new("delivered", "achieved", delivered)];
        let y = Axis::from_zero(Unit::PerSecond, lines.iter().flat_map(Line::values));
        charts.push(time_chart(
            "deliveries per second".to_owned(),
            y,
            lines,
            &[run],
        ));
    }
    charts
}

fn cores_of(run: &Run, all: &[&Run]) -> Chart {
    let lines = vec![
        Line::new(
            run.subject.name(),
            class_of(run),
            over_time(run, |second| second.server_cores),
        ),
        Line::new(
            "generator",
            "generator",
            over_time(run, |second| Some(second.generator_cores)),
        ),
    ];
    let seconds = all.iter().flat_map(|run| &run.timeline);
    let y = seconds.flat_map(|second| [second.server_cores, Some(second.generator_cores)]);
    let y = Axis::from_zero(Unit::Cores, y.flatten());
    time_chart("processor in cores".to_owned(), y, lines, &[run])
}

fn memory(runs: &[&Run], all: &[&Run]) -> Chart {
    let resident = |second: &Second| {
        let bytes = second.server_memory_bytes;
        bytes.map(number::float)
    };
    let lines = runs
        .iter()
        .map(|run| line_of(run, runs, over_time(run, resident)));
    let seconds = all.iter().flat_map(|run| &run.timeline);
    let y = Axis::from_zero(Unit::Bytes, seconds.filter_map(resident));
    time_chart("resident memory".to_owned(), y, lines.collect(), runs)
}

fn time_chart(title: String, y: Axis, lines: Vec<Line>, runs: &[&Run]) -> Chart {
    let x = runs.iter().flat_map(|run| run.timeline.iter().map(at));
    let first = x.clone().fold(f64::INFINITY, f64::min);
    let last = x.clone().fold(f64::NEG_INFINITY, f64::max);
    let drain = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
    let shaded = [(first, 0.0), (drain, last)];
    Chart {
        title,
        x: Axis::seconds(x),
        y,
        lines,
        shaded: shaded.into_iter().filter(|(from, to)| from < to).collect(),
    }
}

/// A line for one run among others: coloured by its subject, numbered where it was repeated.
fn line_of(run: &Run, runs: &[&Run], points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Line {
    let repeated = runs
        .iter()
        .filter(|other| other.subject == run.subject)
        .count()
        > 1;
    let label = match repeated {
        true => format!("{} {}", run.subject.name(), run.repetition),
        false => run.subject.name().to_owned(),
    };
    Line::new(&label, class_of(run), points)
}

fn class_of(run: &Run) -> &'static str {
    match (run.subject, run.repetition) {
        (Subject::Server, ..=1) => "server",
        (Subject::Server, _) => "server again",
        (Subject::Floor, ..=1) => "floor",
        (Subject::Floor, _) => "floor again",
    }
}

/// Names of the operations that have a second with a latency, in the order of the runs.
fn timed<'a>(runs: &[&'a Run]) -> Vec<&'a str> {
    let names = distinct(
        runs.iter()
            .flat_map(|run| &run.operations)
            .map(|operation| operation.name.as_str()),
    );
    let has_seconds = |name: &&str| {
        let mut seconds = runs.iter().flat_map(|run| &run.timeline);
        seconds.any(|second| ended(second, name).is_some())
    };
    names.into_iter().filter(has_seconds).collect()
}

fn over_time(run: &Run, value: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
    let points = run.timeline.iter();
    points.map(|second| (at(second), value(second))).collect()
}

/// What ended in that second, if anything did: without it there is no latency.
fn ended<'a>(second: &'a Second, name: &str) -> Option<&'a Instant> {
    second
        .operations
        .get(name)
        .filter(|instant| instant.done > 0)
}

fn counted(second: &Second, name: &str) -> Option<f64> {
    second.counts.get(name).copied().map(number::float)
}

fn is_measured(run: &Run, second: &Second) -> bool {
    second.second >= 0 && at(second) < run.seconds
}

/// Exact for any run shorter than the age of the universe.
fn at(second: &Second) -> f64 {
    second.second as f64
}

fn to_points(curve: &[(f64, f64)]) -> impl Iterator<Item = (f64, Option<f64>)> {
    curve
        .iter()
        .map(|(percentile, value)| (*percentile, Some(*value)))
}

fn markup(charts: &[Chart]) -> String {
    let charts: String = charts.iter().map(Chart::markup).collect();
    match charts.as_str() {
        "" => String::new(),
        charts => format!("<div class=\"charts\">\n{charts}</div>\n"),
    }
}
