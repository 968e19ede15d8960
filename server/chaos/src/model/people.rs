//! Friends, requests, blocks, and inboxes.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;

use super::actions::{Action, Certainty};
use super::registers::{Write, may_hold};
use super::{Evidence, Found};
use crate::record::{Ask, Heard, PlayerNo, Reply, What};

/// How two players stand, blocks aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bond {
    Nothing,
    AskedByFirst,
    AskedBySecond,
    Friends,
}

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    for (first, one) in evidence.users.iter().enumerate() {
        for other in &evidence.users[first + 1..] {
            pair(evidence, found, *one, *other);
        }
    }
    inboxes(evidence, found);
    heard_inboxes(evidence, found);
}

/// What one player's list says of another.
fn listed(evidence: &Evidence<'_>, of: UserId, other: UserId) -> Option<FriendState> {
    let audit = &evidence.audit.players[evidence.number(of)?];
    let mut friends = audit.friends.iter();
    friends
        .find(|friend| friend.user == other)
        .map(|friend| friend.state)
}

fn pair(evidence: &Evidence<'_>, found: &mut Found, one: UserId, other: UserId) {
    let states = (listed(evidence, one, other), listed(evidence, other, one));
    let bond = match states {
        (Some(FriendState::Friend), Some(FriendState::Friend)) => Bond::Friends,
        (Some(FriendState::Requested), Some(FriendState::Received)) => Bond::AskedByFirst,
        (Some(FriendState::Received), Some(FriendState::Requested)) => Bond::AskedBySecond,
        (None | Some(FriendState::Blocked), None | Some(FriendState::Blocked)) => Bond::Nothing,
        _ => {
            let name = evidence.name(other);
            let message = format!("the lists of the player and of {name} differ: {states:?}");
            found.add(evidence, "friends agree", (None, Some(one)), message);
            return;
        }
    };
    let bonds = bonds(evidence, one, other);
    if !may_hold(&bonds, &bond) {
        let name = evidence.name(other);
        let words = between(evidence, one, other).map(|action| word(evidence, action));
        let words: Vec<String> = words.collect();
        let message = format!(
            "stands to {name} as {bond:?}, against the last word of: {}",
            words.join("; ")
        );
        found.add(evidence, "friends", (None, Some(one)), message);
    }
    for (by, of, state) in [(one, other, states.0), (other, one, states.1)] {
        let mut writes = vec![Write::first(false)];
        for action in between(evidence, by, of).filter(|action| by == caller(evidence, action)) {
            let value = match action.ask {
                Ask::Block { .. } => true,
                Ask::Unblock { .. } => false,
                _ => continue,
            };
            writes.extend(Write::of(action, value));
        }
        let blocks = state == Some(FriendState::Blocked);
        if !may_hold(&writes, &blocks) {
            let name = evidence.name(of);
            let message = format!("blocks {name}: {blocks}, against the last word");
            found.add(evidence, "friends", (None, Some(by)), message);
        }
    }
}

/// What an action between two players was, with the lines between which it took effect.
fn word(evidence: &Evidence<'_>, action: &Action) -> String {
    let (ask, outcome) = (action.ask.name(), action.outcome);
    let name = evidence.name(caller(evidence, action));
    let (begins, ends) = (action.begins, action.ends);
    format!(
        "{name} {ask}: {outcome:?} {:?} ({begins} to {ends})",
        action.reply
    )
}

fn caller(evidence: &Evidence<'_>, action: &Action) -> UserId {
    evidence.users[action.player]
}

fn between<'a>(
    evidence: &Evidence<'a>,
    one: UserId,
    other: UserId,
) -> impl Iterator<Item = &'a Action> {
    let (actions, users): (&'a [Action], &'a [UserId]) = (evidence.actions, evidence.users);
    actions.iter().filter(move |action| {
        let is_between = matches!(
            action.ask,
            Ask::Befriend { .. }
                | Ask::Accept { .. }
                | Ask::Unfriend { .. }
                | Ask::Block { .. }
                | Ask::Unblock { .. }
        );
        let pair = (users[action.player], action.ask.user());
        is_between && (pair == (one, Some(other)) || pair == (other, Some(one)))
    })
}

fn bonds(evidence: &Evidence<'_>, one: UserId, other: UserId) -> Vec<Write<Bond>> {
    let mut writes = vec![Write::first(Bond::Nothing)];
    for action in between(evidence, one, other) {
        let asked = match caller(evidence, action) == one {
            true => Bond::AskedByFirst,
            false => Bond::AskedBySecond,
        };
        match (&action.ask, &action.reply) {
            (Ask::Befriend { .. }, Some(Reply::Friend(FriendState::Friend)))
            | (Ask::Accept { .. }, _) => writes.extend(Write::of(action, Bond::Friends)),
            (Ask::Befriend { .. }, Some(_)) => writes.extend(Write::of(action, asked)),
            (Ask::Befriend { .. }, None) => {
                writes.extend(Write::of(action, asked));
                writes.extend(Write::of(action, Bond::Friends));
            }
            (Ask::Unfriend { .. } | Ask::Block { .. }, _) => {
                writes.extend(Write::of(action, Bond::Nothing));
            }
            _ => {}
        }
    }
    let actions: Vec<&Action> = between(evidence, one, other).collect();
    if let Some(one) = evidence.number(one) {
        writes.extend(crossings(&actions, one));
    }
    writes
}

/// Requests of both that cross, each made before its player had heard of the other's, are an agreement: both are answered as
/// requests, and the friendship begins when the later one is told.
fn crossings(actions: &[&Action], one: PlayerNo) -> Vec<Write<Bond>> {
    let requests = |are_of_one: bool| {
        actions.iter().filter(move |action| {
            let may_be_asked = matches!(
                action.reply,
                None | Some(Reply::Friend(FriendState::Requested))
            );
            let is_request = matches!(action.ask, Ask::Befriend { .. }) && !action.is_refused();
            is_request && may_be_asked && (action.player == one) == are_of_one
        })
    };
    // A request that was over before the other one began does not cross it.
    let is_over = |earlier: &Action, later: &Action| {
        actions.iter().any(|action| {
            let ends = matches!(action.ask, Ask::Unfriend { .. } | Ask::Block { .. });
            let lies_between = action.begins > earlier.ends && action.ends < later.begins;
            ends && action.is_done() && lies_between
        })
    };
    let mut found = Vec::new();
    for first in requests(true) {
        for second in requests(false) {
            if !is_over(first, second) && !is_over(second, first) {
                found.push(Write {
                    value: Bond::Friends,
                    begins: first.begins.max(second.begins),
                    ends: first.ends.max(second.ends),
                    is_sure: false,
                });
            }
        }
    }
    found
}

/// Dense, and with each kick and ban once.
fn inboxes(evidence: &Evidence<'_>, found: &mut Found) {
    let mut reasons: Vec<BTreeMap<&str, usize>> = Vec::new();
    for (player, audit) in evidence.audit.players.iter().enumerate() {
        let about = (None, Some(evidence.users[player]));
        // Before the last gap there may be holes: of what one player does not everything is kept.
        let seqs = audit
            .inbox
            .range(audit.inbox_gap + 1..)
            .map(|(seq, _)| *seq);
        let seqs: Vec<u64> = seqs.collect();
        let expected = audit.inbox_gap + 1..;
        if !seqs.iter().copied().eq(expected.take(seqs.len())) {
            let message = format!("the inbox has the entries {:?}", audit.inbox.keys());
            found.add(evidence, "dense", about, message);
        }
        let mut counts = BTreeMap::new();
        for entry in audit.inbox.values() {
            if let InboxEntry::RoomKicked {
                reason: Some(reason),
                ..
            }
            | InboxEntry::RoomBanned {
                reason: Some(reason),
                ..
            } = entry
            {
                *counts.entry(reason.as_str()).or_default() += 1;
            }
        }
        reasons.push(counts);
    }
    for action in evidence.actions {
        let (Ask::Kick { user, reason, .. } | Ask::Ban { user, reason, .. }) = &action.ask else {
            continue;
        };
        let Some(number) = evidence.number(*user) else {
            continue;
        };
        let is_complete = evidence.audit.players[number].inbox_gap == 0;
        let count = reasons[number].get(reason.as_str()).copied().unwrap_or(0);
        let is_right = match action.outcome {
            Certainty::Done => {
                count == 1 || (count == 0 && !(is_complete && is_told(evidence, action, *user)))
            }
            Certainty::Refused => count == 0,
            Certainty::Unknown => count <= 1,
        };
        if !is_right {
            let message = format!(
                "{:?} is {:?}, and {count} times in the inbox",
                action.ask, action.outcome
            );
            found.add(evidence, "inbox", (action.ask.room(), Some(*user)), message);
        }
    }
}

/// Whether a player surely hears of the kick or ban: they do not block who acts, and a ban meets them in the room.
fn is_told(evidence: &Evidence<'_>, action: &Action, user: UserId) -> bool {
    let actor = evidence.users[action.player];
    let others = evidence.actions.iter();
    let others = others.filter(|other| !std::ptr::eq(*other, action) && !other.is_refused());
    let by_user = |other: &&Action| evidence.users[other.player] == user;
    let is_blocked = others
        .clone()
        .filter(by_user)
        .any(|other| matches!(other.ask, Ask::Block { user } if user == actor));
    if is_blocked || !matches!(action.ask, Ask::Ban { .. }) {
        return !is_blocked;
    }
    let here = others.filter(|other| other.ask.room() == action.ask.room());
    let joins = here.clone().filter(by_user).filter(|other| {
        matches!(other.ask, Ask::Join { .. }) && other.is_done() && other.ends < action.begins
    });
    let Some(joined) = joins.max_by_key(|join| join.begins) else {
        return false;
    };
    !here
        .filter(|other| other.ends > joined.begins && other.begins < action.ends)
        .any(|other| match &other.ask {
            Ask::Leave { .. } => by_user(&other),
            Ask::Kick { user: out, .. } | Ask::Ban { user: out, .. } => *out == user,
            _ => false,
        })
}

/// What came of an inbox came once, in order, and is what the inbox has.
fn heard_inboxes(evidence: &Evidence<'_>, found: &mut Found) {
    let mut last = vec![0; evidence.users.len()];
    for (place, line) in evidence.lines.iter().enumerate() {
        let about = (None, Some(evidence.users[line.player]));
        match &line.what {
            What::Heard(Heard::GapInbox(to)) => last[line.player] = *to,
            What::Heard(Heard::Inbox(seq, entry)) => {
                let expected = last[line.player] + 1;
                if *seq != expected {
                    let message = format!("entry {seq} of the inbox came where {expected} was due");
                    found.add_until(evidence, "every entry once", about, place, message);
                }
                last[line.player] = *seq;
                let audit = &evidence.audit.players[line.player];
                let kept = audit.inbox.get(seq);
                if *seq > audit.inbox_gap && kept != Some(entry) {
                    let message =
                        format!("entry {seq} of the inbox was {entry:?}, and is {kept:?}");
                    found.add_until(evidence, "one order", about, place, message);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(player: PlayerNo, ask: Ask, begins: usize, ends: usize) -> Action {
        Action {
            player,
            ask,
            begins,
            ends,
            outcome: Certainty::Done,
            reply: Some(Reply::Friend(FriendState::Requested)),
        }
    }

    #[test]
    fn requests_that_cross_are_an_agreement() {
        let users = [1, 2].map(|number| UserId::from_bytes([number; 10]));
        let request = |by: PlayerNo, begins, ends| {
            let user = users[1 - by];
            action(by, Ask::Befriend { user }, begins, ends)
        };
        let end = action(0, Ask::Unfriend { user: users[1] }, 25, 28);
        let (first, second) = (request(0, 10, 20), request(1, 15, 24));
        let crossed = crossings(&[&first, &second, &end], 0);
        assert_eq!(crossed.len(), 1);
        assert_eq!((crossed[0].begins, crossed[0].ends), (15, 24));
        assert!(!crossed[0].is_sure);
        let later = request(1, 30, 40);
        assert!(crossings(&[&first, &later, &end], 0).is_empty());
        assert_eq!(crossings(&[&first, &later], 0).len(), 1);
    }
}
