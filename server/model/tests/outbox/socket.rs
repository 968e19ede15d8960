//! What the driver and the others write to: a socket that takes all, a part, or nothing, and a peer who reads what it took.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pitturu_model::connections::link::{Broadcast, InlineWrite, InlineWriter};
use pitturu_model::sync::{Mutex, Notify};
use shuttle::rand::{Rng, thread_rng};

/// Bytes of a frame.
pub(crate) const FRAME: usize = 4;

/// Who made a frame. Order is kept among the frames of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Whoever answers calls and sends what follows them.
    Room,
    /// Events of a stream, and such as nobody misses.
    Stream,
    /// Frames that must not be lost.
    Control,
    /// States, of which the newest counts.
    State,
    /// The driver, of a stream that was cut.
    Cut,
}

/// How many there are.
const SOURCES: usize = 5;

/// A mark that no length of a message has, the number, and both once more, inverted.
pub(crate) fn frame(from: From, number: u8) -> Bytes {
    let mark = 0x80 | from as u8;
    Bytes::from(vec![mark, number, !mark, !number])
}

/// A message as it goes over the socket: its length before it.
fn framed(message: &[u8]) -> Bytes {
    let length = u8::try_from(message.len()).expect("messages are short here");
    assert!(length < 0x80, "a length is not mistaken for a frame");
    [&[length], message].concat().into()
}

#[derive(Debug, Default)]
struct Wire {
    /// It takes nothing until the peer has read.
    is_full: bool,
    waits: Option<Waker>,
    /// The beginning of a message.
    begun: Vec<u8>,
    came: [Vec<u8>; SOURCES],
}

impl Wire {
    /// The peer gets so much of it.
    fn feed(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        while let Some(&length) = self.begun.first()
            && self.begun.len() > usize::from(length)
        {
            let rest = self.begun.split_off(1 + usize::from(length));
            let message = std::mem::replace(&mut self.begun, rest);
            assert!(
                message.len() > 1 && message[1..].len().is_multiple_of(FRAME),
                "{message:?}"
            );
            message[1..]
                .chunks(FRAME)
                .for_each(|frame| self.take(frame));
        }
    }

    fn take(&mut self, frame: &[u8]) {
        let &[mark, number, not_mark, not_number] = frame else {
            unreachable!("chunks are of this length");
        };
        let is_whole = mark == !not_mark && number == !not_number;
        assert!(
            is_whole,
            "{frame:?}: something went between the parts of a message"
        );
        let came = &mut self.came[usize::from(mark & 0x7f)];
        let is_next = came.last().is_none_or(|&last| last < number);
        assert!(is_next, "{number} of {mark} came after {came:?}");
        came.push(number);
    }
}

/// One connection's socket, with both its ends.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    wire: Mutex<Wire>,
    /// It has become full.
    full: Notify,
    /// The peer has got something.
    grew: Notify,
}

impl Socket {
    /// Takes all of it or the beginning. Returns how much.
    fn write(&self, bytes: &[u8]) -> usize {
        let mut wire = self.wire.lock();
        if wire.is_full {
            return 0;
        }
        let taken = match thread_rng().gen_range(0..4) {
            0 => 0,
            1 => thread_rng().gen_range(0..bytes.len()),
            _ => bytes.len(),
        };
        wire.feed(&bytes[..taken]);
        // Now and then there is room again at once.
        wire.is_full = taken < bytes.len() && thread_rng().gen_bool(0.6);
        let is_full = wire.is_full;
        drop(wire);
        if is_full {
            self.full.notify_one();
        }
        self.grew.notify_one();
        taken
    }

    /// Wakes whoever polls when the socket takes something again. Ready: it does already.
    fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        let mut wire = self.wire.lock();
        if !wire.is_full {
            return Poll::Ready(());
        }
        wire.waits = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The peer reads whenever the socket is full, until told to end.
    pub(crate) fn read_on(&self, is_ended: impl Fn() -> bool) {
        loop {
            self.full.wait();
            if is_ended() {
                return;
            }
            let waits = {
                let mut wire = self.wire.lock();
                wire.is_full = false;
                wire.waits.take()
            };
            if let Some(waker) = waits {
                waker.wake();
            }
        }
    }

    /// Ends [`Self::read_on`].
    pub(crate) fn end(&self) {
        self.full.notify_one();
    }

    /// Waits until the peer has got what it has to.
    pub(crate) fn wait_until(&self, is_enough: impl Fn(&Came<'_>) -> bool) {
        while !is_enough(&Came(&self.wire.lock().came)) {
            self.grew.wait();
        }
    }

    /// Nothing is left of a message that has begun.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.wire.lock().begun.is_empty()
    }
}

/// The numbers of the frames that the peer has got, in order.
pub(crate) struct Came<'a>(&'a [Vec<u8>; SOURCES]);

impl Came<'_> {
    pub(crate) fn of(&self, from: From) -> &[u8] {
        &self.0[from as usize]
    }
}

/// The way past the driver.
#[derive(Debug)]
pub(crate) struct Past(pub(crate) Arc<Socket>);

impl InlineWriter for Past {
    fn try_send(&self, message: &Broadcast) -> InlineWrite {
        let message = framed(message.message());
        match self.0.write(&message) {
            0 => InlineWrite::Refused,
            taken if taken == message.len() => InlineWrite::Sent,
            taken => InlineWrite::Partly(message.slice(taken..)),
        }
    }
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Arc<Socket>,
    unsent: Vec<u8>,
}

impl Link {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            unsent: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        self.unsent.extend_from_slice(&framed(message));
    }

    pub(crate) fn send_rest(&mut self, rest: &[u8]) {
        self.unsent.extend_from_slice(rest);
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Ready: nothing is left.
    pub(crate) fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<()> {
        while self.has_unsent() {
            std::task::ready!(self.socket.poll_writable(cx));
            let taken = self.socket.write(&self.unsent);
            self.unsent.drain(..taken);
        }
        Poll::Ready(())
    }
}
