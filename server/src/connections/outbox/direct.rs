//! Past the driver: what goes to the socket at once, while the driver rests.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::frame::CallId;

use super::{Gate, Line, Outbox, Waiting, is_revoked};
use crate::connections::link::{Broadcast, Direct, Directly};
use crate::sync::MutexGuard;

impl Outbox {
    /// Queues the answer to a call that the caller will hear more of at once: it goes out together with the next event past
    /// the driver, or with [`Self::release`], which has to follow. The driver learns of it in its next turn. False: it was answered
    /// already.
    pub fn hold_answer(&self, call: CallId, frame: Bytes) -> bool {
        let mut waiting = self.lock();
        if is_revoked(&mut waiting, call) {
            return false;
        }
        waiting.answered.push(call);
        let gate = &mut waiting.gate;
        if gate.idle && gate.direct.is_some() && !gate.hears_answers {
            gate.holds = true;
            waiting.queue.push(frame);
        } else {
            self.enqueue(waiting, frame);
        }
        true
    }

    /// Sends the answers that are still held.
    pub fn release(&self) {
        let mut waiting = self.lock();
        if waiting.gate.holds
            && let Some(direct) = waiting.gate.direct.clone()
        {
            self.sends_held(&mut waiting, direct.as_ref(), None);
        }
    }

    /// Sends an event past the driver, after the answers that are held. False: it has to be queued.
    pub(super) fn sends_directly(
        &self,
        waiting: &mut MutexGuard<'_, Waiting>,
        event: &Broadcast,
    ) -> bool {
        let Gate {
            direct,
            idle,
            holds,
            ..
        } = &waiting.gate;
        let Some(direct) = direct.as_ref().filter(|_| *idle) else {
            return false;
        };
        if *holds {
            let direct = Arc::clone(direct);
            return self.sends_held(waiting, direct.as_ref(), Some(event.message()));
        }
        match direct.try_send(event) {
            Directly::Sent => true,
            Directly::Refused => false,
            Directly::Partly(rest) => {
                waiting.torn = Some(rest);
                waiting.gate.idle = false;
                self.driver.wake();
                true
            }
        }
    }

    /// Sends the answers that are held and what follows them as one message. False: nothing of it was sent, and the
    /// driver sends the answers.
    fn sends_held(
        &self,
        waiting: &mut MutexGuard<'_, Waiting>,
        direct: &dyn Direct,
        after: Option<&Bytes>,
    ) -> bool {
        waiting.gate.holds = false;
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
        let sent = direct.try_send(&Broadcast::new(message));
        if sent == Directly::Sent {
            waiting.queue = Line::default();
            return true;
        }
        waiting.gate.idle = false;
        let begun = if let Directly::Partly(rest) = sent {
            waiting.queue = Line::default();
            waiting.torn = Some(rest);
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
    struct Scripted(Mutex<(Vec<Directly>, Vec<Bytes>)>);

    impl Direct for Scripted {
        fn try_send(&self, message: &Broadcast) -> Directly {
            let mut script = self.0.lock().expect("nobody panics");
            script.1.push(message.message().clone());
            script.0.pop().unwrap_or(Directly::Sent)
        }
    }

    fn plugged(answers: Vec<Directly>) -> (Outbox, Arc<Scripted>) {
        let outbox = Outbox::new(100);
        let socket = Arc::new(Scripted(Mutex::new((answers, Vec::new()))));
        outbox.plug(Some(Arc::clone(&socket) as Arc<dyn Direct>));
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
        let (outbox, socket) = plugged(vec![Directly::Partly(rest.clone()), Directly::Refused]);
        turn(&outbox, false);
        outbox.volatile(&broadcast(1, 5));
        assert_eq!(outbox.take_batch().expect("it was refused").len(), 5);
        turn(&outbox, false);
        outbox.volatile(&broadcast(2, 5));
        outbox.volatile(&broadcast(3, 5));
        assert_eq!(asked(&socket), 2, "nothing goes past a torn message");
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
        outbox.hold_answer(1, frame(1, 2));
        outbox.hold_answer(2, frame(2, 1));
        assert_eq!(asked(&socket), 0, "more may follow");
        assert_eq!(outbox.durable(&broadcast(3, 2)), Ok(()));
        assert_eq!(last_asked(&socket)[..], [1, 1, 2, 3, 3]);
        outbox.release();
        assert_eq!(outbox.durable(&broadcast(4, 1)), Ok(()));
        assert_eq!(last_asked(&socket)[..], [4]);
        assert_eq!((asked(&socket), outbox.take_batch()), (2, None));
        assert_eq!(outbox.look(Bytes::new()).answered[..], [1, 2]);
    }

    #[test]
    fn an_answer_that_nothing_follows_is_released() {
        let (outbox, socket) = plugged(vec![]);
        turn(&outbox, false);
        outbox.hold_answer(1, frame(1, 2));
        outbox.release();
        outbox.release();
        assert_eq!((asked(&socket), outbox.take_batch()), (1, None));
        assert_eq!(last_asked(&socket)[..], [1, 1]);
    }

    #[test]
    fn an_answer_is_not_held_from_a_driver_that_needs_it_or_is_at_work() {
        let (outbox, socket) = plugged(vec![]);
        outbox.begin_turn(&Context::from_waker(std::task::Waker::noop()));
        outbox.hold_answer(1, frame(1, 1));
        assert!(!outbox.end_turn(false, true), "there is news");
        assert_eq!(outbox.take_batch().expect("it waits")[..], [1]);
        assert!(outbox.end_turn(false, true));
        outbox.hold_answer(2, frame(2, 1));
        outbox.release();
        assert_eq!(asked(&socket), 0);
        assert_eq!(outbox.take_batch().expect("the driver is woken")[..], [2]);
    }

    #[test]
    fn what_a_full_socket_leaves_of_held_answers_is_the_drivers() {
        let rest = frame(9, 1);
        let (outbox, socket) = plugged(vec![
            Directly::Refused,
            Directly::Partly(rest.clone()),
            Directly::Refused,
        ]);
        turn(&outbox, false);
        outbox.hold_answer(1, frame(1, 1));
        outbox.volatile(&broadcast(2, 1));
        assert_eq!(&outbox.take_batch().expect("both wait")[..], [1, 2]);
        turn(&outbox, false);
        outbox.hold_answer(2, frame(3, 1));
        assert_eq!(outbox.durable(&broadcast(4, 1)), Ok(()));
        assert_eq!(
            (turn(&outbox, false), outbox.take_batch()),
            (Some(rest), None)
        );
        outbox.hold_answer(3, frame(5, 1));
        outbox.release();
        assert_eq!(asked(&socket), 3);
        assert_eq!(&outbox.take_batch().expect("it was refused")[..], [5]);
    }

    #[test]
    fn whatever_else_comes_leaves_held_answers_to_the_driver_in_order() {
        let (outbox, socket) = plugged(vec![]);
        turn(&outbox, false);
        outbox.hold_answer(1, frame(1, 1));
        outbox.control(frame(2, 1));
        assert_eq!(outbox.durable(&broadcast(3, 1)), Ok(()));
        outbox.release();
        assert_eq!(asked(&socket), 0);
        assert_eq!(&outbox.take_batch().expect("three wait")[..], [1, 2, 3]);
    }
}
