//! Following a room: the first look, becoming live, and the end of it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::{self, Cursor, Stream};
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::types::chat::{Membership, OpenRoom, RoomInfo, RoomView};
use pitturu_protocol::types::system::Done;
use pitturu_rules::rooms::{Actor, Effects};
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;
use pitturu_store::entities::KeyedResult;
use pitturu_store::reservation::Reservation;

use super::super::command::{Close, Follow, ReplyTo, Report};
use super::super::joins::Joining;
use super::super::request::FollowRequest;
use super::{Answer, Asked, Context, LiveRoom, Waiter, body, reply_frame};
use crate::connections::call::PendingCall;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::{Connection, Place};
use crate::connections::opening::Opening;
use crate::connections::outbox::Cut;
use crate::owners::keys::{self, Seen, of_this_request};

/// A connection about to follow the room.
#[derive(Debug)]
pub(super) struct PendingOpen {
    /// Where it is to be open.
    pub(super) place: Place,
    /// Counts the room among those of the player until it is open.
    pub(super) joining: Option<Joining>,
    pub(super) cursor: Option<Cursor>,
    /// What the room was when this was decided, and the player's place in it.
    pub(super) shown: (RoomInfo, Membership),
    /// The key of the call, if a result is stored under it.
    pub(super) key: Option<IdempotencyKey>,
    pub(super) to: ReplyTo,
}

/// What is needed to follow.
struct Allowed {
    /// Where it will be open.
    place: Place,
    /// Room in the store, if something changes.
    reservation: Option<Reservation>,
    effects: Effects,
    /// Where to begin.
    cursor: Option<Cursor>,
}

/// A connection about to follow the room no longer.
#[derive(Debug)]
pub(super) struct PendingClose {
    pub(super) connection: Arc<Connection>,
    pub(super) call: PendingCall,
}

impl PendingOpen {
    pub(super) fn refuse(self, fault: &Fault) {
        refuse(self.place.connection(), self.to, fault);
    }
}

fn refuse(connection: &Arc<Connection>, to: ReplyTo, fault: &Fault) {
    match to {
        ReplyTo::Call(call) => connection.refuse(call, fault),
        // The task may have gone with its connection.
        ReplyTo::Task(to) => to.answer(Err(fault.clone())),
    }
}

/// Refuses whoever wanted to begin following.
pub(super) fn refuse_follow(follow: Follow, fault: &Fault) {
    refuse(&follow.connection, follow.to, fault);
}

impl LiveRoom {
    /// Puts an opening in line. A call that made or joined the room leaves an empty result under its key, also if the player was
    /// a member: what it shows a repetition is the room as it is then, and nobody joins by it who was put out meanwhile.
    pub(super) fn commit_open(
        &mut self,
        context: &Context,
        reservation: Option<Reservation>,
        effects: Effects,
        open: PendingOpen,
        now: Steady,
    ) {
        // What only opens leaves nothing.
        let key = open.key.as_ref().filter(|_| reservation.is_some());
        let result = key.map(|key| keys::result(open.place.user(), key, Vec::new()));
        self.commit(
            context,
            reservation,
            effects,
            result,
            Answer::View(Box::new(open)),
            now,
        );
    }

    /// Opens or joins. Answers once everything decided before is durable. A direct room is shown under the other player's name, which
    /// has to be known first.
    pub(super) fn handle_follow(&mut self, context: &Context, follow: Follow, now: Steady) {
        let Some(peer) = self.peer_of(follow.actor.user) else {
            return self.follow(context, follow, now);
        };
        let players = context.environment.players.clone();
        if let Some(name) = players.known_name(peer) {
            self.peer_names.insert(peer, name);
            return self.follow(context, follow, now);
        }
        self.held.hold(follow.actor.user);
        let reporter = context.reporter(self.id, self.life);
        tokio::spawn(async move {
            let name = players.display_name(peer).await;
            reporter.report(Report::Named(Box::new(follow), name));
        });
    }

    /// The name is known now.
    pub(super) fn named(
        &mut self,
        context: &Context,
        follow: Follow,
        name: Result<Option<Arc<str>>, StoreError>,
        now: Steady,
    ) {
        match (name, self.peer_of(follow.actor.user)) {
            (Ok(name), Some(peer)) => {
                self.peer_names.insert(peer, name.unwrap_or_default());
                self.follow(context, follow, now);
            }
            (Ok(_), None) => {
                let asked = Asked::Follow(Box::new(follow));
                self.refuse_decided(context, asked, super::no_such_room(), now);
            }
            (Err(error), _) => refuse_follow(follow, &error.into()),
        }
    }

    /// The other player of a direct room.
    fn peer_of(&self, user: UserId) -> Option<UserId> {
        let [one, other] = self.room.row().peers?;
        match user {
            _ if user == one => Some(other),
            _ if user == other => Some(one),
            _ => None,
        }
    }

    /// What the room shows to a player, and the player's place in it.
    pub(super) fn shown_to(&self, actor: &Actor) -> Result<(RoomInfo, Membership), Fault> {
        let user = actor.user;
        let place = self.room.membership(actor)?;
        let mut info = self.room.info(user, self.room.head());
        if let Some(name) = self
            .peer_of(user)
            .and_then(|peer| self.peer_names.get(&peer))
        {
            info.name = name.to_string();
        }
        Ok((info, place))
    }

    fn follow(&mut self, context: &Context, follow: Follow, now: Steady) {
        let user = follow.actor.user;
        let Some(key) = follow.key.clone() else {
            self.begin_following(context, follow, now);
            return;
        };
        let mut follow = Some(Box::new(follow));
        let seen = self.keys.see(user, &key, self.room.head(), || {
            Waiter::Follow(follow.take().expect("it is taken once"))
        });
        let Some(follow) = follow else {
            return;
        };
        match seen {
            Ok(Seen::First | Seen::Waiting) => self.begin_following(context, *follow, now),
            Ok(Seen::Before(_)) => self.open_again(context, *follow, now),
            Ok(Seen::LookUp) => {
                let entities = context.environment.rooms.entities();
                let mut recalling = entities.recall(self.journal.entity(), user, &key.key);
                if let Some(found) = (&mut recalling).now_or_never() {
                    self.follow_looked_up(context, *follow, found, now);
                    return;
                }
                self.held.hold(user);
                let reporter = context.reporter(self.id, self.life);
                tokio::spawn(async move {
                    let found = recalling.await;
                    reporter.report(Report::FollowRecalled(follow, found));
                });
            }
            Err(fault) => refuse_follow(*follow, &fault),
        }
    }

    /// The store has said whether a call that makes or joins the room was carried out before.
    pub(super) fn follow_looked_up(
        &mut self,
        context: &Context,
        follow: Follow,
        found: Result<Option<KeyedResult>, StoreError>,
        now: Steady,
    ) {
        let Some(key) = follow.key.clone() else {
            return;
        };
        let user = follow.actor.user;
        let found = found.map_err(Fault::from);
        match found.and_then(|found| of_this_request(found, &key)) {
            Ok(None) => self.begin_following(context, follow, now),
            Ok(Some(body)) => {
                let waiters = self
                    .keys
                    .done(user, &key, body.clone(), self.room.head(), now);
                self.open_again(context, follow, now);
                self.answer_waiters(waiters, &body);
                self.settle(context, now);
            }
            Err(fault) => self.refuse_asked(Asked::Follow(Box::new(follow)), &fault),
        }
    }

    /// A repetition of a call that made or joined the room: what it did is not done again. It opens the room as it is now.
    pub(super) fn open_again(&mut self, context: &Context, follow: Follow, now: Steady) {
        let open = OpenRoom {
            room: self.id,
            seq: None,
            rev: None,
        };
        let again = Follow {
            request: FollowRequest::OpenRoom(open),
            key: None,
            ..follow
        };
        self.begin_following(context, again, now);
    }

    fn begin_following(&mut self, context: &Context, follow: Follow, now: Steady) {
        let _entered = follow.span.clone().entered();
        let allowed = self.allowed(context, &follow);
        let shown = allowed.and_then(|allowed| Ok((allowed, self.shown_to(&follow.actor)?)));
        match shown {
            Ok((allowed, shown)) => {
                let Allowed {
                    place,
                    reservation,
                    effects,
                    cursor,
                } = allowed;
                let open = PendingOpen {
                    place,
                    joining: follow.joining,
                    cursor,
                    shown,
                    key: follow.key,
                    to: follow.to,
                };
                self.commit_open(context, reservation, effects, open, now);
            }
            Err(fault) => {
                self.refuse_decided(context, Asked::Follow(Box::new(follow)), fault, now);
            }
        }
    }

    /// What following asks for, if it is allowed. Nothing is refused after it but for a connection that has gone.
    fn allowed(&mut self, context: &Context, follow: &Follow) -> Result<Allowed, Fault> {
        if !self.room.is_known_to(&follow.actor) {
            return Err(super::no_such_room());
        }
        let user = follow.actor.user;
        match &follow.request {
            FollowRequest::OpenRoom(request) => {
                let cursor = self.open_at(&follow.actor, request)?;
                Ok(Allowed {
                    place: follow.connection.keep_place(self.id, user)?,
                    reservation: None,
                    effects: Effects::default(),
                    cursor,
                })
            }
            FollowRequest::JoinRoom(_) => {
                self.room.may_join(&follow.actor)?;
                let place = follow.connection.keep_place(self.id, user)?;
                let (reservation, effects) = self.join(context, &follow.actor)?;
                Ok(Allowed {
                    place,
                    reservation: Some(reservation),
                    effects,
                    cursor: None,
                })
            }
        }
    }

    fn open_at(&self, actor: &Actor, request: &OpenRoom) -> Result<Option<Cursor>, Fault> {
        self.room.member(actor)?;
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
    pub(super) fn handle_close(&mut self, context: &Context, close: Close, now: Steady) {
        if !self.room.is_known_to(&close.actor) {
            let asked = Asked::Close(PendingClose {
                connection: close.connection,
                call: close.call,
            });
            self.refuse_decided(context, asked, super::no_such_room(), now);
            return;
        }
        let _entered = close.span.entered();
        let answer = Answer::Closed(PendingClose {
            connection: close.connection,
            call: close.call,
        });
        self.commit(context, None, Effects::default(), None, answer, now);
    }

    pub(super) fn close(&mut self, closing: PendingClose, now: Steady) {
        let PendingClose { connection, call } = closing;
        connection.unfollow(self.id);
        connection.outbox.forget_cut(self.id);
        self.detach(connection.id, now);
        connection.reply_corked(call, reply_frame(call, &body(&Done {})));
        self.answered.push(connection);
    }

    /// Tells an opening's outcome: the room as it was when that was decided. What was decided after it follows as events.
    pub(super) fn open(&mut self, open: PendingOpen, head: u64, now: Steady) {
        let user = open.place.user();
        if let Some(key) = &open.key {
            let waiters = self.keys.done(user, key, Bytes::new(), head, now);
            self.answer_waiters(waiters, &Bytes::new());
        }
        let connection = Arc::clone(open.place.connection());
        let number = match open.place.open() {
            Ok(number) => number,
            Err(refused) => return open.refuse(&refused.into()),
        };
        // It counts as open from here on.
        drop(open.joining);
        let shown_before = self.followers.online();
        let is_new = self.followers.add(Arc::clone(&connection), user, number);
        let end = self.recent.end();
        let (info, me) = open.shown;
        let view = RoomView {
            info,
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
                connection.reply(call, frame.into());
                self.attach(&connection, number, from);
            }
            ReplyTo::Task(to) => {
                connection.outbox.cut(Cut {
                    room: self.id,
                    opening: number,
                    cursor: from,
                    until: Some(end),
                });
                to.answer(Ok(view));
            }
        }
        if self.followers.online() != shown_before {
            self.presence_changed(now);
        } else if is_new {
            // The others see nothing new, and hear nothing: an event would tell them that somebody has come.
            self.tell_presence_to(&connection);
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
            None => connection.outbox.cut(Cut {
                room: self.id,
                opening,
                cursor,
                until: Some(self.recent.end()),
            }),
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
    pub(super) fn detach(&mut self, conn: ConnectionId, now: Steady) {
        let shown_before = self.followers.online();
        if self.followers.remove(conn) {
            self.used_at = now;
        }
        if self.followers.online() != shown_before {
            self.presence_changed(now);
        }
    }
}
