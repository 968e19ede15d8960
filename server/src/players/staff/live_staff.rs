//! The staff at its owner.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_rules::accounts::{Staff, StaffEffects};
use pitturu_rules::signals::{PlayerSignal, StaffSignal};
use pitturu_store::StoreError;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::entities::{Applied, EntityId, KeyedResult, Kind, Signal};
use pitturu_store::reservation::Reservation;

use super::super::command::{Asker, NoCreation, answer, release};
use super::{Command, ID, LoadedStaff, STAFF, SetRoleCall, load, role_row};
use crate::connections::caller::IdempotencyKey;
use crate::owners::entity::Entity;
use crate::owners::held::HeldAnswers;
use crate::owners::journal::Journal;
use crate::owners::keys::{self, Keys, Seen, of_this_request};
use crate::owners::line::DurableLine;
use crate::owners::shard::{loaded_anew, overloaded};
use crate::owners::signals::{Batch, Delivery, Incoming, Outgoing, Receipt, Taken};
use crate::players::{self, Environment};

/// Bytes that a commit takes in the store's queue, about.
const COMMIT_BYTES: usize = 512;

type Context = crate::owners::entity::Context<LiveStaff>;

impl From<NoCreation> for Command {
    fn from(creation: NoCreation) -> Self {
        match creation {}
    }
}

/// What the staff hears back from work that it gave away.
#[derive(Debug)]
pub enum Report {
    /// Whether this call was carried out before.
    Recalled(Box<SetRoleCall>, Result<Option<KeyedResult>, StoreError>),
    /// How far the signals of this sender were applied.
    Applied(EntityId, Result<Option<Applied>, StoreError>),
}

/// What is told when a decision is durable.
#[derive(Debug)]
enum Answer {
    Call(Asker, Option<(UserId, IdempotencyKey)>, Vec<u8>),
    Applied(Batch),
}

/// A decision on its way to the disk.
#[derive(Debug)]
struct Pending {
    answer: Answer,
    version: u64,
    signals: Vec<Signal>,
}

/// The staff in its shard.
#[derive(Debug)]
pub struct LiveStaff {
    life: u64,
    journal: Journal,
    staff: Staff,
    pending: DurableLine<Pending>,
    keys: Keys<Asker>,
    looking_up: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    held: HeldAnswers<(Asker, Vec<u8>)>,
}

impl LiveStaff {
    fn reserve(context: &Context) -> Result<Reservation, Fault> {
        let reserved = context.environment.players.entities().reserve(COMMIT_BYTES);
        reserved.map_err(Fault::from)
    }

    fn handle_call(&mut self, context: &Context, call: SetRoleCall) {
        let Some((user, key)) = call.key.clone() else {
            self.carry_out(context, call);
            return;
        };
        let mut call = Some(call);
        let waiter = || call.take().expect("it is taken once").to;
        let seen = self.keys.see(user, &key, 0, waiter);
        let Some(call) = call else {
            return;
        };
        match seen {
            Ok(Seen::First | Seen::Waiting) => self.carry_out(context, call),
            Ok(Seen::Before(body)) => answer(call.to, body.into(), true),
            Ok(Seen::LookUp) => {
                let entities = context.environment.players.entities();
                let recalling = entities.recall(self.journal.entity(), user, &key.key);
                self.looking_up += 1;
                let reporter = context.reporter(ID, self.life);
                tokio::spawn(async move {
                    let found = recalling.await;
                    reporter.report(Report::Recalled(Box::new(call), found));
                });
            }
            Err(fault) => call.refuse(&fault),
        }
    }

    fn recalled(
        &mut self,
        context: &Context,
        call: SetRoleCall,
        found: Result<Option<KeyedResult>, StoreError>,
    ) {
        let Some((user, key)) = &call.key else {
            return;
        };
        let found = found.map_err(Fault::from);
        match found.and_then(|found| of_this_request(found, key)) {
            Ok(None) => self.carry_out(context, call),
            Ok(Some(body)) => {
                let waiters = self.keys.done(*user, key, body.clone(), 0, Steady::now());
                for to in waiters.into_iter().chain([call.to]) {
                    answer(to, body.clone().into(), true);
                }
            }
            Err(fault) => self.refuse_call(call, &fault),
        }
    }

    fn refuse_call(&mut self, call: SetRoleCall, fault: &Fault) {
        if let Some((user, key)) = &call.key {
            for to in self.keys.refused(*user, key) {
                drop(to.send(Err(fault.clone())));
            }
        }
        call.refuse(fault);
    }

    fn carry_out(&mut self, context: &Context, call: SetRoleCall) {
        let decided = Self::reserve(context).and_then(|reservation| {
            let mut effects = StaffEffects::default();
            let staff = &mut self.staff;
            let is_new = staff.set(call.user, call.role, call.seen, &mut effects)?;
            Ok((reservation, effects, codec::encode(&is_new)))
        });
        match decided {
            Ok((reservation, effects, body)) => {
                let changes = !effects.rows.is_empty() || !effects.told.is_empty();
                let key = call.key.as_ref().filter(|_| changes);
                let result = key.map(|(user, key)| keys::result(*user, key, body.clone()));
                let answer = Answer::Call(call.to, call.key, body);
                let noted = (result, None);
                self.commit(context, reservation, effects, noted, answer, call.now);
            }
            Err(fault) => self.refuse_call(call, &fault),
        }
    }

    fn take_batch(&mut self, context: &Context, batch: Batch) {
        let Ok(reservation) = Self::reserve(context) else {
            batch.refused();
            return;
        };
        match self.incoming.take(batch) {
            Taken::Waiting => {}
            Taken::LookUp(from) => {
                let entities = context.environment.players.entities();
                let looking = entities.applied(self.journal.entity(), from);
                let reporter = context.reporter(ID, self.life);
                tokio::spawn(async move {
                    let found = looking.await;
                    reporter.report(Report::Applied(from, found));
                });
            }
            Taken::Known(batch) => {
                // The commit that applied it may be on its way still.
                let pending = Pending {
                    answer: Answer::Applied(batch),
                    version: 0,
                    signals: Vec::new(),
                };
                self.pending.push(pending, true);
                self.settle();
            }
            Taken::Apply(batch, applied) => self.apply(context, reservation, batch, applied),
        }
    }

    fn apply(
        &mut self,
        context: &Context,
        reservation: Reservation,
        batch: Batch,
        applied: Applied,
    ) {
        let user = UserId::from_bytes(batch.from.id());
        let mut effects = StaffEffects::default();
        let mut decided_at = now_ms();
        for signal in &batch.signals {
            match codec::decode(&signal.body) {
                Ok(StaffSignal::Configured { role, at }) => {
                    self.staff.configured(user, role, &mut effects);
                    decided_at = at;
                }
                // It would be no better the next time.
                Err(error) => {
                    tracing::error!(from = %batch.from, %error, "a signal is damaged");
                }
            }
        }
        let (answer, noted) = (Answer::Applied(batch), (None, Some(applied)));
        self.commit(context, reservation, effects, noted, answer, decided_at);
    }

    /// Hands a decision to the store with what it notes, and puts in line what is told of it.
    fn commit(
        &mut self,
        context: &Context,
        reservation: Reservation,
        effects: StaffEffects,
        (result, applied): (Option<KeyedResult>, Option<Applied>),
        answer: Answer,
        at: u64,
    ) {
        let mut pending = Pending {
            answer,
            version: 0,
            signals: Vec::new(),
        };
        if effects == StaffEffects::default() && result.is_none() && applied.is_none() {
            self.pending.push(pending, true);
            self.settle();
            return;
        }
        let mut commit = self.journal.next();
        commit.result = result;
        commit.applied = applied;
        let rows = effects.rows.into_iter();
        commit
            .rows
            .extend(rows.map(|(user, role)| role_row(user, role)));
        let told = effects.told.into_iter();
        commit.signals.extend(
            told.map(|(user, role)| players::signal(user, &PlayerSignal::Role { role, at })),
        );
        pending.version = commit.version;
        pending.signals.clone_from(&commit.signals);
        self.pending.push(pending, false);
        let entities = context.environment.players.entities();
        context.hand_over(ID, self.life, |done| {
            entities.commit(reservation, commit, done);
        });
    }

    fn settle(&mut self) {
        while let Some(pending) = self.pending.next_durable() {
            self.complete(pending);
        }
    }

    fn complete(&mut self, pending: Pending) {
        let now = Steady::now();
        match pending.answer {
            Answer::Call(to, key, body) => {
                if let Some((user, key)) = &key {
                    let reply = Bytes::from(body.clone());
                    for to in self.keys.done(*user, key, reply, 0, now) {
                        answer(to, body.clone(), true);
                    }
                }
                match pending.signals.last() {
                    Some(signal) => {
                        self.held.hold(signal.to, pending.version, now, (to, body));
                    }
                    None => answer(to, body, false),
                }
            }
            Answer::Applied(batch) => batch.applied(),
        }
        self.outgoing.decided(pending.version, pending.signals, now);
    }

    /// A player's entity has applied what this one told it, or can't now.
    fn answered(&mut self, context: &Context, receipt: &Receipt, now: Steady) {
        release(self.held.answered(receipt));
        let entities = context.environment.players.entities();
        self.outgoing.answered(receipt, entities.as_ref(), now);
    }
}

/// Whether players are still to be told something by the next life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owes(bool);

impl Entity for LiveStaff {
    type Id = UserId;
    type Command = Command;
    type Creation = NoCreation;
    type Environment = Environment;
    type Loaded = Box<LoadedStaff>;
    type Report = Report;
    type Kept = Owes;

    const KIND: Kind = STAFF;
    const LIVE_GAUGE: &'static str = "pitturu_staff_live";
    const RELOADS_COUNTER: &'static str = "pitturu_staff_reloads_total";

    fn placement(_: UserId) -> u64 {
        0
    }

    fn id_of(_: &Command) -> UserId {
        ID
    }

    fn is_worth_loading(command: &Command) -> bool {
        // A receipt that finds nobody is asked for again by the next life.
        !matches!(command, Command::Delivery(Delivery::Receipt(_)))
    }

    fn creation(command: Command) -> Result<NoCreation, Command> {
        Err(command)
    }

    fn note_while_loading(owes: &mut Owes, command: &Command) {
        owes.0 |= matches!(command, Command::Delivery(Delivery::Wake(_)));
    }

    fn is_awaited(owes: &Owes) -> bool {
        owes.0
    }

    fn refuse(command: Command, fault: &Fault) {
        match command {
            Command::SetRole(call) => call.refuse(fault),
            Command::Delivery(Delivery::Signals(batch)) => batch.refused(),
            Command::Delivery(Delivery::Receipt(_) | Delivery::Wake(_)) => {}
        }
    }

    async fn load(
        environment: Environment,
        _: UserId,
    ) -> Result<Option<Box<LoadedStaff>>, StoreError> {
        let entities = Arc::clone(environment.players.entities());
        load(entities).await.map(Box::new).map(Some)
    }

    fn take_up(
        context: &Context,
        life: u64,
        loaded: Box<LoadedStaff>,
        _: Owes,
        now: Steady,
    ) -> Self {
        let journal = loaded.journal;
        let mut live = Self {
            life,
            staff: loaded.staff,
            pending: DurableLine::default(),
            keys: Keys::without_stream(),
            looking_up: 0,
            incoming: Incoming::default(),
            outgoing: Outgoing::new(
                &journal,
                loaded.undelivered,
                Arc::clone(&context.environment.routes),
            ),
            held: HeldAnswers::default(),
            journal,
        };
        live.outgoing.send_all(now);
        live
    }

    fn create(_: &Context, _: u64, creation: NoCreation, _: Steady) -> Option<Self> {
        match creation {}
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn handle(&mut self, context: &Context, command: Command, now: Steady) {
        match command {
            Command::Delivery(Delivery::Receipt(receipt)) => {
                self.answered(context, &receipt, now);
            }
            // It has been loaded by this, and sends.
            Command::Delivery(Delivery::Wake(_)) => {}
            command if context.is_full() => Self::refuse(command, &overloaded()),
            Command::SetRole(call) => self.handle_call(context, *call),
            Command::Delivery(Delivery::Signals(batch)) => self.take_batch(context, batch),
        }
    }

    fn report(&mut self, context: &Context, report: Report, _: Steady) {
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

    fn refuse_report(report: Report) {
        match report {
            Report::Recalled(call, _) => call.refuse(&loaded_anew()),
            Report::Applied(..) => {}
        }
    }

    fn written(&mut self, _: &Context, _: Steady) {
        self.pending.written();
        self.settle();
    }

    fn fail(mut self, error: &StoreError) -> Owes {
        let fault = Fault::from(error.clone());
        for pending in self.pending.take_all() {
            match pending.answer {
                Answer::Call(to, key, _) => {
                    let waiters = key.map(|(user, key)| self.keys.refused(user, &key));
                    for to in waiters.into_iter().flatten().chain([to]) {
                        drop(to.send(Err(fault.clone())));
                    }
                }
                Answer::Applied(batch) => batch.refused(),
            }
        }
        for to in self.keys.take_waiters() {
            drop(to.send(Err(fault.clone())));
        }
        release(self.held.take_all());
        self.incoming.refuse_all();
        Owes(!self.outgoing.is_empty())
    }

    fn tick(&mut self, now: Steady) {
        self.keys.forget_old(now);
        self.outgoing.tick(now);
        release(self.held.overdue(now));
    }

    fn is_idle(&self, _: Steady) -> bool {
        self.pending.is_empty()
            && self.looking_up == 0
            && self.incoming.is_quiet()
            && self.outgoing.is_empty()
            && self.held.is_empty()
    }

    fn is_quiet(&self) -> bool {
        false
    }
}
