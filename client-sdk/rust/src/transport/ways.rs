//! The ways to one server: which of them there are, and attempts to open them, one alone or several at once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use http::Uri;
use parking_lot::Mutex;
use pitturu_protocol::types::system::QuicAddress;

use super::policy::{HEAD_START, Memory, OPENS_WITHIN, Policy};
use super::{Server, Socket, tls, websocket};
use crate::options::{ClientOptions, InvalidOptions};
use crate::transport_choice::{Transport, TransportPreference};

/// Servers that a program remembers.
const SERVERS_MAX: usize = 256;

/// What this program has found out of servers, so that a second client need not find it out again.
static REMEMBERED: Mutex<Option<HashMap<(String, u16), Memory>>> = Mutex::new(None);

/// An attempt to open a connection.
pub(crate) type Attempt = Pin<Box<dyn Future<Output = Attempted> + Send>>;

/// How an attempt ended.
pub(crate) struct Attempted {
    /// What is open, or why nothing is.
    pub(crate) result: Result<Opened, String>,
    /// Whether QUIC was tried and did not open.
    pub(crate) has_quic_failed: bool,
    /// QUIC was tried as well, and may still open.
    pub(crate) still: Option<Attempt>,
}

/// An open connection.
pub(crate) struct Opened {
    pub(crate) socket: Box<Socket>,
    pub(crate) transport: Transport,
}

/// Counts of what a client has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Connections that opened over QUIC and were used.
    pub quic_opened: u64,
    /// Connections that opened over WebSocket and were used.
    pub websocket_opened: u64,
    /// Attempts over QUIC that failed.
    pub quic_failed: u64,
}

/// The ways to one server, and the choice among them.
pub(crate) struct Ways {
    server: Server,
    websocket: Option<websocket::Connector>,
    #[cfg(feature = "quic")]
    quic: Option<super::quic::Connector>,
    /// Makes QUIC connectors where the server tells of its address.
    #[cfg(feature = "quic")]
    options: ClientOptions,
    #[cfg(feature = "quic")]
    told: Option<QuicAddress>,
    policy: Policy,
    stats: TransportStats,
}

impl Ways {
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, InvalidOptions> {
        let invalid = || InvalidOptions::Url(options.url.clone());
        let uri: Uri = options.url.parse().map_err(|_| invalid())?;
        let scheme = uri.scheme_str().ok_or_else(invalid)?;
        let default_port = match scheme {
            "ws" => 80,
            "wss" => 443,
            "quic" if cfg!(feature = "quic") => 443,
            _ => return Err(invalid()),
        };
        let server = Server {
            host: uri
                .host()
                .ok_or_else(invalid)?
                .trim_matches(['[', ']'])
                .to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
        };
        let websocket = match scheme {
            "quic" => None,
            _ => {
                let tls = tls::config(options, rustls::DEFAULT_VERSIONS)?;
                Some(websocket::Connector::new(server.clone(), uri.clone(), tls))
            }
        };
        let memory = REMEMBERED
            .lock()
            .as_ref()
            .and_then(|known| known.get(&(server.host.clone(), server.port)).copied());
        let policy = Policy::new(options.transport, memory.unwrap_or_default());
        Ok(Self {
            // Over plain WebSocket nobody has shown who the server is: it has to say where it takes QUIC, and which certificate it has.
            #[cfg(feature = "quic")]
            quic: match scheme {
                "ws" => None,
                _ => Some(quic_to(&server, options)?),
            },
            #[cfg(feature = "quic")]
            options: options.clone(),
            #[cfg(feature = "quic")]
            told: None,
            server,
            websocket,
            policy,
            stats: TransportStats::default(),
        })
    }

    pub(crate) const fn stats(&self) -> TransportStats {
        self.stats
    }

    /// What the present connection goes over.
    pub(crate) fn transport(&self) -> Option<Transport> {
        self.policy.transport()
    }

    /// The server has said where it takes QUIC.
    #[cfg(feature = "quic")]
    pub(crate) fn told(&mut self, address: Option<&QuicAddress>) {
        let is_alone = self.websocket.is_none();
        if is_alone || address.is_some() && self.told.as_ref() == address {
            return;
        }
        if self.told.is_some() {
            // What failed there says nothing of where it is now.
            self.policy.memory = Memory::default();
        }
        self.told = address.cloned();
        let Some(QuicAddress {
            port,
            certificate_hashes,
        }) = address
        else {
            self.quic = None;
            return;
        };
        let server = Server {
            port: *port,
            ..self.server.clone()
        };
        let mut options = self.options.clone();
        options
            .certificate_hashes
            .extend(certificate_hashes.iter().flat_map(|digits| hash(digits)));
        // What could not be used before can't be used now; nothing is lost without it.
        self.quic = quic_to(&server, &options).ok();
    }

    #[cfg(not(feature = "quic"))]
    pub(crate) fn told(&mut self, _: Option<&QuicAddress>) {}

    pub(crate) fn prefer(&mut self, preference: TransportPreference) {
        self.policy.prefer(preference);
    }

    /// Begins to open a connection, over whatever is first.
    pub(crate) fn connect(&self, now: Instant) -> Attempt {
        let quic = self
            .quic(self.websocket.is_some())
            .filter(|_| self.websocket.is_none() || self.policy.tries_quic(now));
        match (quic, self.websocket()) {
            (Some(quic), Some(websocket)) => Box::pin(race(quic, websocket)),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Box::pin(async {
                Attempted {
                    result: Err("there is no way to the server".into()),
                    has_quic_failed: false,
                    still: None,
                }
            }),
        }
    }

    /// When another connection is to be opened beside the present one, because it would be better or was asked for.
    pub(crate) fn moves(&self, now: Instant) -> Option<(Instant, Transport)> {
        self.policy
            .moves(now)
            .filter(|(_, transport)| self.has(*transport))
    }

    /// When one is to be opened because the present one has been silent since then, though the server owes an answer.
    pub(crate) fn doubts(&self, silent_since: Instant) -> Option<(Instant, Transport)> {
        self.policy
            .doubts(silent_since)
            .filter(|(_, transport)| self.has(*transport))
    }

    pub(crate) fn doubted(&mut self, now: Instant) {
        self.policy.doubted(now);
    }

    /// Begins to open a connection over this transport.
    pub(crate) fn open(&self, transport: Transport) -> Option<Attempt> {
        match transport {
            Transport::WebSocket => self.websocket().map(bounded),
            Transport::Quic => self.quic(true),
        }
    }

    /// A connection is the present one from now on.
    pub(crate) fn opened(&mut self, transport: Transport, now: Instant) {
        match transport {
            Transport::WebSocket => self.stats.websocket_opened += 1,
            Transport::Quic => self.stats.quic_opened += 1,
        }
        self.policy.opened(transport, now);
        self.remember();
    }

    /// QUIC did not open, or was left because it had fallen silent.
    pub(crate) fn quic_failed(&mut self, now: Instant) {
        self.stats.quic_failed += 1;
        self.policy.quic_failed(now);
        self.remember();
    }

    /// A connection beside the present one was opened, and nothing came of it.
    pub(crate) fn moved_nowhere(&mut self, now: Instant) {
        self.policy.moved_nowhere(now);
    }

    /// The client has closed the present connection by its own will.
    pub(crate) fn left(&mut self) {
        self.policy.left();
    }

    /// The present connection is gone.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.policy.lost(now);
        self.remember();
    }

    fn remember(&self) {
        if self.websocket.is_none() {
            return;
        }
        let key = (self.server.host.clone(), self.server.port);
        let mut known = REMEMBERED.lock();
        let known = known.get_or_insert_default();
        if known.len() < SERVERS_MAX || known.contains_key(&key) {
            known.insert(key, self.policy.memory);
        }
    }

    fn has(&self, transport: Transport) -> bool {
        match transport {
            Transport::WebSocket => self.websocket.is_some(),
            #[cfg(feature = "quic")]
            Transport::Quic => self.quic.is_some(),
            #[cfg(not(feature = "quic"))]
            Transport::Quic => false,
        }
    }

    fn websocket(&self) -> Option<Attempt> {
        let connector = self.websocket.clone()?;
        Some(Box::pin(async move {
            let socket = connector.connect().await;
            Attempted {
                result: socket.map(|socket| Opened {
                    socket: Box::new(Socket::WebSocket(socket)),
                    transport: Transport::WebSocket,
                }),
                has_quic_failed: false,
                still: None,
            }
        }))
    }

    /// `is_bounded`: whether it is given up where it does not open soon.
    #[cfg(feature = "quic")]
    fn quic(&self, is_bounded: bool) -> Option<Attempt> {
        let connector = self.quic.clone()?;
        Some(Box::pin(async move {
            let connecting = connector.connect();
            let socket = match is_bounded {
                true => tokio::time::timeout(OPENS_WITHIN, connecting)
                    .await
                    .unwrap_or_else(|_elapsed| Err("QUIC got no answer".into())),
                false => connecting.await,
            };
            Attempted {
                has_quic_failed: socket.is_err(),
                result: socket.map(|socket| Opened {
                    socket: Box::new(Socket::Quic(socket)),
                    transport: Transport::Quic,
                }),
                still: None,
            }
        }))
    }

    #[cfg(not(feature = "quic"))]
    fn quic(&self, _: bool) -> Option<Attempt> {
        None
    }
}

#[cfg(feature = "quic")]
fn quic_to(
    server: &Server,
    options: &ClientOptions,
) -> Result<super::quic::Connector, InvalidOptions> {
    let tls = tls::config(options, &[&rustls::version::TLS13])?;
    Ok(super::quic::Connector::new(server.clone(), tls))
}

/// A hash from its hexadecimal digits.
#[cfg(feature = "quic")]
fn hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, two) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// Gives an attempt up where it does not end soon: while it is under way, there is no other one.
fn bounded(attempt: Attempt) -> Attempt {
    Box::pin(async move {
        let ended = tokio::time::timeout(OPENS_WITHIN, attempt).await;
        ended.unwrap_or_else(|_elapsed| Attempted {
            result: Err("no answer".into()),
            has_quic_failed: false,
            still: None,
        })
    })
}

/// QUIC first, WebSocket as well when that takes too long. The first that is open is used. Where neither opens, it is said of both why:
/// what is wrong with the server shows at the one, and that QUIC got no answer may be a firewall's doing.
async fn race(mut quic: Attempt, mut websocket: Attempt) -> Attempted {
    let without_quic = |attempted: Attempted, of_quic: String| Attempted {
        has_quic_failed: true,
        result: attempted
            .result
            .map_err(|of_websocket| both(&of_websocket, &of_quic)),
        ..attempted
    };
    if let Ok(attempted) = tokio::time::timeout(HEAD_START, &mut quic).await {
        return match attempted.result {
            Ok(_) => attempted,
            Err(why) => without_quic(websocket.await, why),
        };
    }
    tokio::select! {
        attempted = &mut quic => match attempted.result {
            Ok(_) => attempted,
            Err(why) => without_quic(websocket.await, why),
        },
        attempted = &mut websocket => match attempted.result {
            Ok(_) => Attempted { still: Some(quic), ..attempted },
            Err(of_websocket) => {
                let attempted = quic.await;
                let result = attempted.result.map_err(|of_quic| both(&of_websocket, &of_quic));
                Attempted { result, ..attempted }
            }
        },
    }
}

/// Why there is no connection by either way.
fn both(of_websocket: &str, of_quic: &str) -> String {
    format!("{of_websocket}; over QUIC: {of_quic}")
}

/// Time until a moment.
pub(crate) fn until(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
}
