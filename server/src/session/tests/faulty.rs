//! Entities of a store that refuses and fails when it is told to.
//!
//! Only commits of rooms are counted and spoilt. Those that apply signals fail apart from the others: players apply what rooms tell
//! them whenever they do, and would take another's turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;
use pitturu_store::entities::{
    Applied, Bounds, Claimed, Commit, Entities, EntityId, Fence, Glance, KeyedResult, List, Loaded,
    Numbered, OpenCommit, Part, Reading, Row, RowKey, RowRange, Space, Span, Undelivered,
};
use pitturu_store::reservation::Reservation;
use pitturu_store::{Done, StoreError};
use tokio::sync::watch;

use crate::chat::store::ROOM;

type Listener = Arc<dyn Fn() + Send + Sync>;

/// Passes on to real entities what it is not told to refuse or to fail.
pub(super) struct FaultyEntities {
    entities: Arc<dyn Entities>,
    refusal: Mutex<Option<StoreError>>,
    failing: Mutex<Option<Failing>>,
    /// The entity whose commits that apply signals fail.
    failing_applying: Mutex<Option<EntityId>>,
    loads: Mutex<HashMap<EntityId, usize>>,
    asked: AtomicUsize,
    changed: AtomicUsize,
    commits: AtomicUsize,
    /// Commits that pass before one is spoilt.
    before_spoilt: Mutex<Option<usize>>,
    recalls_held: watch::Sender<bool>,
    /// So many of the next reads of single rows fail.
    failing_points: AtomicUsize,
    /// What was read of pages of this entity's rows comes later.
    rows_held: watch::Sender<Option<EntityId>>,
    /// What was seen of these two at a glance comes later.
    glances_held: watch::Sender<Option<[EntityId; 2]>>,
    listener: Mutex<Option<Listener>>,
    /// The next commit of this entity fails, and nobody hears of it until [`Self::release_failure`].
    failing_late: Mutex<Option<EntityId>>,
    failed_late: Mutex<Option<HeldReport>>,
    /// Reports that are held back, while they are.
    held_reports: Arc<Mutex<Option<Vec<HeldReport>>>>,
}

/// How many of the next commits and loads of an entity fail.
struct Failing {
    entity: EntityId,
    commits: usize,
    loads: usize,
}

type HeldReport = Box<dyn FnOnce() + Send>;

impl FaultyEntities {
    pub(super) fn new(entities: Arc<dyn Entities>) -> Self {
        Self {
            entities,
            refusal: Mutex::new(None),
            failing: Mutex::new(None),
            failing_applying: Mutex::new(None),
            loads: Mutex::default(),
            asked: AtomicUsize::new(0),
            changed: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
            before_spoilt: Mutex::new(None),
            recalls_held: watch::Sender::new(false),
            failing_points: AtomicUsize::new(0),
            rows_held: watch::Sender::new(None),
            glances_held: watch::Sender::new(None),
            listener: Mutex::new(None),
            failing_late: Mutex::new(None),
            failed_late: Mutex::new(None),
            held_reports: Arc::default(),
        }
    }

    /// From now on no room is kept for commits, for this reason; `None`: it is.
    pub(super) fn refuse(&self, refusal: Option<StoreError>) {
        *self.refusal.lock() = refusal;
    }

    /// The next commits of an entity that apply no signals fail after they were handed over, and so do its next loads.
    pub(super) fn fail(&self, entity: EntityId, commits: usize, loads: usize) {
        *self.failing.lock() = Some(Failing {
            entity,
            commits,
            loads,
        });
    }

    /// The next commit of the entity fails, and is reported by [`Self::release_failure`] only.
    pub(super) fn fail_late(&self, entity: EntityId) {
        *self.failing_late.lock() = Some(entity);
    }

    /// Whether that commit came.
    pub(super) fn has_failed_late(&self) -> bool {
        self.failed_late.lock().is_some()
    }

    /// Reports the failure that was held back.
    pub(super) fn release_failure(&self) {
        if let Some(report) = self.failed_late.lock().take() {
            report();
        }
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener();
        }
    }

    /// From now on this entity applies no signals: its commits that would fail.
    pub(super) fn fail_applying(&self, entity: Option<EntityId>) {
        *self.failing_applying.lock() = entity;
    }

    /// Whether this one fails, of those of its entity that `left` picks.
    fn fails(&self, entity: EntityId, left: impl FnOnce(&mut Failing) -> &mut usize) -> bool {
        let mut failing = self.failing.lock();
        let Some(failing) = failing.as_mut().filter(|failing| failing.entity == entity) else {
            return false;
        };
        let left = left(failing);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        fails
    }

    /// Of the commits of rooms from now on, the one behind so many others is refused in its turn.
    pub(super) fn spoil_behind(&self, commits: usize) {
        *self.before_spoilt.lock() = Some(commits);
    }

    /// How many commits of rooms were handed over.
    pub(super) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    /// Nobody finds a result, or finds none, until they are not held any more.
    pub(super) fn hold_recalls(&self, hold: bool) {
        self.recalls_held.send_replace(hold);
    }

    /// So many of the next reads of rows by their keys fail, alone or with an entity's head.
    pub(super) fn fail_point_reads(&self, count: usize) {
        self.failing_points.store(count, Ordering::SeqCst);
    }

    /// Whether one of these is still to fail.
    pub(super) fn fails_point_reads(&self) -> bool {
        self.failing_points.load(Ordering::SeqCst) > 0
    }

    fn fails_point_read(&self) -> bool {
        let left = &self.failing_points;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    }

    /// What is read of pages of this entity's rows does not come until they are not held any more.
    pub(super) fn hold_rows(&self, entity: Option<EntityId>) {
        self.rows_held.send_replace(entity);
    }

    /// What is seen of these two at a glance does not come until they are not held any more.
    pub(super) fn hold_glances(&self, of: Option<[EntityId; 2]>) {
        self.glances_held.send_replace(of);
    }

    /// From now on commits are carried out, and can be read, and nobody hears that they are.
    pub(super) fn hold_reports(&self) {
        *self.held_reports.lock() = Some(Vec::new());
    }

    /// Reports what was held back.
    pub(super) fn release_reports(&self) {
        let held = self.held_reports.lock().take();
        held.into_iter().flatten().for_each(|report| report());
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener();
        }
    }

    /// How often anything was asked of the store. Not counted is what the server asks by itself, now and then: upkeep, the delivery
    /// of signals, lists.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How often it was asked to change anything.
    pub(super) fn changed(&self) -> usize {
        self.changed.load(Ordering::SeqCst)
    }

    /// The real ones, for a read.
    fn asking(&self) -> &dyn Entities {
        self.asked.fetch_add(1, Ordering::SeqCst);
        &*self.entities
    }

    /// The real ones, for a change.
    fn changing(&self) -> &dyn Entities {
        self.changed.fetch_add(1, Ordering::SeqCst);
        self.asking()
    }

    /// How often an entity was loaded, or was to be.
    pub(super) fn loads(&self, entity: EntityId) -> usize {
        self.loads.lock().get(&entity).copied().unwrap_or_default()
    }
}

/// What was read, once it is held no longer.
fn later<T: Send + 'static, H: Send + Sync + 'static>(
    held: &watch::Sender<H>,
    is_held: impl Fn(&H) -> bool + Send + Sync + 'static,
    reading: Reading<T>,
) -> Reading<T> {
    if !is_held(&held.borrow()) {
        return reading;
    }
    let mut held = held.subscribe();
    async move {
        let found = reading.await;
        held.wait_for(|held| !is_held(held))
            .await
            .expect("the store stays");
        found
    }
    .boxed()
}

fn broken() -> StoreError {
    StoreError::unavailable("a test")
}

impl Entities for FaultyEntities {
    fn epoch(&self) -> u64 {
        self.entities.epoch()
    }

    fn fence(&self) -> Fence {
        self.entities.fence()
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        match &*self.refusal.lock() {
            Some(refusal) => Err(refusal.clone()),
            None => self.entities.reserve(bytes),
        }
    }

    fn commit(&self, reservation: Reservation, commit: OpenCommit, done: Done) {
        let (entity, applies) = commit.look(|commit| (commit.entity, commit.applied.is_some()));
        let mut commit = commit;
        if entity.kind() == ROOM {
            self.commits.fetch_add(1, Ordering::SeqCst);
            let mut before_spoilt = self.before_spoilt.lock();
            match *before_spoilt {
                Some(0) => {
                    *before_spoilt = None;
                    // It rests on nothing that will ever be there.
                    let mut spoilt = commit.look(Commit::clone);
                    spoilt.version += 1 << 32;
                    commit = spoilt.into();
                }
                Some(before) => *before_spoilt = Some(before - 1),
                None => {}
            }
        }
        let mut failing_late = self.failing_late.lock();
        if *failing_late == Some(entity) {
            *failing_late = None;
            *self.failed_late.lock() = Some(Box::new(move || done(Err(broken()))));
            return;
        }
        drop(failing_late);
        let fails = match applies {
            true => *self.failing_applying.lock() == Some(entity),
            false => self.fails(entity, |failing| &mut failing.commits),
        };
        if !fails {
            let held = Arc::clone(&self.held_reports);
            let done = Box::new(move |outcome| match held.lock().as_mut() {
                Some(held) => held.push(Box::new(move || done(outcome))),
                None => done(outcome),
            });
            return self.changing().commit(reservation, commit, done);
        }
        let listener = self.listener.lock().clone();
        std::thread::spawn(move || {
            done(Err(broken()));
            if let Some(listener) = listener {
                listener();
            }
        });
    }

    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool {
        let listener: Listener = listener.into();
        *self.listener.lock() = Some(Arc::clone(&listener));
        self.entities
            .listen_to_reports(Box::new(move || listener()))
    }

    fn load(&self, entity: EntityId, parts: Vec<Part>) -> Reading<Option<Loaded>> {
        *self.loads.lock().entry(entity).or_default() += 1;
        if self.fails(entity, |failing| &mut failing.loads) {
            return async { Err(broken()) }.boxed();
        }
        self.asking().load(entity, parts)
    }

    fn glances(&self, entities: Vec<EntityId>, rows: Vec<RowKey>) -> Reading<Vec<Option<Glance>>> {
        if !rows.is_empty() && self.fails_point_read() {
            return async { Err(broken()) }.boxed();
        }
        let reading = self.asking().glances(entities.clone(), rows);
        let is_held = move |held: &Option<[EntityId; 2]>| {
            held.is_some_and(|of| {
                of.len() == entities.len() && of.iter().all(|of| entities.contains(of))
            })
        };
        later(&self.glances_held, is_held, reading)
    }

    fn rows_of(&self, wanted: Vec<(EntityId, RowKey)>) -> Reading<Vec<Option<Vec<u8>>>> {
        if self.fails_point_read() {
            return async { Err(broken()) }.boxed();
        }
        self.asking().rows_of(wanted)
    }

    fn rows(&self, entity: EntityId, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        let reading = self.asking().rows(entity, range, bounds);
        later(&self.rows_held, move |held| *held == Some(entity), reading)
    }

    fn entries(
        &self,
        entity: EntityId,
        stream: u8,
        span: Span,
        bounds: Bounds,
    ) -> Reading<Vec<Numbered>> {
        self.asking().entries(entity, stream, span, bounds)
    }

    fn recall(&self, entity: EntityId, user: UserId, key: &str) -> Reading<Option<KeyedResult>> {
        if !*self.recalls_held.borrow() {
            return self.asking().recall(entity, user, key);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut held = self.recalls_held.subscribe();
        let (entities, key) = (Arc::clone(&self.entities), key.to_owned());
        async move {
            held.wait_for(|held| !held).await.expect("the store stays");
            entities.recall(entity, user, &key).await
        }
        .boxed()
    }

    fn list(&self, list: List, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        self.entities.list(list, range, bounds)
    }

    fn claim(
        &self,
        space: Space,
        key: RowKey,
        entity: EntityId,
        instead_of: Option<EntityId>,
    ) -> Reading<Claimed> {
        self.changing().claim(space, key, entity, instead_of)
    }

    fn claimed(&self, space: Space, key: &[u8]) -> Reading<Option<EntityId>> {
        self.asking().claimed(space, key)
    }

    fn release(&self, space: Space, key: RowKey, entity: EntityId) -> Reading<()> {
        self.changing().release(space, key, entity)
    }

    fn remove(&self, entity: EntityId, range: RowRange) -> Reading<()> {
        self.changing().remove(entity, range)
    }

    fn trim(&self, entity: EntityId) -> Reading<()> {
        self.entities.trim(entity)
    }

    fn sweep(&self, now: u64) -> Reading<bool> {
        self.entities.sweep(now)
    }

    fn applied(&self, target: EntityId, from: EntityId) -> Reading<Option<Applied>> {
        self.asking().applied(target, from)
    }

    fn undelivered(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
        limit: usize,
    ) -> Reading<Vec<Undelivered>> {
        self.entities.undelivered(entity, after, limit)
    }

    fn delivered(&self, entity: EntityId, signals: Vec<(u64, u16)>) -> Reading<()> {
        self.entities.delivered(entity, signals)
    }

    fn senders(&self, after: Option<EntityId>, limit: usize) -> Reading<Vec<EntityId>> {
        self.entities.senders(after, limit)
    }
}
