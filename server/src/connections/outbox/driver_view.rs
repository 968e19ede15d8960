//! What a driver asks of its outbox in the course of a turn, under as few locks as that takes.

use bytes::Bytes;
use pitturu_protocol::codes::CloseCode;

use super::{BATCH_BYTES, CallIds, Greeting, InboxFollow, Outbox};

/// What the driver has to see to, as of one moment. Whatever comes later keeps the turn from ending.
#[derive(Debug)]
pub struct DriverView {
    /// Calls answered since the last look.
    pub answered: CallIds,
    /// How to follow the inbox, if that was asked for since the last look.
    pub inbox_from: Option<Box<InboxFollow>>,
    /// The close code asked for, if any.
    pub closing: Option<CloseCode>,
    /// Something waits to be sent.
    pub is_queued: bool,
    /// A stream was cut or the inbox grew, so back-fill may have something to do.
    pub has_streams: bool,
    /// So much waits that no more calls should be read.
    pub is_above_high_water: bool,
}

impl Outbox {
    /// Nothing was said on the connection yet: states wait until the [welcome](Self::welcome) has gone. A player may be listed, and
    /// told of, before it.
    pub fn await_welcome(&self) {
        self.lock().driver_state.greeting = Greeting::Owed;
    }

    /// Queues the welcome.
    pub fn welcome(&self, frame: Bytes) {
        let mut waiting = self.lock();
        waiting.driver_state.greeting = Greeting::Queued;
        self.enqueue(waiting, frame);
    }

    /// Queues what the driver has answered by itself, any number of frames or none, and looks.
    pub fn snapshot(&self, replies: Bytes) -> DriverView {
        let mut waiting = self.lock();
        waiting.driver_state.notified = false;
        if !replies.is_empty() {
            waiting.push_answer(replies);
        }
        DriverView {
            answered: std::mem::take(&mut waiting.answered),
            inbox_from: waiting.inbox_from.take(),
            closing: waiting.closing,
            is_queued: !waiting.queue.is_empty() || waiting.has_states(),
            has_streams: waiting.inbox_grew || !waiting.cuts.is_empty(),
            is_above_high_water: waiting.bytes() > self.bytes_max / 2,
        }
    }

    /// The next message to send, like [`Self::take_batch`], and whether another one is left behind it.
    pub fn take_batch_of_some(&self) -> (Option<Bytes>, bool) {
        let mut waiting = self.lock();
        if waiting.latest.is_none() && waiting.queue.rest.is_empty() {
            let line = waiting.take_queued(usize::MAX, 0);
            return (line.first, false);
        }
        let is_more = waiting.latest.is_some() || waiting.queue.bytes > BATCH_BYTES;
        drop(waiting);
        (self.take_batch(), is_more)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::super::{Broadcast, LatestKey, Opening};
    use super::*;
    use pitturu_protocol::ids::{RoomId, UserId};
    use pitturu_protocol::types::chat::RoomUpdated;

    fn room() -> RoomId {
        RoomId::from_bytes([1; 10])
    }

    #[test]
    fn one_look_takes_what_is_taken_once_and_shows_the_rest() {
        let outbox = Outbox::new(100);
        outbox.answer(7, Bytes::from_static(b"answer"));
        let inbox = InboxFollow {
            user: UserId::from_bytes([2; 10]),
            follow: Opening::numbered(1),
            seq: 3,
        };
        outbox.follow_inbox(inbox);
        outbox.inbox_grew();
        outbox.close(CloseCode::Flooding);
        let first = outbox.snapshot(Bytes::from(vec![1; 60]));
        assert_eq!(first.answered[..], [7]);
        assert_eq!(first.inbox_from, Some(Box::new(inbox)));
        assert!(first.is_queued && first.has_streams && first.is_above_high_water);
        let second = outbox.snapshot(Bytes::new());
        assert!(second.answered.is_empty());
        assert_eq!(second.inbox_from, None);
        assert_eq!(second.closing, Some(CloseCode::Flooding));
        assert!(second.is_queued && second.has_streams);
        let message = outbox.take_batch().expect("two frames wait");
        assert_eq!(message.len(), 66);
        assert!(!outbox.snapshot(Bytes::new()).is_queued);
    }

    #[test]
    fn states_wait_for_the_welcome_and_go_behind_it() {
        let state = |text: &'static [u8]| {
            let state = Broadcast::new(Bytes::from_static(text));
            (LatestKey::of::<RoomUpdated>(room()), state)
        };
        for is_rest in [true, false] {
            let outbox = Outbox::new(100);
            let waker = Context::from_waker(Waker::noop());
            outbox.await_welcome();
            outbox.begin_turn(&waker);
            assert!(outbox.end_turn(false, false));
            let (key, early) = state(b"early");
            outbox.latest(key, &early);
            assert!(!outbox.snapshot(Bytes::new()).is_queued);
            outbox.control(Bytes::from_static(b"ping"));
            assert_eq!(outbox.take_batch().expect("it waits")[..], *b"ping");
            assert_eq!(outbox.take_batch(), None);
            outbox.welcome(Bytes::from_static(b"welcome"));
            if is_rest {
                outbox.control(Bytes::from_static(b"reply"));
            }
            let (key, late) = state(b"late");
            outbox.latest(key, &late);
            let first: &[u8] = if is_rest { b"welcomereply" } else { b"welcome" };
            let (message, is_more) = outbox.take_batch_of_some();
            assert_eq!(message.as_deref(), Some(first));
            assert!(is_more);
            let (message, _) = outbox.take_batch_of_some();
            assert_eq!(message.as_deref(), Some(&b"late"[..]));
            assert_eq!(outbox.take_batch(), None);
        }
    }

    #[test]
    fn what_comes_after_a_look_keeps_the_turn_from_ending() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.begin_turn(&Context::from_waker(Waker::noop())), None);
        outbox.control(Bytes::from_static(b"before"));
        assert!(outbox.snapshot(Bytes::new()).is_queued);
        outbox.control(Bytes::from_static(b"after"));
        assert!(!outbox.end_turn(false, false));
        assert!(outbox.snapshot(Bytes::from_static(b"reply")).is_queued);
        assert!(outbox.end_turn(false, false));
    }

    #[test]
    fn messages_are_taken_until_none_is_left() {
        let outbox = Outbox::new(4 * BATCH_BYTES);
        assert_eq!(outbox.take_batch_of_some(), (None, false));
        outbox.control(Bytes::from_static(b"one"));
        let one = Bytes::from_static(b"one");
        assert_eq!(outbox.take_batch_of_some(), (Some(one), false));
        for _ in 0..3 {
            outbox.control(Bytes::from(vec![0; BATCH_BYTES]));
        }
        outbox.latest(
            LatestKey::of::<RoomUpdated>(room()),
            &Broadcast::new(Bytes::from_static(b"state")),
        );
        let mut bytes = 0;
        loop {
            let (message, is_more) = outbox.take_batch_of_some();
            bytes += message.map_or(0, |message| message.len());
            if !is_more {
                break;
            }
        }
        assert_eq!(bytes, 3 * BATCH_BYTES + 5);
        assert_eq!(outbox.take_batch(), None);
    }
}
