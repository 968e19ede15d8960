//! What was read while the server was broken: never less than what had been told before.

use std::collections::HashMap;

use pitturu_protocol::ids::RoomId;

use super::{Evidence, Found};
use crate::record::{Ask, CallNo, Heard, Outcome, Reply, What};

/// The newest message and change of a room that anybody was told of.
type Known = HashMap<RoomId, (u64, u64)>;

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let mut known = Known::new();
    // What was known when a call was made.
    let mut begun: HashMap<CallNo, (RoomId, u64, u64)> = HashMap::new();
    for (place, line) in evidence.lines.iter().enumerate() {
        match &line.what {
            What::Asked(
                call,
                Ask::History { room } | Ask::Join { room } | Ask::Open { room, .. },
                _,
            ) => {
                let (head, rev) = known.get(room).copied().unwrap_or_default();
                begun.insert(*call, (*room, head, rev));
            }
            What::Answered(call, Outcome::Done(reply)) => {
                let shown = match reply {
                    Reply::Page(_, head, rev) | Reply::View(_, head, rev) => Some((*head, *rev)),
                    _ => None,
                };
                if let (Some(shown), Some((room, head, rev))) = (shown, begun.remove(call))
                    && (shown.0 < head || shown.1 < rev)
                {
                    let user = evidence.users[line.player];
                    let message = format!(
                        "head {} and revision {} were read, after {head} and {rev} had been told",
                        shown.0, shown.1
                    );
                    let about = (Some(room), Some(user));
                    found.add_until(evidence, "told is decided", about, place, message);
                }
                let room = evidence.calls.get(call).and_then(|call| call.ask.room());
                note(&mut known, room, reply);
                dense(evidence, found, place, room, reply);
            }
            What::Heard(Heard::Message(room, message)) => {
                let at = known.entry(*room).or_default();
                at.0 = at.0.max(message.seq);
            }
            What::Heard(Heard::Change(room, rev, _)) => {
                let at = known.entry(*room).or_default();
                at.1 = at.1.max(*rev);
            }
            _ => {}
        }
    }
}

fn note(known: &mut Known, room: Option<RoomId>, reply: &Reply) {
    let (room, head, rev) = match (reply, room) {
        (Reply::View(room, head, rev), _) => (*room, *head, *rev),
        (Reply::Page(_, head, rev), Some(room)) => (room, *head, *rev),
        (Reply::Sent(seq), Some(room)) => (room, *seq, 0),
        (Reply::Changed(Some(rev)), Some(room)) => (room, 0, *rev),
        _ => return,
    };
    let at = known.entry(room).or_default();
    *at = (at.0.max(head), at.1.max(rev));
}

/// A page has no holes.
fn dense(
    evidence: &Evidence<'_>,
    found: &mut Found,
    place: usize,
    room: Option<RoomId>,
    reply: &Reply,
) {
    let Reply::Page(messages, ..) = reply else {
        return;
    };
    let first = messages.first().map_or(0, |message| message.seq);
    if !messages
        .iter()
        .map(|message| message.seq)
        .eq((first..).take(messages.len()))
    {
        let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
        let message = format!("a page of history has the messages {seqs:?}");
        found.add_until(evidence, "dense", (room, None), place, message);
    }
}
