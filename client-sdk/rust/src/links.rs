//! The sockets of a client: the present one, the other one of a handover, and what is being opened.

use std::time::Instant;

use bytes::Bytes;
use pitturu_protocol::types::system::QuicAddress;

use crate::transport::{Attempt, Attempted, Incoming, Opened, Socket, TransportStats, Ways, until};
use crate::transport_choice::{Transport, TransportPreference};

/// What the sockets have to say.
pub(crate) enum Heard {
    /// The present connection is open.
    Opened,
    /// A message came over the present connection.
    Message(Bytes),
    /// A datagram came, over either connection.
    Datagram(Bytes),
    /// The present connection is gone, or did not open. Where the server has said goodbye, it is answered over the socket.
    Closed {
        code: Option<u16>,
        why: String,
        socket: Option<Box<Socket>>,
    },
    /// The other connection has something to say.
    Other(Incoming),
    /// A connection is open beside the present one.
    Better(Opened),
    /// Something has changed that concerns nobody else.
    Nothing,
}

enum Present {
    None,
    Opening(Attempt),
    Open(Opened),
}

/// An attempt to open a connection beside the present one.
struct Beside {
    attempt: Attempt,
    transport: Transport,
    /// Because the present one has fallen silent.
    is_doubt: bool,
}

pub(crate) struct Links {
    ways: Ways,
    present: Present,
    other: Option<Opened>,
    beside: Option<Beside>,
    /// The other connection is the one before the present one, and not the next one.
    has_taken_over: bool,
    /// The handover that is under way leaves a connection that had fallen silent.
    leaves_in_doubt: bool,
    /// Nothing has come since then over the present connection, though the server owes an answer.
    silent_since: Option<Instant>,
}

impl Links {
    pub(crate) const fn new(ways: Ways) -> Self {
        Self {
            ways,
            present: Present::None,
            other: None,
            beside: None,
            has_taken_over: false,
            leaves_in_doubt: false,
            silent_since: None,
        }
    }

    /// Begins to open the present connection.
    pub(crate) fn connect(&mut self) {
        self.beside = None;
        self.silent_since = None;
        self.present = Present::Opening(self.ways.connect(Instant::now()));
    }

    pub(crate) fn prefer(&mut self, preference: TransportPreference) {
        self.ways.prefer(preference);
        self.beside = None;
    }

    /// What carries the present connection, and what has carried connections.
    pub(crate) fn used(&self) -> (Option<Transport>, TransportStats) {
        (self.ways.transport(), self.ways.stats())
    }

    pub(crate) fn present(&mut self) -> Option<&mut Socket> {
        match &mut self.present {
            Present::Open(opened) => Some(&mut opened.socket),
            _ => None,
        }
    }

    pub(crate) fn other(&mut self) -> Option<&mut Socket> {
        self.other.as_mut().map(|opened| &mut *opened.socket)
    }

    /// The present connection, which is over. `is_lost`: whether that speaks against its way.
    pub(crate) fn take_present(&mut self, is_lost: bool) -> Option<Box<Socket>> {
        self.beside = None;
        if is_lost {
            self.ways.lost(Instant::now());
        } else {
            self.ways.left();
        }
        match std::mem::replace(&mut self.present, Present::None) {
            Present::Open(opened) => Some(opened.socket),
            _ => None,
        }
    }

    /// The other connection, which is of no use any more.
    pub(crate) fn take_other(&mut self) -> Option<Box<Socket>> {
        let is_next = !std::mem::take(&mut self.has_taken_over);
        let other = self.other.take()?;
        if is_next {
            self.ways.moved_nowhere(Instant::now());
        }
        Some(other.socket)
    }

    /// The two connections change their roles.
    pub(crate) fn take_over(&mut self) {
        let now = Instant::now();
        let Some(next) = self.other.take() else {
            return;
        };
        if std::mem::take(&mut self.leaves_in_doubt) && next.transport == Transport::WebSocket {
            self.ways.quic_failed(now);
        }
        self.ways.opened(next.transport, now);
        self.silent_since = None;
        self.has_taken_over = true;
        if let Present::Open(before) = std::mem::replace(&mut self.present, Present::Open(next)) {
            self.other = Some(before);
        }
    }

    /// An opened connection was offered for a handover. Returns it, if it is not taken.
    pub(crate) fn offered(&mut self, opened: Opened, is_taken: bool) -> Option<Box<Socket>> {
        if !is_taken {
            self.ways.moved_nowhere(Instant::now());
            return Some(opened.socket);
        }
        self.other = Some(opened);
        self.has_taken_over = false;
        None
    }

    /// Messages were sent over the present connection that the server will answer.
    pub(crate) fn has_sent(&mut self, awaits: bool) {
        if awaits {
            self.silent_since.get_or_insert_with(Instant::now);
        }
    }

    /// The server has said where it takes QUIC.
    pub(crate) fn told(&mut self, quic: Option<&QuicAddress>) {
        self.ways.told(quic);
    }

    /// A message came over the present connection. `awaits`: whether the server owes answers still.
    pub(crate) fn has_heard(&mut self, awaits: bool) {
        // The way is not lost. Where the other one is better, it goes on.
        self.beside
            .take_if(|beside| beside.is_doubt && beside.transport == Transport::WebSocket);
        self.silent_since = awaits.then(Instant::now);
    }

    /// What happens next. May be dropped at any point and called again. `is_online`: whether this is a time to open another
    /// connection for no need.
    pub(crate) async fn next(&mut self, is_online: bool) -> Heard {
        let due = self.beside_due(is_online);
        let timer = async {
            match due {
                Some((at, transport, is_doubt)) => {
                    tokio::time::sleep(until(at)).await;
                    (transport, is_doubt)
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            happened = next_of(&mut self.present) => match happened {
                OfPresent::Attempted(attempted) => self.attempted(attempted),
                OfPresent::Incoming(Incoming::Message(message)) => Heard::Message(message),
                OfPresent::Incoming(Incoming::Datagram(datagram)) => Heard::Datagram(datagram),
                OfPresent::Incoming(Incoming::Closed { code, why }) => self.closed(code, why),
            },
            incoming = next_of_other(&mut self.other) => {
                match incoming {
                    Incoming::Datagram(datagram) => return Heard::Datagram(datagram),
                    Incoming::Closed { .. } => drop(self.take_other()),
                    Incoming::Message(_) => {}
                }
                Heard::Other(incoming)
            },
            (attempted, is_doubt) = next_of_beside(&mut self.beside) => {
                self.beside = None;
                self.opened_beside(attempted, is_doubt)
            }
            (transport, is_doubt) = timer => {
                self.open_beside(transport, is_doubt);
                Heard::Nothing
            }
        }
    }

    fn beside_due(&self, is_online: bool) -> Option<(Instant, Transport, bool)> {
        let is_open = matches!(self.present, Present::Open(_));
        if !is_open || self.other.is_some() || self.beside.is_some() {
            return None;
        }
        let moves = self.ways.moves(Instant::now()).filter(|_| is_online);
        let doubts = self.silent_since.and_then(|since| self.ways.doubts(since));
        let moves = moves.map(|(at, transport)| (at, transport, false));
        let doubts = doubts.map(|(at, transport)| (at, transport, true));
        moves.into_iter().chain(doubts).min_by_key(|(at, ..)| *at)
    }

    fn open_beside(&mut self, transport: Transport, is_doubt: bool) {
        if is_doubt {
            tracing::debug!(?transport, "the connection is silent: trying another one");
            self.ways.doubted(Instant::now());
        }
        let attempt = self.ways.open(transport);
        self.beside = attempt.map(|attempt| Beside {
            attempt,
            transport,
            is_doubt,
        });
    }

    /// An attempt to open the present connection has ended.
    fn attempted(&mut self, attempted: Attempted) -> Heard {
        let now = Instant::now();
        let Attempted {
            result,
            has_quic_failed,
            still,
        } = attempted;
        // Where nothing opens it is the server that is gone, and no way.
        if has_quic_failed && result.is_ok() {
            self.ways.quic_failed(now);
        }
        self.beside = still.map(|attempt| Beside {
            attempt,
            transport: Transport::Quic,
            is_doubt: false,
        });
        match result {
            Ok(opened) => {
                tracing::debug!(transport = ?opened.transport, "connected");
                self.ways.opened(opened.transport, now);
                self.present = Present::Open(opened);
                Heard::Opened
            }
            Err(why) => {
                self.present = Present::None;
                Heard::Closed {
                    code: None,
                    why,
                    socket: None,
                }
            }
        }
    }

    /// An attempt to open a connection beside the present one has ended.
    fn opened_beside(&mut self, attempted: Attempted, is_doubt: bool) -> Heard {
        if attempted.has_quic_failed {
            self.ways.quic_failed(Instant::now());
        }
        match attempted.result {
            Ok(opened) => {
                self.leaves_in_doubt = is_doubt;
                Heard::Better(opened)
            }
            Err(why) => {
                tracing::debug!(why, "no other connection");
                self.ways.moved_nowhere(Instant::now());
                Heard::Nothing
            }
        }
    }

    fn closed(&mut self, code: Option<u16>, why: String) -> Heard {
        self.silent_since = None;
        // What the server closes says nothing of the way.
        let socket = self.take_present(code.is_none()).filter(|_| code.is_some());
        Heard::Closed { code, why, socket }
    }
}

enum OfPresent {
    Attempted(Attempted),
    Incoming(Incoming),
}

async fn next_of(present: &mut Present) -> OfPresent {
    match present {
        Present::None => std::future::pending().await,
        Present::Opening(attempt) => OfPresent::Attempted(attempt.await),
        Present::Open(opened) => OfPresent::Incoming(opened.socket.next().await),
    }
}

async fn next_of_other(other: &mut Option<Opened>) -> Incoming {
    match other {
        Some(opened) => opened.socket.next().await,
        None => std::future::pending().await,
    }
}

async fn next_of_beside(beside: &mut Option<Beside>) -> (Attempted, bool) {
    match beside {
        Some(Beside {
            attempt, is_doubt, ..
        }) => (attempt.await, *is_doubt),
        None => std::future::pending().await,
    }
}
