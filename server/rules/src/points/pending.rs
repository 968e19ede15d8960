//! Amounts that are set aside until they are posted or voided, or their time is over.

use pitturu_protocol::types::points::{Movement, MovementState, PointsAccount, PointsReason};

use super::refusal::PointsRefusal;
use super::rows::PendingRow;
use super::wallet::{About, DAY_MS, PointsCommit, PointsEffects, Transfer, Wallet, check_amount};

/// Longest time in days for which an amount can be set aside.
pub const PENDING_DAYS_MAX: u64 = 30;

/// Most movements of one player that are pending.
pub const PENDING_MAX: usize = 1_000;

impl Wallet {
    /// Sets an amount aside that is to be spent.
    ///
    /// # Errors
    /// [`PointsRefusal::NoAmount`], `NotEnough`, `TooMany`, `NoSuchEnd`, `TooManyPending`.
    pub fn set_aside(
        &mut self,
        commit: &PointsCommit<'_>,
        (amount, until): (u64, u64),
        about: About<'_>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        check_amount(amount)?;
        let latest = commit.at.saturating_add(PENDING_DAYS_MAX * DAY_MS);
        if until <= commit.at || until > latest {
            return Err(PointsRefusal::NoSuchEnd);
        }
        let others = self.pending.values();
        if others.filter(|row| row.until > commit.at).count() >= PENDING_MAX {
            return Err(PointsRefusal::TooManyPending);
        }
        let (from, to) = (PointsAccount::Wallet, PointsAccount::Spend);
        let mut books = self.books_at(commit.at);
        books.pend(from, to, amount)?;
        self.void_overdue(commit.at, effects);
        self.books = books;
        let transfer = Transfer::new(from, to, amount, PointsReason::Spend).about(about);
        let mut entry = transfer.entry(commit, MovementState::Pending);
        entry.until = Some(until);
        let movement = self.write(entry, effects);
        let row = PendingRow {
            debit: from,
            credit: to,
            amount,
            reason: PointsReason::Spend,
            until,
        };
        self.pending.insert(movement.number, row);
        effects.pending.push((movement.number, Some(row)));
        Ok(movement)
    }

    /// Makes final what was set aside, the whole or a part; the rest is free again.
    ///
    /// # Errors
    /// [`PointsRefusal::NoPending`], `NotPart`.
    pub fn post_pending(
        &mut self,
        commit: &PointsCommit<'_>,
        number: u64,
        amount: Option<u64>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let pending = self.pending_at(number, commit.at)?;
        let amount = amount.unwrap_or(pending.amount);
        if amount == 0 || amount > pending.amount {
            let pending = pending.amount;
            return Err(PointsRefusal::NotPart { pending });
        }
        { self.books }.finish(pending.debit, pending.credit, pending.amount, amount)?;
        self.void_overdue(commit.at, effects);
        self.finish(commit, (number, pending), amount, effects)
    }

    /// Ends what was set aside.
    ///
    /// # Errors
    /// [`PointsRefusal::NoPending`].
    pub fn void_pending(
        &mut self,
        commit: &PointsCommit<'_>,
        number: u64,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let pending = self.pending_at(number, commit.at)?;
        self.void_overdue(commit.at, effects);
        self.finish(commit, (number, pending), 0, effects)
    }

    fn pending_at(&self, number: u64, now: u64) -> Result<PendingRow, PointsRefusal> {
        let pending = self.pending.get(&number).filter(|row| row.until > now);
        pending.copied().ok_or(PointsRefusal::NoPending)
    }

    /// Writes down that what was set aside until now is free again.
    pub(super) fn void_overdue(&mut self, now: u64, effects: &mut PointsEffects) {
        let overdue: Vec<(u64, PendingRow)> = self
            .pending
            .iter()
            .filter(|(_, row)| row.until <= now)
            .map(|(number, row)| (*number, *row))
            .collect();
        for pending in overdue {
            let commit = PointsCommit {
                at: now,
                ..PointsCommit::default()
            };
            // It is there, and nothing of it moves.
            let _ = self.finish(&commit, pending, 0, effects);
        }
    }

    fn finish(
        &mut self,
        commit: &PointsCommit<'_>,
        (number, pending): (u64, PendingRow),
        posted: u64,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        let PendingRow {
            debit,
            credit,
            amount,
            reason,
            ..
        } = pending;
        self.books.finish(debit, credit, amount, posted)?;
        self.pending.remove(&number);
        effects.pending.push((number, None));
        let state = match posted {
            0 => MovementState::Void,
            _ => MovementState::Post,
        };
        let transfer = Transfer {
            of: Some(number),
            ..Transfer::new(debit, credit, posted, reason)
        };
        Ok(self.write(transfer.entry(commit, state), effects))
    }
}
