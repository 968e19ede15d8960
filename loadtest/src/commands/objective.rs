//! What must hold at a load: `p99<50ms`, `send.p99<=20ms`, `cpu<1.5`, `achieved>=0.97`.

use std::fmt;
use std::str::FromStr;

use crate::report::{Operation, Run};
use crate::scenarios::Scenario;
use crate::tally::Op;

/// An objective that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "objective {0:?}: write a measure, a comparison and a bound, as in p99<50ms, send.p99<=20ms, cpu<1.5 or achieved>=0.97; \
     measures of an operation are p50, p90, p99, p999, max (ms or s) and achieved (a share of what was offered)"
)]
pub struct InvalidObjective(pub String);

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    text: String,
    /// The operation; the scenario's main one when absent.
    operation: Option<String>,
    measure: Measure,
    at_most: bool,
    /// Whether the bound itself is allowed.
    inclusive: bool,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    P50,
    P90,
    P99,
    P999,
    Max,
    Achieved,
    /// Cores that the server used.
    Cpu,
}

impl FromStr for Objective {
    type Err = InvalidObjective;

    fn from_str(text: &str) -> Result<Self, InvalidObjective> {
        let invalid = || InvalidObjective(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(invalid)?;
        let (left, right) = text.split_at(at);
        let at_most = right.starts_with('<');
        let (inclusive, bound) = match right[1..].strip_prefix('=') {
            Some(bound) => (true, bound),
            None => (false, &right[1..]),
        };
        let (operation, measure) = match left.trim().split_once('.') {
            Some((operation, measure)) => (Some(operation.to_owned()), measure),
            None => (None, left.trim()),
        };
        let measure = match measure {
            "p50" => Measure::P50,
            "p90" => Measure::P90,
            "p99" => Measure::P99,
            "p999" | "p99.9" => Measure::P999,
            "max" => Measure::Max,
            "achieved" => Measure::Achieved,
            "cpu" if operation.is_none() => Measure::Cpu,
            // `p99.9` has a point of its own.
            "9" if operation.as_deref() == Some("p99") => Measure::P999,
            _ => return Err(invalid()),
        };
        let operation = operation.filter(|name| name != "p99");
        let known = |name: &String| crate::tally::OPS.iter().any(|op| op.name() == name);
        if operation.as_ref().is_some_and(|name| !known(name)) {
            return Err(invalid());
        }
        let bound = measure.bound(bound.trim()).ok_or_else(invalid)?;
        Ok(Self {
            text: text.to_owned(),
            operation,
            measure,
            at_most,
            inclusive,
            bound,
        })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Measure {
    /// A bound in the measure's own unit: milliseconds, a share, or cores.
    fn bound(self, text: &str) -> Option<f64> {
        let (number, factor) = match self {
            Self::Achieved | Self::Cpu => (text, 1.0),
            _ => match text.strip_suffix("ms") {
                Some(number) => (number, 1.0),
                None => (text.strip_suffix('s')?, 1_000.0),
            },
        };
        let bound: f64 = number.trim().parse().ok()?;
        (bound.is_finite() && bound >= 0.0).then_some(bound * factor)
    }
}

impl Objective {
    /// Whether it holds, and what was measured, in words.
    pub fn judge(&self, scenario: &Scenario, run: &Run) -> (bool, String) {
        let Some((name, value)) = self.measured(scenario, run) else {
            return (false, format!("{self}: nothing was measured"));
        };
        let held = match (self.at_most, self.inclusive) {
            (true, true) => value <= self.bound,
            (true, false) => value < self.bound,
            (false, true) => value >= self.bound,
            (false, false) => value > self.bound,
        };
        let unit = match self.measure {
            Measure::Achieved => "of what was offered",
            Measure::Cpu => "cores",
            _ => "ms",
        };
        (held, format!("{name} {value:.2} {unit} (objective {self})"))
    }

    fn measured(&self, scenario: &Scenario, run: &Run) -> Option<(String, f64)> {
        if self.measure == Measure::Cpu {
            let cores = run.server.as_ref()?.cpu_seconds / run.seconds;
            return Some(("server".to_owned(), cores));
        }
        let operation = self.operation_of(scenario, run)?;
        let latency = &operation.latency;
        let (name, value) = match self.measure {
            Measure::P50 => ("p50", latency.p50_ms),
            Measure::P90 => ("p90", latency.p90_ms),
            Measure::P99 => ("p99", latency.p99_ms),
            Measure::P999 => ("p99.9", latency.p999_ms),
            Measure::Max => ("max", latency.max_ms),
            Measure::Achieved | Measure::Cpu => {
                let offered = operation
                    .offered_per_second
                    .filter(|offered| *offered > 0.0)?;
                ("achieved", operation.achieved_per_second / offered)
            }
        };
        Some((format!("{} {name}", operation.name), value))
    }

    fn operation_of<'a>(&self, scenario: &Scenario, run: &'a Run) -> Option<&'a Operation> {
        let named = |name: &str| {
            run.operations
                .iter()
                .find(|operation| operation.name == name)
        };
        match &self.operation {
            Some(name) => named(name),
            None => {
                let offered = scenario.offered();
                let main = offered.last().map(|(op, _)| *op);
                let usual = [Op::Echo, Op::Deliver, Op::Connect];
                main.into_iter()
                    .chain(usual)
                    .find_map(|op| named(op.name()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_with_their_units() {
        for (text, operation, measure, at_most, inclusive, bound) in [
            ("p99<50ms", None, Measure::P99, true, false, 50.0),
            ("p99.9<2s", None, Measure::P999, true, false, 2_000.0),
            (
                "send.p999<=100ms",
                Some("send"),
                Measure::P999,
                true,
                true,
                100.0,
            ),
            (
                "echo.p50 < 2 ms",
                Some("echo"),
                Measure::P50,
                true,
                false,
                2.0,
            ),
            ("cpu<1.5", None, Measure::Cpu, true, false, 1.5),
            ("achieved>=0.97", None, Measure::Achieved, false, true, 0.97),
            (
                "deliver.max<1s",
                Some("deliver"),
                Measure::Max,
                true,
                false,
                1_000.0,
            ),
        ] {
            let objective: Objective = text.parse().unwrap();
            assert_eq!(objective.operation.as_deref(), operation, "{text}");
            assert_eq!(objective.measure, measure, "{text}");
            assert_eq!(
                (objective.at_most, objective.inclusive),
                (at_most, inclusive)
            );
            assert!((objective.bound - bound).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for text in [
            "",
            "p99",
            "p99<",
            "p99<50",
            "p98<50ms",
            "<50ms",
            "fly.p99<5ms",
            "cpu<2ms",
            "p99<-1ms",
            "p99<nanms",
            "send.cpu<1",
            "p50.p99<5ms",
        ] {
            let refused = text.parse::<Objective>();
            assert_eq!(refused, Err(InvalidObjective(text.to_owned())), "{text}");
        }
    }
}
