//! An entity that answers calls and applies signals, at its owner.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_store::StoreError;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::entities::{EntityId, KeyedRequest, KeyedResult, Kind};
use pitturu_store::fail_points::is_undone;
use pitturu_store::reservation::Reservation;
use smallvec::SmallVec;

use super::pending::{Answer, Kept, Noted, Pending, Put};
use super::{
    Asker, Call, Command, Decisions, Environment as _, Loaded, Moment, NoCreation, Report, answer,
    release,
};
use crate::call_traces::Part;
use crate::connections::caller::IdempotencyKey;
use crate::owners::entity::{Context, Entity, LINGER_MS};
use crate::owners::held::HeldAnswers;
use crate::owners::journal::Journal;
use crate::owners::keys::{self, Keys, REMEMBER_MS, Seen, of_this_request};
use crate::owners::line::DurableLine;
use crate::owners::shard::{loaded_anew, overloaded};
use crate::owners::signals::{Batch, Delivery, Incoming, Outgoing, Receipt, Taken};

/// An entity that answers calls and applies signals, in its shard.
#[derive(Debug)]
pub struct Answering<D: Decisions> {
    id: D::Id,
    life: u64,
    journal: Journal,
    state: D,
    pending: DurableLine<Pending<D::News>>,
    keys: Keys<Asker>,
    /// Until then keys are remembered of which the store has no result.
    remembers_until: Steady,
    /// When it was last asked or told something.
    used_at: Steady,
    looking_up: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    held: HeldAnswers<(Asker, Vec<u8>)>,
}

impl<D: Decisions> Answering<D> {
    fn reserve(context: &Context<Self>) -> Result<Reservation, Fault> {
        let reserved = context.environment.entities().reserve(D::COMMIT_BYTES);
        reserved.map_err(Fault::from)
    }

    fn handle_call(&mut self, context: &Context<Self>, call: Call<D>) {
        let Some((user, key)) = call.key.clone() else {
            self.carry_out(context, call);
            return;
        };
        let mut call = Some(call);
        let waiter = || call.take().expect("it is taken once").to;
        let seen = self.keys.see(user, &key, 0, waiter);
        let Some(call) = call else { return };
        match seen {
            Ok(Seen::First | Seen::Waiting) => self.carry_out(context, call),
            Ok(Seen::LookUp)
                if matches!(key.request, KeyedRequest::Whole(_)) && is_undone("lasting_keys") =>
            {
                self.carry_out(context, call);
            }
            Ok(Seen::Before(body)) => answer(call.to, body.into(), true),
            Ok(Seen::LookUp) => self.look_up(context, call, user, &key),
            Err(fault) => call.refuse(&fault),
        }
    }

    fn look_up(
        &mut self,
        context: &Context<Self>,
        call: Call<D>,
        user: UserId,
        key: &IdempotencyKey,
    ) {
        let entities = context.environment.entities();
        let mut recalling = entities.recall(self.journal.entity(), user, &key.key);
        if let Some(found) = (&mut recalling).now_or_never() {
            self.recalled(context, call, found);
            return;
        }
        self.looking_up += 1;
        let reporter = context.reporter(self.id, self.life);
        tokio::spawn(async move {
            let found = recalling.await;
            reporter.report(Report::Recalled(Box::new(call), found));
        });
    }

    fn recalled(
        &mut self,
        context: &Context<Self>,
        call: Call<D>,
        found: Result<Option<KeyedResult>, StoreError>,
    ) {
        let Some((user, key)) = &call.key else { return };
        let found = found.map_err(Fault::from);
        match found.and_then(|found| of_this_request(found, key)) {
            Ok(None) => self.carry_out(context, call),
            Ok(Some(body)) => {
                let waiters = self.keys.stored(*user, key);
                for to in waiters.into_iter().chain([call.to]) {
                    answer(to, body.clone().into(), true);
                }
            }
            Err(fault) => self.refuse(call.to, call.key, &fault),
        }
    }

    /// Refuses a call, and whoever waits for its answer.
    fn refuse(&mut self, to: Asker, key: Option<(UserId, IdempotencyKey)>, fault: &Fault) {
        let waiters = key.map(|(user, key)| self.keys.refused(user, &key));
        for to in waiters.into_iter().flatten().chain([to]) {
            to.answer(Err(fault.clone()));
        }
    }

    fn carry_out(&mut self, context: &Context<Self>, call: Call<D>) {
        let Call {
            ask, key, now, to, ..
        } = call;
        let moment = Moment {
            version: self.journal.version() + 1,
            now,
        };
        if D::only_looks(&ask) {
            let seen = self.state.decide(ask, moment, &mut D::Effects::default());
            return self.put_in_line(context, Answer::of(to, key, seen));
        }
        let reservation = match Self::reserve(context) {
            Ok(reservation) => reservation,
            Err(fault) => return self.refuse(to, key, &fault),
        };
        let may_join = D::may_join(&ask);
        let mut effects = D::Effects::default();
        match self.state.decide(ask, moment, &mut effects) {
            Ok(body) => {
                // What has changed nothing leaves nothing: a repetition is decided anew.
                let stored = key.as_ref().filter(|_| !D::is_empty(&effects));
                let noted = Noted {
                    result: stored.map(|(user, key)| keys::result(*user, key, body.clone())),
                    applied: None,
                    may_join,
                };
                let answer = Answer::Call(to, key, body);
                self.commit(context, reservation, effects, noted, answer, now);
            }
            // It rests on what may not be durable yet, and come to nothing.
            Err(fault) => self.put_in_line(context, Answer::Refused(to, key, fault)),
        }
    }

    fn take_batch(&mut self, context: &Context<Self>, batch: Batch) {
        let Ok(reservation) = Self::reserve(context) else {
            batch.refused();
            return;
        };
        match self.incoming.take(batch) {
            Taken::Waiting => {}
            Taken::LookUp(from) => {
                let entities = context.environment.entities();
                let looking = entities.applied(self.journal.entity(), from);
                let reporter = context.reporter(self.id, self.life);
                tokio::spawn(async move {
                    let found = looking.await;
                    reporter.report(Report::Applied(from, found));
                });
            }
            // The commit that applied it may be on its way still.
            Taken::Known(batch) => self.put_in_line(context, Answer::Applied(batch)),
            Taken::Apply(batch, applied) => {
                let mut effects = D::Effects::default();
                for signal in &batch.signals {
                    self.state.apply(batch.from, signal, &mut effects);
                }
                let noted = Noted {
                    applied: Some(applied),
                    ..Noted::default()
                };
                let answer = Answer::Applied(batch);
                self.commit(context, reservation, effects, noted, answer, now_ms());
            }
        }
    }

    /// Has an answer come when everything that was decided before is durable.
    fn put_in_line(&mut self, context: &Context<Self>, answer: Answer) {
        if let Answer::Call(_, Some(_), _) = answer {
            // An attempt that comes late finds what the first one has found, though meanwhile it could act.
            self.remembers_until = Steady::now().after_ms(REMEMBER_MS);
        }
        answer.part().decided(false);
        self.pending.push(Pending::stored_nothing(answer), true);
        self.settle(context);
    }

    /// Hands a decision to the store with what it notes, and puts in line what is told of it.
    fn commit(
        &mut self,
        context: &Context<Self>,
        reservation: Reservation,
        effects: D::Effects,
        noted: Noted,
        answer: Answer,
        now: u64,
    ) {
        if D::is_empty(&effects) && noted.result.is_none() && noted.applied.is_none() {
            self.put_in_line(context, answer);
            return;
        }
        answer.part().decided(true);
        let may_join = noted.may_join;
        let mut put = Some(Put {
            state: &mut self.state,
            environment: &context.environment,
            effects,
            noted,
            answer,
            now,
        });
        let not_joined = match self.pending.last_mut().filter(|_| may_join) {
            Some(pending) => pending.join(reservation, &mut put),
            None => Err(reservation),
        };
        let (Err(reservation), Some(put)) = (not_joined, put) else {
            return;
        };
        let (commit, pending) = put.into_commit(self.journal.next());
        self.pending.push(pending, false);
        let entities = context.environment.entities();
        context.hand_over(self.id, self.life, |done| {
            entities.commit(reservation, commit, done);
        });
    }

    fn settle(&mut self, context: &Context<Self>) {
        while let Some(pending) = self.pending.next_durable() {
            self.complete(context, pending);
        }
    }

    fn complete(&mut self, context: &Context<Self>, pending: Pending<D::News>) {
        let now = Steady::now();
        let Pending {
            version,
            signals,
            decided,
            ..
        } = pending;
        let targets: Vec<EntityId> = signals.iter().map(|signal| signal.to).collect();
        let mut answers = SmallVec::<[_; 1]>::new();
        for decided in decided {
            decided.answer.part().durable();
            self.state.tell(&context.environment, decided.news);
            answers.push((decided.answer, decided.signals));
        }
        // Others hear of it before anybody who asked hears that it is done.
        self.outgoing.decided(version, signals, now);
        for (answer, signals) in answers {
            let told = targets[signals].iter().copied().collect();
            self.answer(answer, version, told, now);
        }
    }

    /// Tells whoever asked, once those have heard whom this tells something.
    fn answer(&mut self, answered: Answer, version: u64, told: BTreeSet<EntityId>, now: Steady) {
        match answered {
            Answer::Call(to, key, body) => {
                if let Some((user, key)) = &key {
                    // What the store has of a key need not be remembered beside it.
                    let waiters = match version {
                        0 => self.keys.done(*user, key, body.clone().into(), 0, now),
                        _ => self.keys.stored(*user, key),
                    };
                    for to in waiters {
                        answer(to, body.clone(), true);
                    }
                }
                if told.is_empty() {
                    answer(to, body, false);
                } else {
                    to.part().held();
                    self.held.hold(told, version, now, (to, body));
                }
            }
            Answer::Refused(to, key, fault) => self.refuse(to, key, &fault),
            Answer::Applied(batch) => batch.applied(),
        }
    }

    /// Another entity has applied what this one told it, or can't now.
    fn answered(&mut self, context: &Context<Self>, receipt: &Receipt, now: Steady) {
        release(self.held.answered(receipt));
        let entities = context.environment.entities();
        self.outgoing.answered(receipt, entities.as_ref(), now);
    }
}

impl<D: Decisions> Entity for Answering<D> {
    type Id = D::Id;
    type Command = Command<D>;
    type Creation = NoCreation;
    type Environment = D::Environment;
    type Loaded = Box<Loaded<D>>;
    type Report = Report<D>;
    type Kept = Kept;

    const KIND: Kind = D::KIND;
    const LABEL: EntityKind = D::LABEL;

    fn placement(id: D::Id) -> u64 {
        D::placement(id)
    }

    fn id_of(command: &Command<D>) -> D::Id {
        match command {
            Command::Call(call) => call.id,
            Command::Delivery(delivery) => D::id_of(delivery.to().id()),
        }
    }

    fn part_of(command: &Command<D>) -> Part {
        command.part()
    }

    fn is_worth_loading(command: &Command<D>) -> bool {
        // A receipt that finds nobody is asked for again by the next life.
        !matches!(command, Command::Delivery(Delivery::Receipt(_)))
    }

    fn creation(command: Command<D>) -> Result<NoCreation, Command<D>> {
        Err(command)
    }

    fn note_while_loading(kept: &mut Kept, command: &Command<D>) {
        kept.owes |= matches!(command, Command::Delivery(Delivery::Wake(_)));
    }

    fn is_awaited(kept: &Kept) -> bool {
        kept.owes || Steady::now() < kept.remembers_until
    }

    fn refuse(command: Command<D>, fault: &Fault) {
        match command {
            Command::Call(call) => call.refuse(fault),
            Command::Delivery(Delivery::Signals(batch)) => batch.refused(),
            Command::Delivery(Delivery::Receipt(_) | Delivery::Wake(_)) => {}
        }
    }

    async fn load(
        environment: D::Environment,
        id: D::Id,
    ) -> Result<Option<Box<Loaded<D>>>, StoreError> {
        D::load(environment, id).await.map(Box::new).map(Some)
    }

    fn take_up(
        context: &Context<Self>,
        life: u64,
        loaded: Box<Loaded<D>>,
        kept: Kept,
        now: Steady,
    ) -> Self {
        let Loaded {
            journal,
            state,
            undelivered,
        } = *loaded;
        let routes = Arc::clone(context.environment.routes());
        let mut live = Self {
            id: D::id_of(journal.entity().id()),
            life,
            state,
            pending: DurableLine::default(),
            keys: kept.keys.without_stream(),
            remembers_until: kept.remembers_until,
            used_at: now,
            looking_up: 0,
            incoming: Incoming::default(),
            outgoing: Outgoing::new(&journal, undelivered, routes),
            held: HeldAnswers::default(),
            journal,
        };
        live.outgoing.send_all(now);
        live
    }

    fn create(_: &Context<Self>, _: u64, creation: NoCreation, _: Steady) -> Option<Self> {
        match creation {}
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn handle(&mut self, context: &Context<Self>, command: Command<D>, now: Steady) {
        self.used_at = now;
        match command {
            Command::Delivery(Delivery::Receipt(receipt)) => {
                self.answered(context, &receipt, now);
            }
            // It has been loaded by this, and sends.
            Command::Delivery(Delivery::Wake(_)) => {}
            command if context.is_full() => <Self as Entity>::refuse(command, &overloaded()),
            Command::Call(call) => self.handle_call(context, *call),
            Command::Delivery(Delivery::Signals(batch)) => self.take_batch(context, batch),
        }
    }

    fn report(&mut self, context: &Context<Self>, report: Report<D>, _: Steady) {
        match report {
            Report::Recalled(call, found) => {
                self.looking_up -= 1;
                self.recalled(context, *call, found);
            }
            Report::Applied(from, found) => {
                for batch in self.incoming.looked_up(from, found) {
                    self.take_batch(context, batch);
                }
            }
        }
    }

    fn refuse_report(report: Report<D>) {
        match report {
            Report::Recalled(call, _) => call.refuse(&loaded_anew()),
            Report::Applied(..) => {}
        }
    }

    fn written(&mut self, context: &Context<Self>, _: Steady) {
        self.pending.written();
        self.settle(context);
    }

    fn fail(mut self, error: &StoreError) -> Kept {
        let fault = Fault::from(error.clone());
        let decided = self.pending.take_all();
        for decided in decided.flat_map(|pending| pending.decided) {
            match decided.answer {
                Answer::Call(to, key, _) | Answer::Refused(to, key, _) => {
                    self.refuse(to, key, &fault);
                }
                Answer::Applied(batch) => batch.refused(),
            }
        }
        for to in self.keys.take_waiters() {
            to.answer(Err(fault.clone()));
        }
        release(self.held.take_all());
        self.incoming.refuse_all();
        Kept {
            owes: !self.outgoing.is_empty(),
            keys: self.keys,
            remembers_until: self.remembers_until,
        }
    }

    fn tick(&mut self, now: Steady) {
        self.keys.forget_old(now);
        self.outgoing.tick(now);
        release(self.held.overdue(now));
    }

    fn is_idle(&self, now: Steady) -> bool {
        now >= self.remembers_until
            && now >= self.used_at.after_ms(self.state.stays_ms())
            && self.pending.is_empty()
            && self.looking_up == 0
            && self.incoming.is_quiet()
            && self.outgoing.is_empty()
            && self.held.is_empty()
    }

    fn is_outdated(&self, context: &Context<Self>) -> bool {
        let fence = context.environment.entities().fence();
        self.pending.is_empty() && self.looking_up == 0 && self.journal.fence() != fence
    }

    fn lingers(&self, now: Steady) -> bool {
        now < self.used_at.after_ms(LINGER_MS)
    }

    fn is_quiet(&self) -> bool {
        false
    }
}
