//! Outgoing messages between a session and its socket.
//!
//! A broadcast is encoded once and shared: the queue holds the same [`Bytes`] for every connection and hands them to
//! the socket in vectored writes, so sending costs no copy and an idle connection keeps no write buffer. Control
//! frames are tungstenite's: it writes them through this stream, which lets them in only between two messages. While a
//! connection rests, [`PlainSender`] sends to a plain socket without its task.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::session::link::{Broadcast, Direct, Directly};

/// Most messages that one write hands to the socket.
const MESSAGES_PER_WRITE_MAX: usize = 32;

/// Bytes up to which a message is put together for a plain write.
const SHORT_BYTES: usize = 512;

/// Queue slots that an idle connection keeps.
const IDLE_SLOTS: usize = 4;

/// FIN and the opcode of a binary message.
const BINARY: u8 = 0x82;

/// A socket with a queue of whole messages in front of it.
#[derive(Debug)]
pub struct Wire<S> {
    socket: S,
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
            queue: VecDeque::new(),
            queued_bytes: 0,
            inside_control: false,
        }
    }

    /// The socket.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket, for what is no message.
    pub const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Bytes that the socket has not taken yet.
    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
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
        mut self: Pin<&mut Self>,
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(!self.inside_control, "flush follows whole control frames");
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Sends whole messages to a plain socket from outside of the connection's task.
#[derive(Debug)]
pub struct PlainSender {
    tcp: OwnedWriteHalf,
}

impl PlainSender {
    /// A sender by the writing half of the connection's socket.
    pub const fn new(tcp: OwnedWriteHalf) -> Self {
        Self { tcp }
    }
}

impl Direct for PlainSender {
    fn try_send(&self, message: &Broadcast) -> Directly {
        let framed = message.on_websocket(framed);
        // The runtime is not asked whether the socket is ready: it is, nearly always, and asking costs a look into memory
        // that nothing else here needs. The driver meets an error of the socket by itself.
        let socket: &TcpStream = self.tcp.as_ref();
        match send(socket, framed, SendFlags::NOSIGNAL) {
            Ok(count) if count == framed.len() => Directly::Sent,
            Ok(count) => Directly::Partly(framed.slice(count..)),
            Err(_) => Directly::Refused,
        }
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
        let (_read_half, writing) = accepted.unwrap().0.into_split();
        let sender = PlainSender::new(writing);
        let message = Broadcast::new(Bytes::from(vec![7; 60_000]));
        let mut sent = 0;
        let rest = loop {
            match sender.try_send(&message) {
                Directly::Sent => sent += 1,
                Directly::Partly(rest) => break rest,
                Directly::Refused => break Bytes::new(),
            }
        };
        assert!(sent > 0);
        assert_eq!(sender.try_send(&message), Directly::Refused);
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
        assert!(Pin::new(&mut wire).poll_flush(&mut cx).is_ready());
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
            expected.extend(framed(&Bytes::from_static(b"late")));
            while Pin::new(&mut wire).poll_flush(&mut cx).is_pending() {
                wire.socket.room += 11;
            }
            assert!(wire.socket.out == expected, "step {step}");
            assert_eq!(wire.queued_bytes(), 0);
        }
    }
}
