//! A room in its shard: rules, recent messages, followers, and what waits for the disk.
//!
//! A call is decided at once on the room's state in memory, its rows are handed to the store, and its answer and events
//! wait in line. The store reports in order, so the line moves from its front: everything that is told has
//! become durable, in the room's order.

mod calls;
mod edits;
mod opening;
mod retention;
mod telling;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{CallId, Cursor, ServerFrame};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::{Effects, Happened, Room};
use pitturu_store::StoreError;
use pitturu_store::idempotency::KeyRecord;
use pitturu_store::rooms::{Fence, LoadedRoom, RoomWrite};
use serde::Serialize;

use self::edits::Working;
use self::opening::Opening;
use super::command::{Completion, Fetched};
use super::recent::Recent;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::Connection;
use crate::owners::followers::Followers;
use crate::owners::keys::Keys;
use crate::owners::shard::Context;

/// How long a room without followers stays in memory, in milliseconds.
const IDLE_MS: u64 = 30_000;

/// Who gets an answer, and under which key it is kept.
#[derive(Debug)]
struct Asker {
    connection: Arc<Connection>,
    call: CallId,
    user: UserId,
    key: Option<IdempotencyKey>,
}

#[derive(Debug)]
enum Answer {
    /// The encoded body of a reply.
    Body(Asker, Bytes),
    /// An opened room.
    View(Opening),
}

/// A decision on its way to the disk.
#[derive(Debug)]
struct Pending {
    written: bool,
    answer: Answer,
    happened: Vec<Happened>,
}

/// A room in its shard.
#[derive(Debug)]
pub struct LiveRoom {
    id: RoomId,
    life: u64,
    /// Which state of the store this life was loaded from.
    fence: Fence,
    room: Room,
    recent: Recent,
    followers: Followers,
    pending: VecDeque<Pending>,
    keys: Keys,
    working: HashMap<u64, Working>,
    presence_due_at: Option<u64>,
    presence_sent_at: u64,
    used_at: u64,
    retaining: bool,
    /// Connections whose outbox holds an answer until [`Self::flush`].
    answered: Vec<Arc<Connection>>,
}

impl LiveRoom {
    /// Takes a room up as the store has it. `followers` stayed from an earlier life, cut.
    pub fn new(
        context: &Context,
        life: u64,
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
        let room = Room::load(stored, fetched.blocked, Arc::clone(&context.limits));
        Self::begin(room, life, fence, end, newest, followers, now)
    }

    fn begin(
        room: Room,
        life: u64,
        fence: Fence,
        end: Cursor,
        newest: Vec<pitturu_protocol::types::chat::Message>,
        followers: Followers,
        now: u64,
    ) -> Self {
        let id = room.id();
        Self {
            id,
            life,
            fence,
            recent: Recent::new(id, end, newest),
            room,
            followers,
            pending: VecDeque::new(),
            keys: Keys::default(),
            working: HashMap::new(),
            presence_due_at: None,
            presence_sent_at: 0,
            used_at: now,
            retaining: false,
            answered: Vec::new(),
        }
    }

    /// Which life of the room in memory this is.
    pub const fn life(&self) -> u64 {
        self.life
    }

    /// Hands the rows of a decision to the store, and puts its answer and events in line. `Err`: the store did not take
    /// them, so the state in memory is ahead of it, and the room must begin a new life.
    fn commit(
        &mut self,
        context: &Context,
        effects: Effects,
        key: Option<Keyed>,
        answer: Answer,
        now: u64,
    ) -> Result<(), StoreError> {
        let write = RoomWrite {
            room: self.id,
            fence: self.fence,
            rows: effects.rows,
            key,
        };
        let written = write.is_empty();
        self.pending.push_back(Pending {
            written,
            answer,
            happened: effects.happened,
        });
        if written {
            self.settle(now);
            return Ok(());
        }
        let (id, life, mailbox) = (self.id, self.life, Arc::clone(&context.mailbox));
        context.write_begins();
        context
            .rooms
            .write(
                write,
                Box::new(move |result| {
                    mailbox.report_write(Completion::Written(id, life, result));
                }),
            )
            .inspect_err(|_| context.write_ends())
    }

    /// As [`Self::commit`], for a call that is answered with `body`, which is stored under its key.
    fn commit_reply(
        &mut self,
        context: &Context,
        effects: Effects,
        asker: Asker,
        body: Bytes,
        now: u64,
    ) -> Result<(), StoreError> {
        let key = asker
            .key
            .as_ref()
            .map(|key| keyed(asker.user, key, body.to_vec(), now));
        self.commit(context, effects, key, Answer::Body(asker, body), now)
    }

    /// The oldest write in line is durable.
    pub fn written(&mut self, now: u64) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| !pending.written) {
            pending.written = true;
        }
        self.settle(now);
    }

    fn settle(&mut self, now: u64) {
        while self.pending.front().is_some_and(|pending| pending.written) {
            if let Some(pending) = self.pending.pop_front() {
                self.complete(pending, now);
            }
        }
    }

    fn complete(&mut self, pending: Pending, now: u64) {
        match pending.answer {
            Answer::Body(asker, body) => self.answer(asker, &body, now),
            Answer::View(opening) => self.open(opening, now),
        }
        for happened in pending.happened {
            self.tell(happened, now);
        }
    }

    fn answer(&mut self, asker: Asker, body: &Bytes, now: u64) {
        let frame = reply_frame(asker.call, body);
        asker.connection.outbox.hold_answer(asker.call, frame);
        self.answered.push(asker.connection);
        if let Some(key) = asker.key {
            for (connection, call) in self.keys.done(asker.user, &key.key, body.clone(), now) {
                connection.outbox.answer(call, reply_frame(call, body));
            }
        }
    }

    fn refuse(&mut self, asker: &Asker, fault: &Fault) {
        refuse(&asker.connection, asker.call, fault);
        if let Some(key) = &asker.key {
            for (connection, call) in self.keys.refused(asker.user, &key.key) {
                refuse(&connection, call, fault);
            }
        }
    }

    /// Ends this life after a failed write: refuses what waits, and cuts the followers where they stand, so that they
    /// continue from what the store turns out to hold.
    pub fn fail(mut self, error: &StoreError) -> Followers {
        self.flush();
        let fault = Fault::from(error.clone());
        for pending in std::mem::take(&mut self.pending) {
            match pending.answer {
                Answer::Body(asker, _) => self.refuse(&asker, &fault),
                Answer::View(opening) => opening.refuse(fault.clone()),
            }
        }
        for (_, working) in std::mem::take(&mut self.working) {
            for asker in working.into_askers() {
                self.refuse(&asker, &fault);
            }
        }
        self.followers.cut_all(self.id, self.recent.end());
        self.followers
    }

    /// Over how many connections [`Self::flush`] has to go for what was told or answered since the last time; none when
    /// there is nothing.
    pub fn owes(&self) -> Option<usize> {
        if self.followers.has_unsent() {
            return Some(self.followers.len());
        }
        (!self.answered.is_empty()).then_some(self.answered.len())
    }

    /// Sends what was told and answered since the last time. Whoever follows what they have caused gets both at once.
    pub fn flush(&mut self) {
        self.followers.flush();
        for connection in self.answered.drain(..) {
            connection.outbox.release();
        }
    }

    /// Whether the room can leave memory: nobody follows it, nothing waits, and it was not used for a while.
    pub fn is_idle(&self, now: u64) -> bool {
        self.followers.is_empty()
            && self.pending.is_empty()
            && self.working.is_empty()
            && self.answered.is_empty()
            && now >= self.used_at + IDLE_MS
    }

    /// Whether no clock of the room runs: it need not be looked at until it is used again.
    pub fn is_quiet(&self) -> bool {
        !self.followers.is_empty()
            && self.pending.is_empty()
            && self.working.is_empty()
            && self.keys.is_empty()
            && self.presence_due_at.is_none()
    }

    /// What the passing of time asks for: presence that is due, memory to let go.
    pub fn tick(&mut self, now: u64) {
        self.keys.forget_old(now);
        if self.pending.is_empty() {
            self.working.retain(|_, working| !working.is_idle(now));
        }
        if self.presence_due_at.is_some_and(|due| due <= now) {
            self.send_presence(now);
        }
    }

    /// Notes that a direct room's players blocked each other, or no longer do.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.room.set_blocked(blocked);
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

fn reply_frame(call: CallId, body: &Bytes) -> Bytes {
    ServerFrame::Reply { call, body }.encode().into()
}

/// Answers a call with a fault.
pub(crate) fn refuse(connection: &Connection, call: CallId, fault: &Fault) {
    let frame = ServerFrame::Fault {
        call,
        fault: fault.clone(),
    };
    connection.outbox.answer(call, frame.encode().into());
}

/// The room does not exist, as far as the caller may know.
fn no_such_room() -> Fault {
    Fault::of(Code::RoomNotFound)
}
