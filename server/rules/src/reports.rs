//! Reports: what players tell the staff, until somebody has settled it.

use std::collections::{BTreeMap, HashMap};

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::reports::{Report, ReportOutcome, Settlement};

use crate::accounts::NOBODY;

/// Reports of one player that nobody has settled; more are refused.
pub const REPORTS_PER_PLAYER_MAX: usize = 20;

/// Reports of all players that nobody has settled, all of which are in memory; more are refused.
pub const REPORTS_MAX: usize = 10_000;

/// What a player reports, by which a second report of the same is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    by: UserId,
    user: UserId,
    message: Option<(RoomId, u64)>,
}

impl Target {
    fn of(report: &Report) -> Self {
        let message = report.message.as_ref();
        Self {
            by: report.by,
            user: report.user,
            message: message.map(|message| (message.room, message.seq)),
        }
    }
}

/// What a decision changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReportEffects {
    /// The report that is new or has changed.
    pub changed: Option<Report>,
    /// Reports about a player whose account is erased: they go.
    pub removed: Vec<Report>,
    /// Reports of such a player, settled or not, as they are from now on.
    pub redacted: Vec<Report>,
}

/// All reports that nobody has settled.
#[derive(Debug, Default)]
pub struct OpenReports {
    newest: u64,
    open: BTreeMap<u64, Report>,
    by_target: HashMap<Target, u64>,
    by_player: HashMap<UserId, usize>,
}

impl OpenReports {
    /// As they are stored, with the number of the newest that there ever was.
    pub fn load(newest: u64, open: impl IntoIterator<Item = Report>) -> Self {
        let mut reports = Self {
            newest,
            ..Self::default()
        };
        for report in open {
            reports.insert(report);
        }
        reports
    }

    /// The number of the newest that there ever was.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Takes a report, whose number is given here. The number; that of the first if the same was reported before.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    pub fn add(&mut self, report: Report, effects: &mut ReportEffects) -> Result<u64, Fault> {
        if let Some(number) = self.by_target.get(&Target::of(&report)) {
            return Ok(*number);
        }
        let own = self.by_player.get(&report.by).copied().unwrap_or_default();
        if own >= REPORTS_PER_PLAYER_MAX {
            let why = format!("{REPORTS_PER_PLAYER_MAX} of your reports are not settled yet");
            return Err(Fault::new(Code::LimitReached, why));
        }
        if self.open.len() >= REPORTS_MAX {
            let why = format!("{REPORTS_MAX} reports are not settled yet");
            return Err(Fault::new(Code::LimitReached, why));
        }
        self.newest += 1;
        let report = Report {
            number: self.newest,
            ..report
        };
        self.insert(report.clone());
        effects.changed = Some(report);
        Ok(self.newest)
    }

    /// Has one of the staff look after a report.
    ///
    /// # Errors
    /// [`Code::NotFound`]: there is none of this number, or it is settled. [`Code::Forbidden`]: it is about themselves.
    pub fn take(
        &mut self,
        number: u64,
        staff: UserId,
        effects: &mut ReportEffects,
    ) -> Result<Report, Fault> {
        let report = self.open.get_mut(&number);
        let report = report.ok_or_else(|| Fault::of(Code::NotFound))?;
        check_not_about(report, staff)?;
        if report.staff != Some(staff) {
            report.staff = Some(staff);
            effects.changed = Some(report.clone());
        }
        Ok(report.clone())
    }

    /// Notes what came of a report.
    ///
    /// # Errors
    /// [`Code::NotFound`]: there is none of this number, or it is settled. [`Code::Forbidden`]: it is about themselves.
    pub fn settle(
        &mut self,
        number: u64,
        staff: UserId,
        (outcome, note): (ReportOutcome, Option<String>),
        now: u64,
        effects: &mut ReportEffects,
    ) -> Result<Report, Fault> {
        let open = self.open.get(&number);
        check_not_about(open.ok_or_else(|| Fault::of(Code::NotFound))?, staff)?;
        let mut report = self
            .remove(number)
            .ok_or_else(|| Fault::of(Code::NotFound))?;
        report.staff = Some(staff);
        report.settled = Some(Settlement {
            outcome,
            at: now,
            note,
        });
        effects.changed = Some(report.clone());
        Ok(report)
    }

    /// Forgets a player whose account is erased: reports about them go, those that they made have neither reporter nor words any more.
    /// `settled` are those of either kind that are settled, which are not in memory.
    pub fn erase_player(
        &mut self,
        user: UserId,
        settled: Vec<Report>,
        effects: &mut ReportEffects,
    ) {
        let open = self.open.values().filter(|report| concerns(report, user));
        let open: Vec<u64> = open.map(|report| report.number).collect();
        let open = open.into_iter().filter_map(|number| self.remove(number));
        for mut report in open.collect::<Vec<_>>().into_iter().chain(settled) {
            if report.user == user {
                effects.removed.push(report);
                continue;
            }
            report.by = NOBODY;
            report.note = None;
            if report.settled.is_none() {
                self.insert(report.clone());
            }
            effects.redacted.push(report);
        }
    }

    fn insert(&mut self, report: Report) {
        self.by_target.insert(Target::of(&report), report.number);
        *self.by_player.entry(report.by).or_default() += 1;
        self.open.insert(report.number, report);
    }

    fn remove(&mut self, number: u64) -> Option<Report> {
        let report = self.open.remove(&number)?;
        self.by_target.remove(&Target::of(&report));
        if let Some(own) = self.by_player.get_mut(&report.by) {
            *own -= 1;
            if *own == 0 {
                self.by_player.remove(&report.by);
            }
        }
        Some(report)
    }
}

/// Whether a report is about a player, or theirs.
pub fn concerns(report: &Report, user: UserId) -> bool {
    report.user == user || report.by == user
}

/// Nobody judges themselves.
///
/// # Errors
/// [`Code::Forbidden`].
pub fn check_not_about(report: &Report, staff: UserId) -> Result<(), Fault> {
    if report.user == staff {
        let why = "a report about you is for others of the staff";
        return Err(Fault::new(Code::Forbidden, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::types::reports::{ReportReason, ReportedMessage};

    use super::*;

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 10])
    }

    fn report(by: u8, about: u8, seq: Option<u64>) -> Report {
        Report {
            number: 0,
            at: 1,
            by: user(by),
            user: user(about),
            reason: ReportReason::Spam,
            note: None,
            message: seq.map(|seq| ReportedMessage {
                room: RoomId::from_bytes([9; 10]),
                seq,
                at: 1,
                name: "name".to_owned(),
                text: "text".to_owned(),
            }),
            staff: None,
            settled: None,
        }
    }

    fn add(reports: &mut OpenReports, report: Report) -> Result<u64, Fault> {
        reports.add(report, &mut ReportEffects::default())
    }

    #[test]
    fn the_same_is_one_report_until_it_is_settled() {
        let mut reports = OpenReports::default();
        assert_eq!(add(&mut reports, report(1, 2, None)), Ok(1));
        assert_eq!(add(&mut reports, report(1, 2, Some(5))), Ok(2));
        assert_eq!(add(&mut reports, report(1, 2, Some(6))), Ok(3));
        assert_eq!(add(&mut reports, report(3, 2, None)), Ok(4));
        let mut effects = ReportEffects::default();
        assert_eq!(reports.add(report(1, 2, Some(5)), &mut effects), Ok(2));
        assert_eq!(effects, ReportEffects::default());
        let how = (ReportOutcome::Acted, None);
        let settled = reports.settle(2, user(7), how.clone(), 9, &mut effects);
        assert_eq!(settled.as_ref().ok(), effects.changed.as_ref());
        let again = reports.settle(2, user(7), how, 9, &mut effects);
        assert_eq!(again, Err(Fault::of(Code::NotFound)));
        let taken = reports.take(2, user(7), &mut effects);
        assert_eq!(taken, Err(Fault::of(Code::NotFound)));
        assert_eq!(add(&mut reports, report(1, 2, Some(5))), Ok(5));
    }

    #[test]
    fn who_takes_a_report_has_it() {
        let mut reports = OpenReports::default();
        assert_eq!(add(&mut reports, report(1, 2, None)), Ok(1));
        for (staff, changes) in [(7, true), (7, false), (8, true)] {
            let mut effects = ReportEffects::default();
            let taken = reports.take(1, user(staff), &mut effects).unwrap();
            assert_eq!(taken.staff, Some(user(staff)));
            assert_eq!(effects.changed.is_some(), changes);
        }
    }

    #[test]
    fn nobody_judges_themselves() {
        let mut reports = OpenReports::default();
        assert_eq!(add(&mut reports, report(1, 7, None)), Ok(1));
        let mut effects = ReportEffects::default();
        let taken = reports.take(1, user(7), &mut effects);
        assert_eq!(taken.map_err(|it| it.code), Err(Code::Forbidden));
        let how = (ReportOutcome::Dismissed, None);
        let settled = reports.settle(1, user(7), how.clone(), 9, &mut effects);
        assert_eq!(settled.map_err(|it| it.code), Err(Code::Forbidden));
        assert_eq!(effects, ReportEffects::default());
        assert!(reports.settle(1, user(8), how, 9, &mut effects).is_ok());
    }

    #[test]
    fn nobody_fills_the_list_alone_and_what_is_settled_makes_room() {
        let mut reports = OpenReports::default();
        for seq in 0..REPORTS_PER_PLAYER_MAX as u64 {
            assert_eq!(add(&mut reports, report(1, 2, Some(seq))), Ok(seq + 1));
        }
        let refused = add(&mut reports, report(1, 2, None)).unwrap_err();
        assert_eq!(refused.code, Code::LimitReached);
        assert!(add(&mut reports, report(3, 2, None)).is_ok());
        let mut effects = ReportEffects::default();
        let how = (ReportOutcome::Dismissed, None);
        reports.settle(1, user(7), how, 9, &mut effects).unwrap();
        assert!(add(&mut reports, report(1, 2, None)).is_ok());
    }

    #[test]
    fn what_was_stored_goes_on() {
        let mut stored = report(1, 2, Some(5));
        stored.number = 3;
        let mut reports = OpenReports::load(8, [stored]);
        assert_eq!(add(&mut reports, report(1, 2, Some(5))), Ok(3));
        assert_eq!(add(&mut reports, report(1, 2, Some(6))), Ok(9));
    }

    #[test]
    fn an_erased_player_is_in_no_report() {
        let mut reports = OpenReports::default();
        for (by, about) in [(1, 2), (2, 1), (1, 3)] {
            add(&mut reports, report(by, about, Some(1))).unwrap();
        }
        let settled = [(2, 3), (3, 2)].map(|(by, about)| Report {
            number: 10,
            note: Some("words".to_owned()),
            settled: Some(Settlement {
                outcome: ReportOutcome::Acted,
                at: 1,
                note: None,
            }),
            ..report(by, about, None)
        });
        let mut effects = ReportEffects::default();
        reports.erase_player(user(2), settled.to_vec(), &mut effects);
        assert!(effects.removed.iter().all(|it| it.user == user(2)));
        assert_eq!(effects.removed.len(), 2);
        let redacted: Vec<(UserId, UserId, Option<String>)> = effects
            .redacted
            .into_iter()
            .map(|it| (it.by, it.user, it.note))
            .collect();
        assert_eq!(redacted, [(NOBODY, user(1), None), (NOBODY, user(3), None)]);
        // What is left counts as before, and what is gone can be reported again.
        assert_eq!(reports.open.len(), 2);
        assert_eq!(add(&mut reports, report(1, 2, Some(1))).unwrap(), 4);
        assert_eq!(add(&mut reports, report(1, 3, Some(1))).unwrap(), 3);
    }
}
