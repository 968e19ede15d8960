//! Outgoing messages between a session and its socket.
//!
//! A broadcast is encoded once and shared: the queue holds the same [`Bytes`] for every connection and hands them to
//! the socket in vectored writes, so sending costs no copy and an idle connection keeps no write buffer. Control
//! frames are tungstenite's: it writes them through this stream, which lets them in only between two messages. On a
//! plain socket a message can also be sent by its [`Lane`], from outside of the connection's task.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::session::link::{Broadcast, Direct, Directly};

/// Most messages that one write hands to the socket.
const MESSAGES_PER_WRITE_MAX: usize = 32;

/// Queue slots that an idle connection keeps.
const IDLE_SLOTS: usize = 4;

/// FIN and the opcode of a binary message.
const BINARY: u8 = 0x82;

/// A socket with a queue of whole messages in front of it.
#[derive(Debug)]
pub struct Wire<S> {
    socket: S,
    lane: Arc<Lane>,
}

/// The queue of one socket. Its lock is held for as long as one write that does not wait.
#[derive(Debug)]
pub struct Lane {
    state: Mutex<Queue>,
    /// The socket's writing half, where messages need no more than a header.
    tcp: Option<OwnedWriteHalf>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    /// A control frame is partly written, so no message may begin.
    inside_control: bool,
}

#[derive(Debug)]
struct Outgoing {
    header: Header,
    payload: Bytes,
}

/// Header of an unmasked frame and how much of it has been written.
#[derive(Clone, Copy, Debug)]
struct Header {
    bytes: [u8; 10],
    from: u8,
    to: u8,
}

impl Header {
    fn of_message(length: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = BINARY;
        let to = if let Ok(short) = u8::try_from(length)
            && short < 126
        {
            bytes[1] = short;
            2
        } else if let Ok(medium) = u16::try_from(length) {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        };
        Self { bytes, from: 0, to }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[usize::from(self.from)..usize::from(self.to)]
    }
}

impl Queue {
    fn push(&mut self, outgoing: Outgoing) {
        self.bytes += outgoing.header.rest().len() + outgoing.payload.len();
        self.messages.push_back(outgoing);
    }

    fn taken(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.messages.front_mut() {
            count -= first.taken(count);
            if !first.header.rest().is_empty() || !first.payload.is_empty() {
                return;
            }
            self.messages.pop_front();
        }
        self.messages.shrink_to(IDLE_SLOTS);
    }
}

impl Outgoing {
    fn new(payload: Bytes) -> Self {
        let header = Header::of_message(payload.len());
        Self { header, payload }
    }

    /// Takes away up to `count` bytes and returns how many they were.
    fn taken(&mut self, count: usize) -> usize {
        let of_header = count.min(self.header.rest().len());
        self.header.from += u8::try_from(of_header).expect("a header has ten bytes");
        let of_payload = (count - of_header).min(self.payload.len());
        self.payload.advance(of_payload);
        of_header + of_payload
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether messages can be sent past the connection's task.
    pub const fn is_direct(&self) -> bool {
        self.tcp.is_some()
    }
}

impl Direct for Lane {
    fn try_send(&self, message: &Broadcast) -> Directly {
        let Some(tcp) = &self.tcp else {
            return Directly::Refused;
        };
        let mut queue = self.lock();
        if !queue.messages.is_empty() || queue.inside_control {
            return Directly::Refused;
        }
        let framed = message.on_websocket(framed);
        // The runtime's idea of the socket is not asked: it is right nearly always, and costs a look into memory that
        // nothing else here needs. The driver meets an error of the socket by itself, when it reads.
        let socket: &TcpStream = tcp.as_ref();
        let Ok(count) = send(socket, framed, SendFlags::NOSIGNAL) else {
            return Directly::Refused;
        };
        if count == framed.len() {
            return Directly::Sent;
        }
        let mut outgoing = Outgoing::new(message.message().clone());
        outgoing.taken(count);
        queue.push(outgoing);
        Directly::Partly
    }
}

/// A message with its header.
fn framed(message: &Bytes) -> Bytes {
    let header = Header::of_message(message.len());
    let mut framed = Vec::with_capacity(header.rest().len() + message.len());
    framed.extend_from_slice(header.rest());
    framed.extend_from_slice(message);
    framed.into()
}

impl<S> Wire<S> {
    /// An empty queue before `socket`. With `tcp`, the socket's own writing half, messages can be sent past the
    /// connection's task.
    pub fn new(socket: S, tcp: Option<OwnedWriteHalf>) -> Self {
        let lane = Lane {
            state: Mutex::default(),
            tcp,
        };
        Self {
            socket,
            lane: Arc::new(lane),
        }
    }

    /// The socket.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// The queue.
    pub const fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Bytes that the socket has not taken yet.
    pub fn queued_bytes(&self) -> usize {
        self.lane.lock().bytes
    }

    /// Queues one binary message. The next flush begins to write it.
    pub fn push(&mut self, payload: Bytes) {
        self.lane.lock().push(Outgoing::new(payload));
    }
}

/// Writes what is queued, as far as the socket takes it.
fn poll_drain<S: AsyncWrite + Unpin>(
    socket: &mut S,
    queue: &mut Queue,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !queue.messages.is_empty() {
        let mut slices = [IoSlice::new(&[]); 2 * MESSAGES_PER_WRITE_MAX];
        let mut used = 0;
        for outgoing in queue.messages.iter().take(MESSAGES_PER_WRITE_MAX) {
            for part in [outgoing.header.rest(), &outgoing.payload] {
                if !part.is_empty() {
                    slices[used] = IoSlice::new(part);
                    used += 1;
                }
            }
        }
        let count = ready!(Pin::new(&mut *socket).poll_write_vectored(cx, &slices[..used]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        queue.taken(count);
    }
    Poll::Ready(Ok(()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

/// Written to by tungstenite only, which hands over control frames, each from its first to its last byte.
impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        control: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, lane } = self.get_mut();
        let mut queue = lane.lock();
        if !queue.inside_control {
            ready!(poll_drain(socket, &mut queue, cx))?;
        }
        let count = ready!(Pin::new(socket).poll_write(cx, control))?;
        queue.inside_control = count < control.len();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, lane } = self.get_mut();
        let mut queue = lane.lock();
        debug_assert!(!queue.inside_control, "flush follows whole control frames");
        ready!(poll_drain(socket, &mut queue, cx))?;
        drop(queue);
        Pin::new(socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes `step` bytes per write and is full after `room` bytes.
    struct Narrow {
        out: Vec<u8>,
        step: usize,
        room: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = buf.len().min(self.step).min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.out.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut out = Header::of_message(payload.len()).rest().to_vec();
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn headers_use_the_shortest_length() {
        for (length, header) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65535, &[0x82, 126, 255, 255]),
            (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(Header::of_message(length).rest(), header, "{length}");
        }
    }

    #[test]
    fn messages_and_control_frames_never_mix() {
        let mut cx = Context::from_waker(Waker::noop());
        let payloads = [vec![1; 3], vec![], vec![2; 200], vec![3; 70_000], vec![4]];
        for step in [1, 2, 3, 7, 64, 1000, 100_000] {
            let narrow = Narrow {
                out: Vec::new(),
                step,
                room: 0,
            };
            let mut wire = Wire::new(narrow, None);
            let control = [0x8a, 3, b'a', b'b', b'c'];
            let mut expected = Vec::new();
            for payload in &payloads {
                wire.push(Bytes::copy_from_slice(payload));
                expected.extend(framed(payload));
            }
            assert_eq!(wire.queued_bytes(), expected.len());
            let mut left = &control[..];
            while !left.is_empty() {
                if let Poll::Ready(count) = Pin::new(&mut wire).poll_write(&mut cx, left) {
                    left = &left[count.unwrap()..];
                    // A message that arrives while the control frame is partly out has to wait for it.
                    if wire.queued_bytes() == 0 {
                        wire.push(Bytes::from_static(b"late"));
                    }
                }
                wire.socket.room += 1;
            }
            expected.extend(control);
            expected.extend(framed(b"late"));
            while Pin::new(&mut wire).poll_flush(&mut cx).is_pending() {
                wire.socket.room += 11;
            }
            assert!(wire.socket.out == expected, "step {step}");
            assert_eq!(wire.queued_bytes(), 0);
        }
    }
}
