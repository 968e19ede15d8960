//! Past the driver: what goes to the socket at once, while the driver rests.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::frame::CallId;

use super::{DriverState, Greeting, Outbox, Waiting, is_revoked};
use crate::connections::link::{Broadcast, InlineWrite, InlineWriter};
use crate::sync::MutexGuard;

impl Outbox {
    /// Queues the answer to a call that the caller will hear more of at once: it goes out together with the next event past
    /// the driver, or with [`Self::uncork`], which has to follow. The driver learns of it in its next turn. False: it was answered
    /// already.
    pub fn cork_reply(&self, call: CallId, frame: Bytes) -> bool {
        let mut waiting = self.lock();
        if is_revoked(&mut waiting, call) {
            return false;
        }
        waiting.answered.push(call);
        let driver_state = &mut waiting.driver_state;
        if driver_state.idle && driver_state.inline_writer.is_some() && !driver_state.hears_answers
        {
            driver_state.corked = true;
            waiting.push_answer(frame);
        } else {
            waiting.push_answer(frame);
            self.notify(waiting);
        }
        true
    }

    /// Sends the replies that are still corked.
    pub fn uncork(&self) {
        let mut waiting = self.lock();
        if waiting.driver_state.corked
            && let Some(writer) = waiting.driver_state.inline_writer.clone()
        {
            self.writes_corked(&mut waiting, writer.as_ref(), None);
        }
    }

    /// Sends an event past the driver, after the replies that are corked. False: it has to be queued.
    pub(super) fn writes_inline(
        &self,
        waiting: &mut MutexGuard<'_, Waiting>,
        event: &Broadcast,
    ) -> bool {
        let DriverState {
            inline_writer,
            idle,
            corked,
            greeting,
            ..
        } = &waiting.driver_state;
        let is_free = *idle && *greeting == Greeting::Sent;
        let Some(writer) = inline_writer.as_ref().filter(|_| is_free) else {
            return false;
        };
        if *corked {
            let writer = Arc::clone(writer);
            return self.writes_corked(waiting, writer.as_ref(), Some(event.message()));
        }
        match writer.try_send(event) {
            InlineWrite::Sent => true,
            InlineWrite::Refused => false,
            InlineWrite::Partly(rest) => {
                waiting.partial_write = Some(rest);
                waiting.driver_state.idle = false;
                self.driver.wake();
                true
            }
        }
    }

    /// Sends the replies that are corked and what follows them as one message. False: nothing of it was sent, and the
    /// driver sends the replies.
    fn writes_corked(
        &self,
        waiting: &mut MutexGuard<'_, Waiting>,
        writer: &dyn InlineWriter,
        after: Option<&Bytes>,
    ) -> bool {
        waiting.driver_state.corked = false;
        let queue = &waiting.queue;
        let frames = queue.first.iter().chain(&queue.rest).chain(after);
        let message = match (queue.len(), after, &queue.first) {
            (1, None, Some(answer)) => answer.clone(),
            _ => {
                let bytes = queue.bytes + after.map_or(0, Bytes::len);
                let mut message = Vec::with_capacity(bytes);
                frames.for_each(|frame| message.extend_from_slice(frame));
                message.into()
            }
        };
        let sent = writer.try_send(&Broadcast::new(message));
        if sent == InlineWrite::Sent {
            waiting.take_queued(usize::MAX, 0);
            return true;
        }
        waiting.driver_state.idle = false;
        let begun = if let InlineWrite::Partly(rest) = sent {
            waiting.take_queued(usize::MAX, 0);
            waiting.partial_write = Some(rest);
            true
        } else {
            false
        };
        self.driver.wake();
        begun
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::Context;

    use super::super::tests::{broadcast, frame};
    use super::*;

    /// A socket that answers what it is told to, and keeps what it is asked to send.
    #[derive(Debug)]
    struct Scripted(Mutex<(Vec<InlineWrite>, Vec<Bytes>)>);

    impl InlineWriter for Scripted {
        fn try_send(&self, message: &Broadcast) -> InlineWrite {
            let mut script = self.0.lock().expect("nobody panics");
            script.1.push(message.message().clone());
            script.0.pop().unwrap_or(InlineWrite::Sent)
        }
    }

    fn plugged(answers: Vec<InlineWrite>) -> (Outbox, Arc<Scripted>) {
        let outbox = Outbox::new(100);
        let socket = Arc::new(Scripted(Mutex::new((answers, Vec::new()))));
        outbox.set_inline_writer(Some(Arc::clone(&socket) as Arc<dyn InlineWriter>));
        (outbox, socket)
    }

    fn turn(outbox: &Outbox, unsent: bool) -> Option<Bytes> {
        let rest = outbox.begin_turn(&Context::from_waker(std::task::Waker::noop()));
        assert!(outbox.end_turn(unsent, false));
        rest
    }

    fn asked(socket: &Scripted) -> usize {
        socket.0.lock().expect("nobody panics").1.len()
    }

    fn last_asked(socket: &Scripted) -> Bytes {
        let script = socket.0.lock().expect("nobody panics");
        script.1.last().expect("it was asked").clone()
    }

    #[test]
    fn events_go_past_a_driver_that_rests_and_past_nothing_that_waits() {
        let (outbox, socket) = plugged(vec![]);
        assert_eq!(outbox.durable(&broadcast(1, 10)), Ok(()));
        assert_eq!(asked(&socket), 0, "the driver has not had its first turn");
        assert_eq!(outbox.take_batch().expect("it waits").len(), 10);
        turn(&outbox, false);
        assert_eq!(outbox.durable(&broadcast(2, 10)), Ok(()));
        outbox.volatile(&broadcast(3, 10));
        assert_eq!((asked(&socket), outbox.take_batch()), (2, None));
        outbox.control(frame(4, 1));
        assert_eq!(outbox.durable(&broadcast(5, 1)), Ok(()));
        assert_eq!(asked(&socket), 2);
        assert_eq!(&outbox.take_batch().expect("two wait")[..], [4, 5]);
        turn(&outbox, true);
        outbox.volatile(&broadcast(6, 1));
        assert_eq!(asked(&socket), 2, "something waits for the socket");
    }

    #[test]
    fn what_a_full_socket_refuses_is_queued_and_what_it_tore_comes_first() {
        let rest = frame(9, 3);
        let (outbox, socket) = plugged(vec![
            InlineWrite::Partly(rest.clone()),
            InlineWrite::Refused,
        ]);
        turn(&outbox, false);
        outbox.volatile(&broadcast(1, 5));
        assert_eq!(outbox.take_batch().expect("it was refused").len(), 5);
        turn(&outbox, false);
        outbox.volatile(&broadcast(2, 5));
        outbox.volatile(&broadcast(3, 5));
        assert_eq!(asked(&socket), 2, "nothing goes past a partial write");
        assert_eq!(turn(&outbox, false), Some(rest));
        assert_eq!(outbox.take_batch().expect("the one after").as_ref(), [3; 5]);
    }

    #[test]
    fn what_comes_during_a_turn_is_seen_before_the_driver_rests() {
        let (outbox, socket) = plugged(vec![]);
        outbox.begin_turn(&Context::from_waker(std::task::Waker::noop()));
        outbox.volatile(&broadcast(1, 5));
        assert!(!outbox.end_turn(false, false), "there is news");
        assert_eq!(outbox.take_batch().expect("it waits").len(), 5);
        assert!(outbox.end_turn(false, false));
        assert_eq!(asked(&socket), 0);
    }

    #[test]
    fn an_answer_goes_out_with_the_event_that_follows_it() {
        let (outbox, socket) = plugged(vec![]);
        turn(&outbox, false);
        outbox.cork_reply(1, frame(1, 2));
        outbox.cork_reply(2, frame(2, 1));
        assert_eq!(asked(&socket), 0, "more may follow");
        assert_eq!(outbox.durable(&broadcast(3, 2)), Ok(()));
        assert_eq!(last_asked(&socket)[..], [1, 1, 2, 3, 3]);
        outbox.uncork();
        assert_eq!(outbox.durable(&broadcast(4, 1)), Ok(()));
        assert_eq!(last_asked(&socket)[..], [4]);
        assert_eq!((asked(&socket), outbox.take_batch()), (2, None));
        assert_eq!(outbox.snapshot(Bytes::new()).answered[..], [1, 2]);
    }

    #[test]
    fn an_answer_that_nothing_follows_is_released() {
        let (outbox, socket) = plugged(vec![]);
        turn(&outbox, false);
        outbox.cork_reply(1, frame(1, 2));
        outbox.uncork();
        outbox.uncork();
        assert_eq!((asked(&socket), outbox.take_batch()), (1, None));
        assert_eq!(last_asked(&socket)[..], [1, 1]);
    }

    #[test]
    fn an_answer_is_not_corked_before_a_driver_that_needs_it_or_is_at_work() {
        let (outbox, socket) = plugged(vec![]);
        outbox.begin_turn(&Context::from_waker(std::task::Waker::noop()));
        outbox.cork_reply(1, frame(1, 1));
        assert!(!outbox.end_turn(false, true), "there is news");
        assert_eq!(outbox.take_batch().expect("it waits")[..], [1]);
        assert!(outbox.end_turn(false, true));
        outbox.cork_reply(2, frame(2, 1));
        outbox.uncork();
        assert_eq!(asked(&socket), 0);
        assert_eq!(outbox.take_batch().expect("the driver is woken")[..], [2]);
    }

    #[test]
    fn what_a_full_socket_leaves_of_corked_replies_is_the_drivers() {
        let rest = frame(9, 1);
        let (outbox, socket) = plugged(vec![
            InlineWrite::Refused,
            InlineWrite::Partly(rest.clone()),
            InlineWrite::Refused,
        ]);
        turn(&outbox, false);
        outbox.cork_reply(1, frame(1, 1));
        outbox.volatile(&broadcast(2, 1));
        assert_eq!(&outbox.take_batch().expect("both wait")[..], [1, 2]);
        turn(&outbox, false);
        outbox.cork_reply(2, frame(3, 1));
        assert_eq!(outbox.durable(&broadcast(4, 1)), Ok(()));
        assert_eq!(
            (turn(&outbox, false), outbox.take_batch()),
            (Some(rest), None)
        );
        outbox.cork_reply(3, frame(5, 1));
        outbox.uncork();
        assert_eq!(asked(&socket), 3);
        assert_eq!(&outbox.take_batch().expect("it was refused")[..], [5]);
    }

    #[test]
    fn whatever_else_comes_leaves_corked_replies_to_the_driver_in_order() {
        let (outbox, socket) = plugged(vec![]);
        turn(&outbox, false);
        outbox.cork_reply(1, frame(1, 1));
        outbox.control(frame(2, 1));
        assert_eq!(outbox.durable(&broadcast(3, 1)), Ok(()));
        outbox.uncork();
        assert_eq!(asked(&socket), 0);
        assert_eq!(&outbox.take_batch().expect("three wait")[..], [1, 2, 3]);
    }
}
