//! Accounts, what was taken from them and given to them, and their bounds.

use pitturu_protocol::limits::{INTEGER_MAX, POINTS_ACCOUNTS};
use pitturu_protocol::types::points::PointsAccount;
use serde::{Deserialize, Serialize};

use super::refusal::PointsRefusal;

/// All accounts. Their places are part of what is stored and never change.
pub const ACCOUNTS: [PointsAccount; POINTS_ACCOUNTS] = PointsAccount::ALL;

/// What an account has given and got so far, each at most 2^53 − 1 points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counters {
    /// Set aside, to be taken.
    pub debits_pending: u64,
    /// Set aside, to be given.
    pub credits_pending: u64,
    /// Taken.
    pub debits_posted: u64,
    /// Given.
    pub credits_posted: u64,
}

impl Counters {
    /// What the account has: given less taken.
    pub const fn balance(&self) -> i64 {
        self.credits_posted.cast_signed() - self.debits_posted.cast_signed()
    }

    /// What of it is not set aside.
    pub const fn available(&self) -> i64 {
        self.balance() - self.debits_pending.cast_signed()
    }

    const fn is_zero(&self) -> bool {
        self.debits_pending == 0
            && self.credits_pending == 0
            && self.debits_posted == 0
            && self.credits_posted == 0
    }

    /// Whether no counter and no balance that may come of them is beyond what a client can read.
    fn are_in_bounds(&self) -> bool {
        let debits = self.debits_posted.checked_add(self.debits_pending);
        let credits = self.credits_posted.checked_add(self.credits_pending);
        [debits, credits]
            .iter()
            .all(|sum| sum.is_some_and(|sum| sum <= INTEGER_MAX))
    }
}

/// Whether an account may give what it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdraft {
    /// No.
    Refused,
    /// Yes: a purchase was refunded whose points may be spent.
    Allowed,
}

/// One player's books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Line>", into = "Vec<Line>")]
pub struct Books([Counters; ACCOUNTS.len()]);

/// An account that was used, as it is stored: its place and its counters.
type Line = (u8, u64, u64, u64, u64);

impl From<Books> for Vec<Line> {
    fn from(books: Books) -> Self {
        let lines = (0_u8..).zip(books.0);
        let lines = lines.filter(|(_, counters)| !counters.is_zero());
        lines
            .map(|(place, counters)| {
                let Counters {
                    debits_pending,
                    credits_pending,
                    debits_posted,
                    credits_posted,
                } = counters;
                (
                    place,
                    debits_pending,
                    credits_pending,
                    debits_posted,
                    credits_posted,
                )
            })
            .collect()
    }
}

impl From<Vec<Line>> for Books {
    fn from(lines: Vec<Line>) -> Self {
        let mut books = Self::default();
        for (place, debits_pending, credits_pending, debits_posted, credits_posted) in lines {
            if let Some(counters) = books.0.get_mut(usize::from(place)) {
                *counters = Counters {
                    debits_pending,
                    credits_pending,
                    debits_posted,
                    credits_posted,
                };
            }
        }
        books
    }
}

const fn place(account: PointsAccount) -> usize {
    match account {
        PointsAccount::Wallet => 0,
        PointsAccount::Issuance => 1,
        PointsAccount::Rewards => 2,
        PointsAccount::PurchasesToss => 3,
        PointsAccount::PurchasesApple => 4,
        PointsAccount::PurchasesGoogle => 5,
        PointsAccount::Spend => 6,
        PointsAccount::Refunds => 7,
        PointsAccount::Breakage => 8,
        PointsAccount::Transit => 9,
    }
}

impl Books {
    /// What an account has given and got.
    pub const fn of(&self, account: PointsAccount) -> Counters {
        self.0[place(account)]
    }

    /// Every account with what it has given and got.
    pub fn accounts(&self) -> impl Iterator<Item = (PointsAccount, Counters)> {
        ACCOUNTS.into_iter().zip(self.0)
    }

    /// Whether as much was taken as was given, pending and posted: always, unless the store has lost something.
    pub fn are_balanced(&self) -> bool {
        let sum = |of: fn(&Counters) -> u64| -> u128 {
            self.0.iter().map(|counters| u128::from(of(counters))).sum()
        };
        sum(|counters| counters.debits_posted) == sum(|counters| counters.credits_posted)
            && sum(|counters| counters.debits_pending) == sum(|counters| counters.credits_pending)
    }

    /// Takes from one account and gives to another.
    ///
    /// # Errors
    /// [`PointsRefusal::NotEnough`] if the wallet has less and may not be overdrawn, [`PointsRefusal::TooMany`] if a counter
    /// would be beyond 2^53 − 1. Nothing has changed then.
    pub fn post(
        &mut self,
        debit: PointsAccount,
        credit: PointsAccount,
        amount: u64,
        overdraft: Overdraft,
    ) -> Result<(), PointsRefusal> {
        self.check_available(debit, amount, overdraft)?;
        self.change(|books| {
            let sum = books.0[place(debit)].debits_posted.checked_add(amount)?;
            books.0[place(debit)].debits_posted = sum;
            let sum = books.0[place(credit)].credits_posted.checked_add(amount)?;
            books.0[place(credit)].credits_posted = sum;
            Some(())
        })
    }

    /// Sets an amount aside.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub fn pend(
        &mut self,
        debit: PointsAccount,
        credit: PointsAccount,
        amount: u64,
    ) -> Result<(), PointsRefusal> {
        self.check_available(debit, amount, Overdraft::Refused)?;
        self.change(|books| {
            let sum = books.0[place(debit)].debits_pending.checked_add(amount)?;
            books.0[place(debit)].debits_pending = sum;
            let sum = books.0[place(credit)].credits_pending.checked_add(amount)?;
            books.0[place(credit)].credits_pending = sum;
            Some(())
        })
    }

    /// Sets an amount aside no longer, and moves `posted` of it.
    ///
    /// # Errors
    /// [`PointsRefusal::NoPending`] if so much is not set aside, or more of it is to be moved.
    pub fn finish(
        &mut self,
        debit: PointsAccount,
        credit: PointsAccount,
        amount: u64,
        posted: u64,
    ) -> Result<(), PointsRefusal> {
        let mut books = *self;
        let free = |pending: &mut u64| {
            *pending = pending.checked_sub(amount)?;
            Some(())
        };
        let is_free = free(&mut books.0[place(debit)].debits_pending)
            .and_then(|()| free(&mut books.0[place(credit)].credits_pending));
        if is_free.is_none() || posted > amount {
            return Err(PointsRefusal::NoPending);
        }
        if posted > 0 {
            // It was set aside, so it is there, unless a purchase was refunded meanwhile: it was promised before.
            books.post(debit, credit, posted, Overdraft::Allowed)?;
        }
        *self = books;
        Ok(())
    }

    fn check_available(
        &self,
        debit: PointsAccount,
        amount: u64,
        overdraft: Overdraft,
    ) -> Result<(), PointsRefusal> {
        let available = self.of(debit).available();
        let is_bounded = debit == PointsAccount::Wallet && overdraft == Overdraft::Refused;
        if is_bounded && u64::try_from(available).unwrap_or(0) < amount {
            return Err(PointsRefusal::NotEnough { available });
        }
        Ok(())
    }

    /// Carries out a change whose counters stay in their bounds.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Self) -> Option<()>,
    ) -> Result<(), PointsRefusal> {
        let mut books = *self;
        match change(&mut books) {
            Some(()) if books.0.iter().all(Counters::are_in_bounds) => {
                *self = books;
                Ok(())
            }
            _ => Err(PointsRefusal::TooMany),
        }
    }
}
