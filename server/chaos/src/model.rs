//! What the server has promised, and whether it kept it.
//!
//! The model is made of what players asked and were told, and of the protocol's words; it shares no code with the server. Each
//! part looks at one promise: [`messages`] at rooms and their order, [`streams`] at what each connection was sent, [`members`] at
//! who belongs where, [`people`] at friends and inboxes, [`points`], [`items`], [`rewards`] and [`boards`] at what the game gives, [`glimpses`] and
//! [`board_reads`] at what was read and told of that meanwhile, [`repeats`] at calls under one key, [`reads`] at what was read of rooms.

mod actions;
mod board_reads;
mod boards;
mod glimpses;
mod items;
mod members;
mod messages;
mod people;
mod points;
mod reads;
mod registers;
mod repeats;
mod rewards;
mod streams;
mod trace;

use std::collections::BTreeMap;
use std::fmt::Debug;

use pitturu_protocol::ids::{RoomId, UserId};

use self::actions::Action;
use crate::audit::Audit;
use crate::players::World;
use crate::record::{Call, CallNo, Line, PlayerNo, calls};

/// Violations of one rule that are told of; the rest is counted.
const TOLD_MAX: usize = 5;

/// Something that the server has promised and not kept.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The promise.
    pub rule: &'static str,
    /// Of what.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What happened to the subject before.
    pub trace: Vec<String>,
}

/// What the parts of the model look at.
struct Evidence<'a> {
    /// What was asked and told, in order.
    pub lines: &'a [Line],
    /// All calls.
    pub calls: &'a BTreeMap<CallNo, Call>,
    /// All actions: calls under one key are one.
    pub actions: &'a [Action],
    /// What the server has in the end.
    pub audit: &'a Audit,
    /// The players' ids, by their numbers.
    pub users: &'a [UserId],
    /// Which players see each frame.
    pub raw: &'a [bool],
    /// Who calls as a service of the game.
    pub services: &'a [PlayerNo],
    /// What the server's clock shows in the end.
    pub now: u64,
}

/// What the parts of the model find.
#[derive(Default)]
struct Found {
    violations: Vec<Violation>,
    told: BTreeMap<&'static str, usize>,
}

impl Found {
    /// Notes a violation, with what the record has of the room and the player.
    pub fn add(
        &mut self,
        evidence: &Evidence<'_>,
        rule: &'static str,
        about: (Option<RoomId>, Option<UserId>),
        message: String,
    ) {
        self.add_until(evidence, rule, about, evidence.lines.len(), message);
    }

    /// Notes that what there is of an action is not what it was answered.
    pub fn add_outcome(
        &mut self,
        evidence: &Evidence<'_>,
        rule: &'static str,
        user: UserId,
        action: &Action,
        there: impl Debug,
    ) {
        let message = format!(
            "{:?} under {} is {:?} with {:?}, and there is {there:?}",
            action.ask, action.key, action.outcome, action.reply
        );
        self.add_until(evidence, rule, (None, Some(user)), action.ends, message);
    }

    /// As [`Self::add`], of something that showed at this line of the record, or was answered there.
    pub fn add_until(
        &mut self,
        evidence: &Evidence<'_>,
        rule: &'static str,
        (room, user): (Option<RoomId>, Option<UserId>),
        line: usize,
        message: String,
    ) {
        let told = self.told.entry(rule).or_default();
        *told += 1;
        if *told > TOLD_MAX {
            return;
        }
        let mut subject = Vec::new();
        subject.extend(room.map(|room| format!("room {room}")));
        subject.extend(user.map(|user| format!("player {}", evidence.name(user))));
        self.violations.push(Violation {
            rule,
            subject: subject.join(", "),
            message,
            trace: trace::of(evidence, room, user, line),
        });
    }
}

impl Evidence<'_> {
    /// What a player is called in reports.
    pub fn name(&self, user: UserId) -> String {
        match self.number(user) {
            Some(number) if self.raw[number] => format!("raw-{number}"),
            Some(number) => format!("sdk-{number}"),
            None => user.to_string(),
        }
    }

    /// A player's number.
    pub fn number(&self, user: UserId) -> Option<usize> {
        self.users.iter().position(|known| *known == user)
    }
}

/// Compares what was asked and told with what the server has.
pub fn check(lines: &[Line], world: &World, audit: &Audit) -> Vec<Violation> {
    let calls = calls(lines);
    let actions = actions::of(&calls);
    let users: Vec<UserId> = world.players.iter().map(|player| player.user).collect();
    let raw: Vec<bool> = world
        .players
        .iter()
        .map(|player| matches!(player.link, crate::players::Link::Raw(_)))
        .collect();
    let evidence = Evidence {
        lines,
        calls: &calls,
        actions: &actions,
        audit,
        users: &users,
        raw: &raw,
        services: &world.services,
        now: world.now(),
    };
    let mut found = Found::default();
    messages::check(&evidence, &mut found);
    streams::check(&evidence, &mut found);
    members::check(&evidence, &mut found);
    people::check(&evidence, &mut found);
    points::check(&evidence, &mut found);
    items::check(&evidence, &mut found);
    rewards::check(&evidence, &mut found);
    boards::check(&evidence, &mut found);
    glimpses::check(&evidence, &mut found);
    board_reads::check(&evidence, &mut found);
    repeats::check(&evidence, &mut found);
    reads::check(&evidence, &mut found);
    for violation in &mut found.violations {
        let count = found.told[violation.rule];
        if count > TOLD_MAX {
            violation.message = format!("{} ({count} of this rule)", violation.message);
        }
    }
    found.violations
}
