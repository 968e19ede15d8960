//! A player's entity as its owner runs it.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_store::StoreError;
use pitturu_store::entities::Kind;

use super::super::command::{Command, NoCreation, Report, release};
use super::super::store::LoadedPlayer;
use super::super::{Environment, PLAYER};
use super::{Answer, Context, LivePlayer};
use crate::owners::entity::Entity;
use crate::owners::held::HeldAnswers;
use crate::owners::keys::Keys;
use crate::owners::line::DurableLine;
use crate::owners::shard::overloaded;
use crate::owners::signals::{Delivery, Incoming, Outgoing};

/// When a call is worth another try whose player has been loaded anew meanwhile, in milliseconds.
const AGAIN_MS: u64 = 100;

impl Entity for LivePlayer {
    type Id = UserId;
    type Command = Command;
    type Creation = NoCreation;
    type Environment = Environment;
    type Loaded = Box<LoadedPlayer>;
    type Report = Report;
    type Kept = ();

    const KIND: Kind = PLAYER;
    const LIVE_GAUGE: &'static str = "pitturu_players_live";
    const RELOADS_COUNTER: &'static str = "pitturu_player_reloads_total";

    fn placement(user: UserId) -> u64 {
        // Ids are random.
        let bytes = user.as_bytes();
        u64::from_be_bytes(bytes[2..].try_into().expect("an id has ten bytes"))
    }

    fn id_of(command: &Command) -> UserId {
        match command {
            Command::Call(call) => call.user,
            Command::Delivery(delivery) => UserId::from_bytes(delivery.to().id()),
        }
    }

    fn is_worth_loading(command: &Command) -> bool {
        // A receipt that finds nobody is asked for again by the next life.
        !matches!(command, Command::Delivery(Delivery::Receipt(_)))
    }

    fn creation(command: Command) -> Result<NoCreation, Command> {
        Err(command)
    }

    fn note_while_loading((): &mut (), _: &Command) {}

    fn is_awaited((): &()) -> bool {
        false
    }

    fn refuse(command: Command, fault: &Fault) {
        match command {
            Command::Call(call) => call.refuse(fault),
            Command::Delivery(Delivery::Signals(batch)) => batch.refused(),
            Command::Delivery(Delivery::Receipt(_) | Delivery::Wake(_)) => {}
        }
    }

    fn missing() -> Fault {
        Fault::of(Code::NotFound)
    }

    async fn load(
        environment: Environment,
        user: UserId,
    ) -> Result<Option<Box<LoadedPlayer>>, StoreError> {
        environment.players.load(user).await.map(Box::new).map(Some)
    }

    fn take_up(context: &Context, life: u64, loaded: Box<LoadedPlayer>, (): (), now: u64) -> Self {
        let journal = loaded.journal;
        let mut live = Self {
            user: loaded.user,
            life,
            account: loaded.account,
            relations: loaded.relations,
            inbox: loaded.inbox,
            pending: DurableLine::default(),
            // A player's calls show no number of a stream: each key is looked up.
            keys: Keys::new(Some(u64::MAX - 1)),
            looking_up: 0,
            incoming: Incoming::default(),
            outgoing: Outgoing::new(
                journal.entity(),
                journal.incarnation(),
                loaded.undelivered,
                Arc::clone(&context.environment.routes),
            ),
            held: HeldAnswers::default(),
            journal,
        };
        live.outgoing.send_all(now);
        live
    }

    fn create(_: &Context, _: u64, creation: NoCreation, _: u64) -> Option<Self> {
        match creation {}
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn handle(&mut self, context: &Context, command: Command, now: u64) {
        match command {
            Command::Delivery(Delivery::Receipt(receipt)) => {
                self.answered(context, &receipt, now);
            }
            // It has been loaded by this, and sends.
            Command::Delivery(Delivery::Wake(_)) => {}
            command if context.is_full() => Self::refuse(command, &overloaded()),
            Command::Call(call) => self.handle_call(context, *call),
            Command::Delivery(Delivery::Signals(batch)) => self.take_batch(context, batch),
        }
    }

    fn report(&mut self, context: &Context, report: Report, _: u64) {
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
        let fault = Fault::of(Code::Unavailable).retry_after_ms(AGAIN_MS);
        match report {
            Report::Recalled(call, _) => call.refuse(&fault),
            Report::Applied(..) => {}
        }
    }

    fn written(&mut self, context: &Context, _: u64) {
        self.pending.written();
        self.settle(context);
    }

    fn fail(mut self, error: &StoreError) {
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
        release(self.held.take_all());
        self.incoming.refuse_all();
    }

    fn pending_fanout(&self) -> Option<usize> {
        None
    }

    fn flush(&mut self) {}

    fn tick(&mut self, now: u64) {
        self.keys.forget_old(now);
        self.outgoing.tick(now);
        release(self.held.overdue(now));
    }

    fn sweep(&mut self, _: &Context, _: u64) -> bool {
        false
    }

    fn is_idle(&self, _: u64) -> bool {
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
