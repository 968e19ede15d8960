//! Frames that can't be read: they are stepped over where the connection can do without them.

use bytes::Bytes;

use crate::codes::{Code, Fault};
use crate::frame::InvalidFrame;
use crate::frame::salvage::{self, Salvaged};

use super::{Broken, ClientConnection, Output, Phase};

impl ClientConnection {
    /// The frame at the front of `bytes`, a part of `message`, can't be read. Returns what follows it. To end the connection would
    /// bring most of them again on the next one.
    pub(super) fn frame_unreadable<'a>(
        &mut self,
        now: u64,
        bytes: &'a [u8],
        message: &Bytes,
        why: InvalidFrame,
    ) -> Result<&'a [u8], Broken> {
        let salvaged = match self.phase {
            Phase::Open { .. } => salvage::salvage(bytes),
            _ => None,
        };
        let Some((frame, rest)) = salvaged else {
            self.tell_unreadable(salvage::name(bytes), why);
            return Err(Broken::Unreadable);
        };
        match frame {
            Salvaged::Event(event, body) => self.event(event, message.slice_ref(body))?,
            Salvaged::Reply(call, body) => self.replied(now, call, message.slice_ref(body))?,
            Salvaged::Fault(call) => {
                let fault = unreadable_fault(&why);
                if call == 0 {
                    self.outputs.push_back(Output::Fault(fault));
                } else {
                    self.faulted(now, call, fault);
                }
            }
            Salvaged::Gap(stream) => {
                self.streams.gap_unreadable(stream);
                self.tell_unreadable("gap", why);
            }
            Salvaged::Other(name) => self.tell_unreadable(name, why),
        }
        Ok(rest)
    }

    /// The frame at the front of `bytes`, which came over the next connection before that has taken over, can't be read. Returns what
    /// follows it; none when the connection can't do without the frame. An event is told by the present connection as well.
    pub(super) fn unreadable_ahead<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        match salvage::salvage(bytes)? {
            (Salvaged::Event(..), rest) if self.is_settling() => Some(rest),
            _ => None,
        }
    }

    /// The frame at the front of `bytes`, which came over the connection before, can't be read. Returns what follows it; none when
    /// that connection is of no more use. What it was to answer is answered; all else is told by the present connection as well.
    pub(super) fn unreadable_before<'a>(
        &mut self,
        now: u64,
        bytes: &'a [u8],
        message: &Bytes,
        why: &InvalidFrame,
    ) -> Option<&'a [u8]> {
        let (frame, rest) = salvage::salvage(bytes)?;
        match frame {
            Salvaged::Reply(call, _) | Salvaged::Fault(call) if self.is_last(call) => {
                self.last_answered();
            }
            Salvaged::Reply(call, body) if self.calls.is_before(call) => {
                self.replied(now, call, message.slice_ref(body)).ok()?;
            }
            Salvaged::Fault(call) if call != 0 && self.calls.is_before(call) => {
                self.faulted(now, call, unreadable_fault(why));
            }
            Salvaged::Event(event, body) => self.event_before(event, message.slice_ref(body)),
            _ => {}
        }
        Some(rest)
    }

    fn tell_unreadable(&mut self, frame: &'static str, why: InvalidFrame) {
        self.stats.unreadable += 1;
        self.outputs
            .push_back(Output::UnreadableFrame { frame, why });
    }
}

fn unreadable_fault(why: &InvalidFrame) -> Fault {
    let text = format!("the server's refusal can't be read: {why}");
    Fault::new(Code::Internal, text)
}
