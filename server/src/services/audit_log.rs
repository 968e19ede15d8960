//! The audit log as the staff reads it, and whether it is whole.

pub mod verification;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::{AuditAct, AuditLog, AuditRecord, ListAuditLog};
use pitturu_rules::pages::{Page, page_items};

use super::players_access::PlayersAccess;
use crate::connections::caller::Caller;

/// The calls of [`pitturu_protocol::types::audit_log`].
pub struct AuditLogService {
    players: PlayersAccess,
}

impl AuditLogService {
    /// What these players' audit log has.
    pub const fn new(players: PlayersAccess) -> Self {
        Self { players }
    }

    /// [`ListAuditLog`].
    pub async fn list(&self, caller: &Caller, request: ListAuditLog) -> Result<AuditLog, Fault> {
        let staff = match request.user {
            Some(_) => self.players.staff.moderator(caller).await?,
            None => self.players.staff.admin(caller).await?,
        };
        let ListAuditLog { before, .. } = request;
        let limit = page_items(request.limit)?;
        let store = &self.players.store;
        let is_hidden = |record: &AuditRecord| {
            // What came of a report about one of the staff is for the others.
            let is_theirs = record.entry.user == Some(staff.user);
            staff.role != Role::Admin && is_theirs && record.entry.act == AuditAct::ReportSettled
        };
        let (mut found, mut behind) = (Vec::new(), before);
        // One more than the page holds says whether others follow. No page has a place where something hidden was.
        while found.len() <= limit {
            let read = match request.user {
                Some(user) => store.audit_log_about(user, behind, limit + 1).await?,
                None => store.audit_log(behind, limit + 1).await?,
            };
            let is_all = read.len() <= limit;
            behind = read.last().map(|record| record.entry.number);
            found.extend(read.into_iter().filter(|record| !is_hidden(record)));
            if is_all {
                break;
            }
        }
        let shown = found.into_iter().map(|mut record| {
            if staff.role != Role::Admin {
                hide_from_moderators(&mut record);
            }
            record
        });
        let (entries, are_more) = Page::of(limit, shown).into_parts();
        let last = entries.last().map(|record| record.entry.number);
        Ok(AuditLog {
            next: last.filter(|_| are_more),
            entries,
        })
    }
}

/// Addresses are for admins, as those of sessions are. Without the salt nobody finds them out by trying them against the digest.
fn hide_from_moderators(record: &mut AuditRecord) {
    if let Some(details) = &mut record.details {
        details.salt = None;
        details.address = None;
    }
    record.details = record.details.take().filter(|it| it.reason.is_some());
}

#[cfg(test)]
mod tests;
