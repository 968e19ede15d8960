//! What is stored of a season, as MessagePack maps with short names.

use pitturu_protocol::ids::UserId;
use serde::{Deserialize, Serialize};

use super::{Direction, Operator, SeasonOf};

/// A season: written with its first score, when it ends, and while places are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonRow {
    /// Which one.
    #[serde(rename = "w")]
    pub of: SeasonOf,
    /// What a score did when the season began: it stays so to its end.
    #[serde(rename = "o")]
    pub operator: Operator,
    /// Which scores were better then.
    #[serde(rename = "d")]
    pub direction: Direction,
    /// How it has ended.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a season has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Players who had a score at its end, which is what those who are told their place hear.
    #[serde(rename = "c")]
    pub count: u32,
    /// Places that are to be told.
    #[serde(rename = "p")]
    pub places: u32,
    /// Places that were told.
    #[serde(rename = "t")]
    pub told: u32,
    /// Its scores are kept no longer.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_removed: bool,
}

impl Ended {
    /// Whether everybody who is to hear of their place has been told.
    pub const fn is_told(&self) -> bool {
        self.told >= self.places
    }
}

/// A player's score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// The score.
    #[serde(rename = "s")]
    pub score: i64,
    /// The number at which it was reached.
    #[serde(rename = "n")]
    pub number: u64,
    /// When, in milliseconds since 1970.
    #[serde(rename = "a")]
    pub at: u64,
    /// What was submitted with it.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The service or admin who submitted it; absent if a signal brought it.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
}

/// A season in the list of those of its leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSeason {
    /// Which one.
    #[serde(rename = "w")]
    pub of: SeasonOf,
    /// How many have a score, once it has ended.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}
