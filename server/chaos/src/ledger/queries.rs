//! Whether what is read agrees with the model: histories by random filters and pages, wallets and days.

use fastrand::Rng;
use pitturu_protocol::codec;
use pitturu_protocol::types::points::{
    GetWallet, ListMovements, ListPointsDays, Movements, MovementsFrom, Wallet,
};

use super::calls::PersonNo;
use super::draw::any_filter;
use super::model::Model;
use super::reader::Reader;
use super::state::{LivePage, LiveWallet};
use super::world::World;
use crate::books::{Books, Line, PLACES, digest, place};

/// Movements that a page looks through at most, by the documentation.
const LOOKED_THROUGH_MAX: u64 = 5_000;

/// Bytes of a page at most, less what may not fit.
const PAGE_BYTES: usize = 47 * 1024;

/// Pages of one history at most.
const PAGES_MAX: u64 = 6;

/// Numbers of the lines of a history that a request wants, in its order, as far as `head`.
fn wanted(books: &Books, asked: &ListMovements, head: u64) -> Vec<u64> {
    let is_wanted = |line: &Line| {
        asked
            .account
            .is_none_or(|account| account == line.debit || account == line.credit)
            && asked.reason.is_none_or(|reason| reason == line.reason)
            && asked.since.is_none_or(|since| since <= line.at)
            && asked.until.is_none_or(|until| line.at < until)
    };
    let of = |number: &u64| books.line(*number).is_some_and(is_wanted);
    match asked.from {
        Some(MovementsFrom::After(after)) => (after.saturating_add(1)..=head).filter(of).collect(),
        Some(MovementsFrom::Before(before)) => {
            let below = before.saturating_sub(1).min(head);
            (1..=below).rev().filter(of).collect()
        }
        None => (1..=head).rev().filter(of).collect(),
    }
}

/// Reads a history by a random request, page by page. Returns how many pages were compared.
///
/// # Errors
/// What could not be read, or does not agree.
pub async fn compare_history(
    model: &Model,
    reader: &mut Reader,
    (player, user): (PersonNo, Option<pitturu_protocol::ids::UserId>),
    rng: &mut Rng,
) -> Result<u64, String> {
    let books = &model.books[player as usize];
    let is_staff = user.is_some();
    let head = books.head();
    let mut asked = ListMovements {
        user,
        limit: rng
            .choice([None, Some(1), Some(2), Some(7), Some(50), Some(200)])
            .flatten(),
        ..any_filter(rng, head, |rng| {
            let line = books.line(rng.u64(..=head));
            line.map_or(0, |line| line.at + rng.u64(..2))
        })
    };
    let all = wanted(books, &asked, head);
    let mut rest = all.as_slice();
    for page in 1.. {
        let answered: Movements = reader.read(&asked).await?;
        let wrong = |what: &str| {
            let numbers: Vec<u64> = answered.movements.iter().map(|line| line.number).collect();
            format!(
                "{what}: {asked:?} of player {player} with {head} movements: {numbers:?}, {:?}; due were {rest:?}",
                answered.next
            )
        };
        let limit = asked.limit.unwrap_or(50) as usize;
        if answered.movements.len() > limit || answered.movements.len() > rest.len() {
            return Err(wrong("too many"));
        }
        let (due, after) = rest.split_at(answered.movements.len());
        let same = due.iter().zip(&answered.movements).all(|(number, found)| {
            let line = books.line(*number);
            line.is_some_and(|line| line.digest_for(is_staff) == digest(&codec::encode(found)))
        });
        if !same {
            return Err(wrong("other movements"));
        }
        let Some(next) = answered.next else {
            return match after.is_empty() {
                true => Ok(page),
                false => Err(wrong("more follow")),
            };
        };
        let looked_through = looked_through(asked.from, next, head);
        let bytes: usize = answered
            .movements
            .iter()
            .map(|line| codec::encode(line).len())
            .sum();
        let is_full = answered.movements.len() == limit || bytes > PAGE_BYTES;
        if !is_full && looked_through < LOOKED_THROUGH_MAX {
            return Err(wrong("a page is short"));
        }
        if page >= PAGES_MAX {
            return Ok(page);
        }
        asked.from = Some(next);
        rest = after;
    }
    Ok(0)
}

fn looked_through(from: Option<MovementsFrom>, next: MovementsFrom, head: u64) -> u64 {
    let of = |number: u64| number.min(head + 1);
    let (from, next) = match (from, next) {
        (Some(MovementsFrom::After(from)), MovementsFrom::After(next)) => (from, next),
        (Some(MovementsFrom::Before(from)), MovementsFrom::Before(next)) => (of(from), of(next)),
        (_, MovementsFrom::Before(next)) => (head + 1, next),
        _ => return 0,
    };
    from.abs_diff(next)
}

/// Reads a wallet.
///
/// # Errors
/// What could not be read, or does not agree.
pub async fn compare_wallet(
    world: &World,
    model: &Model,
    reader: &mut Reader,
    player: PersonNo,
) -> Result<(), String> {
    let user = Some(world.user(player));
    let before = world.now();
    let wallet: Wallet = reader.read(&GetWallet { user }).await?;
    let books = &model.books[player as usize];
    let (balance, available) = books.wallet_after(books.head());
    let at = |now| available + books.overdue(now).cast_signed();
    // Something may run out meanwhile.
    let is_right = (wallet.balance, wallet.head) == (balance, books.head())
        && (at(before)..=at(world.now())).contains(&wallet.available);
    match is_right {
        true => Ok(()),
        false => Err(format!(
            "player {player} has {wallet:?}, and the movements make {balance} and {}",
            at(before)
        )),
    }
}

/// Reads a day.
///
/// # Errors
/// What could not be read, or does not agree.
pub async fn compare_day(model: &Model, reader: &mut Reader, day: u64) -> Result<(), String> {
    let (mut players, mut sums, mut after) = (0, [(0, 0); PLACES], None);
    loop {
        let request = ListPointsDays {
            day: u32::try_from(day).unwrap_or(u32::MAX),
            after,
        };
        let page = reader.read(&request).await?;
        players += page.players;
        for account in page.accounts {
            let sum: &mut (u64, u64) = &mut sums[place(account.account)];
            *sum = (sum.0 + account.debits, sum.1 + account.credits);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let due = model.days.get(&day).cloned().unwrap_or_default();
    match (players, sums) == (due.players.len() as u64, due.accounts) {
        true => Ok(()),
        false => Err(format!(
            "day {day}: {players} players moved {sums:?}; due were {} with {:?}",
            due.players.len(),
            due.accounts
        )),
    }
}

/// Whether a page that was read while points moved shows a part of the history without holes, and all that was acknowledged.
///
/// # Errors
/// Says what does not agree.
pub fn check_live_page(model: &Model, page: &LivePage) -> Result<(), String> {
    let books = &model.books[page.player as usize];
    let goes_back = !matches!(page.asked.from, Some(MovementsFrom::After(_)));
    let all = wanted(books, &page.asked, books.head());
    // Players read what is theirs, and the staff says whose.
    let is_staff = page.asked.user.is_some();
    let of = |number: u64| books.line(number).map(|line| line.digest_for(is_staff));
    let is_there = page
        .lines
        .iter()
        .all(|(number, digest)| of(*number) == Some(*digest));
    let shown: Vec<u64> = page.lines.iter().map(|(number, _)| *number).collect();
    // What came later stands at the beginning when the newest come first.
    let newest = shown.first().copied().unwrap_or(page.low);
    let later = all.iter().take_while(|number| **number > newest);
    let later = if goes_back { later.count() } else { 0 };
    let hidden = all[..later]
        .iter()
        .filter(|number| **number <= page.low)
        .count();
    let part = &all[later..];
    let follows = part.starts_with(&shown);
    let rest = part.get(shown.len()..).unwrap_or(&[]);
    let is_whole = match page.next {
        Some(MovementsFrom::After(next)) => rest.iter().all(|number| *number > next),
        Some(MovementsFrom::Before(next)) => rest.iter().all(|number| *number < next),
        None => rest.iter().all(|number| !goes_back && *number > page.low),
    };
    match is_there && hidden == 0 && follows && is_whole {
        true => Ok(()),
        false => Err(format!(
            "{:?} of player {} after {} were acknowledged: {shown:?}, {:?}",
            page.asked, page.player, page.low, page.next
        )),
    }
}

/// Whether a wallet that was read while points moved is that of one moment, and not of one before what was acknowledged.
///
/// # Errors
/// Says what does not agree.
pub fn check_live_wallet(model: &Model, seen: &LiveWallet) -> Result<(), String> {
    let books = &model.books[seen.player as usize];
    let wallet = &seen.wallet;
    let (balance, available) = books.wallet_after(wallet.head);
    let is_right = wallet.head >= seen.low
        && wallet.head <= books.head()
        && wallet.balance == balance
        // What has run out may not be written down.
        && (available..=balance).contains(&wallet.available);
    match is_right {
        true => Ok(()),
        false => Err(format!(
            "player {} had {wallet:?} after {} were acknowledged, and the movements make {balance} and {available}",
            seen.player, seen.low
        )),
    }
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::types::points::{Movement, MovementState, PointsAccount, PointsReason};

    use super::*;

    /// Five movements: grants, and spends at 2 and 4.
    fn model() -> Model {
        let mut model = Model::new(1);
        for number in 1..=5_u64 {
            let is_spend = number % 2 == 0;
            let (debit, credit, reason, balance) = match is_spend {
                true => (
                    PointsAccount::Wallet,
                    PointsAccount::Spend,
                    PointsReason::Spend,
                    0,
                ),
                false => (
                    PointsAccount::Issuance,
                    PointsAccount::Wallet,
                    PointsReason::Grant,
                    10,
                ),
            };
            let movement = Movement {
                number,
                at: 1_000 + number,
                debit,
                credit,
                amount: 10,
                state: MovementState::Posted,
                reason,
                reference: None,
                note: None,
                id: None,
                by: None,
                other: None,
                until: None,
                of: None,
                balance,
                available: balance,
            };
            let added = model.books[0].add(&movement, &codec::encode(&movement));
            assert_eq!(added, Ok(0));
        }
        model
    }

    fn page(model: &Model, asked: ListMovements, low: u64, shown: &[u64]) -> LivePage {
        let is_staff = asked.user.is_some();
        let line = |number: &u64| model.books[0].line(*number).unwrap();
        let digest = |number: &u64| line(number).digest_for(is_staff);
        let lines = shown.iter().map(|number| (*number, digest(number)));
        LivePage {
            player: 0,
            asked,
            low,
            lines: lines.collect(),
            next: None,
        }
    }

    #[test]
    fn filters_are_those_of_the_documentation() {
        let books = &model().books[0];
        let all = ListMovements::default();
        assert_eq!(wanted(books, &all, 5), [5, 4, 3, 2, 1]);
        let spent = ListMovements {
            account: Some(PointsAccount::Spend),
            from: Some(MovementsFrom::After(2)),
            ..ListMovements::default()
        };
        assert_eq!(wanted(books, &spent, 5), [4]);
        let between = ListMovements {
            since: Some(1_002),
            until: Some(1_004),
            from: Some(MovementsFrom::Before(9)),
            ..all
        };
        assert_eq!(wanted(books, &between, 5), [3, 2]);
    }

    #[test]
    fn a_page_with_a_hole_or_without_what_was_acknowledged_is_found() {
        let model = &model();
        let back = ListMovements::default();
        let on = ListMovements {
            from: Some(MovementsFrom::After(1)),
            ..ListMovements::default()
        };
        let check = |asked: &ListMovements, low, shown: &[u64]| {
            check_live_page(model, &page(model, asked.clone(), low, shown)).is_ok()
        };
        // What came after the acknowledged one may be missing, and may be there.
        assert!(check(&back, 3, &[3, 2, 1]) && check(&back, 3, &[5, 4, 3, 2, 1]));
        assert!(check(&on, 3, &[2, 3]) && check(&on, 3, &[2, 3, 4]));
        for shown in [&[][..], &[2, 1], &[4, 2, 1], &[5, 4, 3]] {
            assert!(!check(&back, 3, shown), "{shown:?}");
        }
        for shown in [&[][..], &[2], &[3], &[2, 4]] {
            assert!(!check(&on, 3, shown), "{shown:?}");
        }
        let mut changed = page(model, on, 3, &[2, 3]);
        changed.lines[1].1 ^= 1;
        assert!(check_live_page(model, &changed).is_err());
    }
}
