//! Calls that a room answers without being followed by them: decided by its rules, or read.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::types::system::Done;
use pitturu_rules::pages::page_items;
use pitturu_rules::rooms::{Actor, Effects};

use super::super::command::{Ask, RoomCall};
use super::super::history;
use super::super::request::{DecideRequest, ReadRequest};
use super::{Context, LiveRoom, Requester, body, reply_frame};
use crate::owners::keys::Seen;

impl LiveRoom {
    /// Takes a call.
    pub(super) fn handle_call(&mut self, context: &Context, call: RoomCall, now: u64) {
        self.used_at = now;
        let _entered = call.span.entered();
        let actor = call.actor;
        let requester = Requester {
            recipient: call.recipient,
            call: call.call,
            user: actor.user,
            key: call.key,
        };
        if self.room.is_deleted() {
            requester
                .recipient
                .refuse(requester.call, &super::no_such_room());
            return;
        }
        if let Some(key) = &requester.key {
            let waiter = (requester.recipient.clone(), requester.call);
            match self.keys.see(requester.user, key, actor.now, now, waiter) {
                Ok(Seen::First) => {}
                Ok(Seen::Waiting) => return,
                Ok(Seen::Before(body)) => {
                    let frame = reply_frame(requester.call, &body);
                    requester.recipient.reply(requester.call, frame);
                    return;
                }
                Err(fault) => {
                    requester.recipient.refuse(requester.call, &fault);
                    return;
                }
            }
        }
        match call.ask {
            Ask::Read(request) => self.read(context, requester, request),
            Ask::Edit(request) => self.edit(context, requester, actor, request, now),
            Ask::Decide(request, target_name) => {
                self.decide(context, requester, &actor, request, target_name, now)
            }
        }
    }

    fn read(&mut self, context: &Context, requester: Requester, request: ReadRequest) {
        let limit = match &request {
            ReadRequest::ReadHistory(request) => page_items(request.limit),
            ReadRequest::ListReactions(request) => page_items(request.limit),
        };
        let limit = match self.room.member(requester.user).and(limit) {
            Ok(limit) => limit,
            Err(fault) => {
                self.refuse_requester(&requester, &fault);
                return;
            }
        };
        let messages = Arc::clone(&context.environment.messages);
        match request {
            ReadRequest::ReadHistory(request) => {
                let read = history::Read {
                    room: self.id,
                    first: self.room.first(),
                    end: self.recent.end(),
                    limit,
                    from: request.from,
                };
                if let Some(history) = read.from_memory(&self.recent) {
                    let frame = reply_frame(requester.call, &body(&history));
                    requester.recipient.reply(requester.call, frame);
                    return;
                }
                tokio::spawn(async move {
                    let outcome = read.from_store(messages.as_ref()).await;
                    history::answer(&requester.recipient, requester.call, outcome);
                });
            }
            ReadRequest::ListReactions(request) => {
                tokio::spawn(async move {
                    let outcome = history::reactors(messages.as_ref(), &request, limit).await;
                    history::answer(&requester.recipient, requester.call, outcome);
                });
            }
        }
    }

    fn decide(
        &mut self,
        context: &Context,
        requester: Requester,
        actor: &Actor,
        request: DecideRequest,
        target_name: Option<String>,
        now: u64,
    ) {
        let reservation = match requester.call.writes().then(|| Self::reserve(context)) {
            None => None,
            Some(Ok(reservation)) => Some(reservation),
            Some(Err(fault)) => {
                self.refuse_requester(&requester, &fault);
                return;
            }
        };
        let mut effects = Effects::default();
        match self.outcome(actor, request, target_name, &mut effects) {
            Ok(outcome) => {
                if matches!(outcome, Outcome::Typed(true)) {
                    self.tell_typing(actor);
                }
                let body = match outcome {
                    Outcome::Body(body) => body,
                    Outcome::UpdatedRoom => {
                        body(&self.room.info(requester.user, self.recent.end().seq))
                    }
                    Outcome::Done | Outcome::Typed(_) => body(&Done {}),
                };
                self.commit_reply(context, reservation, effects, requester, body, now);
            }
            Err(fault) => self.refuse_requester(&requester, &fault),
        }
    }

    fn outcome(
        &mut self,
        actor: &Actor,
        request: DecideRequest,
        target_name: Option<String>,
        effects: &mut Effects,
    ) -> Result<Outcome, Fault> {
        let room = &mut self.room;
        let name = target_name.unwrap_or_default();
        match request {
            DecideRequest::SendMessage(request) => room
                .send(actor, request, effects)
                .map(|sent| Outcome::Body(body(&sent))),
            DecideRequest::MarkRead(request) => room
                .mark_read(actor, request.seq, effects)
                .map(|marker| Outcome::Body(body(&marker))),
            DecideRequest::SendEphemeral(request) => room
                .send_ephemeral(actor, request, effects)
                .map(Outcome::done),
            DecideRequest::Typing(_) => room.typing(actor).map(Outcome::Typed),
            DecideRequest::LeaveRoom(_) => room.leave(actor, effects).map(Outcome::done),
            DecideRequest::InviteToRoom(request) => room
                .invite(actor, request.user, &name, effects)
                .map(Outcome::done),
            DecideRequest::KickMember(request) => {
                room.kick(actor, request, effects).map(Outcome::done)
            }
            DecideRequest::BanMember(request) => {
                room.ban(actor, request, &name, effects).map(Outcome::done)
            }
            DecideRequest::UnbanMember(request) => {
                room.unban(actor, request.user, effects).map(Outcome::done)
            }
            DecideRequest::MuteMember(request) => {
                room.mute(actor, &request, effects).map(Outcome::done)
            }
            DecideRequest::SetMemberRole(request) => {
                room.set_role(actor, &request, effects).map(Outcome::done)
            }
            DecideRequest::UpdateRoom(request) => room
                .update(actor, request, effects)
                .map(|()| Outcome::UpdatedRoom),
            DecideRequest::DeleteRoom(_) => room.delete_room(actor, effects).map(Outcome::done),
            DecideRequest::ListMembers(request) => {
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
            DecideRequest::ListBans(request) => room
                .list_bans(actor, request.after, page_items(request.limit)?)
                .map(|bans| Outcome::Body(body(&bans))),
        }
    }
}

enum Outcome {
    Body(Bytes),
    Done,
    UpdatedRoom,
    Typed(bool),
}

impl Outcome {
    fn done((): ()) -> Self {
        Self::Done
    }
}
