//! Which lock-outs the audit log is told of: the first of each player and network in a while.

use std::collections::HashMap;

use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_rules::audit_log::Note;

use crate::connections::caller::Caller;
use crate::connections::network::Network;
use crate::players::audit_log::AuditLogOwner;

/// For how long further lock-outs of the same are no entries, in milliseconds.
const QUIET_MS: u64 = 10 * 60 * 1_000;

/// How many are remembered. Beyond it nothing is noted, which bounds what an attack from everywhere adds to the log: two entries a
/// second, about. The server's own log and metrics have the rest.
const REMEMBERED_MAX: usize = 1_024;

/// Notes lock-outs in the audit log.
pub(super) struct LockOutNotes {
    audit_log: AuditLogOwner,
    /// By player, if somebody has the name, and network: until when it is quiet.
    noted: Mutex<HashMap<(Option<UserId>, Network), u64>>,
}

impl LockOutNotes {
    pub(super) fn new(audit_log: AuditLogOwner) -> Self {
        Self {
            audit_log,
            noted: Mutex::default(),
        }
    }

    /// Too many wrong passwords for the player, if there is one of that name. Nobody waits for the entry.
    pub(super) fn note(&self, caller: &Caller, user: Option<UserId>) {
        if !self.is_new(caller, user) {
            return;
        }
        let note = Note {
            by: caller.identity.as_ref().map(|identity| identity.user),
            user,
            address: Some(caller.address.ip().to_string()),
            ..Note::new(AuditAct::LockedOut, caller.now)
        };
        let audit_log = self.audit_log.clone();
        tokio::spawn(async move {
            if let Err(fault) = audit_log.note(note).await {
                tracing::warn!(%fault, "a lock-out is not in the audit log");
            }
        });
    }

    fn is_new(&self, caller: &Caller, user: Option<UserId>) -> bool {
        let mut noted = self.noted.lock();
        let of = (user, Network::of(caller.address.ip()));
        if noted.get(&of).is_some_and(|until| caller.now < *until) {
            return false;
        }
        if noted.len() >= REMEMBERED_MAX {
            noted.retain(|_, until| caller.now < *until);
        }
        if noted.len() >= REMEMBERED_MAX {
            return false;
        }
        noted.insert(of, caller.now + QUIET_MS);
        true
    }
}
