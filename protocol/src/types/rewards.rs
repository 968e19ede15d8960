//! Rewards: what rules written by the game's team give to players for what they do; see `docs/items.md`.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// How a player came out of a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlayOutcome {
    /// Played it, whatever came out.
    Played,
    /// Won.
    Won,
    /// Lost.
    Lost,
    /// Neither.
    Drawn,
}

/// A player has played a game, as a server of the game has seen it. The rules give what there is for it. The key is good for ever: one for
/// each player and game played, such as the id of the match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordPlay {
    /// The player.
    pub user: UserId,
    /// Which game: 1 to 32 lower-case letters, digits, `_` and `-`.
    pub game: String,
    /// How it came out.
    pub outcome: PlayOutcome,
}

/// Reply to [`RecordPlay`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayRecorded {
    /// Days in a row on which the player has played, this one included.
    pub streak: u32,
    /// What the rules have given.
    pub rewards: Vec<Reward>,
}

/// What a rule has given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reward {
    /// The rule.
    pub rule: String,
    /// How many points; 0 for none.
    pub points: u64,
    /// Which item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// How many of it; 0 without one.
    pub count: u64,
}

/// What the rules have for the caller today, or, for services and admins, for another player.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetRewards {
    /// The player; the caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

/// Reply to [`GetRewards`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rewards {
    /// Days in a row on which the player has played, up to today or yesterday; 0 if neither.
    pub streak: u32,
    /// Whether the player has played today.
    pub has_played: bool,
    /// Points that the rules have given today.
    pub points: u64,
    /// Most that they give on one day; absent if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points_max: Option<u64>,
    /// When the day ends, in milliseconds since 1970.
    pub day_ends_at: u64,
    /// The rules, in the order of their names.
    pub rules: Vec<RewardRule>,
}

/// A rule, and how often it has given today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RewardRule {
    /// Its name.
    pub rule: String,
    /// What it is for.
    pub on: RewardTrigger,
    /// How many days in a row, for a streak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Which places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<RewardPlaces>,
    /// Only in this game.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game: Option<String>,
    /// How many points it gives; 0 for none.
    pub points: u64,
    /// Which item it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// How many of it; 0 without one.
    pub count: u64,
    /// How often it gives on one day; absent if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// How often it has given today.
    pub today: u32,
}

/// What a rule gives for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RewardTrigger {
    /// The first game played on a day.
    FirstPlay,
    /// A game played.
    Play,
    /// A game won.
    Win,
    /// The first game on the last of so many days in a row, and of so many more.
    Streak,
    /// A place when a season of a board ends.
    Places,
}

/// Places of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RewardPlaces {
    /// The leaderboard.
    pub board: String,
    /// The first place.
    pub from: u32,
    /// The last one.
    pub to: u32,
}
