//! What is decided of reports.

use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::reports::Report;
use pitturu_rules::audit_log::Note;
use pitturu_rules::reports::{OpenReports, ReportEffects};
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::{Ask, ID, NEWEST, OPEN, REPORTS, SETTLED, about_key, key, load};
use crate::connections::address::Address;
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::{Environment, audit_log};

/// How long they stay in memory after their last use, in milliseconds: there may be many.
const STAY_MS: u64 = 10 * 60 * 1_000;

/// The reports at their owner.
pub type LiveReports = Answering<OpenReports>;

/// What a decision changes.
#[derive(Debug, Default)]
pub struct Effects {
    reports: ReportEffects,
    /// What the audit log is told.
    note: Option<Note>,
}

impl Decisions for OpenReports {
    type Id = UserId;
    type Ask = Ask;
    type Effects = Effects;
    type News = ();
    type Environment = Environment;

    const KIND: Kind = REPORTS;
    const LABEL: EntityKind = EntityKind::Reports;
    const COMMIT_BYTES: usize = 8 * 1_024;

    fn stays_ms(&self) -> u64 {
        STAY_MS
    }

    fn id_of(_: [u8; ID_BYTES]) -> UserId {
        ID
    }

    async fn load(environment: Environment, _: UserId) -> Result<Loaded<Self>, StoreError> {
        load(Arc::clone(environment.players.entities())).await
    }

    fn decide(
        &mut self,
        ask: Ask,
        moment: Moment,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        let changed = &mut effects.reports;
        Ok(match ask {
            Ask::Add(report) => codec::encode(&self.add(*report, changed)?),
            Ask::ErasePlayer(user, settled) => {
                self.erase_player(user, settled, changed);
                codec::encode(&())
            }
            Ask::Take(number, staff) => codec::encode(&self.take(number, staff, changed)?),
            Ask::Settle { number, how, by } => {
                let report = self.settle(number, by.0, how, moment.now, changed)?;
                effects.note = Some(note_of(&report, by, moment.now));
                codec::encode(&report)
            }
        })
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, _: &mut Effects) {
        // Nobody tells it anything.
        tracing::error!(%from, version = signal.version, "a signal went to the wrong entity");
    }

    fn is_empty(effects: &Effects) -> bool {
        effects.reports == ReportEffects::default()
    }

    fn put(&mut self, _: &Environment, effects: Effects, _: u64, commit: &mut Commit) {
        if let Some(report) = effects.reports.changed {
            let (user, number) = (report.user, report.number);
            let row = Some(codec::encode(&report));
            let rows = match report.settled {
                Some(_) => [(key(OPEN, number), None), (key(SETTLED, number), row)],
                None => [
                    (key(OPEN, number), row),
                    (about_key(user, number), Some(Vec::new())),
                ],
            };
            commit.rows.extend(rows);
            let newest = (NEWEST.to_vec(), Some(codec::encode(&self.newest())));
            commit.rows.push(newest);
        }
        for report in effects.reports.removed {
            let (user, number) = (report.user, report.number);
            commit.rows.push((key(family_of(&report), number), None));
            commit.rows.push((about_key(user, number), None));
        }
        for report in effects.reports.redacted {
            let row = Some(codec::encode(&report));
            commit
                .rows
                .push((key(family_of(&report), report.number), row));
        }
        commit.signals.extend(effects.note.map(audit_log::signal));
    }

    fn tell(&mut self, _: &Environment, (): ()) {}
}

/// Where a report lies.
fn family_of(report: &Report) -> &'static [u8] {
    if report.settled.is_some() {
        SETTLED
    } else {
        OPEN
    }
}

fn note_of(report: &Report, (by, address): (UserId, Address), now: u64) -> Note {
    let message = report.message.as_ref();
    let note = report.settled.as_ref().and_then(|it| it.note.clone());
    Note {
        by: Some(by),
        user: Some(report.user),
        room: message.map(|message| message.room),
        seq: message.map(|message| message.seq),
        reason: note,
        address: Some(address.ip().to_string()),
        ..Note::new(AuditAct::ReportSettled, now)
    }
}
