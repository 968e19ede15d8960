//! Ways to a server. The only place that knows which library speaks WebSocket and which QUIC.

use std::time::Duration;

use bytes::Bytes;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;

mod policy;
#[cfg(feature = "quic")]
mod quic;
mod tls;
mod ways;
mod websocket;

pub use ways::TransportStats;
pub(crate) use ways::{Attempt, Attempted, Opened, Ways, until};

/// Bytes that wait to be written before reading stops, so that a server that does not read can not make us hoard answers
/// to it.
const UNSENT_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// How long the other side may take to answer a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// An open connection.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, in a box of its own"
)]
pub(crate) enum Socket {
    WebSocket(websocket::Socket),
    #[cfg(feature = "quic")]
    Quic(quic::Socket),
}

/// What a socket has to say.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Bytes),
    /// A datagram came.
    Datagram(Bytes),
    /// It has closed, with the code that the other side gave if it gave one.
    Closed {
        code: Option<u16>,
        why: String,
    },
}

/// Where the server is.
#[derive(Clone)]
pub(crate) struct Server {
    host: String,
    port: u16,
}

impl Socket {
    /// Sends a message once [`Self::next`] is awaited.
    pub(crate) fn send(&mut self, message: Vec<u8>) {
        match self {
            Self::WebSocket(socket) => socket.send(message),
            #[cfg(feature = "quic")]
            Self::Quic(socket) => socket.send(message),
        }
    }

    /// Longest datagram in bytes that can be sent now; none where there are no datagrams.
    pub(crate) fn datagram_bytes_max(&self) -> Option<usize> {
        match self {
            Self::WebSocket(_) => None,
            #[cfg(feature = "quic")]
            Self::Quic(socket) => socket.datagram_bytes_max(),
        }
    }

    /// Sends a datagram at once, or drops it.
    pub(crate) fn send_datagram(&mut self, datagram: Vec<u8>) {
        match self {
            Self::WebSocket(_) => drop(datagram),
            #[cfg(feature = "quic")]
            Self::Quic(socket) => socket.send_datagram(datagram),
        }
    }

    /// Writes what is to be sent, and waits for what comes. May be dropped at any point and called again.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self {
            Self::WebSocket(socket) => socket.next().await,
            #[cfg(feature = "quic")]
            Self::Quic(socket) => socket.next().await,
        }
    }

    /// Says goodbye, or answers the other side's, and waits a little for the other side to do the same.
    pub(crate) async fn close(self, code: u16) {
        match self {
            Self::WebSocket(socket) => socket.close(code).await,
            #[cfg(feature = "quic")]
            Self::Quic(socket) => socket.close(code).await,
        }
    }
}
