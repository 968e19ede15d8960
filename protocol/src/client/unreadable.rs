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
                let text = format!("the server's refusal can't be read: {why}");
                let fault = Fault::new(Code::Internal, text);
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

    fn tell_unreadable(&mut self, frame: &'static str, why: InvalidFrame) {
        self.stats.unreadable += 1;
        self.outputs
            .push_back(Output::UnreadableFrame { frame, why });
    }
}
