//! A room at its owner: rules, recent messages, followers, and what waits for the disk.
//!
//! A call is decided at once on the room's state in memory, its rows are handed to the store, and its answer and events
//! wait in line. The store reports in order, so the line moves from its front: everything that is told has
//! become durable, in the room's order.

mod broadcast;
mod calls;
mod edits;
mod entity;
mod following;
mod retention;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{Cursor, ServerFrame};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::Message;
use pitturu_rules::rooms::{Effects, Room, RoomEvent};
use pitturu_store::idempotency::KeyRecord;
use pitturu_store::reservation::Reservation;
use pitturu_store::rooms::{Fence, LoadedRoom, RoomWrite};
use serde::Serialize;

use self::edits::EditQueue;
use self::following::{PendingClose, PendingOpen};
use super::Environment;
use super::command::Fetched;
use super::recent::Recent;
use crate::connections::call::PendingCall;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::Connection;
use crate::connections::recipient::Recipient;
use crate::owners::followers::Followers;
use crate::owners::keys::Keys;
use crate::owners::line::DurableLine;

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
    key: Option<IdempotencyKey>,
}

#[derive(Debug)]
enum Answer {
    /// The encoded body of a reply.
    Body(Requester, Bytes),
    /// An opened room.
    View(PendingOpen),
    /// A connection that follows no longer.
    Closed(PendingClose),
}

/// A decision on its way to the disk.
#[derive(Debug)]
struct Pending {
    answer: Answer,
    events: Vec<RoomEvent>,
}

/// A room in its shard.
#[derive(Debug)]
pub struct LiveRoom {
    id: RoomId,
    incarnation: u64,
    /// Which state of the store this incarnation was loaded from.
    fence: Fence,
    room: Room,
    recent: Recent,
    followers: Followers,
    pending: DurableLine<Pending>,
    keys: Keys,
    edit_queues: HashMap<u64, EditQueue>,
    presence_due_at: Option<u64>,
    presence_sent_at: u64,
    used_at: u64,
    retaining: bool,
    /// Connections whose outbox holds an answer until the end of the turn.
    answered: Vec<Arc<Connection>>,
}

impl LiveRoom {
    /// Takes a room up as the store has it. `followers` stayed from an earlier incarnation, cut.
    fn new(
        environment: &Environment,
        incarnation: u64,
        fetched: Fetched,
        followers: Followers,
        now: u64,
    ) -> Self {
        let end = Cursor {
            seq: fetched.loaded.stored.head,
            rev: fetched.loaded.stored.rev,
        };
        let newest = fetched.recent.into_iter().map(|row| row.msg).collect();
        let LoadedRoom { fence, stored } = fetched.loaded;
        let room = Room::load(stored, fetched.blocked, Arc::clone(&environment.limits));
        Self::begin(room, incarnation, fence, end, newest, followers, now)
    }

    fn begin(
        room: Room,
        incarnation: u64,
        fence: Fence,
        end: Cursor,
        newest: Vec<Message>,
        followers: Followers,
        now: u64,
    ) -> Self {
        let id = room.id();
        Self {
            id,
            incarnation,
            fence,
            recent: Recent::new(id, end, newest),
            room,
            followers,
            pending: DurableLine::default(),
            keys: Keys::default(),
            edit_queues: HashMap::new(),
            presence_due_at: None,
            presence_sent_at: 0,
            used_at: now,
            retaining: false,
            answered: Vec::new(),
        }
    }

    /// Room in the store for what a call may write. Asked before the rules decide: a call that is refused here has changed
    /// nothing.
    fn reserve(context: &Context) -> Result<Reservation, Fault> {
        let reserved = context.environment.rooms.reserve(WRITE_BYTES);
        reserved.map_err(Fault::from)
    }

    /// Hands the rows of a decision to the store, and puts its answer and events in line. Whatever may write has
    /// reserved room for it.
    fn commit(
        &mut self,
        context: &Context,
        reservation: Option<Reservation>,
        effects: Effects,
        key: Option<Keyed>,
        answer: Answer,
        now: u64,
    ) {
        let write = RoomWrite {
            room: self.id,
            fence: self.fence,
            rows: effects.rows,
            key,
        };
        let is_durable = write.is_empty();
        let pending = Pending {
            answer,
            events: effects.events,
        };
        self.pending.push(pending, is_durable);
        if is_durable {
            self.settle(now);
            return;
        }
        let reservation = reservation.expect("what writes has reserved room for it");
        let rooms = &context.environment.rooms;
        context.hand_over(self.id, self.incarnation, |done| {
            rooms.write(reservation, write, done);
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
        now: u64,
    ) {
        let key = requester
            .key
            .as_ref()
            .map(|key| keyed(requester.user, key, body.to_vec(), now));
        let answer = Answer::Body(requester, body);
        self.commit(context, reservation, effects, key, answer, now);
    }

    fn settle(&mut self, now: u64) {
        while let Some(pending) = self.pending.next_durable() {
            self.complete(pending, now);
        }
    }

    fn complete(&mut self, pending: Pending, now: u64) {
        match pending.answer {
            Answer::Body(requester, body) => self.answer(requester, &body, now),
            Answer::View(opening) => self.open(opening, now),
            Answer::Closed(closing) => self.close(closing, now),
        }
        for event in pending.events {
            self.publish(event, now);
        }
    }

    fn answer(&mut self, requester: Requester, body: &Bytes, now: u64) {
        let frame = reply_frame(requester.call, body);
        self.answered
            .extend(requester.recipient.reply_corked(requester.call, frame));
        if let Some(key) = requester.key {
            for (recipient, call) in self.keys.done(requester.user, &key.key, body.clone(), now) {
                recipient.reply(call, reply_frame(call, body));
            }
        }
    }

    fn refuse_requester(&mut self, requester: &Requester, fault: &Fault) {
        requester.recipient.refuse(requester.call, fault);
        if let Some(key) = &requester.key {
            for (recipient, call) in self.keys.refused(requester.user, &key.key) {
                recipient.refuse(call, fault);
            }
        }
    }
}

/// The result to store under a call's key: player, key and record.
type Keyed = (UserId, String, KeyRecord);

fn keyed(user: UserId, key: &IdempotencyKey, reply: Vec<u8>, now: u64) -> Keyed {
    let record = KeyRecord {
        method: key.method,
        request_hash: key.request_hash,
        reply,
        at: now,
    };
    (user, key.key.clone(), record)
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
