//! One player's books, carried out again line by line. Nothing here comes from the server's rules.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher as _};

use pitturu_protocol::codec;
use pitturu_protocol::types::points::{Movement, MovementState, PointsAccount, PointsReason};

const ACCOUNTS: usize = 10;

/// A day in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Longest time for which points can be set aside, in milliseconds.
const PENDING_MS_MAX: u64 = 30 * DAY_MS;

/// What is kept of a line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// When.
    pub at: u64,
    /// How many points.
    pub amount: u64,
    /// The account that gives.
    pub debit: PointsAccount,
    /// The account that gets.
    pub credit: PointsAccount,
    /// Whether it is final.
    pub state: MovementState,
    /// Why.
    pub reason: PointsReason,
    /// Until when it is pending.
    pub until: u64,
    /// The movement that it is about; 0 if none.
    pub of: u64,
    /// What the wallet has after it.
    pub balance: i64,
    /// What of that can be spent.
    pub available: i64,
    /// Stands for the whole line as the staff reads it.
    pub digest: u64,
    /// Stands for it as its player reads it.
    pub digest_of_player: u64,
}

/// What an account has given and got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// Given, and got.
    pub posted: (u64, u64),
    /// Set aside, to be given and to be got.
    pub pending: (u64, u64),
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    /// Every line, the first at 0.
    pub lines: Vec<Line>,
    accounts: [Sides; ACCOUNTS],
    /// What is set aside: amount and end, by number.
    pending: HashMap<u64, (u64, u64)>,
    /// The same by end.
    ends: BTreeSet<(u64, u64)>,
    /// By which line a pending movement ended.
    ended: HashMap<u64, u64>,
    /// What was given back of a movement.
    refunded: HashMap<u64, u64>,
    /// Gifts that came back.
    returned: BTreeSet<u64>,
    /// The last day on which something moved. A clock that was set back adds to it.
    day: u64,
}

/// What stands for an encoded reply or movement where many are compared.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// A line as its player reads it: who of the staff made it is not told.
pub fn as_player_reads(movement: &Movement) -> Movement {
    Movement {
        by: None,
        ..movement.clone()
    }
}

/// The place of an account.
pub const fn place(account: PointsAccount) -> usize {
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

impl Line {
    /// Stands for the line as the staff reads it, or its player.
    pub const fn digest_for(&self, is_staff: bool) -> u64 {
        match is_staff {
            true => self.digest,
            false => self.digest_of_player,
        }
    }
}

impl Books {
    /// Number of the newest line.
    pub fn head(&self) -> u64 {
        self.lines.len() as u64
    }

    /// The line with this number.
    pub fn line(&self, number: u64) -> Option<&Line> {
        self.lines
            .get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// What an account has given and got.
    pub const fn of(&self, account: PointsAccount) -> Sides {
        self.accounts[place(account)]
    }

    /// What the wallet has after a line, and what of it can be spent.
    pub fn wallet_after(&self, number: u64) -> (i64, i64) {
        self.line(number)
            .map_or((0, 0), |line| (line.balance, line.available))
    }

    /// By which line a pending movement ended.
    pub fn ended_by(&self, number: u64) -> Option<&Line> {
        self.line(*self.ended.get(&number)?)
    }

    /// What of the wallet is set aside for a time that is over by `now`.
    pub fn overdue(&self, now: u64) -> u64 {
        let over = self.ends.range(..=(now, u64::MAX));
        over.map(|(_, number)| self.pending[number].0).sum()
    }

    /// Carries out the next line. Returns the day that it counts for.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn add(&mut self, movement: &Movement, encoded: &[u8]) -> Result<u64, String> {
        let number = self.head() + 1;
        if movement.number != number {
            return Err(format!("{number} is due"));
        }
        match movement.state {
            MovementState::Posted => self.post(movement)?,
            MovementState::Pending => self.set_aside(movement)?,
            MovementState::Post | MovementState::Void => self.finish(movement)?,
        }
        self.check_sums()?;
        let wallet = self.of(PointsAccount::Wallet);
        let balance = wallet.posted.1.cast_signed() - wallet.posted.0.cast_signed();
        let available = balance - wallet.pending.0.cast_signed();
        if (movement.balance, movement.available) != (balance, available) || available < 0 {
            return Err(format!("the books make {balance} and {available}"));
        }
        self.lines.push(Line {
            at: movement.at,
            amount: movement.amount,
            debit: movement.debit,
            credit: movement.credit,
            state: movement.state,
            reason: movement.reason,
            until: movement.until.unwrap_or(0),
            of: movement.of.unwrap_or(0),
            balance,
            available,
            digest: digest(encoded),
            digest_of_player: digest(&codec::encode(&as_player_reads(movement))),
        });
        self.day = self.day.max(movement.at / DAY_MS);
        Ok(self.day)
    }

    /// At each version as much was given as was got.
    fn check_sums(&self) -> Result<(), String> {
        let sum = |of: fn(&Sides) -> (u64, u64)| {
            let sides = self.accounts.iter().map(of);
            sides.fold((0_u128, 0_u128), |sum, side| {
                (sum.0 + u128::from(side.0), sum.1 + u128::from(side.1))
            })
        };
        let (posted, pending) = (sum(|sides| sides.posted), sum(|sides| sides.pending));
        match posted.0 == posted.1 && pending.0 == pending.1 {
            true => Ok(()),
            false => Err(format!("the books sum to {posted:?} and {pending:?}")),
        }
    }

    fn available(&self) -> u64 {
        let wallet = self.of(PointsAccount::Wallet);
        let taken = wallet.posted.0 + wallet.pending.0;
        wallet.posted.1.saturating_sub(taken)
    }

    /// What is overdue is written down before anything else.
    fn check_overdue(&self, at: u64) -> Result<(), String> {
        match self.ends.first() {
            Some((until, number)) if *until <= at => {
                Err(format!("{number} was set aside until {until} only"))
            }
            _ => Ok(()),
        }
    }

    fn post(&mut self, movement: &Movement) -> Result<(), String> {
        use PointsAccount::{Breakage, Issuance, Refunds, Rewards, Spend, Transit, Wallet};
        self.check_overdue(movement.at)?;
        match (movement.debit, movement.credit, movement.reason) {
            (Issuance, Wallet, PointsReason::Grant)
            | (Wallet, Issuance, PointsReason::Deduction)
            | (Rewards, Wallet, PointsReason::Reward)
            | (Wallet, Breakage, PointsReason::Expiry)
            | (Wallet, Spend, PointsReason::Spend)
            | (Wallet, Transit, PointsReason::Gift)
            | (Transit, Wallet, PointsReason::Gift) => {}
            (Refunds, Wallet, PointsReason::Refund) => self.refund(movement)?,
            (Transit, Wallet, PointsReason::GiftReturned) => self.take_back(movement)?,
            way => return Err(format!("nothing moves by {way:?}")),
        }
        if movement.amount == 0 {
            return Err("nothing moves".to_owned());
        }
        if movement.debit == Wallet && movement.amount > self.available() {
            return Err(format!("only {} can be spent", self.available()));
        }
        self.move_posted(movement.debit, movement.credit, movement.amount);
        Ok(())
    }

    const fn move_posted(&mut self, debit: PointsAccount, credit: PointsAccount, amount: u64) {
        self.accounts[place(debit)].posted.0 += amount;
        self.accounts[place(credit)].posted.1 += amount;
    }

    /// How much was spent by a movement, if it is one by which points were.
    pub fn spent_by(&self, number: u64) -> Option<u64> {
        let line = self.line(number)?;
        let is_final = matches!(line.state, MovementState::Posted | MovementState::Post);
        (line.reason == PointsReason::Spend && is_final).then_some(line.amount)
    }

    fn refund(&mut self, movement: &Movement) -> Result<(), String> {
        let of = movement.of.unwrap_or(0);
        let spent = self.spent_by(of).ok_or("nothing was spent by it")?;
        let refunded = self.refunded.entry(of).or_default();
        *refunded += movement.amount;
        match *refunded <= spent {
            true => Ok(()),
            false => Err(format!("{refunded} of {spent} are given back")),
        }
    }

    fn take_back(&mut self, movement: &Movement) -> Result<(), String> {
        let of = movement.of.unwrap_or(0);
        let gift = self.line(of).copied();
        let is_gift = gift.is_some_and(|line| {
            line.credit == PointsAccount::Transit && line.amount == movement.amount
        });
        if !is_gift {
            return Err(format!("{gift:?} does not come back by it"));
        }
        match self.returned.insert(of) {
            true => Ok(()),
            false => Err(format!("{gift:?} came back before")),
        }
    }

    fn set_aside(&mut self, movement: &Movement) -> Result<(), String> {
        self.check_overdue(movement.at)?;
        let (number, amount) = (movement.number, movement.amount);
        let until = movement.until.unwrap_or(0);
        if amount == 0 || amount > self.available() {
            return Err(format!("{} can be set aside", self.available()));
        }
        if until <= movement.at || until > movement.at + PENDING_MS_MAX {
            return Err(format!("it ends at {until}"));
        }
        self.accounts[place(movement.debit)].pending.0 += amount;
        self.accounts[place(movement.credit)].pending.1 += amount;
        self.pending.insert(number, (amount, until));
        self.ends.insert((until, number));
        Ok(())
    }

    fn finish(&mut self, movement: &Movement) -> Result<(), String> {
        let of = movement.of.unwrap_or(0);
        let Some((amount, until)) = self.pending.remove(&of) else {
            return Err("nothing is pending under this number".to_owned());
        };
        self.ends.remove(&(until, of));
        self.ended.insert(of, movement.number);
        let is_asked = movement.id.is_some();
        let is_over = until <= movement.at;
        let is_right = match movement.state {
            MovementState::Post => is_asked && !is_over && (1..=amount).contains(&movement.amount),
            _ => is_asked != is_over && movement.amount == 0,
        };
        if !is_right {
            return Err(format!("{amount} were set aside until {until}"));
        }
        if is_asked {
            self.check_overdue(movement.at)?;
        }
        let (debit, credit) = (movement.debit, movement.credit);
        self.accounts[place(debit)].pending.0 -= amount;
        self.accounts[place(credit)].pending.1 -= amount;
        self.move_posted(debit, credit, movement.amount);
        Ok(())
    }
}

/// What the accounts of all players gave and got by a line, and whether it is final.
pub fn posted(movement: &Movement) -> Option<u64> {
    let is_final = movement.state != MovementState::Pending && movement.amount > 0;
    is_final.then_some(movement.amount)
}

/// The number of an account's place in a table of all.
pub const PLACES: usize = ACCOUNTS;

#[cfg(test)]
mod tests {
    use pitturu_protocol::codec;

    use super::*;

    const START: u64 = 100 * DAY_MS;

    fn line(
        number: u64,
        (debit, credit, reason): (PointsAccount, PointsAccount, PointsReason),
        amount: u64,
        (balance, available): (i64, i64),
    ) -> Movement {
        Movement {
            number,
            at: START + number,
            debit,
            credit,
            amount,
            state: MovementState::Posted,
            reason,
            reference: None,
            note: None,
            id: Some(format!("k{number}")),
            by: None,
            other: None,
            until: None,
            of: None,
            balance,
            available,
        }
    }

    const GRANT: (PointsAccount, PointsAccount, PointsReason) = (
        PointsAccount::Issuance,
        PointsAccount::Wallet,
        PointsReason::Grant,
    );
    const SPEND: (PointsAccount, PointsAccount, PointsReason) = (
        PointsAccount::Wallet,
        PointsAccount::Spend,
        PointsReason::Spend,
    );
    const REFUND: (PointsAccount, PointsAccount, PointsReason) = (
        PointsAccount::Refunds,
        PointsAccount::Wallet,
        PointsReason::Refund,
    );

    fn add(books: &mut Books, movement: &Movement) -> Result<u64, String> {
        books.add(movement, &codec::encode(movement))
    }

    #[test]
    fn lines_are_carried_out_one_after_the_other() {
        let mut books = Books::default();
        add(&mut books, &line(1, GRANT, 100, (100, 100))).unwrap();
        let aside = Movement {
            state: MovementState::Pending,
            until: Some(START + 4),
            ..line(2, SPEND, 60, (100, 40))
        };
        add(&mut books, &aside).unwrap();
        assert_eq!(
            (books.overdue(START + 3), books.overdue(START + 4)),
            (0, 60)
        );
        add(&mut books, &line(3, SPEND, 40, (60, 0))).unwrap();
        let void = Movement {
            state: MovementState::Void,
            of: Some(2),
            id: None,
            ..line(4, SPEND, 0, (60, 60))
        };
        add(&mut books, &void).unwrap();
        let refund = Movement {
            of: Some(3),
            ..line(5, REFUND, 40, (100, 100))
        };
        add(&mut books, &refund).unwrap();
        assert_eq!(books.of(PointsAccount::Spend).posted, (0, 40));
        assert_eq!(books.ended_by(2).unwrap().at, START + 4);
    }

    #[test]
    fn what_no_order_of_calls_leads_to_is_found() {
        let begin = || {
            let mut books = Books::default();
            add(&mut books, &line(1, GRANT, 100, (100, 100))).unwrap();
            add(&mut books, &line(2, SPEND, 30, (70, 70))).unwrap();
            let aside = Movement {
                state: MovementState::Pending,
                until: Some(START + 10),
                ..line(3, SPEND, 60, (70, 10))
            };
            add(&mut books, &aside).unwrap();
            books
        };
        let of = |of, movement| Movement {
            of: Some(of),
            ..movement
        };
        let post = |at, amount, after| Movement {
            at: START + at,
            state: MovementState::Post,
            ..of(3, line(4, SPEND, amount, after))
        };
        let late = Movement {
            at: START + 10,
            ..line(4, GRANT, 1, (71, 11))
        };
        let wrong = [
            line(5, GRANT, 1, (71, 11)),
            line(4, GRANT, 1, (72, 11)),
            line(4, GRANT, 1, (71, 71)),
            line(4, GRANT, 0, (70, 10)),
            line(4, SPEND, 11, (59, -1)),
            of(2, line(4, REFUND, 31, (101, 41))),
            of(1, line(4, REFUND, 1, (71, 11))),
            post(4, 61, (9, 9)),
            post(10, 60, (10, 10)),
            late,
        ];
        for movement in wrong {
            assert!(add(&mut begin(), &movement).is_err(), "{movement:?}");
        }
        for movement in [
            line(4, SPEND, 10, (60, 0)),
            of(2, line(4, REFUND, 30, (100, 40))),
            post(4, 60, (10, 10)),
            post(9, 1, (69, 69)),
        ] {
            assert_eq!(add(&mut begin(), &movement), Ok(100), "{movement:?}");
        }
    }
}
