//! Reading: from the link's messages and datagrams to calls that have begun.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::frame::CallId;
use pitturu_protocol::limits::CALLS_IN_FLIGHT_MAX;
use pitturu_protocol::methods::{Effect, MethodInfo};
use pitturu_protocol::server::{ClientEvent, Violation};
use pitturu_store::clock::Steady;

use super::{Driver, Ended, FRAMES_PER_TURN, Window};
use crate::call_traces::{CallRead, CallTrace};
use crate::connections::call::PendingCall;
use crate::connections::call_metrics::Moment;
use crate::connections::link::{Link, Received};
use crate::connections::outbox::BATCH_BYTES;
use crate::session::calls::{self, Dispatch, Incoming, Work};
use crate::session::hello;
use crate::session::replies::Replies;

/// Calls that run beside each other for one connection; the next waits.
const CONCURRENT_MAX: usize = 8;

/// Reads without an answer; the next waits. Their replies are the large ones, so this bounds what a client that
/// does not read can make the server hold.
const READS_MAX: usize = 16;

/// Calls refused one after the other for their rate before the connection is closed as a flood.
const REFUSALS_MAX: u32 = 1_000;

/// What became of an attempt to read a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// The link has no message.
    Nothing,
    /// A frame was handled, and at most `replies` has grown.
    Settled,
    /// A frame was handled, and the outbox may hold more than before.
    Begun,
}

/// How far a turn has read. It lies on the stack: a connection that rests holds none of it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Frames that answer what was read.
    pub(super) replies: Replies,
    /// When the turn began to read calls. What comes together is timed together: a look at the clock for each message
    /// would cost as much as a tenth of its answer.
    received_at: Option<Moment>,
    pub(super) frames: usize,
    /// The link has no message and wakes the connection when one comes.
    pub(super) is_drained: bool,
}

impl<L: Link> Driver<L> {
    /// Reads and handles frames as long as there are some and there is room to answer them.
    pub(super) fn read_frames(
        &mut self,
        cx: &mut Context<'_>,
        now: Steady,
        mut above: bool,
        reading: &mut Reading,
    ) -> Result<(), Ended> {
        while !above
            && !reading.is_drained
            && reading.frames < FRAMES_PER_TURN
            && reading.replies.len() < BATCH_BYTES
            && self.may_read(now)
        {
            match self.poll_read(cx, now, reading)? {
                Read::Nothing => reading.is_drained = true,
                Read::Settled => reading.frames += 1,
                Read::Begun => {
                    reading.frames += 1;
                    above = self.connection.outbox.is_above_high_water();
                }
            }
        }
        Ok(())
    }

    /// Whether there is room for another call, apart from that in the outbox.
    fn may_read(&self, now: Steady) -> bool {
        self.sequential.is_none()
            && self.concurrent.len() < CONCURRENT_MAX
            && self.reads.len() < READS_MAX
            && self.machine.calls_in_flight() < CALLS_IN_FLIGHT_MAX
            && !self.window_is_full(now)
    }

    pub(super) fn window_is_full(&self, now: Steady) -> bool {
        self.window.frames >= self.config.frames_per_second
            && self.window.second == now.as_ms() / 1_000
    }

    /// Counts a frame. When the second's share is used up, the timer wakes the connection in the next one.
    fn count_frame(&mut self, now: Steady) {
        if self.window.second != now.as_ms() / 1_000 {
            self.window = Window {
                second: now.as_ms() / 1_000,
                frames: 0,
            };
        }
        self.window.frames += 1;
        if self.window_is_full(now) {
            self.set_timer(now);
        }
    }

    /// Reads one frame, taking the next message or datagram when the last message is used up.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        now: Steady,
        reading: &mut Reading,
    ) -> Result<Read, Ended> {
        if self.unread.is_empty() {
            match self.link.poll_receive(cx) {
                Poll::Pending => return Ok(Read::Nothing),
                Poll::Ready(Ok(Received::Message(message))) => self.unread = message,
                Poll::Ready(Ok(Received::Datagram(datagram))) => {
                    return self.read_datagram(cx, &datagram, now, reading);
                }
                Poll::Ready(Err(error)) => return Err(Ended::Link(error)),
            }
            if self.unread.is_empty() {
                let fault = Fault::new(Code::BadRequest, "a message holds at least one frame");
                return Err(Ended::Violation(Violation {
                    close: CloseCode::ProtocolError,
                    fault,
                }));
            }
        }
        let message = std::mem::take(&mut self.unread);
        self.count_frame(now);
        let (said, rest) = match self.machine.read(&message, now.as_ms()) {
            Ok(read) => read,
            Err(violation) => return Err(Ended::Violation(violation)),
        };
        let rest_at = message.len() - rest.len();
        let read = self.handle(cx, said, now, reading)?;
        if rest_at < message.len() {
            self.unread = message;
            self.unread.advance(rest_at);
        }
        Ok(read)
    }

    /// A datagram counts as a frame, also one that is dropped, so that a flood of them is slowed down like any other.
    fn read_datagram(
        &mut self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        now: Steady,
        reading: &mut Reading,
    ) -> Result<Read, Ended> {
        self.count_frame(now);
        match self.machine.read_datagram(datagram) {
            Ok(Some(said)) => self.handle(cx, said, now, reading),
            Ok(None) => Ok(Read::Settled),
            Err(violation) => Err(Ended::Violation(violation)),
        }
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_>,
        said: ClientEvent<'_>,
        now: Steady,
        reading: &mut Reading,
    ) -> Result<Read, Ended> {
        match said {
            ClientEvent::Hello(hello) => {
                let context = Arc::clone(&self.context);
                let ping_ms = self.config.timing.ping_ms;
                let work = hello::welcome(context, Arc::clone(&self.connection), hello, ping_ms);
                self.begin_sequential(cx, work, now);
                return Ok(Read::Begun);
            }
            ClientEvent::Call {
                call,
                method,
                body,
                key,
                head,
            } => {
                let received_at = reading.received_at.get_or_insert_with(Moment::now);
                let incoming = Incoming {
                    call: self.pending(call, method, *received_at),
                    method,
                    body,
                    key,
                    first_head: head,
                };
                return self.begin(cx, incoming, now, reading);
            }
            ClientEvent::Beyond {
                call,
                method,
                fault,
            } => {
                let received_at = reading.received_at.get_or_insert_with(Moment::now);
                let call = self.pending(call, method, *received_at);
                let (context, connection) = (&self.context, &self.connection);
                let admitted = calls::admit(context, connection, &mut self.buckets, method);
                let fault = admitted.err().unwrap_or(fault);
                return self.refuse(call, fault, &mut reading.replies);
            }
            ClientEvent::Cancel(call) => self.cancel(call),
            ClientEvent::Ack { stream, cursor } => {
                self.backfill.acked(stream, cursor, &self.connection);
            }
            // No method opens a match yet, so there is none that the input could be for.
            ClientEvent::Input { .. } | ClientEvent::Nothing => {}
        }
        Ok(Read::Settled)
    }

    fn pending(&self, call: CallId, method: u16, received_at: Moment) -> PendingCall {
        let trace = CallTrace::begin(|| CallRead {
            conn: self.connection.id,
            user: self.connection.user(),
            call,
            method,
            ago: received_at.elapsed(),
        });
        PendingCall::new(call, method, received_at).traced(trace)
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        incoming: Incoming<'_>,
        now: Steady,
        reading: &mut Reading,
    ) -> Result<Read, Ended> {
        let (call, method) = (incoming.call, incoming.method);
        let (context, connection) = (&self.context, &self.connection);
        let (buckets, replies) = (&mut self.buckets, &mut reading.replies);
        let dispatch = match calls::begin(context, connection, buckets, incoming, now, replies) {
            Ok(dispatch) => dispatch,
            Err(fault) => return self.refuse(call, fault, &mut reading.replies),
        };
        // A flood gets some calls through, too.
        self.refusals = self.refusals.saturating_sub(1);
        if matches!(dispatch, Dispatch::Answered) {
            self.machine.answered(call.number);
            return Ok(Read::Settled);
        }
        if MethodInfo::of(method).is_some_and(|method| method.effect == Effect::Reads) {
            self.reads.push(call);
        }
        match dispatch {
            Dispatch::Answered | Dispatch::Routed => {}
            Dispatch::Sequential(work) => self.begin_sequential(cx, work, now),
            Dispatch::Concurrent(mut work) => {
                // Most of what needs no store is done at once, without a task.
                if work.as_mut().poll(cx).is_pending() {
                    self.concurrent.push((call.number, tokio::spawn(work)));
                }
            }
        }
        Ok(Read::Begun)
    }

    fn begin_sequential(&mut self, cx: &mut Context<'_>, work: Work, now: Steady) {
        self.sequential = Some(work);
        self.poll_sequential(cx, now);
    }

    fn refuse(
        &mut self,
        call: PendingCall,
        fault: Fault,
        replies: &mut Replies,
    ) -> Result<Read, Ended> {
        if fault.code == Code::RateLimited {
            self.refusals += 1;
        }
        self.connection.note_refusal(call, fault.code);
        replies.refuse(call, fault);
        self.machine.answered(call.number);
        if self.refusals > REFUSALS_MAX {
            return Err(Ended::Close(CloseCode::Flooding));
        }
        Ok(Read::Settled)
    }

    /// Reads are dropped; a write on its way takes effect and is answered.
    fn cancel(&mut self, call: CallId) {
        if let Some(read) = self.reads.iter().find(|read| read.number == call) {
            let frame = read.fault_frame(Fault::of(Code::Cancelled)).encode();
            if self.connection.outbox.revoke(call, frame.into()) {
                read.refused(Code::Cancelled);
            }
        }
    }
}
