//! The store of entities in memory, for tests: what each promise of [`Entities`] means, in as little code as says it, and what
//! a disk does now and then, on demand.
//!
//! - `state`: what is decided, in sorted maps; how a commit changes it, and all reads;
//! - `writer`: the queue with its bounds, and the thread that carries out and reports.
//!
//! Beside the port, [`Memory`] has controls. They hold the writer or loads back, refuse reservations, let commits or loads fail,
//! and end the store as a crash does. What commits do then:
//!
//! | control | a commit that was handed over |
//! |---|---|
//! | [`Memory::hold_writer`] | waits, and those behind it |
//! | [`Memory::refuse_reservations`] | is not touched |
//! | [`Memory::fail_commits`], [`Failure::Lost`] | fails; others go on under the next fence |
//! | [`Memory::fail_commits`], [`Failure::Unknown`] | fails; so does everything until [`Memory::recover`] |
//! | [`Memory::restart`] | is carried out before |
//! | [`Memory::crash`] | is told that it failed, and may be found or not |

mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;
use tokio::sync::oneshot;

use self::state::State;
use self::writer::{Job, Shared};
use crate::entities::{
    Applied, Bounds, Claimed, Commit, Entities, EntityId, Fence, Glance, KeyedResult, List, Loaded,
    Numbered, OpenCommit, Part, Reading, Row, RowKey, RowRange, Space, Span, Undelivered,
};
use crate::reservation::{Reservation, Reserved};
use crate::{Done, StoreError};

/// Most jobs that wait for the writer, unless the test says otherwise.
pub const JOBS_MAX: usize = 16_384;

/// Most bytes of commits that wait for the writer, unless the test says otherwise.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What becomes of a commit that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is lost. The store goes on at once, under the next fence.
    Lost,
    /// It may be on the disk. The store takes nothing and loads nothing until [`Memory::recover`] has taken it back, or a crash
    /// has decided. Other reads go on, and do not show it.
    Unknown,
}

/// A store of entities in memory. Clones share it; with the last one it closes.
#[derive(Clone)]
pub struct Memory {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (jobs, bytes) = self.waiting();
        write!(f, "Memory({jobs} jobs of {bytes} bytes wait)")
    }
}

impl Memory {
    /// An empty store that keeps room for [`JOBS_MAX`] and [`BYTES_MAX`].
    pub fn new() -> Self {
        Self::with_room(JOBS_MAX, BYTES_MAX)
    }

    /// An empty store in which so many jobs may wait, their commits with so many bytes.
    pub fn with_room(jobs: usize, bytes: usize) -> Self {
        Self::start(Shared::new(State::default(), 1, jobs, bytes))
    }

    fn start(shared: Arc<Shared>) -> Self {
        let writer = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("memory-writer".to_owned())
            .spawn(move || writer.write())
            .expect("a test can start a thread");
        Self {
            handle: Arc::new(Handle {
                shared,
                writer: Mutex::new(Some(writer)),
            }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// A store with this state and the same room, whose fence is none that this one has handed out.
    fn successor(&self, state: State) -> Self {
        let shared = self.shared();
        let fence = shared.lock().fence + 1;
        let (jobs, bytes) = (shared.jobs_max, shared.bytes_max);
        Self::start(Shared::new(state, fence, jobs, bytes))
    }
}

/// Controls for tests.
impl Memory {
    /// What is handed over from now on, and what waits, is not carried out until [`Self::release_writer`].
    pub fn hold_writer(&self) {
        self.shared().set(|inner| inner.is_held = true);
    }

    /// The writer goes on.
    pub fn release_writer(&self) {
        self.shared().set(|inner| inner.is_held = false);
    }

    /// Every reservation is refused with this from now on, or no longer.
    pub fn refuse_reservations(&self, refusal: Option<StoreError>) {
        self.shared().set(|inner| inner.refusal = refusal);
    }

    /// The next so many commits that would otherwise be looked at fail in this way, and each raises the fence before it
    /// is reported.
    pub fn fail_commits(&self, commits: usize, failure: Failure) {
        self.shared()
            .set(|inner| inner.failures = (commits, failure));
    }

    /// Takes commits of unknown outcome back. The store writes and loads again.
    pub fn recover(&self) {
        self.shared().set(|inner| inner.unknown.clear());
    }

    /// Loads are still carried out in their turn, and their results kept back until [`Self::release_loads`].
    pub fn hold_loads(&self) {
        self.shared().set(|inner| {
            inner.loads_held.get_or_insert_default();
        });
    }

    /// Hands out the results of loads that were kept back; later ones are handed out at once.
    pub fn release_loads(&self) {
        let held = self.shared().lock().loads_held.take();
        for report in held.into_iter().flatten() {
            report();
        }
    }

    /// The next so many loads fail with [`StoreError::Unavailable`].
    pub fn fail_loads(&self, loads: usize) {
        self.shared().set(|inner| inner.loads_failing = loads);
    }

    /// A day passes for the results of keyed calls: those of the day before are forgotten.
    pub fn turn_results(&self) {
        self.shared().set(|inner| inner.state.turn_results());
    }

    /// Jobs that wait for the writer, and the bytes of commits among them.
    pub fn waiting(&self) -> (usize, usize) {
        self.shared().waiting()
    }

    /// Closes the store in an orderly way and opens it again: everything that was handed over is carried out and reported first.
    /// Blocks until reservations are given back. This store is closed then.
    pub fn restart(&self) -> Self {
        self.shared().close();
        let writer = self.handle.writer.lock().take();
        if let Some(writer) = writer {
            writer.join().expect("reports do not end the writer");
        }
        let state = {
            let mut inner = self.shared().lock();
            inner.is_gone = true;
            std::mem::take(&mut inner.state)
        };
        self.successor(state)
    }

    /// Ends the store as a crash does, and opens what is left. Commits that were reported as done are there. Of the others that
    /// were handed over, those of unknown outcome among them, `found` says which; one that rests on another that was not found
    /// is not there either. All of them are told that they failed. This store is closed then.
    pub fn crash(&self, found: impl FnMut(&Commit) -> bool) -> Self {
        let state = self.shared().lock().crash(found);
        self.shared().close();
        self.successor(state)
    }
}

impl Memory {
    /// What `look` finds in the decided state at this moment.
    fn read<T: Send + 'static>(&self, look: impl FnOnce(&State) -> T) -> Reading<T> {
        let inner = self.shared().lock();
        let found = if inner.is_gone {
            Err(inner.unavailable())
        } else {
            Ok(look(&inner.state))
        };
        std::future::ready(found).boxed()
    }
}

/// Has the writer carry out a change in its turn; whether there is more of it to do.
async fn change(
    shared: Arc<Shared>,
    change: impl FnOnce(&mut State) -> bool + Send + 'static,
) -> Result<bool, StoreError> {
    let (reply, outcome) = oneshot::channel();
    shared.queue(Job::Change(Box::new(change), reply))?;
    answer(outcome).await
}

/// Has the writer carry out a change in its turn; what it returns.
async fn change_once<T: Send + 'static>(
    shared: Arc<Shared>,
    once: impl FnOnce(&mut State) -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (found, result) = oneshot::channel();
    let carry_out = move |state: &mut State| {
        // Whoever does not wait any more does not want to know.
        drop(found.send(Ok(once(state))));
        false
    };
    change(shared, carry_out).await?;
    answer(result).await
}

/// Has the writer carry out a change piece by piece, with other jobs between.
async fn change_in_pieces(
    shared: Arc<Shared>,
    piece: impl Fn(&mut State) -> bool + Clone + Send + 'static,
) -> Result<(), StoreError> {
    while change(Arc::clone(&shared), piece.clone()).await? {}
    Ok(())
}

/// What the writer replies; without a reply it is closed.
async fn answer<T>(outcome: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    outcome.await.unwrap_or_else(|_| Err(StoreError::closed()))
}

impl Entities for Memory {
    fn epoch(&self) -> u64 {
        1
    }

    fn fence(&self) -> Fence {
        Fence(self.shared().lock().fence)
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        self.shared().reserve(bytes)?;
        let store = Arc::clone(self.shared()) as Arc<dyn Reserved>;
        Ok(Reservation::new(store, bytes))
    }

    fn commit(&self, reservation: Reservation, commit: OpenCommit, done: Done) {
        self.shared()
            .hand_over(commit, reservation.into_bytes(), done);
    }

    fn listen_to_reports(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool {
        self.shared().listener.set(listener).is_ok()
    }

    fn load(&self, entity: EntityId, parts: Vec<Part>) -> Reading<Option<Loaded>> {
        let (reply, outcome) = oneshot::channel();
        let queued = self.shared().queue(Job::Load(entity, parts, reply));
        async move {
            queued?;
            answer(outcome).await
        }
        .boxed()
    }

    fn glances(&self, entities: Vec<EntityId>, rows: Vec<RowKey>) -> Reading<Vec<Option<Glance>>> {
        self.read(|state| {
            let glances = entities.iter().map(|entity| state.glance(*entity, &rows));
            glances.collect()
        })
    }

    fn rows_of(&self, wanted: Vec<(EntityId, RowKey)>) -> Reading<Vec<Option<Vec<u8>>>> {
        self.read(|state| {
            let rows = wanted.iter().map(|(entity, key)| state.row(*entity, key));
            rows.collect()
        })
    }

    fn rows(&self, entity: EntityId, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        self.read(|state| state.rows(entity, &range, bounds))
    }

    fn entries(
        &self,
        entity: EntityId,
        stream: u8,
        span: Span,
        bounds: Bounds,
    ) -> Reading<Vec<Numbered>> {
        self.read(|state| state.entries(entity, stream, span, bounds))
    }

    fn recall(&self, entity: EntityId, user: UserId, key: &str) -> Reading<Option<KeyedResult>> {
        self.read(|state| state.recall(entity, user, key))
    }

    fn list(&self, list: List, range: RowRange, bounds: Bounds) -> Reading<Vec<Row>> {
        self.read(|state| state.list(list, &range, bounds))
    }

    fn claim(
        &self,
        space: Space,
        key: RowKey,
        entity: EntityId,
        instead_of: Option<EntityId>,
    ) -> Reading<Claimed> {
        let claim = move |state: &mut State| state.claim(space, key, entity, instead_of);
        change_once(Arc::clone(self.shared()), claim).boxed()
    }

    fn claimed(&self, space: Space, key: &[u8]) -> Reading<Option<EntityId>> {
        self.read(|state| state.claimed(space, key))
    }

    fn release(&self, space: Space, key: RowKey, entity: EntityId) -> Reading<()> {
        let release = move |state: &mut State| state.release(space, key, entity);
        change_once(Arc::clone(self.shared()), release).boxed()
    }

    fn remove(&self, entity: EntityId, range: RowRange) -> Reading<()> {
        let piece = move |state: &mut State| state.remove(entity, &range);
        change_in_pieces(Arc::clone(self.shared()), piece).boxed()
    }

    fn trim(&self, entity: EntityId) -> Reading<()> {
        let piece = move |state: &mut State| state.trim(entity);
        change_in_pieces(Arc::clone(self.shared()), piece).boxed()
    }

    fn sweep(&self, now: u64) -> Reading<bool> {
        change(Arc::clone(self.shared()), move |state| state.sweep(now)).boxed()
    }

    fn applied(&self, target: EntityId, from: EntityId) -> Reading<Option<Applied>> {
        self.read(|state| state.applied(target, from))
    }

    fn undelivered(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
        limit: usize,
    ) -> Reading<Vec<Undelivered>> {
        self.read(|state| state.undelivered(entity, after, limit))
    }

    fn delivered(&self, entity: EntityId, signals: Vec<(u64, u16)>) -> Reading<()> {
        let shared = Arc::clone(self.shared());
        async move {
            let deliver = move |state: &mut State| state.deliver(entity, &signals);
            change_once(shared, deliver).await
        }
        .boxed()
    }

    fn senders(&self, after: Option<EntityId>, limit: usize) -> Reading<Vec<EntityId>> {
        self.read(|state| state.senders(after, limit))
    }
}
