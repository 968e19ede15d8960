//! Calls that a room answers without being followed by them: decided by its rules, or read.

use bytes::Bytes;
use futures_util::FutureExt as _;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::chat::{ListMembers, Members};
use pitturu_protocol::types::system::Done;
use pitturu_rules::audit_log::Note;
use pitturu_rules::pages::{Page, page_items};
use pitturu_rules::rooms::{Actor, Effects, Target};
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;
use pitturu_store::entities::KeyedResult;

use super::super::command::{Ask, Erase, MessageChange, Report, RoomCall};
use super::super::history;
use super::super::request::{DecideRequest, ReadRequest};
use super::{Answer, Asked, Context, LiveRoom, Requester, Waiter, body, reply_frame};
use crate::owners::keys::{Seen, of_this_request};

impl LiveRoom {
    /// Takes a call.
    pub(super) fn handle_call(&mut self, context: &Context, call: RoomCall, now: Steady) {
        let Some(key) = &call.key else {
            self.carry_out(context, call, now);
            return;
        };
        let user = call.actor.user;
        let waiter = || Waiter::Call(call.recipient.clone(), call.call);
        match self.keys.see(user, key, self.room.head(), waiter) {
            Ok(Seen::First) => self.carry_out(context, call, now),
            Ok(Seen::Waiting) => {}
            Ok(Seen::Before(body)) => {
                call.recipient
                    .reply(call.call, reply_frame(call.call, &body));
            }
            Ok(Seen::LookUp) => self.look_up(context, call, now),
            Err(fault) => call.recipient.refuse(call.call, &fault),
        }
    }

    /// Asks the store whether a call was carried out before. A store that answers from memory costs neither a task nor a turn.
    fn look_up(&mut self, context: &Context, call: RoomCall, now: Steady) {
        let Some(key) = &call.key else {
            return;
        };
        let user = call.actor.user;
        let entities = context.environment.rooms.entities();
        let mut recalling = entities.recall(self.journal.entity(), user, &key.key);
        if let Some(found) = (&mut recalling).now_or_never() {
            self.recalled(context, call, found, now);
            return;
        }
        self.held.hold(user);
        let reporter = context.reporter(self.id, self.life);
        tokio::spawn(async move {
            let found = recalling.await;
            reporter.report(Report::Recalled(Box::new(call), found));
        });
    }

    /// The store has said whether the call was carried out before.
    pub(super) fn recalled(
        &mut self,
        context: &Context,
        call: RoomCall,
        found: Result<Option<KeyedResult>, StoreError>,
        now: Steady,
    ) {
        let Some(key) = &call.key else {
            return;
        };
        let found = found.map_err(Fault::from);
        match found.and_then(|found| of_this_request(found, key)) {
            Ok(None) => self.carry_out(context, call, now),
            Ok(Some(body)) => {
                let head = self.room.head();
                let user = call.actor.user;
                let waiters = self.keys.done(user, key, body.clone(), head, now);
                call.recipient
                    .reply(call.call, reply_frame(call.call, &body));
                self.answer_waiters(waiters, &body);
            }
            Err(fault) => self.refuse_requester(&requester(call).0, &fault),
        }
    }

    fn carry_out(&mut self, context: &Context, call: RoomCall, now: Steady) {
        let span = call.span.clone();
        let _entered = span.entered();
        let (requester, actor, ask) = requester(call);
        if !matches!(ask, Ask::Erase(_)) && !self.room.is_known_to(&actor) {
            self.refuse_decided(context, Asked::Call(requester), super::no_such_room(), now);
            return;
        }
        match ask {
            Ask::Read(request) => self.read(context, requester, &actor, request, now),
            Ask::Edit(request) => {
                let change = MessageChange::Asked(request);
                self.edit(context, requester, actor, change, now);
            }
            Ask::Erase(what) => self.erase(context, requester, actor, what, now),
            Ask::Decide(DecideRequest::ListMembers(request), _) => {
                self.list_members(context, requester, &actor, &request, now);
            }
            Ask::Decide(request, target) => {
                self.decide(context, requester, &actor, request, target, now);
            }
        }
    }

    /// Has the room forget the actor. A room that has ended has nothing of them.
    fn erase(
        &mut self,
        context: &Context,
        requester: Requester,
        actor: Actor,
        what: Erase,
        now: Steady,
    ) {
        match what {
            Erase::Player => {
                let reservation = match Self::reserve(context) {
                    Ok(reservation) => reservation,
                    Err(fault) => {
                        self.refuse_requester(&requester, &fault);
                        return;
                    }
                };
                let mut effects = Effects::default();
                self.room.erase_player(actor.user, actor.now, &mut effects);
                let body = body(&Done {});
                self.commit_reply(context, Some(reservation), effects, requester, body, now);
            }
            Erase::Author(seq) => {
                let change = MessageChange::EraseAuthor(seq);
                self.edit(context, requester, actor, change, now);
            }
        }
    }

    fn read(
        &mut self,
        context: &Context,
        requester: Requester,
        actor: &Actor,
        request: ReadRequest,
        now: Steady,
    ) {
        let limit = match &request {
            ReadRequest::ReadHistory(request) => page_items(request.limit),
            ReadRequest::ListReactions(request) => page_items(request.limit),
        };
        let limit = match self.room.member(actor).and(limit) {
            Ok(limit) => limit,
            Err(fault) => {
                self.refuse_decided(context, Asked::Call(requester), fault, now);
                return;
            }
        };
        let rooms = context.environment.rooms.clone();
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
                    let outcome = read.from_store(&rooms).await;
                    history::answer(&requester.recipient, requester.call, outcome);
                });
            }
            ReadRequest::ListReactions(request) => {
                tokio::spawn(async move {
                    let outcome = history::reactors(&rooms, &request, limit).await;
                    history::answer(&requester.recipient, requester.call, outcome);
                });
            }
        }
    }

    /// Lists members as they are now. What was decided before has to be durable first.
    fn list_members(
        &mut self,
        context: &Context,
        requester: Requester,
        actor: &Actor,
        request: &ListMembers,
        now: Steady,
    ) {
        let followers = &self.followers;
        let listed = self
            .room
            .list_members(actor, request, |user| followers.shows(user));
        match listed {
            Ok(page) => {
                let answer = Answer::Members(requester, page);
                self.commit(context, None, Effects::default(), None, answer, now);
            }
            Err(fault) => self.refuse_decided(context, Asked::Call(requester), fault, now),
        }
    }

    /// Answers with a page of members, under the names that the players have now.
    pub(super) fn answer_members(context: &Context, requester: Requester, mut page: Members) {
        let players = context.environment.players.clone();
        tokio::spawn(async move {
            let users = page.members.iter().map(|member| member.user).collect();
            let outcome = players.display_names(users).await.map(|names| {
                for member in &mut page.members {
                    let name = names.get(&member.user);
                    member.name = name.map(|name| name.to_string()).unwrap_or_default();
                }
                // With their names they may be more than a page holds.
                let (members, is_cut) = Page::of(page.members.len(), page.members).into_parts();
                let more = page.more || is_cut;
                Members { members, more }
            });
            let outcome = outcome.map_err(Fault::from);
            history::answer(&requester.recipient, requester.call, outcome);
        });
    }

    fn decide(
        &mut self,
        context: &Context,
        requester: Requester,
        actor: &Actor,
        request: DecideRequest,
        target: Option<Target>,
        now: Steady,
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
        let note = note_of(actor, &request);
        match self.outcome(actor, request, target, &mut effects) {
            Ok(outcome) => {
                // What has changed nothing was no act.
                if let Some(note) = note.filter(|_| !effects.rows.is_empty()) {
                    self.note(&requester, note, &mut effects);
                }
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
            Err(fault) => self.refuse_decided(context, Asked::Call(requester), fault, now),
        }
    }

    /// Has the audit log told of an act of the staff, in the commit of the act.
    pub(super) fn note(&self, requester: &Requester, note: Note, effects: &mut Effects) {
        tracing::info!(
            conn = %requester.recipient.id(),
            call = requester.call.number,
            by = %requester.user,
            user = note.user.map(tracing::field::display),
            room = %self.id,
            act = %note.act,
            "act of staff"
        );
        effects.notes.push(Note {
            room: Some(self.id),
            address: Some(requester.address.ip().to_string()),
            ..note
        });
    }

    fn outcome(
        &mut self,
        actor: &Actor,
        request: DecideRequest,
        target: Option<Target>,
        effects: &mut Effects,
    ) -> Result<Outcome, Fault> {
        let room = &mut self.room;
        if let Some(target) = &target {
            let gives_role = matches!(request, DecideRequest::SetMemberRole(_));
            room.check_rank(actor, target, gives_role)?;
        }
        // Nobody was looked up for a call that came past the table.
        let target = || target.ok_or_else(|| Fault::of(Code::Internal));
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
            DecideRequest::InviteToRoom(_) => {
                room.invite(actor, &target()?, effects).map(Outcome::done)
            }
            DecideRequest::KickMember(request) => {
                room.kick(actor, request, effects).map(Outcome::done)
            }
            DecideRequest::BanMember(request) => {
                let target = target()?;
                room.ban(actor, request, &target, effects)
                    .map(Outcome::done)
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
            DecideRequest::ListMembers(_) => Err(Fault::of(Code::Internal)),
            DecideRequest::ListBans(request) => room
                .list_bans(actor, &request)
                .map(|bans| Outcome::Body(body(&bans))),
        }
    }
}

/// What the audit log keeps of what somebody of the staff asks of a room, if it comes to that. What owners of rooms do among themselves
/// is theirs.
fn note_of(actor: &Actor, request: &DecideRequest) -> Option<Note> {
    if !actor.role.keeps_order() {
        return None;
    }
    let of = |act, user| Note {
        by: Some(actor.user),
        user,
        ..Note::new(act, actor.now)
    };
    Some(match request {
        DecideRequest::KickMember(request) => Note {
            reason: request.reason.clone(),
            ..of(AuditAct::Kicked, Some(request.user))
        },
        DecideRequest::BanMember(request) => Note {
            until: request.until,
            reason: request.reason.clone(),
            ..of(AuditAct::Banned, Some(request.user))
        },
        DecideRequest::UnbanMember(request) => of(AuditAct::Unbanned, Some(request.user)),
        DecideRequest::MuteMember(request) => Note {
            until: Some(request.until),
            ..of(AuditAct::MutedInRoom, Some(request.user))
        },
        DecideRequest::SetMemberRole(request) => Note {
            room_role: Some(request.role),
            ..of(AuditAct::RoomRoleChanged, Some(request.user))
        },
        DecideRequest::DeleteRoom(_) => of(AuditAct::RoomDeleted, None),
        _ => return None,
    })
}

/// Who gets the answer to a call, who acts, and what is asked.
fn requester(call: RoomCall) -> (Requester, Actor, Ask) {
    let requester = Requester {
        recipient: call.recipient,
        call: call.call,
        user: call.actor.user,
        address: call.address,
        key: call.key,
    };
    (requester, call.actor, call.ask)
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
