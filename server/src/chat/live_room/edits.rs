//! Calls that change a message: they need the message as it is now, which may have to come from the store.
//!
//! Calls for one message wait in line while it is fetched; nothing else touches it meanwhile, so what is fetched is
//! never older than what was decided. Once here, the message stays until nothing is on its way to the disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_rules::rooms::rows::MessageRow;
use pitturu_rules::rooms::{Actor, Effects};
use pitturu_store::StoreError;

use super::super::command::{FetchedMessage, Report};
use super::super::request::EditRequest;
use super::{Asker, Context, LiveRoom, body};

/// How long an unused message stays, in milliseconds.
const KEEP_MS: u64 = 5_000;

#[derive(Debug)]
struct Edit {
    asker: Asker,
    actor: Actor,
    request: EditRequest,
}

/// A message being changed.
#[derive(Debug, Default)]
pub(super) struct Working {
    message: Option<MessageRow>,
    reactions: HashMap<UserId, Vec<String>>,
    queue: VecDeque<Edit>,
    fetching: bool,
    used_at: u64,
}

impl Working {
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.queue.is_empty() && !self.fetching && now > self.used_at + KEEP_MS
    }

    pub(super) fn into_askers(self) -> impl Iterator<Item = Asker> {
        self.queue.into_iter().map(|edit| edit.asker)
    }
}

impl LiveRoom {
    /// Takes a call that changes a message.
    pub(super) fn edit(
        &mut self,
        context: &Context,
        asker: Asker,
        actor: Actor,
        request: EditRequest,
        now: u64,
    ) -> Result<(), StoreError> {
        let seq = match &request {
            EditRequest::EditMessage(request) => request.seq,
            EditRequest::DeleteMessage(request) => request.seq,
            EditRequest::React(request) => request.seq,
        };
        if seq < self.room.first().max(1) || seq > self.recent.end().seq {
            self.refuse_asker(&asker, &Fault::of(Code::MessageNotFound));
            return Ok(());
        }
        let working = self.working.entry(seq).or_default();
        working.used_at = now;
        working.queue.push_back(Edit {
            asker,
            actor,
            request,
        });
        self.edit_on(context, seq, now)
    }

    /// A message has come from the store.
    pub(super) fn fetched(
        &mut self,
        context: &Context,
        seq: u64,
        result: Result<Box<FetchedMessage>, StoreError>,
        now: u64,
    ) -> Result<(), StoreError> {
        let Some(working) = self.working.get_mut(&seq) else {
            return Ok(());
        };
        working.fetching = false;
        let fault = match result.map(|fetched| *fetched) {
            Ok(FetchedMessage {
                message: Some(message),
                reactions,
            }) => {
                working.message.get_or_insert(message);
                working.reactions.extend(reactions);
                return self.edit_on(context, seq, now);
            }
            Ok(_) => Fault::of(Code::MessageNotFound),
            Err(error) => error.into(),
        };
        if let Some(working) = self.working.remove(&seq) {
            for asker in working.into_askers() {
                self.refuse_asker(&asker, &fault);
            }
        }
        Ok(())
    }

    /// Carries out what waits for the message, as far as what it needs is here.
    fn edit_on(&mut self, context: &Context, seq: u64, now: u64) -> Result<(), StoreError> {
        loop {
            let recent = &self.recent;
            let Some(working) = self.working.get_mut(&seq) else {
                return Ok(());
            };
            let Some(next) = working.queue.front() else {
                return Ok(());
            };
            if working.fetching {
                return Ok(());
            }
            if working.message.is_none() {
                working.message = recent.message(seq).map(|message| MessageRow {
                    msg: message.clone(),
                    rev: 0,
                });
            }
            let reactor = matches!(next.request, EditRequest::React(_))
                .then_some(next.actor.user)
                .filter(|user| !working.reactions.contains_key(user));
            if working.message.is_none() || reactor.is_some() {
                working.fetching = true;
                fetch(context, self, seq, reactor);
                return Ok(());
            }
            self.apply_next(context, seq, now)?;
        }
    }

    fn apply_next(&mut self, context: &Context, seq: u64, now: u64) -> Result<(), StoreError> {
        let mut working = self.working.remove(&seq).unwrap_or_default();
        let (Some(edit), Some(row)) = (working.queue.pop_front(), working.message.as_mut()) else {
            return Ok(());
        };
        let mut effects = Effects::default();
        let actor = &edit.actor;
        let outcome = match edit.request {
            EditRequest::EditMessage(request) => self
                .room
                .edit(actor, request, row, &mut effects)
                .map(|changed| body(&changed)),
            EditRequest::DeleteMessage(_) => self
                .room
                .delete(actor, row, &mut effects)
                .map(|changed| body(&changed)),
            EditRequest::React(request) => {
                let mine = working.reactions.entry(actor.user).or_default();
                self.room
                    .react(actor, &request, row, mine, &mut effects)
                    .map(|reacted| body(&reacted))
            }
        };
        working.used_at = now;
        self.working.insert(seq, working);
        match outcome {
            Ok(body) => self.commit_reply(context, effects, edit.asker, body, now),
            Err(fault) => {
                self.refuse_asker(&edit.asker, &fault);
                Ok(())
            }
        }
    }
}

fn fetch(context: &Context, live: &LiveRoom, seq: u64, reactor: Option<UserId>) {
    let room = live.id;
    let messages = Arc::clone(&context.environment.messages);
    let reporter = context.reporter(room, live.incarnation);
    tokio::spawn(async move {
        let result = async {
            let message = messages.message(room, seq).await?;
            let reactions = match reactor {
                Some(user) => Some((user, messages.reaction_of(room, seq, user).await?)),
                None => None,
            };
            Ok(Box::new(FetchedMessage { message, reactions }))
        };
        reporter.report(Report::Message(seq, result.await));
    });
}
