//! Calls that change a message: they need the message as it is now, which may have to come from the store.
//!
//! Calls for one message wait in line while it is fetched; nothing else touches it meanwhile, so what is fetched is
//! never older than what was decided. Once here, the message stays until nothing is on its way to the disk.

use std::collections::{HashMap, VecDeque};

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::system::Done;
use pitturu_rules::audit_log::Note;
use pitturu_rules::rooms::rows::MessageRow;
use pitturu_rules::rooms::{Actor, Effects, Room};
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;
use smallvec::SmallVec;

use super::super::command::{FetchedMessage, MessageChange, Report};
use super::super::request::EditRequest;
use super::{Asked, Context, LiveRoom, Requester, body};

/// How long an unused message stays, in milliseconds.
const KEEP_MS: u64 = 5_000;

#[derive(Debug)]
struct Edit {
    requester: Requester,
    actor: Actor,
    change: MessageChange,
}

impl Edit {
    /// Whether the actor may do what they ask at all, whatever the message is.
    fn check(&self, room: &Room) -> Result<(), Fault> {
        match self.change {
            MessageChange::Asked(EditRequest::EditMessage(_) | EditRequest::React(_)) => {
                room.may_write(&self.actor)
            }
            MessageChange::Asked(EditRequest::DeleteMessage(_)) => room.may_delete(&self.actor),
            MessageChange::EraseAuthor(_) => Ok(()),
        }
    }
}

/// A message being changed.
#[derive(Debug, Default)]
pub(super) struct EditQueue {
    message: Option<MessageRow>,
    reactions: HashMap<UserId, Vec<String>>,
    calls: VecDeque<Edit>,
    fetching: bool,
    used_at: Steady,
}

impl EditQueue {
    pub(super) fn is_idle(&self, now: Steady) -> bool {
        self.calls.is_empty() && !self.fetching && now > self.used_at.after_ms(KEEP_MS)
    }

    pub(super) fn into_requesters(self) -> impl Iterator<Item = Requester> {
        self.calls.into_iter().map(|edit| edit.requester)
    }
}

impl LiveRoom {
    /// Takes a call that changes a message. That there is no such message is for those who may change messages: others would
    /// learn from it how many there are.
    pub(super) fn edit(
        &mut self,
        context: &Context,
        requester: Requester,
        actor: Actor,
        change: MessageChange,
        now: Steady,
    ) {
        let seq = change.seq();
        let edit = Edit {
            requester,
            actor,
            change,
        };
        let checked = edit.check(&self.room).and_then(|()| {
            let is_kept = seq >= self.room.first().max(1) && seq <= self.recent.end().seq;
            is_kept
                .then_some(())
                .ok_or(Fault::of(Code::MessageNotFound))
        });
        if let Err(fault) = checked {
            self.refuse_decided(context, Asked::Call(edit.requester), fault, now);
            return;
        }
        let queue = self.edit_queues.entry(seq).or_default();
        queue.used_at = now;
        queue.calls.push_back(edit);
        let user = queue.calls.back().map(|edit| edit.actor.user);
        let applied = self.edit_on(context, seq, now);
        if let Some(user) = user.filter(|user| !applied.contains(user)) {
            self.held.hold(user);
        }
    }

    /// A message has come from the store.
    pub(super) fn fetched(
        &mut self,
        context: &Context,
        seq: u64,
        result: Result<Box<FetchedMessage>, StoreError>,
        now: Steady,
    ) {
        let Some(queue) = self.edit_queues.get_mut(&seq) else {
            return;
        };
        queue.fetching = false;
        let fault = match result.map(|fetched| *fetched) {
            Ok(FetchedMessage {
                message: Some(message),
                reactions,
            }) => {
                queue.message.get_or_insert(message);
                queue.reactions.extend(reactions);
                for user in self.edit_on(context, seq, now) {
                    self.came(context, user, now, |_| ());
                }
                return;
            }
            Ok(_) => Fault::of(Code::MessageNotFound),
            Err(error) => error.into(),
        };
        if let Some(queue) = self.edit_queues.remove(&seq) {
            for edit in queue.calls {
                // They may have been put out meanwhile.
                let fault = edit
                    .check(&self.room)
                    .err()
                    .unwrap_or_else(|| fault.clone());
                self.came(context, edit.requester.user, now, |room| {
                    room.refuse_decided(context, Asked::Call(edit.requester), fault, now);
                });
            }
        }
    }

    /// Carries out what waits for the message, as far as what it needs is here. Whose it was.
    fn edit_on(&mut self, context: &Context, seq: u64, now: Steady) -> SmallVec<[UserId; 1]> {
        let mut applied = SmallVec::new();
        loop {
            let recent = &self.recent;
            let Some(queue) = self.edit_queues.get_mut(&seq) else {
                return applied;
            };
            let Some(next) = queue.calls.front() else {
                return applied;
            };
            if queue.fetching {
                return applied;
            }
            applied.push(next.actor.user);
            if queue.message.is_none() {
                queue.message = recent.message(seq).map(|message| MessageRow {
                    msg: message.clone(),
                    rev: 0,
                    // The room puts in what the newest message has to say.
                    moved: Vec::new(),
                });
            }
            let reactor = matches!(next.change, MessageChange::Asked(EditRequest::React(_)))
                .then_some(next.actor.user)
                .filter(|user| !queue.reactions.contains_key(user));
            if queue.message.is_none() || reactor.is_some() {
                queue.fetching = true;
                applied.pop();
                fetch(context, self, seq, reactor);
                return applied;
            }
            self.apply_next(context, seq, now);
        }
    }

    fn apply_next(&mut self, context: &Context, seq: u64, now: Steady) {
        let mut queue = self.edit_queues.remove(&seq).unwrap_or_default();
        let (Some(edit), Some(row)) = (queue.calls.pop_front(), queue.message.as_mut()) else {
            return;
        };
        let reservation = match Self::reserve(context) {
            Ok(reservation) => reservation,
            Err(fault) => {
                self.edit_queues.insert(seq, queue);
                self.refuse_requester(&edit.requester, &fault);
                return;
            }
        };
        let mut effects = Effects::default();
        let actor = &edit.actor;
        let note = note_of(&edit, row);
        let outcome = match edit.change {
            MessageChange::Asked(EditRequest::EditMessage(request)) => self
                .room
                .edit(actor, request, row, &mut effects)
                .map(|changed| body(&changed)),
            MessageChange::Asked(EditRequest::DeleteMessage(_)) => self
                .room
                .delete(actor, row, &mut effects)
                .map(|changed| body(&changed)),
            MessageChange::EraseAuthor(_) => {
                self.room.erase_author(actor, row, &mut effects);
                Ok(body(&Done {}))
            }
            MessageChange::Asked(EditRequest::React(request)) => {
                let mine = queue.reactions.entry(actor.user).or_default();
                self.room
                    .react(actor, &request, row, mine, &mut effects)
                    .map(|reacted| body(&reacted))
            }
        };
        queue.used_at = now;
        self.edit_queues.insert(seq, queue);
        match outcome {
            Ok(body) => {
                let requester = edit.requester;
                if let Some(note) = note {
                    self.note(&requester, note, &mut effects);
                }
                self.commit_reply(context, Some(reservation), effects, requester, body, now);
            }
            Err(fault) => {
                self.refuse_decided(context, Asked::Call(edit.requester), fault, now);
            }
        }
    }
}

/// What the audit log keeps of it, if it comes to that: that somebody of the staff deletes another player's message.
fn note_of(edit: &Edit, row: &MessageRow) -> Option<Note> {
    let actor = &edit.actor;
    let is_theirs = row.msg.from == actor.user;
    match edit.change {
        MessageChange::Asked(EditRequest::DeleteMessage(_))
            if actor.role.keeps_order() && !is_theirs =>
        {
            Some(Note {
                by: Some(actor.user),
                user: Some(row.msg.from),
                seq: Some(row.msg.seq),
                ..Note::new(AuditAct::MessageDeleted, actor.now)
            })
        }
        _ => None,
    }
}

fn fetch(context: &Context, live: &LiveRoom, seq: u64, reactor: Option<UserId>) {
    let room = live.id;
    let rooms = context.environment.rooms.clone();
    let reporter = context.reporter(room, live.life);
    tokio::spawn(async move {
        let result = async {
            let message = rooms.message(room, seq).await?;
            let reactions = match reactor {
                Some(user) => Some((user, rooms.reaction_of(room, seq, user).await?)),
                None => None,
            };
            Ok(Box::new(FetchedMessage { message, reactions }))
        };
        reporter.report(Report::Message(seq, result.await));
    });
}
