//! Entities in memory that fail, or crash, at a step of the test's choice, and note what was decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;
use pitturu_store::entities::{
    Applied, Bounds, Claimed, Commit, Entities, EntityId, Fence, Glance, KeyedResult, List, Loaded,
    Numbered, OpenCommit, Part, Reading, Row, RowKey, RowRange, Space, Span, Undelivered,
};
use pitturu_store::memory::{Failure, Memory};
use pitturu_store::reservation::Reservation;
use pitturu_store::{Done, StoreError};

use crate::players::tests::PATIENCE;

/// How long the writer or loads are held back, and a failed disk stays so.
const HELD: Duration = Duration::from_millis(20);

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails. A commit is lost, a reservation refused.
    Fail,
    /// It fails. A commit may be on the disk, and the store takes a moment to find out.
    FailUnknown,
    /// It is held back for a moment, and what comes after it.
    Hold,
    /// The process crashes before it.
    CrashBefore,
    /// The process crashes after it was handed over. A commit may be there or not.
    CrashAfter,
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 5] = [
    Fault::Fail,
    Fault::FailUnknown,
    Fault::Hold,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// What was decided, over all lives of the store: the commits of each entity by version.
pub(crate) type Decided = BTreeMap<(EntityId, u64), Commit>;

/// What the lives of a store have in common.
#[derive(Default)]
struct Notes {
    decided: Decided,
    /// Commits that were handed over and not reported.
    on_their_way: usize,
}

/// What happens in this life of the store.
struct Plan {
    random: fastrand::Rng,
    steps: u64,
    /// What happens at which step.
    faults: BTreeMap<u64, Fault>,
    /// What happens at any other step: one in so many fails in some way.
    one_in: Option<u64>,
    /// A crash has begun: a step has come at which it happens, perhaps behind what it does.
    crashes: bool,
    /// What a crash has left.
    left: Option<Memory>,
    /// Nobody finds out what was applied.
    has_no_look_ups: bool,
    /// The next commit of this entity that applies signals is held back, and no room is kept from then on.
    holds: Option<EntityId>,
}

impl Plan {
    /// What happens at the next step.
    fn next_fault(&mut self) -> Option<Fault> {
        let step = self.steps;
        self.steps += 1;
        if let Some(fault) = self.faults.remove(&step) {
            return Some(fault);
        }
        let one_in = self.one_in?;
        if self.random.u64(..one_in) > 0 {
            return None;
        }
        // Crashes are expensive, and there are no two at once.
        let choice = self.random.usize(..FAULTS.len() + 4);
        Some(FAULTS.get(choice).copied().unwrap_or(Fault::Fail))
    }
}

/// A store that fails by plan.
#[derive(Clone)]
pub(crate) struct Faulty {
    memory: Memory,
    plan: Arc<Mutex<Plan>>,
    notes: Arc<Mutex<Notes>>,
}

impl Faulty {
    /// An empty store. `seed` says what a crash leaves of that which nobody was told.
    pub(crate) fn new(seed: u64) -> Self {
        Self::over(Memory::new(), seed, Arc::default())
    }

    fn over(memory: Memory, seed: u64, notes: Arc<Mutex<Notes>>) -> Self {
        let plan = Plan {
            random: fastrand::Rng::with_seed(seed),
            steps: 0,
            faults: BTreeMap::new(),
            one_in: None,
            crashes: false,
            left: None,
            has_no_look_ups: false,
            holds: None,
        };
        Self {
            memory,
            plan: Arc::new(Mutex::new(plan)),
            notes,
        }
    }

    /// Has this happen at the step of this number, counted from now, beginning at 0.
    pub(crate) fn at(&self, step: u64, fault: Fault) {
        let mut plan = self.plan.lock();
        let step = plan.steps + step;
        plan.faults.insert(step, fault);
    }

    /// From now on one step in so many fails in some way; `None`: nothing fails any more.
    pub(crate) fn fail_at_random(&self, one_in: Option<u64>) {
        let mut plan = self.plan.lock();
        plan.one_in = one_in;
        if one_in.is_none() {
            plan.faults.clear();
        }
    }

    /// Nobody finds out what was applied, or everybody does again.
    pub(crate) fn fail_look_ups(&self, fail: bool) {
        self.plan.lock().has_no_look_ups = fail;
    }

    /// Holds the next commit back by which this entity applies signals, and keeps no room from then on.
    pub(crate) fn hold_next_applied(&self, entity: EntityId) {
        self.plan.lock().holds = Some(entity);
    }

    /// Whether that commit was handed over.
    pub(crate) fn holds_applied(&self) -> bool {
        self.plan.lock().holds.is_none()
    }

    /// The store itself.
    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How many steps there were.
    pub(crate) fn steps(&self) -> u64 {
        self.plan.lock().steps
    }

    /// Whether it has crashed, or is about to: a step at which it crashes has begun, and nothing holds that up.
    pub(crate) fn has_crashed(&self) -> bool {
        self.plan.lock().crashes
    }

    /// What was decided so far.
    pub(crate) fn decided(&self) -> Decided {
        self.notes.lock().decided.clone()
    }

    /// The store as it is opened again, after a crash or in an orderly way. Blocks.
    pub(crate) fn reopen(&self) -> Self {
        let began = Instant::now();
        let left = loop {
            let mut plan = self.plan.lock();
            if plan.left.is_some() || !plan.crashes {
                break plan.left.take();
            }
            drop(plan);
            assert!(began.elapsed() < PATIENCE, "the crash does not come");
            std::thread::sleep(Duration::from_millis(1));
        };
        let memory = left.unwrap_or_else(|| self.memory.restart());
        while self.notes.lock().on_their_way > 0 {
            assert!(began.elapsed() < PATIENCE, "commits are not reported");
            std::thread::sleep(Duration::from_millis(1));
        }
        let seed = self.plan.lock().random.u64(..);
        Self::over(memory, seed, Arc::clone(&self.notes))
    }

    /// The next step's number goes up, and what happens at it comes back.
    fn step(&self) -> Option<Fault> {
        let mut plan = self.plan.lock();
        let fault = plan.next_fault();
        // From here on whoever asks is told: a test that goes on as if nothing happened would meet the crash later.
        plan.crashes |= matches!(fault, Some(Fault::CrashBefore | Fault::CrashAfter));
        fault
    }

    fn crash(&self) {
        let mut plan = self.plan.lock();
        if plan.left.is_some() {
            return;
        }
        plan.crashes = true;
        let mut found = Vec::new();
        let random = &mut plan.random;
        let left = self.memory.crash(|commit| {
            let is_found = random.bool();
            found.extend(is_found.then(|| commit.clone()));
            is_found
        });
        let mut notes = self.notes.lock();
        for commit in found {
            // One that rests on another that was not found is not there.
            let glances = left.glances(vec![commit.entity], Vec::new());
            let glances = glances.now_or_never().expect("it is in memory");
            let head = glances.unwrap()[0].as_ref().map(|glance| glance.head);
            if head.is_some_and(|head| {
                head.incarnation == commit.incarnation && head.version >= commit.version
            }) {
                notes
                    .decided
                    .insert((commit.entity, commit.version), commit);
            }
        }
        drop(notes);
        plan.left = Some(left);
    }

    /// What a step other than a commit or a reservation does: whether it fails.
    fn is_failing(&self) -> bool {
        match self.step() {
            None => false,
            Some(Fault::Fail | Fault::FailUnknown) => true,
            Some(Fault::Hold) => {
                self.hold();
                false
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.crash();
                true
            }
        }
    }

    fn hold(&self) {
        self.memory.hold_writer();
        self.memory.hold_loads();
        let memory = self.memory.clone();
        std::thread::spawn(move || {
            std::thread::sleep(HELD);
            memory.release_writer();
            memory.release_loads();
        });
    }

    fn read<T: Send + 'static>(&self, read: impl FnOnce(&Memory) -> Reading<T>) -> Reading<T> {
        if self.is_failing() {
            return std::future::ready(Err(broken())).boxed();
        }
        read(&self.memory)
    }

    /// The commit with a report that notes whether it was decided.
    fn hand_over(&self, reservation: Reservation, commit: OpenCommit, done: Done) {
        self.notes.lock().on_their_way += 1;
        let (notes, noted) = (Arc::clone(&self.notes), commit.clone());
        let done = move |outcome: Result<(), StoreError>| {
            {
                // With all that was added to it on its way.
                let noted = noted.look(Commit::clone);
                let mut notes = notes.lock();
                if outcome.is_ok() {
                    notes.decided.insert((noted.entity, noted.version), noted);
                }
                notes.on_their_way -= 1;
            }
            done(outcome);
        };
        self.memory.commit(reservation, commit, Box::new(done));
    }
}

fn broken() -> StoreError {
    StoreError::unavailable("a test")
}

/// Crashes the store when it goes, so also when nobody waits for what comes before.
struct Crash(Faulty);

impl Drop for Crash {
    fn drop(&mut self) {
        self.0.crash();
    }
}

impl Entities for Faulty {
    fn epoch(&self) -> u64 {
        self.memory.epoch()
    }

    fn fence(&self) -> Fence {
        self.memory.fence()
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        match self.step() {
            Some(Fault::Fail) => return Err(StoreError::Busy),
            Some(Fault::FailUnknown) => return Err(broken()),
            Some(Fault::Hold) => self.hold(),
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.crash();
                return Err(broken());
            }
            None => {}
        }
        self.memory.reserve(bytes)
    }

    fn commit(&self, reservation: Reservation, commit: OpenCommit, done: Done) {
        let mut plan = self.plan.lock();
        let held = commit.look(|commit| commit.applied.map(|_| commit.entity));
        if held.is_some() && plan.holds == held {
            self.memory.hold_writer();
            self.memory.refuse_reservations(Some(StoreError::Busy));
            plan.holds = None;
        }
        drop(plan);
        match self.step() {
            None => self.hand_over(reservation, commit, done),
            Some(Fault::Fail) => {
                self.memory.fail_commits(1, Failure::Lost);
                self.hand_over(reservation, commit, done);
            }
            Some(Fault::FailUnknown) => {
                self.memory.fail_commits(1, Failure::Unknown);
                self.hand_over(reservation, commit, done);
                let memory = self.memory.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(HELD);
                    // A commit that was refused for another reason has left it to the next one.
                    memory.fail_commits(0, Failure::Lost);
                    memory.recover();
                });
            }
            Some(Fault::Hold) => {
                self.hold();
                self.hand_over(reservation, commit, done);
            }
            Some(Fault::CrashBefore) => {
                self.crash();
                // It was reserved, so it can be handed over; it fails.
                self.hand_over(reservation, commit, done);
            }
            Some(Fault::CrashAfter) => {
                self.memory.hold_writer();
                self.hand_over(reservation, commit, done);
                self.crash();
            }
        }
    }

    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool {
        self.memory.listen_to_reports(listener)
    }

    fn load(&self, entity: EntityId, parts: Vec<Part>) -> Reading<Option<Loaded>> {
        self.read(|memory| memory.load(entity, parts))
    }

    fn glances(&self, entities: Vec<EntityId>, rows: Vec<RowKey>) -> Reading<Vec<Option<Glance>>> {
        self.read(|memory| memory.glances(entities, rows))
    }

    fn rows_of(&self, wanted: Vec<(EntityId, RowKey)>) -> Reading<Vec<Option<Vec<u8>>>> {
        self.read(|memory| memory.rows_of(wanted))
    }

    fn rows(&self, entity: EntityId, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        self.read(|memory| memory.rows(entity, range, bounds))
    }

    fn entries(
        &self,
        entity: EntityId,
        stream: u8,
        span: Span,
        bounds: Bounds,
    ) -> Reading<Vec<Numbered>> {
        self.read(|memory| memory.entries(entity, stream, span, bounds))
    }

    fn recall(&self, entity: EntityId, user: UserId, key: &str) -> Reading<Option<KeyedResult>> {
        self.read(|memory| memory.recall(entity, user, key))
    }

    fn list(&self, list: List, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        self.read(|memory| memory.list(list, range, bounds))
    }

    fn claim(
        &self,
        space: Space,
        key: RowKey,
        entity: EntityId,
        instead_of: Option<EntityId>,
    ) -> Reading<Claimed> {
        self.read(|memory| memory.claim(space, key, entity, instead_of))
    }

    fn claimed(&self, space: Space, key: &[u8]) -> Reading<Option<EntityId>> {
        self.read(|memory| memory.claimed(space, key))
    }

    fn release(&self, space: Space, key: RowKey, entity: EntityId) -> Reading<()> {
        self.read(|memory| memory.release(space, key, entity))
    }

    fn remove(&self, entity: EntityId, range: RowRange) -> Reading<()> {
        self.read(|memory| memory.remove(entity, range))
    }

    fn trim(&self, entity: EntityId) -> Reading<()> {
        self.read(|memory| memory.trim(entity))
    }

    fn sweep(&self, now: u64) -> Reading<bool> {
        self.read(|memory| memory.sweep(now))
    }

    fn applied(&self, target: EntityId, from: EntityId) -> Reading<Option<Applied>> {
        if self.plan.lock().has_no_look_ups {
            return std::future::ready(Err(broken())).boxed();
        }
        self.read(|memory| memory.applied(target, from))
    }

    fn undelivered(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
        limit: usize,
    ) -> Reading<Vec<Undelivered>> {
        self.read(|memory| memory.undelivered(entity, after, limit))
    }

    fn delivered(&self, entity: EntityId, signals: Vec<(u64, u16)>) -> Reading<()> {
        match self.step() {
            Some(Fault::Fail | Fault::FailUnknown) => std::future::ready(Err(broken())).boxed(),
            Some(Fault::CrashBefore) => {
                self.crash();
                std::future::ready(Err(broken())).boxed()
            }
            fault => {
                if fault == Some(Fault::Hold) {
                    self.hold();
                }
                let crash = (fault == Some(Fault::CrashAfter)).then(|| Crash(self.clone()));
                let delivering = self.memory.delivered(entity, signals);
                async move {
                    let delivered = delivering.await;
                    drop(crash);
                    delivered
                }
                .boxed()
            }
        }
    }

    fn senders(&self, after: Option<EntityId>, limit: usize) -> Reading<Vec<EntityId>> {
        self.read(|memory| memory.senders(after, limit))
    }
}
