//! What a kind of entity is, and what its owner gives it.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::ID_BYTES;
use pitturu_store::clock::Steady;
use pitturu_store::entities::Kind;
use pitturu_store::fail_points::pass;
use pitturu_store::{Done, StoreError};

use super::mailbox::Mailbox;
use super::signals::Delivery;
use crate::call_traces::Part;

/// Writes that one shard may have on their way to the disk. Beyond it, what would write is refused as overloaded before it
/// changes anything.
pub const WRITES_IN_FLIGHT_MAX: usize = 8_192;

/// How long an entity that lingers stays in memory after it was used, in milliseconds: calls come in bursts, and loading it costs more
/// than one.
pub const LINGER_MS: u64 = 5_000;

/// A kind of entity: whatever has an order of its own lives at one owner, a shard, which runs its commands one after the
/// other.
///
/// The shard loads an entity when a command needs it, hands it every command and report in turn, has it send what the turn has
/// brought, and lets it go when it is idle. Nothing here may wait: what takes time is given away, with a [`Reporter`] or by
/// [`Context::hand_over`], and comes back as a report. Whoever implements this keeps the rules elsewhere, as pure functions.
pub trait Entity: Sized + Send + 'static {
    /// Names one entity among those of its kind: bytes that are random, or a hash.
    type Id: Copy + Eq + Hash + Debug + Display + Into<[u8; ID_BYTES]> + Send + Sync + 'static;
    /// What is asked of one.
    type Command: From<Self::Creation> + From<Delivery> + Send + 'static;
    /// A command that makes one that the store does not have.
    type Creation: Send + 'static;
    /// What all of the kind work with: ports of the store, limits. Cheap to clone.
    type Environment: Clone + Send + Sync + 'static;
    /// One as the store has it.
    type Loaded: Send + 'static;
    /// What work that one gave away brings back.
    type Report: Send + 'static;
    /// What outlives a life that the store failed, such as the followers, and that others are still to be told of it. `()`: nothing
    /// does.
    type Kept: Default + Send + 'static;

    /// The kind's number in the store.
    const KIND: Kind;
    /// What it is called in metrics.
    const LABEL: EntityKind;

    /// A number that spreads entities evenly over owners.
    fn placement(id: Self::Id) -> u64 {
        let bytes: [u8; ID_BYTES] = id.into();
        u64::from_be_bytes(*bytes.last_chunk().expect("an id has ten bytes"))
    }

    /// The entity that a command is for.
    fn id_of(command: &Self::Command) -> Self::Id;

    /// What is noted of the command, if it is a call.
    fn part_of(_command: &Self::Command) -> Part {
        Part::NONE
    }

    /// Whether an entity that is not in memory is loaded for the command. Otherwise the command is refused as one for an entity that does
    /// not exist: what is loaded later knows better.
    fn is_worth_loading(command: &Self::Command) -> bool;

    /// The command as one that makes an entity, if it is. Otherwise it comes back.
    #[allow(clippy::missing_errors_doc, reason = "nothing fails")]
    fn creation(command: Self::Command) -> Result<Self::Creation, Self::Command>;

    /// A command came for which the entity is loaded, or while it is; it waits, and is handled afterwards as well.
    fn note_while_loading(_kept: &mut Self::Kept, _command: &Self::Command) {}

    /// Whether somebody waits for the next life, though no command does.
    fn is_awaited(_kept: &Self::Kept) -> bool {
        false
    }

    /// Refuses a command, if somebody waits for it.
    fn refuse(command: Self::Command, fault: &Fault);

    /// Why a command for an entity that the store does not have is refused.
    fn missing() -> Fault {
        Fault::of(Code::NotFound)
    }

    /// Reads an entity, behind the commits of the life before it. Runs in a task of its own.
    fn load(
        environment: Self::Environment,
        id: Self::Id,
    ) -> impl Future<Output = Result<Option<Self::Loaded>, StoreError>> + Send + 'static;

    /// Takes an entity up as the store has it.
    fn take_up(
        context: &Context<Self>,
        life: u64,
        loaded: Self::Loaded,
        kept: Self::Kept,
        now: Steady,
    ) -> Self;

    /// Reads what has to be known before an entity is made. It counts as being loaded meanwhile: what comes waits behind the
    /// creation, so nothing falls between what is read here and what the entity is told.
    fn prepare(
        _environment: &Self::Environment,
        _creation: &mut Self::Creation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Makes an entity, and hands its first rows to the store. `None`: the command was refused.
    fn create(
        context: &Context<Self>,
        life: u64,
        creation: Self::Creation,
        now: Steady,
    ) -> Option<Self>;

    /// Which life in memory this is. Reports to an earlier one are dropped.
    fn life(&self) -> u64;

    /// Carries a command out. Whatever may write reserves room in the store first, and refuses before anything has changed
    /// when there is none.
    fn handle(&mut self, context: &Context<Self>, command: Self::Command, now: Steady);

    /// Takes what work has brought back.
    fn report(&mut self, context: &Context<Self>, report: Self::Report, now: Steady);

    /// Work has come back for a life that has ended: refuses whoever waits for it.
    fn refuse_report(report: Self::Report);

    /// The oldest write that was handed over is durable.
    fn written(&mut self, context: &Context<Self>, now: Steady);

    /// Ends this life after a failed write: refuses what waits.
    fn fail(self, error: &StoreError) -> Self::Kept;

    /// Over how many connections [`Self::flush`] has to go; `None` when there is nothing to send.
    fn pending_fanout(&self) -> Option<usize> {
        None
    }

    /// Sends what was gathered in this turn.
    fn flush(&mut self) {}

    /// Time has passed: up to four times a second, unless it [`Self::is_quiet`].
    fn tick(&mut self, now: Steady);

    /// Every few seconds: gives upkeep away if there is some worth its cost. True: something was begun.
    fn sweep(&mut self, _context: &Context<Self>, _now: Steady) -> bool {
        false
    }

    /// Whether it can leave memory.
    fn is_idle(&self, now: Steady) -> bool;

    /// Whether one that is idle was used a moment ago and may be used again: it stays, unless too many do.
    fn lingers(&self, _now: Steady) -> bool {
        false
    }

    /// Whether the store would refuse its next commit, because of a failure since it was loaded, and nothing of it is on its way: it is
    /// loaded anew before it is used again, and nobody is refused for it.
    fn is_outdated(&self, _context: &Context<Self>) -> bool {
        false
    }

    /// Whether none of its clocks runs: it need not be looked at until it is used again.
    fn is_quiet(&self) -> bool;
}

/// One thing for a shard to do.
pub enum Item<E: Entity> {
    /// Somebody asks.
    Command(E::Command),
    /// Work that was given away reports.
    Completion(Completion<E>),
    /// Time has passed.
    Tick,
}

/// What a shard hears back from work that was given away. The number is the life that gave it away.
pub enum Completion<E: Entity> {
    /// An entity was read from the store.
    Loaded(E::Id, Result<Option<E::Loaded>, StoreError>),
    /// What has to be known before the entity is made was read, or could not be.
    Prepared(E::Id, E::Creation, Result<(), StoreError>),
    /// The entity's oldest unreported write is durable or has failed.
    Written(E::Id, u64, Result<(), StoreError>),
    /// Work of the entity's own.
    Work(E::Id, u64, E::Report),
}

/// What a shard gives its entities.
pub struct Context<E: Entity> {
    /// What all entities of the kind work with.
    pub environment: E::Environment,
    mailbox: Arc<Mailbox<Item<E>>>,
    writes: Arc<AtomicUsize>,
}

impl<E: Entity> Clone for Context<E> {
    fn clone(&self) -> Self {
        Self {
            environment: self.environment.clone(),
            mailbox: Arc::clone(&self.mailbox),
            writes: Arc::clone(&self.writes),
        }
    }
}

impl<E: Entity> Context<E> {
    /// A context whose shard hears of work by `mailbox`.
    pub(super) fn new(environment: E::Environment, mailbox: Arc<Mailbox<Item<E>>>) -> Self {
        Self {
            environment,
            mailbox,
            writes: Arc::default(),
        }
    }

    /// Hands a write of the entity to the store by `write`, and counts it until the store reports. Reports come in the order in
    /// which an entity's writes were handed over.
    pub fn hand_over(&self, id: E::Id, life: u64, write: impl FnOnce(Done)) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::clone(&self.mailbox);
        let report = move |result| {
            let completion = Completion::Written(id, life, result);
            mailbox.report_write(Item::Completion(completion));
        };
        pass("owner.decided");
        write(Box::new(report));
        pass("owner.handed_over");
    }

    /// Counts a write that was reported.
    pub(super) fn write_ends(&self) {
        self.writes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether so many writes are on their way that nothing further may be decided that writes.
    pub fn is_full(&self) -> bool {
        self.writes.load(Ordering::Relaxed) >= WRITES_IN_FLIGHT_MAX
    }

    /// The way back for work that the entity gives away. Bounded by the work in flight.
    pub fn reporter(&self, id: E::Id, life: u64) -> Reporter<E> {
        Reporter {
            id,
            life,
            mailbox: Arc::clone(&self.mailbox),
        }
    }

    /// Loads the entity, after a pause, in a task of its own and reports it.
    pub(super) fn load(&self, id: E::Id, pause: Duration) {
        let loading = E::load(self.environment.clone(), id);
        let mailbox = Arc::clone(&self.mailbox);
        tokio::spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let completion = Completion::Loaded(id, loading.await);
            mailbox.report(Item::Completion(completion));
        });
    }
}

impl<E: Entity> Context<E> {
    /// Reads what has to be known before the entity is made: at once where that does not wait, otherwise in a task that reports.
    pub(super) fn prepare(&self, id: E::Id, mut creation: E::Creation) -> Option<Completion<E>> {
        let environment = self.environment.clone();
        let mut preparing = Box::pin(async move {
            let result = E::prepare(&environment, &mut creation).await;
            Completion::Prepared(id, creation, result)
        });
        let prepared = preparing.as_mut().now_or_never();
        if prepared.is_none() {
            let mailbox = Arc::clone(&self.mailbox);
            tokio::spawn(async move { mailbox.report(Item::Completion(preparing.await)) });
        }
        prepared
    }
}

/// Brings one report back to the entity that gave the work away.
pub struct Reporter<E: Entity> {
    id: E::Id,
    life: u64,
    mailbox: Arc<Mailbox<Item<E>>>,
}

impl<E: Entity> Reporter<E> {
    /// Reports, and has the shard look.
    pub fn report(self, report: E::Report) {
        let completion = Completion::Work(self.id, self.life, report);
        self.mailbox.report(Item::Completion(completion));
    }
}
