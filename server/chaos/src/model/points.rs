//! Points: every movement once, books that add up, and gifts that arrive or come back.

use std::collections::{BTreeMap, BTreeSet};

use pitturu_protocol::types::points::{Movement, PointsAccount, PointsReason};

use super::actions::{Action, Certainty};
use super::{Evidence, Found};
use crate::record::{Ask, PlayerNo, Reply};

const RULE: &str = "points are exact";

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    for player in 0..evidence.users.len() {
        books(evidence, found, player);
    }
    for action in evidence.actions {
        if matches!(action.ask, Ask::Spend { .. } | Ask::Give { .. }) {
            once(evidence, found, action);
        }
    }
    gifts(evidence, found);
    total(evidence, found);
}

fn movements<'a>(evidence: &Evidence<'a>, player: PlayerNo) -> &'a [Movement] {
    &evidence.audit.players[player].movements
}

fn wrong(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo, message: String) {
    let about = (None, Some(evidence.users[player]));
    found.add(evidence, RULE, about, message);
}

/// What a movement adds to the wallet.
fn step(movement: &Movement) -> i64 {
    let amount = movement.amount.cast_signed();
    match (movement.debit, movement.credit) {
        (PointsAccount::Wallet, _) => -amount,
        (_, PointsAccount::Wallet) => amount,
        _ => 0,
    }
}

/// Numbered densely, each resting on the one before it, and never below nothing.
fn books(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo) {
    let mut balance = 0;
    let mut ids = BTreeSet::new();
    for (place, movement) in (1..).zip(movements(evidence, player)) {
        balance += step(movement);
        let is_new = movement.id.as_ref().is_none_or(|id| ids.insert(id));
        if movement.number != place || movement.balance != balance || balance < 0 || !is_new {
            let message = format!("{movement:?} is at {place}, where {balance} are due");
            wrong(evidence, found, player, message);
            return;
        }
    }
    let shown = evidence.audit.players[player].balance;
    if shown != balance {
        let message = format!("the wallet shows {shown}, and the movements make {balance}");
        wrong(evidence, found, player, message);
    }
}

/// What was acknowledged is there as it was answered, what was refused is not.
fn once(evidence: &Evidence<'_>, found: &mut Found, action: &Action) {
    let own = movements(evidence, action.player);
    let there = own
        .iter()
        .find(|movement| movement.id.as_deref() == Some(&action.key));
    let is_right = match (action.outcome, &action.reply) {
        (Certainty::Done, Some(Reply::Moved(answered))) => there == Some(answered),
        (Certainty::Done, _) => false,
        (Certainty::Refused, _) => there.is_none(),
        (Certainty::Unknown, _) => true,
    };
    let is_asked = there.is_none_or(|movement| match &action.ask {
        Ask::Spend { amount } => movement.amount == *amount,
        Ask::Give { amount, note, .. } => {
            movement.amount == *amount && movement.note.as_ref() == Some(note)
        }
        _ => false,
    });
    if !is_right || !is_asked {
        let message = format!(
            "{:?} under {} is {:?} with {:?}, and there is {there:?}",
            action.ask, action.key, action.outcome, action.reply
        );
        wrong(evidence, found, action.player, message);
    }
}

/// Each gift is with the other player, or back, and only there.
fn gifts(evidence: &Evidence<'_>, found: &mut Found) {
    let mut arrived: BTreeMap<&str, Vec<&Movement>> = BTreeMap::new();
    for player in 0..evidence.users.len() {
        let got = movements(evidence, player).iter();
        let got = got.filter(|movement| {
            movement.reason == PointsReason::Gift && movement.credit == PointsAccount::Wallet
        });
        for movement in got {
            let note = movement.note.as_deref().unwrap_or_default();
            arrived.entry(note).or_default().push(movement);
        }
    }
    for player in 0..evidence.users.len() {
        let own = movements(evidence, player);
        let given = own.iter().filter(|movement| {
            movement.reason == PointsReason::Gift && movement.debit == PointsAccount::Wallet
        });
        for gift in given {
            let note = gift.note.as_deref().unwrap_or_default();
            let there = arrived.remove(note).unwrap_or_default();
            let back = own.iter().filter(|movement| {
                movement.reason == PointsReason::GiftReturned && movement.of == Some(gift.number)
            });
            let ends: Vec<&Movement> = there.into_iter().chain(back).collect();
            let is_right = ends.len() == 1 && ends[0].amount == gift.amount;
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

/// Over all players there is what was granted and not spent.
fn total(evidence: &Evidence<'_>, found: &mut Found) {
    let (mut had, mut due) = (0, 0);
    for player in 0..evidence.users.len() {
        had += evidence.audit.players[player].balance;
        let own = movements(evidence, player).iter();
        let own = own.filter(|movement| {
            matches!(movement.reason, PointsReason::Grant | PointsReason::Spend)
        });
        due += own.map(step).sum::<i64>();
    }
    if had != due {
        let message = format!("all players have {had}, and {due} were granted and not spent");
        found.add(evidence, RULE, (None, None), message);
    }
}
