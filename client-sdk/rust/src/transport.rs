//! Ways to a server. The only place that knows which library speaks WebSocket and which QUIC.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;

use crate::options::{ClientOptions, InvalidOptions};

#[cfg(feature = "quic")]
mod quic;
mod tls;
mod websocket;

/// Bytes that wait to be written before reading stops, so that a server that does not read can not make us hoard answers
/// to it.
const UNSENT_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// How long the other side may take to answer a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Makes connections to one server, in the way that its address says.
#[derive(Clone)]
pub(crate) enum Connector {
    WebSocket(websocket::Connector),
    #[cfg(feature = "quic")]
    Quic(quic::Connector),
}

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

impl Connector {
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, InvalidOptions> {
        let invalid = || InvalidOptions::Url(options.url.clone());
        let uri: Uri = options.url.parse().map_err(|_| invalid())?;
        let host = uri.host().ok_or_else(invalid)?;
        let server = |default_port| Server {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
        };
        let default_port = match uri.scheme_str() {
            Some("ws") => 80,
            Some("wss") => 443,
            #[cfg(feature = "quic")]
            Some("quic") => {
                let tls = tls::config(options, &[&rustls::version::TLS13])?;
                return Ok(Self::Quic(quic::Connector::new(server(443), tls)));
            }
            _ => return Err(invalid()),
        };
        let tls = tls::config(options, rustls::DEFAULT_VERSIONS)?;
        let connector = websocket::Connector::new(server(default_port), uri.clone(), tls);
        Ok(Self::WebSocket(connector))
    }

    /// Opens a connection.
    pub(crate) async fn connect(self) -> Result<Box<Socket>, String> {
        Ok(Box::new(match self {
            Self::WebSocket(connector) => Socket::WebSocket(connector.connect().await?),
            #[cfg(feature = "quic")]
            Self::Quic(connector) => Socket::Quic(connector.connect().await?),
        }))
    }
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
