//! What is answered on the spot, while a connection's messages are read.

use bytes::Bytes;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame;
use pitturu_protocol::limits::FRAME_BYTES_MAX;
use serde::Serialize;

use crate::connections::call::PendingCall;
use crate::connections::call_metrics::Outcome;

/// Room for a reply beyond what it repeats of its call.
const REPLY_BYTES: usize = 64;

/// Room for the first replies of a turn: calls that come together are answered in one message.
const REPLIES_BYTES: usize = 1024;

/// Answers that go out together. Calls alike that follow each other are counted together as well, because each look at the
/// clock costs what a tenth of an answer does.
#[derive(Debug, Default)]
pub struct Replies {
    frames: Vec<u8>,
    /// The calls answered last that are not counted yet: the first of them, how they all ended, and how many.
    run: Option<(PendingCall, Outcome, u32)>,
}

impl Replies {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Answers a call whose request had so many bytes.
    pub fn reply<T: Serialize>(&mut self, call: PendingCall, reply: &T, request_bytes: usize) {
        let bytes = request_bytes + REPLY_BYTES;
        self.frames.reserve(if self.frames.is_empty() {
            bytes.max(REPLIES_BYTES)
        } else {
            bytes
        });
        let start = self.frames.len();
        frame::append_reply(&mut self.frames, call.number, reply);
        let bytes = self.frames.len() - start;
        if bytes > FRAME_BYTES_MAX {
            self.frames.truncate(start);
            return self.refuse(call, call.too_long(bytes));
        }
        self.count(call, Outcome::Ok);
    }

    /// Refuses a call.
    pub fn refuse(&mut self, call: PendingCall, fault: Fault) {
        let code = fault.code;
        call.fault_frame(fault).append(&mut self.frames);
        self.count(call, Outcome::Fault(code));
    }

    fn count(&mut self, call: PendingCall, outcome: Outcome) {
        match &mut self.run {
            Some((first, ended, count)) if first.is_alike(call) && *ended == outcome => *count += 1,
            _ => {
                self.end_run();
                self.run = Some((call, outcome, 1));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((first, outcome, count)) = self.run.take() {
            first.ended(outcome, u64::from(count));
        }
    }

    /// Takes the frames to send them.
    pub fn take(&mut self) -> Bytes {
        if self.frames.is_empty() {
            return Bytes::new();
        }
        self.end_run();
        std::mem::take(&mut self.frames).into()
    }
}
