//! What is decided of the audit log: it takes whatever it is told.

use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::audit_log::AuditRecord;
use pitturu_rules::audit_log::{AuditSignal, Head, Note};
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::{AUDIT_LOG, HEAD, ID, load, rows_of};
use crate::log_lines::AUDITED;
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::Environment;
use crate::random::random_bytes;

/// The audit log at its owner.
pub type LiveAuditLog = Answering<Head>;

impl Decisions for Head {
    type Id = UserId;
    type Ask = Note;
    type Effects = Vec<AuditRecord>;
    /// Where the log stands then.
    type News = Self;
    type Environment = Environment;

    const KIND: Kind = AUDIT_LOG;
    const LABEL: EntityKind = EntityKind::AuditLog;
    const COMMIT_BYTES: usize = 1_024;

    fn id_of(_: [u8; ID_BYTES]) -> UserId {
        ID
    }

    async fn load(environment: Environment, _: UserId) -> Result<Loaded<Self>, StoreError> {
        load(Arc::clone(environment.players.entities())).await
    }

    fn decide(
        &mut self,
        note: Note,
        _: Moment,
        effects: &mut Self::Effects,
    ) -> Result<Vec<u8>, Fault> {
        effects.push(self.append(note, random_bytes()));
        Ok(codec::encode(&()))
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut Self::Effects) {
        match codec::decode(&signal.body) {
            Ok(AuditSignal::Noted(note)) => effects.push(self.append(*note, random_bytes())),
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }

    fn is_empty(effects: &Self::Effects) -> bool {
        effects.is_empty()
    }

    fn put(
        &mut self,
        _: &Environment,
        effects: Self::Effects,
        _: u64,
        commit: &mut Commit,
    ) -> Self {
        commit.rows.extend(effects.into_iter().flat_map(rows_of));
        let head = (HEAD.to_vec(), Some(codec::encode(self)));
        commit.rows.push(head);
        self.clone()
    }

    fn tell(&mut self, _: &Environment, head: Self) {
        // Kept elsewhere than the store, it shows that the log was cut short or written anew.
        if AUDITED.admit() {
            tracing::info!(
                number = head.number,
                digest = head.digest,
                "audit log stands at"
            );
        }
    }
}
