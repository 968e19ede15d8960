//! What is stored of a player's points, and what one player's entity tells another's: MessagePack maps.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::points::{
    Movement, MovementState, PointsAccount, PointsReason, Wallet,
};
use serde::{Deserialize, Serialize};

use super::books::Books;

/// What one movement is, beside its number and the books after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub at: u64,
    /// The account that gives.
    #[serde(rename = "d")]
    pub debit: PointsAccount,
    /// The account that gets.
    #[serde(rename = "c")]
    pub credit: PointsAccount,
    /// How many points.
    #[serde(rename = "a")]
    pub amount: u64,
    /// Whether it is final.
    #[serde(rename = "s")]
    pub state: MovementState,
    /// Why.
    #[serde(rename = "r")]
    pub reason: PointsReason,
    /// What it is for.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What whoever made it says of it.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The key of the call that made it.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The admin or service who made it.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// Who gave it, or gets it.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub other: Option<UserId>,
    /// Until when it is pending.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Number of the movement that it posts, voids or refunds.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// One line of a player's ledger, under its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// The movement.
    #[serde(flatten)]
    pub entry: Entry,
    /// The books after it.
    #[serde(rename = "B")]
    pub books: Books,
}

impl EntryRow {
    /// What the wallet has after it, this being the line with this number.
    pub const fn wallet(&self, head: u64) -> Wallet {
        let wallet = self.books.of(PointsAccount::Wallet);
        Wallet {
            balance: wallet.balance(),
            available: wallet.available(),
            head,
        }
    }

    /// As clients see it.
    pub fn movement(self, number: u64) -> Movement {
        let Self { entry, books } = self;
        let wallet = books.of(PointsAccount::Wallet);
        Movement {
            number,
            at: entry.at,
            debit: entry.debit,
            credit: entry.credit,
            amount: entry.amount,
            state: entry.state,
            reason: entry.reason,
            reference: entry.reference,
            note: entry.note,
            id: entry.id,
            by: entry.by,
            other: entry.other,
            until: entry.until,
            of: entry.of,
            balance: wallet.balance(),
            available: wallet.available(),
        }
    }
}

/// An amount that is set aside, under the number of its movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRow {
    /// The account that gives.
    #[serde(rename = "d")]
    pub debit: PointsAccount,
    /// The account that gets.
    #[serde(rename = "c")]
    pub credit: PointsAccount,
    /// How many points.
    #[serde(rename = "a")]
    pub amount: u64,
    /// Why.
    #[serde(rename = "r")]
    pub reason: PointsReason,
    /// Until when, in milliseconds since 1970.
    #[serde(rename = "u")]
    pub until: u64,
}

/// What was given back of a movement, under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundedRow {
    /// How many points.
    #[serde(rename = "a")]
    pub amount: u64,
}

/// A day on which a player's points moved, under the day: from it what moved on that day follows without a look at its movements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    /// The books when it began.
    #[serde(rename = "o")]
    pub opening: Books,
    /// The books when it ended; absent for the last day on which something moved.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Books>,
}

/// What one player's books tell another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointsSignal {
    /// The sender gives points.
    Gift {
        /// Number of the movement in the sender's books.
        number: u64,
        /// How many points.
        amount: u64,
        /// What the giver says of it.
        note: Option<String>,
    },
    /// The sender can't take a gift.
    Returned {
        /// Number of the movement in the books of who gave it.
        number: u64,
        /// How many points.
        amount: u64,
    },
}
