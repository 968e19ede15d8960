//! A comparison as text for a terminal of 80 columns.

use super::{Comparison, Row, Verdict};
use crate::report::number;
use crate::report::text::{Columns, Ink, Page};

impl Comparison {
    /// The comparison as text: what is broken and worse first. `coloured` adds terminal colours.
    #[must_use]
    pub fn text(&self, coloured: bool) -> String {
        let mut page = Page::new(coloured);
        self.verdict(&mut page);
        for check in &self.broken {
            let before = match check.held_before {
                Some(true) => "held before",
                Some(false) => "was broken before, too",
                None => "was not checked before",
            };
            let text = format!(
                "{}: {} ({}; {before})",
                check.run, check.title, check.detail
            );
            page.wrapped("  BROKEN  ", &text, Some(Ink::Bad));
        }
        let sections = [
            (Verdict::Worse, "worse", Ink::Bad),
            (Verdict::Better, "better", Ink::Good),
            (Verdict::Noise, "too small or too rare to count", Ink::Faint),
            (Verdict::Same, "within budget", Ink::Faint),
            (
                Verdict::Floor,
                "the floor, which tells how much the machine differs",
                Ink::Faint,
            ),
        ];
        for (verdict, heading, ink) in sections {
            self.section(&mut page, verdict, heading, ink);
        }
        let missing = [
            ("only in the first report", &self.only_before),
            ("only in the second report", &self.only_after),
            ("notes", &self.notes),
        ];
        for (heading, lines) in missing.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            page.blank();
            page.line(heading, Some(Ink::Heading));
            for line in lines {
                page.wrapped("  ", line, None);
            }
        }
        page.into_text()
    }

    fn verdict(&self, page: &mut Page) {
        let rows = |verdict| {
            self.rows
                .iter()
                .filter(|row| row.verdict == verdict)
                .count()
        };
        let (worse, better) = (rows(Verdict::Worse), rows(Verdict::Better));
        let judged = self.rows.len() - rows(Verdict::Floor);
        let newly_broken = self.broken.iter();
        let newly_broken = newly_broken
            .filter(|check| check.held_before == Some(true))
            .count();
        let numbers = format!("{worse} of {judged} numbers worse, {better} better");
        if self.regressed {
            let line = format!("REGRESSED: {numbers}, {newly_broken} checks newly broken");
            page.wrapped("", &line, Some(Ink::Bad));
        } else if judged == 0 {
            page.line("nothing to compare", Some(Ink::Warning));
        } else {
            page.wrapped("", &format!("no regression: {numbers}"), Some(Ink::Good));
        }
        if self.rows.iter().any(|row| row.unit == "×") {
            let line =
                "numbers with × are multiples of the floor that was measured beside the server";
            page.wrapped("", line, None);
        }
    }

    fn section(&self, page: &mut Page, verdict: Verdict, heading: &str, ink: Ink) {
        let rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| row.verdict == verdict)
            .collect();
        if rows.is_empty() {
            return;
        }
        page.blank();
        page.line(heading, Some(ink));
        let mut runs: Vec<&str> = rows.iter().map(|row| row.run.as_str()).collect();
        runs.dedup();
        for run in runs {
            page.wrapped("  ", run, None);
            let mut columns = Columns::new(1, &["", "before", "after", "change", "budget"]);
            for row in rows.iter().filter(|row| row.run == run) {
                columns.row([
                    row.name.clone(),
                    written(row.before, &row.unit),
                    written(row.after, &row.unit),
                    changed(row.change),
                    number::percent(row.budget),
                ]);
            }
            page.columns(&columns);
        }
    }
}

fn written(value: f64, unit: &str) -> String {
    match unit {
        "×" => number::times(value),
        unit => number::with_unit(value, unit),
    }
}

fn changed(change: f64) -> String {
    if change.is_infinite() {
        "from 0".to_owned()
    } else if change > 0.0 {
        format!("+{}", number::percent(change))
    } else {
        number::percent(change)
    }
}
