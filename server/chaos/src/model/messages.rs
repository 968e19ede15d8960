//! Rooms: one dense order, the same for everyone, with what was acknowledged in it and nothing that was refused, nothing twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::Message;

use super::actions::Action;
use super::{Evidence, Found};
use crate::audit::RoomAudit;
use crate::record::{Ask, Change, Heard, Outcome, Reply, What};

/// Every look at a message before anybody changed it: by room and sequence, who wrote what, and on which line it was seen first.
type Originals<'a> = HashMap<(RoomId, u64), (UserId, &'a str, usize)>;

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let originals = originals(evidence, found);
    for (room, audit) in &evidence.audit.rooms {
        order(evidence, found, *room, audit);
        contents(evidence, found, *room, audit);
    }
    sends(evidence, found, &originals);
    for action in evidence.actions {
        changed(evidence, found, action);
    }
    for (room, audit) in &evidence.audit.rooms {
        caused(evidence, found, *room, audit);
    }
}

/// All messages that anybody saw, with the line.
fn seen<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (usize, RoomId, &'a Message)> {
    let calls = evidence.calls;
    evidence
        .lines
        .iter()
        .enumerate()
        .flat_map(move |(place, line)| {
            let (room, messages): (Option<RoomId>, &[Message]) = match &line.what {
                What::Heard(Heard::Message(room, message)) => {
                    (Some(*room), std::slice::from_ref(message))
                }
                What::Answered(call, Outcome::Done(Reply::Page(messages, ..))) => {
                    let room = calls.get(call).and_then(|call| call.ask.room());
                    (room, messages)
                }
                _ => (None, &[]),
            };
            messages
                .iter()
                .filter_map(move |message| Some((place, room?, message)))
        })
}

/// Everybody must see the same message under a sequence, from the first look to the last.
fn originals<'a>(evidence: &Evidence<'a>, found: &mut Found) -> Originals<'a> {
    let mut originals = Originals::new();
    let at_rest = evidence.audit.rooms.iter().flat_map(|(room, audit)| {
        let place = evidence.lines.len();
        audit
            .forward
            .iter()
            .map(move |message| (place, *room, message))
    });
    for (place, room, message) in seen(evidence).chain(at_rest) {
        let text = message.text.as_str();
        let is_original = message.edited_at.is_none() && message.deleted_by.is_none();
        match originals.get(&(room, message.seq)) {
            Some((from, _, _)) if *from != message.from => {
                let message = format!("message {} is of two players", message.seq);
                found.add_until(evidence, "one order", (Some(room), None), place, message);
            }
            Some((_, first, _)) if is_original && *first != text => {
                let message = format!(
                    "message {} was {:?} first, and {:?} later, and nobody had edited it",
                    message.seq,
                    short(first),
                    short(text)
                );
                found.add_until(evidence, "one order", (Some(room), None), place, message);
            }
            Some(_) => {}
            None if is_original => {
                originals.insert((room, message.seq), (message.from, text, place));
            }
            None => {}
        }
    }
    originals
}

fn short(text: &str) -> String {
    text.chars().take(24).collect()
}

/// Dense sequences and revisions, and one history whichever way it is read.
fn order(evidence: &Evidence<'_>, found: &mut Found, room: RoomId, audit: &RoomAudit) {
    let about = (Some(room), None);
    let (head, rev) = match &audit.view {
        Some(view) => (view.info.head, view.rev),
        None => return,
    };
    for (way, messages) in [
        ("from the beginning", &audit.forward),
        ("from the end", &audit.backward),
        ("as a back-fill", &audit.filled),
    ] {
        if !messages.iter().map(|message| message.seq).eq(1..=head) {
            let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
            let message = format!("read {way}, 1 to {head} are {seqs:?}");
            found.add(evidence, "dense", about, message);
        }
    }
    if !audit.changes.keys().copied().eq(1..=rev) {
        let message = format!("changes 1 to {rev} are {:?}", audit.changes.keys());
        found.add(evidence, "dense", about, message);
    }
    let essence = |message: &Message| {
        (
            message.seq,
            message.from,
            message.text.clone(),
            message.deleted_by,
            message.reactions.clone(),
        )
    };
    for other in [&audit.backward, &audit.filled] {
        let pairs = audit.forward.iter().zip(other);
        if let Some((one, other)) = pairs
            .into_iter()
            .find(|(one, other)| essence(one) != essence(other))
        {
            let message = format!("two readings differ: {one:?} and {other:?}");
            found.add(evidence, "one order", about, message);
        }
    }
    let mut texts = BTreeMap::new();
    for message in audit
        .forward
        .iter()
        .filter(|message| !message.text.is_empty())
    {
        if let Some(first) = texts.insert(message.text.as_str(), message.seq) {
            let text = short(&message.text);
            let message = format!("{text:?} is there twice, as {first} and {}", message.seq);
            found.add(evidence, "nothing twice", about, message);
        }
    }
}

/// A message is what its changes have made of it.
fn contents(evidence: &Evidence<'_>, found: &mut Found, room: RoomId, audit: &RoomAudit) {
    let about = (Some(room), None);
    let mut texts: HashMap<u64, &str> = HashMap::new();
    let mut reactions: HashMap<u64, BTreeMap<&str, BTreeSet<UserId>>> = HashMap::new();
    let mut deleted = BTreeSet::new();
    for (rev, change) in &audit.changes {
        let is_deletion = matches!(change, Change::Deleted { .. });
        if deleted.contains(&change.seq()) && !is_deletion {
            let message = format!("change {rev} shows what was deleted");
            found.add(evidence, "contents", about, message);
        }
        match change {
            Change::Edited { seq, text } => {
                if texts
                    .insert(*seq, text)
                    .is_some_and(|before| before != text)
                {
                    let message = format!("change {rev} shows a text that was replaced");
                    found.add(evidence, "contents", about, message);
                }
            }
            // Whatever happened to a message is told as its deletion once it is deleted.
            Change::Deleted { seq } => {
                deleted.insert(*seq);
                texts.insert(*seq, "");
            }
            Change::Reacted {
                seq,
                user,
                emoji,
                on,
                count,
            } => {
                let users = reactions.entry(*seq).or_default().entry(emoji).or_default();
                let changes = if *on {
                    users.insert(*user)
                } else {
                    users.remove(user)
                };
                if !changes || users.len() != *count as usize {
                    let message = format!("change {rev} counts {count}, not {}", users.len());
                    found.add(evidence, "contents", about, message);
                }
            }
        }
    }
    for message in &audit.forward {
        let counted: BTreeMap<&str, u32> = message
            .reactions
            .iter()
            .map(|reaction| (reaction.emoji.as_str(), reaction.count))
            .collect();
        let folded: BTreeMap<&str, u32> = reactions
            .get(&message.seq)
            .into_iter()
            .flatten()
            .map(|(emoji, users)| (*emoji, u32::try_from(users.len()).unwrap_or(u32::MAX)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let text_differs = texts
            .get(&message.seq)
            .is_some_and(|text| *text != message.text);
        let unmarked = message.deleted_by.is_some() != deleted.contains(&message.seq);
        if counted != folded || text_differs || unmarked {
            let wrong = format!("message {} is not what its changes made of it", message.seq);
            found.add(evidence, "contents", about, wrong);
        }
    }
}

/// Acknowledged messages are where they were said to be, refused ones nowhere, and none is there twice.
fn sends(evidence: &Evidence<'_>, found: &mut Found, originals: &Originals<'_>) {
    let mut places: HashMap<(RoomId, &str), BTreeSet<u64>> = HashMap::new();
    for ((room, seq), (_, text, _)) in originals {
        places.entry((*room, text)).or_default().insert(*seq);
    }
    let mut taken: HashMap<(RoomId, u64), &Action> = HashMap::new();
    let mut asked: BTreeSet<(RoomId, &str)> = BTreeSet::new();
    for action in evidence.actions {
        let Ask::Send { room, text } = &action.ask else {
            continue;
        };
        let user = evidence.users[action.player];
        let (about, ends) = ((Some(*room), Some(user)), action.ends);
        let there = places.get(&(*room, text.as_str()));
        let shown = short(text);
        if action.is_refused() {
            if let Some(there) = there {
                let message = format!("{shown:?} was refused, and is there as {there:?}");
                found.add_until(evidence, "refused is not done", about, ends, message);
            }
            continue;
        }
        asked.insert((*room, text));
        if let Some(there) = there.filter(|there| there.len() > 1) {
            let message = format!("{shown:?} is there as {there:?}");
            found.add_until(evidence, "nothing twice", about, ends, message);
        }
        let Some(Reply::Sent(seq)) = &action.reply else {
            continue;
        };
        if let Some(other) = taken.insert((*room, *seq), action) {
            let message = format!(
                "{seq} was acknowledged for {shown:?} and for {:?}",
                other.ask
            );
            found.add_until(evidence, "one order", about, ends, message);
        }
        if let Some(audit) = evidence.audit.rooms.get(room) {
            let index = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
            let kept = audit.forward.get(index);
            let is_there = kept.is_some_and(|kept| {
                let is_changed = kept.edited_at.is_some() || kept.deleted_by.is_some();
                kept.from == user && (is_changed || kept.text == *text)
            });
            if !is_there {
                let message = format!("{shown:?} was acknowledged as {seq}, where {kept:?} is");
                found.add_until(evidence, "acknowledged is durable", about, ends, message);
            }
        }
    }
    for ((room, seq), (from, text, place)) in originals {
        if !asked.contains(&(*room, text)) {
            let message = format!(
                "message {seq} {:?} was never asked for, or refused",
                short(text)
            );
            let about = (Some(*room), Some(*from));
            found.add_until(evidence, "refused is not done", about, *place, message);
        }
    }
}

/// Acknowledged changes are where they were said to be.
fn changed(evidence: &Evidence<'_>, found: &mut Found, action: &Action) {
    let user = evidence.users[action.player];
    let Some(Reply::Changed(Some(rev))) = action.reply else {
        return;
    };
    let Some(room) = action.ask.room() else {
        return;
    };
    let Some(audit) = evidence.audit.rooms.get(&room) else {
        return;
    };
    let kept = audit.changes.get(&rev);
    if !kept.is_some_and(|kept| brings_about(&action.ask, user, kept)) {
        let message = format!(
            "{:?} was acknowledged as {rev}, where {kept:?} is",
            action.ask
        );
        found.add(
            evidence,
            "acknowledged is durable",
            (Some(room), Some(user)),
            message,
        );
    }
}

/// Whether the change is what the call asked for.
fn brings_about(ask: &Ask, user: UserId, change: &Change) -> bool {
    match (ask, change) {
        // Its text may have been replaced since, and everything of a message that was deleted is told as its deletion.
        (Ask::Edit { seq, .. }, Change::Edited { seq: of, .. }) => seq == of,
        (
            Ask::Edit { seq, .. } | Ask::Delete { seq, .. } | Ask::React { seq, .. },
            Change::Deleted { seq: of },
        ) => seq == of,
        (
            Ask::React { seq, emoji, on, .. },
            Change::Reacted {
                seq: of,
                user: by,
                emoji: with,
                on: added,
                ..
            },
        ) => seq == of && *by == user && emoji == with && on == added,
        _ => false,
    }
}

/// Every change was asked for by somebody who was not refused, and as often as it is there.
fn caused(evidence: &Evidence<'_>, found: &mut Found, room: RoomId, audit: &RoomAudit) {
    let mut asked: HashMap<String, usize> = HashMap::new();
    // Of a deleted message only so much can be told that somebody asked for each change of it.
    let mut of_messages: HashMap<u64, usize> = HashMap::new();
    for action in evidence
        .actions
        .iter()
        .filter(|action| !action.is_refused())
    {
        if action.ask.room() == Some(room) {
            let user = evidence.users[action.player];
            if let Some((seq, essence)) = essence_of(&action.ask, user) {
                *asked.entry(essence).or_default() += 1;
                *of_messages.entry(seq).or_default() += 1;
            }
        }
    }
    for (rev, change) in &audit.changes {
        let essence = match change {
            Change::Edited { seq, .. } => format!("edit {seq}"),
            Change::Deleted { seq } => {
                let was_asked = asked.contains_key(&format!("delete {seq}"));
                match of_messages.get_mut(seq) {
                    Some(left @ 1..) if was_asked => *left -= 1,
                    _ => {
                        let message =
                            format!("change {rev} was refused, or nobody asked: {change:?}");
                        found.add(evidence, "refused is not done", (Some(room), None), message);
                    }
                }
                continue;
            }
            Change::Reacted {
                seq,
                user,
                emoji,
                on,
                ..
            } => format!("react {seq} {user} {emoji} {on}"),
        };
        match asked.get_mut(&essence) {
            Some(left @ 1..) => *left -= 1,
            _ => {
                let message = format!("change {rev} was refused, or nobody asked: {change:?}");
                found.add(evidence, "refused is not done", (Some(room), None), message);
            }
        }
    }
}

/// The message that a call is about, and what of the call can be seen of its change afterwards.
fn essence_of(ask: &Ask, user: UserId) -> Option<(u64, String)> {
    Some(match ask {
        Ask::Edit { seq, .. } => (*seq, format!("edit {seq}")),
        Ask::Delete { seq, .. } => (*seq, format!("delete {seq}")),
        Ask::React { seq, emoji, on, .. } => (*seq, format!("react {seq} {user} {emoji} {on}")),
        _ => return None,
    })
}
