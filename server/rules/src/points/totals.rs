//! What the books of all players had at the end of a day.

use std::collections::BTreeSet;

use pitturu_protocol::limits::INTEGER_MAX;
use pitturu_protocol::types::points::{AccountDay, DayTotals, PointsAccount};
use serde::{Deserialize, Serialize};

use super::books::{ACCOUNTS, Books};

/// Bits of a stored number: its halves are integers that any body may hold.
const HALF_BITS: u32 = 53;

/// What one account has given and got, over all players.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    pending: u128,
    debits: u128,
    credits: u128,
}

/// A number in two halves, the higher first.
type Wide = (u64, u64);

/// An account that was used, as it is stored: its place, what was set aside to be taken, what it gave, what it got.
type Line = (u8, Wide, Wide, Wide);

/// The books of all players, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    #[serde(rename = "w")]
    wallets: u64,
    #[serde(rename = "u")]
    unread: u64,
    #[serde(rename = "a")]
    ahead: u64,
    #[serde(rename = "s")]
    accounts: Accounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Line>", into = "Vec<Line>")]
struct Accounts([Sums; ACCOUNTS.len()]);

impl From<Accounts> for Vec<Line> {
    fn from(accounts: Accounts) -> Self {
        let lines = (0_u8..).zip(accounts.0);
        let lines = lines.filter(|(_, sums)| *sums != Sums::default());
        lines
            .map(|(place, sums)| {
                let [pending, debits, credits] =
                    [sums.pending, sums.debits, sums.credits].map(wide);
                (place, pending, debits, credits)
            })
            .collect()
    }
}

impl From<Vec<Line>> for Accounts {
    fn from(lines: Vec<Line>) -> Self {
        let mut accounts = Self::default();
        for (place, pending, debits, credits) in lines {
            if let Some(sums) = accounts.0.get_mut(usize::from(place)) {
                *sums = Sums {
                    pending: narrow(pending),
                    debits: narrow(debits),
                    credits: narrow(credits),
                };
            }
        }
        accounts
    }
}

fn wide(number: u128) -> Wide {
    let low = number & u128::from(INTEGER_MAX);
    let half = |half| u64::try_from(half).unwrap_or(INTEGER_MAX);
    (half(number >> HALF_BITS), half(low))
}

fn narrow((high, low): Wide) -> u128 {
    (u128::from(high) << HALF_BITS) | u128::from(low)
}

impl Totals {
    /// Adds the books of one player as they were at the end of the day. Whoever had not moved points by then counts for nothing.
    pub fn add(&mut self, books: &Books) {
        if *books == Books::default() {
            return;
        }
        self.wallets += 1;
        for (sums, (_, counters)) in self.accounts.0.iter_mut().zip(books.accounts()) {
            sums.pending += u128::from(counters.debits_pending);
            sums.debits += u128::from(counters.debits_posted);
            sums.credits += u128::from(counters.credits_posted);
        }
    }

    /// Adds books whose newest movement is dated after the day of now: what is in them was not told apart by days.
    pub fn add_ahead(&mut self, books: &Books) {
        self.ahead += 1;
        self.add(books);
    }

    /// Notes that the books of a player can't be read.
    pub const fn add_unread(&mut self) {
        self.unread += 1;
    }

    /// As clients see it. What is beyond 2^53 − 1 is shown as that.
    pub fn shown(&self, day: u32) -> DayTotals {
        use PointsAccount::{
            Issuance, PurchasesApple, PurchasesGoogle, PurchasesToss, Rewards, Spend, Transit,
            Wallet,
        };
        let given = [
            Issuance,
            Rewards,
            PurchasesToss,
            PurchasesApple,
            PurchasesGoogle,
        ];
        let (wallet, transit) = (self.of(Wallet), self.of(Transit));
        let accounts = ACCOUNTS.into_iter().zip(self.accounts.0);
        let accounts = accounts.filter(|(_, sums)| (sums.debits, sums.credits) != (0, 0));
        DayTotals {
            day,
            wallets: self.wallets,
            issued: shown(given.iter().map(|account| self.of(*account).debits).sum()),
            spent: shown(self.of(Spend).credits),
            outstanding: difference(wallet.credits, wallet.debits),
            pending: shown(wallet.pending),
            under_way: difference(transit.credits, transit.debits),
            accounts: accounts
                .map(|(account, sums)| AccountDay {
                    account,
                    debits: shown(sums.debits),
                    credits: shown(sums.credits),
                })
                .collect(),
            unread: self.unread,
            ahead: self.ahead,
        }
    }

    fn of(&self, wanted: PointsAccount) -> Sums {
        let mut accounts = ACCOUNTS.into_iter().zip(self.accounts.0);
        let found = accounts.find(|(account, _)| *account == wanted);
        found.map(|(_, sums)| sums).unwrap_or_default()
    }
}

fn shown(number: u128) -> u64 {
    u64::try_from(number)
        .unwrap_or(INTEGER_MAX)
        .min(INTEGER_MAX)
}

fn difference(more: u128, less: u128) -> i64 {
    let size = shown(more.abs_diff(less)).cast_signed();
    if more < less { -size } else { size }
}

/// The days that were added up. Each is kept as it was found first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedDays(BTreeSet<u32>);

impl RecordedDays {
    /// These days.
    pub fn load(days: impl IntoIterator<Item = u32>) -> Self {
        Self(days.into_iter().collect())
    }

    /// Takes a day. False if it is there: what was found then stays.
    pub fn record(&mut self, day: u32) -> bool {
        self.0.insert(day)
    }
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::codec;

    use super::super::books::Overdraft;
    use super::*;

    /// Sums of many full wallets are beyond what a client can read, and are kept all the same.
    #[test]
    fn numbers_beyond_those_of_clients_are_kept_and_shown_as_the_largest() {
        let mut books = Books::default();
        let (from, to) = (PointsAccount::PurchasesToss, PointsAccount::Wallet);
        let posted = books.post(from, to, INTEGER_MAX, Overdraft::Refused);
        posted.expect("it fits");
        let mut totals = Totals::default();
        for _ in 0..3_000 {
            totals.add(&books);
        }
        totals.add(&Books::default());
        assert_eq!(
            totals.of(to).credits,
            3_000 * u128::from(INTEGER_MAX),
            "nothing is lost"
        );
        let decoded: Totals = codec::decode(&codec::encode(&totals)).expect("it is readable");
        assert_eq!(decoded, totals);
        let shown = decoded.shown(7);
        assert_eq!((shown.wallets, shown.issued), (3_000, INTEGER_MAX));
        assert_eq!(shown.outstanding, INTEGER_MAX.cast_signed());
        assert_eq!(
            difference(0, 3 * u128::from(INTEGER_MAX)),
            -shown.outstanding
        );
    }

    #[test]
    fn a_day_is_taken_once() {
        let mut days = RecordedDays::load([3, 5]);
        assert!(days.record(4));
        assert!(!days.record(4));
        assert!(!days.record(5));
    }
}
