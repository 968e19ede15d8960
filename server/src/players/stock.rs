//! What is left of an item for all players: an entity for each item with a bound.
//!
//! Players' entities order by signals, and are told by signals: nobody asks a stock anything.

mod live_stock;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::ids::{ID_BYTES, ItemId};
use pitturu_rules::game_data::Game;
use pitturu_rules::items::{Stock, StockSignal};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Entities, EntityId, Kind, LoadedPart, Part, RowKey, RowRange, Signal, Undelivered,
};
use sha2::{Digest as _, Sha256};

pub use self::live_stock::LiveStock;
use super::Environment;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering::Loaded;
use crate::owners::journal::Journal;

/// Stocks among the kinds of entities.
pub const STOCKS: Kind = Kind(5);

/// The one row of a stock.
const SOLD: &[u8] = b"s";

/// Names one stock, by the name of its item.
fn id_of(item: &str) -> ItemId {
    let digest = Sha256::digest(item.as_bytes());
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&digest[..ID_BYTES]);
    ItemId::from_bytes(id)
}

fn entity(id: ItemId) -> EntityId {
    EntityId::new(STOCKS, id)
}

/// The row of an item's stock.
pub(super) fn row_of(item: &str) -> (EntityId, RowKey) {
    (entity(id_of(item)), SOLD.to_vec())
}

/// A signal to an item's stock.
pub(super) fn signal(item: &str, signal: &StockSignal) -> Signal {
    Signal {
        to: entity(id_of(item)),
        body: codec::encode(signal),
    }
}

async fn load(
    entities: Arc<dyn Entities>,
    id: ItemId,
) -> Result<(Journal, Option<Stock>, Vec<Undelivered>), StoreError> {
    // Before the read: a failure in between makes the fence old, not the state.
    let fence = entities.fence();
    let parts = vec![Part::Rows(RowRange::prefix(SOLD))];
    let loaded = entities.load(entity(id), parts).await?;
    let Some(loaded) = loaded else {
        return Ok((Journal::begin(entity(id), fence), None, Vec::new()));
    };
    let stock = match loaded.parts.as_slice() {
        [LoadedPart::Rows(rows)] => match rows.as_slice() {
            [] => None,
            [(_, row)] => Some(
                codec::decode(row)
                    .map_err(|error| StoreError::damaged(format!("stock: {error}")))?,
            ),
            _ => return Err(StoreError::damaged("a stock has one row")),
        },
        _ => return Err(StoreError::damaged("a stock was loaded in other parts")),
    };
    Ok((Journal::of(entity(id), &loaded), stock, loaded.undelivered))
}

/// The owners of stocks.
pub type StockOwners = Owners<LiveStock>;

/// Starts the owners, whose tasks run on these I/O threads.
pub fn start(io_threads: &IoThreads, shards: usize, environment: &Environment) -> StockOwners {
    let owners = StockOwners::start(io_threads, shards, environment);
    owners.route(&environment.routes);
    owners
}

/// A stock as its owner has it.
#[derive(Debug)]
pub struct OwnedStock {
    stock: Stock,
    game: Arc<Game>,
}

impl OwnedStock {
    async fn load(environment: Environment, id: ItemId) -> Result<Loaded<Self>, StoreError> {
        let (journal, stock, undelivered) =
            load(Arc::clone(environment.players.entities()), id).await?;
        Ok(Loaded {
            journal,
            state: Self {
                stock: stock.unwrap_or_default(),
                game: environment.game,
            },
            undelivered,
        })
    }
}
