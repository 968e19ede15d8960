//! The rules of points: one player's books in double entry, pure and synchronous.
//!
//! A player's entity keeps [`Books`]: each account has what was taken from it and given to it, pending and posted. Each
//! movement takes an amount from one account and gives it to another, so that the sums of a player's books are equal at every
//! version. Movements are numbered and never change; a line of the ledger ([`EntryRow`]) carries the books as they are after it.
//!
//! Points that go to another player leave by the account [`Transit`](PointsAccount::Transit), travel as a [`PointsSignal`] and arrive by the
//! other player's: over all players that account is zero when nothing is under way. What the other can't take comes back.
//!
//! A pending movement sets an amount aside. It is posted, in whole or in part, or voided; when its time is over it counts as voided for
//! whoever looks, and the next decision writes that down.
//!
//! - [`books`]: accounts, their counters and bounds;
//! - [`rows`]: what is stored, and what is told to another player's entity;
//! - [`wallet`]: what is asked of a player's books; [`pending`]: what is set aside; [`gifts`]: what goes to others and comes from
//!   them;
//! - [`data`]: what the game's team writes about points;
//! - [`totals`]: what the books of all players had at the end of a day;
//! - [`refusal`]: why a call is refused.

pub mod books;
pub mod data;
pub mod gifts;
pub mod pending;
pub mod refusal;
pub mod rows;
pub mod totals;
pub mod wallet;

#[cfg(test)]
mod tests;

pub use books::{Books, Counters};
pub use data::{GiftRules, PointsData};
pub use pitturu_protocol::types::points::{MovementState, PointsAccount, PointsReason};
pub use refusal::PointsRefusal;
pub use rows::{DayRow, Entry, EntryRow, PendingRow, PointsSignal, RefundedRow};
pub use totals::{RecordedDays, Totals};
pub use wallet::{Flow, PointsCommit, PointsEffects, Wallet};
