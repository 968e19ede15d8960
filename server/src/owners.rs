//! Owners: each entity lives in one shard, which gives it its order.
//!
//! - [`entity`]: what a kind of entity is, and what its owner gives it;
//! - [`shard`]: who owns entities; [`executor`]: who runs a shard; [`mailbox`]: what waits for it;
//! - [`journal`]: where an entity stands in its log; [`mod@line`]: what was decided and is told once it is durable;
//! - [`keys`]: idempotency keys in flight; [`signals`]: what one entity tells another; [`held`]: answers that wait for it;
//! - [`asker`]: whoever waits for an answer;
//! - [`answering`]: entities that answer calls and apply signals: what all such kinds do in the same way;
//! - [`followers`]: the connections that hear of an entity, and fan-out to them; [`spread`]: a loop over many of them.

pub mod answering;
pub mod asker;
pub mod entity;
pub mod executor;
pub mod followers;
pub mod held;
pub mod journal;
pub mod keys;
pub mod line;
pub mod mailbox;
pub mod shard;
pub mod signals;
pub mod spread;

use std::fmt;
use std::sync::Arc;

use pitturu_metrics::table;

use self::entity::{Context, Entity, Item};
use self::executor::Executor;
use self::mailbox::Mailbox;
use self::shard::{Shard, overloaded};
use self::signals::Routes;
use crate::io_threads::IoThreads;

/// The owners of one kind of entity. Cheap to clone.
pub struct Owners<E: Entity> {
    shards: Arc<[Arc<Executor<Shard<E>>>]>,
}

impl<E: Entity> Clone for Owners<E> {
    fn clone(&self) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
        }
    }
}

impl<E: Entity> fmt::Debug for Owners<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owners")
    }
}

impl<E: Entity> Owners<E> {
    /// Starts so many shards, whose tasks run on these I/O threads. They stop when the last clone is dropped.
    pub fn start(io_threads: &IoThreads, shards: usize, environment: &E::Environment) -> Self {
        let start = |number| {
            let executor =
                Executor::new(|mailbox| Shard::new(Context::new(environment.clone(), mailbox)));
            executor.start(io_threads.of_task(number));
            executor
        };
        Self {
            shards: (0..shards.max(1)).map(start).collect(),
        }
    }

    /// Has what is sent to entities of this kind reach these owners, as long as they are there.
    pub fn route(&self, routes: &Routes) {
        let shards = Arc::downgrade(&self.shards);
        routes.add(E::KIND, move |delivery| {
            // Nobody applies anything once the owners have stopped; the store keeps what is not applied.
            if let Some(shards) = shards.upgrade() {
                // Bounded: one batch from each sender to each target.
                Self { shards }.send_unbounded(delivery.into());
            }
        });
    }

    /// To be called after outcomes of writes were reported: has the shards look that got some.
    pub fn announcer(&self) -> impl Fn() + Send + Sync + 'static {
        let mailboxes = self.mailboxes();
        move || mailboxes.iter().for_each(|mailbox| mailbox.announce())
    }

    /// To be called when somebody looks: shows how much waits for the owners. It holds each mailbox for a moment, one after the
    /// other.
    pub fn gauge(&self) -> impl Fn() + Send + Sync + 'static {
        let mailboxes = self.mailboxes();
        move || {
            let waiting = mailboxes.iter().map(|mailbox| mailbox.depth()).sum();
            table::OWNERS_WAITING.count_at(E::LABEL, waiting);
        }
    }

    fn mailboxes(&self) -> Vec<Arc<Mailbox<Item<E>>>> {
        let shards = self.shards.iter();
        shards.map(|shard| Arc::clone(shard.mailbox())).collect()
    }

    fn shard(&self, id: E::Id) -> &Arc<Executor<Shard<E>>> {
        let index = E::placement(id) % self.shards.len() as u64;
        &self.shards[usize::try_from(index).expect("fewer shards than usize holds")]
    }

    /// Says something to an entity's owner, which mostly does it before this returns. When its mailbox is full, whoever
    /// waits for an answer is refused.
    pub fn send(&self, command: E::Command) {
        let id = E::id_of(&command);
        E::part_of(&command).sent(E::LABEL, id);
        let shard = self.shard(id);
        if let Err(Item::Command(command)) = shard.send(Item::Command(command)) {
            E::refuse(command, &overloaded());
        }
    }

    /// As [`Self::send`], however full the mailbox is: for what is bounded by its cause.
    pub fn send_unbounded(&self, command: E::Command) {
        self.shard(E::id_of(&command))
            .send_unbounded(Item::Command(command));
    }
}
