//! What waits to be sent on one connection, bounded in bytes, by delivery class.
//!
//! | class | under pressure |
//! |---|---|
//! | answers | always taken: the driver stops reading calls while the outbox is above its high-water mark |
//! | durable | refused when full; the room then cuts the stream here and the driver back-fills it later |
//! | latest | replaces what waits under the same key |
//! | volatile | dropped above a quarter of the limit |

use std::collections::VecDeque;
use std::task::Context;

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::frame::{CallId, Cursor};
use pitturu_protocol::ids::{RoomId, UserId};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that go into one message and one write at most, beyond the first frame.
pub const BATCH_BYTES: usize = 16 * 1024;

/// What a `latest` event is about: a newer one with the same key replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatestKey {
    /// Who is in a room.
    RoomPresence(RoomId),
    /// A room's settings.
    RoomUpdated(RoomId),
    /// A player's presence.
    PlayerPresence(UserId),
    /// A player's read marker in a room.
    ReadMarker(RoomId, UserId),
}

/// The outbox is full; the stream must be cut and back-filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A room's stream that stopped on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The room.
    pub room: RoomId,
    /// Everything up to here is in the outbox or was sent.
    pub cursor: Cursor,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Bytes>,
    latest: Vec<(LatestKey, Bytes)>,
    queued_bytes: usize,
    answered: Vec<CallId>,
    cuts: Vec<Cut>,
    inbox_grew: bool,
    inbox_from: Option<u64>,
    revoked: Vec<CallId>,
    closing: Option<CloseCode>,
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
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, mut waiting: MutexGuard<'_, Waiting>, frame: Bytes) {
        waiting.queued_bytes += frame.len();
        waiting.queue.push_back(frame);
        drop(waiting);
        self.driver.wake();
    }

    /// Queues the answer to a call: an encoded reply or fault.
    pub fn answer(&self, call: CallId, frame: Bytes) {
        let mut waiting = self.lock();
        if let Some(index) = waiting.revoked.iter().position(|&held| held == call) {
            waiting.revoked.swap_remove(index);
            return;
        }
        waiting.answered.push(call);
        self.enqueue(waiting, frame);
    }

    /// Answers a call with `fault` now and drops its later answer, unless it was answered already. For calls without
    /// effect only.
    pub fn revoke(&self, call: CallId, fault: Bytes) {
        let mut waiting = self.lock();
        if waiting.answered.contains(&call) {
            return;
        }
        waiting.revoked.push(call);
        waiting.answered.push(call);
        self.enqueue(waiting, fault);
    }

    /// Has the driver follow the player's inbox from this sequence on.
    pub fn follow_inbox(&self, seq: u64) {
        self.lock().inbox_from = Some(seq);
        self.driver.wake();
    }

    /// Where to begin to follow the inbox, if that was asked for since the last time.
    pub fn take_inbox_from(&self) -> Option<u64> {
        self.lock().inbox_from.take()
    }

    /// Queues a frame that must not be lost while the connection lives. For what is bounded by its cause: pings, the
    /// welcome, the end of a page, the loss of a room.
    pub fn control(&self, frame: Bytes) {
        self.enqueue(self.lock(), frame);
    }

    /// Queues one entry of a live stream.
    pub fn durable(&self, frame: &Bytes) -> Result<(), Full> {
        let waiting = self.lock();
        if waiting.queued_bytes + frame.len() > self.bytes_max {
            return Err(Full);
        }
        self.enqueue(waiting, frame.clone());
        Ok(())
    }

    /// Queues the newest state under `key`, in place of an older one.
    pub fn latest(&self, key: LatestKey, frame: Bytes) {
        let mut waiting = self.lock();
        match waiting.latest.iter_mut().find(|(held, _)| *held == key) {
            Some((_, held)) => *held = frame,
            None => waiting.latest.push((key, frame)),
        }
        drop(waiting);
        self.driver.wake();
    }

    /// Queues an event, or drops it when the reader is behind.
    pub fn volatile(&self, frame: &Bytes) {
        let waiting = self.lock();
        if waiting.queued_bytes <= self.bytes_max / 4 {
            self.enqueue(waiting, frame.clone());
        }
    }

    /// Marks a room's stream as stopped after `cursor`.
    pub fn cut(&self, room: RoomId, cursor: Cursor) {
        let mut waiting = self.lock();
        waiting.cuts.retain(|cut| cut.room != room);
        waiting.cuts.push(Cut { room, cursor });
        drop(waiting);
        self.driver.wake();
    }

    /// Tells the driver that the player's inbox has a new entry.
    pub fn inbox_grew(&self) {
        self.lock().inbox_grew = true;
        self.driver.wake();
    }

    /// Asks the driver to close the connection once what is queued has been sent.
    pub fn close(&self, code: CloseCode) {
        self.lock().closing.get_or_insert(code);
        self.driver.wake();
    }

    /// Wakes the task of `cx` at the next change.
    pub fn register(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }

    /// The next message to send: what is queued, up to [`BATCH_BYTES`], newest states first. One frame is passed on
    /// as it is, several are put back to back.
    pub fn take_batch(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let mut frames: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for (_, frame) in std::mem::take(&mut waiting.latest) {
            bytes += frame.len();
            frames.push(frame);
        }
        while let Some(length) = waiting.queue.front().map(Bytes::len) {
            if !frames.is_empty() && bytes + length > BATCH_BYTES {
                break;
            }
            bytes += length;
            waiting.queued_bytes -= length;
            frames.extend(waiting.queue.pop_front());
        }
        if waiting.queue.is_empty() {
            waiting.queue = VecDeque::new();
        }
        drop(waiting);
        match frames.len() {
            0 => None,
            1 => frames.pop(),
            _ => {
                let mut message = BytesMut::with_capacity(bytes);
                for frame in &frames {
                    message.extend_from_slice(frame);
                }
                Some(message.freeze())
            }
        }
    }

    /// Calls answered since the last time.
    pub fn take_answered(&self) -> Vec<CallId> {
        std::mem::take(&mut self.lock().answered)
    }

    /// The next stream to back-fill, if the outbox has drained far enough to take a page.
    pub fn take_cut(&self) -> Option<Cut> {
        let mut waiting = self.lock();
        if waiting.queued_bytes > self.bytes_max / 4 || waiting.cuts.is_empty() {
            return None;
        }
        Some(waiting.cuts.remove(0))
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
        self.lock().queued_bytes > self.bytes_max / 2
    }

    /// The close code asked for, if any.
    pub fn closing(&self) -> Option<CloseCode> {
        self.lock().closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(byte: u8, length: usize) -> Bytes {
        Bytes::from(vec![byte; length])
    }

    fn room(byte: u8) -> RoomId {
        RoomId::from_bytes([byte; 10])
    }

    #[test]
    fn durable_events_are_refused_when_full_and_nothing_else_is() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.durable(&frame(1, 60)), Ok(()));
        assert_eq!(outbox.durable(&frame(2, 60)), Err(Full));
        outbox.answer(1, frame(3, 60));
        assert_eq!(outbox.take_answered(), [1]);
        let sent = outbox.take_batch().expect("two frames wait");
        assert_eq!(sent.len(), 120);
        assert_eq!(outbox.durable(&frame(2, 60)), Ok(()));
    }

    #[test]
    fn the_latest_state_replaces_and_goes_first() {
        let outbox = Outbox::new(100);
        outbox.control(frame(9, 1));
        outbox.latest(LatestKey::RoomPresence(room(1)), frame(1, 1));
        outbox.latest(LatestKey::RoomPresence(room(2)), frame(2, 1));
        outbox.latest(LatestKey::RoomPresence(room(1)), frame(3, 1));
        assert_eq!(&outbox.take_batch().expect("three wait")[..], [3, 2, 9]);
        assert_eq!(outbox.take_batch(), None);
    }

    #[test]
    fn volatile_events_give_way_early() {
        let outbox = Outbox::new(100);
        outbox.volatile(&frame(1, 30));
        outbox.volatile(&frame(2, 1));
        assert_eq!(outbox.take_batch().expect("one waits").len(), 30);
    }

    #[test]
    fn a_cut_waits_until_the_outbox_has_drained() {
        let outbox = Outbox::new(100);
        outbox.control(frame(1, 60));
        let cursor = Cursor { seq: 7, rev: 2 };
        outbox.cut(room(1), Cursor::default());
        outbox.cut(room(1), cursor);
        assert_eq!(outbox.take_cut(), None);
        outbox.take_batch();
        assert_eq!(
            outbox.take_cut(),
            Some(Cut {
                room: room(1),
                cursor
            })
        );
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
}
