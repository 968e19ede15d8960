//! What is said about a run: in words, and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::Kind;
use crate::model::Violation;

/// How often what was done.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Movements that were acknowledged, by what was asked.
    pub acknowledged: BTreeMap<Kind, u64>,
    /// Refused attempts, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Attempts of calls.
    pub attempts: u64,
    /// Attempts of which nobody heard.
    pub lost: u64,
    /// Attempts after such, of calls that nobody had heard of.
    pub retries: u64,
    /// Attempts of calls that were answered.
    pub duplicates_of_answered: u64,
    /// Attempts beside another one that was not answered yet.
    pub duplicates_at_once: u64,
    /// Attempts that got the first one's movement.
    pub repeated: u64,
    /// Calls that were sent long after they were made.
    pub reordered: u64,
    /// Other requests under the key of a call.
    pub altered: u64,
    /// Requests that can't be carried out.
    pub hopeless: u64,
    /// Blocks, and their ends.
    pub blocks: u64,
}

/// What a run has done and found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How to run it again.
    pub command: String,
    /// How long points moved.
    pub moved: Duration,
    /// How long it took.
    pub took: Duration,
    /// How often what was done.
    pub counts: Counts,
    /// Ends of the server, by fail point.
    pub kills: BTreeMap<String, u64>,
    /// Lines of the ledger, and those of the busy players.
    pub lines: (u64, u64),
    /// Gifts that arrived, and that came back.
    pub gifts: (u64, u64),
    /// Points set aside that ran out.
    pub ran_out: u64,
    /// What was compared with the model, by what it is.
    pub compared: BTreeMap<&'static str, u64>,
    /// What was wrong.
    pub violations: Vec<Violation>,
    /// What was wrong and is not told of.
    pub untold: u64,
}

impl Report {
    /// Whether nothing was wrong.
    pub const fn is_right(&self) -> bool {
        self.violations.is_empty()
    }

    fn acknowledged(&self) -> BTreeMap<String, u64> {
        let counts = self.counts.acknowledged.iter();
        counts
            .map(|(kind, count)| (format!("{kind:?}"), *count))
            .collect()
    }

    fn attempts(&self) -> BTreeMap<&'static str, u64> {
        let counts = &self.counts;
        BTreeMap::from([
            ("attempts", counts.attempts),
            ("attempts nobody heard of", counts.lost),
            ("retries of such", counts.retries),
            (
                "duplicates of answered calls",
                counts.duplicates_of_answered,
            ),
            (
                "duplicates beside an attempt under way",
                counts.duplicates_at_once,
            ),
            ("attempts that got the first movement", counts.repeated),
            ("calls sent long after they were made", counts.reordered),
            ("keys used for another request", counts.altered),
            ("requests that can't be carried out", counts.hopeless),
            ("blocks", counts.blocks),
        ])
    }

    /// The report for programs.
    pub fn json(&self) -> Value {
        let violations = self.violations.iter();
        let violations = violations.map(
            |found| json!({"rule": found.rule, "subject": found.subject, "message": found.message}),
        );
        json!({
            "command": self.command,
            "seconds_moving": self.moved.as_secs_f64(),
            "seconds": self.took.as_secs_f64(),
            "acknowledged": self.acknowledged(),
            "attempts": self.attempts(),
            "refused_by_code": self.counts.refused,
            "kills_by_point": self.kills,
            "lines": self.lines.0,
            "lines_of_busy_players": self.lines.1,
            "gifts_arrived": self.gifts.0,
            "gifts_returned": self.gifts.1,
            "ran_out": self.ran_out,
            "compared": self.compared,
            "violations": violations.collect::<Vec<_>>(),
            "violations_untold": self.untold,
        })
    }
}

fn list<K: Display>(f: &mut Formatter<'_>, title: &str, counts: &BTreeMap<K, u64>) -> fmt::Result {
    let sum: u64 = counts.values().sum();
    writeln!(f, "{sum} {title}")?;
    for (name, count) in counts {
        writeln!(f, "  {count:>9}  {name}")?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "shares and rates of a report")]
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let acknowledged = self.acknowledged();
        let sum: u64 = acknowledged.values().sum();
        let (moved, took) = (self.moved.as_secs_f64(), self.took.as_secs_f64());
        let rate = sum as f64 / moved.max(0.001);
        writeln!(
            f,
            "points moved for {moved:.0} s of {took:.0} s: {rate:.0} acknowledged movements per second"
        )?;
        list(f, "acknowledged movements", &acknowledged)?;
        list(f, "refused attempts", &self.counts.refused)?;
        for (name, count) in self.attempts() {
            writeln!(f, "{count:>9}  {name}")?;
        }
        let (lines, busy) = self.lines;
        let share = 100.0 * busy as f64 / (lines as f64).max(1.0);
        writeln!(f, "{lines} lines, {share:.1} % with the busy players")?;
        let (arrived, returned) = self.gifts;
        writeln!(f, "{arrived} gifts arrived, {returned} came back")?;
        writeln!(f, "{} amounts set aside ran out", self.ran_out)?;
        list(f, "ends without warning, by fail point", &self.kills)?;
        writeln!(f, "compared with the model")?;
        for (name, count) in &self.compared {
            writeln!(f, "  {count:>9}  {name}")?;
        }
        for found in &self.violations {
            writeln!(f, "VIOLATION of \"{}\"", found.rule)?;
            writeln!(f, "  {}: {}", found.subject, found.message)?;
        }
        if !self.is_right() {
            writeln!(f, "  again: {}", self.command)?;
        }
        let violations = self.violations.len() as u64 + self.untold;
        writeln!(f, "{violations} violations")
    }
}
