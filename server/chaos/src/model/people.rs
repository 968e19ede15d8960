//! Friends, requests, blocks, and inboxes.

mod pair;
mod search;

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;

use self::pair::{Pair, Side, SideNo};
use self::search::{Attempt, Explained, explain};
use super::actions::{Action, Certainty};
use super::{Evidence, Found};
use crate::record::{Ask, Call, Heard, What};

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
    let calls = between(evidence, one, other);
    let listed = [listed(evidence, one, other), listed(evidence, other, one)];
    let about = (None, Some(one));
    let name = evidence.name(other);
    let ends = |pair: &Pair| pair.sides.map(Side::listed) == listed;
    let explained = explain(&attempts(evidence, &calls, one), ends);
    let what = match explained {
        Explained::Yes => return,
        Explained::GaveUp => "there are too many ways in which".to_owned(),
        Explained::No(place) => {
            let at = place.map_or("the end".to_owned(), |place| format!("line {place}"));
            format!("first at {at} there is no way in which")
        }
    };
    let words = calls.iter().map(|call| word(evidence, call));
    let words: Vec<String> = words.collect();
    let message = format!(
        "{what} the lists of the player and of {name} can say {listed:?}, after: {}",
        words.join("; ")
    );
    found.add(evidence, "friends", about, message);
}

/// What a call between two players was, and the lines between which it was decided.
fn word(evidence: &Evidence<'_>, call: &Call) -> String {
    let (ask, outcome, key) = (call.ask.name(), &call.outcome, &call.key);
    let name = evidence.name(evidence.users[call.player]);
    let (begins, ends) = (call.asked, call.answered);
    format!("{name} {ask} {key}: {outcome:?} ({begins} to {ends})")
}

fn between<'a>(evidence: &Evidence<'a>, one: UserId, other: UserId) -> Vec<&'a Call> {
    let users = evidence.users;
    let calls = evidence.calls.values().filter(|call| {
        let pair = (users[call.player], call.ask.user());
        pair == (one, Some(other)) || pair == (other, Some(one))
    });
    calls.collect()
}

fn attempts(evidence: &Evidence<'_>, calls: &[&Call], one: UserId) -> Vec<Attempt> {
    let mut keys: Vec<&str> = Vec::new();
    let attempts = calls.iter().filter_map(|call| {
        let key = keys.iter().position(|key| *key == call.key);
        let key = key.unwrap_or_else(|| {
            keys.push(&call.key);
            keys.len() - 1
        });
        let side = SideNo::from(evidence.users[call.player] != one);
        Attempt::of(side, call, key)
    });
    attempts.collect()
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
