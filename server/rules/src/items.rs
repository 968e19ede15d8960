//! The rules of items: the catalogue, what one player owns, and what is left for all; pure and synchronous.
//!
//! A player's entity keeps an [`Inventory`] beside the books: what is bought is paid and owned by one commit. Of an item with a bound for all
//! players the [`Stock`] is an entity of its own. Such a purchase is an order: the player's entity notes it and tells the stock, which
//! counts it or says that it is sold out; what was counted is then paid and owned by one commit, or goes back.
//!
//! - [`catalogue`]: what the game's team writes about items;
//! - [`rows`]: what is stored, and what entities tell each other;
//! - [`inventory`]: what a player owns; [`orders`]: purchases that wait for the stock; [`stock`]: what is left;
//! - [`refusal`]: why a call is refused.

pub mod catalogue;
pub mod inventory;
pub mod orders;
pub mod refusal;
pub mod rows;
pub mod stock;

#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, Item};
pub use inventory::{Inventory, ItemChanged, ItemsCommit, ItemsEffects};
pub use orders::Outcome;
pub use refusal::ItemRefusal;
pub use rows::{ChangeRow, HeadRow, ItemsSignal, OrderRow, OwnedRow, StockSignal};
pub use stock::{Stock, StockEffects};
