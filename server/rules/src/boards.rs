//! The rules of leaderboards, pure and synchronous.
//!
//! A leaderboard has one [`Board`] for each [`Season`]. [`BoardRules`] are what an operator writes of it; [`Seasons`] says
//! which season an instant is in, [`Board::submit`] what a score changes there, and the rest of [`Board`] who is where. The
//! earlier of equal scores is the better one, so that no two entries share a place.
//!
//! - [`rules`]: operator, direction, resets;
//! - [`seasons`]: when a season begins and ends, in time zones;
//! - [`board`]: the scores of one season, and what changes them; [`queries`]: what can be asked of them;
//! - [`season_board`]: a season from its first score to its removal; [`rows`]: what is stored of it; [`identity`]: its id;
//! - [`definitions`]: all leaderboards of a game.
//!
//! Entries lie in slots (`entries.rs`), and two sorted lists of slots (`slots.rs`) find them by place and by player. A tree of
//! whole keys and a map from players to keys would hold each player and score twice.

pub mod board;
pub mod definitions;
mod entries;
pub mod identity;
pub mod queries;
pub mod rows;
pub mod rules;
pub mod season_board;
pub mod seasons;
mod slots;

#[cfg(test)]
mod tests;

pub use board::{
    Board, BoardLoader, Change, Entry, LoadError, METADATA_BYTES_MAX, SCORE_MAX, Standing,
    SubmitError,
};
pub use definitions::{Definition, Definitions};
pub use identity::{SeasonOf, board_key};
pub use queries::{Percentile, Ranked};
pub use rows::{Ended, ListedSeason, ScoreRow, SeasonRow};
pub use rules::{BoardRules, Direction, Operator, Reset, RulesError, RulesMistake, Weekday};
pub use season_board::{BoardEffects, Closing, Placement, SeasonBoard, Submission};
pub use seasons::{Season, Seasons};
