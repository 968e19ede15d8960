//! Rooms of a store that refuses and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::rows::{MemberRow, RoomRow};
use pitturu_store::reservation::Reservation;
use pitturu_store::rooms::{Fence, LoadedRoom, RoomSummary, RoomWrite, Rooms, RoomsPage};
use pitturu_store::{Done, StoreError};

type Listener = Arc<dyn Fn() + Send + Sync>;

/// Passes on to real rooms what it is not told to refuse or to fail.
pub(super) struct FaultyRooms {
    rooms: Arc<dyn Rooms>,
    refusal: Mutex<Option<StoreError>>,
    writes_to_fail: AtomicUsize,
    loads_to_fail: AtomicUsize,
    loads: AtomicUsize,
    listener: Mutex<Option<Listener>>,
}

impl FaultyRooms {
    pub(super) fn new(rooms: Arc<dyn Rooms>) -> Self {
        Self {
            rooms,
            refusal: Mutex::new(None),
            writes_to_fail: AtomicUsize::new(0),
            loads_to_fail: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            listener: Mutex::new(None),
        }
    }

    /// From now on no room is kept for writes, for this reason; `None`: it is.
    pub(super) fn refuse(&self, refusal: Option<StoreError>) {
        *self.refusal.lock() = refusal;
    }

    /// The next writes fail after they were handed over, and so do the next loads.
    pub(super) fn fail(&self, writes: usize, loads: usize) {
        self.loads_to_fail.store(loads, Ordering::SeqCst);
        self.writes_to_fail.store(writes, Ordering::SeqCst);
    }

    /// How often a room was loaded, or was to be.
    pub(super) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

fn fails(left: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}

fn broken() -> StoreError {
    StoreError::unavailable("a test")
}

impl Rooms for FaultyRooms {
    fn fence(&self) -> Fence {
        self.rooms.fence()
    }

    fn load(&self, room: RoomId) -> BoxFuture<'static, Result<Option<LoadedRoom>, StoreError>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if fails(&self.loads_to_fail) {
            return async { Err(broken()) }.boxed();
        }
        self.rooms.load(room)
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, StoreError> {
        match &*self.refusal.lock() {
            Some(refusal) => Err(refusal.clone()),
            None => self.rooms.reserve(bytes),
        }
    }

    fn write(&self, reservation: Reservation, write: RoomWrite, done: Done) {
        if !fails(&self.writes_to_fail) {
            return self.rooms.write(reservation, write, done);
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
        self.rooms.listen_to_reports(Box::new(move || listener()))
    }

    fn summaries(
        &self,
        rooms: Vec<RoomId>,
    ) -> BoxFuture<'static, Result<Vec<RoomSummary>, StoreError>> {
        self.rooms.summaries(rooms)
    }

    fn public_rooms(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<RoomsPage, StoreError>> {
        self.rooms.public_rooms(after, limit)
    }

    fn search(
        &self,
        query: String,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'static, Result<RoomsPage, StoreError>> {
        self.rooms.search(query, after, limit)
    }

    fn rooms_of(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<(RoomId, MemberRow)>, StoreError>> {
        self.rooms.rooms_of(user, after, limit)
    }

    fn member(
        &self,
        room: RoomId,
        user: UserId,
    ) -> BoxFuture<'static, Result<Option<MemberRow>, StoreError>> {
        self.rooms.member(room, user)
    }

    fn rooms_page(
        &self,
        after: Option<RoomId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<RoomRow>, StoreError>> {
        self.rooms.rooms_page(after, limit)
    }

    fn remove_before(
        &self,
        room: RoomId,
        first: u64,
        changes_first: u64,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.rooms.remove_before(room, first, changes_first)
    }

    fn sweep(&self) -> BoxFuture<'static, Result<bool, StoreError>> {
        self.rooms.sweep()
    }
}
