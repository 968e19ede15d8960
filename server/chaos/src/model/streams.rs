//! What each connection was sent: every entry of a room once, in order, with what history has, and nothing without the right to
//! it; and that the SDK found nothing left out, which it would have asked for again.

use std::collections::{BTreeSet, HashMap};

use pitturu_protocol::ids::{RoomId, UserId};

use super::actions::Action;
use super::{Evidence, Found};
use crate::record::{Ask, CallNo, Change, Heard, Line, PlayerNo, What};

/// What a player has heard of a room.
#[derive(Clone, Copy, Debug, Default)]
struct At {
    /// Sequence and revision; absent before anything was heard.
    cursor: Option<(u64, u64)>,
    /// Whether the room was lost, and nothing may be heard until it is open again.
    lost: bool,
    /// The line of the last entry.
    heard: usize,
}

/// A player's streams.
#[derive(Default)]
struct Streams {
    rooms: HashMap<RoomId, At>,
    /// Calls that may open rooms and have no answer yet.
    opening: BTreeSet<CallNo>,
    /// The last line of such an answer, by room; by nothing, of any room.
    opened: HashMap<Option<RoomId>, usize>,
}

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let mut players: Vec<Streams> = evidence.users.iter().map(|_| Streams::default()).collect();
    let rights = Rights::of(evidence);
    for (place, line) in evidence.lines.iter().enumerate() {
        let streams = &mut players[line.player];
        match &line.what {
            What::Asked(call, ask, _) if opens(ask) => {
                streams.opening.insert(*call);
            }
            What::Answered(call, _) if streams.opening.remove(call) => {
                let ask = evidence.calls.get(call).map(|call| &call.ask);
                let room = ask.and_then(Ask::room);
                streams.opened.insert(room, place);
            }
            What::Heard(Heard::Mismatch(why)) => {
                let about = (None, Some(evidence.users[line.player]));
                found.add_until(
                    evidence,
                    "the SDK finds no fault",
                    about,
                    place,
                    why.clone(),
                );
            }
            What::Heard(heard) => {
                if evidence.raw[line.player] {
                    streams.frame(evidence, found, place, line.player, heard);
                } else {
                    streams.event(evidence, found, place, line.player, heard);
                }
                rights.check(evidence, found, place, line);
                same(evidence, found, place, line.player, heard);
            }
            _ => {}
        }
    }
}

const fn opens(ask: &Ask) -> bool {
    matches!(
        ask,
        Ask::Create { .. }
            | Ask::Direct { .. }
            | Ask::Enter { .. }
            | Ask::Join { .. }
            | Ask::Open { .. }
    )
}

impl Streams {
    /// A connection of frames: what is open, and from where, is known exactly.
    fn frame(
        &mut self,
        evidence: &Evidence<'_>,
        found: &mut Found,
        place: usize,
        player: PlayerNo,
        heard: &Heard,
    ) {
        if matches!(heard, Heard::Disconnected) {
            self.rooms.clear();
            return;
        }
        let Some(room) = heard.room() else {
            return;
        };
        let about = (Some(room), Some(evidence.users[player]));
        let at = self.rooms.entry(room).or_default();
        let (kind, number, expected) = match (heard, &mut at.cursor) {
            (Heard::Opened(_, seq, rev), cursor) => {
                *cursor = Some((*seq, *rev));
                return;
            }
            (Heard::Lost(..), cursor) => {
                *cursor = None;
                return;
            }
            (Heard::GapMessages(_, to), Some((seq, _))) => {
                *seq = *to;
                return;
            }
            (Heard::GapChanges(_, to), Some((_, rev))) => {
                *rev = *to;
                return;
            }
            (Heard::Message(_, message), Some((seq, _))) => {
                let expected = *seq + 1;
                *seq = message.seq.max(*seq);
                ("message", message.seq, expected)
            }
            (Heard::Change(_, new, _), Some((_, rev))) => {
                let expected = *rev + 1;
                *rev = (*new).max(*rev);
                ("change", *new, expected)
            }
            // States overtake entries, and so the answer that opens the room.
            (Heard::Info(_), None) if !self.opening.is_empty() => return,
            (heard, None) => {
                let message = format!("the room is not open, and {heard:?} came");
                found.add_until(evidence, "no right, no word", about, place, message);
                return;
            }
            _ => return,
        };
        // A client ignores what is not above its cursor: a page may have brought what the room tells a moment later.
        if number > expected {
            let message = format!("{kind} {number} came where {expected} was due");
            found.add_until(evidence, "every entry once", about, place, message);
        }
    }

    /// The SDK's events: an opening may move the stream ahead, and its answer is known a little later than it came.
    fn event(
        &mut self,
        evidence: &Evidence<'_>,
        found: &mut Found,
        place: usize,
        player: PlayerNo,
        heard: &Heard,
    ) {
        let Some(room) = heard.room() else {
            return;
        };
        let about = (Some(room), Some(evidence.users[player]));
        let opened = [Some(room), None]
            .iter()
            .filter_map(|of| self.opened.get(of))
            .max()
            .copied();
        let at = self.rooms.entry(room).or_default();
        let may_be_new = !self.opening.is_empty() || opened.is_some_and(|line| line > at.heard);
        let (kind, number, last) = match heard {
            Heard::Lost(..) => {
                at.lost = true;
                at.heard = place;
                return;
            }
            Heard::GapMessages(_, to) => {
                at.cursor.get_or_insert_default().0 = *to;
                return;
            }
            Heard::GapChanges(_, to) => {
                at.cursor.get_or_insert_default().1 = *to;
                return;
            }
            Heard::Message(_, message) => ("message", message.seq, at.cursor.map(|at| at.0)),
            Heard::Change(_, rev, _) => ("change", *rev, at.cursor.map(|at| at.1)),
            _ => return,
        };
        if at.lost && !may_be_new {
            let message = format!("the room was lost, and {kind} {number} came");
            found.add_until(evidence, "no right, no word", about, place, message);
        }
        at.lost = at.lost && !may_be_new;
        // Until the first change after an opening it is not known from which one the stream goes on.
        let last = last.filter(|last| *last > 0);
        if let Some(last) = last
            && (number <= last || (number > last + 1 && !may_be_new))
        {
            let message = format!("{kind} {number} came after {last}");
            found.add_until(evidence, "every entry once", about, place, message);
        }
        let cursor = at.cursor.get_or_insert_default();
        if may_be_new {
            // The other number may have moved ahead unseen.
            *cursor = (0, 0);
        }
        match heard {
            Heard::Message(_, message) => cursor.0 = message.seq,
            Heard::Change(_, rev, _) => cursor.1 = *rev,
            _ => {}
        }
        at.heard = place;
    }
}

/// What a client hears is what the server has.
fn same(evidence: &Evidence<'_>, found: &mut Found, place: usize, player: PlayerNo, heard: &Heard) {
    let Heard::Change(room, rev, change) = heard else {
        return;
    };
    let Some(audit) = evidence.audit.rooms.get(room) else {
        return;
    };
    let kept = audit.changes.get(rev);
    // What was replaced or deleted since is told as it is now.
    let is_superseded = match (change, kept) {
        (Change::Edited { seq, .. }, Some(Change::Edited { seq: of, .. })) => seq == of,
        (change, Some(Change::Deleted { seq: of })) => change.seq() == *of,
        _ => false,
    };
    if kept != Some(change) && !is_superseded {
        let message = format!("change {rev} was {change:?}, and is {kept:?}");
        let about = (Some(*room), Some(evidence.users[player]));
        found.add_until(evidence, "one order", about, place, message);
    }
}

/// Who has been put out of which room, and since when.
struct Rights<'a> {
    /// Ends of a membership that were acknowledged.
    ends: HashMap<(RoomId, UserId), Vec<&'a Action>>,
    /// Attempts to become a member.
    joins: HashMap<(RoomId, UserId), Vec<&'a Action>>,
    /// Attempts to become one of whichever room.
    enters: HashMap<UserId, Vec<&'a Action>>,
    /// The line on which a message was asked for.
    sends: HashMap<(RoomId, &'a str), usize>,
}

impl<'a> Rights<'a> {
    fn of(evidence: &Evidence<'a>) -> Self {
        let mut rights = Self {
            ends: HashMap::new(),
            joins: HashMap::new(),
            enters: HashMap::new(),
            sends: HashMap::new(),
        };
        for action in evidence.actions {
            let caller = evidence.users[action.player];
            match &action.ask {
                Ask::Leave { room } if action.is_done() => {
                    let key = (*room, caller);
                    rights.ends.entry(key).or_default().push(action);
                }
                Ask::Kick { room, user, .. } | Ask::Ban { room, user, .. } if action.is_done() => {
                    let key = (*room, *user);
                    rights.ends.entry(key).or_default().push(action);
                }
                Ask::Enter { .. } => {
                    rights.enters.entry(caller).or_default().push(action);
                }
                Ask::Join { room } => {
                    let key = (*room, caller);
                    rights.joins.entry(key).or_default().push(action);
                }
                Ask::Send { room, text } => {
                    rights.sends.insert((*room, text), action.begins);
                }
                _ => {}
            }
        }
        rights
    }

    /// A message that was asked for after a player had been put out does not reach them before they try to come back.
    fn check(&self, evidence: &Evidence<'_>, found: &mut Found, place: usize, line: &Line) {
        let What::Heard(Heard::Message(room, message)) = &line.what else {
            return;
        };
        let user = evidence.users[line.player];
        let Some(sent) = self.sends.get(&(*room, message.text.as_str())) else {
            return;
        };
        let ends = self.ends.get(&(*room, user)).into_iter().flatten();
        let Some(end) = ends
            .filter(|end| end.ends <= place && end.ends < *sent)
            .max_by_key(|end| end.ends)
        else {
            return;
        };
        let joins = self.joins.get(&(*room, user)).into_iter().flatten();
        let mut joins = joins.chain(self.enters.get(&user).into_iter().flatten());
        if !joins.any(|join| join.ends > end.begins && join.begins < place) {
            let message = format!(
                "{:?} had ended the membership before message {} was sent",
                end.ask, message.seq
            );
            found.add_until(
                evidence,
                "no right, no word",
                (Some(*room), Some(user)),
                place,
                message,
            );
        }
    }
}
