//! What must hold at a load, as written on the command line.

use std::fmt;
use std::str::FromStr;

use crate::report::number::{milliseconds, percent, plain, times};
use crate::report::{Operation, Run};
use crate::tally::{OPS, Op};

/// Something that must hold, such as `deliver.p99<50ms`, `cpu<1.5` or `achieved>=0.97`.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    text: String,
    /// What it is about; none: the scenario's main operation.
    op: Option<Op>,
    measure: Measure,
    limit: f64,
    /// Whether the limit itself is still good.
    inclusive: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// A latency in milliseconds.
    Latency(Quantile),
    /// Cores that the server used on average.
    Cores,
    /// Share of the offered rate that ended well.
    Achieved,
}

/// Which part of the operations took at most so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantile {
    P50,
    P90,
    P99,
    P999,
    Max,
}

/// Names of what can be measured.
const MEASURES: [(&str, Measure); 7] = [
    ("p50", Measure::Latency(Quantile::P50)),
    ("p90", Measure::Latency(Quantile::P90)),
    ("p99", Measure::Latency(Quantile::P99)),
    ("p999", Measure::Latency(Quantile::P999)),
    ("max", Measure::Latency(Quantile::Max)),
    ("cpu", Measure::Cores),
    ("achieved", Measure::Achieved),
];

/// Why a text is no objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObjective {
    /// There is no `<` or `>`.
    #[error("{0:?} compares nothing: write it as in deliver.p99<50ms")]
    NoComparison(String),
    /// What is compared is not known.
    #[error("{0:?} can't be measured: allowed are {names}", names = measure_names())]
    UnknownMeasure(String),
    /// Players do no such thing.
    #[error("{0:?} is no operation: allowed are {names}", names = operation_names())]
    UnknownOperation(String),
    /// The whole server's figure was asked of one operation.
    #[error("cpu is the server's, not that of {0}: write it as in cpu<1.5")]
    NotOfOperations(String),
    /// The wrong way round.
    #[error("{measure} must stay {must} its limit: write it with {must} or {must}=")]
    WrongWay {
        /// What is measured.
        measure: &'static str,
        /// `<` or `>`.
        must: char,
    },
    /// The limit of a latency.
    #[error("{0:?} is no time: write it as in 800us, 50ms or 2s")]
    NoTime(String),
    /// The limit of the server's processor.
    #[error("{0:?} is no number of cores: write it as in 1.5")]
    NoCores(String),
    /// The limit of a rate.
    #[error("{0:?} is no share of the offered rate: write it as in 0.97, above 0 and at most 1")]
    NoShare(String),
}

/// What an objective says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) held: bool,
    /// What was measured, and by how much it missed the limit.
    pub(crate) words: String,
}

impl Objective {
    /// The operation whose rate must be a paced one; none where any will do.
    pub(crate) fn needs_pace(&self) -> Option<Option<Op>> {
        (self.measure == Measure::Achieved).then_some(self.op)
    }

    /// Whether the server's process must be visible.
    pub(crate) fn needs_probe(&self) -> bool {
        self.measure == Measure::Cores
    }

    /// Judges a run whose main operation is `main`.
    pub(crate) fn judge(&self, run: &Run, main: Op) -> Judged {
        match self.measure {
            Measure::Cores => self.judge_cores(run),
            Measure::Latency(quantile) => self.judge_latency(quantile, run, main),
            Measure::Achieved => self.judge_achieved(run, main),
        }
    }

    fn judge_cores(&self, run: &Run) -> Judged {
        let used = run.server.as_ref();
        let Some(cores) = used.and_then(|server| server.cores(run.seconds)) else {
            return missing("the server's processor time could not be seen");
        };
        let words = format!("server {} cores", plain(cores));
        self.below(cores, &plain(self.limit), words)
    }

    fn judge_latency(&self, quantile: Quantile, run: &Run, main: Op) -> Judged {
        let name = self.op.unwrap_or(main).name();
        let Some(operation) = run.operation(name).filter(|operation| operation.done > 0) else {
            return missing(&format!("not one {name} ended well"));
        };
        // What failed took longer than any limit.
        let failed = failed(operation);
        let all = failed + operation.done;
        if failed as f64 > all as f64 * quantile.beyond() {
            return missing(&format!("{failed} of {all} {name} failed"));
        }
        let latency = &operation.latency;
        let (word, value) = match quantile {
            Quantile::P50 => ("p50", latency.p50_ms),
            Quantile::P90 => ("p90", latency.p90_ms),
            Quantile::P99 => ("p99", latency.p99_ms),
            Quantile::P999 => ("p99.9", latency.p999_ms),
            Quantile::Max => ("max", latency.max_ms),
        };
        let words = format!("{name} {word} {}", milliseconds(value));
        self.below(value, &milliseconds(self.limit), words)
    }

    fn judge_achieved(&self, run: &Run, main: Op) -> Judged {
        let name = self.op.unwrap_or(main).name();
        let operation = run.operation(name);
        let rates = operation.and_then(|it| Some((it.achieved_per_second, it.offered_per_second?)));
        let Some((achieved, offered)) = rates else {
            return missing(&format!("not one {name} ended well"));
        };
        let share = achieved / offered;
        let words = format!("{name} {} of the offered rate", percent(share));
        let held = share > self.limit || (self.inclusive && share >= self.limit);
        let miss = percent(self.limit - share);
        Judged {
            held,
            words: if held {
                words
            } else {
                format!("{words}: {miss} short of {}", percent(self.limit))
            },
        }
    }

    fn below(&self, value: f64, limit: &str, words: String) -> Judged {
        let held = value < self.limit || (self.inclusive && value <= self.limit);
        let ratio = value / self.limit;
        let words = match held {
            true => words,
            false if ratio < 2.0 => format!("{words}: {} over {limit}", percent(ratio - 1.0)),
            false => format!("{words}: {} the limit of {limit}", times(ratio)),
        };
        Judged { held, words }
    }
}

fn missing(words: &str) -> Judged {
    Judged {
        held: false,
        words: words.to_owned(),
    }
}

fn failed(operation: &Operation) -> u64 {
    operation.errors.values().sum()
}

impl Quantile {
    /// Which share of the operations may take longer.
    const fn beyond(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.1,
            Self::P99 => 0.01,
            Self::P999 => 0.001,
            Self::Max => 0.0,
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Objective {
    type Err = InvalidObjective;

    fn from_str(text: &str) -> Result<Self, InvalidObjective> {
        let (what, rest) = text
            .find(['<', '>'])
            .map(|at| text.split_at(at))
            .ok_or_else(|| InvalidObjective::NoComparison(text.to_owned()))?;
        let is_below = rest.starts_with('<');
        let limit = &rest[1..];
        let (limit, inclusive) = match limit.strip_prefix('=') {
            Some(limit) => (limit.trim(), true),
            None => (limit.trim(), false),
        };
        let (op, name) = match what.trim().rsplit_once('.') {
            Some((op, name)) => (Some(operation(op)?), name),
            None => (None, what.trim()),
        };
        let known = MEASURES.into_iter().find(|(known, _)| *known == name);
        let (name, measure) =
            known.ok_or_else(|| InvalidObjective::UnknownMeasure(name.to_owned()))?;
        if let (Measure::Cores, Some(op)) = (measure, op) {
            return Err(InvalidObjective::NotOfOperations(op.name().to_owned()));
        }
        if is_below == (measure == Measure::Achieved) {
            return Err(InvalidObjective::WrongWay {
                measure: name,
                must: if is_below { '>' } else { '<' },
            });
        }
        let limit = match measure {
            Measure::Latency(_) => in_milliseconds(limit),
            Measure::Cores => {
                number(limit).ok_or_else(|| InvalidObjective::NoCores(limit.to_owned()))
            }
            Measure::Achieved => number(limit)
                .filter(|&share| share <= 1.0)
                .ok_or_else(|| InvalidObjective::NoShare(limit.to_owned())),
        }?;
        Ok(Self {
            text: text.to_owned(),
            op,
            measure,
            limit,
            inclusive,
        })
    }
}

fn operation(name: &str) -> Result<Op, InvalidObjective> {
    let mut known = OPS.into_iter();
    known
        .find(|op| op.name() == name)
        .ok_or_else(|| InvalidObjective::UnknownOperation(name.to_owned()))
}

fn in_milliseconds(text: &str) -> Result<f64, InvalidObjective> {
    let letters = text.find(|letter: char| letter.is_alphabetic());
    let (value, unit) = text.split_at(letters.unwrap_or(text.len()));
    let unit = match unit {
        "us" | "µs" => Some(1e-3),
        "ms" => Some(1.0),
        "s" => Some(1e3),
        _ => None,
    };
    number(value.trim_end())
        .zip(unit)
        .map(|(value, unit)| value * unit)
        .ok_or_else(|| InvalidObjective::NoTime(text.to_owned()))
}

/// A number above zero.
fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() && value > 0.0).then_some(value)
}

fn measure_names() -> String {
    MEASURES.map(|(name, _)| name).join(", ")
}

fn operation_names() -> String {
    OPS.map(Op::name).join(", ")
}

#[cfg(test)]
mod tests;
