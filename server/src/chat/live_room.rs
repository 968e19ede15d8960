//! A room at its owner: rules, recent messages, followers, and what waits for the disk.
//!
//! A call is decided at once on the room's state in memory, its rows are handed to the store, and its answer and events
//! wait in line. The store reports in order, so the line moves from its front: everything that is told has
//! become durable, in the room's order.

mod broadcast;
mod calls;
mod creation;
mod edits;
mod entity;
mod following;
mod order;
mod retention;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{Cursor, ServerFrame};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::Members;
use pitturu_rules::rooms::rows::Change;
use pitturu_rules::rooms::{Effects, Room, RoomEvent};
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::entities::{Commit, KeyedResult, Signal};
use pitturu_store::reservation::Reservation;
use serde::Serialize;

use self::edits::EditQueue;
use self::entity::Kept;
use self::following::{PendingClose, PendingOpen, refuse_follow};
use self::order::Held;
use super::Environment;
use super::blocks::Blocks;
use super::command::{Fetched, Follow};
use super::recent::Recent;
use super::store;
use crate::call_traces::{Delivering, Part};
use crate::connections::address::Address;
use crate::connections::call::PendingCall;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::Connection;
use crate::connections::recipient::Recipient;
use crate::owners::followers::Followers;
use crate::owners::journal::Journal;
use crate::owners::keys::{self, Keys};
use crate::owners::line::DurableLine;
use crate::owners::signals::Outgoing;
use crate::players::{self, audit_log};

/// Bytes that a write of a room takes in the store's queue, about: a message of the longest kind is a few times this, and most
/// are less.
const WRITE_BYTES: usize = 4 * 1024;

/// What a room's owner works with.
type Context = crate::owners::entity::Context<LiveRoom>;

/// Who gets an answer, and under which key it is kept.
#[derive(Debug)]
struct Requester {
    recipient: Recipient,
    call: PendingCall,
    user: UserId,
    address: Address,
    key: Option<IdempotencyKey>,
}

/// Whose call is refused.
#[derive(Debug)]
enum Asked {
    Call(Requester),
    Follow(Box<Follow>),
    Close(PendingClose),
}

#[derive(Debug)]
enum Answer {
    /// The encoded body of a reply.
    Body(Requester, Bytes),
    /// A page of members, to which their names are still to be put.
    Members(Requester, Members),
    /// An opened room.
    View(Box<PendingOpen>),
    /// A connection that follows no longer.
    Closed(PendingClose),
    /// What the rules have refused, resting on what was decided before.
    Refused(Asked, Fault),
    /// Messages before this sequence are kept no longer.
    Retained(u64),
}

impl Asked {
    /// What is noted of the call.
    const fn part(&self) -> Part {
        match self {
            Self::Call(requester) => requester.call.trace().room(),
            Self::Follow(follow) => follow.to.part(),
            Self::Close(close) => close.call.trace().room(),
        }
    }
}

impl Answer {
    /// What is noted of the call.
    const fn part(&self) -> Part {
        match self {
            Self::Body(requester, _) | Self::Members(requester, _) => requester.call.trace().room(),
            Self::View(open) => open.to.part(),
            Self::Closed(close) => close.call.trace().room(),
            Self::Refused(asked, _) => asked.part(),
            Self::Retained(_) => Part::NONE,
        }
    }
}

/// A decision on its way to the disk.
#[derive(Debug)]
struct Pending {
    answer: Answer,
    events: Vec<RoomEvent>,
    /// The room's newest message before the decision.
    head: u64,
    /// Its version, if it is a commit.
    version: u64,
    /// What its commit tells players.
    signals: Vec<Signal>,
}

/// Who waits for the first call under a key.
#[derive(Debug)]
enum Waiter {
    /// To be answered as it is.
    Call(Recipient, PendingCall),
    /// To open the room then.
    Follow(Box<Follow>),
}

impl Waiter {
    fn refuse(self, fault: &Fault) {
        match self {
            Self::Call(recipient, call) => recipient.refuse(call, fault),
            Self::Follow(follow) => refuse_follow(*follow, fault),
        }
    }
}

/// A room in its shard.
#[derive(Debug)]
pub struct LiveRoom {
    id: RoomId,
    life: u64,
    journal: Journal,
    room: Room,
    recent: Recent,
    followers: Followers,
    pending: DurableLine<Pending>,
    keys: Keys<Waiter>,
    blocks: Blocks,
    held: Held,
    /// Repetitions of calls that made or joined the room, to open it as soon as what runs now is done.
    follow_again: Vec<Follow>,
    outgoing: Outgoing,
    /// How many members the followers were last told of.
    members_told: u32,
    edit_queues: HashMap<u64, EditQueue>,
    /// Of a direct room: its players' display names, as they were read for the last opening.
    peer_names: HashMap<UserId, Arc<str>>,
    presence_due_at: Option<Steady>,
    presence_sent_at: Steady,
    used_at: Steady,
    retaining: bool,
    /// Up to which messages and changes this life has had everything removed; an earlier one may have been cut short.
    removed: Option<(u64, u64)>,
    /// Connections whose outbox holds an answer until the end of the turn.
    answered: Vec<Arc<Connection>>,
    /// Calls whose answers and events go out at the end of the turn.
    delivering: Delivering,
}

impl LiveRoom {
    /// Takes a room up as the store has it. Followers that stayed from an earlier life are cut.
    fn new(
        environment: &Environment,
        life: u64,
        fetched: Fetched,
        kept: Kept,
        now: Steady,
    ) -> Self {
        let room = fetched.room;
        let end = Cursor {
            seq: room.stored.head,
            rev: room.stored.rev,
        };
        let id = room.stored.row.room;
        let newest = room.recent.into_iter().map(|row| row.msg).collect();
        let journal = Journal::of(store::entity(id), &room.loaded);
        let keys = kept.keys.in_next_life(end.seq);
        let routes = Arc::clone(&environment.routes);
        let outgoing = Outgoing::new(&journal, fetched.undelivered, routes);
        let rules = Room::load(
            room.stored,
            fetched.blocks.any(),
            Arc::clone(&environment.limits),
        );
        let recent = Recent::new(id, end, newest);
        let mut live = Self::begin(rules, life, journal, recent, keys, outgoing, now);
        live.blocks = fetched.blocks;
        live.followers = kept.followers;
        live.drop_strangers();
        if !live.followers.is_empty() {
            // It may have been due when the life before this one ended.
            live.presence_changed(now);
        }
        live.outgoing.send_all(now);
        live
    }

    fn begin(
        room: Room,
        life: u64,
        journal: Journal,
        recent: Recent,
        keys: Keys<Waiter>,
        outgoing: Outgoing,
        now: Steady,
    ) -> Self {
        Self {
            id: room.id(),
            life,
            journal,
            recent,
            members_told: room.member_count(),
            room,
            followers: Followers::default(),
            pending: DurableLine::default(),
            keys,
            blocks: Blocks::default(),
            held: Held::default(),
            follow_again: Vec::new(),
            outgoing,
            edit_queues: HashMap::new(),
            peer_names: HashMap::new(),
            presence_due_at: None,
            presence_sent_at: Steady::default(),
            used_at: now,
            retaining: false,
            removed: None,
            answered: Vec::new(),
            delivering: Delivering::default(),
        }
    }

    /// Room in the store for what a call may write. Asked before the rules decide: a call that is refused here has changed
    /// nothing.
    fn reserve(context: &Context) -> Result<Reservation, Fault> {
        let reserved = context.environment.rooms.entities().reserve(WRITE_BYTES);
        reserved.map_err(Fault::from)
    }

    /// Hands a decision to the store, and puts its answer and events in line. Whatever may write has reserved room for it.
    fn commit(
        &mut self,
        context: &Context,
        reservation: Option<Reservation>,
        effects: Effects,
        result: Option<KeyedResult>,
        answer: Answer,
        now: Steady,
    ) {
        let appended = u64::from(effects.rows.message.is_some());
        let changes = effects.changes_anything();
        let mut pending = Pending {
            answer,
            events: effects.events,
            head: self.room.head() - appended,
            version: 0,
            signals: Vec::new(),
        };
        let stores = changes || result.is_some();
        pending.answer.part().decided(stores);
        if !stores {
            self.pending.push(pending, true);
            self.settle(context, now);
            return;
        }
        let mut commit = self.journal.next();
        store::put(&mut commit, self.id, &effects.rows, now_ms());
        commit.results = result.into_iter().collect();
        let signals = effects.signals.iter();
        let signals = signals.map(|(user, signal)| players::signal(*user, signal));
        let notes = effects.notes.into_iter().map(audit_log::signal);
        commit.signals = signals.chain(notes).collect();
        pending.version = commit.version;
        pending.signals.clone_from(&commit.signals);
        self.hand_over(context, reservation, commit, pending);
    }

    fn hand_over(
        &mut self,
        context: &Context,
        reservation: Option<Reservation>,
        commit: Commit,
        pending: Pending,
    ) {
        self.pending.push(pending, false);
        let reservation = reservation.expect("what writes has reserved room for it");
        let entities = context.environment.rooms.entities();
        context.hand_over(self.id, self.life, |done| {
            entities.commit(reservation, commit.into(), done);
        });
    }

    /// As [`Self::commit`], for a call that is answered with `body`, which is stored under its key.
    fn commit_reply(
        &mut self,
        context: &Context,
        reservation: Option<Reservation>,
        effects: Effects,
        requester: Requester,
        body: Bytes,
        now: Steady,
    ) {
        // What changed nothing leaves nothing: a repetition is decided anew.
        let changes = effects.changes_anything();
        let result = requester
            .key
            .as_ref()
            .filter(|_| changes)
            .map(|key| keys::result(requester.user, key, body.to_vec()));
        let answer = Answer::Body(requester, body);
        self.commit(context, reservation, effects, result, answer, now);
    }

    fn settle(&mut self, context: &Context, now: Steady) {
        while let Some(pending) = self.pending.next_durable() {
            self.complete(context, pending, now);
        }
        for follow in std::mem::take(&mut self.follow_again) {
            self.open_again(context, follow, now);
        }
    }

    fn complete(&mut self, context: &Context, pending: Pending, now: Steady) {
        let part = pending.answer.part();
        part.durable();
        match pending.answer {
            Answer::Body(requester, body) => {
                self.delivering.begin(part);
                self.answer(requester, &body, pending.head, now);
            }
            Answer::Members(requester, page) => Self::answer_members(context, requester, page),
            Answer::View(open) => self.open(*open, pending.head, now),
            Answer::Closed(close) => self.close(close, now),
            Answer::Refused(asked, fault) => self.refuse_asked(asked, &fault),
            Answer::Retained(first) => self.retained(context, first),
        }
        for event in pending.events {
            self.tidy_up_after(context, &event);
            self.publish(event, now);
        }
        self.outgoing.decided(pending.version, pending.signals, now);
    }

    /// Has removed from the store what nobody can see any more, once that is durable.
    fn tidy_up_after(&self, context: &Context, event: &RoomEvent) {
        let rooms = context.environment.rooms.clone();
        let id = self.id;
        match event {
            RoomEvent::Changed(row, _) => {
                if let Change::Deleted { seq, .. } = row.change {
                    // What fails here goes with the message.
                    tokio::spawn(async move { rooms.remove_reactions(id, seq).await });
                }
            }
            RoomEvent::Deleted => {
                if let Some(handle) = self.room.row().handle.clone() {
                    // What fails here is found by whoever asks for the handle.
                    tokio::spawn(async move { rooms.free_handle(&handle, id).await });
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, requester: Requester, body: &Bytes, head: u64, now: Steady) {
        let frame = reply_frame(requester.call, body);
        self.answered
            .extend(requester.recipient.reply_corked(requester.call, frame));
        if let Some(key) = requester.key {
            let waiters = self
                .keys
                .done(requester.user, &key, body.clone(), head, now);
            self.answer_waiters(waiters, body);
        }
    }

    /// Refuses what the rules do not allow, once all that they rest on is durable: a ban that is decided may come to nothing.
    fn refuse_decided(&mut self, context: &Context, asked: Asked, fault: Fault, now: Steady) {
        asked.part().decided(false);
        let pending = Pending {
            answer: Answer::Refused(asked, fault),
            events: Vec::new(),
            head: self.room.head(),
            version: 0,
            signals: Vec::new(),
        };
        self.pending.push(pending, true);
        self.settle(context, now);
    }

    fn refuse_asked(&mut self, asked: Asked, fault: &Fault) {
        match asked {
            Asked::Call(requester) => self.refuse_requester(&requester, fault),
            Asked::Follow(follow) => {
                if let Some(key) = &follow.key {
                    self.refuse_waiters(follow.actor.user, key, fault);
                }
                refuse_follow(*follow, fault);
            }
            Asked::Close(close) => close.connection.refuse(close.call, fault),
        }
    }

    fn refuse_requester(&mut self, requester: &Requester, fault: &Fault) {
        requester.recipient.refuse(requester.call, fault);
        if let Some(key) = &requester.key {
            self.refuse_waiters(requester.user, key, fault);
        }
    }

    /// Answers those who waited for the first call under their key.
    fn answer_waiters(&mut self, waiters: Vec<Waiter>, body: &Bytes) {
        for waiter in waiters {
            match waiter {
                Waiter::Call(recipient, call) => recipient.reply(call, reply_frame(call, body)),
                Waiter::Follow(follow) => self.follow_again.push(*follow),
            }
        }
    }

    /// Refuses those who waited for the first call under this key.
    fn refuse_waiters(&mut self, user: UserId, key: &IdempotencyKey, fault: &Fault) {
        for waiter in self.keys.refused(user, key) {
            waiter.refuse(fault);
        }
    }
}

fn body<T: Serialize>(reply: &T) -> Bytes {
    codec::encode(reply).into()
}

fn reply_frame(call: PendingCall, body: &Bytes) -> Bytes {
    let call = call.number;
    ServerFrame::Reply { call, body }.encode().into()
}

/// The room does not exist, as far as the caller may know.
fn no_such_room() -> Fault {
    Fault::of(Code::RoomNotFound)
}
