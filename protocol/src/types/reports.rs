//! Reports: players say what moderators should look at, and moderators say what came of it.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomId, UserId};

/// Reports a message to the staff, who see it as it is at this moment, also if it is changed or deleted later. The caller is a member of its
/// room. Whoever reports the same message again while nobody has settled it gets the same report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportMessage {
    /// The room.
    pub room: RoomId,
    /// The message, which is another player's and not deleted.
    pub seq: u64,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// More, in the caller's words, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Reports a player to the staff. Whoever reports the same player again while nobody has settled it gets the same report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportPlayer {
    /// The player, who is another one.
    pub user: UserId,
    /// What is wrong.
    pub reason: ReportReason,
    /// More, in the caller's words, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Reply to [`ReportMessage`] and [`ReportPlayer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reported {
    /// The report's number.
    pub number: u64,
}

/// Why something is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportReason {
    /// Advertising, or the same again and again.
    Spam,
    /// Insults, threats, harassment.
    Abuse,
    /// Hatred of groups of people.
    Hate,
    /// Sexual content.
    Sexual,
    /// Anything that endangers a child.
    ChildSafety,
    /// Talk of suicide or self-harm.
    SelfHarm,
    /// Cheating, or selling what the game does not allow.
    Cheating,
    /// A name, picture or bio that should not be.
    Profile,
    /// Something else; the note says what.
    Other,
}

/// Asks for reports, newest first. Moderators are not shown those about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListReports {
    /// Those that are settled, instead of those that are not.
    #[serde(default)]
    pub settled: bool,
    /// All about this player instead, settled or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Reports before this number only; from the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Reports per page: 1 to 200, by default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListReports`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reports {
    /// Reports, newest first.
    pub reports: Vec<Report>,
    /// The last number of the page, if older ones follow: the next page's `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Says that the caller looks after a report, which is not about them, so that others need not. Taken from another one of the staff, it
/// is the caller's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TakeReport {
    /// The report, which is not settled.
    pub number: u64,
}

/// Says what came of a report that is not about the caller. A settled one stays as it was settled first, and is the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SettleReport {
    /// The report.
    pub number: u64,
    /// What came of it.
    pub outcome: ReportOutcome,
    /// More, for the staff, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// The staff has done something about it.
    Acted,
    /// There was nothing to be done.
    Dismissed,
}

/// A report, as the staff sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made.
    pub at: u64,
    /// Who made it.
    pub by: UserId,
    /// Whom it is about.
    pub user: UserId,
    /// Why.
    pub reason: ReportReason,
    /// More, in the words of who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The message, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<ReportedMessage>,
    /// Who of the staff looks after it, or has settled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staff: Option<UserId>,
    /// How it was settled; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settlement>,
}

/// A message as it was when it was reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportedMessage {
    /// The room.
    pub room: RoomId,
    /// The message's number.
    pub seq: u64,
    /// When it was sent.
    pub at: u64,
    /// Under which display name.
    pub name: String,
    /// What it said.
    pub text: String,
}

/// How a report was settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Settlement {
    /// What came of it.
    pub outcome: ReportOutcome,
    /// When.
    pub at: u64,
    /// More, in the staff's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
