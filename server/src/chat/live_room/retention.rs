//! What a room no longer keeps.

use std::sync::Arc;

use super::super::command::Report;
use super::{Context, LiveRoom};

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

    /// Has the store remove what is past the bounds. The room hears of it by [`Self::retained`]. Only durable
    /// messages are removed.
    pub(super) fn retain(&mut self, context: &Context, now: u64) {
        let row = self.room.row();
        if self.retaining || row.deleted {
            return;
        }
        let end = self.recent.end();
        let oldest = row.retention.age_ms.map(|age| now.saturating_sub(age));
        let by_count = self.room.first_by_count().unwrap_or_default();
        let (first, changes_first) = (self.room.first(), self.room.changes_first());
        let kept_changes = (end.rev + 1)
            .saturating_sub(CHANGES_KEPT)
            .max(changes_first);
        self.retaining = true;

        let id = self.id;
        let rooms = Arc::clone(&context.environment.rooms);
        let messages = Arc::clone(&context.environment.messages);
        let reporter = context.reporter(id, self.incarnation);
        tokio::spawn(async move {
            let work = async {
                let by_age = match oldest {
                    Some(time) => messages.seq_at_time(id, time).await?,
                    None => 0,
                };
                let kept = by_age.max(by_count).max(first).min(end.seq + 1);
                if kept > first || kept_changes > changes_first {
                    rooms.remove_before(id, kept, kept_changes).await?;
                }
                Ok((kept, kept_changes))
            };
            reporter.report(Report::Retained(work.await));
        });
    }

    /// The store has removed what lies before these bounds.
    pub(super) fn retained(&mut self, first: u64, changes_first: u64) {
        self.retaining = false;
        self.room.retain_from(first, changes_first);
        self.recent.drop_before(first);
    }

    /// The removal failed; the next sweep tries again.
    pub(super) fn retention_failed(&mut self) {
        self.retaining = false;
    }
}
