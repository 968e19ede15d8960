//! Outgoing messages between a session and its socket.
//!
//! A broadcast is encoded once and shared: the queue holds the same [`Bytes`] for every connection and hands them to
//! the socket in vectored writes, so sending costs no copy and an idle connection keeps no write buffer. Control
//! frames are tungstenite's: it writes them through this stream, which lets them in only between two messages. While a
//! connection rests, a plain socket is sent to without its task.
//!
//! What comes is received into a buffer of the thread, as much as there is, and handed to tungstenite from there. So its
//! own buffer, which each connection has, can be small, and many messages cost one call of the kernel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connections::link::Framing;
use crate::transport::FramingSlot;

/// Most messages that one write hands to the socket.
const MESSAGES_PER_WRITE_MAX: usize = 32;

/// Bytes up to which a message is put together for a plain write.
const SHORT_BYTES: usize = 2048;

/// Bytes received from a socket at once.
const RECEIVE_BYTES: usize = 16 * 1024;

/// Queue slots that an idle connection keeps.
const IDLE_SLOTS: usize = 4;

/// FIN and the opcode of a binary message.
const BINARY: u8 = 0x82;

/// A broadcast as one WebSocket frame.
pub static FRAMING: Framing = Framing::in_slot::<{ FramingSlot::WebSocket as usize }>(framed);

thread_local! {
    static RECEIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECEIVE_BYTES].into());
}

/// A socket with a queue of whole messages in front of it.
#[derive(Debug)]
pub struct Wire<S> {
    socket: S,
    /// Received and not handed on yet. Holds no memory when empty.
    ahead: Bytes,
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
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

    /// No header: the payload is the rest of a message that was begun.
    const fn none() -> Self {
        Self {
            bytes: [0; 10],
            from: 0,
            to: 0,
        }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[usize::from(self.from)..usize::from(self.to)]
    }
}

impl<S> Wire<S> {
    /// An empty queue before `socket`.
    pub const fn new(socket: S) -> Self {
        Self {
            socket,
            ahead: Bytes::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            inside_control: false,
        }
    }

    /// The socket.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// The wire as tungstenite reads and writes it; whatever has to wait wakes `cx`.
    pub const fn on<'a, 'cx>(&'a mut self, cx: &'a mut Context<'cx>) -> OnWire<'a, 'cx, S> {
        OnWire { wire: self, cx }
    }

    /// Bytes that the socket has not taken yet.
    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether a message, or the rest of a control frame, waits for the socket. Nobody else may write before it.
    pub const fn has_unsent(&self) -> bool {
        self.queued_bytes > 0 || self.inside_control
    }

    /// Queues one binary message. The next flush begins to write it.
    pub fn push(&mut self, payload: Bytes) {
        self.push_after(Header::of_message(payload.len()), payload);
    }

    /// Queues what is left of a message whose beginning the socket has.
    pub fn push_rest(&mut self, rest: Bytes) {
        self.push_after(Header::none(), rest);
    }

    fn push_after(&mut self, header: Header, payload: Bytes) {
        self.queued_bytes += header.rest().len() + payload.len();
        self.queue.push_back(Outgoing { header, payload });
    }

    fn taken(&mut self, mut count: usize) {
        self.queued_bytes -= count;
        while let Some(first) = self.queue.front_mut() {
            let of_header = count.min(first.header.rest().len());
            first.header.from += u8::try_from(of_header).expect("a header has ten bytes");
            count -= of_header;
            let of_payload = count.min(first.payload.len());
            first.payload.advance(of_payload);
            count -= of_payload;
            if !first.header.rest().is_empty() || !first.payload.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        self.queue.shrink_to(IDLE_SLOTS);
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes one short message, put together on the stack: a plain write of it costs less than a vectored one. None:
    /// something else waits.
    fn poll_short(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let first = self.queue.front().filter(|_| self.queue.len() == 1)?;
        let (header, payload) = (first.header.rest(), &first.payload);
        let length = header.len() + payload.len();
        if length == 0 || length > SHORT_BYTES {
            return None;
        }
        let mut message = [0; SHORT_BYTES];
        message[..header.len()].copy_from_slice(header);
        message[header.len()..length].copy_from_slice(payload);
        let written = Pin::new(&mut self.socket).poll_write(cx, &message[..length]);
        Some(match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => other,
        })
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            if let Some(count) = self.poll_short(cx) {
                self.taken(ready!(count)?);
                continue;
            }
            let mut slices = [IoSlice::new(&[]); 2 * MESSAGES_PER_WRITE_MAX];
            let mut used = 0;
            for outgoing in self.queue.iter().take(MESSAGES_PER_WRITE_MAX) {
                for part in [outgoing.header.rest(), &outgoing.payload] {
                    if !part.is_empty() {
                        slices[used] = IoSlice::new(part);
                        used += 1;
                    }
                }
            }
            let socket = Pin::new(&mut self.socket);
            let count = ready!(socket.poll_write_vectored(cx, &slices[..used]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads what was received, or receives. Nothing: the peer has closed.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.ahead.is_empty() {
            return RECEIVED.with_borrow_mut(|received| self.poll_receive(cx, received, into));
        }
        let count = into.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut into[..count]);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut [u8],
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut received = ReadBuf::new(received);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut received))?;
        let (now, ahead) = received
            .filled()
            .split_at(into.len().min(received.filled().len()));
        into[..now.len()].copy_from_slice(now);
        if !ahead.is_empty() {
            self.ahead = Bytes::copy_from_slice(ahead);
        }
        Poll::Ready(Ok(now.len()))
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes a part of a control frame once all messages before it are out. Each is handed over from its first to its
    /// last byte.
    fn poll_write_control(
        &mut self,
        cx: &mut Context<'_>,
        control: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.inside_control {
            ready!(self.poll_drain(cx))?;
        }
        let count = ready!(Pin::new(&mut self.socket).poll_write(cx, control))?;
        self.inside_control = count < control.len();
        Poll::Ready(Ok(count))
    }

    /// Writes all messages.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(!self.inside_control, "flush follows whole control frames");
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Closes the socket for writing.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A [`Wire`] in the hands of tungstenite, which takes "not now" as an error of that kind.
#[derive(Debug)]
pub struct OnWire<'a, 'cx, S> {
    wire: &'a mut Wire<S>,
    cx: &'a mut Context<'cx>,
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for OnWire<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        or_would_block(self.wire.poll_read(self.cx, buf))
    }
}

/// What is written here are control frames only.
impl<S: AsyncWrite + Unpin> Write for OnWire<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        or_would_block(self.wire.poll_write_control(self.cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(self.wire.poll_flush(self.cx))
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::connections::link::{Broadcast, InlineWrite};
    use crate::transport::socket::{PlainTcp, Socket};
    use tokio::net::TcpStream;

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

    #[tokio::test]
    async fn what_the_socket_does_not_take_at_once_follows() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reading = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, reading) = tokio::join!(listener.accept(), reading);
        let reading = reading.unwrap();
        let accepted = PlainTcp::new(accepted.unwrap().0);
        let sender = Socket::Plain(accepted).inline_writer();
        let message = Broadcast::new(Bytes::from(vec![7; 60_000]));
        let mut sent = 0;
        let rest = loop {
            match sender.try_send(&message) {
                InlineWrite::Sent => sent += 1,
                InlineWrite::Partly(rest) => break rest,
                InlineWrite::Refused => break Bytes::new(),
            }
        };
        assert!(sent > 0);
        assert_eq!(sender.try_send(&message), InlineWrite::Refused);
        let mut expected = framed(message.message()).repeat(sent);
        if !rest.is_empty() {
            expected.extend_from_slice(&framed(message.message()));
            expected.truncate(expected.len() - rest.len());
        }
        let mut received = Vec::new();
        while received.len() < expected.len() {
            reading.readable().await.unwrap();
            let _ = reading.try_read_buf(&mut received);
        }
        assert!(received == expected);
        let mut wire = Wire::new(Narrow {
            out: Vec::new(),
            step: 100,
            room: 70_000,
        });
        wire.push_rest(rest.clone());
        wire.push(Bytes::from_static(b"next"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wire.poll_flush(&mut cx).is_ready());
        assert!(wire.socket.out == [&rest[..], &framed(&Bytes::from_static(b"next"))].concat());
    }

    #[test]
    fn messages_and_control_frames_never_mix() {
        let mut cx = Context::from_waker(Waker::noop());
        let payloads = [vec![1; 3], vec![], vec![2; 200], vec![3; 70_000], vec![4]];
        for step in [1, 2, 3, 7, 64, 1000, 100_000] {
            let mut wire = Wire::new(Narrow {
                out: Vec::new(),
                step,
                room: 0,
            });
            let control = [0x8a, 3, b'a', b'b', b'c'];
            let mut expected = Vec::new();
            for payload in &payloads {
                wire.push(Bytes::copy_from_slice(payload));
                expected.extend(framed(&Bytes::copy_from_slice(payload)));
            }
            assert_eq!(wire.queued_bytes(), expected.len());
            let mut left = &control[..];
            while !left.is_empty() {
                if let Poll::Ready(count) = wire.poll_write_control(&mut cx, left) {
                    left = &left[count.unwrap()..];
                    assert!(wire.has_unsent() || left.is_empty(), "step {step}");
                    // A message that arrives while the control frame is partly out has to wait for it.
                    if wire.queued_bytes() == 0 {
                        wire.push(Bytes::from_static(b"late"));
                    }
                }
                wire.socket.room += 1;
            }
            expected.extend(control);
            expected.extend(framed(&Bytes::from_static(b"late")));
            while wire.poll_flush(&mut cx).is_pending() {
                wire.socket.room += 11;
            }
            assert!(wire.socket.out == expected, "step {step}");
            assert_eq!(wire.queued_bytes(), 0);
        }
    }
}
