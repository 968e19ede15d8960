//! What is asked of a player's books.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::INTEGER_MAX;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::points::{Movement, MovementState, PointsAccount, PointsReason};

use super::books::{Books, Overdraft};
use super::refusal::PointsRefusal;
use super::rows::{DayRow, Entry, EntryRow, PendingRow, PointsSignal, RefundedRow};

/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The commit that a movement goes into.
#[derive(Clone, Copy, Debug, Default)]
pub struct PointsCommit<'a> {
    /// The key of the call, if it is one.
    pub id: Option<&'a str>,
    /// The admin or service who calls, if it is not the player.
    pub by: Option<UserId>,
    /// Now, in milliseconds since 1970.
    pub at: u64,
}

/// What a decision changes, all in one atomic commit.
#[derive(Debug, Default, PartialEq)]
pub struct PointsEffects {
    /// Lines of the ledger, by their numbers, which follow the newest.
    pub entries: Vec<(u64, EntryRow)>,
    /// Amounts set aside that change; `None` is no longer set aside.
    pub pending: Vec<(u64, Option<PendingRow>)>,
    /// What was given back.
    pub refunded: Vec<(u64, RefundedRow)>,
    /// Days that begin and end, by their number since 1970.
    pub days: Vec<(u64, DayRow)>,
    /// What to tell other players' entities.
    pub signals: Vec<(UserId, PointsSignal)>,
    /// Entries for the player's own inbox.
    pub inbox: Vec<InboxEntry>,
}

impl PointsEffects {
    /// Whether nothing has changed.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.signals.is_empty()
    }
}

/// A movement that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer<'a> {
    pub(super) debit: PointsAccount,
    pub(super) credit: PointsAccount,
    pub(super) amount: u64,
    pub(super) reason: PointsReason,
    pub(super) reference: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) other: Option<UserId>,
    pub(super) of: Option<u64>,
}

impl Transfer<'_> {
    pub(super) const fn new(
        debit: PointsAccount,
        credit: PointsAccount,
        amount: u64,
        reason: PointsReason,
    ) -> Self {
        Self {
            debit,
            credit,
            amount,
            reason,
            reference: None,
            note: None,
            other: None,
            of: None,
        }
    }

    pub(super) fn entry(&self, commit: &PointsCommit<'_>, state: MovementState) -> Entry {
        Entry {
            at: commit.at,
            debit: self.debit,
            credit: self.credit,
            amount: self.amount,
            state,
            reason: self.reason,
            reference: self.reference.map(str::to_owned),
            note: self.note.map(str::to_owned),
            id: commit.id.map(str::to_owned),
            by: commit.by,
            other: self.other,
            until: None,
            of: self.of,
        }
    }
}

/// In which way points come into a wallet and leave it, other players and purchases aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// An admin or a service gives them.
    Grant,
    /// An admin or a service takes them.
    Deduction,
    /// A rule gives them.
    Reward,
    /// The player spends them.
    Spend,
    /// Their time is over.
    Expiry,
}

impl Flow {
    /// The account that gives, the one that gets, and why.
    const fn accounts(self) -> (PointsAccount, PointsAccount, PointsReason) {
        use PointsAccount::{Breakage, Issuance, Rewards, Spend, Wallet};
        match self {
            Self::Grant => (Issuance, Wallet, PointsReason::Grant),
            Self::Deduction => (Wallet, Issuance, PointsReason::Deduction),
            Self::Reward => (Rewards, Wallet, PointsReason::Reward),
            Self::Spend => (Wallet, Spend, PointsReason::Spend),
            Self::Expiry => (Wallet, Breakage, PointsReason::Expiry),
        }
    }
}

/// What a movement is for, and what is said of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// An item, an order, a rule.
    pub reference: Option<&'a str>,
    /// A text.
    pub note: Option<&'a str>,
}

/// A player's books at their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    pub(super) user: UserId,
    pub(super) books: Books,
    /// As of the newest line.
    written: Books,
    head: u64,
    pub(super) pending: BTreeMap<u64, PendingRow>,
    refunded: BTreeMap<u64, RefundedRow>,
    day: Option<(u64, Books)>,
}

impl Wallet {
    /// The books of `user` as they are stored: the newest line of the ledger, what is pending, what was given back, and the last
    /// day on which something moved.
    pub fn load(
        user: UserId,
        newest: Option<(u64, Books)>,
        pending: impl IntoIterator<Item = (u64, PendingRow)>,
        refunded: impl IntoIterator<Item = (u64, RefundedRow)>,
        day: Option<(u64, Books)>,
    ) -> Self {
        let (head, books) = newest.unwrap_or_default();
        Self {
            user,
            books,
            written: books,
            head,
            pending: pending.into_iter().collect(),
            refunded: refunded.into_iter().collect(),
            day,
        }
    }

    /// The books.
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// Number of the newest movement; 0 before the first.
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// What is set aside, by the number of its movement.
    pub const fn pending(&self) -> &BTreeMap<u64, PendingRow> {
        &self.pending
    }

    /// Moves points between the wallet and the account that the flow is about.
    ///
    /// # Errors
    /// [`PointsRefusal::NoAmount`], `TooMany`; `NotEnough` if they are to leave the wallet.
    pub fn flow(
        &mut self,
        commit: &PointsCommit<'_>,
        (flow, amount): (Flow, u64),
        about: About<'_>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let (from, to, reason) = flow.accounts();
        let transfer = Transfer::new(from, to, amount, reason).about(about);
        self.post(commit, transfer, Overdraft::Refused, effects)
    }

    /// Points that were bought come in by the account of who sold them.
    ///
    /// # Errors
    /// [`PointsRefusal::NoAmount`], `TooMany`.
    pub fn purchase(
        &mut self,
        commit: &PointsCommit<'_>,
        (from, amount): (PointsAccount, u64),
        about: About<'_>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let to = PointsAccount::Wallet;
        let transfer = Transfer::new(from, to, amount, PointsReason::Purchase).about(about);
        self.post(commit, transfer, Overdraft::Refused, effects)
    }

    /// A purchase was refunded: its points go back, also where some of them are spent. The one movement that may leave less than
    /// nothing.
    ///
    /// # Errors
    /// [`PointsRefusal::NoAmount`], `TooMany`.
    pub fn claw_back(
        &mut self,
        commit: &PointsCommit<'_>,
        (to, amount): (PointsAccount, u64),
        about: About<'_>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let from = PointsAccount::Wallet;
        let transfer = Transfer::new(from, to, amount, PointsReason::ClawBack).about(about);
        self.post(commit, transfer, Overdraft::Allowed, effects)
    }

    /// Gives back what was spent by a movement, all that is left of it or a part.
    ///
    /// # Errors
    /// [`PointsRefusal::NoMovement`] if it is none by which points were spent, [`PointsRefusal::Refunded`], `NoAmount`, `TooMany`.
    pub fn refund(
        &mut self,
        commit: &PointsCommit<'_>,
        (number, spent): (u64, &Entry),
        amount: Option<u64>,
        note: Option<&str>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let is_final = matches!(spent.state, MovementState::Posted | MovementState::Post);
        if spent.reason != PointsReason::Spend || !is_final || number > self.head {
            return Err(PointsRefusal::NoMovement);
        }
        let before = self.refunded.get(&number).map_or(0, |row| row.amount);
        let left = spent.amount.saturating_sub(before);
        let amount = amount.unwrap_or(left);
        if left == 0 || amount > left {
            return Err(PointsRefusal::Refunded { left });
        }
        let (from, to) = (PointsAccount::Refunds, PointsAccount::Wallet);
        let transfer = Transfer {
            reference: spent.reference.as_deref(),
            note,
            of: Some(number),
            ..Transfer::new(from, to, amount, PointsReason::Refund)
        };
        let movement = self.post(commit, transfer, Overdraft::Refused, effects)?;
        let row = RefundedRow {
            amount: before + amount,
        };
        self.refunded.insert(number, row);
        effects.refunded.push((number, row));
        Ok(movement)
    }

    /// The books as of `now`: without what is set aside for a time that is over.
    pub fn books_at(&self, now: u64) -> Books {
        let mut books = self.books;
        for row in self.pending.values().filter(|row| row.until <= now) {
            // It was set aside, so it can be set free.
            let _ = books.finish(row.debit, row.credit, row.amount, 0);
        }
        books
    }

    /// Carries out a movement that is final.
    pub(super) fn post(
        &mut self,
        commit: &PointsCommit<'_>,
        transfer: Transfer<'_>,
        overdraft: Overdraft,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        check_amount(transfer.amount)?;
        let (debit, credit) = (transfer.debit, transfer.credit);
        let mut books = self.books_at(commit.at);
        books.post(debit, credit, transfer.amount, overdraft)?;
        // From here on nothing is refused.
        self.void_overdue(commit.at, effects);
        self.books = books;
        Ok(self.write(transfer.entry(commit, MovementState::Posted), effects))
    }

    /// Writes a line, after the books have changed.
    pub(super) fn write(&mut self, entry: Entry, effects: &mut PointsEffects) -> Movement {
        self.turn_day(entry.at / DAY_MS, effects);
        self.written = self.books;
        self.head += 1;
        let row = EntryRow {
            entry,
            books: self.books,
        };
        effects.entries.push((self.head, row.clone()));
        row.movement(self.head)
    }
}

impl Wallet {
    /// Begins a day, unless it has begun. A clock that was set back adds to the last one.
    fn turn_day(&mut self, day: u64, effects: &mut PointsEffects) {
        match self.day {
            Some((last, _)) if day <= last => return,
            Some((last, opening)) => effects.days.push((
                last,
                DayRow {
                    opening,
                    closing: Some(self.written),
                },
            )),
            None => {}
        }
        let row = DayRow {
            opening: self.written,
            closing: None,
        };
        effects.days.push((day, row));
        self.day = Some((day, self.written));
    }
}

pub(super) fn check_amount(amount: u64) -> Result<(), PointsRefusal> {
    match amount {
        1..=INTEGER_MAX => Ok(()),
        _ => Err(PointsRefusal::NoAmount),
    }
}

impl<'a> Transfer<'a> {
    pub(super) const fn about(self, about: About<'a>) -> Self {
        Self {
            reference: about.reference,
            note: about.note,
            ..self
        }
    }
}
