//! Why a call about items is refused.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::limits::ITEM_COUNT_MAX;

use crate::points::PointsRefusal;

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemRefusal {
    /// The game has no such item.
    #[error("the game has no such item")]
    NoItem,
    /// None, or more than one call may change.
    #[error("1 to {ITEM_COUNT_MAX}")]
    NoCount,
    /// It can't be bought.
    #[error("the item is not for sale")]
    NotForSale,
    /// It costs something else.
    #[error("one costs {price} points")]
    PriceChanged {
        /// What one costs.
        price: u64,
    },
    /// The player would own too many.
    #[error("a player owns at most {most} of this item, and has {has}")]
    TooMany {
        /// Most of the item.
        most: u64,
        /// What the player has.
        has: u64,
    },
    /// The player would own too many different ones.
    #[error("a player owns at most {max} different items", max = super::inventory::KINDS_MAX)]
    TooManyKinds,
    /// The player has fewer.
    #[error("the player has {has}")]
    NotEnough {
        /// What the player has.
        has: u64,
    },
    /// Players do not use it up.
    #[error("this item is not used up")]
    NotConsumable,
    /// Fewer are left for all players.
    #[error("{left} are left")]
    SoldOut {
        /// How many.
        left: u64,
    },
    /// Too many purchases of the player wait for the stock.
    #[error("at most {max} purchases of one player wait", max = super::orders::ORDERS_MAX)]
    TooManyOrders,
    /// The points.
    #[error(transparent)]
    Points(#[from] PointsRefusal),
}

impl From<ItemRefusal> for Fault {
    fn from(refusal: ItemRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            ItemRefusal::NoItem => Self::of(Code::ItemNotFound),
            ItemRefusal::NoCount => Self::invalid("count", text),
            ItemRefusal::NotForSale => Self::of(Code::NotForSale),
            ItemRefusal::PriceChanged { .. } => Self::new(Code::PriceChanged, text),
            ItemRefusal::TooMany { .. }
            | ItemRefusal::TooManyKinds
            | ItemRefusal::TooManyOrders => Self::new(Code::LimitReached, text),
            ItemRefusal::NotEnough { .. } => Self::new(Code::NotEnoughItems, text),
            ItemRefusal::NotConsumable => Self::invalid("item", text),
            ItemRefusal::SoldOut { .. } => Self::new(Code::SoldOut, text),
            ItemRefusal::Points(refusal) => refusal.into(),
        }
    }
}
