//! Points: what players own, earn and spend, in double entry.
//!
//! Every movement takes an amount from one account of a player's books and gives it to another. Who makes one gives it an id: the
//! idempotency key of the call, which such calls must carry, and which is good for ever. A repetition gets the first movement; the
//! same id with another request is refused with [`Code::KeyReused`](crate::codes::Code::KeyReused), which names the field that differs.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::limits::POINTS_ACCOUNTS;

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

impl PointsAccount {
    /// Every account, in the order of the books.
    pub const ALL: [Self; POINTS_ACCOUNTS] = [
        Self::Wallet,
        Self::Issuance,
        Self::Rewards,
        Self::PurchasesToss,
        Self::PurchasesApple,
        Self::PurchasesGoogle,
        Self::Spend,
        Self::Refunds,
        Self::Breakage,
        Self::Transit,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Issuance => "issuance",
            Self::Rewards => "rewards",
            Self::PurchasesToss => "purchases_toss",
            Self::PurchasesApple => "purchases_apple",
            Self::PurchasesGoogle => "purchases_google",
            Self::Spend => "spend",
            Self::Refunds => "refunds",
            Self::Breakage => "breakage",
            Self::Transit => "transit",
        }
    }
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

/// What a player has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetWallet {
    /// The player; the caller when absent. Another one's wallet is for services and admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

/// Reply to [`GetWallet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Wallet {
    /// What the player has, in points. Below 0 only after a purchase was refunded.
    pub balance: i64,
    /// What of that can be spent: without what is pending.
    pub available: i64,
    /// Number of the newest movement; 0 before the first.
    pub head: u64,
}

/// The player's points have moved: what the wallet has now, on every connection of the player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WalletChanged {
    /// What the player has now.
    pub wallet: Wallet,
}

/// The caller's movements, or, for services and admins, those of another player. A page looks through at most 5,000 movements, so that it may have
/// fewer than asked for, or none, though there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListMovements {
    /// The player; the caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// From where on: absent for the newest, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<MovementsFrom>,
    /// Only those that take from this account or give to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<PointsAccount>,
    /// Only those for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<PointsReason>,
    /// Only those at this time or later, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only those before this time, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Where a page of movements begins, and in which direction it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MovementsFrom {
    /// Behind this number, oldest first; 0 for the first.
    After(u64),
    /// Before this number, newest first.
    Before(u64),
}

/// Reply to [`ListMovements`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Movements {
    /// In the order asked for.
    pub movements: Vec<Movement>,
    /// Where the next page begins; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<MovementsFrom>,
}

/// The caller spends points. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SpendPoints {
    /// How many, at least 1.
    pub amount: u64,
    /// What for, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// The caller gives points to another player, who finds `points_received` in the inbox. What the other can't take, because of a block or
/// because the account has ended, comes back with `points_returned`. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GivePoints {
    /// Who gets them.
    pub user: UserId,
    /// How many, at least 1.
    pub amount: u64,
    /// A few words to the other player, at most 512 bytes. The word filter is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Gives a player points. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantPoints {
    /// The player.
    pub user: UserId,
    /// How many, at least 1.
    pub amount: u64,
    /// What for, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why, at most 512 bytes, for the player to read. An admin has to say it; a service may leave it empty.
    pub note: String,
}

/// Takes points that a player can spend. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeductPoints {
    /// The player.
    pub user: UserId,
    /// How many, at least 1.
    pub amount: u64,
    /// What for, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why, at most 512 bytes, for the player to read. An admin has to say it; a service may leave it empty.
    pub note: String,
}

/// Gives back what a player has spent by one movement. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefundPoints {
    /// The player.
    pub user: UserId,
    /// Number of the movement by which they were spent.
    pub movement: u64,
    /// How many of them; all that are left when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// Why, at most 512 bytes, for the player to read. An admin has to say it; a service may leave it empty.
    pub note: String,
}

/// Takes points whose time is over. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExpirePoints {
    /// The player.
    pub user: UserId,
    /// How many, at least 1.
    pub amount: u64,
    /// What of, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Sets aside points that a player is to spend. They can't be spent otherwise until they are posted or voided, or the time is over. The
/// key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetPointsAside {
    /// The player.
    pub user: UserId,
    /// How many, at least 1.
    pub amount: u64,
    /// Until when, in milliseconds since 1970: at most 30 days from now.
    pub until: u64,
    /// What for, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// A few words, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Has points spent that were set aside, all or a part; the rest is free again. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PostPoints {
    /// The player.
    pub user: UserId,
    /// Number of the movement that set them aside.
    pub movement: u64,
    /// How many of them; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
}

/// Frees points that were set aside. The key is the movement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoidPoints {
    /// The player.
    pub user: UserId,
    /// Number of the movement that set them aside.
    pub movement: u64,
}

/// What moved on one day, over all players. It reads what each player who moved points on that day has of it, page by page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListPointsDays {
    /// The day, in days since 1970-01-01 UTC.
    pub day: u32,
    /// The last player of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
}

/// Reply to [`ListPointsDays`]: sums over the players of this page, which are to be added up over the pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PointsDays {
    /// How many players moved points.
    pub players: u64,
    /// What each account gave and got on the day. Accounts that nothing moved in are left out.
    pub accounts: Vec<AccountDay>,
    /// The last player of the page, if more follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<UserId>,
}

/// Asks what all players had at the end of days, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListPointsTotals {
    /// Days before this one only, in days since 1970-01-01 UTC; from the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// Days per page: 1 to 200, by default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListPointsTotals`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PointsTotals {
    /// Days, newest first. The day of now is not there yet.
    pub days: Vec<DayTotals>,
    /// The last day of the page, if older ones follow: the next page's `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// What the books of all players had at the end of a day: each number counts from the beginning, so that a day's own is the
/// difference from the day before. A number beyond 2^53 − 1 is shown as 2^53 − 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DayTotals {
    /// The day, in days since 1970-01-01 UTC.
    pub day: u32,
    /// Players who had moved points by its end.
    pub wallets: u64,
    /// What `issuance`, `rewards` and the accounts of purchases gave.
    pub issued: u64,
    /// What `spend` got.
    pub spent: u64,
    /// What all wallets had, in points: what was set aside is in it, gifts under way are not. Below 0 only after purchases were refunded.
    pub outstanding: i64,
    /// What of that was set aside and neither posted nor voided.
    pub pending: u64,
    /// Gifts under way at the end of the day: they had left one wallet and not come to the other.
    pub under_way: i64,
    /// What each account gave and got. Accounts that nothing moved in are left out.
    pub accounts: Vec<AccountDay>,
    /// Wallets that could not be read, and are not in these numbers. More than 0 is a fault of the store.
    pub unread: u64,
    /// Wallets whose newest movement was dated later than the day on which they were added up: a clock was ahead. What moved in them
    /// since then is not in these numbers.
    pub ahead: u64,
}

/// What one account gave and got: on a day, of some players; or until its end, of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountDay {
    /// The account.
    pub account: PointsAccount,
    /// What it gave.
    pub debits: u64,
    /// What it got.
    pub credits: u64,
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
    /// What whoever made it says of it. The player reads what admins and services say, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The key of the call that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The admin or service who made it, which admins and services are told and players are not; absent if the player did.
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
