//! Items: every change once, carried out again, paid once, and never more sold than there is.

use std::collections::{BTreeMap, HashMap};

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::items::{ItemChange, ItemReason, OwnedItem};
use pitturu_protocol::types::points::{Movement, PointsReason};

use super::actions::{Action, Certainty};
use super::points::movements;
use super::{Evidence, Found};
use crate::game::{CROWN, ITEMS, POTION, item};
use crate::record::{Ask, PlayerNo, Reply};

const RULE: &str = "items are exact";

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    for player in 0..evidence.users.len() {
        let owned = carry_out(evidence, found, player);
        inventory(evidence, found, player, &owned);
        origins(evidence, found, player);
        paid(evidence, found, player);
    }
    for action in evidence.actions {
        once(evidence, found, action);
    }
    stocks(evidence, found);
}

fn changes<'a>(evidence: &Evidence<'a>, player: PlayerNo) -> &'a [ItemChange] {
    &evidence.audit.players[player].changes
}

fn wrong(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo, message: String) {
    let about = (None, Some(evidence.users[player]));
    found.add(evidence, RULE, about, message);
}

/// What a player has of an item after a change of it.
fn after(before: Option<&OwnedItem>, change: &ItemChange) -> Result<OwnedItem, String> {
    let sold = item(&change.item);
    let count = before.map_or(0, |owned| owned.count);
    let owned = |count, until| OwnedItem {
        item: change.item.clone(),
        count,
        until,
    };
    let is_used = change.item == POTION && change.reason == ItemReason::Used;
    if (change.change < 0) != is_used || change.change == 0 {
        return Err("nothing changes like that".to_owned());
    }
    if let Some(lasts) = sold.and_then(|item| item.lasts_ms) {
        let until = before.and_then(|owned| owned.until).unwrap_or(0);
        let until = until.max(change.at) + lasts * change.change.unsigned_abs();
        return Ok(owned(1, Some(until)));
    }
    let most = sold.map_or(u64::MAX, |item| item.most);
    match count.checked_add_signed(change.change) {
        Some(count) if count <= most => Ok(owned(count, None)),
        _ => Err(format!("{count} are there, and at most {most} can be")),
    }
}

/// Carries every change out again. What is owned in the end.
fn carry_out(
    evidence: &Evidence<'_>,
    found: &mut Found,
    player: PlayerNo,
) -> BTreeMap<String, OwnedItem> {
    let mut owned: BTreeMap<String, OwnedItem> = BTreeMap::new();
    for (number, change) in (1..).zip(changes(evidence, player)) {
        let due = after(owned.get(&change.item), change);
        if change.number != number || due.as_ref() != Ok(&change.owned) {
            let message = format!("{number} is {change:?}, where {due:?} is due");
            wrong(evidence, found, player, message);
            break;
        }
        owned.insert(change.item.clone(), change.owned.clone());
    }
    owned
}

fn inventory(
    evidence: &Evidence<'_>,
    found: &mut Found,
    player: PlayerNo,
    owned: &BTreeMap<String, OwnedItem>,
) {
    let shown = &evidence.audit.players[player].owned;
    for due in owned.values().filter(|due| due.count > 0) {
        let there = shown.iter().find(|owned| owned.item == due.item);
        let has_run_out = due.until.is_some_and(|until| until <= evidence.now);
        if there != Some(due) && !(there.is_none() && has_run_out) {
            let message = format!("{there:?} is owned, and {due:?} is due");
            wrong(evidence, found, player, message);
        }
    }
    let is_due = |shown: &&OwnedItem| owned.get(&shown.item).is_some_and(|due| due.count > 0);
    for more in shown.iter().filter(|shown| !is_due(shown)) {
        wrong(evidence, found, player, format!("{more:?} is not due"));
    }
}

/// The player whose items an action changes.
fn owner(evidence: &Evidence<'_>, action: &Action) -> Option<UserId> {
    match &action.ask {
        Ask::Buy { .. } | Ask::Use { .. } => Some(evidence.users[action.player]),
        Ask::GiveItem { user, .. } => Some(*user),
        _ => None,
    }
}

/// Each change goes back to what somebody asked for, who was not refused.
fn origins(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo) {
    let user = evidence.users[player];
    let asked = evidence.actions.iter();
    let asked = asked.filter(|action| owner(evidence, action) == Some(user));
    let mut asked: HashMap<(UserId, &str), &Action> = asked
        .map(|action| ((evidence.users[action.player], action.key.as_str()), action))
        .collect();
    for change in changes(evidence, player) {
        if change.reason == ItemReason::Rewarded {
            let (is_crown, is_one) = (change.item == CROWN, change.change == 1);
            if !is_crown || !is_one || change.id.is_some() {
                wrong(evidence, found, player, format!("no rule gives {change:?}"));
            }
            continue;
        }
        let by = change.by.unwrap_or(user);
        let id = change.id.as_deref().unwrap_or_default();
        // Each is taken out, so that none has two changes.
        let action = asked.remove(&(by, id));
        let is_right = action.is_some_and(|action| {
            let by = giver(evidence, action);
            !action.is_refused() && change.by == by && is_asked_by(&action.ask, change)
        });
        if !is_right {
            let message = format!("{change:?} was asked for by {action:?}");
            wrong(evidence, found, player, message);
        }
    }
}

/// Who of the staff has given what was asked for.
fn giver(evidence: &Evidence<'_>, action: &Action) -> Option<UserId> {
    let caller = evidence.users[action.player];
    matches!(action.ask, Ask::GiveItem { .. }).then_some(caller)
}

fn is_asked_by(ask: &Ask, change: &ItemChange) -> bool {
    let (item, count, reason, note) = match ask {
        Ask::Buy { item, count, .. } => (item, count.cast_signed(), ItemReason::Bought, None),
        Ask::Use { item, count } => (item, -count.cast_signed(), ItemReason::Used, None),
        Ask::GiveItem {
            item, count, note, ..
        } => (item, count.cast_signed(), ItemReason::Granted, Some(note)),
        _ => return false,
    };
    (change.item.as_str(), change.change, change.reason) == (*item, count, reason)
        && change.note.as_ref() == note
}

/// Whether a movement has paid for an item: only purchases have one as their reference.
fn pays(movement: &Movement) -> bool {
    let reference = movement.reference.as_deref();
    movement.reason == PointsReason::Spend && reference.is_some_and(|it| item(it).is_some())
}

/// Each purchase is paid by one movement, and each such movement has paid for one purchase.
fn paid(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo) {
    let mut paying: BTreeMap<u64, &Movement> = movements(evidence, player)
        .iter()
        .filter(|movement| pays(movement))
        .map(|movement| (movement.number, movement))
        .collect();
    for change in changes(evidence, player) {
        let movement = change.movement.and_then(|number| paying.remove(&number));
        let is_right = match (change.reason, movement) {
            (ItemReason::Bought, Some(movement)) => {
                let price = item(&change.item).map_or(0, |item| item.price);
                movement.id == change.id
                    && movement.at == change.at
                    && movement.reference.as_deref() == Some(&change.item)
                    && movement.amount == price * change.change.unsigned_abs()
            }
            (ItemReason::Bought, None) => false,
            (_, movement) => movement.is_none() && change.movement.is_none(),
        };
        if !is_right {
            let message = format!("{change:?} is paid by {movement:?}");
            wrong(evidence, found, player, message);
        }
    }
    for movement in paying.values() {
        let message = format!("{movement:?} has paid for nothing");
        wrong(evidence, found, player, message);
    }
}

/// What was acknowledged is there as it was answered, what was refused is not.
fn once(evidence: &Evidence<'_>, found: &mut Found, action: &Action) {
    let Some(user) = owner(evidence, action) else {
        return;
    };
    let Some(player) = evidence.number(user) else {
        return;
    };
    let by = giver(evidence, action);
    let there = changes(evidence, player)
        .iter()
        .find(|change| change.id.as_deref() == Some(&action.key) && change.by == by);
    let is_right = match (action.outcome, &action.reply) {
        (Certainty::Done, Some(Reply::Item(answered))) => there == Some(answered),
        (Certainty::Done, Some(Reply::Bought(bought))) => there == Some(&bought.change),
        (Certainty::Done, _) => false,
        (Certainty::Refused, _) => there.is_none(),
        (Certainty::Unknown, _) => true,
    };
    if !is_right {
        found.add_outcome(evidence, RULE, user, action, there);
    }
}

/// What was sold and what is left is what there was.
fn stocks(evidence: &Evidence<'_>, found: &mut Found) {
    for item in ITEMS {
        let Some(stock) = item.stock else {
            continue;
        };
        let players = 0..evidence.users.len();
        let sold = players.flat_map(|player| changes(evidence, player));
        let sold =
            sold.filter(|change| change.item == item.name && change.reason == ItemReason::Bought);
        let sold: i64 = sold.map(|change| change.change).sum();
        let left = evidence.audit.left.get(item.name).copied();
        if left != stock.checked_add_signed(-sold) || left.is_none() {
            let name = item.name;
            let message = format!("{sold} of {stock} {name} were sold, and {left:?} are left");
            found.add(evidence, RULE, (None, None), message);
        }
    }
}
