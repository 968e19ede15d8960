//! The rules of rewards: what players get for what they do; pure and synchronous.
//!
//! What gives how much is data, written by the game's team ([`RewardsData`]). A player's entity keeps a [`RewardsRow`]: the last day on
//! which they played, how many in a row, and what they got on it. What a rule gives is moved and owned by the same commit as what it was
//! given for.
//!
//! - [`data`]: what the game's team writes about rewards;
//! - [`given`]: what is given for a game played, and for a place on a leaderboard.

pub mod data;
pub mod given;

#[cfg(test)]
mod tests;

pub use data::{Days, RewardsData, Rule};
pub use given::{Given, Play, RewardsRow};
