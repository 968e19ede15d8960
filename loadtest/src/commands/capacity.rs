//! The highest load at which the objectives hold: doubled until they break, then halved in between.

use std::future::Future;

use super::objective::Objective;
use super::{Error, one};
use crate::cli;
use crate::probe;
use crate::report::{Capacity, Run, Step, Subject};
use crate::run::Setting;
use crate::scenarios::Scenario;

/// Share of all cores from which on the machine is called full.
const FULL: f64 = 0.9;

/// A search without a range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidSearch {
    /// Nothing in between.
    #[error("--from {from} must be above 0 and not above --to {to}")]
    Range {
        /// First load.
        from: f64,
        /// Highest load.
        to: f64,
    },
    /// No tolerance.
    #[error("--within {0} must be above 0 and below 1")]
    Within(f64),
}

/// What was found of one load.
#[derive(Clone, Debug)]
pub struct Tried<T> {
    /// Whether everything held.
    pub held: bool,
    /// What was measured, in words.
    pub detail: String,
    /// What it was found from.
    pub found: T,
}

/// Where a search ended.
#[derive(Clone, Debug)]
pub struct Limit<T> {
    /// Highest load that held, with what was found.
    pub held: Option<(f64, Tried<T>)>,
    /// Lowest load that broke.
    pub broke: Option<(f64, Tried<T>)>,
    /// Every load tried, in order.
    pub steps: Vec<Step>,
}

/// Doubles the load from `from` up to `to` while `try_load` says that it holds, then halves the gap until it is `within` of
/// the load. A load that breaks is tried once more, so that a hiccup does not end the search.
pub async fn search_by<T, F>(
    from: f64,
    to: f64,
    within: f64,
    mut try_load: impl FnMut(f64) -> F,
) -> Result<Limit<T>, InvalidSearch>
where
    F: Future<Output = Tried<T>>,
{
    if !(from > 0.0 && from <= to) {
        return Err(InvalidSearch::Range { from, to });
    }
    if !(within > 0.0 && within < 1.0) {
        return Err(InvalidSearch::Within(within));
    }
    let mut limit = Limit {
        held: None,
        broke: None,
        steps: Vec::new(),
    };
    let mut load = from;
    loop {
        let mut tried = try_load(load).await;
        if !tried.held {
            let first = tried.detail;
            tried = try_load(load).await;
            tried.detail = format!("{}; the first time: {first}", tried.detail);
        }
        limit.steps.push(Step {
            value: load,
            held: tried.held,
            detail: tried.detail.clone(),
        });
        if tried.held {
            limit.held = Some((load, tried));
        } else {
            limit.broke = Some((load, tried));
        }
        let held = limit.held.as_ref().map(|(load, _)| *load);
        load = match (held, limit.broke.as_ref().map(|(load, _)| *load)) {
            (Some(held), None) if held < to => (held * 2.0).min(to),
            (Some(held), Some(broke)) if broke - held > within * held => f64::midpoint(held, broke),
            _ => return Ok(limit),
        };
    }
}

/// `loadtest capacity`: the runs next to the limit, and the limit.
pub(super) async fn search(
    setting: &Setting,
    options: &cli::Capacity,
) -> Result<(Vec<Run>, Capacity), Error> {
    let objectives = options
        .objective
        .iter()
        .map(|objective| objective.parse())
        .collect::<Result<Vec<Objective>, _>>()?;
    let limit = search_by(options.from, options.to, options.within, |load| {
        try_load(setting, &options.scenario, &objectives, load)
    })
    .await?;
    let parameter = options.scenario.clone().with_load(options.from).1;
    let reason = reason(&limit, options.to);
    let value = |end: &Option<(f64, Tried<Option<Run>>)>| end.as_ref().map(|(load, _)| *load);
    let texts: Vec<&str> = options.objective.iter().map(String::as_str).collect();
    let found = Capacity {
        parameter: parameter.to_owned(),
        objective: texts.join(", "),
        held_at: value(&limit.held),
        broke_at: value(&limit.broke),
        reason,
        steps: limit.steps,
    };
    let runs = [limit.held, limit.broke];
    let runs = runs
        .into_iter()
        .flatten()
        .filter_map(|(_, tried)| tried.found);
    Ok((runs.collect(), found))
}

async fn try_load(
    setting: &Setting,
    scenario: &Scenario,
    objectives: &[Objective],
    load: f64,
) -> Tried<Option<Run>> {
    let (scenario, _) = scenario.clone().with_load(load);
    let run = match one(setting, &scenario, Subject::Server, 1).await {
        Ok(run) => run,
        Err(error) => {
            return Tried {
                held: false,
                detail: error.to_string(),
                found: None,
            };
        }
    };
    let mut held = true;
    let mut details = Vec::new();
    for objective in objectives {
        let (holds, detail) = objective.judge(&scenario, &run);
        held &= holds;
        details.push(detail);
    }
    for check in run.checks.iter().filter(|check| !check.held) {
        held = false;
        details.push(format!("not held: {} ({})", check.title, check.detail));
    }
    Tried {
        held,
        detail: details.join(", "),
        found: Some(run),
    }
}

/// What exceeded what, and which side had no processor left.
fn reason(limit: &Limit<Option<Run>>, to: f64) -> String {
    let Some((_, tried)) = &limit.broke else {
        return format!("everything held up to {to}, the highest load allowed");
    };
    let Some(run) = &tried.found else {
        return tried.detail.clone();
    };
    let server = run
        .server
        .as_ref()
        .map_or(0.0, |usage| usage.cpu_seconds / run.seconds);
    let generator = run.generator.cpu_seconds / run.seconds;
    let cores = probe::cores();
    let threads = run.generator.threads;
    let full = if generator >= FULL * threads as f64 {
        "the generator had no processor left: the limit is its own"
    } else if server + generator >= FULL * cores as f64 {
        "the machine had no processor left"
    } else {
        "neither side was out of processor"
    };
    format!(
        "{}; server {server:.2} and generator {generator:.2} of {cores} cores: {full}",
        tried.detail
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(load: f64, limit: f64) -> Tried<()> {
        Tried {
            held: load <= limit,
            detail: String::new(),
            found: (),
        }
    }

    fn search(from: f64, to: f64, limit: f64) -> Limit<()> {
        let searching = search_by(from, to, 0.05, |load| async move { found(load, limit) });
        let found = futures_util::FutureExt::now_or_never(searching);
        found.expect("nothing waits").expect("a range")
    }

    #[test]
    fn the_limit_is_found_within_the_tolerance() {
        for limit in [101.0, 777.0, 999.0, 1_500.0] {
            let found = search(100.0, 10_000.0, limit);
            let held = found.held.expect("the first one holds").0;
            let broke = found.broke.expect("the last one breaks").0;
            assert!(held <= limit && limit < broke, "{held} {limit} {broke}");
            assert!(broke - held <= 0.05 * held, "{held} {broke}");
        }
    }

    #[test]
    fn a_limit_outside_of_the_range_is_said() {
        let found = search(100.0, 1_000.0, 50.0);
        assert!(found.held.is_none() && found.broke.is_some());
        assert_eq!(found.steps.len(), 1);
        let found = search(100.0, 1_000.0, 5_000.0);
        assert!(found.broke.is_none());
        assert!((found.held.expect("all hold").0 - 1_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_hiccup_does_not_end_the_search() {
        let mut tries = 0;
        let searching = search_by(100.0, 400.0, 0.05, |load| {
            tries += 1;
            let mut tried = found(load, 1_000.0);
            tried.held &= tries != 2;
            async move { tried }
        });
        let found = futures_util::FutureExt::now_or_never(searching);
        let found = found.expect("nothing waits").expect("a range");
        assert!(found.broke.is_none());
        assert_eq!(tries, 4);
    }

    #[test]
    fn a_search_needs_a_range() {
        for (from, to, within) in [
            (0.0, 1.0, 0.1),
            (2.0, 1.0, 0.1),
            (1.0, 2.0, 0.0),
            (1.0, 2.0, 1.0),
        ] {
            let searching = search_by(from, to, within, |load| async move { found(load, 1.0) });
            let found = futures_util::FutureExt::now_or_never(searching);
            assert!(found.expect("nothing waits").is_err());
        }
    }
}
