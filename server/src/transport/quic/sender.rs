//! The sending half of a control stream, which others than its driver may write to as well.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pitturu_protocol::framing::length;
use quinn::{SendStream, StoppedError, VarInt, WriteError, Written};

use crate::connections::link::{Broadcast, Framing, InlineWrite, InlineWriter};
use crate::sync::Mutex;
use crate::transport::FramingSlot;

/// A broadcast behind its length.
static FRAMING: Framing = Framing::in_slot::<{ FramingSlot::Quic as usize }>(framed);

/// What the client has confirmed of a stream that has ended.
pub(super) type Confirmed =
    Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>;

/// The sending half of a control stream. What is written lies with the connection, whose own task packs, encrypts and sends it;
/// the connection takes as much as its window allows.
///
/// Whoever sends past the driver and the driver take turns by the state of the outbox. All wait for the connection's task, which
/// may just be sending some packets.
#[derive(Debug)]
pub(super) struct ControlSender(Mutex<SendStream>);

impl ControlSender {
    pub(super) const fn new(stream: SendStream) -> Self {
        Self(Mutex::new(stream))
    }

    /// Hands over what the window allows.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &mut [Bytes],
    ) -> Poll<Result<Written, WriteError>> {
        let mut stream = self.0.lock();
        pin!(stream.write_chunks(pieces)).poll(cx)
    }

    /// Ends the stream. None: it was stopped or has ended before, and nothing will be confirmed.
    pub(super) fn finish(&self) -> Option<Confirmed> {
        let mut stream = self.0.lock();
        stream.finish().ok()?;
        Some(Box::pin(stream.stopped()))
    }
}

impl InlineWriter for ControlSender {
    fn try_send(&self, message: &Broadcast) -> InlineWrite {
        let mut pieces = [message.framed(&FRAMING).clone()];
        // Nobody is to be woken: when there is no room the driver asks again.
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_write(&mut cx, &mut pieces) {
            Poll::Ready(Ok(written)) if written.chunks == 1 => InlineWrite::Sent,
            Poll::Ready(Ok(_)) => {
                let [rest] = pieces;
                InlineWrite::Partly(rest)
            }
            // The driver meets an error by itself.
            Poll::Ready(Err(_)) | Poll::Pending => InlineWrite::Refused,
        }
    }
}

/// A message behind its length.
pub(super) fn framed(message: &Bytes) -> Bytes {
    [&length(message.len())[..], &message[..]].concat().into()
}
