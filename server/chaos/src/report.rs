//! What is said about a run: in words, and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::Counts;
use crate::model::Violation;
use crate::record::{Ask, Line, Outcome, What};

/// A violation, and the round that showed it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// How to run its round again.
    pub command: String,
    /// What is wrong.
    pub violation: Violation,
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let violation = &self.violation;
        writeln!(f, "VIOLATION of \"{}\"", violation.rule)?;
        writeln!(f, "  {}: {}", violation.subject, violation.message)?;
        writeln!(f, "  again: {}", self.command)?;
        for line in &violation.trace {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

/// What a run has done and found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rounds that were run.
    pub rounds: u64,
    /// How long it took.
    pub took: Duration,
    /// Acknowledged writes, by name.
    pub acknowledged: BTreeMap<&'static str, u64>,
    /// Refusals, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Calls that were never sent, for want of a connection.
    pub unsent: u64,
    /// Calls whose outcome nobody was told.
    pub unknown: u64,
    /// Events that were heard.
    pub heard: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Ends of the server without warning.
    pub kills: u64,
    /// Starts of the server after the first of each round.
    pub restarts: u64,
    /// Backups that were restored, and their stores compared.
    pub restored: u64,
    /// What fail points did, by point and action.
    pub points: BTreeMap<String, u64>,
    /// What was wrong.
    pub violations: Vec<Shown>,
}

impl Report {
    /// Counts what a round has recorded.
    pub fn count_lines(&mut self, lines: &[Line]) {
        let mut asked: BTreeMap<u64, &Ask> = BTreeMap::new();
        for line in lines {
            match &line.what {
                What::Asked(call, ask, _) => {
                    asked.insert(*call, ask);
                }
                What::Answered(call, Outcome::Done(_)) => {
                    if let Some(ask) = asked.get(call).filter(|ask| ask.writes()) {
                        *self.acknowledged.entry(ask.name()).or_default() += 1;
                    }
                }
                What::Answered(_, Outcome::Refused(code)) => {
                    *self.refused.entry(code.name()).or_default() += 1;
                }
                What::Answered(_, Outcome::Unsent) => self.unsent += 1,
                What::Answered(_, Outcome::Unknown(_)) => self.unknown += 1,
                What::Heard(_) => self.heard += 1,
                What::Fault(_) => {}
            }
        }
    }

    /// Counts what was done to a round's server.
    pub fn count_faults(&mut self, counts: &Counts, points: BTreeMap<String, u64>) {
        for (kind, count) in &counts.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (point, count) in points {
            *self.points.entry(point).or_default() += count;
        }
        self.kills += counts.kills;
        self.restarts += counts.restarts;
    }

    /// The report for programs.
    pub fn json(&self) -> Value {
        let violations: Vec<Value> = self
            .violations
            .iter()
            .map(|shown| {
                json!({
                    "command": shown.command,
                    "rule": shown.violation.rule,
                    "subject": shown.violation.subject,
                    "message": shown.violation.message,
                    "trace": shown.violation.trace,
                })
            })
            .collect();
        json!({
            "rounds": self.rounds,
            "seconds": self.took.as_secs(),
            "acknowledged_writes": self.acknowledged.values().sum::<u64>(),
            "acknowledged_by_method": self.acknowledged,
            "refused_by_code": self.refused,
            "unsent": self.unsent,
            "unknown": self.unknown,
            "events": self.heard,
            "kills": self.kills,
            "restarts": self.restarts,
            "restored": self.restored,
            "faults": self.faults,
            "fail_points": self.points,
            "violations": violations,
        })
    }
}

fn list<K: Display>(f: &mut Formatter<'_>, title: &str, counts: &BTreeMap<K, u64>) -> fmt::Result {
    writeln!(f, "{title}")?;
    for (name, count) in counts {
        writeln!(f, "  {count:>9}  {name}")?;
    }
    Ok(())
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let writes: u64 = self.acknowledged.values().sum();
        let (rounds, seconds) = (self.rounds, self.took.as_secs());
        writeln!(f, "{rounds} rounds in {seconds} s")?;
        list(
            f,
            &format!("{writes} acknowledged writes"),
            &self.acknowledged,
        )?;
        list(f, "refused", &self.refused)?;
        writeln!(
            f,
            "{} calls not sent, {} of unknown outcome, {} events",
            self.unsent, self.unknown, self.heard
        )?;
        list(f, "faults", &self.faults)?;
        list(f, "fail points", &self.points)?;
        let (kills, restarts) = (self.kills, self.restarts);
        let restored = self.restored;
        writeln!(
            f,
            "{kills} ends without warning, {restarts} restarts, {restored} backups restored"
        )?;
        writeln!(f, "{} violations", self.violations.len())
    }
}
