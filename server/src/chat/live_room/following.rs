//! Following a room: the first look, becoming live, and the end of it.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{self, Cursor, Stream};
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::limits::ROOMS_OPEN_MAX;
use pitturu_protocol::types::chat::{OpenRoom, RoomView};
use pitturu_protocol::types::system::Done;
use pitturu_rules::rooms::{Actor, Effects, Room};
use pitturu_store::reservation::Reservation;

use super::super::Environment;
use super::super::command::{Close, Create, Follow, NewRoom, ReplyTo};
use super::super::request::FollowRequest;
use super::{Answer, Context, LiveRoom, body, keyed, reply_frame};
use crate::connections::call::PendingCall;
use crate::connections::connection::{Connection, FollowRefused};
use crate::connections::opening::Opening;
use crate::owners::followers::Followers;

/// A connection about to follow the room.
#[derive(Debug)]
pub(super) struct PendingOpen {
    pub(super) connection: Arc<Connection>,
    pub(super) user: UserId,
    pub(super) cursor: Option<Cursor>,
    pub(super) to: ReplyTo,
}

/// A connection about to follow the room no longer.
#[derive(Debug)]
pub(super) struct PendingClose {
    pub(super) connection: Arc<Connection>,
    pub(super) call: PendingCall,
}

impl PendingOpen {
    pub(super) fn refuse(self, fault: &Fault) {
        refuse(&self.connection, self.to, fault);
    }
}

fn refuse(connection: &Connection, to: ReplyTo, fault: &Fault) {
    match to {
        ReplyTo::Call(call) => connection.refuse(call, fault),
        // The task may have gone with its connection.
        ReplyTo::Task(to) => drop(to.send(Err(fault.clone()))),
    }
}

/// Refuses whoever wanted to begin following.
pub(super) fn refuse_follow(follow: Follow, fault: &Fault) {
    refuse(&follow.connection, follow.to, fault);
}

impl LiveRoom {
    /// A new room, to be committed by [`Self::commit_new`].
    pub(super) fn begin_new(
        environment: &Environment,
        incarnation: u64,
        create: &Create,
        now: u64,
    ) -> Result<(Self, Effects), Fault> {
        let limits = Arc::clone(&environment.limits);
        let fence = environment.rooms.fence();
        let (id, actor) = (create.room, &create.actor);
        let (room, effects) = match &create.new_room {
            NewRoom::Room(request) => Room::create(id, actor, request.clone(), limits)?,
            NewRoom::Direct(peer, name) => Room::create_direct(id, actor, *peer, name, limits),
        };
        let end = Cursor::default();
        let live = Self::begin(
            room,
            incarnation,
            fence,
            end,
            Vec::new(),
            Followers::default(),
            now,
        );
        Ok((live, effects))
    }

    /// Hands a new room to the store; its creator is answered when it is durable.
    pub(super) fn commit_new(
        &mut self,
        context: &Context,
        effects: Effects,
        reservation: Reservation,
        create: Create,
        now: u64,
    ) {
        let user = create.actor.user;
        // A repetition finds the room by its id and needs no stored reply.
        let key = create
            .key
            .as_ref()
            .map(|key| keyed(user, key, Vec::new(), now));
        let open = PendingOpen {
            user,
            connection: create.connection,
            cursor: None,
            to: create.to,
        };
        let answer = Answer::View(open);
        self.commit(context, Some(reservation), effects, key, answer, now);
    }

    /// Opens or joins. Answers once everything decided before is durable.
    pub(super) fn handle_follow(&mut self, context: &Context, follow: Follow, now: u64) {
        self.used_at = now;
        let _entered = follow.span.clone().entered();
        if self.room.is_deleted() {
            refuse_follow(follow, &super::no_such_room());
            return;
        }
        let (user, connection) = (follow.actor.user, follow.connection);
        let allowed = match &follow.request {
            FollowRequest::OpenRoom(request) => self
                .open_at(user, request)
                .map(|cursor| (None, Effects::default(), cursor)),
            FollowRequest::JoinRoom(_) => self
                .join(context, &follow.actor)
                .map(|(reservation, effects)| (Some(reservation), effects, None)),
        };
        match allowed {
            Ok((reservation, effects, cursor)) => {
                let open = PendingOpen {
                    connection,
                    user,
                    cursor,
                    to: follow.to,
                };
                let answer = Answer::View(open);
                self.commit(context, reservation, effects, None, answer, now);
            }
            Err(fault) => refuse(&connection, follow.to, &fault),
        }
    }

    fn open_at(&self, user: UserId, request: &OpenRoom) -> Result<Option<Cursor>, Fault> {
        self.room.member(user)?;
        let end = self.recent.end();
        Ok(
            (request.seq.is_some() || request.rev.is_some()).then(|| Cursor {
                seq: request.seq.unwrap_or(end.seq),
                rev: request.rev.unwrap_or(end.rev),
            }),
        )
    }

    fn join(&mut self, context: &Context, actor: &Actor) -> Result<(Reservation, Effects), Fault> {
        let reservation = Self::reserve(context)?;
        let mut effects = Effects::default();
        self.room.join(actor, &mut effects)?;
        Ok((reservation, effects))
    }

    /// Ends following once everything decided before is durable: an opening that waits for that is closed as well.
    pub(super) fn handle_close(&mut self, context: &Context, close: Close, now: u64) {
        self.used_at = now;
        let _entered = close.span.entered();
        if self.room.is_deleted() {
            close.connection.refuse(close.call, &super::no_such_room());
            return;
        }
        let answer = Answer::Closed(PendingClose {
            connection: close.connection,
            call: close.call,
        });
        self.commit(context, None, Effects::default(), None, answer, now);
    }

    pub(super) fn close(&mut self, closing: PendingClose, now: u64) {
        let PendingClose { connection, call } = closing;
        connection.unfollow(self.id);
        connection.outbox.forget_cut(self.id);
        self.detach(connection.id, now);
        connection.reply_corked(call, reply_frame(call, &body(&Done {})));
        self.answered.push(connection);
    }

    pub(super) fn open(&mut self, open: PendingOpen, now: u64) {
        let me = match self.room.membership(open.user) {
            Ok(me) => me,
            Err(fault) => return open.refuse(&fault),
        };
        let number = match open.connection.follow(self.id, open.user) {
            Ok(number) => number,
            Err(FollowRefused::Gone) => return open.refuse(&Fault::of(Code::Unauthenticated)),
            Err(FollowRefused::TooMany) => {
                let text = format!("at most {ROOMS_OPEN_MAX} rooms open on one connection");
                return open.refuse(&Fault::new(Code::LimitReached, text));
            }
        };
        if self
            .followers
            .add(Arc::clone(&open.connection), open.user, number)
        {
            self.presence_changed(now);
        }
        let end = self.recent.end();
        let view = RoomView {
            info: self.room.info(open.user, end.seq),
            me,
            rev: end.rev,
            online: u32::try_from(self.followers.online()).unwrap_or(u32::MAX),
        };
        let from = open.cursor.map_or(end, |cursor| Cursor {
            seq: cursor.seq.min(end.seq),
            rev: cursor.rev.min(end.rev),
        });
        match open.to {
            ReplyTo::Call(call) => {
                let frame = frame::reply(call.number, &view);
                open.connection.reply(call, frame.into());
                self.attach(&open.connection, number, from);
            }
            ReplyTo::Task(to) => {
                open.connection.outbox.cut(self.id, number, from);
                drop(to.send(Ok(view)));
            }
        }
    }

    /// Makes a connection live if what it lacks is still in memory; otherwise its driver reads on from the store.
    pub(super) fn attach(
        &mut self,
        connection: &Arc<Connection>,
        opening: Opening,
        cursor: Cursor,
    ) {
        if !self.followers.is_open(connection.id, opening) {
            return;
        }
        match self.recent.after(cursor) {
            None => connection.outbox.cut(self.id, opening, cursor),
            Some(steps) => {
                if self
                    .followers
                    .catch_up(connection.id, self.id, cursor, &steps)
                {
                    let end = self.recent.end();
                    let frame = frame::position(Stream::Room(self.id), end, end.seq, true);
                    connection.outbox.control(frame.into());
                }
            }
        }
    }

    /// A connection follows the room no longer.
    pub(super) fn detach(&mut self, conn: ConnectionId, now: u64) {
        if self.followers.remove(conn) {
            self.used_at = now;
            self.presence_changed(now);
        }
    }
}
