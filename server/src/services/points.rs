//! Points: wallets, movements, what moved on a day, and what all had at its end.

pub mod audit;
pub mod totals;

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::points::{
    AccountDay, DeductPoints, ExpirePoints, GetWallet, GivePoints, GrantPoints, ListMovements,
    ListPointsDays, ListPointsTotals, Movement, Movements, MovementsFrom, PointsAccount,
    PointsDays, PointsTotals, PostPoints, RefundPoints, SetPointsAside, SpendPoints, VoidPoints,
    Wallet,
};
use pitturu_rules::pages::{Page, page_items};
use pitturu_rules::points::books::ACCOUNTS;
use pitturu_rules::points::{Books, Entry, EntryRow, Flow};
use pitturu_rules::rooms::TextFilter;
use pitturu_store::entities::{PAGE_ROWS_MAX, Span};

use crate::connections::caller::Caller;
use crate::players::command::{Ask, PointsAsk, PointsGift, PointsWish};
use crate::services::players_access::PlayersAccess;

/// Most movements that one page looks through.
const LOOKED_THROUGH_MAX: usize = 5_000;

/// How often books are read again because points moved meanwhile.
const READS_MAX: usize = 8;

/// Players whose day is added up for one page.
const DAY_PLAYERS_MAX: usize = 500;

/// The calls of [`pitturu_protocol::types::points`].
pub struct PointsService {
    players: PlayersAccess,
    filter: Option<Arc<dyn TextFilter>>,
}

impl PointsService {
    /// Points of these players. The notes of their gifts pass the filter.
    pub const fn new(players: PlayersAccess, filter: Option<Arc<dyn TextFilter>>) -> Self {
        Self { players, filter }
    }

    /// [`GetWallet`].
    pub async fn get_wallet(&self, caller: &Caller, request: GetWallet) -> Result<Wallet, Fault> {
        let user = self.players.whose(caller, request.user).await?;
        let (head, books) = self.books(user, caller.now).await?;
        let wallet = books.of(PointsAccount::Wallet);
        Ok(Wallet {
            balance: wallet.balance(),
            available: wallet.available(),
            head,
        })
    }

    /// A player's books as of now, and the number of their newest line. What is set aside for a time that is over is free, though
    /// nobody has written it down.
    async fn books(&self, user: UserId, now: u64) -> Result<(u64, Books), Fault> {
        let mut newest = self.players.store.newest_movement(user).await?;
        for _ in 0..READS_MAX {
            let pending = self.players.store.pending(user).await?;
            let again = self.players.store.newest_movement(user).await?;
            let number = |line: &Option<(u64, EntryRow)>| line.as_ref().map(|(number, _)| *number);
            // Whatever changes what is pending writes a line as well.
            let is_of_one_moment = number(&newest) == number(&again);
            newest = again;
            if is_of_one_moment {
                let (head, mut books) = head_and_books(newest);
                for (_, row) in pending.iter().filter(|(_, row)| row.until <= now) {
                    // It is set aside, so it can be set free.
                    let _ = books.finish(row.debit, row.credit, row.amount, 0);
                }
                return Ok((head, books));
            }
        }
        // Points move faster than they can be read. What is overdue is written down by the next movement.
        Ok(head_and_books(newest))
    }

    /// [`ListMovements`].
    pub async fn list_movements(
        &self,
        caller: &Caller,
        request: ListMovements,
    ) -> Result<Movements, Fault> {
        let user = self.players.whose(caller, request.user).await?;
        let is_told_who = self.players.is_told_who(caller).await?;
        let limit = page_items(request.limit)?;
        let mut from = request.from.unwrap_or(MovementsFrom::Before(u64::MAX));
        let mut page = Page::new(limit);
        let mut looked_through = 0;
        loop {
            let span = match from {
                MovementsFrom::After(number) => Span::After(number),
                MovementsFrom::Before(number) => Span::Before(number),
            };
            let mut lines = self
                .players
                .store
                .movements(user, span, PAGE_ROWS_MAX)
                .await?;
            if matches!(from, MovementsFrom::Before(_)) {
                lines.reverse();
            }
            let is_last = lines.len() < PAGE_ROWS_MAX;
            looked_through += lines.len();
            for (number, line) in lines {
                if is_wanted(&request, &line.entry) {
                    let mut movement = line.movement(number);
                    movement.by = movement.by.filter(|_| is_told_who);
                    if !page.push(movement) {
                        return Ok(movements(page, Some(from)));
                    }
                }
                from = match from {
                    MovementsFrom::After(_) => MovementsFrom::After(number),
                    MovementsFrom::Before(_) => MovementsFrom::Before(number),
                };
            }
            if is_last {
                return Ok(movements(page, None));
            }
            if looked_through >= LOOKED_THROUGH_MAX {
                return Ok(movements(page, Some(from)));
            }
        }
    }

    /// [`SpendPoints`].
    pub async fn spend(&self, caller: &Caller, request: SpendPoints) -> Result<Movement, Fault> {
        let wish = PointsWish::Flow(Flow::Spend, request.amount);
        self.own(caller, wish, request.reference, None).await
    }

    /// [`GivePoints`].
    pub async fn give(&self, caller: &Caller, request: GivePoints) -> Result<Movement, Fault> {
        let (user, other) = (caller.user()?, request.user);
        let exists = self.players.store.account(other).await?.is_some();
        // The entity looks at all of it behind the key: a repetition gets the first result, whoever blocks whom and whatever words are
        // listed by now.
        let to = self.players.store.other(user, other, exists).await?;
        let wish = PointsWish::Give(PointsGift {
            to,
            amount: request.amount,
            is_note_allowed: self.allows(request.note.as_deref()),
        });
        self.own(caller, wish, None, request.note).await
    }

    fn allows(&self, note: Option<&str>) -> bool {
        match (&self.filter, note) {
            (Some(filter), Some(note)) => filter.allows(None, note),
            _ => true,
        }
    }

    /// [`GrantPoints`].
    pub async fn grant(&self, caller: &Caller, request: GrantPoints) -> Result<Movement, Fault> {
        self.players.giver(caller, &request.note).await?;
        let wish = PointsWish::Flow(Flow::Grant, request.amount);
        let note = Some(request.note);
        self.managed(caller, request.user, wish, request.reference, note)
            .await
    }

    /// [`DeductPoints`].
    pub async fn deduct(&self, caller: &Caller, request: DeductPoints) -> Result<Movement, Fault> {
        self.players.giver(caller, &request.note).await?;
        let wish = PointsWish::Flow(Flow::Deduction, request.amount);
        let note = Some(request.note);
        self.managed(caller, request.user, wish, request.reference, note)
            .await
    }

    /// [`RefundPoints`].
    pub async fn refund(&self, caller: &Caller, request: RefundPoints) -> Result<Movement, Fault> {
        self.players.giver(caller, &request.note).await?;
        self.players.check_exists(request.user).await?;
        let found = self
            .players
            .store
            .movement(request.user, request.movement)
            .await?;
        let spent: Entry = match found {
            Some((_, line)) => line.entry,
            None => return Err(Fault::of(Code::MovementNotFound)),
        };
        let wish = PointsWish::Refund(request.movement, Box::new(spent), request.amount);
        let note = Some(request.note);
        self.managed(caller, request.user, wish, None, note).await
    }

    /// [`ExpirePoints`].
    pub async fn expire(&self, caller: &Caller, request: ExpirePoints) -> Result<Movement, Fault> {
        let wish = PointsWish::Flow(Flow::Expiry, request.amount);
        self.manage(caller, request.user, wish, request.reference, None)
            .await
    }

    /// [`SetPointsAside`].
    pub async fn set_aside(
        &self,
        caller: &Caller,
        request: SetPointsAside,
    ) -> Result<Movement, Fault> {
        let wish = PointsWish::SetAside(request.amount, request.until);
        let (reference, note) = (request.reference, request.note);
        self.manage(caller, request.user, wish, reference, note)
            .await
    }

    /// [`PostPoints`].
    pub async fn post(&self, caller: &Caller, request: PostPoints) -> Result<Movement, Fault> {
        let wish = PointsWish::Post(request.movement, request.amount);
        self.manage(caller, request.user, wish, None, None).await
    }

    /// [`VoidPoints`].
    pub async fn void(&self, caller: &Caller, request: VoidPoints) -> Result<Movement, Fault> {
        let wish = PointsWish::Void(request.movement);
        self.manage(caller, request.user, wish, None, None).await
    }

    /// [`ListPointsDays`].
    pub async fn list_days(
        &self,
        caller: &Caller,
        request: ListPointsDays,
    ) -> Result<PointsDays, Fault> {
        self.players.staff.admin(caller).await?;
        let day = u64::from(request.day);
        let found = self
            .players
            .store
            .points_days(day, request.after, DAY_PLAYERS_MAX)
            .await?;
        let is_last = found.len() < DAY_PLAYERS_MAX;
        let next = found.last().map(|(user, _)| *user).filter(|_| !is_last);
        let players = found.len() as u64;
        let mut sums = [(0_u64, 0_u64); ACCOUNTS.len()];
        for (user, row) in found {
            let closing = match row.closing {
                Some(closing) => closing,
                // The last day of this player: what stands now.
                None => {
                    let newest = self.players.store.newest_movement(user).await?;
                    newest.map(|(_, line)| line.books).unwrap_or_default()
                }
            };
            let accounts = row.opening.accounts().zip(closing.accounts());
            for (sum, ((_, before), (_, after))) in sums.iter_mut().zip(accounts) {
                sum.0 += after.debits_posted - before.debits_posted;
                sum.1 += after.credits_posted - before.credits_posted;
            }
        }
        let accounts = ACCOUNTS.into_iter().zip(sums);
        let accounts = accounts.filter(|(_, sums)| *sums != (0, 0));
        let accounts = accounts.map(|(account, (debits, credits))| AccountDay {
            account,
            debits,
            credits,
        });
        Ok(PointsDays {
            players,
            accounts: accounts.collect(),
            next,
        })
    }

    /// [`ListPointsTotals`].
    pub async fn list_totals(
        &self,
        caller: &Caller,
        request: ListPointsTotals,
    ) -> Result<PointsTotals, Fault> {
        self.players.staff.admin(caller).await?;
        let limit = page_items(request.limit)?;
        // One more shows whether others follow.
        let store = &self.players.store;
        let found = store.points_totals(request.before, limit + 1).await?;
        let shown = found.iter().map(|(day, totals)| totals.shown(*day));
        let (days, more) = Page::of(limit, shown).into_parts();
        let next = days.last().map(|last| last.day).filter(|_| more);
        Ok(PointsTotals { days, next })
    }

    /// Has a player's entity move points, as a service or an admin asks.
    async fn manage(
        &self,
        caller: &Caller,
        user: UserId,
        wish: PointsWish,
        reference: Option<String>,
        note: Option<String>,
    ) -> Result<Movement, Fault> {
        self.players.staff.service(caller).await?;
        self.managed(caller, user, wish, reference, note).await
    }

    /// The same once it is known that the caller may. Who it was is kept, also where they do it for themselves.
    async fn managed(
        &self,
        caller: &Caller,
        user: UserId,
        wish: PointsWish,
        reference: Option<String>,
        note: Option<String>,
    ) -> Result<Movement, Fault> {
        let ask = PointsAsk {
            wish,
            id: None,
            by: Some(caller.user()?),
            reference,
            note,
        };
        self.decide(caller, user, ask).await
    }

    /// Has the caller's entity move the caller's points.
    async fn own(
        &self,
        caller: &Caller,
        wish: PointsWish,
        reference: Option<String>,
        note: Option<String>,
    ) -> Result<Movement, Fault> {
        let ask = PointsAsk {
            wish,
            id: None,
            by: None,
            reference,
            note,
        };
        self.decide(caller, caller.user()?, ask).await
    }

    /// Has a player's entity decide. The key of the call, which is the movement's id, belongs to the caller.
    async fn decide(
        &self,
        caller: &Caller,
        user: UserId,
        ask: PointsAsk,
    ) -> Result<Movement, Fault> {
        let ask = Ask::Points(Box::new(PointsAsk {
            id: caller.key.as_ref().map(|key| key.key.to_string()),
            reference: given(ask.reference),
            note: given(ask.note),
            ..ask
        }));
        self.players.decide(caller, user, ask).await
    }
}

/// An empty text is none.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn head_and_books(newest: Option<(u64, EntryRow)>) -> (u64, Books) {
    newest.map_or_else(Default::default, |(head, line)| (head, line.books))
}

fn is_wanted(request: &ListMovements, entry: &Entry) -> bool {
    request
        .account
        .is_none_or(|account| account == entry.debit || account == entry.credit)
        && request.reason.is_none_or(|reason| reason == entry.reason)
        && request.since.is_none_or(|since| entry.at >= since)
        && request.until.is_none_or(|until| entry.at < until)
}

fn movements(page: Page<Movement>, next: Option<MovementsFrom>) -> Movements {
    let (movements, _) = page.into_parts();
    Movements { movements, next }
}
