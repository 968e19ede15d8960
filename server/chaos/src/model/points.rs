//! Points: every movement once, as it was asked for, books that add up, and gifts that arrive or come back.

use std::collections::{BTreeMap, HashMap};

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::points::{Movement, MovementState, PointsAccount, PointsReason};

use super::actions::{Action, Certainty};
use super::{Evidence, Found};
use crate::actions::GRANT_NOTE;
use crate::books::{Books, PLACES, place, posted};
use crate::record::{Ask, PlayerNo, Reply};

const RULE: &str = "points are exact";

/// What accounts gave and got, by day.
type Days = BTreeMap<u64, [(u64, u64); PLACES]>;

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let mut days = Days::new();
    let mut under_way = 0;
    for player in 0..evidence.users.len() {
        let books = books(evidence, found, player, &mut days);
        let (given, got) = books.of(PointsAccount::Transit).posted;
        under_way += i128::from(got) - i128::from(given);
        origins(evidence, found, player);
    }
    if under_way != 0 {
        let message = format!("{under_way} points are under way when nothing is");
        found.add(evidence, RULE, (None, None), message);
    }
    for action in evidence.actions {
        once(evidence, found, action);
    }
    gifts(evidence, found);
    compare_days(evidence, found, &days);
}

pub(super) fn movements<'a>(evidence: &Evidence<'a>, player: PlayerNo) -> &'a [Movement] {
    &evidence.audit.players[player].movements
}

fn wrong(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo, message: String) {
    let about = (None, Some(evidence.users[player]));
    found.add(evidence, RULE, about, message);
}

/// Carries every line out again, and compares what comes of it with the wallet.
fn books(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo, days: &mut Days) -> Books {
    let mut books = Books::default();
    for movement in movements(evidence, player) {
        match books.add(movement, &codec::encode(movement)) {
            Ok(day) => {
                if let Some(amount) = posted(movement) {
                    let accounts = days.entry(day).or_default();
                    accounts[place(movement.debit)].0 += amount;
                    accounts[place(movement.credit)].1 += amount;
                }
            }
            Err(why) => {
                wrong(evidence, found, player, format!("{why}: {movement:?}"));
                return books;
            }
        }
    }
    let head = books.head();
    let (balance, available) = books.wallet_after(head);
    let free = available + books.overdue(evidence.now).cast_signed();
    let shown = evidence.audit.players[player].wallet.as_ref();
    let is_right = shown.is_some_and(|shown| {
        // What was set aside may have run out since it was read.
        shown.head == head
            && shown.balance == balance
            && (available..=free).contains(&shown.available)
    });
    if !is_right {
        let message =
            format!("the wallet shows {shown:?}, and {head} movements make {balance} and {free}");
        wrong(evidence, found, player, message);
    }
    books
}

/// The player whose points an action moves.
fn owner(evidence: &Evidence<'_>, action: &Action) -> Option<UserId> {
    match &action.ask {
        Ask::Spend { .. } | Ask::Give { .. } | Ask::Buy { .. } => {
            Some(evidence.users[action.player])
        }
        Ask::Grant { user, .. }
        | Ask::Deduct { user, .. }
        | Ask::Aside { user, .. }
        | Ask::Post { user, .. }
        | Ask::Void { user, .. }
        | Ask::Refund { user, .. }
        | Ask::Play { user, .. } => Some(*user),
        _ => None,
    }
}

/// Whether only a service may ask for it: who did is kept, also where it is the player's own.
const fn is_of_service(ask: &Ask) -> bool {
    !matches!(ask, Ask::Spend { .. } | Ask::Give { .. } | Ask::Buy { .. })
}

/// Each line goes back to what somebody asked for, who was not refused.
fn origins(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo) {
    let user = evidence.users[player];
    let asked = evidence.actions.iter();
    let asked = asked.filter(|action| owner(evidence, action) == Some(user));
    let asked: HashMap<(UserId, &str), &Action> = asked
        .map(|action| ((evidence.users[action.player], action.key.as_str()), action))
        .collect();
    let mut lines: HashMap<(UserId, &str), u64> = HashMap::new();
    let mut grants = 0;
    for movement in movements(evidence, player) {
        let Some(id) = movement.id.as_deref() else {
            continue;
        };
        let by = movement.by.unwrap_or(user);
        if movement.note.as_deref() == Some(GRANT_NOTE) && evidence.number(by).is_none() {
            grants += 1;
            continue;
        }
        let action = asked.get(&(by, id)).copied();
        let is_right = action
            .is_some_and(|action| !action.is_refused() && is_asked_by(evidence, action, movement));
        let before = lines.insert((by, id), movement.number);
        // What is given for one game has one line for each rule.
        let is_again = before.is_some() && movement.reason != PointsReason::Reward;
        if !is_right || is_again {
            let message = format!("{movement:?} was asked for by {action:?}, before: {before:?}");
            wrong(evidence, found, player, message);
        }
    }
    if grants != 1 {
        let message = format!("{grants} times points to begin with");
        wrong(evidence, found, player, message);
    }
}

/// Whether a line is what the action asks for.
fn is_asked_by(evidence: &Evidence<'_>, action: &Action, movement: &Movement) -> bool {
    use MovementState::{Pending, Post, Posted, Void};
    use PointsAccount::{Issuance, Refunds, Rewards, Spend, Transit, Wallet};
    let way = (movement.debit, movement.credit, movement.reason);
    let spent = (Wallet, Spend, PointsReason::Spend);
    let (due, state, amount) = match &action.ask {
        Ask::Spend { amount } => (spent, Posted, Some(*amount)),
        Ask::Buy { count, price, .. } => (spent, Posted, Some(count * price)),
        Ask::Aside { amount, .. } => (spent, Pending, Some(*amount)),
        Ask::Post { amount, .. } => (spent, Post, *amount),
        Ask::Void { .. } => (spent, Void, Some(0)),
        Ask::Give { amount, .. } => ((Wallet, Transit, PointsReason::Gift), Posted, Some(*amount)),
        Ask::Grant { amount, .. } => (
            (Issuance, Wallet, PointsReason::Grant),
            Posted,
            Some(*amount),
        ),
        Ask::Deduct { amount, .. } => (
            (Wallet, Issuance, PointsReason::Deduction),
            Posted,
            Some(*amount),
        ),
        Ask::Refund { amount, .. } => ((Refunds, Wallet, PointsReason::Refund), Posted, *amount),
        Ask::Play { .. } => ((Rewards, Wallet, PointsReason::Reward), Posted, None),
        _ => return false,
    };
    let caller = evidence.users[action.player];
    let by = is_of_service(&action.ask).then_some(caller);
    way == due
        && (movement.state, movement.by) == (state, by)
        && amount.is_none_or(|amount| movement.amount == amount)
        && is_said_by(&action.ask, movement)
}

/// Whether a line says the rest of what was asked for.
fn is_said_by(ask: &Ask, movement: &Movement) -> bool {
    let (mut until, mut of, mut other) = (None, None, None);
    let (mut note, mut reference) = (None, None);
    match ask {
        Ask::Give {
            user, note: said, ..
        } => {
            other = Some(*user);
            note = Some(said.as_str());
        }
        Ask::Grant { note: said, .. } | Ask::Deduct { note: said, .. } => {
            note = Some(said.as_str());
        }
        Ask::Aside { until: end, .. } => until = Some(*end),
        Ask::Post { movement, .. } | Ask::Void { movement, .. } => of = Some(*movement),
        Ask::Refund {
            movement: spent,
            note: said,
            ..
        } => {
            of = Some(*spent);
            note = Some(said.as_str());
            // It is for what was bought.
            reference = movement.reference.as_deref();
        }
        Ask::Buy { item, .. } => reference = Some(*item),
        // What is said of it is looked at with the rules that give.
        Ask::Play { .. } => return true,
        _ => {}
    }
    (movement.until, movement.of, movement.other) == (until, of, other)
        && movement.note.as_deref() == note
        && movement.reference.as_deref() == reference
}

/// What was acknowledged is there as it was answered, what was refused is not.
fn once(evidence: &Evidence<'_>, found: &mut Found, action: &Action) {
    let Some(user) = owner(evidence, action) else {
        return;
    };
    // Games played are looked at with the rules that give.
    let (Some(player), false) = (
        evidence.number(user),
        matches!(action.ask, Ask::Play { .. }),
    ) else {
        return;
    };
    let caller = evidence.users[action.player];
    let by = is_of_service(&action.ask).then_some(caller);
    let there = movements(evidence, player)
        .iter()
        .find(|movement| movement.id.as_deref() == Some(&action.key) && movement.by == by);
    let is_right = match (action.outcome, &action.reply) {
        (Certainty::Done, Some(Reply::Moved(answered))) => there == Some(answered),
        (Certainty::Done, Some(Reply::Bought(bought))) => there.is_some_and(|movement| {
            Some(movement.number) == bought.change.movement
                && (movement.amount, movement.balance) == (bought.points, bought.balance)
        }),
        (Certainty::Done, _) => false,
        (Certainty::Refused, _) => there.is_none(),
        (Certainty::Unknown, _) => true,
    };
    if !is_right {
        found.add_outcome(evidence, RULE, user, action, there);
    }
}

/// Each gift is with the other player, or back, and only there.
fn gifts(evidence: &Evidence<'_>, found: &mut Found) {
    let mut arrived: BTreeMap<&str, Vec<(PlayerNo, &Movement)>> = BTreeMap::new();
    for player in 0..evidence.users.len() {
        let got = movements(evidence, player).iter();
        let got = got.filter(|movement| {
            movement.reason == PointsReason::Gift && movement.credit == PointsAccount::Wallet
        });
        for movement in got {
            let note = movement.note.as_deref().unwrap_or_default();
            arrived.entry(note).or_default().push((player, movement));
        }
    }
    for player in 0..evidence.users.len() {
        let user = evidence.users[player];
        let own = movements(evidence, player);
        let given = own.iter().filter(|movement| {
            movement.reason == PointsReason::Gift && movement.debit == PointsAccount::Wallet
        });
        for gift in given {
            let note = gift.note.as_deref().unwrap_or_default();
            let there = arrived.remove(note).unwrap_or_default();
            let is_meant = there.iter().all(|(got, arrival)| {
                gift.other == Some(evidence.users[*got]) && arrival.other == Some(user)
            });
            let back = own.iter().filter(|movement| {
                movement.reason == PointsReason::GiftReturned && movement.of == Some(gift.number)
            });
            let ends = there.into_iter().map(|(_, arrival)| arrival).chain(back);
            let ends: Vec<&Movement> = ends.collect();
            let is_right = is_meant && ends.len() == 1 && ends[0].amount == gift.amount;
            if !is_right {
                let message = format!("{gift:?} came to {ends:?}");
                wrong(evidence, found, player, message);
            }
        }
    }
    for (note, there) in arrived {
        let message = format!("nobody gave {note}: {there:?}");
        found.add(evidence, RULE, (None, None), message);
    }
}

/// What an admin is told of each day is the sum of what everybody's books say.
fn compare_days(evidence: &Evidence<'_>, found: &mut Found, days: &Days) {
    for (day, told) in &evidence.audit.days {
        let mut shown = [(0, 0); PLACES];
        for account in told {
            shown[place(account.account)] = (account.debits, account.credits);
        }
        let due = days.get(day).copied().unwrap_or_default();
        if shown != due {
            let message = format!("day {day} is told as {shown:?}, and is {due:?}");
            found.add(evidence, RULE, (None, None), message);
        }
    }
}
