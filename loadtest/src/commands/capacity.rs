//! The highest load at which what is asked for still holds, and what was in the way above it.

use super::MeasureError;
use crate::cli;
use crate::objective::Objective;
use crate::probe;
use crate::report::number::{percent, plain};
use crate::report::{Capacity, Run, Usage};
use crate::run::RunError;
use crate::scenarios::Scenario;
use crate::tally::Op;

mod bracket;

pub use bracket::InvalidBounds;
use bracket::{Bounds, Found, Tried};

/// Share of a processor from which on it is called used up.
const USED_UP: f64 = 0.9;

/// Why there is no search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Where to search.
    #[error(transparent)]
    Bounds(#[from] InvalidBounds),
    /// A share of a rate that nobody paces.
    #[error("{objective} needs an operation with a rate; scenario {scenario} paces {paced}")]
    NotPaced {
        /// The objective.
        objective: String,
        /// The scenario.
        scenario: &'static str,
        /// What the scenario paces.
        paced: String,
    },
    /// A server whose processor time is not known.
    #[error("{0} needs the server's processor time: give its operations port with --ops")]
    NotSeen(String),
    /// What no load is to blame for.
    #[error(transparent)]
    Run(MeasureError),
}

/// Searches. The runs are those of the highest load that held and of the lowest that broke.
pub(super) async fn search(options: &cli::Capacity) -> Result<(Vec<Run>, Capacity), SearchError> {
    let bounds = Bounds::new(options.from, options.to, options.within)?;
    let scenario = |load| options.scenario.clone().with_load(load);
    check_objectives(options, &scenario(options.from).0)?;
    let is_same = |one, other| scenario(one).0 == scenario(other).0;
    // A server that runs already keeps the accounts and rooms of each step.
    let seed = options
        .options
        .seed
        .unwrap_or_else(|| fastrand::u64(..) >> 8);
    let mut step = 0_u64;
    let found = bracket::search(&bounds, is_same, async |load| {
        let (scenario, parameter) = scenario(load);
        let mut setting = options.options.setting(&scenario);
        setting.seed = seed.wrapping_add(step << 48);
        step += 1;
        let tried = match super::of_server(&setting, &scenario, 1).await {
            Ok(runs) => judge(runs, &scenario, options),
            Err(MeasureError::Run(RunError::Fleet(error))) => broken(error.to_string()),
            Err(MeasureError::Run(RunError::Rooms(error))) => {
                broken(format!("making the rooms: {error}"))
            }
            Err(error) => return Err(SearchError::Run(error)),
        };
        let verdict = if tried.held { "held" } else { "broke" };
        eprintln!("{parameter} {}: {verdict}: {}", plain(load), tried.detail);
        Ok(tried)
    })
    .await?;
    Ok(reported(found, options, scenario(options.from).1))
}

/// That each objective can be measured at all.
fn check_objectives(options: &cli::Capacity, scenario: &Scenario) -> Result<(), SearchError> {
    let offered = scenario.offered();
    for objective in &options.objective {
        if objective.needs_probe()
            && options.options.address.is_some()
            && options.options.ops.is_none()
        {
            return Err(SearchError::NotSeen(objective.to_string()));
        }
        let is_paced = match objective.needs_pace() {
            None => true,
            Some(None) => !offered.is_empty(),
            Some(Some(op)) => offered.iter().any(|(paced, _)| *paced == op),
        };
        if !is_paced {
            let names: Vec<&str> = offered.iter().map(|(op, _)| op.name()).collect();
            return Err(SearchError::NotPaced {
                objective: objective.to_string(),
                scenario: scenario.name(),
                paced: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            });
        }
    }
    Ok(())
}

/// What one step leaves for the report.
#[derive(Debug)]
struct Left {
    runs: Vec<Run>,
    /// What was in the way, in words.
    reason: String,
}

fn broken(reason: String) -> Tried<Left> {
    Tried {
        held: false,
        words: reason.clone(),
        detail: reason.clone(),
        result: Left {
            runs: Vec::new(),
            reason,
        },
    }
}

/// Whether all objectives and checks held; the objectives are about the last run.
fn judge(runs: Vec<Run>, scenario: &Scenario, options: &cli::Capacity) -> Tried<Left> {
    let Some(run) = runs.last() else {
        return broken("nothing was measured".to_owned());
    };
    let main = main_operation(scenario, run);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for objective in &options.objective {
        let judged = objective.judge(run, main);
        if judged.held {
            good.push(judged.words);
        } else {
            bad.push(judged.words);
        }
    }
    let checks = runs.iter().flat_map(|run| &run.checks);
    bad.extend(
        checks
            .filter(|check| !check.held)
            .map(|check| format!("it did not hold that {}: {}", check.title, check.detail)),
    );
    let (processor, shortage) = processor(run, options.options.address.is_none());
    let held = bad.is_empty();
    let words = if held { good } else { bad }.join(", ");
    Tried {
        held,
        detail: format!("{words}; {processor}"),
        result: Left {
            reason: format!("{words}; {shortage} ({processor})"),
            runs,
        },
        words,
    }
}

/// What an objective without a name is about: the last that is paced, else what the scenario has players do most.
fn main_operation(scenario: &Scenario, run: &Run) -> Op {
    if let Some((op, _)) = scenario.offered().last() {
        return *op;
    }
    let happened = |op: &Op| run.operation(op.name()).is_some();
    let likely = [Op::Deliver, Op::Echo, Op::Move];
    likely.into_iter().find(happened).unwrap_or(Op::Connect)
}

/// What both sides used, and which had nothing left.
fn processor(run: &Run, is_shared: bool) -> (String, &'static str) {
    let machine = probe::cores() as f64;
    let server = run.server.as_ref();
    let server = server.and_then(|server| server.cores(run.seconds));
    let (generator, share) = generator(&run.generator, run.seconds);
    let mut words = Vec::new();
    if let Some(cores) = server {
        let of = if is_shared {
            format!(" of {}", plain(machine))
        } else {
            String::new()
        };
        words.push(format!("server {}{of} cores", plain(cores)));
    }
    words.push(format!("generator {} of its threads", percent(share)));
    let shortage = shortage(server.filter(|_| is_shared), machine, generator, share);
    (words.join(", "), shortage)
}

/// Which side had nothing left; `server` is known where it shares the machine with the generator.
fn shortage(server: Option<f64>, machine: f64, generator: f64, share: f64) -> &'static str {
    match server {
        _ if share >= USED_UP => {
            "the generator had no processor left, so this limit is not the server's"
        }
        Some(cores) if cores >= machine * USED_UP => "the server had no processor left",
        Some(cores) if cores + generator >= machine * USED_UP => {
            "server and generator together had no processor left"
        }
        Some(_) => {
            "neither had used up its processor: a single busy thread, the disk or other programs may be the limit"
        }
        None => "the generator had processor left, of the server it is not known",
    }
}

/// Cores that the generator used, and their share of its threads.
fn generator(usage: &Usage, seconds: f64) -> (f64, f64) {
    let cores = usage.cores(seconds).unwrap_or_default();
    (cores, cores / (usage.threads.max(1)) as f64)
}

fn reported(found: Found<Left>, options: &cli::Capacity, parameter: &str) -> (Vec<Run>, Capacity) {
    let objective: Vec<String> = options.objective.iter().map(Objective::to_string).collect();
    let reason = match &found.broke {
        Some((_, tried)) => tried.result.reason.clone(),
        None => "nothing broke up to the highest load that was to be tried".to_owned(),
    };
    let capacity = Capacity {
        parameter: parameter.to_owned(),
        objective: objective.join(", "),
        held_at: found.held.as_ref().map(|(load, _)| *load),
        broke_at: found.broke.as_ref().map(|(load, _)| *load),
        reason,
        steps: found.steps,
    };
    let ends = found.held.into_iter().chain(found.broke);
    let runs = ends.flat_map(|(_, tried)| tried.result.runs).collect();
    (runs, capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_without_processor_is_named() {
        for (server, generator, share, side) in [
            (Some(1.0), 1.9, 0.95, "the generator had no"),
            (None, 1.9, 0.95, "the generator had no"),
            (Some(3.7), 0.2, 0.1, "the server had no"),
            (Some(2.0), 1.7, 0.85, "server and generator together"),
            (Some(2.0), 1.0, 0.5, "neither"),
            (None, 1.0, 0.5, "the generator had processor left"),
        ] {
            let words = shortage(server, 4.0, generator, share);
            assert!(words.starts_with(side), "{words}");
        }
    }
}
