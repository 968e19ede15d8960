//! What is decided of the totals of days.

use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_rules::points::{RecordedDays, Totals};
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::{ID, Record, TOTALS, day_key, load};
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::Environment;

/// The totals of days at their owner.
pub type LiveTotals = Answering<RecordedDays>;

impl Decisions for RecordedDays {
    type Id = UserId;
    type Ask = Record;
    /// A day that is new.
    type Effects = Option<(u32, Box<Totals>)>;
    type News = ();
    type Environment = Environment;

    const KIND: Kind = TOTALS;
    const LABEL: EntityKind = EntityKind::Totals;
    const COMMIT_BYTES: usize = 1_024;

    fn id_of(_: [u8; ID_BYTES]) -> UserId {
        ID
    }

    async fn load(environment: Environment, _: UserId) -> Result<Loaded<Self>, StoreError> {
        load(Arc::clone(environment.players.entities())).await
    }

    fn decide(
        &mut self,
        Record { day, totals }: Record,
        _: Moment,
        effects: &mut Self::Effects,
    ) -> Result<Vec<u8>, Fault> {
        let is_new = self.record(day);
        if is_new {
            *effects = Some((day, totals));
        }
        Ok(codec::encode(&is_new))
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, _: &mut Self::Effects) {
        // Nobody tells it anything.
        tracing::error!(%from, version = signal.version, "a signal went to the wrong entity");
    }

    fn is_empty(effects: &Self::Effects) -> bool {
        effects.is_none()
    }

    fn put(&mut self, _: &Environment, effects: Self::Effects, _: u64, commit: &mut Commit) {
        let row = |(day, totals): (u32, Box<Totals>)| (day_key(day), Some(codec::encode(&*totals)));
        commit.rows.extend(effects.map(row));
    }

    fn tell(&mut self, _: &Environment, (): ()) {}
}
