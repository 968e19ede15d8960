//! One scenario of the page: its runs beside each other, then each by itself.

use super::markup::{Table, block, escaped};
use super::{bars, plots, run};
use crate::report::medians::{distinct, median};
use crate::report::number::{self, NONE};
use crate::report::{Figure, Operation, Run, Subject};

/// The section of runs that share scenario and parameters. There is at least one.
pub(super) fn section(runs: &[&Run]) -> String {
    let Some(first) = runs.first() else {
        return String::new();
    };
    let parameters: String = first
        .parameters
        .iter()
        .map(|(name, value)| format!("<li><b>{}</b> {}</li>", escaped(name), escaped(value)))
        .collect();
    let parameters = match parameters.as_str() {
        "" => String::new(),
        parameters => format!("<ul class=\"parameters\">{parameters}</ul>\n"),
    };
    let mut content = String::new();
    if runs.len() > 1 {
        content += &block(
            "Beside each other",
            &format!("{}{}", medians(runs), plots::beside_each_other(runs)),
        );
    }
    for each in runs {
        content += &run::part(each, runs);
    }
    format!(
        "<section class=\"card\">\n<h2>{}</h2>\n{parameters}{content}</section>\n",
        escaped(&first.scenario)
    )
}

/// Figures and latencies of server and floor with their ratio, each the median of its repetitions.
fn medians(runs: &[&Run]) -> String {
    type Number = fn(&Operation) -> f64;
    let has = |subject| runs.iter().any(|run| run.subject == subject);
    let subjects: Vec<Subject> = [Subject::Server, Subject::Floor]
        .into_iter()
        .filter(|subject| has(*subject))
        .collect();
    let both = subjects.len() == 2;
    let mut heads = vec!["median of"];
    heads.extend(subjects.iter().map(|subject| subject.name()));
    if both {
        heads.extend(["ratio", ""]);
    }
    let mut table = Table::new(1, &heads);
    let mut row = |title: &str, unit: &str, number: &dyn Fn(&Run) -> Option<f64>| {
        let of = |subject: &Subject| {
            let runs = runs.iter().filter(|run| run.subject == *subject);
            median(runs.filter_map(|run| number(run)))
        };
        let numbers: Vec<Option<f64>> = subjects.iter().map(of).collect();
        let mut cells = vec![escaped(title)];
        cells.extend(numbers.iter().map(|number| {
            let written = number.map_or(NONE.to_owned(), |number| number::with_unit(number, unit));
            escaped(&written)
        }));
        if let [server, floor] = numbers[..] {
            let ratio = server.zip(floor).map(|(server, floor)| server / floor);
            let written = ratio.map_or(NONE.to_owned(), number::times);
            cells.push(format!("<b>{written}</b>"));
            cells.push(bars(server.unwrap_or(0.0), floor.unwrap_or(0.0)));
        }
        table.row_of_markup(&cells);
    };
    let figures = || runs.iter().flat_map(|run| &run.figures);
    for name in distinct(figures().map(|figure| figure.name.as_str())) {
        if let Some(Figure { title, unit, .. }) = figures().find(|figure| figure.name == name) {
            row(title, unit, &|run| Some(run.figure(name)?.value));
        }
    }
    let operations = runs.iter().flat_map(|run| &run.operations);
    for name in distinct(operations.map(|operation| operation.name.as_str())) {
        let numbers: [(&str, &str, Number); 3] = [
            ("per second", "1/s", |operation| {
                operation.achieved_per_second
            }),
            ("p50", "ms", |operation| operation.latency.p50_ms),
            ("p99", "ms", |operation| operation.latency.p99_ms),
        ];
        for (what, unit, number) in numbers {
            row(&format!("{name} {what}"), unit, &|run| {
                let operation = run.operation(name)?;
                let measured = unit != "ms" || operation.latency.samples > 0;
                measured.then(|| number(operation))
            });
        }
    }
    table.markup()
}
