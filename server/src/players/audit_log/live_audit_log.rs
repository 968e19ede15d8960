//! What is decided of the audit log: it takes whatever it is told.

use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::audit_log::AuditRecord;
use pitturu_rules::audit_log::{AuditSignal, Head};
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::{AUDIT_LOG, Ask, HEAD, ID, details_key, load, rows_of};
use crate::log_lines::AUDITED;
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::Environment;
use crate::random::random_bytes;

/// What a decision changes.
#[derive(Debug, Default)]
pub struct Effects {
    /// New entries.
    added: Vec<AuditRecord>,
    /// Entries whose details go.
    erased: Vec<u64>,
}

/// The audit log at its owner.
pub type LiveAuditLog = Answering<Head>;

impl Decisions for Head {
    type Id = UserId;
    type Ask = Ask;
    type Effects = Effects;
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

    fn decide(&mut self, ask: Ask, _: Moment, effects: &mut Effects) -> Result<Vec<u8>, Fault> {
        match ask {
            Ask::Note(note) => effects.added.push(self.append(*note, random_bytes())),
            Ask::Erase(numbers) => effects.erased = numbers,
        }
        Ok(codec::encode(&()))
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut Effects) {
        match codec::decode(&signal.body) {
            Ok(AuditSignal::Noted(note)) => {
                effects.added.push(self.append(*note, random_bytes()));
            }
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }

    fn is_empty(effects: &Effects) -> bool {
        effects.added.is_empty() && effects.erased.is_empty()
    }

    fn put(&mut self, _: &Environment, effects: Effects, _: u64, commit: &mut Commit) -> Self {
        let added = effects.added.into_iter();
        commit.rows.extend(added.flat_map(rows_of));
        let erased = effects.erased.into_iter();
        commit
            .rows
            .extend(erased.map(|number| (details_key(number), None)));
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
