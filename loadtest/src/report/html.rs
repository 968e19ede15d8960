//! A report as one page that needs nothing else: style and charts are inside it, and it is well-formed XML too.

mod axis;
mod chart;
mod comparison;
mod markup;
mod plots;
mod run;

use super::medians::groups;
use super::number::{self, bytes, count};
use super::table::{better, outcome};
use super::{Capacity, Ratio, Report, Run};
use markup::{Table, badge, escaped};

const STYLE: &str = include_str!("html/style.css");

/// Opens every closed part before the page is printed.
const PRINT: &str = "addEventListener('beforeprint', () => \
    document.querySelectorAll('details').forEach(part => { part.open = true; }));";

/// The whole page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut content = String::new();
    content += &tiles(report);
    if let Some(capacity) = &report.capacity {
        content += &reached(capacity);
    }
    content += &ratios(&report.ratios);
    if report.runs.is_empty() {
        content += "<p class=\"empty\">Nothing was measured.</p>\n";
    }
    for runs in scenarios(report) {
        content += &comparison::section(&runs);
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>PittuRu load test, {began}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         {head}<main>\n{content}</main>\n{foot}<script>{PRINT}</script>\n</body>\n</html>\n",
        began = escaped(&report.began),
        head = head(report),
        foot = foot(),
    )
}

/// Runs of the same scenario with the same parameters, server and floor together, in the order of the report.
fn scenarios(report: &Report) -> Vec<Vec<&Run>> {
    let mut found: Vec<Vec<&Run>> = Vec::new();
    for group in groups(report) {
        let same = found.iter_mut().find(|runs| {
            let first = runs.first();
            first.is_some_and(|run| group.is_about(&run.scenario, &run.parameters))
        });
        match same {
            Some(runs) => runs.extend(&group.runs),
            None => found.push(group.runs),
        }
    }
    found
}

fn head(report: &Report) -> String {
    let host = &report.host;
    let machine = [
        format!("{} cores", host.cores),
        host.processor.clone(),
        bytes(number::float(host.memory_bytes)),
        host.kernel.clone(),
    ];
    let machine: Vec<String> = machine
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!("<span>{}</span>", escaped(part)))
        .collect();
    format!(
        "<header>\n<p class=\"product\">PittuRu</p>\n<h1>Load test</h1>\n<p class=\"began\">{}</p>\n\
         <pre class=\"command\">{}</pre>\n<p class=\"facts\">{}</p>\n</header>\n",
        escaped(&report.began.replace('T', " ").replace('Z', " UTC")),
        escaped(&report.command),
        machine.join("")
    )
}

fn tiles(report: &Report) -> String {
    let checks = || report.runs.iter().flat_map(|run| &run.checks);
    let held = checks().filter(|check| check.held).count();
    let (all, broken) = (checks().count(), checks().count() - held);
    let warnings: usize = report.runs.iter().map(|run| run.warnings.len()).sum();
    let delivered = report
        .runs
        .iter()
        .filter_map(|run| run.counts.get(crate::tally::count::DELIVERED));
    let seconds: f64 = report.runs.iter().map(|run| run.seconds).sum();
    let tile = |class: &str, number: &str, label: &str| {
        format!(
            "<div class=\"tile {class}\"><b>{}</b><span>{}</span></div>\n",
            escaped(number),
            escaped(label)
        )
    };
    let mut tiles = String::new();
    if all > 0 {
        tiles += &match broken {
            0 => tile("good", &format!("{held} of {all}"), "checks held"),
            _ => tile("bad", &format!("{broken} of {all}"), "checks BROKEN"),
        };
    }
    if let Some(capacity) = &report.capacity {
        let label = format!("highest {} at which the objective held", capacity.parameter);
        tiles += &tile(
            "",
            &capacity.held_at.map_or(number::NONE.into(), number::plain),
            &label,
        );
    }
    tiles += &tile("", &report.runs.len().to_string(), "runs");
    tiles += &tile("", &number::with_unit(seconds, "s"), "measured");
    let delivered: u64 = delivered.sum();
    if delivered > 0 {
        tiles += &tile("", &count(delivered), "messages delivered");
    }
    if warnings > 0 {
        tiles += &tile("warning", &warnings.to_string(), "warnings");
    }
    format!("<div class=\"tiles\">\n{tiles}</div>\n")
}

fn ratios(ratios: &[Ratio]) -> String {
    let mut table = Table::new(
        2,
        &[
            "scenario", "figure", "server", "floor", "ratio", "better", "",
        ],
    );
    for ratio in ratios {
        table.row_of_markup(&[
            escaped(&ratio.scenario),
            escaped(&ratio.figure),
            escaped(&number::with_unit(ratio.server, &ratio.unit)),
            escaped(&number::with_unit(ratio.floor, &ratio.unit)),
            format!("<b>{}</b>", number::times(ratio.ratio)),
            better(ratio.better).to_owned(),
            bars(ratio.server, ratio.floor),
        ]);
    }
    match table.markup().as_str() {
        "" => String::new(),
        table => format!(
            "<section class=\"card\">\n<h2>Server over floor</h2>\n<p class=\"note\">The floor does the same \
             work without PittuRu. Medians over the repetitions.</p>\n{table}</section>\n"
        ),
    }
}

/// Two bars, as long as the numbers are beside each other.
fn bars(server: f64, floor: f64) -> String {
    let longest = server.max(floor);
    let width = |value: f64| match value / longest {
        share if share.is_finite() => share.clamp(0.0, 1.0) * 100.0,
        _ => 0.0,
    };
    format!(
        "<svg class=\"bars\" viewBox=\"0 0 100 16\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"bar server\" x=\"0\" y=\"1\" width=\"{:.1}\" height=\"6\"/>\
         <rect class=\"bar floor\" x=\"0\" y=\"9\" width=\"{:.1}\" height=\"6\"/></svg>",
        width(server),
        width(floor)
    )
}

fn reached(capacity: &Capacity) -> String {
    let mut table = Table::new(3, &[&capacity.parameter, "objective", "measured"]);
    for step in &capacity.steps {
        let (class, word) = match step.held {
            true => ("good", "held"),
            false => ("bad", "broke"),
        };
        table.row_of_markup(&[
            escaped(&number::plain(step.value)),
            badge(class, word),
            escaped(&step.detail),
        ]);
    }
    format!(
        "<section class=\"card\">\n<h2>Capacity in {}</h2>\n<p class=\"outcome\">{}</p>\n\
         <p class=\"note\">Objective: {}. {}</p>\n{}</section>\n",
        escaped(&capacity.parameter),
        escaped(&outcome(capacity)),
        escaped(&capacity.objective),
        escaped(&capacity.reason),
        table.markup()
    )
}

fn foot() -> String {
    "<footer>Latencies are taken from the intended beginning of an operation to its end. Shaded parts of the \
     charts are warm-up and drain, which are not part of the figures. Charts of the same scenario share their \
     scales where they stand for the same thing; times are on logarithmic scales.</footer>\n"
        .to_owned()
}

#[cfg(test)]
mod tests;
