//! What a stock decides.

use std::convert::Infallible;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_BYTES, ItemId, UserId};
use pitturu_rules::items::{StockEffects, StockSignal};
use pitturu_rules::signals::PlayerSignal;
use pitturu_store::StoreError;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::{OwnedStock, SOLD, STOCKS};
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::{self, Environment};

/// A stock at its owner.
pub type LiveStock = Answering<OwnedStock>;

impl Decisions for OwnedStock {
    type Id = ItemId;
    /// Nobody asks a stock anything.
    type Ask = Infallible;
    type Effects = StockEffects;
    type News = ();
    type Environment = Environment;

    const KIND: Kind = STOCKS;
    const LABEL: EntityKind = EntityKind::Stocks;
    const COMMIT_BYTES: usize = 512;

    fn id_of(id: [u8; ID_BYTES]) -> ItemId {
        ItemId::from_bytes(id)
    }

    async fn load(environment: Environment, id: ItemId) -> Result<Loaded<Self>, StoreError> {
        Self::load(environment, id).await
    }

    fn decide(
        &mut self,
        ask: Infallible,
        _: Moment,
        _: &mut StockEffects,
    ) -> Result<Vec<u8>, Fault> {
        match ask {}
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut StockEffects) {
        match codec::decode::<StockSignal>(&signal.body) {
            Ok(told) => {
                let stock = match &told {
                    StockSignal::Order { item, .. } => self.game.data.items.get(item),
                    StockSignal::Returned { .. } => None,
                };
                let stock = stock.and_then(|item| item.stock);
                let user = UserId::from_bytes(from.id());
                self.stock.apply(user, &told, stock, effects);
            }
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }

    fn is_empty(effects: &StockEffects) -> bool {
        *effects == StockEffects::default()
    }

    fn put(&mut self, _: &Environment, effects: StockEffects, _: u64, commit: &mut Commit) {
        if effects.has_changed {
            let row = Some(codec::encode(&self.stock));
            commit.rows.push((SOLD.to_vec(), row));
        }
        let signals = effects.signals.into_iter();
        let signals =
            signals.map(|(user, signal)| players::signal(user, &PlayerSignal::Items(signal)));
        commit.signals.extend(signals);
    }

    fn tell(&mut self, _: &Environment, (): ()) {}
}
