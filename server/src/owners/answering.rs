//! Entities that answer calls and apply signals: what all such kinds do in the same way.
//!
//! A kind says by [`Decisions`] what it decides, what of it is stored, and what is told of it. [`Answering`] does the rest: it finds
//! out whether a call was carried out before, and whether a signal was applied; reserves room in the store before anything is
//! decided; answers once everything ahead is durable and once those who are told by the decision have applied it, or can't now.
//! Such an entity is loaded by a call or a signal, and leaves memory some seconds after it, at once where there are many, or after the time for which
//! its kind wants it to stay.

mod live;
mod pending;

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Applied, Commit, Entities, EntityId, KeyedResult, Kind, Undelivered,
};

pub use self::live::Answering;
use super::journal::Journal;
use super::signals::{Delivery, Numbered, Routes};
use super::{Owners, asker};
use crate::call_traces::Part;
use crate::connections::caller::IdempotencyKey;

/// What the entities of a kind work with, beside what the kind needs for itself.
pub trait Environment: Clone + Send + Sync + 'static {
    /// The store.
    fn entities(&self) -> &Arc<dyn Entities>;

    /// How to reach other entities.
    fn routes(&self) -> &Arc<Routes>;
}

/// What one kind of entity decides, as state in memory: it changes with each decision, and is loaded again when the store fails
/// to keep one.
pub trait Decisions: Sized + Debug + Send + 'static {
    /// Names one entity among those of its kind.
    type Id: Copy + Eq + Hash + Debug + Display + Into<[u8; ID_BYTES]> + Send + Sync + 'static;
    /// What a call asks.
    type Ask: Debug + Send + 'static;
    /// What a decision changes.
    type Effects: Default + Send;
    /// What is told of a decision once it is durable, beside the answer.
    type News: Debug + Default + Send + 'static;
    /// What all of the kind work with.
    type Environment: Environment;

    /// The kind's number in the store.
    const KIND: Kind;
    /// What it is called in metrics.
    const LABEL: EntityKind;
    /// Bytes that a commit takes in the store's queue, about.
    const COMMIT_BYTES: usize;

    /// How long the entity stays in memory after its last use, in milliseconds: 0 unless loading it again takes long.
    fn stays_ms(&self) -> u64 {
        0
    }

    /// A number that spreads entities evenly over owners.
    fn placement(id: Self::Id) -> u64 {
        let bytes: [u8; ID_BYTES] = id.into();
        u64::from_be_bytes(*bytes.last_chunk().expect("an id has ten bytes"))
    }

    /// Whether what a call changes may go into the commit of decisions before it, if that waits for the disk still: so it may where nothing
    /// that is decided depends on the number of the commit.
    fn may_join(_ask: &Self::Ask) -> bool {
        false
    }

    /// Whether a call only looks, and never changes anything: it is carried out also while the store takes nothing.
    fn only_looks(_ask: &Self::Ask) -> bool {
        false
    }

    /// The entity of this kind that has this id.
    fn id_of(id: [u8; ID_BYTES]) -> Self::Id;

    /// Reads an entity. One of which nothing is stored yet begins with the next commit.
    fn load(
        environment: Self::Environment,
        id: Self::Id,
    ) -> impl Future<Output = Result<Loaded<Self>, StoreError>> + Send + 'static;

    /// Decides what a call asks. The encoded result.
    ///
    /// # Errors
    /// The call is refused. Nothing has changed then.
    fn decide(
        &mut self,
        ask: Self::Ask,
        moment: Moment,
        effects: &mut Self::Effects,
    ) -> Result<Vec<u8>, Fault>;

    /// Applies what another entity tells. It can't be refused.
    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut Self::Effects);

    /// Whether nothing has changed, so that there is nothing to commit.
    fn is_empty(effects: &Self::Effects) -> bool;

    /// Adds what has changed to a commit, which may hold other decisions already. What is to be told of it is told once it is durable.
    fn put(
        &mut self,
        environment: &Self::Environment,
        effects: Self::Effects,
        now: u64,
        commit: &mut Commit,
    ) -> Self::News;

    /// Tells what has become durable.
    fn tell(&mut self, environment: &Self::Environment, news: Self::News);
}

/// When a call is decided.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The version that a commit of its own would have.
    pub version: u64,
    /// When the call was read, in milliseconds since 1970.
    pub now: u64,
}

/// An entity as its owner takes it up.
#[derive(Debug)]
pub struct Loaded<D> {
    /// Where it stands.
    pub journal: Journal,
    /// Its state.
    pub state: D,
    /// What it has told others and does not know to be applied.
    pub undelivered: Vec<Undelivered>,
}

/// An answer, which is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The encoded result.
    pub body: Vec<u8>,
    /// Another call under the same key brought it about; this one has changed nothing.
    pub is_repeated: bool,
}

/// Where an answer goes.
pub type Asker = asker::Asker<Answered>;

/// Gives an answer.
fn answer(to: Asker, body: Vec<u8>, is_repeated: bool) {
    to.answer(Ok(Answered { body, is_repeated }));
}

/// Gives the first answers that are held no longer.
fn release(held: Vec<(Asker, Vec<u8>)>) {
    for (to, body) in held {
        answer(to, body, false);
    }
}

/// A call.
#[derive(Debug)]
pub struct Call<D: Decisions> {
    /// The entity.
    pub id: D::Id,
    /// What is asked.
    pub ask: D::Ask,
    /// Its idempotency key, and whose key it is.
    pub key: Option<(UserId, IdempotencyKey)>,
    /// When it was read, in milliseconds since 1970.
    pub now: u64,
    /// Who is answered.
    pub to: Asker,
}

impl<D: Decisions> Call<D> {
    /// Refuses it.
    fn refuse(self, fault: &Fault) {
        self.to.answer(Err(fault.clone()));
    }
}

/// What the owner is asked by the rest of the server.
#[derive(Debug)]
pub enum Command<D: Decisions> {
    /// A call.
    Call(Box<Call<D>>),
    /// From the owner of another entity.
    Delivery(Delivery),
}

/// Nothing makes such an entity: it begins with its first commit.
#[derive(Clone, Copy, Debug)]
pub enum NoCreation {}

impl<D: Decisions> Command<D> {
    /// What is noted of it.
    fn part(&self) -> Part {
        match self {
            Self::Call(call) => call.to.part(),
            Self::Delivery(_) => Part::NONE,
        }
    }
}

impl<D: Decisions> From<NoCreation> for Command<D> {
    fn from(creation: NoCreation) -> Self {
        match creation {}
    }
}

impl<D: Decisions> From<Delivery> for Command<D> {
    fn from(delivery: Delivery) -> Self {
        Self::Delivery(delivery)
    }
}

/// What comes back from work that was given away.
#[derive(Debug)]
pub enum Report<D: Decisions> {
    /// Whether this call was carried out before.
    Recalled(Box<Call<D>>, Result<Option<KeyedResult>, StoreError>),
    /// How far the signals of this sender were applied.
    Applied(EntityId, Result<Option<Applied>, StoreError>),
}

impl<D: Decisions> Owners<Answering<D>> {
    /// Has an entity do something under a key, which may be anybody's, and waits for its answer, which is durable: the result,
    /// or that of the first call under the key.
    ///
    /// # Errors
    /// Those of the rules and of the store.
    pub async fn ask_under(
        &self,
        id: D::Id,
        ask: D::Ask,
        key: Option<(UserId, IdempotencyKey)>,
        now: u64,
    ) -> Result<Answered, Fault> {
        let (to, answer) = Asker::of_this_call();
        let call = Call {
            id,
            ask,
            key,
            now,
            to,
        };
        self.send(Command::Call(Box::new(call)));
        let answer = answer.await;
        answer.unwrap_or_else(|_| Err(Fault::of(Code::Unavailable)))
    }
}
