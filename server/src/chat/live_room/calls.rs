//! Each call of a room, decided by its rules.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::types::system::Done;
use pitturu_rules::pages::page_items;
use pitturu_rules::rooms::{Actor, Effects};
use pitturu_store::StoreError;

use super::super::command::{Open, ReplyTo, RoomCall};
use super::super::history;
use super::super::request::RoomRequest;
use super::opening::Opening;
use super::{Answer, Asker, LiveRoom, body, reply_frame};
use crate::owners::keys::Seen;
use crate::owners::shard::Context;

impl LiveRoom {
    /// Decides a call. `Err`: the store did not take its rows, and the room must begin a new life.
    pub fn handle_call(
        &mut self,
        context: &Context,
        mut call: RoomCall,
        now: u64,
    ) -> Result<(), StoreError> {
        self.used_at = now;
        if matches!(
            call.request,
            RoomRequest::JoinRoom(_) | RoomRequest::OpenRoom(_)
        ) {
            // Repeating these is harmless, and a stored view would not open the room.
            call.key = None;
        }
        let asker = Asker {
            connection: Arc::clone(&call.connection),
            call: call.call,
            user: call.actor.user,
            key: call.key.take(),
        };
        if self.room.is_deleted() {
            super::refuse(&asker.connection, asker.call, &super::no_such_room());
            return Ok(());
        }
        if let Some(key) = &asker.key {
            let waiter = (Arc::clone(&asker.connection), asker.call);
            match self.keys.see(asker.user, key, call.actor.now, now, waiter) {
                Ok(Seen::First) => {}
                Ok(Seen::Waiting) => return Ok(()),
                Ok(Seen::Before(body)) => {
                    let frame = reply_frame(asker.call, &body);
                    asker.connection.outbox.answer(asker.call, frame);
                    return Ok(());
                }
                Err(fault) => {
                    super::refuse(&asker.connection, asker.call, &fault);
                    return Ok(());
                }
            }
        }
        self.dispatch(context, asker, call, now)
    }

    fn dispatch(
        &mut self,
        context: &Context,
        asker: Asker,
        call: RoomCall,
        now: u64,
    ) -> Result<(), StoreError> {
        match &call.request {
            RoomRequest::EditMessage(request) => {
                let seq = request.seq;
                self.edit(context, asker, call, seq, now)
            }
            RoomRequest::DeleteMessage(request) => {
                let seq = request.seq;
                self.edit(context, asker, call, seq, now)
            }
            RoomRequest::React(request) => {
                let seq = request.seq;
                self.edit(context, asker, call, seq, now)
            }
            RoomRequest::OpenRoom(request) => {
                let end = self.recent.end();
                let cursor = (request.seq.is_some() || request.rev.is_some()).then(|| Cursor {
                    seq: request.seq.unwrap_or(end.seq),
                    rev: request.rev.unwrap_or(end.rev),
                });
                let open = Open {
                    room: self.id,
                    connection: call.connection,
                    actor: call.actor,
                    cursor,
                    to: ReplyTo::Call(call.call),
                };
                self.handle_open(context, open, now);
                Ok(())
            }
            RoomRequest::JoinRoom(_) => self.join(context, call, now),
            RoomRequest::ReadHistory(_) | RoomRequest::ListReactions(_) => {
                self.read(context, asker, call);
                Ok(())
            }
            _ => self.decide(context, asker, call, now),
        }
    }

    fn join(&mut self, context: &Context, call: RoomCall, now: u64) -> Result<(), StoreError> {
        let mut effects = Effects::default();
        if let Err(fault) = self.room.join(&call.actor, &mut effects) {
            super::refuse(&call.connection, call.call, &fault);
            return Ok(());
        }
        let opening = Opening {
            connection: call.connection,
            user: call.actor.user,
            cursor: None,
            to: ReplyTo::Call(call.call),
        };
        self.commit(context, effects, None, Answer::View(opening), now)
    }

    fn read(&mut self, context: &Context, asker: Asker, call: RoomCall) {
        let limit = match &call.request {
            RoomRequest::ReadHistory(request) => page_items(request.limit),
            RoomRequest::ListReactions(request) => page_items(request.limit),
            _ => Err(Fault::of(Code::Internal)),
        };
        let allowed = self.room.member(call.actor.user).and(limit);
        let limit = match allowed {
            Ok(limit) => limit,
            Err(fault) => {
                self.refuse(&asker, &fault);
                return;
            }
        };
        let first = self.room.first();
        match call.request {
            RoomRequest::ReadHistory(request) => {
                let read = history::Read {
                    room: self.id,
                    first,
                    end: self.recent.end(),
                    limit,
                    from: request.from,
                };
                if let Some(history) = read.from_memory(&self.recent) {
                    let frame = reply_frame(asker.call, &body(&history));
                    asker.connection.outbox.answer(asker.call, frame);
                    return;
                }
                let messages = Arc::clone(&context.messages);
                tokio::spawn(async move {
                    let outcome = read.from_store(messages.as_ref()).await;
                    history::answer(&asker.connection, asker.call, outcome);
                });
            }
            RoomRequest::ListReactions(request) => {
                let messages = Arc::clone(&context.messages);
                tokio::spawn(async move {
                    let outcome = history::reactors(messages.as_ref(), &request, limit).await;
                    history::answer(&asker.connection, asker.call, outcome);
                });
            }
            _ => self.refuse(&asker, &Fault::of(Code::Internal)),
        }
    }

    /// Calls that the rules decide from memory alone.
    fn decide(
        &mut self,
        context: &Context,
        asker: Asker,
        call: RoomCall,
        now: u64,
    ) -> Result<(), StoreError> {
        let mut effects = Effects::default();
        match self.outcome(&call.actor, call.request, call.target_name, &mut effects) {
            Ok(outcome) => {
                if matches!(outcome, Outcome::Closed) {
                    asker.connection.unfollow(self.id);
                    asker.connection.outbox.forget_cut(self.id);
                    self.detach(asker.connection.id, now);
                }
                if matches!(outcome, Outcome::Typed(true)) {
                    self.tell_typing(&call.actor);
                }
                let body = match outcome {
                    Outcome::Body(body) => body,
                    Outcome::UpdatedRoom => {
                        body(&self.room.info(asker.user, self.recent.end().seq))
                    }
                    Outcome::Done | Outcome::Closed | Outcome::Typed(_) => body(&Done {}),
                };
                self.commit_reply(context, effects, asker, body, now)
            }
            Err(fault) => {
                self.refuse(&asker, &fault);
                Ok(())
            }
        }
    }

    fn outcome(
        &mut self,
        actor: &Actor,
        request: RoomRequest,
        target_name: Option<String>,
        effects: &mut Effects,
    ) -> Result<Outcome, Fault> {
        let room = &mut self.room;
        let name = target_name.unwrap_or_default();
        match request {
            RoomRequest::SendMessage(request) => room
                .send(actor, request, effects)
                .map(|sent| Outcome::Body(body(&sent))),
            RoomRequest::MarkRead(request) => room
                .mark_read(actor, request.seq, effects)
                .map(|marker| Outcome::Body(body(&marker))),
            RoomRequest::SendEphemeral(request) => room
                .send_ephemeral(actor, request, effects)
                .map(Outcome::done),
            RoomRequest::Typing(_) => room.typing(actor).map(Outcome::Typed),
            RoomRequest::CloseRoom(_) => Ok(Outcome::Closed),
            RoomRequest::LeaveRoom(_) => room.leave(actor, effects).map(Outcome::done),
            RoomRequest::InviteToRoom(request) => room
                .invite(actor, request.user, &name, effects)
                .map(Outcome::done),
            RoomRequest::KickMember(request) => {
                room.kick(actor, request, effects).map(Outcome::done)
            }
            RoomRequest::BanMember(request) => {
                room.ban(actor, request, &name, effects).map(Outcome::done)
            }
            RoomRequest::UnbanMember(request) => {
                room.unban(actor, request.user, effects).map(Outcome::done)
            }
            RoomRequest::MuteMember(request) => {
                room.mute(actor, &request, effects).map(Outcome::done)
            }
            RoomRequest::SetMemberRole(request) => {
                room.set_role(actor, &request, effects).map(Outcome::done)
            }
            RoomRequest::UpdateRoom(request) => room
                .update(actor, request, effects)
                .map(|()| Outcome::UpdatedRoom),
            RoomRequest::DeleteRoom(_) => room.delete_room(actor, effects).map(Outcome::done),
            RoomRequest::ListMembers(request) => {
                let followers = &self.followers;
                room.list_members(
                    actor,
                    request.online,
                    request.after,
                    page_items(request.limit)?,
                    |user| followers.has_user(user),
                )
                .map(|members| Outcome::Body(body(&members)))
            }
            RoomRequest::ListBans(request) => room
                .list_bans(actor, request.after, page_items(request.limit)?)
                .map(|bans| Outcome::Body(body(&bans))),
            RoomRequest::JoinRoom(_)
            | RoomRequest::OpenRoom(_)
            | RoomRequest::EditMessage(_)
            | RoomRequest::DeleteMessage(_)
            | RoomRequest::React(_)
            | RoomRequest::ReadHistory(_)
            | RoomRequest::ListReactions(_) => Err(Fault::of(Code::Internal)),
        }
    }
}

enum Outcome {
    Body(Bytes),
    Done,
    UpdatedRoom,
    Closed,
    Typed(bool),
}

impl Outcome {
    fn done((): ()) -> Self {
        Self::Done
    }
}
