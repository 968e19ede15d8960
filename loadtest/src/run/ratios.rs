//! The server beside its floor.

use crate::report::{Better, Ratio, Run, Subject};
use crate::tally::Op;

/// Medians of the server's runs over those of the floor's, for each scenario that has both.
pub fn ratios(runs: &[Run]) -> Vec<Ratio> {
    let mut scenarios: Vec<&str> = Vec::new();
    for run in runs {
        if !scenarios.contains(&run.scenario.as_str()) {
            scenarios.push(&run.scenario);
        }
    }
    let mut ratios = Vec::new();
    for scenario in scenarios {
        let of = |subject| -> Vec<&Run> {
            runs.iter()
                .filter(|run| run.scenario == scenario && run.subject == subject)
                .collect()
        };
        let (servers, floors) = (of(Subject::Server), of(Subject::Floor));
        for (name, unit, better, value) in COMPARED {
            let server = median(servers.iter().filter_map(|run| value(run)).collect());
            let floor = median(floors.iter().filter_map(|run| value(run)).collect());
            if let (Some(server), Some(floor)) = (server, floor)
                && floor > 0.0
            {
                ratios.push(Ratio {
                    scenario: scenario.to_owned(),
                    figure: name.to_owned(),
                    server,
                    floor,
                    unit: unit.to_owned(),
                    ratio: server / floor,
                    better,
                });
            }
        }
    }
    ratios
}

type Value = fn(&Run) -> Option<f64>;

const COMPARED: [(&str, &str, Better, Value); 8] = [
    ("cpu_per_delivery", "µs", Better::Lower, |run| {
        figure(run, "cpu_per_delivery")
    }),
    ("deliver_p50", "ms", Better::Lower, |run| {
        operation(run, Op::Deliver).map(|operation| operation.latency.p50_ms)
    }),
    ("deliver_p99", "ms", Better::Lower, |run| {
        operation(run, Op::Deliver).map(|operation| operation.latency.p99_ms)
    }),
    ("echo_rate", "1/s", Better::Higher, |run| {
        operation(run, Op::Echo).map(|operation| operation.achieved_per_second)
    }),
    ("echo_p50", "ms", Better::Lower, |run| {
        operation(run, Op::Echo).map(|operation| operation.latency.p50_ms)
    }),
    ("echo_p99", "ms", Better::Lower, |run| {
        operation(run, Op::Echo).map(|operation| operation.latency.p99_ms)
    }),
    ("cpu_per_echo", "µs", Better::Lower, |run| {
        figure(run, "cpu_per_echo")
    }),
    ("memory_per_connection", "bytes", Better::Lower, |run| {
        // Elsewhere a floor holds nothing but sockets, and the players are too few to divide by.
        figure(run, "memory_per_connection").filter(|_| run.scenario == "idle")
    }),
];

fn figure(run: &Run, name: &str) -> Option<f64> {
    let mut figures = run.figures.iter();
    figures
        .find(|figure| figure.name == name)
        .map(|figure| figure.value)
}

fn operation(run: &Run, op: Op) -> Option<&crate::report::Operation> {
    run.operations
        .iter()
        .find(|operation| operation.name == op.name() && operation.done > 0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        Some(upper)
    } else {
        Some((values[middle - 1] + upper) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![5.0, 1.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }
}
