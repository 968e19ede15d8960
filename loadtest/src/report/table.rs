//! A report as plain text for a terminal of 80 columns.

use super::medians::{Group, groups};
use super::number::{self, NONE, bytes, count, milliseconds, plain};
use super::text::{Columns, Ink, Page};
use super::{Better, Capacity, Ratio, Report, Run, Usage, parameters_line};
use crate::server_settings::SETTINGS;

/// The report as text. `coloured` adds terminal colours: pass whether the output is a terminal.
#[must_use]
pub fn table(report: &Report, coloured: bool) -> String {
    let mut page = Page::new(coloured);
    let repetitions = |run: &Run| -> usize {
        let groups = groups(report);
        let group = groups.iter().find(|group| {
            group.subject == run.subject && group.is_about(&run.scenario, &run.parameters)
        });
        group.map_or(1, |group| group.runs.len())
    };
    if report.runs.is_empty() {
        page.line("nothing was measured", None);
    }
    for run in &report.runs {
        head(&mut page, run, repetitions(run));
        operations(&mut page, run);
        counts(&mut page, run);
        figures(&mut page, run);
        usages(&mut page, run);
        checks(&mut page, run);
    }
    for group in groups(report).iter().filter(|group| group.runs.len() > 1) {
        medians(&mut page, group);
    }
    ratios(&mut page, &report.ratios);
    if let Some(capacity) = &report.capacity {
        reached(&mut page, capacity);
    }
    page.into_text()
}

fn head(page: &mut Page, run: &Run, repetitions: usize) {
    let mut title = format!("{} · {}", run.scenario, run.subject.name());
    if repetitions > 1 {
        title = format!("{title} · repetition {} of {repetitions}", run.repetition);
    }
    page.blank();
    page.wrapped("", &title, Some(Ink::Heading));
    if !run.parameters.is_empty() {
        page.wrapped("  ", &run.parameters_line(), None);
    }
    let mut about = format!(
        "measured for {}, {} connections",
        number::with_unit(run.seconds, "s"),
        count(run.connections)
    );
    // What every test sets is the same everywhere, and stands in the JSON and on the page.
    let own: Vec<&str> = run
        .settings
        .iter()
        .map(String::as_str)
        .filter(|setting| !SETTINGS.contains(setting))
        .collect();
    if !own.is_empty() {
        about = format!("{about}; settings {}", own.join(" "));
    }
    page.wrapped("  ", &about, None);
}

fn operations(page: &mut Page, run: &Run) {
    if run.operations.is_empty() {
        return;
    }
    let mut rates = Columns::new(
        1,
        &["operation", "offered/s", "achieved/s", "done", "errors"],
    );
    let mut times = Columns::new(1, &["latency", "p50", "p90", "p99", "p99.9", "max"]);
    for operation in &run.operations {
        rates.row([
            operation.name.clone(),
            operation.offered_per_second.map_or(NONE.into(), plain),
            plain(operation.achieved_per_second),
            count(operation.done),
            count(operation.errors.values().sum()),
        ]);
        let latency = &operation.latency;
        let of = |value| match latency.samples {
            0 => NONE.to_owned(),
            _ => milliseconds(value),
        };
        times.row([
            operation.name.clone(),
            of(latency.p50_ms),
            of(latency.p90_ms),
            of(latency.p99_ms),
            of(latency.p999_ms),
            of(latency.max_ms),
        ]);
    }
    page.blank();
    page.columns(&rates);
    for operation in &run.operations {
        let errors = operation.errors.iter().filter(|(_, times)| **times > 0);
        let errors: Vec<String> = errors
            .map(|(code, times)| format!("{code} {}", count(*times)))
            .collect();
        if !errors.is_empty() {
            let line = format!("errors of {}: {}", operation.name, errors.join(", "));
            page.wrapped("  ", &line, Some(Ink::Warning));
        }
    }
    page.blank();
    page.columns(&times);
}

fn counts(page: &mut Page, run: &Run) {
    if run.counts.is_empty() {
        return;
    }
    let words: Vec<String> = run
        .counts
        .iter()
        .map(|(name, value)| format!("{} {}", name.replace('_', " "), counted(name, *value)))
        .collect();
    page.blank();
    page.wrapped("  counts: ", &words.join(", "), None);
}

/// A count, or bytes where the name says so.
pub(super) fn counted(name: &str, value: u64) -> String {
    if name.starts_with("bytes_") {
        bytes(number::float(value))
    } else {
        count(value)
    }
}

fn figures(page: &mut Page, run: &Run) {
    let mut columns = Columns::new(1, &["figure", ""]);
    for figure in &run.figures {
        columns.row([
            figure.title.clone(),
            number::with_unit(figure.value, &figure.unit),
        ]);
    }
    if !columns.is_empty() {
        page.blank();
        page.columns(&columns);
    }
}

fn usages(page: &mut Page, run: &Run) {
    let mut columns = Columns::new(
        1,
        &[
            "used by", "cores", "CPU", "system", "memory", "before", "highest", "threads",
        ],
    );
    let subject = run.server.as_ref().map(|usage| (run.subject.name(), usage));
    for (name, usage) in subject.into_iter().chain([("generator", &run.generator)]) {
        columns.row([
            name.to_owned(),
            usage.cores(run.seconds).map_or(NONE.into(), plain),
            number::with_unit(usage.cpu_seconds, "s"),
            system_share(usage).map_or(NONE.into(), number::percent),
            bytes(number::float(usage.memory_bytes)),
            bytes(number::float(usage.memory_before_bytes)),
            bytes(number::float(usage.memory_max_bytes)),
            count(usage.threads),
        ]);
    }
    page.blank();
    page.columns(&columns);
}

/// Which part of the processor's time was spent in the system.
pub(super) fn system_share(usage: &Usage) -> Option<f64> {
    let share = usage.cpu_system_seconds? / usage.cpu_seconds;
    share.is_finite().then_some(share)
}

fn checks(page: &mut Page, run: &Run) {
    if !run.checks.is_empty() || !run.warnings.is_empty() {
        page.blank();
    }
    for check in &run.checks {
        let (mark, ink) = match check.held {
            true => ("  held    ", Ink::Good),
            false => ("  BROKEN  ", Ink::Bad),
        };
        let text = match check.detail.as_str() {
            "" => check.title.clone(),
            detail => format!("{}: {detail}", check.title),
        };
        page.wrapped(mark, &text, Some(ink));
    }
    for warning in &run.warnings {
        page.wrapped("  warning ", warning, Some(Ink::Warning));
    }
}

fn medians(page: &mut Page, group: &Group<'_>) {
    let title = format!(
        "{} · {} · medians of {} repetitions",
        group.scenario,
        group.subject.name(),
        group.runs.len()
    );
    page.blank();
    page.wrapped("", &title, Some(Ink::Heading));
    if !group.parameters.is_empty() {
        page.wrapped("  ", &parameters_line(group.parameters), None);
    }
    page.blank();
    let mut operations = Columns::new(1, &["operation", "achieved/s", "p50", "p99", "p99.9"]);
    for name in group.operations() {
        let time = |number: fn(&super::Latency) -> f64| {
            let median = group.median_of(name, |operation| number(&operation.latency));
            median.map_or(NONE.into(), milliseconds)
        };
        operations.row([
            name.to_owned(),
            group
                .median_of(name, |operation| operation.achieved_per_second)
                .map_or(NONE.into(), plain),
            time(|latency| latency.p50_ms),
            time(|latency| latency.p99_ms),
            time(|latency| latency.p999_ms),
        ]);
    }
    if !operations.is_empty() {
        page.columns(&operations);
    }
    let mut figures = Columns::new(1, &["figure", "median", "lowest", "highest"]);
    for name in group.figures() {
        let Some(figure) = group.runs.iter().find_map(|run| run.figure(name)) else {
            continue;
        };
        let value = |run: &Run| run.figure(name).map(|figure| figure.value);
        let written = |value: f64| number::with_unit(value, &figure.unit);
        let (low, high) = group.spread(value).unwrap_or((f64::NAN, f64::NAN));
        figures.row([
            figure.title.clone(),
            group.median(value).map_or(NONE.into(), written),
            written(low),
            written(high),
        ]);
    }
    if !figures.is_empty() {
        page.blank();
        page.columns(&figures);
    }
}

fn ratios(page: &mut Page, ratios: &[Ratio]) {
    if ratios.is_empty() {
        return;
    }
    let mut columns = Columns::new(
        2,
        &["scenario", "figure", "server", "floor", "ratio", "better"],
    );
    for ratio in ratios {
        columns.row([
            ratio.scenario.clone(),
            ratio.figure.clone(),
            number::with_unit(ratio.server, &ratio.unit),
            number::with_unit(ratio.floor, &ratio.unit),
            number::times(ratio.ratio),
            better(ratio.better).to_owned(),
        ]);
    }
    page.blank();
    page.line("server over floor", Some(Ink::Heading));
    page.blank();
    page.columns(&columns);
}

/// Which way is better, in a word.
pub(super) fn better(better: Better) -> &'static str {
    match better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    }
}

fn reached(page: &mut Page, capacity: &Capacity) {
    page.blank();
    page.wrapped(
        "",
        &format!("capacity in {}", capacity.parameter),
        Some(Ink::Heading),
    );
    page.wrapped("  objective: ", &capacity.objective, None);
    page.wrapped("  ", &outcome(capacity), None);
    if !capacity.reason.is_empty() {
        page.wrapped("  ", &capacity.reason, None);
    }
    if !capacity.steps.is_empty() {
        page.blank();
    }
    for step in &capacity.steps {
        let (word, ink) = match step.held {
            true => ("held", Ink::Good),
            false => ("broke", Ink::Bad),
        };
        let mark = format!("  {:>10}  {word:<5}  ", plain(step.value));
        page.wrapped(&mark, &step.detail, Some(ink));
    }
}

/// Where a search ended, as a sentence.
pub(super) fn outcome(capacity: &Capacity) -> String {
    match (capacity.held_at, capacity.broke_at) {
        (Some(held), Some(broke)) => {
            format!("held at {}, broke at {}", plain(held), plain(broke))
        }
        (Some(held), None) => format!("held at {}, never broke", plain(held)),
        (None, Some(broke)) => format!("never held, broke at {}", plain(broke)),
        (None, None) => "nothing was tried".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Check, Step, sample};

    fn fits(text: &str) {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line.trim_end(), line);
        }
    }

    #[test]
    fn a_run_is_told_in_full() {
        let text = table(&sample::report(), false);
        fits(&text);
        for expected in [
            "fanout · server · repetition 1 of 2\n",
            "  players=1000 rate=500\n",
            "  measured for 60 s, 1,000 connections; settings limits.outbox=1MiB\n",
            "  operation  offered/s  achieved/s       done  errors\n",
            "  connect            –        16.7      1,000      12\n",
            "  deliver       50,000      49,987  2,999,220      12\n",
            "  latency      p50      p90      p99    p99.9      max\n",
            "  send      2.5 ms   5.5 ms    15 ms    30 ms    55 ms\n",
            "  errors of send: overloaded 12\n",
            "  server CPU per delivery  7.31 µs\n",
            "  counts: bytes out 488 MiB, delivered 2,999,220, duplicates 0, persisted 30,000\n",
            "  held    every message reached every member: 2,999,220 of 2,999,220\n",
            "  warning the generator used 98% of its core in 3 of 60 seconds\n",
            "fanout · server · medians of 2 repetitions\n",
            "  fanout    cpu_per_delivery  7.31 µs    3 µs  2.44×   lower\n",
        ] {
            assert!(text.contains(expected), "{expected}in\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn the_median_lies_between_the_repetitions() {
        let text = table(&sample::report(), false);
        let line = text
            .lines()
            .rfind(|line| line.contains("server CPU per delivery"));
        let words: Vec<&str> = line.unwrap().split_whitespace().collect();
        assert_eq!(words[4..], ["3", "µs", "2.92", "µs", "3.07", "µs"]);
    }

    #[test]
    fn a_broken_check_is_loud() {
        let mut run = sample::bare_run();
        run.checks = vec![Check {
            title: "nothing lost".into(),
            held: false,
            detail: "3 missing".into(),
        }];
        let report = Report {
            runs: vec![run],
            ..sample::empty()
        };
        let text = table(&report, false);
        assert!(
            text.contains("  BROKEN  nothing lost: 3 missing\n"),
            "{text}"
        );
        assert!(!text.contains("repetition"), "{text}");
        let coloured = table(&report, true);
        assert!(coloured.contains("\x1b[1;31m  BROKEN"), "{coloured}");
    }

    #[test]
    fn nothing_measured_is_said() {
        assert_eq!(table(&sample::empty(), false), "nothing was measured\n");
        let bare = Report {
            runs: vec![sample::bare_run()],
            ..sample::empty()
        };
        let text = table(&bare, false);
        fits(&text);
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn long_words_do_not_leave_the_screen() {
        let mut report = sample::report();
        report.runs[0]
            .parameters
            .push(("path".into(), "x".repeat(200)));
        report.runs[0].figures[0].title = "y".repeat(200);
        report.runs[0].operations[0].name = "z".repeat(90);
        report.ratios[0].scenario = "s".repeat(90);
        fits(&table(&report, false));
    }

    #[test]
    fn capacity_tells_where_it_broke() {
        let mut report = sample::empty();
        report.capacity = Some(Capacity {
            parameter: "rate".into(),
            objective: "deliver p99 < 50ms".into(),
            held_at: Some(40_000.0),
            broke_at: Some(45_000.0),
            reason: "p99 was 81 ms; the server had no processor left".into(),
            steps: vec![Step {
                value: 40_000.0,
                held: true,
                detail: "p99 12 ms".into(),
            }],
        });
        let text = table(&report, false);
        for expected in [
            "capacity in rate\n",
            "  held at 40,000, broke at 45,000\n",
            "      40,000  held   p99 12 ms\n",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
