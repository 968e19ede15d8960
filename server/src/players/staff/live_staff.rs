//! What the staff decides.

use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_rules::accounts::{Staff, StaffEffects};
use pitturu_rules::audit_log::Note;
use pitturu_rules::signals::{PlayerSignal, StaffSignal};
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::{Ask, ID, STAFF, load, role_row};
use crate::connections::address::Address;
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::{self, Environment, audit_log};

/// The staff at its owner.
pub type LiveStaff = Answering<Staff>;

/// What a decision changes.
#[derive(Debug, Default)]
pub struct Effects {
    staff: StaffEffects,
    /// When it was decided, in milliseconds since 1970.
    at: u64,
    /// By whom, from where; the configuration if it is nobody.
    by: Option<(UserId, Address)>,
}

impl Decisions for Staff {
    type Id = UserId;
    type Ask = Ask;
    type Effects = Effects;
    type News = ();
    type Environment = Environment;

    const KIND: Kind = STAFF;
    const LABEL: EntityKind = EntityKind::Staff;
    const COMMIT_BYTES: usize = 512;

    fn only_looks(ask: &Ask) -> bool {
        matches!(ask, Ask::RoleOf(_))
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
        Ok(match ask {
            Ask::SetRole(change, address) => {
                effects.at = moment.now;
                let is_another = self.set(change, &mut effects.staff)?;
                effects.by = Some((change.by.user, address));
                codec::encode(&is_another)
            }
            Ask::RoleOf(shown) => codec::encode(&self.role_of(shown)),
        })
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut Effects) {
        match codec::decode(&signal.body) {
            Ok(StaffSignal::Configured { role, at }) => {
                let user = UserId::from_bytes(from.id());
                self.configured(user, role, &mut effects.staff);
                effects.at = at;
            }
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }

    fn is_empty(effects: &Effects) -> bool {
        effects.staff == StaffEffects::default()
    }

    fn put(
        &mut self,
        _: &Environment,
        Effects { staff, at, by }: Effects,
        _: u64,
        commit: &mut Commit,
    ) {
        let note = |(user, role): &(UserId, Role)| Note {
            by: by.map(|(user, _)| user),
            user: Some(*user),
            role: Some(*role),
            address: by.map(|(_, address)| address.ip().to_string()),
            ..Note::new(AuditAct::RoleChanged, at)
        };
        let notes = staff.rows.iter().map(note);
        commit.signals.extend(notes.map(audit_log::signal));
        let rows = staff.rows.into_iter();
        commit
            .rows
            .extend(rows.map(|(user, role)| role_row(user, role)));
        let told = staff.told.into_iter();
        let signals =
            told.map(|(user, role)| players::signal(user, &PlayerSignal::Role { role, at }));
        commit.signals.extend(signals);
    }

    fn tell(&mut self, _: &Environment, (): ()) {}
}
