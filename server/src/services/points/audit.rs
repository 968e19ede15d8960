//! Whether the ledger adds up: each player's books by their own lines, and all of them together with what is under way.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::points::{MovementState, PointsAccount};
use pitturu_rules::points::books::{ACCOUNTS, Overdraft};
use pitturu_rules::points::{Books, EntryRow, PointsSignal};
use pitturu_rules::signals::PlayerSignal;
use pitturu_store::StoreError;
use pitturu_store::entities::{EntityId, PAGE_ROWS_MAX, Span};

use tokio::time::Instant;

use crate::players::store::PlayerStore;

/// How often a running server looks whether books balance.
const EVERY: Duration = Duration::from_secs(600);

/// How long after its start, when everybody comes back.
const AFTER_START: Duration = Duration::from_secs(60);

/// Pause between two pages of wallets, so that the audit of a large ledger takes little of the store's time.
const PAUSE: Duration = Duration::from_millis(20);

/// Faults that are told of by name; the rest is counted.
const TOLD_MAX: usize = 20;

/// What an audit has found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Players who ever moved points.
    pub wallets: u64,
    /// Lines that were looked at.
    pub movements: u64,
    /// What each account gave and got, over all players.
    pub accounts: [(u128, u128); ACCOUNTS.len()],
    /// Points on the way from one player to another, by the signals that are not applied; absent if nobody looked for them.
    pub under_way: Option<u128>,
    /// What does not add up.
    pub faults: u64,
    /// The first of that, in words.
    pub told: Vec<String>,
}

impl Audit {
    /// Looks at every line of every player's books, and at what is under way. It is right if nothing moves meanwhile.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_all(players: &PlayerStore) -> Result<Self, StoreError> {
        let mut audit = Self::default();
        let mut after = None;
        loop {
            let users = players.wallets(after, PAGE_ROWS_MAX).await?;
            for user in &users {
                audit.books_of(players, *user).await?;
            }
            match users.last() {
                Some(last) => after = Some(*last),
                None => break,
            }
        }
        audit.add_under_way(players).await?;
        Ok(audit)
    }

    /// Looks at the newest line of every player's books.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_newest(players: &PlayerStore) -> Result<Self, StoreError> {
        let mut audit = Self::default();
        let mut after = None;
        loop {
            let users = players.wallets(after, PAGE_ROWS_MAX).await?;
            for user in &users {
                audit.wallets += 1;
                let newest = players.newest_movement(*user).await;
                if let Some((number, line)) = audit.readable(*user, 0, newest)?.flatten() {
                    audit.movements += 1;
                    audit.add(*user, number, &line.books);
                }
            }
            match users.last() {
                Some(last) => after = Some(*last),
                None => return Ok(audit),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn fault(&mut self, user: UserId, number: u64, what: &str) {
        self.faults += 1;
        if self.told.len() < TOLD_MAX {
            self.told
                .push(format!("player {user}, movement {number}: {what}"));
        }
    }

    /// What was read behind this movement of a player; none if it is damaged, which is a fault like any other.
    fn readable<T>(
        &mut self,
        user: UserId,
        behind: u64,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error @ StoreError::Damaged(_)) => {
                self.fault(
                    user,
                    behind,
                    &format!("what follows can't be read: {error}"),
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a player's books to the sums.
    fn add(&mut self, user: UserId, number: u64, books: &Books) {
        if !books.are_balanced() {
            self.fault(user, number, "the books do not balance");
        }
        for (sum, (_, counters)) in self.accounts.iter_mut().zip(books.accounts()) {
            sum.0 += u128::from(counters.debits_posted);
            sum.1 += u128::from(counters.credits_posted);
        }
    }

    /// Carries out every movement of a player again.
    async fn books_of(&mut self, players: &PlayerStore, user: UserId) -> Result<(), StoreError> {
        self.wallets += 1;
        let mut replay = Replay::default();
        loop {
            let span = Span::After(replay.number);
            let lines = players.movements(user, span, PAGE_ROWS_MAX).await;
            // Its other lines are not looked at: whoever repairs this one looks again.
            let Some(lines) = self.readable(user, replay.number, lines)? else {
                break;
            };
            for (number, line) in &lines {
                self.movements += 1;
                if *number != replay.number + 1 {
                    self.fault(user, *number, "movements before it are missing");
                }
                if !replay.follows(*number, line) {
                    self.fault(
                        user,
                        *number,
                        "the books after it are not those before it and the movement",
                    );
                }
            }
            if lines.len() < PAGE_ROWS_MAX {
                break;
            }
        }
        self.add(user, replay.number, &replay.books);
        Ok(())
    }

    /// Compares what is in transit by the books with what is under way by signals.
    async fn add_under_way(&mut self, players: &PlayerStore) -> Result<(), StoreError> {
        let mut under_way = 0;
        let mut after = None;
        loop {
            let entities = players.entities();
            let senders = entities.senders(after, PAGE_ROWS_MAX).await?;
            for sender in &senders {
                under_way += self.sent_by(players, *sender).await?;
            }
            match senders.last() {
                Some(last) => after = Some(*last),
                None => break,
            }
        }
        self.under_way = Some(under_way);
        if self.in_transit() != i128::try_from(under_way).unwrap_or(i128::MAX) {
            self.faults += 1;
            let in_transit = self.in_transit();
            let what = format!("{in_transit} points are in transit, and {under_way} under way");
            self.told.push(what);
        }
        Ok(())
    }

    async fn sent_by(&self, players: &PlayerStore, sender: EntityId) -> Result<u128, StoreError> {
        let entities = players.entities();
        let incarnation = players.incarnation(sender).await?;
        let (mut sum, mut after) = (0, None);
        loop {
            let sent = entities.undelivered(sender, after, PAGE_ROWS_MAX).await?;
            for undelivered in &sent {
                after = Some((undelivered.version, undelivered.index));
                let signal = &undelivered.signal;
                let Ok(PlayerSignal::Points(points)) = codec::decode(&signal.body) else {
                    continue;
                };
                let applied = entities.applied(signal.to, sender).await?;
                let is_applied = applied.is_some_and(|applied| {
                    Some(applied.incarnation) == incarnation
                        && applied.version >= undelivered.version
                });
                let (PointsSignal::Gift { amount, .. } | PointsSignal::Returned { amount, .. }) =
                    points;
                if !is_applied {
                    sum += u128::from(amount);
                }
            }
            if sent.len() < PAGE_ROWS_MAX {
                return Ok(sum);
            }
        }
    }

    fn in_transit(&self) -> i128 {
        let transit = ACCOUNTS.iter().zip(self.accounts);
        let mut transit = transit.filter(|(account, _)| **account == PointsAccount::Transit);
        transit.next().map_or(0, |(_, (debits, credits))| {
            let part = |sum| i128::try_from(sum).unwrap_or(i128::MAX);
            part(credits) - part(debits)
        })
    }
}

/// A player's books, carried out again from their lines.
#[derive(Default)]
struct Replay {
    number: u64,
    books: Books,
    /// What is pending.
    pending: HashMap<u64, u64>,
}

impl Replay {
    /// Whether the line follows from those before it. The books are those of the line in any case.
    fn follows(&mut self, number: u64, line: &EntryRow) -> bool {
        self.number = number;
        let entry = &line.entry;
        let (debit, credit, amount) = (entry.debit, entry.credit, entry.amount);
        let mut books = self.books;
        let carried_out = match entry.state {
            MovementState::Posted => books.post(debit, credit, amount, Overdraft::Allowed),
            MovementState::Pending => {
                self.pending.insert(number, amount);
                books.pend(debit, credit, amount)
            }
            MovementState::Post | MovementState::Void => {
                let pending = entry.of.and_then(|of| self.pending.remove(&of));
                books.finish(debit, credit, pending.unwrap_or(0), amount)
            }
        };
        self.books = line.books;
        carried_out.is_ok() && books == line.books
    }
}

impl Display for Audit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} wallets, {} movements", self.wallets, self.movements)?;
        for (account, (debits, credits)) in ACCOUNTS.iter().zip(self.accounts) {
            if (debits, credits) != (0, 0) {
                let name = account.name();
                writeln!(f, "  {name:<16} gave {debits:>20}, got {credits:>20}")?;
            }
        }
        if let Some(under_way) = self.under_way {
            writeln!(f, "  {under_way} under way")?;
        }
        for what in &self.told {
            writeln!(f, "FAULT {what}")?;
        }
        write!(f, "{} faults", self.faults)
    }
}

/// Looks at the newest line of all books now and then, and shows the sums as metrics.
pub async fn run(players: PlayerStore) {
    let mut tick = tokio::time::interval_at(Instant::now() + AFTER_START, EVERY);
    loop {
        tick.tick().await;
        match Audit::of_newest(&players).await {
            Ok(audit) => show(&audit),
            Err(error @ StoreError::Damaged(_)) => {
                table::POINTS_FAULTS.set(1.0);
                tracing::error!(%error, "the ledger can't be read");
            }
            Err(error) => tracing::warn!(%error, "the ledger is looked at at the next turn"),
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point numbers"
)]
fn show(audit: &Audit) {
    for (account, (debits, credits)) in ACCOUNTS.iter().zip(audit.accounts) {
        table::POINTS_DEBITS.set_at(*account, debits as f64);
        table::POINTS_CREDITS.set_at(*account, credits as f64);
    }
    table::POINTS_FAULTS.set(audit.faults as f64);
    for what in &audit.told {
        tracing::error!(what, "the ledger does not add up");
    }
}
