//! One run of the page: its checks, tables and charts.

use super::markup::{Table, badge, block, escaped};
use super::plots;
use crate::report::number::{self, NONE, bytes, count, milliseconds, plain};
use crate::report::table::{counted, system_share};
use crate::report::{Latency, Run};

/// The part of one run among `all` of its scenario. Repetitions after the first are closed.
pub(super) fn part(run: &Run, all: &[&Run]) -> String {
    let repeated = all
        .iter()
        .filter(|other| other.subject == run.subject)
        .count()
        > 1;
    let mut title = run.subject.name().to_owned();
    if repeated {
        title = format!("{title}, repetition {}", run.repetition);
    }
    let held = run.checks.iter().filter(|check| check.held).count();
    let broken = run.checks.len() - held;
    let mut badges = String::new();
    if broken > 0 {
        badges += &badge("bad", &format!("{broken} broken"));
    } else if held > 0 {
        badges += &badge("good", &format!("{held} held"));
    }
    if !run.warnings.is_empty() {
        let warnings = match run.warnings.len() {
            1 => "1 warning".to_owned(),
            several => format!("{several} warnings"),
        };
        badges += &badge("warning", &warnings);
    }
    let tables = [
        block("Figures", &figures(run)),
        block("Used", &used(run)),
        block("Counts", &counts(run)),
    ];
    format!(
        "<details{}>\n<summary><h3>{}</h3>{badges}<span class=\"about\">{}, {} connections</span></summary>\n\
         {}{}{}{}<div class=\"tables\">\n{}</div>\n{}</details>\n",
        if run.repetition <= 1 {
            " open=\"open\""
        } else {
            ""
        },
        escaped(&title),
        number::with_unit(run.seconds, "s"),
        count(run.connections),
        checks(run),
        block("Operations", &operations(run)),
        errors(run),
        plots::of_run(run, all),
        tables.concat(),
        settings(run),
    )
}

fn checks(run: &Run) -> String {
    let mut items = String::new();
    for check in &run.checks {
        let (class, word) = match check.held {
            true => ("good", "held"),
            false => ("bad", "BROKEN"),
        };
        items += &format!(
            "<li>{}{} <span class=\"detail\">{}</span></li>\n",
            badge(class, word),
            escaped(&check.title),
            escaped(&check.detail)
        );
    }
    for warning in &run.warnings {
        items += &format!(
            "<li>{}{}</li>\n",
            badge("warning", "warning"),
            escaped(warning)
        );
    }
    match items.as_str() {
        "" => String::new(),
        items => format!("<ul class=\"checks\">\n{items}</ul>\n"),
    }
}

fn operations(run: &Run) -> String {
    let mut table = Table::new(
        1,
        &[
            "operation",
            "offered/s",
            "achieved/s",
            "done",
            "errors",
            "mean",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
        ],
    );
    for operation in &run.operations {
        let latency = &operation.latency;
        let times: [fn(&Latency) -> f64; 6] = [
            |latency| latency.mean_ms,
            |latency| latency.p50_ms,
            |latency| latency.p90_ms,
            |latency| latency.p99_ms,
            |latency| latency.p999_ms,
            |latency| latency.max_ms,
        ];
        let mut cells = vec![
            operation.name.clone(),
            operation.offered_per_second.map_or(NONE.into(), plain),
            plain(operation.achieved_per_second),
            count(operation.done),
            count(operation.errors.values().sum()),
        ];
        cells.extend(times.map(|time| match latency.samples {
            0 => NONE.to_owned(),
            _ => milliseconds(time(latency)),
        }));
        table.row(&cells);
    }
    table.markup()
}

fn errors(run: &Run) -> String {
    let mut table = Table::new(2, &["operation", "error", "times"]);
    for operation in &run.operations {
        for (code, times) in operation.errors.iter().filter(|(_, times)| **times > 0) {
            table.row(&[operation.name.clone(), code.clone(), count(*times)]);
        }
    }
    block("Errors", &table.markup())
}

fn figures(run: &Run) -> String {
    let mut table = Table::new(1, &["figure", "value"]);
    for figure in &run.figures {
        let value = number::with_unit(figure.value, &figure.unit);
        table.row(&[figure.title.clone(), value]);
    }
    table.markup()
}

fn used(run: &Run) -> String {
    let mut table = Table::new(
        1,
        &[
            "by",
            "cores",
            "processor",
            "in the system",
            "memory",
            "before",
            "highest",
            "threads",
        ],
    );
    let subject = run.server.as_ref().map(|usage| (run.subject.name(), usage));
    for (name, usage) in subject.into_iter().chain([("generator", &run.generator)]) {
        table.row(&[
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
    table.markup()
}

fn counts(run: &Run) -> String {
    let mut table = Table::new(1, &["count", "value"]);
    for (name, value) in &run.counts {
        table.row(&[name.replace('_', " "), counted(name, *value)]);
    }
    table.markup()
}

fn settings(run: &Run) -> String {
    if run.settings.is_empty() {
        return String::new();
    }
    let settings = escaped(&run.settings.join("\n"));
    block(
        "Server settings other than the defaults",
        &format!("<pre>{settings}</pre>\n"),
    )
}
