//! What happened to a room or a player before something was wrong.

use pitturu_protocol::ids::{RoomId, UserId};

use super::Evidence;
use crate::record::{Ask, Heard, Line, Outcome, Reply, What};

/// Lines of a trace before what showed the violation.
const BEFORE_MAX: usize = 40;

/// Lines after it.
const AFTER_MAX: usize = 12;

/// Characters of one line.
const CHARACTERS_MAX: usize = 200;

/// The lines around `at` that are about the room, or about none, and by or about the player where one is given.
pub(super) fn of(
    evidence: &Evidence<'_>,
    room: Option<RoomId>,
    user: Option<UserId>,
    at: usize,
) -> Vec<String> {
    let number = user.and_then(|user| evidence.number(user));
    let of_subject = |line: &&Line| concerns(evidence, line, room, user, number);
    let at = at.min(evidence.lines.len());
    let (before, after) = evidence.lines.split_at(at);
    let mut trace: Vec<String> = before
        .iter()
        .rev()
        .filter(of_subject)
        .take(BEFORE_MAX)
        .map(|line| told(evidence, line))
        .collect();
    trace.reverse();
    let after = after.iter().filter(of_subject).take(AFTER_MAX);
    trace.extend(after.map(|line| told(evidence, line)));
    trace
}

fn concerns(
    evidence: &Evidence<'_>,
    line: &Line,
    room: Option<RoomId>,
    user: Option<UserId>,
    number: Option<usize>,
) -> bool {
    let of_ask = |ask: &Ask| {
        let right_room = match room {
            Some(room) => ask.room() == Some(room) || ask.may_open(room),
            None => ask.room().is_none(),
        };
        let right_user = number.is_none_or(|number| line.player == number || ask.user() == user);
        right_room && right_user
    };
    match &line.what {
        What::Asked(_, ask, _) => of_ask(ask),
        What::Answered(call, _) => evidence
            .calls
            .get(call)
            .is_some_and(|call| of_ask(&call.ask)),
        What::Heard(heard) => {
            let right_room = heard.room() == room || matches!(heard, Heard::Disconnected);
            right_room && number.is_none_or(|number| line.player == number)
        }
        What::Fault(_) => true,
    }
}

fn told(evidence: &Evidence<'_>, line: &Line) -> String {
    let at = line.at.as_secs_f64();
    let name = |number: usize| evidence.name(evidence.users[number]);
    let text = match &line.what {
        What::Asked(call, ask, key) => {
            format!("{} asks #{call} {ask:?} under {key}", name(line.player))
        }
        What::Answered(call, outcome) => {
            let outcome = match outcome {
                Outcome::Done(Reply::Page(page, head, rev)) => {
                    format!("a page of {}, head {head}, rev {rev}", page.len())
                }
                outcome => format!("{outcome:?}"),
            };
            format!("{} is told #{call} {outcome}", name(line.player))
        }
        What::Heard(Heard::Message(_, message)) => {
            format!(
                "{} hears message {} {:?}",
                name(line.player),
                message.seq,
                message.text
            )
        }
        What::Heard(heard) => format!("{} hears {heard:?}", name(line.player)),
        What::Fault(fault) => format!("FAULT {fault}"),
    };
    let text: String = text.chars().take(CHARACTERS_MAX).collect();
    format!("{at:9.3} {text}")
}
