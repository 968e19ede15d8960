//! A shard: it owns some of the entities of a kind, and does one thing after the other. It never waits for the store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;
use pitturu_store::fail_points::pass;

use super::entity::{Completion, Context, Entity, Item};
use super::executor::Worker;

/// Calls that wait while one entity is read from the store. Beyond it, they are refused as overloaded.
const LOADING_WAIT_MAX: usize = 65_536;

/// Pause before an entity that somebody follows is read again when the store could not read it.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// Entities of one shard beyond which none stays in memory for having been used a moment ago.
const LINGERING_MAX: usize = 4_096;

/// How often a shard looks for upkeep and entities to let go, in ticks: every five seconds.
const SWEEP_TICKS: u64 = 20;

enum Slot<E: Entity> {
    /// The store is reading. The second part stayed from an earlier life.
    Loading(VecDeque<E::Command>, Box<E::Kept>),
    Live(Box<E>),
}

/// One shard.
pub struct Shard<E: Entity> {
    context: Context<E>,
    slots: HashMap<E::Id, Slot<E>>,
    entities_with_timers: HashSet<E::Id>,
    /// Entities with something to send at the end of the turn.
    entities_to_flush: Vec<E::Id>,
    /// The most connections that one of them has to send to.
    fanout_max: usize,
    lives: u64,
    ticks: u64,
    /// Entities that the gauge counts for this shard.
    counted: i64,
}

impl<E: Entity> Worker for Shard<E> {
    type Item = Item<E>;

    fn tick() -> Item<E> {
        Item::Tick
    }

    fn take(&mut self, item: Item<E>) {
        match item {
            Item::Command(command) => self.handle(command),
            Item::Completion(completion) => self.complete(completion),
            Item::Tick => self.tick(),
        }
    }

    /// Sends what the entities told in this turn. A commit reports many messages at once, and while connections are written
    /// to more of them gather: the busier a room, the more of its messages go out in one write.
    fn flush(&mut self) {
        self.fanout_max = 0;
        for id in self.entities_to_flush.drain(..) {
            if let Some(Slot::Live(live)) = self.slots.get_mut(&id) {
                live.flush();
            }
        }
    }

    fn pending_fanout(&self) -> usize {
        self.fanout_max
    }
}

impl<E: Entity> Shard<E> {
    /// A shard without entities.
    pub fn new(context: Context<E>) -> Self {
        Self {
            context,
            slots: HashMap::new(),
            entities_with_timers: HashSet::new(),
            entities_to_flush: Vec::new(),
            fanout_max: 0,
            lives: 0,
            ticks: 0,
            counted: 0,
        }
    }

    fn note_pending_fanout(&mut self, id: E::Id) {
        if let Some(Slot::Live(live)) = self.slots.get(&id)
            && let Some(connections) = live.pending_fanout()
        {
            self.fanout_max = self.fanout_max.max(connections);
            if self.entities_to_flush.last() != Some(&id) {
                self.entities_to_flush.push(id);
            }
        }
    }

    fn handle(&mut self, command: E::Command) {
        let id = E::id_of(&command);
        if let Some(Slot::Live(live)) = self.slots.get(&id)
            && live.is_outdated(&self.context)
        {
            self.begin_again(id, &StoreError::Conflict("a write has failed since"));
        }
        match self.slots.get_mut(&id) {
            Some(Slot::Live(live)) => {
                E::part_of(&command).taken();
                live.handle(&self.context, command, Steady::now());
                self.after(id);
            }
            Some(Slot::Loading(waiting, kept)) => {
                E::part_of(&command).loading();
                E::note_while_loading(kept, &command);
                if waiting.len() >= LOADING_WAIT_MAX {
                    E::refuse(command, &overloaded());
                } else {
                    waiting.push_back(command);
                }
            }
            None if E::is_worth_loading(&command) => {
                E::part_of(&command).loading();
                let mut kept = E::Kept::default();
                E::note_while_loading(&mut kept, &command);
                self.load(id, VecDeque::from([command]), kept, Duration::ZERO);
            }
            None => E::refuse(command, &E::missing()),
        }
    }

    fn load(&mut self, id: E::Id, waiting: VecDeque<E::Command>, kept: E::Kept, pause: Duration) {
        self.slots
            .insert(id, Slot::Loading(waiting, Box::new(kept)));
        self.context.load(id, pause);
    }

    fn complete(&mut self, completion: Completion<E>) {
        let now = Steady::now();
        match completion {
            Completion::Loaded(id, result) => self.loaded(id, result),
            Completion::Prepared(id, creation, result) => self.prepared(id, creation, result),
            Completion::Written(id, life, result) => {
                pass("owner.reported");
                self.context.write_ends();
                let Some(live) = live(&mut self.slots, id, life) else {
                    return;
                };
                match result {
                    Ok(()) => {
                        live.written(&self.context, now);
                        self.after(id);
                    }
                    Err(error) => self.begin_again(id, &error),
                }
            }
            Completion::Work(id, life, report) => {
                if let Some(live) = live(&mut self.slots, id, life) {
                    live.report(&self.context, report, now);
                    self.after(id);
                } else {
                    E::refuse_report(report);
                }
            }
        }
    }

    /// Keeps an eye on an entity that was touched.
    fn after(&mut self, id: E::Id) {
        self.entities_with_timers.insert(id);
        self.note_pending_fanout(id);
    }

    /// Ends a life that the store failed, and begins the next.
    fn begin_again(&mut self, id: E::Id, error: &StoreError) {
        tracing::warn!(%id, %error, "read again after a failed write");
        table::ENTITY_RELOADS.at(E::LABEL).increment();
        if let Some(Slot::Live(live)) = self.slots.remove(&id) {
            let kept = live.fail(error);
            self.load(id, VecDeque::new(), kept, Duration::ZERO);
        }
    }

    fn loaded(&mut self, id: E::Id, result: Result<Option<E::Loaded>, StoreError>) {
        let Some(Slot::Loading(waiting, kept)) = self.slots.remove(&id) else {
            return;
        };
        match result {
            Ok(Some(loaded)) => {
                self.lives += 1;
                let live = E::take_up(&self.context, self.lives, loaded, *kept, Steady::now());
                self.slots.insert(id, Slot::Live(Box::new(live)));
                self.entities_with_timers.insert(id);
                for command in waiting {
                    self.handle(command);
                }
            }
            Ok(None) => self.create_or_refuse(id, waiting),
            Err(error) => {
                let fault = Fault::from(error);
                for command in waiting {
                    E::refuse(command, &fault);
                }
                if E::is_awaited(&kept) {
                    // Those who follow, or are to be told, hear nothing until it is loaded, and ask for nothing either.
                    tracing::warn!(%id, %fault, "read again after a pause");
                    self.load(id, VecDeque::new(), *kept, RELOAD_PAUSE);
                }
            }
        }
    }

    /// The store has no such entity. The first who wants to make it does; all before are refused.
    fn create_or_refuse(&mut self, id: E::Id, mut waiting: VecDeque<E::Command>) {
        while let Some(command) = waiting.pop_front() {
            let part = E::part_of(&command);
            match E::creation(command) {
                Ok(creation) => {
                    part.taken();
                    let slot = Slot::Loading(waiting, Box::default());
                    self.slots.insert(id, slot);
                    if let Some(prepared) = self.context.prepare(id, creation) {
                        self.complete(prepared);
                    }
                    return;
                }
                Err(command) => {
                    part.over();
                    E::refuse(command, &E::missing());
                }
            }
        }
    }

    /// What is to be known of a creation was read.
    fn prepared(&mut self, id: E::Id, creation: E::Creation, result: Result<(), StoreError>) {
        let Some(Slot::Loading(waiting, _)) = self.slots.remove(&id) else {
            return;
        };
        match result {
            Ok(()) => self.create(id, creation),
            Err(error) => E::refuse(creation.into(), &error.into()),
        }
        for command in waiting {
            self.handle(command);
        }
    }

    fn create(&mut self, id: E::Id, creation: E::Creation) {
        if self.context.is_full() {
            E::refuse(creation.into(), &overloaded());
            return;
        }
        self.lives += 1;
        let created = E::create(&self.context, self.lives, creation, Steady::now());
        if let Some(live) = created {
            self.slots.insert(id, Slot::Live(Box::new(live)));
            self.after(id);
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let now = Steady::now();
        let sweep = self.ticks.is_multiple_of(SWEEP_TICKS);
        let is_crowded = self.slots.len() > LINGERING_MAX;
        for id in std::mem::take(&mut self.entities_with_timers) {
            let Some(Slot::Live(live)) = self.slots.get_mut(&id) else {
                continue;
            };
            live.tick(now);
            if live.is_idle(now) && (is_crowded || !live.lingers(now)) {
                self.slots.remove(&id);
                continue;
            }
            let is_swept = sweep && live.sweep(&self.context, now);
            if is_swept || !live.is_quiet() {
                self.entities_with_timers.insert(id);
            }
            self.note_pending_fanout(id);
        }
        if sweep {
            // All shards of a kind count into one gauge.
            let live = i64::try_from(self.slots.len()).unwrap_or(i64::MAX);
            table::ENTITIES_LIVE.add_at(E::LABEL, live - self.counted);
            self.counted = live;
        }
    }
}

/// The entity, if this life of it is still in memory.
fn live<E: Entity>(slots: &mut HashMap<E::Id, Slot<E>>, id: E::Id, life: u64) -> Option<&mut E> {
    match slots.get_mut(&id) {
        Some(Slot::Live(live)) if live.life() == life => Some(live),
        _ => None,
    }
}

/// When a call is worth another try whose entity has been loaded anew meanwhile, in milliseconds.
const AGAIN_MS: u64 = 100;

/// Why a call is refused whose entity has been loaded anew since it came.
pub fn loaded_anew() -> Fault {
    Fault::of(Code::Unavailable).retry_after_ms(AGAIN_MS)
}

/// Why a command is refused that came when too much was on its way.
pub fn overloaded() -> Fault {
    Fault::of(Code::Overloaded).retry_after_ms(250)
}
