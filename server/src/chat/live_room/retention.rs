//! What a room no longer keeps.

use pitturu_protocol::codes::Fault;
use pitturu_rules::rooms::Effects;
use pitturu_store::StoreError;
use pitturu_store::clock::{Steady, now_ms, removal_ms};

use super::super::command::Report;
use super::super::store::{self, CHANGES, MESSAGES};
use super::{Answer, Context, LiveRoom, Pending};

/// Changes kept one by one. A client that was away for longer reads its screen again.
const CHANGES_KEPT: u64 = 10_000;

/// Messages beyond the bound before it is worth a removal.
const SLACK: u64 = 64;

impl LiveRoom {
    /// Whether so many messages or changes are past their bound that a removal is worth its cost.
    pub(super) fn wants_retention(&self) -> bool {
        let messages = self
            .room
            .first_by_count()
            .is_some_and(|first| first > self.room.first() + SLACK);
        let changes_bound = self.room.changes_first() + CHANGES_KEPT + CHANGES_KEPT / 10;
        messages || self.room.rev() > changes_bound
    }

    /// Finds out what is past the bounds; the room hears of it by [`Self::outlived`]. Only durable messages are.
    pub(super) fn retain(&mut self, context: &Context) {
        let row = self.room.row();
        if self.retaining || row.deleted {
            return;
        }
        let end = self.recent.end();
        let oldest = row
            .retention
            .age_ms
            .map(|age| removal_ms().saturating_sub(age));
        let by_count = self.room.first_by_count().unwrap_or_default();
        let (first, changes_first) = (self.room.first(), self.room.changes_first());
        let kept_changes = (end.rev + 1)
            .saturating_sub(CHANGES_KEPT)
            .max(changes_first);
        self.retaining = true;

        let id = self.id;
        let rooms = context.environment.rooms.clone();
        let reporter = context.reporter(id, self.life);
        tokio::spawn(async move {
            let by_age = match oldest {
                Some(time) => rooms.seq_at_time(id, time).await,
                None => Ok(0),
            };
            let bounds = by_age.map(|by_age| {
                let kept = by_age.max(by_count).max(first).min(end.seq + 1);
                (kept, kept_changes)
            });
            reporter.report(Report::Outlived(bounds));
        });
    }

    /// What lies before these bounds is past its time: a decision as any other.
    pub(super) fn outlived(
        &mut self,
        context: &Context,
        bounds: Result<(u64, u64), StoreError>,
        now: Steady,
    ) {
        let reserved = bounds.map_err(Fault::from).and_then(|bounds| {
            // The next sweep tries again.
            Ok((bounds, Self::reserve(context)?))
        });
        let ((first, changes_first), reservation) = match reserved {
            Ok(reserved) if !self.room.is_deleted() => reserved,
            _ => {
                self.retaining = false;
                return;
            }
        };
        if first <= self.room.first() && changes_first <= self.room.changes_first() {
            // Nothing to decide, and perhaps something that an earlier process left to remove.
            self.remove(context);
            return;
        }
        let mut effects = Effects::default();
        self.room.retain_from(first, changes_first, &mut effects);
        let mut commit = self.journal.next();
        store::put(&mut commit, self.id, &effects.rows, now_ms());
        commit.firsts = vec![(MESSAGES, first), (CHANGES, changes_first)];
        let pending = Pending {
            answer: Answer::Retained(first),
            events: Vec::new(),
            head: self.room.head(),
            version: commit.version,
            signals: Vec::new(),
        };
        self.hand_over(context, Some(reservation), commit, pending);
        self.used_at = now;
    }

    /// Nobody sees what lies before this sequence any more: its rows can go.
    pub(super) fn retained(&mut self, context: &Context, first: u64) {
        self.recent.drop_before(first);
        self.remove(context);
    }

    /// Has the rows removed of what is kept no longer. Only those between the last removal and this one are looked for: the traces
    /// of what was removed before are slow to pass over, for the store's writer as well.
    fn remove(&mut self, context: &Context) {
        let kept = (self.room.first(), self.room.changes_first());
        if self.removed == Some(kept) {
            self.retaining = false;
            return;
        }
        let (id, from) = (self.id, self.removed.map_or(0, |(first, _)| first));
        let rooms = context.environment.rooms.clone();
        let reporter = context.reporter(id, self.life);
        tokio::spawn(async move {
            let removed = rooms.remove_between(id, from, kept.0).await;
            reporter.report(Report::Removed(removed.map(|()| kept)));
        });
    }

    /// The rows are gone, or remain for the next sweep.
    pub(super) fn removed(&mut self, result: Result<(u64, u64), StoreError>) {
        self.retaining = false;
        match result {
            Ok(kept) => self.removed = Some(kept),
            Err(error) => {
                tracing::warn!(room = %self.id, %error, "old messages remain for the next sweep");
            }
        }
    }
}
