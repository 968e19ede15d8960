//! Who belongs to a room, who is kept out, who may do what, how far everybody has read, and what the room says of itself.

use std::collections::{BTreeSet, HashSet};

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{MemberRole, RoomKind};

use super::actions::Action;
use super::registers::{Write, may_hold};
use super::{Evidence, Found};
use crate::audit::RoomAudit;
use crate::record::{Ask, Heard, Reply, What};

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    for (room, audit) in &evidence.audit.rooms {
        let creator = creator(evidence, *room, audit);
        for user in evidence.users {
            membership(evidence, found, *room, audit, *user);
            ban(evidence, found, *room, audit, *user);
            if let Some(creator) = creator {
                role(evidence, found, *room, audit, *user, creator);
            }
        }
        topic(evidence, found, *room, audit);
    }
    lists(evidence, found);
    markers(evidence, found);
    told_topics(evidence, found);
}

/// What was asked about the room, its making aside.
fn actions_of<'a>(evidence: &Evidence<'a>, room: RoomId) -> impl Iterator<Item = &'a Action> {
    let actions: &'a [Action] = evidence.actions;
    actions
        .iter()
        .filter(move |action| action.ask.room() == Some(room))
}

/// What may have made the room, or led into it, also when nobody was told.
fn makings<'a>(evidence: &Evidence<'a>, audit: &'a RoomAudit) -> impl Iterator<Item = &'a Action> {
    let (actions, users): (&'a [Action], &'a [UserId]) = (evidence.actions, evidence.users);
    let info = audit.view.as_ref().map(|view| &view.info);
    let is_direct = info.is_some_and(|info| info.kind == RoomKind::Direct);
    let has = |user: UserId| audit.members.iter().any(|member| member.user == user);
    actions.iter().filter(move |action| match &action.ask {
        Ask::Create { name } => info.is_some_and(|info| info.name == *name),
        Ask::Direct { peer } => is_direct && has(*peer) && has(users[action.player]),
        // A handle leads to one room after the other.
        Ask::Enter { handle } => match &action.reply {
            Some(Reply::View(entered, ..)) => info.is_some_and(|info| info.room == *entered),
            _ => info.is_some_and(|info| info.name.eq_ignore_ascii_case(handle)),
        },
        _ => false,
    })
}

/// The one whom the action is about.
fn target(evidence: &Evidence<'_>, action: &Action) -> UserId {
    action.ask.user().unwrap_or(evidence.users[action.player])
}

fn membership(
    evidence: &Evidence<'_>,
    found: &mut Found,
    room: RoomId,
    audit: &RoomAudit,
    user: UserId,
) {
    let mut writes = vec![Write::first(false)];
    for action in actions_of(evidence, room).chain(makings(evidence, audit)) {
        let caller = evidence.users[action.player];
        let value = match &action.ask {
            Ask::Direct { peer } if *peer == user || caller == user => true,
            Ask::Create { .. } | Ask::Join { .. } | Ask::Enter { .. } if caller == user => true,
            Ask::Leave { .. } if caller == user => false,
            Ask::Kick { user: out, .. } | Ask::Ban { user: out, .. } if *out == user => false,
            _ => continue,
        };
        writes.extend(Write::of(action, value));
    }
    let is_member = audit.members.iter().any(|member| member.user == user);
    if !may_hold(&writes, &is_member) {
        let message = match is_member {
            true => "is a member, though the last word was that they are not".to_owned(),
            false => "is no member, though the last word was that they are".to_owned(),
        };
        found.add(evidence, "members", (Some(room), Some(user)), message);
    }
}

fn ban(evidence: &Evidence<'_>, found: &mut Found, room: RoomId, audit: &RoomAudit, user: UserId) {
    let Some(bans) = &audit.bans else {
        return;
    };
    let mut writes = vec![Write::first(false)];
    for action in actions_of(evidence, room) {
        let value = match &action.ask {
            Ask::Ban { user: out, .. } if *out == user => true,
            Ask::Unban { user: back, .. } if *back == user => false,
            // A moderator who comes to a room anyway would be one way more; no player of a round is one.
            _ => continue,
        };
        writes.extend(Write::of(action, value));
    }
    let is_banned = bans.iter().any(|ban| ban.user == user);
    if !may_hold(&writes, &is_banned) {
        let message = format!("banned: {is_banned}, against the last word");
        found.add(evidence, "members", (Some(room), Some(user)), message);
    }
}

/// Who made the room, if they have never left it: otherwise ownership has gone on to somebody.
fn creator(evidence: &Evidence<'_>, room: RoomId, audit: &RoomAudit) -> Option<UserId> {
    let maker = makings(evidence, audit).find(|action| matches!(action.ask, Ask::Create { .. }))?;
    let creator = evidence.users[maker.player];
    let has_left = actions_of(evidence, room).any(|action| {
        let puts_out = matches!(
            action.ask,
            Ask::Leave { .. } | Ask::Kick { .. } | Ask::Ban { .. }
        );
        puts_out && !action.is_refused() && target(evidence, action) == creator
    });
    (!has_left).then_some(creator)
}

fn role(
    evidence: &Evidence<'_>,
    found: &mut Found,
    room: RoomId,
    audit: &RoomAudit,
    user: UserId,
    creator: UserId,
) {
    let Some(member) = audit.members.iter().find(|member| member.user == user) else {
        return;
    };
    let first = match user == creator {
        true => MemberRole::Owner,
        false => MemberRole::Member,
    };
    let mut writes = vec![Write::first(first)];
    for action in actions_of(evidence, room) {
        if target(evidence, action) != user {
            continue;
        }
        let value = match &action.ask {
            Ask::Role { role, .. } => *role,
            Ask::Leave { .. } | Ask::Kick { .. } | Ask::Ban { .. } => MemberRole::Member,
            _ => continue,
        };
        writes.extend(Write::of(action, value));
    }
    if !may_hold(&writes, &member.role) {
        let message = format!("has the role {:?}, against the last word", member.role);
        found.add(evidence, "members", (Some(room), Some(user)), message);
    }
}

fn topic(evidence: &Evidence<'_>, found: &mut Found, room: RoomId, audit: &RoomAudit) {
    let Some(view) = &audit.view else {
        return;
    };
    let mut writes = vec![Write::first(None)];
    for action in actions_of(evidence, room) {
        if let Ask::Topic { topic, .. } = &action.ask {
            writes.extend(Write::of(action, Some(topic.clone())));
        }
    }
    if !may_hold(&writes, &view.info.topic) {
        let message = format!("the topic is {:?}, against the last word", view.info.topic);
        found.add(evidence, "members", (Some(room), None), message);
    }
}

/// The list of a player's rooms and the list of a room's members say the same.
fn lists(evidence: &Evidence<'_>, found: &mut Found) {
    for (player, audit) in evidence.audit.players.iter().enumerate() {
        let user = evidence.users[player];
        let by_player: BTreeSet<RoomId> = audit
            .rooms
            .iter()
            .filter(|mine| mine.me.is_some())
            .map(|mine| mine.info.room)
            .collect();
        let rooms = evidence.audit.rooms.iter();
        let by_room: BTreeSet<RoomId> = rooms
            .filter(|(_, audit)| audit.members.iter().any(|member| member.user == user))
            .map(|(room, _)| *room)
            .collect();
        for room in by_player.symmetric_difference(&by_room) {
            let view = evidence
                .audit
                .rooms
                .get(room)
                .and_then(|audit| audit.view.as_ref());
            let is_direct = view.is_some_and(|view| view.info.kind == RoomKind::Direct);
            if is_direct && by_room.contains(room) {
                // A block takes a direct room out of the list of a player who has not written in it.
                continue;
            }
            let message = "the player's list of rooms and the room's list of members differ";
            let about = (Some(*room), Some(user));
            found.add(evidence, "one truth", about, message.to_owned());
        }
    }
}

/// A read marker never goes back, and unread is arithmetic.
fn markers(evidence: &Evidence<'_>, found: &mut Found) {
    for (player, audit) in evidence.audit.players.iter().enumerate() {
        let user = evidence.users[player];
        for mine in &audit.rooms {
            let Some(me) = &mine.me else {
                continue;
            };
            let room = mine.info.room;
            let about = (Some(room), Some(user));
            let marks = evidence.actions.iter().filter_map(|action| {
                let is_mine = action.player == player && action.ask.room() == Some(room);
                match &action.reply {
                    // Whoever sends has read what came before.
                    Some(Reply::Marker(read, _) | Reply::Sent(read))
                        if is_mine && action.is_done() =>
                    {
                        Some(*read)
                    }
                    _ => None,
                }
            });
            let marked = marks.max().unwrap_or(0);
            if me.read < marked || me.read > mine.info.head {
                let message = format!(
                    "has read {} of {}, and {marked} was acknowledged",
                    me.read, mine.info.head
                );
                found.add(evidence, "acknowledged is durable", about, message);
            }
            let from = me.read.max(mine.info.first.saturating_sub(1));
            let messages = evidence.audit.rooms.get(&room).map(|audit| &audit.forward);
            let deleted = messages.into_iter().flatten();
            let deleted =
                deleted.filter(|message| message.seq > from && message.deleted_by.is_some());
            let unread = mine.info.head - from - deleted.count() as u64;
            if mine.unread != unread {
                let message = format!("{} unread, not {unread}", mine.unread);
                found.add(evidence, "unread is arithmetic", about, message);
            }
        }
    }
}

/// No event shows settings that were refused.
fn told_topics(evidence: &Evidence<'_>, found: &mut Found) {
    let asked: HashSet<(RoomId, &str)> = evidence
        .actions
        .iter()
        .filter(|action| !action.is_refused())
        .filter_map(|action| match &action.ask {
            Ask::Topic { room, topic } => Some((*room, topic.as_str())),
            _ => None,
        })
        .collect();
    for (place, line) in evidence.lines.iter().enumerate() {
        let What::Heard(Heard::Info(info)) = &line.what else {
            continue;
        };
        let Some(topic) = info.topic.as_deref() else {
            continue;
        };
        if !asked.contains(&(info.room, topic)) {
            let message = format!("{topic:?} was told as the topic, and its call was refused");
            let about = (Some(info.room), None);
            found.add_until(evidence, "told is decided", about, place, message);
        }
    }
}
