//! Messages: send, edit, delete, react, read markers, ephemeral messages, typing.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::{DATA_BYTES_MAX, EMOJI_PER_MESSAGE_MAX, EMOJI_PER_PLAYER_MAX};
use pitturu_protocol::types::chat::{
    Changed, EditMessage, EphemeralSent, MemberRole, Message, React, Reacted, Reaction, ReadMarker,
    RoomKind, SendEphemeral, SendMessage, Sent,
};

use super::rows::{Change, ChangeRow, DELETED_KEPT, MemberRow, MessageRow};
use super::{Actor, Effects, Room, RoomEvent};
use crate::signals::Listed;

/// How often a player's typing is passed on.
const TYPING_EVERY_MS: u64 = 2_000;

/// Players whose last typing, or last text in slow mode, is remembered before the oldest are dropped.
const RECENT_MAX: usize = 4_096;

impl Room {
    /// Takes a message into the room's order.
    pub fn send(
        &mut self,
        actor: &Actor,
        request: SendMessage,
        effects: &mut Effects,
    ) -> Result<Sent, Fault> {
        self.may_write(actor)?;
        self.check_text(&request.text)?;
        if request.data.as_ref().map_or(0, Vec::len) > DATA_BYTES_MAX {
            return Err(Fault::invalid(
                "data",
                format!("at most {DATA_BYTES_MAX} bytes"),
            ));
        }
        if request
            .reply_to
            .is_some_and(|seq| seq == 0 || seq > self.head)
        {
            return Err(Fault::of(Code::MessageNotFound));
        }
        self.check_slow_mode(actor, Some(effects))?;

        self.head += 1;
        self.read_up_to_here(actor, effects);
        self.last_at = self.last_at.max(actor.now);
        let message = Message {
            seq: self.head,
            from: actor.user,
            name: actor.name.to_string(),
            text: request.text,
            at: self.last_at,
            data: request.data,
            reply_to: request.reply_to,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        };
        effects.rows.message = Some(MessageRow {
            msg: message.clone(),
            rev: 0,
            moved: self.moved.beside(self.head),
        });
        effects.events.push(RoomEvent::Sent(message));
        Ok(Sent {
            seq: self.head,
            at: self.last_at,
        })
    }

    /// Passes a text on without taking it into the room's order of messages. Slow mode counts it as a message, or it
    /// would be the way around it.
    pub fn send_ephemeral(
        &mut self,
        actor: &Actor,
        request: SendEphemeral,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        self.may_write(actor)?;
        self.check_text(&request.text)?;
        self.check_slow_mode(actor, None)?;
        self.last_at = self.last_at.max(actor.now);
        effects.events.push(RoomEvent::Said(EphemeralSent {
            room: self.row.room,
            from: actor.user,
            name: actor.name.to_string(),
            text: request.text,
            at: self.last_at,
        }));
        Ok(())
    }

    /// Replaces the text of the actor's own message, given as it is now. Slow mode counts it as a message: what was said could
    /// be replaced by what was to be said.
    pub fn edit(
        &mut self,
        actor: &Actor,
        request: EditMessage,
        row: &mut MessageRow,
        effects: &mut Effects,
    ) -> Result<Changed, Fault> {
        self.may_write(actor)?;
        self.check_text(&request.text)?;
        if row.msg.deleted_by.is_some() {
            return Err(Fault::of(Code::MessageDeleted));
        }
        if row.msg.from != actor.user {
            return Err(Fault::of(Code::Forbidden));
        }
        self.check_slow_mode(actor, Some(effects))?;
        row.msg.text = request.text;
        // The time that the change itself gets.
        row.msg.edited_at = Some(self.last_at.max(actor.now));
        let change = Change::Edited { seq: request.seq };
        Ok(self.change(actor, change, row, effects))
    }

    /// Empties a message: the actor's own, or another's as a moderator. Deleting twice is one deletion.
    pub fn delete(
        &mut self,
        actor: &Actor,
        row: &mut MessageRow,
        effects: &mut Effects,
    ) -> Result<Changed, Fault> {
        let authority = self.authority(actor)?;
        if row.msg.from != actor.user && authority < MemberRole::Moderator {
            return Err(Fault::of(Code::Forbidden));
        }
        if row.msg.deleted_by.is_some() {
            return Err(Fault::of(Code::MessageDeleted));
        }
        row.msg.text = String::new();
        row.msg.data = None;
        row.msg.reactions = Vec::new();
        row.msg.deleted_by = Some(actor.user);
        self.deleted.insert(row.msg.seq);
        effects.rows.deleted.push((row.msg.seq, true));
        if self.deleted.len() > DELETED_KEPT
            && let Some(oldest) = self.deleted.pop_first()
        {
            effects.rows.deleted.push((oldest, false));
        }
        let change = Change::Deleted {
            seq: row.msg.seq,
            by: actor.user,
        };
        Ok(self.change(actor, change, row, effects))
    }

    /// Adds or takes back the actor's reaction. `mine` is what they react with already.
    pub fn react(
        &mut self,
        actor: &Actor,
        request: &React,
        row: &mut MessageRow,
        mine: &mut Vec<String>,
        effects: &mut Effects,
    ) -> Result<Reacted, Fault> {
        self.may_write(actor)?;
        let emoji = &request.emoji;
        if row.msg.deleted_by.is_some() {
            return Err(Fault::of(Code::MessageDeleted));
        }
        if mine.contains(emoji) == request.on {
            let count = reaction_count(&row.msg, emoji);
            return Ok(Reacted { rev: None, count });
        }
        if request.on && mine.len() >= EMOJI_PER_PLAYER_MAX {
            return Err(Fault::new(
                Code::LimitReached,
                format!(
                    "at most {EMOJI_PER_PLAYER_MAX} different reactions of one player on one message"
                ),
            ));
        }
        let count = count_reaction(&mut row.msg, emoji, request.on)?;
        if request.on {
            mine.push(emoji.clone());
        } else {
            mine.retain(|held| held != emoji);
        }
        effects
            .rows
            .reactions
            .push((request.seq, actor.user, mine.clone()));
        let change = Change::Reacted {
            seq: request.seq,
            user: actor.user,
            emoji: emoji.clone(),
            on: request.on,
            count,
        };
        let changed = self.change(actor, change, row, effects);
        Ok(Reacted {
            rev: Some(changed.rev),
            count,
        })
    }

    pub(super) fn change(
        &mut self,
        actor: &Actor,
        change: Change,
        row: &mut MessageRow,
        effects: &mut Effects,
    ) -> Changed {
        self.rev += 1;
        self.last_at = self.last_at.max(actor.now);
        let change = ChangeRow {
            rev: self.rev,
            at_seq: self.head,
            at: self.last_at,
            change,
        };
        row.rev = self.rev;
        if row.msg.seq == self.head {
            row.moved = self.moved.beside(self.head);
        }
        effects.rows.updated.push(row.clone());
        effects.rows.change = Some(change.clone());
        effects
            .events
            .push(RoomEvent::Changed(change, row.msg.clone()));
        Changed {
            rev: self.rev,
            at: self.last_at,
        }
    }

    /// Moves the actor's read marker forward.
    pub fn mark_read(
        &mut self,
        actor: &Actor,
        seq: u64,
        effects: &mut Effects,
    ) -> Result<ReadMarker, Fault> {
        let mut row = self.member(actor)?.clone();
        let read = seq.min(self.head).max(row.read);
        if read > row.read {
            row.read = read;
            self.save_member(row, effects);
            effects.events.push(RoomEvent::ReadMoved(actor.user, read));
        }
        Ok(ReadMarker {
            read,
            unread: self.unread(read),
        })
    }

    /// Whoever sends has read what came before, and takes up what was offered.
    fn read_up_to_here(&mut self, actor: &Actor, effects: &mut Effects) {
        let Some(row) = self.members.get_mut(&actor.user) else {
            return;
        };
        row.read = self.head;
        let is_taken_up = row.invited_by.is_some() && self.row.kind == RoomKind::Direct;
        let taken_up = is_taken_up.then(|| MemberRow {
            invited_by: None,
            ..row.clone()
        });
        if self.row.kind == RoomKind::Direct {
            self.offer_again(actor, effects);
        }
        if let Some(row) = taken_up {
            self.save_member(row, effects);
            return;
        }
        let passed = self.moved.sends(actor.user, self.head);
        let passed = passed.and_then(|user| self.members.get(&user));
        effects.rows.members.extend(passed.cloned());
    }

    /// Offers a direct room once more to a player who has not written in it: their list may have let it go for newer ones, or for
    /// a block that is over.
    fn offer_again(&self, actor: &Actor, effects: &mut Effects) {
        let others = self.members.values().filter(|row| row.user != actor.user);
        for row in others.filter(|row| row.invited_by.is_some()) {
            let listed = Some(Listed::Direct(actor.user));
            self.tell_listed(row.user, listed, effects);
        }
    }

    /// Whether the others should hear that the actor is writing.
    pub fn typing(&mut self, actor: &Actor) -> Result<bool, Fault> {
        self.may_write(actor)?;
        let recent = self
            .typed_at
            .get(&actor.user)
            .is_some_and(|&at| actor.steady_ms < at + TYPING_EVERY_MS);
        if !recent {
            forget_old(&mut self.typed_at, actor.steady_ms, TYPING_EVERY_MS);
            self.typed_at.insert(actor.user, actor.steady_ms);
        }
        Ok(!recent)
    }

    fn check_text(&self, text: &str) -> Result<(), Fault> {
        match &self.limits.filter {
            Some(filter) if !filter.allows(Some(self.row.room), text) => {
                Err(Fault::of(Code::TextRefused))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a text that comes too soon after the one before, and notes it: also in the store, if it comes with a commit. While
    /// the room is in memory a steady clock counts, so that no change of the time of day makes a pause longer or shorter.
    fn check_slow_mode(
        &mut self,
        actor: &Actor,
        effects: Option<&mut Effects>,
    ) -> Result<(), Fault> {
        let pause = u64::from(self.row.slow_mode_ms);
        if pause == 0 || self.authority(actor)? >= MemberRole::Moderator {
            return Ok(());
        }
        let mut sanction = self.sanction(actor.user);
        let wait_ms = match self.wrote_at.get(&actor.user) {
            Some(&at) => (at + pause).saturating_sub(actor.steady_ms),
            None => sanction.pause_left(pause, actor.now),
        };
        if wait_ms > 0 {
            return Err(Fault::of(Code::SlowMode).retry_after_ms(wait_ms));
        }
        forget_old(&mut self.wrote_at, actor.steady_ms, pause);
        self.wrote_at.insert(actor.user, actor.steady_ms);
        sanction.wrote_at = actor.now;
        let mut kept_in_memory = Effects::default();
        self.save_sanction(sanction, actor.now, effects.unwrap_or(&mut kept_in_memory));
        Ok(())
    }
}

/// Messages after the read marker that retention has left.
pub fn unread(head: u64, first: u64, read: u64) -> u64 {
    head.saturating_sub(read.max(first.saturating_sub(1)))
}

fn forget_old(notes: &mut std::collections::HashMap<UserId, u64>, now: u64, matters_for_ms: u64) {
    if notes.len() >= RECENT_MAX {
        notes.retain(|_, at| now < *at + matters_for_ms);
    }
    if notes.len() >= RECENT_MAX {
        notes.clear();
    }
}

fn reaction_count(message: &Message, emoji: &str) -> u32 {
    message
        .reactions
        .iter()
        .find(|reaction| reaction.emoji == emoji)
        .map_or(0, |reaction| reaction.count)
}

fn count_reaction(message: &mut Message, emoji: &str, on: bool) -> Result<u32, Fault> {
    let kinds = message.reactions.len();
    let held = message
        .reactions
        .iter_mut()
        .find(|reaction| reaction.emoji == emoji);
    let count = match (held, on) {
        (Some(reaction), true) => {
            reaction.count += 1;
            reaction.count
        }
        (Some(reaction), false) => {
            reaction.count = reaction.count.saturating_sub(1);
            reaction.count
        }
        (None, false) => 0,
        (None, true) if kinds >= EMOJI_PER_MESSAGE_MAX => {
            return Err(Fault::new(
                Code::LimitReached,
                format!("at most {EMOJI_PER_MESSAGE_MAX} different reactions on one message"),
            ));
        }
        (None, true) => {
            message.reactions.push(Reaction {
                emoji: emoji.to_owned(),
                count: 1,
            });
            1
        }
    };
    message.reactions.retain(|reaction| reaction.count > 0);
    Ok(count)
}
