//! A player's entity as its owner runs it.

use std::sync::Arc;

use pitturu_protocol::codes::Fault;
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
use crate::owners::shard::{loaded_anew, overloaded};
use crate::owners::signals::{Delivery, Incoming, Outgoing};

/// Whether others are still to be told something by the next life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owes(bool);

impl Entity for LivePlayer {
    type Id = UserId;
    type Command = Command;
    type Creation = NoCreation;
    type Environment = Environment;
    type Loaded = Box<LoadedPlayer>;
    type Report = Report;
    type Kept = Owes;

    const KIND: Kind = PLAYER;
    const LIVE_GAUGE: &'static str = "pitturu_players_live";
    const RELOADS_COUNTER: &'static str = "pitturu_player_reloads_total";

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

    fn note_while_loading(owes: &mut Owes, command: &Command) {
        owes.0 |= matches!(command, Command::Delivery(Delivery::Wake(_)));
    }

    fn is_awaited(owes: &Owes) -> bool {
        owes.0
    }

    fn refuse(command: Command, fault: &Fault) {
        match command {
            Command::Call(call) => call.refuse(fault),
            Command::Delivery(Delivery::Signals(batch)) => batch.refused(),
            Command::Delivery(Delivery::Receipt(_) | Delivery::Wake(_)) => {}
        }
    }

    async fn load(
        environment: Environment,
        user: UserId,
    ) -> Result<Option<Box<LoadedPlayer>>, StoreError> {
        environment.players.load(user).await.map(Box::new).map(Some)
    }

    fn take_up(context: &Context, life: u64, loaded: Box<LoadedPlayer>, _: Owes, now: u64) -> Self {
        let journal = loaded.journal;
        let mut live = Self {
            user: loaded.user,
            life,
            account: loaded.account,
            relations: loaded.relations,
            inbox: loaded.inbox,
            marks: loaded.marks,
            offers: loaded.offers,
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
        match report {
            Report::Recalled(call, _) => call.refuse(&loaded_anew()),
            Report::Applied(..) => {}
        }
    }

    fn written(&mut self, context: &Context, _: u64) {
        self.pending.written();
        self.settle(context);
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

    fn tick(&mut self, now: u64) {
        self.keys.forget_old(now);
        self.outgoing.tick(now);
        release(self.held.overdue(now));
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
