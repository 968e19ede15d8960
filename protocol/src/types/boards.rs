//! Leaderboards: the best of a season, somebody's place in it, and what changes while one looks.
//!
//! The game's team names them in a file; a call that names another one is refused with
//! [`Code::BoardNotFound`](crate::codes::Code::BoardNotFound). A season goes from one reset to the next and has a number. Calls that may name one are about the
//! running season when they do not.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// What a submitted score does to the player's score of the season.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BoardOperator {
    /// The better one stays.
    Best,
    /// The submitted one stays.
    Latest,
    /// They are added.
    Sum,
}

/// Which scores are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BoardDirection {
    /// Higher ones: points.
    Higher,
    /// Lower ones: times.
    Lower,
}

/// The game's leaderboards, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListBoards {
    /// Only those behind this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListBoards`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Boards {
    /// Leaderboards.
    pub boards: Vec<BoardInfo>,
    /// Whether more follow.
    pub more: bool,
}

/// One leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoardInfo {
    /// Its name.
    pub board: String,
    /// What a submitted score does.
    pub operator: BoardOperator,
    /// Which scores are better.
    pub direction: BoardDirection,
    /// Most players of a season.
    pub entries_max: u32,
    /// How many of the best find their place in the inbox when a season has ended.
    pub places_told: u32,
    /// The running season.
    pub season: BoardSeason,
}

/// One season of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoardSeason {
    /// Its number.
    pub number: u64,
    /// Its first millisecond.
    pub starts_at: u64,
    /// The first millisecond of the next one; absent if no reset follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
    /// Players who have a score.
    pub count: u32,
    /// Whether it takes no more scores.
    pub ended: bool,
}

/// The best of a season, the best first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListTopScores {
    /// The leaderboard.
    pub board: String,
    /// The season; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u64>,
    /// How many of the best to leave out; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A player's score with those next to it, the best first. Refused with `not_found` if the player has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListScoresAround {
    /// The leaderboard.
    pub board: String,
    /// The season; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u64>,
    /// The player; the caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// How many better ones, at most 50; 5 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// How many worse ones, at most 50; 5 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

/// The scores of the caller and the caller's friends, the best first. Their ranks are those among all players.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListFriendScores {
    /// The leaderboard.
    pub board: String,
    /// The season; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u64>,
    /// How many of the best to leave out; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Some scores of a season.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scores {
    /// Number of the season.
    pub season: u64,
    /// Players who have a score in it.
    pub count: u32,
    /// The best first.
    pub entries: Vec<ScoreEntry>,
    /// Whether more follow of what was asked for.
    pub more: bool,
}

/// A player's score and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScoreEntry {
    /// The player.
    pub user: UserId,
    /// Their display name; empty if there is no such player any more.
    pub name: String,
    /// The place, from 1. No two players share one: of equal scores the earlier is before the later.
    pub rank: u32,
    /// The score, within ±(2^53 − 1).
    pub score: i64,
    /// When it was reached.
    pub at: u64,
    /// What was submitted with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// A player's score and place. Refused with `not_found` if the player has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetScore {
    /// The leaderboard.
    pub board: String,
    /// The season; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u64>,
    /// The player; the caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

/// Reply to [`GetScore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayerScore {
    /// Number of the season.
    pub season: u64,
    /// Score and place.
    pub entry: ScoreEntry,
    /// How many of all players are behind, in hundredths of a percent, rounded down.
    pub percentile: u32,
    /// Players who have a score in the season.
    pub count: u32,
    /// Who submitted the score, for services and admins; absent if the server's own rules did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
}

/// Where a player stands on all leaderboards of the game. A page looks through at most 500 of the player's scores, so that it may have
/// fewer than asked for, or none, though there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListPlaces {
    /// The player; the caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// True for seasons that have ended, too; only running ones otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
    /// `next` of the page before; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most 50; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListPlaces`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Places {
    /// In the order of leaderboards, of one the newest season first.
    pub places: Vec<PlayerPlace>,
    /// Position for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A player's place in one season.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayerPlace {
    /// The leaderboard.
    pub board: String,
    /// The season.
    pub season: BoardSeason,
    /// The place, from 1.
    pub rank: u32,
    /// The score.
    pub score: i64,
    /// When it was reached.
    pub at: u64,
}

/// The seasons of a leaderboard in which there are scores, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListSeasons {
    /// The leaderboard.
    pub board: String,
    /// Only those before this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListSeasons`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoardSeasons {
    /// Seasons.
    pub seasons: Vec<BoardSeason>,
    /// Whether older ones follow.
    pub more: bool,
}

/// Submits a player's score of this moment. It counts in one season: a repetition under the same key gets the first result, also when a season
/// has begun in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitScore {
    /// The leaderboard.
    pub board: String,
    /// The player.
    pub user: UserId,
    /// The score, within ±(2^53 − 1).
    pub score: i64,
    /// What the game wants to show with it, at most 256 bytes. It stays as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// Reply to [`SubmitScore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScoreSubmitted {
    /// Number of the season in which it counts.
    pub season: u64,
    /// The player's score of the season now.
    pub score: i64,
    /// Its place, from 1.
    pub rank: u32,
    /// The place before; absent if the player had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_before: Option<u32>,
    /// Whether the submitted score has changed anything.
    pub changed: bool,
}

/// Takes a player's score off a leaderboard. Refused with `not_found` if the player has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemoveScore {
    /// The leaderboard.
    pub board: String,
    /// The season; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u64>,
    /// The player.
    pub user: UserId,
    /// Why, for the audit log, at most 512 bytes.
    pub note: String,
}

/// Has the connection hear of a leaderboard's changes by [`RankChanged`], until it closes, the player signs out, or [`UnfollowBoard`]. After a reconnect it
/// has to be asked for again, which the SDKs do by themselves. At most 16 leaderboards on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FollowBoard {
    /// The leaderboard.
    pub board: String,
}

/// Ends what [`FollowBoard`] began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnfollowBoard {
    /// The leaderboard.
    pub board: String,
}

/// What a leaderboard shows at a glance. Reply to [`FollowBoard`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BoardStanding {
    /// The leaderboard.
    pub board: String,
    /// Number of the running season.
    pub season: u64,
    /// Players who have a score.
    pub count: u32,
    /// The best ten.
    pub top: Vec<ScoreEntry>,
    /// The player's own score, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<ScoreEntry>,
}

/// Something has changed on a followed leaderboard: its season, how many are on it, the best ten, or the player's own place. Comes at most four times a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RankChanged {
    /// What it shows now.
    pub standing: BoardStanding,
}
