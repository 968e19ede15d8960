//! Two reports beside each other: what became better, what became worse, and what is missing.
//!
//! Runs are paired by scenario, subject and parameters; of repetitions the medians are compared. Where both reports
//! measured the floor of a run too, the server is compared as a multiple of its floor, since machines differ from
//! day to day and the floor differs with them; the floor itself is shown and not judged.
//!
//! What is too small to mean anything does not count: a change of a latency of less than [`LATENCY_NOISE_MS`], and
//! latencies and rates of fewer than [`SAMPLES_MIN`] samples in the repetition that has most. An operation that went
//! from many to few is judged by its rate.

mod budgets;
mod text;

use super::medians::{Group, distinct, groups};
use super::{Better, Operation, Report, Run, Subject, parameters_line};
pub use budgets::{Budget, Budgets, InvalidBudget};

/// Changes of a latency below this many milliseconds do not count.
pub const LATENCY_NOISE_MS: f64 = 0.2;

/// Latencies of fewer samples are not compared, nor are rates when both sides have fewer.
pub const SAMPLES_MIN: u64 = 50;

/// What [`compare`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Every number that both reports have, in the order of the first report.
    pub rows: Vec<Row>,
    /// Checks that do not hold in the second report.
    pub broken: Vec<BrokenCheck>,
    /// Runs, operations, figures and checks that only the first report has, in words.
    pub only_before: Vec<String>,
    /// Those that only the second report has.
    pub only_after: Vec<String>,
    /// What a reader should know before believing it: other machines, warnings.
    pub notes: Vec<String>,
    /// Whether anything became worse beyond its budget, or a check that held is broken.
    pub regressed: bool,
}

/// One number in both reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Scenario, subject and parameters.
    pub run: String,
    /// Name of the figure, or of the operation with what was taken of it: `deliver_p99`, `send_achieved`.
    pub name: String,
    /// In the first report: in [`Row::unit`], or as a multiple of the floor.
    pub before: f64,
    /// In the second report.
    pub after: f64,
    /// Unit; `×` where both are multiples of the floor.
    pub unit: String,
    /// `after / before - 1`; infinite where something came from nothing.
    pub change: f64,
    /// The share by which it may become worse.
    pub budget: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Worse by more than the budget.
    Worse,
    /// Better by more than the budget.
    Better,
    /// Within the budget.
    Same,
    /// Beyond the budget, and too small or too rarely measured to mean anything.
    Noise,
    /// The floor's, shown to tell how much the machine differs.
    Floor,
}

/// A check that does not hold in the second report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenCheck {
    /// Scenario, subject and parameters.
    pub run: String,
    /// What should have held.
    pub title: String,
    /// The numbers behind it.
    pub detail: String,
    /// Whether it held in every repetition of the first report; absent if it was not checked there.
    pub held_before: Option<bool>,
}

/// One number of one run, with what is needed to judge it.
#[derive(Clone, Debug)]
struct Measure {
    name: String,
    value: f64,
    unit: String,
    better: Better,
    kind: Kind,
    samples: Option<u64>,
}

/// Which budget a number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Figure,
    Rate,
    Latency,
}

/// Compares `after` with `before`.
#[must_use]
pub fn compare(before: &Report, after: &Report, budgets: &Budgets) -> Comparison {
    let (groups_before, groups_after) = (groups(before), groups(after));
    let mut found = Comparison {
        rows: Vec::new(),
        broken: Vec::new(),
        only_before: Vec::new(),
        only_after: Vec::new(),
        notes: notes(before, after),
        regressed: false,
    };
    for group in &groups_before {
        match partner(group, group.subject, &groups_after) {
            Some(other) => {
                let floors = (
                    partner(group, Subject::Floor, &groups_before),
                    partner(group, Subject::Floor, &groups_after),
                );
                found.pair(group, other, floors, budgets);
            }
            None => found.only_before.push(title(group)),
        }
    }
    for group in &groups_after {
        if partner(group, group.subject, &groups_before).is_none() {
            found.only_after.push(title(group));
            found.check(None, group);
        }
    }
    for name in budgets.names() {
        if !found
            .rows
            .iter()
            .any(|row| budgets::concerns(name, &row.name))
        {
            found
                .notes
                .push(format!("the budget of {name} concerns no number here"));
        }
    }
    found.regressed = found.rows.iter().any(|row| row.verdict == Verdict::Worse)
        || found
            .broken
            .iter()
            .any(|check| check.held_before == Some(true));
    found
}

impl Comparison {
    fn pair(
        &mut self,
        before: &Group<'_>,
        after: &Group<'_>,
        floors: (Option<&Group<'_>>, Option<&Group<'_>>),
        budgets: &Budgets,
    ) {
        let run = title(before);
        let (old, new) = (measures(before), measures(after));
        for measure in &old {
            let Some(other) = named(&new, &measure.name) else {
                self.only_before.push(format!("{run}: {}", measure.name));
                continue;
            };
            let mut row = row(&run, measure, other, budgets);
            if before.subject == Subject::Floor {
                row.verdict = Verdict::Floor;
            } else if let (Some(floor_before), Some(floor_after)) = floors {
                let (floor_before, floor_after) = (measures(floor_before), measures(floor_after));
                if let (Some(floor_before), Some(floor_after)) = (
                    named(&floor_before, &measure.name),
                    named(&floor_after, &measure.name),
                ) {
                    row = row_over_floor(row, [measure, other], [floor_before, floor_after]);
                }
            }
            self.rows.push(row);
        }
        for measure in &new {
            if named(&old, &measure.name).is_none() {
                self.only_after.push(format!("{run}: {}", measure.name));
            }
        }
        self.check(Some(before), after);
    }

    /// A check held if it held in every repetition.
    fn check(&mut self, before: Option<&Group<'_>>, after: &Group<'_>) {
        let run = title(after);
        let titles = |group: &Group<'_>| -> Vec<String> {
            let checks = group.runs.iter().flat_map(|run| &run.checks);
            let titles = distinct(checks.map(|check| check.title.as_str()));
            titles.into_iter().map(str::to_owned).collect()
        };
        let known = before.map(titles).unwrap_or_default();
        let checked = titles(after);
        for title in known.iter().filter(|title| !checked.contains(title)) {
            self.only_before.push(format!("{run}: check that {title}"));
        }
        for title in checked {
            let held_before = before.and_then(|before| {
                let checks = before.runs.iter().flat_map(|run| &run.checks);
                let held = checks.filter(|check| check.title == title);
                held.map(|check| check.held).reduce(|all, held| all && held)
            });
            let checks = after.runs.iter().flat_map(|run| &run.checks);
            let broken = checks
                .filter(|check| check.title == title && !check.held)
                .map(|check| check.detail.clone())
                .next();
            if let Some(detail) = broken {
                self.broken.push(BrokenCheck {
                    run: run.clone(),
                    title,
                    detail,
                    held_before,
                });
            }
        }
    }
}

fn row(run: &str, before: &Measure, after: &Measure, budgets: &Budgets) -> Row {
    let change = change(before.value, after.value);
    let budget = budgets.of(before);
    let small =
        before.kind == Kind::Latency && (after.value - before.value).abs() < LATENCY_NOISE_MS;
    let verdict = judge(
        change,
        budget,
        before.better,
        small || is_rare(&[before, after]),
    );
    Row {
        run: run.to_owned(),
        name: before.name.clone(),
        before: before.value,
        after: after.value,
        unit: before.unit.clone(),
        change,
        budget,
        verdict,
    }
}

/// The row with both numbers as multiples of the floor's; unchanged where a floor is zero. What is small is measured
/// against the latency that the floor of the second report lets expect.
fn row_over_floor(row: Row, server: [&Measure; 2], floor: [&Measure; 2]) -> Row {
    let ratios = [0, 1].map(|side| server[side].value / floor[side].value);
    if !ratios.iter().all(|ratio| ratio.is_finite()) {
        return row;
    }
    let change = change(ratios[0], ratios[1]);
    let expected = ratios[0] * floor[1].value;
    let small =
        server[0].kind == Kind::Latency && (server[1].value - expected).abs() < LATENCY_NOISE_MS;
    let rare = is_rare(&server) || is_rare(&floor);
    Row {
        before: ratios[0],
        after: ratios[1],
        unit: "×".to_owned(),
        change,
        verdict: judge(change, row.budget, server[0].better, small || rare),
        ..row
    }
}

fn judge(change: f64, budget: f64, better: Better, is_noise: bool) -> Verdict {
    /// Keeps a change of exactly the budget within it, whatever the division left behind.
    const ROUNDING: f64 = 1e-9;
    let worse = match better {
        Better::Lower => change,
        Better::Higher => -change,
    };
    if worse.abs() <= budget + ROUNDING {
        Verdict::Same
    } else if is_noise {
        Verdict::Noise
    } else if worse > 0.0 {
        Verdict::Worse
    } else {
        Verdict::Better
    }
}

fn change(before: f64, after: f64) -> f64 {
    if before == after {
        0.0
    } else if before == 0.0 {
        f64::INFINITY.copysign(after)
    } else {
        (after - before) / before.abs()
    }
}

fn is_rare(measures: &[&Measure; 2]) -> bool {
    let rare = |measure: &&Measure| measure.samples.is_some_and(|samples| samples < SAMPLES_MIN);
    match measures[0].kind {
        Kind::Figure => false,
        Kind::Latency => measures.iter().any(rare),
        Kind::Rate => measures.iter().all(rare),
    }
}

/// Everything in a group that can be compared: figures with a direction, rates, p50 and p99.
fn measures(group: &Group<'_>) -> Vec<Measure> {
    let mut measures = Vec::new();
    for name in group.figures() {
        let figure = group.runs.iter().find_map(|run| run.figure(name));
        let value = group.median(|run: &Run| run.figure(name).map(|figure| figure.value));
        if let (Some(figure), Some(value)) = (figure, value)
            && let Some(better) = figure.better
        {
            measures.push(Measure {
                name: name.to_owned(),
                value,
                unit: figure.unit.clone(),
                better,
                kind: Kind::Figure,
                samples: None,
            });
        }
    }
    for name in group.operations() {
        measures.extend(operation(group, name));
    }
    measures
}

fn operation(group: &Group<'_>, name: &str) -> Vec<Measure> {
    type Number = fn(&Operation) -> f64;
    let of_all = |number: fn(&Operation) -> u64| -> u64 {
        let operations = group.runs.iter().filter_map(|run| run.operation(name));
        operations.map(number).max().unwrap_or(0)
    };
    let done = of_all(|operation| operation.done);
    let samples = of_all(|operation| operation.latency.samples);
    let mut kinds: Vec<(&str, Kind, Number)> = vec![("achieved", Kind::Rate, |operation| {
        operation.achieved_per_second
    })];
    if samples > 0 {
        kinds.push(("p50", Kind::Latency, |operation| operation.latency.p50_ms));
        kinds.push(("p99", Kind::Latency, |operation| operation.latency.p99_ms));
    }
    let measure = |(what, kind, number): (&str, Kind, Number)| {
        let (unit, better, samples) = match kind {
            Kind::Latency => ("ms", Better::Lower, samples),
            Kind::Rate | Kind::Figure => ("1/s", Better::Higher, done),
        };
        Some(Measure {
            name: format!("{name}_{what}"),
            value: group.median_of(name, number)?,
            unit: unit.to_owned(),
            better,
            kind,
            samples: Some(samples),
        })
    };
    kinds.into_iter().filter_map(measure).collect()
}

fn named<'a>(measures: &'a [Measure], name: &str) -> Option<&'a Measure> {
    measures.iter().find(|measure| measure.name == name)
}

fn partner<'a, 'b>(
    group: &Group<'_>,
    subject: Subject,
    others: &'a [Group<'b>],
) -> Option<&'a Group<'b>> {
    others
        .iter()
        .find(|other| other.subject == subject && other.is_about(group.scenario, group.parameters))
}

/// `fanout server, players=1000 rate=500`
fn title(group: &Group<'_>) -> String {
    let title = format!("{} {}", group.scenario, group.subject.name());
    match parameters_line(group.parameters).as_str() {
        "" => title,
        parameters => format!("{title}, {parameters}"),
    }
}

fn notes(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if before.host != after.host {
        let host = |report: &Report| {
            let host = &report.host;
            format!(
                "{} cores of {}, {}",
                host.cores, host.processor, host.kernel
            )
        };
        notes.push(format!(
            "the machines differ: {} before, {} after",
            host(before),
            host(after)
        ));
    }
    for (name, report) in [("first", before), ("second", after)] {
        let warned = report
            .runs
            .iter()
            .filter(|run| !run.warnings.is_empty())
            .count();
        if warned > 0 {
            notes.push(format!(
                "{warned} of {} runs of the {name} report carry warnings",
                report.runs.len()
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
