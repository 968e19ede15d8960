//! Repetitions of one run, taken together.

use super::{Operation, Report, Run, Subject};

/// All repetitions of one scenario with one set of parameters against one subject.
#[derive(Clone, Debug)]
pub(crate) struct Group<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) subject: Subject,
    pub(crate) parameters: &'a [(String, String)],
    /// At least one.
    pub(crate) runs: Vec<&'a Run>,
}

/// The groups of a report, in the order of their first runs.
pub(crate) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in &report.runs {
        let known = groups.iter_mut().find(|group| {
            group.subject == run.subject && group.is_about(&run.scenario, &run.parameters)
        });
        match known {
            Some(group) => group.runs.push(run),
            None => groups.push(Group {
                scenario: &run.scenario,
                subject: run.subject,
                parameters: &run.parameters,
                runs: vec![run],
            }),
        }
    }
    groups
}

impl Group<'_> {
    /// Whether this is about the same work, whoever does it.
    pub(crate) fn is_about(&self, scenario: &str, parameters: &[(String, String)]) -> bool {
        self.scenario == scenario && self.parameters == parameters
    }

    /// Median over the repetitions that have the number.
    pub(crate) fn median(&self, number: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| number(run)))
    }

    /// Median over the repetitions that have the operation.
    pub(crate) fn median_of(
        &self,
        operation: &str,
        number: impl Fn(&Operation) -> f64,
    ) -> Option<f64> {
        self.median(|run| run.operation(operation).map(&number))
    }

    /// Lowest and highest of the repetitions that have the number.
    pub(crate) fn spread(&self, number: impl Fn(&Run) -> Option<f64>) -> Option<(f64, f64)> {
        let mut spread = None;
        for value in self.runs.iter().filter_map(|run| number(run)) {
            let (low, high) = spread.unwrap_or((value, value));
            spread = Some((value.min(low), value.max(high)));
        }
        spread
    }

    /// Names of the operations, in the order in which the runs list them.
    pub(crate) fn operations(&self) -> Vec<&str> {
        let names = self.runs.iter().flat_map(|run| &run.operations);
        distinct(names.map(|operation| operation.name.as_str()))
    }

    /// Names of the figures, in the order in which the runs list them.
    pub(crate) fn figures(&self) -> Vec<&str> {
        let names = self.runs.iter().flat_map(|run| &run.figures);
        distinct(names.map(|figure| figure.name.as_str()))
    }
}

/// Each once, in the order of their first appearance.
pub(crate) fn distinct<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The middle number, or the mean of the middle two. Ignores what is no number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(*upper);
    }
    Some(f64::midpoint(values[values.len() / 2 - 1], *upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median([f64::NAN, 2.0]), Some(2.0));
    }

    #[test]
    fn repetitions_are_one_group_and_other_parameters_another() {
        let mut report = sample::report();
        let groups_before = groups(&report).len();
        let mut other = report.runs[0].clone();
        other.parameters.push(("more".into(), "1".into()));
        report.runs.push(other);
        let found = groups(&report);
        assert_eq!(groups_before, 2, "server and floor");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].runs.len(), 2);
    }
}
