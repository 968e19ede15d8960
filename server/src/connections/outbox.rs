//! What waits to be sent on one connection, bounded in bytes, by delivery class.
//!
//! | class | under pressure |
//! |---|---|
//! | answers | always taken: the driver stops reading calls while the outbox is above its high-water mark |
//! | durable | refused when full; the room then cuts the stream here and the driver back-fills it later |
//! | latest | goes before all that waits but the welcome and answers that were queued earlier, which may show an older state; replaces what waits under the same key; counts as waiting like the others, so it keeps their bounds. There are as many keys as rooms are open and friends are there |
//! | volatile | dropped above a quarter of the limit |
//!
//! # States
//! The driver's state and the rest of a message that was written only partly say who may write to the socket. All are kept under the one lock.
//!
//! | state | flags | a broadcast | an answer | the driver | what ends it |
//! |---|---|---|---|---|---|
//! | due, or the socket is full | none | is queued, and wakes the driver | is queued, and wakes the driver | was woken, or sleeps until the socket takes something | it begins a turn |
//! | turn | `driving` | is queued: `notified` | is queued: `notified` | looks, sends, reads | the end of the turn; with `notified` since the last look it goes on instead: at rest if nothing waits for the socket, otherwise the socket is full |
//! | at rest | `idle` | goes to the socket at once; refused, it is queued | is queued, and wakes the driver; a corked reply is kept back, unless the driver hears answers | sleeps | a corked reply: corked; a partial write: partly written; whatever is queued: due |
//! | corked | `idle`, `corked` | goes to the socket at once, in one message behind the replies | joins the replies; one that cannot wait is queued behind them | sleeps | the broadcast, or `uncork`: at rest; a partial write: partly written; refused, or something is queued: due |
//! | partly written | `partial_write` | is queued, and wakes the driver | is queued, and wakes the driver | was woken | a turn, which sends the rest before anything else |
//!
//! Why no wake-up is lost: whoever puts something in sees, under the lock, either `driving`, and then leaves `notified`, for which
//! the driver looks under the same lock before it rests, or a driver that does not drive, and then wakes it afterwards. The waker
//! is registered before `driving` is set, so whoever sees the end of a turn wakes whoever polled that turn. `server/model` tries
//! the interleavings.

use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::events::{Delivery, Event};
use pitturu_protocol::frame::{CallId, Cursor};
use pitturu_protocol::ids::{ID_BYTES, RoomId, UserId};
use smallvec::SmallVec;

use super::link::{Broadcast, InlineWriter};
use super::opening::Opening;
use crate::sync::AtomicWaker;
use crate::sync::{Mutex, MutexGuard};

mod driver_view;
mod inline;
mod line;

pub use self::driver_view::DriverView;
use self::line::Line;

/// Bytes that go into one message and one write at most, beyond the first frame.
pub const BATCH_BYTES: usize = 16 * 1024;

/// What a `latest` event is about: a newer one with the same key replaces it. The key is the event's number with the id of
/// what it is about, and a second id where that takes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestKey {
    event: u16,
    about: [u8; ID_BYTES],
    and: Option<[u8; ID_BYTES]>,
}

impl LatestKey {
    /// The key of `E` about the entity with this id. An event of another class than `latest` does not compile.
    pub fn of<E: Event>(about: impl Into<[u8; ID_BYTES]>) -> Self {
        const { assert!(matches!(E::INFO.delivery, Delivery::Latest)) };
        Self {
            event: E::NUMBER,
            about: about.into(),
            and: None,
        }
    }

    /// The same about two: say, a player in a room.
    #[must_use]
    pub fn and(self, other: impl Into<[u8; ID_BYTES]>) -> Self {
        Self {
            and: Some(other.into()),
            ..self
        }
    }
}

/// The outbox is full; the stream must be cut and back-filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A room's stream that stopped on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The room.
    pub room: RoomId,
    /// As what it was open.
    pub opening: Opening,
    /// Everything up to here is in the outbox or was sent.
    pub cursor: Cursor,
    /// The newest that the room has told. What the store has beyond it is not read: it may have been decided after what the room
    /// tells this connection next. Absent when the room could not be asked: nothing is read, and it is asked again
    /// after a pause.
    pub until: Option<Cursor>,
}

/// The player's inbox, to be followed on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxFollow {
    /// Whose.
    pub user: UserId,
    /// As which time that it was asked for.
    pub follow: Opening,
    /// From this sequence on.
    pub seq: u64,
}

/// Numbers of calls. A few lie in the value itself, in the place that a `Vec` takes for its pointers.
pub type CallIds = SmallVec<[CallId; 4]>;

/// What has become of the welcome, which goes before all states and events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Greeting {
    /// It was not queued yet.
    Owed,
    /// It is among what is queued, which states would overtake.
    Queued,
    #[default]
    Sent,
}

/// What a broadcast looks at. It goes to thousands of connections that have left the caches since the last one, so
/// this lies together, next to the lock.
#[derive(Debug, Default)]
struct DriverState {
    /// The way past the driver.
    inline_writer: Option<Arc<dyn InlineWriter>>,
    /// The driver rests and nothing waits, here or for the socket.
    idle: bool,
    /// The driver is at work. It looks here once more before it rests.
    driving: bool,
    /// Something came while it was.
    notified: bool,
    /// The driver reads nothing further until calls are answered.
    hears_answers: bool,
    /// Answers wait for [`Outbox::uncork`], and nothing else does.
    corked: bool,
    greeting: Greeting,
}

#[derive(Debug, Default)]
#[repr(C)]
struct Waiting {
    driver_state: DriverState,
    queue: Line,
    /// The rest of a message that went past the driver only in part.
    partial_write: Option<Bytes>,
    /// Seldom any, so it takes no room in an idle connection.
    latest: Option<Box<Latest>>,
    answered: CallIds,
    cuts: Vec<Cut>,
    inbox_grew: bool,
    /// Frames of the queue up to the last answer in it. Here it takes no room: the bytes would be left empty.
    with_answers: u32,
    /// Seldom any, so it takes no room in an idle connection.
    inbox_from: Option<Box<InboxFollow>>,
    /// Seldom any: a slice takes less room in an idle connection than a list that can grow.
    revoked: Box<[CallId]>,
    closing: Option<CloseCode>,
}

/// States that replace each other. Never empty.
#[derive(Debug, Default)]
struct Latest {
    states: Vec<State>,
    bytes: usize,
}

#[derive(Debug)]
struct State {
    key: LatestKey,
    frame: Bytes,
    /// Frames of the queue that go before it, up to the last answer that was queued before it.
    behind: u32,
}

impl Waiting {
    /// Bytes of everything that waits, but for what went past the driver in part.
    fn bytes(&self) -> usize {
        let latest = self.latest.as_ref().map_or(0, |latest| latest.bytes);
        self.queue.bytes + latest
    }

    /// Whether states wait that may be sent.
    fn has_states(&self) -> bool {
        self.latest.is_some() && self.driver_state.greeting == Greeting::Sent
    }

    /// Queues an answer, or several in one piece.
    fn push_answer(&mut self, frame: Bytes) {
        self.queue.push(frame);
        self.with_answers = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
    }

    /// Takes what is queued up to so many bytes, but so many frames at least. What was queued behind a state does not pass it: the
    /// loss of a room ends what is told of it.
    fn take_queued(&mut self, bytes_max: usize, frames_min: usize) -> Line {
        let states = self.latest.iter().filter(|_| self.has_states());
        let next = states.flat_map(|latest| latest.states.iter().map(|state| state.behind));
        let frames_max = next.min().map_or(usize::MAX, |behind| behind as usize);
        let line = self.queue.take(bytes_max, frames_min..=frames_max);
        let left = u32::try_from(line.len()).unwrap_or(u32::MAX);
        self.with_answers = self.with_answers.saturating_sub(left);
        let states = self.latest.iter_mut();
        for state in states.flat_map(|latest| &mut latest.states) {
            state.behind = state.behind.saturating_sub(left);
        }
        if self.driver_state.greeting == Greeting::Queued && self.queue.is_empty() {
            self.driver_state.greeting = Greeting::Sent;
        }
        line
    }

    /// Takes the oldest states that may go and fit into a batch, one of them however long it is, and says how many bytes they are.
    fn take_latest(&mut self) -> (Vec<State>, usize) {
        let may_go = self.has_states();
        let Some(latest) = self.latest.as_mut().filter(|_| may_go) else {
            return (Vec::new(), 0);
        };
        let (mut bytes, mut is_full) = (0, false);
        let goes = latest.states.extract_if(.., |state| {
            if is_full || state.behind > 0 {
                return false;
            }
            is_full = bytes > 0 && bytes + state.frame.len() > BATCH_BYTES;
            if !is_full {
                bytes += state.frame.len();
            }
            !is_full
        });
        let states: Vec<State> = goes.collect();
        latest.bytes -= bytes;
        if latest.states.is_empty() {
            self.latest = None;
        }
        (states, bytes)
    }
}

/// What waits to be sent on one connection. Shared by the connection's driver, which empties it, and all who fill it.
/// Nothing here blocks for longer than a push.
#[derive(Debug)]
pub struct Outbox {
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    driver: AtomicWaker,
}

impl Outbox {
    /// An empty outbox that takes durable events up to `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            waiting: Mutex::new(Waiting::default()),
            driver: AtomicWaker::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    /// Has the driver look, unless it is about to.
    fn notify(&self, mut waiting: MutexGuard<'_, Waiting>) {
        if waiting.driver_state.driving {
            waiting.driver_state.notified = true;
        } else {
            waiting.driver_state.idle = false;
            // It sends the corked replies, too.
            waiting.driver_state.corked = false;
            drop(waiting);
            self.driver.wake();
        }
    }

    fn enqueue(&self, mut waiting: MutexGuard<'_, Waiting>, frame: Bytes) {
        waiting.queue.push(frame);
        self.notify(waiting);
    }

    /// Lets events be sent past the driver.
    pub fn set_inline_writer(&self, inline_writer: Option<Arc<dyn InlineWriter>>) {
        self.lock().driver_state.inline_writer = inline_writer;
    }

    /// The driver begins its turn: until it rests, nobody sends past it, and nobody needs to wake it. Returns the rest of
    /// a message to send before anything else.
    pub fn begin_turn(&self, cx: &Context<'_>) -> Option<Bytes> {
        self.driver.register(cx.waker());
        let mut waiting = self.lock();
        waiting.driver_state.driving = true;
        waiting.driver_state.idle = false;
        waiting.driver_state.notified = false;
        waiting.driver_state.corked = false;
        waiting.partial_write.take()
    }

    /// The driver would rest; `unsent` tells whether something waits for its socket, `hears_answers` whether it has to go on
    /// when a call is answered. False: something came meanwhile, and it has to go on now.
    pub fn end_turn(&self, unsent: bool, hears_answers: bool) -> bool {
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.driver_state.notified) {
            return false;
        }
        waiting.driver_state.driving = false;
        waiting.driver_state.hears_answers = hears_answers;
        waiting.driver_state.idle = !unsent
            && waiting.queue.is_empty()
            && waiting.latest.is_none()
            && waiting.closing.is_none();
        true
    }

    /// Queues the answer to a call: an encoded reply or fault. False: it was answered already.
    pub fn answer(&self, call: CallId, frame: Bytes) -> bool {
        let mut waiting = self.lock();
        if is_revoked(&mut waiting, call) {
            return false;
        }
        waiting.answered.push(call);
        waiting.push_answer(frame);
        self.notify(waiting);
        true
    }

    /// Answers a call with `fault` now and drops its later answer, unless it was answered already. For calls without
    /// effect only. False: it was answered already.
    pub fn revoke(&self, call: CallId, fault: Bytes) -> bool {
        let mut waiting = self.lock();
        if waiting.answered.contains(&call) {
            return false;
        }
        let mut revoked = std::mem::take(&mut waiting.revoked).into_vec();
        revoked.push(call);
        waiting.revoked = revoked.into();
        waiting.answered.push(call);
        self.enqueue(waiting, fault);
        true
    }

    /// Has the driver follow the player's inbox.
    pub fn follow_inbox(&self, inbox: InboxFollow) {
        let mut waiting = self.lock();
        waiting.inbox_from = Some(Box::new(inbox));
        self.notify(waiting);
    }

    /// Queues a frame that must not be lost while the connection lives. For what is bounded by its cause: pings, the
    /// welcome, the end of a page, the loss of a room.
    pub fn control(&self, frame: Bytes) {
        self.enqueue(self.lock(), frame);
    }

    /// Sends or queues entries of a live stream that many connections get.
    pub fn durable(&self, entries: &Broadcast) -> Result<(), Full> {
        let mut waiting = self.lock();
        if self.writes_inline(&mut waiting, entries) {
            return Ok(());
        }
        if waiting.bytes() + entries.message().len() > self.bytes_max {
            return Err(Full);
        }
        self.enqueue(waiting, entries.message().clone());
        Ok(())
    }

    /// Queues one of several entries of a stream that this connection lacks; they go out together.
    pub fn catch_up(&self, entry: &Bytes) -> Result<(), Full> {
        let waiting = self.lock();
        if waiting.bytes() + entry.len() > self.bytes_max {
            return Err(Full);
        }
        self.enqueue(waiting, entry.clone());
        Ok(())
    }

    /// Sends the newest state under `key`, or queues it in place of an older one.
    pub fn latest(&self, key: LatestKey, state: &Broadcast) {
        let mut waiting = self.lock();
        if self.writes_inline(&mut waiting, state) {
            return;
        }
        let frame = state.message().clone();
        let behind = waiting.with_answers;
        let latest = waiting.latest.get_or_insert_default();
        latest.bytes += frame.len();
        match latest.states.iter_mut().find(|held| held.key == key) {
            Some(held) => {
                latest.bytes -= std::mem::replace(&mut held.frame, frame).len();
                held.behind = behind;
            }
            None => latest.states.push(State { key, frame, behind }),
        }
        self.notify(waiting);
    }

    /// Sends or queues an event that nobody misses. False: it is dropped.
    pub fn volatile(&self, frame: &Broadcast) -> bool {
        let mut waiting = self.lock();
        let is_sent = self.writes_inline(&mut waiting, frame);
        let has_room = waiting.bytes() <= self.bytes_max / 4;
        if has_room && !is_sent {
            self.enqueue(waiting, frame.message().clone());
        }
        is_sent || has_room
    }

    /// Marks a room's stream as stopped: the driver reads it on. Of two openings of the room the later counts: what was begun
    /// for an earlier one may end after it.
    pub fn cut(&self, cut: Cut) {
        let mut waiting = self.lock();
        let is_later = |held: &Cut| held.room == cut.room && held.opening > cut.opening;
        if waiting.cuts.iter().any(is_later) {
            return;
        }
        waiting.cuts.retain(|held| held.room != cut.room);
        waiting.cuts.push(cut);
        self.notify(waiting);
    }

    /// Tells the driver that the player's inbox has a new entry.
    pub fn inbox_grew(&self) {
        let mut waiting = self.lock();
        waiting.inbox_grew = true;
        self.notify(waiting);
    }

    /// Asks the driver to close the connection once what is queued has been sent.
    pub fn close(&self, code: CloseCode) {
        let mut waiting = self.lock();
        waiting.closing.get_or_insert(code);
        self.notify(waiting);
    }

    /// The next message to send: what waits, up to [`BATCH_BYTES`], states first that may go. One frame is passed on as it is, several
    /// are put back to back.
    pub fn take_batch(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let (states, states_bytes) = waiting.take_latest();
        let queued_max = BATCH_BYTES.saturating_sub(states_bytes);
        let queued = waiting.take_queued(queued_max, usize::from(states.is_empty()));
        drop(waiting);
        let count = states.len() + queued.len();
        let bytes = states_bytes + queued.bytes;
        let states = states.into_iter().map(|state| state.frame);
        let mut frames = states.chain(queued.first).chain(queued.rest);
        if count <= 1 {
            return frames.next();
        }
        let mut message = Vec::with_capacity(bytes);
        for frame in frames {
            message.extend_from_slice(&frame);
        }
        Some(message.into())
    }

    /// The next stream to back-fill, if the outbox has drained far enough to take a page.
    pub fn take_cut(&self) -> Option<Cut> {
        let mut waiting = self.lock();
        if waiting.bytes() > self.bytes_max / 4 || waiting.cuts.is_empty() {
            return None;
        }
        let cut = waiting.cuts.remove(0);
        if waiting.cuts.is_empty() {
            waiting.cuts = Vec::new();
        }
        Some(cut)
    }

    /// Forgets that a room's stream was cut: the room was closed.
    pub fn forget_cut(&self, room: RoomId) {
        self.lock().cuts.retain(|cut| cut.room != room);
    }

    /// Whether the inbox grew since the last time.
    pub fn take_inbox_grew(&self) -> bool {
        std::mem::take(&mut self.lock().inbox_grew)
    }

    /// Whether so much waits that no more calls should be read.
    pub fn is_above_high_water(&self) -> bool {
        self.lock().bytes() > self.bytes_max / 2
    }
}

/// Whether the call was answered before it was carried out. Then its own answer is dropped.
fn is_revoked(waiting: &mut Waiting, call: CallId) -> bool {
    let place = waiting.revoked.iter().position(|&held| held == call);
    if let Some(index) = place {
        let mut revoked = std::mem::take(&mut waiting.revoked).into_vec();
        revoked.swap_remove(index);
        waiting.revoked = revoked.into();
    }
    place.is_some()
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::types::chat::{ReadMarkerMoved, RoomUpdated};
    use pitturu_protocol::types::presence::RoomPresence;

    use super::*;

    pub(super) fn frame(byte: u8, length: usize) -> Bytes {
        Bytes::from(vec![byte; length])
    }

    pub(super) fn broadcast(byte: u8, length: usize) -> Broadcast {
        Broadcast::new(frame(byte, length))
    }

    fn room(byte: u8) -> RoomId {
        RoomId::from_bytes([byte; 10])
    }

    fn presence(byte: u8) -> LatestKey {
        LatestKey::of::<RoomPresence>(room(byte))
    }

    #[test]
    fn durable_events_are_refused_when_full_and_nothing_else_is() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.durable(&broadcast(1, 60)), Ok(()));
        assert_eq!(outbox.durable(&broadcast(2, 60)), Err(Full));
        assert_eq!(outbox.catch_up(&frame(2, 60)), Err(Full));
        outbox.answer(1, frame(3, 60));
        assert_eq!(outbox.snapshot(Bytes::new()).answered[..], [1]);
        let sent = outbox.take_batch().expect("two frames wait");
        assert_eq!(sent.len(), 120);
        assert_eq!(outbox.durable(&broadcast(2, 60)), Ok(()));
    }

    #[test]
    fn the_latest_state_replaces_and_goes_first() {
        let outbox = Outbox::new(100);
        outbox.control(frame(9, 1));
        outbox.latest(presence(1), &broadcast(1, 1));
        outbox.latest(presence(2), &broadcast(2, 1));
        outbox.latest(presence(1), &broadcast(3, 1));
        assert_eq!(&outbox.take_batch().expect("three wait")[..], [3, 2, 9]);
        assert_eq!(outbox.take_batch(), None);
    }

    /// An answer may show what is older than a state behind it: with it last, the caller would be left with that.
    #[test]
    fn no_state_overtakes_an_answer_that_was_queued_before_it() {
        let outbox = Outbox::new(1 << 20);
        let next = || outbox.take_batch().map(|batch| batch.to_vec());
        outbox.latest(presence(1), &broadcast(1, 1));
        outbox.latest(presence(2), &broadcast(2, 1));
        outbox.control(frame(9, 1));
        outbox.answer(1, frame(8, 1));
        outbox.control(frame(7, 1));
        outbox.latest(presence(1), &broadcast(3, 1));
        outbox.control(frame(6, 1));
        assert_eq!(next(), Some(vec![2, 9, 8]));
        assert_eq!(next(), Some(vec![3, 7, 6]), "at once behind the answer");
        assert_eq!(next(), None);

        // What the driver has answered by itself; and an answer that goes with a later batch.
        outbox.control(frame(9, BATCH_BYTES));
        outbox.snapshot(frame(8, 1));
        outbox.latest(presence(1), &broadcast(3, 1));
        assert_eq!(next().expect("it waits").len(), BATCH_BYTES);
        outbox.latest(presence(2), &broadcast(4, 1));
        assert_eq!(next(), Some(vec![8]));
        let (message, _) = outbox.take_batch_of_some();
        assert_eq!(message.as_deref(), Some(&[3, 4][..]));
        assert_eq!(next(), None);
        assert!(outbox.lock().latest.is_none());
    }

    #[test]
    fn states_count_as_waiting_and_go_out_in_batches() {
        let outbox = Outbox::new(2 * BATCH_BYTES);
        for byte in 1..=100 {
            outbox.latest(presence(byte), &broadcast(byte, 1_000));
            outbox.latest(presence(byte), &broadcast(byte, 1_000));
        }
        assert!(outbox.is_above_high_water());
        assert!(outbox.snapshot(Bytes::new()).is_above_high_water);
        assert_eq!(outbox.durable(&broadcast(1, 1)), Err(Full));
        outbox.volatile(&broadcast(1, 1));
        let mut sent = Vec::new();
        while let Some(message) = outbox.take_batch() {
            assert!(message.len() <= BATCH_BYTES, "{}", message.len());
            sent.extend(message);
        }
        assert_eq!(sent.len(), 100 * 1_000);
        sent.dedup();
        assert_eq!(sent, (1..=100).collect::<Vec<u8>>());
        assert!(!outbox.is_above_high_water());
        assert_eq!(outbox.durable(&broadcast(1, 1)), Ok(()));
    }

    #[test]
    fn keys_differ_by_event_and_by_each_id() {
        let user = |byte| UserId::from_bytes([byte; 10]);
        let read = LatestKey::of::<ReadMarkerMoved>(room(1));
        let keys = [
            presence(1),
            presence(2),
            LatestKey::of::<RoomUpdated>(room(1)),
            read,
            read.and(user(1)),
            read.and(user(2)),
        ];
        for (index, key) in keys.iter().enumerate() {
            let equal = keys.iter().position(|other| other == key);
            assert_eq!(equal, Some(index));
        }
        assert_eq!(read.and(user(2)), keys[5]);
    }

    #[test]
    fn volatile_events_give_way_early() {
        let outbox = Outbox::new(100);
        outbox.volatile(&broadcast(1, 30));
        outbox.volatile(&broadcast(2, 1));
        assert_eq!(outbox.take_batch().expect("one waits").len(), 30);
    }

    #[test]
    fn a_cut_waits_until_the_outbox_has_drained() {
        let outbox = Outbox::new(100);
        outbox.control(frame(1, 60));
        let cut = |number, seq| Cut {
            room: room(1),
            opening: Opening::numbered(number),
            cursor: Cursor { seq, rev: 2 },
            until: Some(Cursor { seq: 9, rev: 2 }),
        };
        outbox.cut(cut(0, 0));
        outbox.cut(cut(1, 7));
        assert_eq!(outbox.take_cut(), None);
        outbox.take_batch();
        assert_eq!(outbox.take_cut(), Some(cut(1, 7)));
        assert_eq!(outbox.take_cut(), None);
        outbox.cut(cut(2, 0));
        outbox.cut(cut(1, 8));
        assert_eq!(outbox.take_cut(), Some(cut(2, 0)), "the later opening");
        assert_eq!(outbox.take_cut(), None);
    }

    #[test]
    fn batches_are_bounded_but_a_long_frame_passes() {
        let outbox = Outbox::new(1 << 20);
        for _ in 0..3 {
            outbox.control(frame(1, BATCH_BYTES + 1));
        }
        assert_eq!(outbox.take_batch().expect("waits").len(), BATCH_BYTES + 1);
    }

    #[test]
    fn what_does_not_fit_into_a_batch_goes_with_the_next_in_order() {
        let outbox = Outbox::new(1 << 20);
        let half = BATCH_BYTES / 2;
        outbox.latest(presence(1), &broadcast(9, 1));
        for (byte, length) in [(1, half), (2, half), (3, half), (4, half + 1), (5, 1)] {
            outbox.control(frame(byte, length));
        }
        let batches = std::iter::from_fn(|| outbox.take_batch());
        let seen: Vec<Vec<u8>> = batches
            .map(|batch| {
                let mut bytes = batch.to_vec();
                bytes.dedup();
                bytes
            })
            .collect();
        assert_eq!(seen, [vec![9, 1], vec![2, 3], vec![4, 5]]);
        assert!(!outbox.is_above_high_water());
    }

    #[test]
    fn states_that_fill_a_batch_leave_the_queue_for_the_next() {
        let outbox = Outbox::new(1 << 20);
        outbox.latest(presence(1), &broadcast(9, BATCH_BYTES + 1));
        outbox.control(frame(1, 1));
        outbox.control(frame(2, 1));
        let states = outbox.take_batch().expect("a state waits");
        assert_eq!(states.len(), BATCH_BYTES + 1);
        assert_eq!(&outbox.take_batch().expect("two wait")[..], [1, 2]);
    }
}
