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
use pitturu_store::entities::{EntityId, Kind, LoadedPart, Part, RowKey, RowRange, Signal};
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
        let Environment { players, game, .. } = environment;
        let (entities, entity) = (players.entities(), entity(id));
        // Before the read: a failure in between makes the fence old, not the state.
        let fence = entities.fence();
        let parts = vec![Part::Rows(RowRange::prefix(SOLD))];
        let Some(loaded) = entities.load(entity, parts).await? else {
            return Ok(Loaded {
                journal: Journal::begin(entity, fence),
                state: Self {
                    stock: Stock::default(),
                    game,
                },
                undelivered: Vec::new(),
            });
        };
        let stock = match loaded.parts.as_slice() {
            [LoadedPart::Rows(rows)] if rows.len() <= 1 => match rows.first() {
                Some((_, row)) => codec::decode(row)
                    .map_err(|error| StoreError::damaged(format!("stock: {error}")))?,
                None => Stock::default(),
            },
            _ => return Err(StoreError::damaged("a stock has one row")),
        };
        Ok(Loaded {
            journal: Journal::of(entity, &loaded),
            state: Self { stock, game },
            undelivered: loaded.undelivered,
        })
    }
}
