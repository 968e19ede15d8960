//! One connection of the generator: as little work per message as the sockets allow, so that generator and server can share a
//! machine. Messages go out masked and whole; those that come in are read from one buffer per thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

mod handshake;
mod websocket;

pub use handshake::HandshakeRefused;
pub use websocket::{Incoming, Malformed, append_message, read_message};

/// Bytes that a thread reads from one socket at once.
const READ_BYTES: usize = 128 * 1024;

/// What carries the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// WebSocket over TCP.
    #[default]
    Ws,
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network's answer.
    #[error("network: {0}")]
    Io(#[from] io::Error),
    /// The server's answer to the upgrade.
    #[error(transparent)]
    Refused(#[from] HandshakeRefused),
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The server closed it, with this code if it gave one.
    #[error("closed by the server with code {0:?}")]
    Closed(Option<u16>),
    /// The network failed.
    #[error("network: {0}")]
    Io(io::ErrorKind),
    /// The server sent what is no WebSocket message or no frame.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl From<Malformed> for Lost {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

/// Messages on their way out of one connection.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Queues one message.
    pub fn message(&mut self, payload: &[u8]) {
        append_message(&mut self.bytes, payload);
    }

    /// Queues the end of the connection.
    pub fn close(&mut self) {
        websocket::append_close(&mut self.bytes);
    }

    /// Bytes that the socket has not taken.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether the socket has taken everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn took(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            self.written = 0;
            self.bytes.clear();
            // An idle connection keeps no large buffer.
            self.bytes.shrink_to(512);
        }
    }
}

/// Who takes what a connection receives.
pub trait Receiver {
    /// One message's payload. What it wants to answer goes to `out`.
    fn message(&mut self, payload: &[u8], out: &mut Outgoing) -> Result<(), Lost>;
    /// So many bytes came with the last read, and this many messages.
    fn received(&mut self, bytes: usize, messages: usize);
    /// So many bytes were written.
    fn written(&mut self, bytes: usize);
}

/// An open connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// The beginning of a message that has not come whole.
    carry: Vec<u8>,
    /// What is to be sent; [`Self::turn`] sends it.
    pub out: Outgoing,
    /// Most bytes taken from the socket in one turn.
    read_bytes: usize,
}

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

impl Link {
    /// Connects from this source address, without a handshake.
    pub async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        Self::open_with(address, source, None).await
    }

    /// Connects with the WebSocket handshake of PittuRu.
    pub async fn connect(
        address: SocketAddr,
        source: Option<IpAddr>,
        receive_buffer: Option<u32>,
    ) -> Result<Self, ConnectError> {
        let mut link = Self::open_with(address, source, receive_buffer).await?;
        let after = handshake::upgrade(&mut link.stream, address).await?;
        link.carry = after;
        Ok(link)
    }

    async fn open_with(
        address: SocketAddr,
        source: Option<IpAddr>,
        receive_buffer: Option<u32>,
    ) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            carry: Vec::new(),
            out: Outgoing::default(),
            read_bytes: READ_BYTES,
        })
    }

    /// Takes at most this many bytes from the socket in one turn: a slow reader.
    pub fn read_at_most(&mut self, bytes: usize) {
        self.read_bytes = bytes.clamp(1, READ_BYTES);
    }

    /// Sends what is queued and waits until something has come, which it hands over.
    pub async fn turn(&mut self, receiver: &mut impl Receiver) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_turn(cx, receiver)).await
    }

    /// Sends what is queued, as far as the socket takes it.
    pub async fn flush(&mut self, receiver: &mut impl Receiver) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_flush(cx, receiver)).await
    }

    /// Like [`Self::turn`], to be woken again by `cx`.
    pub fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut impl Receiver,
    ) -> Poll<Result<(), Lost>> {
        if let Poll::Ready(Err(lost)) = self.poll_flush(cx, receiver) {
            return Poll::Ready(Err(lost));
        }
        ready!(self.poll_read(cx, receiver))?;
        // Answers leave with the turn that made them.
        if let Poll::Ready(Err(lost)) = self.poll_flush(cx, receiver) {
            return Poll::Ready(Err(lost));
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is queued, to be woken again by `cx`.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut impl Receiver,
    ) -> Poll<Result<(), Lost>> {
        while !self.out.is_empty() {
            let rest = &self.out.bytes[self.out.written..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(Lost::Io(io::ErrorKind::WriteZero)));
            }
            receiver.written(count);
            self.out.took(count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut impl Receiver,
    ) -> Poll<Result<(), Lost>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..self.read_bytes]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let came = read.filled();
            if came.is_empty() {
                return Poll::Ready(Err(Lost::Closed(None)));
            }
            let length = came.len();
            let messages = if self.carry.is_empty() {
                let (messages, rest) = hand_over(came, receiver, &mut self.out)?;
                self.carry.extend_from_slice(rest);
                messages
            } else {
                self.carry.extend_from_slice(came);
                let (messages, rest) = hand_over(&self.carry, receiver, &mut self.out)?;
                let used = self.carry.len() - rest.len();
                self.carry.drain(..used);
                self.carry.shrink_to(4096);
                messages
            };
            receiver.received(length, messages);
            Poll::Ready(Ok(()))
        })
    }

    /// Cuts the connection off without a word, as a lost network would; the server gets a reset.
    pub fn cut(self) {
        let socket = socket2::SockRef::from(&self.stream);
        drop(socket.set_linger(Some(std::time::Duration::ZERO)));
    }
}

/// Hands over each whole message; returns how many there were and what is left.
fn hand_over<'a>(
    mut bytes: &'a [u8],
    receiver: &mut impl Receiver,
    out: &mut Outgoing,
) -> Result<(usize, &'a [u8]), Lost> {
    let mut messages = 0;
    while let Some((incoming, rest)) = read_message(bytes)? {
        bytes = rest;
        match incoming {
            Incoming::Binary(payload) => {
                messages += 1;
                receiver.message(payload, out)?;
            }
            Incoming::Closed(code) => return Err(Lost::Closed(code)),
            Incoming::Ping(payload) => websocket::append_pong(&mut out.bytes, payload),
            Incoming::Pong => {}
        }
    }
    Ok((messages, bytes))
}
