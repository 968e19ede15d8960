//! One connection of the generator: as little work per message as the sockets allow, so that generator and server can share a
//! machine. Messages go out whole (masked, where WebSocket carries them); those that come in are read from one buffer per thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

mod first_flights;
mod framing;
mod handshake;
mod incoming;
mod lengths;
mod quic;
mod stream;
mod trust;
mod websocket;
mod webtransport;

pub use first_flights::{Answer, FirstFlights};
pub use incoming::{Incoming, Malformed};
#[cfg(test)]
pub(crate) use trust::of_websocket as believing_anybody;
pub use websocket::{append_message, read_message};

use framing::Framing;
use stream::Stream;

/// Bytes that a thread reads from one socket at once.
const READ_BYTES: usize = 128 * 1024;

/// What carries the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// WebSocket over TCP.
    #[default]
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// QUIC, each player with a UDP socket of its own.
    Quic,
    /// The same under HTTP/3, as browsers have it. Compared with the floor of `quic`, which has no HTTP/3.
    #[serde(rename = "webtransport")]
    #[value(name = "webtransport")]
    WebTransport,
}

impl Transport {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }

    /// What the bare programs to compare with speak in its place. They have no HTTP/3.
    #[must_use]
    pub const fn of_floor(self) -> Self {
        match self {
            Self::WebTransport => Self::Quic,
            other => other,
        }
    }
}

/// Where a player connects, by what, and from which address.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What carries the protocol.
    pub transport: Transport,
    /// The server.
    pub address: SocketAddr,
    /// The player's own address; the system's choice when absent.
    pub source: Option<IpAddr>,
    /// Bytes that may be under way to the player before it reads them: the socket's receive buffer, or the window of its QUIC
    /// connection. The system's or library's choice when absent. Small ones make slow readers felt.
    pub receive_buffer: Option<u32>,
}

impl Route {
    /// To this address, with the system's choices.
    pub const fn to(transport: Transport, address: SocketAddr) -> Self {
        Self {
            transport,
            address,
            source: None,
            receive_buffer: None,
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network's answer, or that of TLS or QUIC.
    #[error("network: {0}")]
    Io(#[from] io::Error),
    /// The server's answer to the upgrade, or to the request for a session.
    #[error(transparent)]
    Refused(#[from] HandshakeRefused),
}

/// The server refused the upgrade to WebSocket, or the session of WebTransport.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answers the handshake with: {0}")]
pub struct HandshakeRefused(pub String);

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The server closed it, with this code if it gave one.
    #[error("closed by the server with code {0:?}")]
    Closed(Option<u16>),
    /// The network failed.
    #[error("network: {0}")]
    Io(io::ErrorKind),
    /// The server sent what is no message or no frame.
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
#[derive(Debug)]
pub struct Outgoing {
    framing: Framing,
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    const fn new(framing: Framing) -> Self {
        Self {
            framing,
            bytes: Vec::new(),
            written: 0,
        }
    }

    /// Queues one message.
    pub fn message(&mut self, payload: &[u8]) {
        self.framing.append(&mut self.bytes, payload);
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
    stream: Stream,
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
    /// Connects without a handshake of PittuRu; one of TLS or QUIC there is.
    pub async fn open(route: Route) -> Result<Self, ConnectError> {
        Ok(Self::over(Stream::open(route).await?))
    }

    /// Connects as the protocol wants it: over WebSocket, with its handshake.
    pub async fn connect(route: Route) -> Result<Self, ConnectError> {
        let mut stream = Stream::open(route).await?;
        let after = match stream.framing() {
            Framing::WebSocket => handshake::upgrade(&mut stream, route.address).await?,
            Framing::Lengths => Vec::new(),
        };
        let mut link = Self::over(stream);
        link.carry = after;
        Ok(link)
    }

    const fn over(stream: Stream) -> Self {
        let out = Outgoing::new(stream.framing());
        Self {
            stream,
            carry: Vec::new(),
            out,
            read_bytes: READ_BYTES,
        }
    }

    /// From here on takes datagrams as well, each as one message.
    pub fn receive_datagrams(&mut self) -> io::Result<()> {
        self.stream.receive_datagrams()
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
        // TLS keeps what the socket has not taken; the others have nothing to do.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut impl Receiver,
    ) -> Poll<Result<(), Lost>> {
        if let Poll::Ready(datagram) = self.stream.poll_datagram(cx) {
            receiver.message(&datagram, &mut self.out)?;
            receiver.received(datagram.len(), 1);
            return Poll::Ready(Ok(()));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..self.read_bytes]);
            let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
            let came = read.filled();
            if outcome.is_err() || came.is_empty() {
                return Poll::Ready(Err(self.stream.why_ended(outcome.err())));
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

    /// Says goodbye, and waits for the server's answer. The caller bounds the time.
    pub async fn close(&mut self, receiver: &mut impl Receiver) {
        match self.out.framing {
            Framing::WebSocket => {
                websocket::append_close(&mut self.out.bytes);
                while self.turn(receiver).await.is_ok() {}
            }
            Framing::Lengths => {
                // Whoever has gone already hears nothing.
                drop(self.flush(receiver).await);
                self.stream.finish().await;
            }
        }
    }

    /// Cuts the connection off without a word, as a lost network would. The server gets a reset, or what of it QUIC has: a close
    /// that says nothing.
    pub fn cut(self) {
        self.stream.cut();
    }
}

/// Hands over each whole message; returns how many there were and what is left.
fn hand_over<'a>(
    mut bytes: &'a [u8],
    receiver: &mut impl Receiver,
    out: &mut Outgoing,
) -> Result<(usize, &'a [u8]), Lost> {
    let mut messages = 0;
    while let Some((incoming, rest)) = out.framing.read(bytes)? {
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
