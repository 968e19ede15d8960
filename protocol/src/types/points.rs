//! Points: what players own, earn and spend, in double entry.
//!
//! Every movement takes an amount from one account of a player's books and gives it to another. Who makes one gives it an id: the
//! idempotency key of the call, which such calls must carry, and which is good for ever. A repetition gets the first movement; the
//! same id with another request is refused with [`Code::KeyReused`](crate::codes::Code::KeyReused), which names the field that differs.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// An account of a player's books. What the wallet gains, one of the others gives, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PointsAccount {
    /// What the player has.
    Wallet,
    /// Granted and taken by admins and services.
    Issuance,
    /// Given by rules.
    Rewards,
    /// Bought at Toss Payments.
    PurchasesToss,
    /// Bought in Apple's store.
    PurchasesApple,
    /// Bought at Google Play.
    PurchasesGoogle,
    /// Spent.
    Spend,
    /// Given back of what was spent.
    Refunds,
    /// Expired.
    Breakage,
    /// On the way from one player to another. Over all players it is zero when nothing is under way.
    Transit,
}

/// Why points moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PointsReason {
    /// An admin or a service gave them.
    Grant,
    /// An admin or a service took them.
    Deduction,
    /// A rule gave them.
    Reward,
    /// They were bought.
    Purchase,
    /// A purchase was refunded: they go back, also where the wallet has too few.
    ClawBack,
    /// The player spent them.
    Spend,
    /// What was spent is given back.
    Refund,
    /// They had a time limit.
    Expiry,
    /// A gift to another player, or from one.
    Gift,
    /// A gift that the other player could not take.
    GiftReturned,
}

/// Whether a movement is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MovementState {
    /// It is.
    Posted,
    /// The amount is set aside until another movement posts or voids it, or its time is over.
    Pending,
    /// It makes a pending movement final, the whole or a part of it; the rest is free again.
    Post,
    /// It ends a pending movement, whose amount is free again.
    Void,
}

/// One line of a player's books. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Movement {
    /// Its number in the player's books: dense from 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The account that gives.
    pub debit: PointsAccount,
    /// The account that gets.
    pub credit: PointsAccount,
    /// How many points. 0 for the end of a pending movement.
    pub amount: u64,
    /// Whether it is final.
    pub state: MovementState,
    /// Why.
    pub reason: PointsReason,
    /// What it is for: an item, an order, a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What whoever made it says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The key of the call that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The admin or service who made it; absent if the player or a rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// Who gave it, or gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<UserId>,
    /// Until when it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Number of the movement that it posts, voids or refunds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// What the wallet has after it, in points. Below 0 only after a purchase was refunded.
    pub balance: i64,
    /// What of that can be spent: without what is pending.
    pub available: i64,
}
