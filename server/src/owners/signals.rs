//! Signals: what one entity tells another, delivered at least once and applied once.
//!
//! A signal is part of the sender's commit. Once that is durable, the sender's owner hands it to the target's, together with
//! whatever else waits for the same target: one batch at a time, in the order of the sender's versions. The target applies a batch
//! in one commit, which also notes up to which of the sender's versions it has applied, and answers when that is durable. Then
//! the sender's owner has the store forget the signals.
//!
//! | killed | what follows |
//! |---|---|
//! | before the sender's commit is durable | nothing was told |
//! | before the target's commit is durable | the sender is loaded at the next start, and sends again |
//! | before the signals are forgotten | the sender sends again; the target knows the version, and only answers |
//!
//! A target that can't take a batch now says so, and gets it again after a pause. What a target has applied of a sender it keeps
//! for good, one row for each sender.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;
use pitturu_store::entities::{
    Applied, Entities, EntityId, Kind, PAGE_ROWS_MAX, Signal, Undelivered,
};
use pitturu_store::fail_points::{is_undone, pass};

use super::journal::Journal;

/// Most signals that are on their way from one entity to another at a time. Those of one commit are never parted.
const BATCH_MAX: usize = 64;

/// When a batch is sent again that was refused or not answered, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// Pause after which the signals of an earlier process are looked for again, when the store could not be read.
const WALK_RETRY: Duration = Duration::from_secs(1);

/// One signal on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The sender's version that it was decided with.
    pub version: u64,
    /// Its place among the signals of that version.
    pub index: u16,
    /// What the kinds agreed on.
    pub body: Vec<u8>,
}

/// What owners send each other.
#[derive(Debug)]
pub enum Delivery {
    /// Signals.
    Signals(Batch),
    /// What became of a batch.
    Receipt(Receipt),
    /// Signals of this entity lie in the store from an earlier process: to be loaded, and to go on.
    Wake(EntityId),
}

impl Delivery {
    /// The entity that it is for.
    pub const fn to(&self) -> EntityId {
        match self {
            Self::Signals(batch) => batch.to,
            Self::Receipt(receipt) => receipt.to,
            Self::Wake(entity) => *entity,
        }
    }
}

/// Signals of one entity to another, in order.
#[derive(Debug)]
pub struct Batch {
    /// The target.
    pub to: EntityId,
    /// The sender.
    pub from: EntityId,
    /// The sender's incarnation.
    pub incarnation: u64,
    /// The signals. Never empty.
    pub signals: Vec<Numbered>,
    routes: Arc<Routes>,
}

impl Batch {
    /// The sender's version with the newest of them.
    fn version(&self) -> u64 {
        self.signals.last().map_or(0, |signal| signal.version)
    }

    /// Tells the sender's owner that they were applied, durably, or that there is nobody to apply them.
    pub fn applied(&self) {
        pass("signal.applied");
        self.answer(Some(self.version()));
    }

    /// Tells the sender's owner that they can't be applied now.
    pub fn refused(&self) {
        self.answer(None);
    }

    fn answer(&self, up_to: Option<u64>) {
        let receipt = Receipt {
            to: self.from,
            by: self.to,
            up_to,
        };
        self.routes.send(Delivery::Receipt(receipt));
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sender of the batch.
    pub to: EntityId,
    /// Its target.
    pub by: EntityId,
    /// The sender's version up to which everything is applied. None: not now.
    pub up_to: Option<u64>,
}

type Route = Box<dyn Fn(Delivery) + Send + Sync>;

/// Kinds of entities that there can be: their numbers are below this.
const KINDS_MAX: usize = 32;

/// How to reach the owners of each kind.
#[derive(Default)]
pub struct Routes {
    by_kind: [OnceLock<Route>; KINDS_MAX],
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}

impl Routes {
    /// Names the way to the owners of a kind. There is one for each.
    pub fn add(&self, kind: Kind, route: impl Fn(Delivery) + Send + Sync + 'static) {
        let is_first = self.by_kind[usize::from(kind.0)]
            .set(Box::new(route))
            .is_ok();
        assert!(is_first, "{kind:?} has one route");
    }

    /// Hands something to the owner that it is for.
    pub fn send(&self, delivery: Delivery) {
        let kind = delivery.to().kind();
        let route = self.by_kind.get(usize::from(kind.0));
        match route.and_then(OnceLock::get) {
            Some(route) => route(delivery),
            None => tracing::error!(to = %delivery.to(), "nobody owns entities of this kind"),
        }
    }
}

/// Has the senders go on whose signals an earlier process did not see applied.
pub async fn wake_senders(entities: Arc<dyn Entities>, routes: Arc<Routes>) {
    let mut after = None;
    loop {
        match entities.senders(after, PAGE_ROWS_MAX).await {
            Ok(senders) => {
                let Some(last) = senders.last() else {
                    return;
                };
                after = Some(*last);
                for sender in senders {
                    routes.send(Delivery::Wake(sender));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "signals of an earlier process are looked for again");
                tokio::time::sleep(WALK_RETRY).await;
            }
        }
    }
}

/// Signals to one target.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Numbered>,
    /// So many of the first are on their way.
    in_flight: usize,
    /// When they are sent again.
    retry_at: Steady,
}

/// The signals that an entity has decided and does not know to be applied.
#[derive(Debug)]
pub struct Outgoing {
    from: EntityId,
    incarnation: u64,
    queues: BTreeMap<EntityId, Queue>,
    routes: Arc<Routes>,
}

impl Outgoing {
    /// What was loaded with an entity as undelivered. All of it: what is decided later must not come before it.
    pub fn new(journal: &Journal, undelivered: Vec<Undelivered>, routes: Arc<Routes>) -> Self {
        let mut outgoing = Self {
            from: journal.entity(),
            incarnation: journal.incarnation(),
            queues: BTreeMap::new(),
            routes,
        };
        for found in undelivered {
            outgoing.put(found.version, found.index, found.signal);
        }
        outgoing
    }

    fn put(&mut self, version: u64, index: u16, signal: Signal) {
        let body = signal.body;
        table::SIGNALS_WAITING.came(1);
        let queue = self.queues.entry(signal.to).or_default();
        queue.waiting.push_back(Numbered {
            version,
            index,
            body,
        });
    }

    /// Whether everything is known to be applied.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The signals of a commit that has become durable. Commits come in order.
    pub fn decided(&mut self, version: u64, signals: Vec<Signal>, now: Steady) {
        // All of them are put in line first: what one commit tells one target goes in one batch.
        let targets: BTreeSet<EntityId> = signals.iter().map(|signal| signal.to).collect();
        for (index, signal) in (0..).zip(signals) {
            self.put(version, index, signal);
        }
        for to in targets {
            self.send(to, now);
        }
    }

    /// Sends what can be sent to everybody.
    pub fn send_all(&mut self, now: Steady) {
        let targets: Vec<EntityId> = self.queues.keys().copied().collect();
        for to in targets {
            self.send(to, now);
        }
    }

    /// Sends again what was refused or never answered.
    pub fn tick(&mut self, now: Steady) {
        for queue in self.queues.values_mut() {
            if queue.in_flight > 0 && now >= queue.retry_at {
                queue.in_flight = 0;
            }
        }
        self.send_all(now);
    }

    fn send(&mut self, to: EntityId, now: Steady) {
        let Some(queue) = self.queues.get_mut(&to) else {
            return;
        };
        if queue.in_flight > 0 || queue.waiting.is_empty() {
            return;
        }
        let mut count = queue.waiting.len().min(BATCH_MAX);
        let last = queue.waiting[count - 1].version;
        let of_last = queue.waiting.iter().skip(count);
        count += of_last.take_while(|signal| signal.version == last).count();
        queue.in_flight = count;
        queue.retry_at = now.after_ms(RETRY_MS);
        table::SIGNALS_SENT.add(count as u64);
        pass("signal.sent");
        let batch = Batch {
            to,
            from: self.from,
            incarnation: self.incarnation,
            signals: queue.waiting.iter().take(count).cloned().collect(),
            routes: Arc::clone(&self.routes),
        };
        self.routes.send(Delivery::Signals(batch));
    }

    /// A target has answered: has the store forget the signals that are applied.
    pub fn answered(&mut self, receipt: &Receipt, entities: &dyn Entities, now: Steady) {
        let applied = self.take_receipt(receipt, now);
        if !applied.is_empty() {
            // What fails here is told again by a later life, and known to its target.
            tokio::spawn(entities.delivered(self.from, applied));
        }
    }

    /// Returns the signals that are applied.
    fn take_receipt(&mut self, receipt: &Receipt, now: Steady) -> Vec<(u64, u16)> {
        let Some(queue) = self.queues.get_mut(&receipt.by) else {
            return Vec::new();
        };
        let Some(up_to) = receipt.up_to else {
            return Vec::new();
        };
        pass("signal.answered");
        let mut applied = Vec::new();
        while let Some(signal) = queue.waiting.pop_front_if(|signal| signal.version <= up_to) {
            applied.push((signal.version, signal.index));
        }
        queue.in_flight = 0;
        table::SIGNALS_WAITING.went(applied.len());
        if queue.waiting.is_empty() {
            self.queues.remove(&receipt.by);
            if self.queues.is_empty() {
                // An emptied map keeps a node of its own.
                self.queues = BTreeMap::new();
            }
        } else {
            self.send(receipt.by, now);
        }
        applied
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Another life, or the next process, counts them again.
        let left: usize = self.queues.values().map(|queue| queue.waiting.len()).sum();
        if left > 0 {
            table::SIGNALS_WAITING.went(left);
        }
    }
}

/// What to do with a batch.
#[derive(Debug)]
pub enum Taken {
    /// Nothing of these was applied before: apply them, in one commit that notes this, and answer when it is durable.
    Apply(Batch, Applied),
    /// All of it was applied before: answer when what was decided before is durable.
    Known(Batch),
    /// It has to be looked up how far this sender's signals were applied: then [`Incoming::looked_up`].
    LookUp(EntityId),
    /// That is being looked up.
    Waiting,
}

#[derive(Debug)]
enum Sender {
    LookedUp(Option<Applied>),
    LookingUp(Vec<Batch>),
}

/// How far an entity has applied the signals of others, as far as it was asked.
#[derive(Debug, Default)]
pub struct Incoming {
    senders: HashMap<EntityId, Sender>,
}

impl Incoming {
    /// Whether nothing is being looked up.
    pub fn is_quiet(&self) -> bool {
        let looked_up = |sender: &Sender| matches!(sender, Sender::LookedUp(_));
        self.senders.values().all(looked_up)
    }

    /// Notes how far this sender's signals count as applied: for an entity that stores nothing of them, but has read what its senders
    /// have stored, and as of which version.
    pub fn knows(&mut self, from: EntityId, applied: Option<Applied>) {
        self.senders.insert(from, Sender::LookedUp(applied));
    }

    /// Has a sender forget what nobody here wants to know, instead of looking up how far it was applied.
    pub fn pass(&mut self, from: EntityId) {
        if let Some(Sender::LookingUp(waiting)) = self.senders.remove(&from) {
            waiting.iter().for_each(Batch::applied);
        }
    }

    /// Takes a batch. What is to be applied counts as applied from now on: room for the commit is reserved before. The store
    /// is asked once for each sender, as it does not know yet what is on its way.
    pub fn take(&mut self, mut batch: Batch) -> Taken {
        let from = batch.from;
        let applied = match self.senders.entry(from) {
            Entry::Vacant(vacant) => {
                vacant.insert(Sender::LookingUp(vec![batch]));
                return Taken::LookUp(from);
            }
            Entry::Occupied(occupied) => match occupied.into_mut() {
                Sender::LookingUp(waiting) => {
                    waiting.push(batch);
                    return Taken::Waiting;
                }
                Sender::LookedUp(applied) => applied,
            },
        };
        let known = applied.filter(|known| known.incarnation == batch.incarnation);
        let up_to = match known {
            Some(known) if !is_undone("signal_deduplication") => known.version,
            _ => 0,
        };
        if batch.version() <= up_to {
            return Taken::Known(batch);
        }
        batch.signals.retain(|signal| signal.version > up_to);
        let now_applied = Applied {
            from,
            incarnation: batch.incarnation,
            version: batch.version(),
        };
        *applied = Some(now_applied);
        Taken::Apply(batch, now_applied)
    }

    /// What the store knows of a sender. Returns the batches that waited for it, to be taken again. When it could not be read,
    /// they are refused.
    pub fn looked_up(
        &mut self,
        from: EntityId,
        found: Result<Option<Applied>, StoreError>,
    ) -> Vec<Batch> {
        let Some(Sender::LookingUp(waiting)) = self.senders.remove(&from) else {
            return Vec::new();
        };
        match found {
            Ok(applied) => {
                self.senders.insert(from, Sender::LookedUp(applied));
                waiting
            }
            Err(error) => {
                tracing::warn!(%from, %error, "signals have to be sent again");
                waiting.iter().for_each(Batch::refused);
                Vec::new()
            }
        }
    }

    /// Refuses what waits: this life has ended.
    pub fn refuse_all(self) {
        for sender in self.senders.into_values() {
            if let Sender::LookingUp(waiting) = sender {
                waiting.iter().for_each(Batch::refused);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pitturu_store::memory::Memory;

    use super::*;
    use crate::sync::Mutex;

    fn entity(number: u8) -> EntityId {
        EntityId::new(Kind(number), [number; 10])
    }

    fn signal(to: u8, body: u8) -> Signal {
        Signal {
            to: entity(to),
            body: vec![body],
        }
    }

    /// A sender, and what it has sent.
    fn outgoing() -> (Outgoing, Arc<Mutex<Vec<Batch>>>) {
        let (routes, sent) = (
            Arc::new(Routes::default()),
            Arc::new(Mutex::new(Vec::new())),
        );
        for target in [2, 3] {
            let sent = Arc::clone(&sent);
            routes.add(Kind(target), move |delivery| match delivery {
                Delivery::Signals(batch) => sent.lock().push(batch),
                other => panic!("no target is sent {other:?}"),
            });
        }
        let journal = Journal::begin(entity(1), Memory::new().fence());
        (Outgoing::new(&journal, Vec::new(), routes), sent)
    }

    fn receipt(by: u8, up_to: Option<u64>) -> Receipt {
        Receipt {
            to: entity(1),
            by: entity(by),
            up_to,
        }
    }

    /// The numbers of the signals of each batch that was sent.
    fn numbers(sent: &Mutex<Vec<Batch>>) -> Vec<Vec<(u64, u16)>> {
        let batches = std::mem::take(&mut *sent.lock());
        let numbers = |batch: &Batch| {
            let signals = batch.signals.iter();
            signals
                .map(|signal| (signal.version, signal.index))
                .collect()
        };
        batches.iter().map(numbers).collect()
    }

    #[test]
    fn what_one_commit_tells_one_target_is_never_parted() {
        let (mut outgoing, sent) = outgoing();
        outgoing.decided(
            4,
            vec![signal(2, 1), signal(3, 1), signal(2, 2)],
            Steady::at_ms(0),
        );
        assert_eq!(numbers(&sent), [vec![(4, 0), (4, 2)], vec![(4, 1)]]);
        let many = (0..=BATCH_MAX).map(|_| signal(2, 3)).collect();
        outgoing.decided(5, many, Steady::at_ms(0));
        outgoing.decided(6, vec![signal(2, 4)], Steady::at_ms(0));
        assert!(numbers(&sent).is_empty(), "one batch at a time");
        assert_eq!(
            outgoing.take_receipt(&receipt(2, Some(4)), Steady::at_ms(0)),
            [(4, 0), (4, 2)]
        );
        let batch = &numbers(&sent)[0];
        assert_eq!(batch.len(), BATCH_MAX + 1);
        assert!(batch.iter().all(|(version, _)| *version == 5));
        assert_eq!(
            outgoing
                .take_receipt(&receipt(2, Some(5)), Steady::at_ms(0))
                .len(),
            BATCH_MAX + 1
        );
        assert_eq!(numbers(&sent), [vec![(6, 0)]]);
        assert_eq!(
            outgoing.take_receipt(&receipt(2, Some(6)), Steady::at_ms(0)),
            [(6, 0)]
        );
        assert_eq!(
            outgoing.take_receipt(&receipt(3, Some(4)), Steady::at_ms(0)),
            [(4, 1)]
        );
        assert!(outgoing.is_empty());
    }

    #[test]
    fn what_is_refused_or_never_answered_is_sent_again_after_a_pause() {
        let (mut outgoing, sent) = outgoing();
        outgoing.decided(1, vec![signal(2, 1)], Steady::at_ms(0));
        assert_eq!(numbers(&sent).len(), 1);
        assert!(
            outgoing
                .take_receipt(&receipt(2, None), Steady::at_ms(5))
                .is_empty()
        );
        outgoing.tick(Steady::at_ms(RETRY_MS - 1));
        assert!(numbers(&sent).is_empty(), "not yet");
        outgoing.tick(Steady::at_ms(RETRY_MS));
        assert_eq!(numbers(&sent), [vec![(1, 0)]]);
        outgoing.tick(Steady::at_ms(2 * RETRY_MS));
        assert_eq!(numbers(&sent), [vec![(1, 0)]]);
    }

    #[test]
    fn nothing_is_applied_twice_and_another_incarnation_begins_anew() {
        let (mut outgoing, sent) = outgoing();
        let mut incoming = Incoming::default();
        outgoing.decided(3, vec![signal(2, 1)], Steady::at_ms(0));
        let batch = |version: u64, incarnation: u64, routes: &Arc<Routes>| Batch {
            to: entity(2),
            from: entity(1),
            incarnation,
            signals: (1..=version)
                .map(|version| Numbered {
                    version,
                    index: 0,
                    body: Vec::new(),
                })
                .collect(),
            routes: Arc::clone(routes),
        };
        let routes = Arc::clone(&sent.lock()[0].routes);
        let first = incoming.take(batch(2, 7, &routes));
        assert!(matches!(first, Taken::LookUp(from) if from == entity(1)));
        assert!(matches!(
            incoming.take(batch(3, 7, &routes)),
            Taken::Waiting
        ));
        assert!(!incoming.is_quiet());
        let known = Applied {
            from: entity(1),
            incarnation: 7,
            version: 1,
        };
        let mut waiting = incoming.looked_up(entity(1), Ok(Some(known)));
        assert_eq!(waiting.len(), 2);
        let versions = |taken: Taken| match taken {
            Taken::Apply(batch, applied) => {
                assert_eq!(applied.version, batch.version());
                batch.signals.iter().map(|signal| signal.version).collect()
            }
            _ => Vec::new(),
        };
        assert_eq!(versions(incoming.take(waiting.remove(0))), [2]);
        assert_eq!(versions(incoming.take(waiting.remove(0))), [3]);
        assert!(matches!(
            incoming.take(batch(3, 7, &routes)),
            Taken::Known(_)
        ));
        assert_eq!(versions(incoming.take(batch(1, 8, &routes))), [1]);
    }
}
