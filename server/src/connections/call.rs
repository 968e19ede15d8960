//! A call that has no answer yet.

use std::time::Duration;

use bytes::Bytes;
use pitturu_metrics::labels::Offence;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{CallId, ServerFrame};
use pitturu_protocol::limits::FRAME_BYTES_MAX;
use pitturu_protocol::methods::{Effect, MethodInfo};

use super::automod;
use super::call_metrics::{self, Moment, Outcome};
use crate::call_traces::CallTrace;

/// A call that has no answer yet: its number on its connection, and what is measured of it. Whoever answers counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// Number on the connection, which the answer carries.
    pub number: CallId,
    method: u16,
    began: Moment,
    trace: CallTrace,
}

impl PendingCall {
    /// A call of the method with this number, read at `began`.
    pub const fn new(number: CallId, method: u16, began: Moment) -> Self {
        Self {
            number,
            method,
            began,
            trace: CallTrace::NONE,
        }
    }

    /// The same call, of which this is noted.
    #[must_use]
    pub const fn traced(self, trace: CallTrace) -> Self {
        Self { trace, ..self }
    }

    /// What is noted of it.
    pub const fn trace(self) -> CallTrace {
        self.trace
    }

    /// Counts it as answered with a reply.
    pub fn replied(self) {
        self.ended(Outcome::Ok, 1);
    }

    /// Counts it as answered with a fault.
    pub fn refused(self, code: Code) {
        self.ended(Outcome::Fault(code), 1);
    }

    /// Counts it and others that are alike: `count` in all.
    pub fn ended(self, outcome: Outcome, count: u64) {
        call_metrics::count(self.method, self.began, outcome, count);
        self.trace.ended(match outcome {
            Outcome::Ok => None,
            Outcome::Fault(code) => Some(code),
        });
    }

    /// What is left of this time since the call was read, if anything is.
    pub fn left_of(self, time: Duration) -> Option<Duration> {
        let left = time.checked_sub(self.began.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    /// Whether both are of one method, and neither is to be told apart.
    pub const fn is_alike(self, other: Self) -> bool {
        self.method == other.method && !self.trace.is_on() && !other.trace.is_on()
    }

    /// What it is for the rules by which the server acts on players, when it is refused with this code.
    pub fn offence(self, code: Code) -> Option<Offence> {
        automod::offence(MethodInfo::of(self.method)?.rate, code)
    }

    /// Whether it may make a durable change.
    pub fn writes(self) -> bool {
        MethodInfo::of(self.method).is_some_and(|method| method.effect == Effect::Writes)
    }

    /// The reply, unless it is longer than a client may take: then the fault to answer with. No reply should be, so it is
    /// logged.
    ///
    /// # Errors
    /// [`Code::Internal`] for more than [`FRAME_BYTES_MAX`].
    pub fn sendable(self, frame: Bytes) -> Result<Bytes, Fault> {
        if frame.len() <= FRAME_BYTES_MAX {
            return Ok(frame);
        }
        Err(self.too_long(frame.len()))
    }

    /// The fault in place of a reply of so many bytes.
    pub fn too_long(self, bytes: usize) -> Fault {
        let method = MethodInfo::of(self.method).map_or("unknown", |method| method.name);
        tracing::error!(method, bytes, "a reply is longer than a frame may be");
        Fault::new(Code::Internal, "the reply is longer than a frame may be")
    }

    /// The frame that refuses it.
    pub fn fault_frame(self, fault: Fault) -> ServerFrame<'static> {
        let call = self.number;
        ServerFrame::Fault { call, fault }
    }
}
