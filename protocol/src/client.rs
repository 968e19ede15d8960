//! The client's side, without I/O: one machine for the whole life of a client, across all its connections.
//!
//! The owner (a driver) has a socket and a clock and does what the machine says:
//!
//! | when | the driver calls |
//! |---|---|
//! | at the beginning | [`ClientConnection::start`] |
//! | [`Output::Connect`] came and the socket is open | [`ClientConnection::connected`] |
//! | the socket is closed, or could not be opened | [`ClientConnection::disconnected`] |
//! | a message came | [`ClientConnection::received`] |
//! | [`ClientConnection::next_timeout`] has come | [`ClientConnection::tick`] |
//! | the application wants something | [`ClientConnection::call`], [`ClientConnection::cancel`] |
//! | a datagram came | [`ClientConnection::datagram_received`] |
//! | another socket is open, over which the client is to go on | [`ClientConnection::hand_over`], and then the methods with `other` in their name; [`Output::TakeOver`] makes the two sockets change their roles |
//! | [`Output::ReadTokens`] came and the tokens are read | [`ClientConnection::tokens_read`] |
//!
//! and after each of them takes every [`ClientConnection::poll`] and sends every [`ClientConnection::transmit`] and [`ClientConnection::transmit_datagram`].
//! Time is a number of milliseconds that never goes back; what it counts from does not matter.
//!
//! What the machine promises:
//! - every call that was taken ends in exactly one [`Output::Answer`], unless it is cancelled;
//! - calls on the wire when a connection goes away are sent again on the next one, under the same key, except
//!   [momentary](crate::methods::MethodInfo::momentary) ones: without a connection they end with [`Code::Disconnected`];
//! - calls that a server refused for being too fast are sent again when it says, if that does no harm: reads, and writes
//!   with a key;
//! - calls that need a player end at once while nobody is signed in and nothing would sign somebody in;
//! - leaderboards that are followed stay so on each later connection of the same player, as rooms stay open; how one stands then comes
//!   as [`RankChanged`](crate::types::boards::RankChanged);
//! - what others see of the player ([`SetPresence`](crate::types::presence::SetPresence)) is the same on each connection from its beginning;
//! - sends to one room ([`Order::Room`](crate::methods::Order::Room)) are put on the wire in the order in which they were taken,
//!   also after a reconnect. Once one was refused for being too fast, those behind it stay back until it has been answered;
//! - a handover to another connection loses nothing and brings nothing twice: entries, calls and their answers, and events for the moment
//!   as well, as long as the connection before stands; nothing of it is told;
//! - entries of a followed stream come up in order, none twice, none left out: a hole is noticed and told by
//!   [`Output::Mismatch`], and the stream opened again from the cursor; what no longer exists is told by [`Output::Gap`];
//! - where the server has restored a backup ([`Welcome::epoch`]), each room begins at its newest and the inbox at its beginning, behind an
//!   [`Output::Gap`] that begins at 1: what was handed up before may be otherwise there, and is to be read anew;
//! - what can't be read is told by [`Output::Unreadable`] or [`Output::UnreadableFrame`] and stepped over, and its call ends: no
//!   connection is lost over it, but over a welcome, an unknown kind of frame, and bytes in which no frame ends. Where an entry's
//!   place in its stream could not be read, or a gap, an [`Output::Gap`] follows;
//! - what a server says that is newer, older or wrong is told by [`Output::Mismatch`], and nothing is repeated over it without a
//!   word: a room that it does not open again is told by [`Output::StreamLost`], what it leaves out for good by an [`Output::Gap`], and
//!   the waits between connections that end over it grow however long each has lasted;
//! - everything that it holds is bounded: calls by [`CALLS_HELD_MAX`] and [`CALLS_HELD_BYTES_MAX`], streams by
//!   [`ROOMS_OPEN_MAX`](crate::limits::ROOMS_OPEN_MAX), outputs by what one received message can cause.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::backoff::Jitter;
use crate::codes::{CloseCode, Code, Fault, Reconnect};
use crate::frame::{ClientFrame, ServerFrame};
use crate::limits::CALLS_IN_FLIGHT_MAX;
use crate::types::accounts::Identity;
use crate::types::system::{Goaway, Hello, QuicAddress, Resume, Welcome};

mod answers;
mod asking;
mod boards;
mod broken;
mod calls;
mod clock;
mod echoes;
mod entries;
mod handover;
mod interface;
mod play;
mod request;
mod sign_in;
mod streams;
mod unreadable;

pub use clock::ClockEstimate;
pub use interface::{Config, Connection, Output, Stats};
pub use request::{CALLS_HELD_BYTES_MAX, CALLS_HELD_MAX, Refused, Request, Ticket};
pub use sign_in::Tokens;

use broken::Broken;
use calls::Calls;
use clock::Clock;
use echoes::Echoes;
use handover::Handover;
use play::Play;
use sign_in::SignIn;
use streams::Streams;

/// Shortest interval between pings that is taken from a server.
const PING_MS_MIN: u64 = 100;

/// Longest time over which a server can spread the return of its clients.
const GOAWAY_MS_MAX: u64 = 600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The tokens of an earlier run are being read.
    Loading,
    Waiting {
        at: u64,
    },
    Connecting {
        since: u64,
    },
    Handshaking {
        since: u64,
    },
    Open {
        since: u64,
    },
    Stopped {
        code: Option<u16>,
    },
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct ClientConnection {
    config: Config,
    phase: Phase,
    jitter: Jitter,
    attempts: u32,
    goaway: Option<Goaway>,
    ping_ms: u64,
    heard_at: u64,
    calls_max: usize,
    paused: bool,
    calls: Calls,
    streams: Streams,
    sign_in: SignIn,
    /// The leaderboards that are followed.
    boards: BTreeSet<String>,
    clock: Clock,
    handover: Option<Handover>,
    echoes: Option<Echoes>,
    play: Play,
    outputs: VecDeque<Output>,
    messages: VecDeque<Vec<u8>>,
    told: Connection,
    stats: Stats,
    /// Where the server takes QUIC, as its last welcome says.
    quic: Option<QuicAddress>,
}

impl ClientConnection {
    /// A machine at rest. `seed` is a random number; it spreads load and need not be secret.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut streams = Streams::default();
        streams.follow_all(&config.resume);
        Self {
            sign_in: SignIn::new(config.tokens.clone(), config.reads_tokens),
            config,
            phase: Phase::Idle,
            jitter: Jitter::new(seed),
            attempts: 0,
            goaway: None,
            ping_ms: 0,
            heard_at: 0,
            calls_max: CALLS_IN_FLIGHT_MAX,
            paused: false,
            calls: Calls::default(),
            streams,
            boards: BTreeSet::new(),
            clock: Clock::default(),
            handover: None,
            echoes: None,
            play: Play::default(),
            outputs: VecDeque::new(),
            messages: VecDeque::new(),
            told: Connection::Offline { retry_at: None },
            stats: Stats::default(),
            quic: None,
        }
    }

    /// Begins to connect, also again after [`Connection::Stopped`].
    pub fn start(&mut self, now: u64) {
        if matches!(self.phase, Phase::Idle | Phase::Stopped { .. }) {
            self.attempts = 0;
            if self.sign_in.is_unknown() {
                self.phase = Phase::Loading;
                self.ask_for_tokens();
                self.tell();
            } else {
                self.connect_at(now);
            }
        }
    }

    /// Connects at once.
    fn connect_at(&mut self, now: u64) {
        self.phase = Phase::Waiting { at: now };
        self.tick(now);
    }

    /// Ends the connection for good. Calls without an answer end with [`Code::Disconnected`].
    pub fn stop(&mut self) {
        if matches!(
            self.phase,
            Phase::Connecting { .. } | Phase::Handshaking { .. } | Phase::Open { .. }
        ) {
            self.outputs.push_back(Output::Close(1000));
        }
        self.drop_other();
        self.halt(None);
        self.tell();
    }

    /// Does not wait for the next attempt's time: for when the device has found a network.
    pub fn retry_now(&mut self, now: u64) {
        if let Phase::Waiting { .. } = self.phase {
            self.connect_at(now);
        }
    }

    /// The socket is open.
    pub fn connected(&mut self, now: u64) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return;
        }
        self.phase = Phase::Handshaking { since: now };
        self.heard_at = now;
        self.calls_max = CALLS_IN_FLIGHT_MAX;
        self.hello();
        self.dispatch();
        self.tell();
    }

    /// The socket has closed, with the code of the server's close frame if there was one, or could not be opened.
    pub fn disconnected(&mut self, now: u64, code: Option<u16>) {
        let after = code.map_or(Reconnect::BackOff, Reconnect::after);
        self.lost(now, after, code);
        self.dispatch();
        self.tell();
    }

    /// A message came: one or more frames.
    pub fn received(&mut self, now: u64, message: &Bytes) {
        if !self.is_connected() {
            return;
        }
        self.heard_at = now;
        let mut rest: &[u8] = message;
        while !rest.is_empty() && self.is_connected() {
            let outcome = match ServerFrame::read(rest) {
                Ok((frame, after)) => {
                    rest = after;
                    self.frame(now, frame, message)
                }
                Err(why) => self
                    .frame_unreadable(now, rest, message, why)
                    .map(|after| rest = after),
            };
            if let Err(broken) = outcome {
                self.broke(now, broken);
            }
        }
        self.handover_due(now);
        self.dispatch();
        self.tell();
    }

    fn frame(&mut self, now: u64, frame: ServerFrame<'_>, message: &Bytes) -> Result<(), Broken> {
        let welcomed = matches!(self.phase, Phase::Open { .. });
        match frame {
            ServerFrame::Welcome(welcome) if !welcomed => return self.welcome(now, welcome),
            ServerFrame::Fault { call: 0, fault } => self.outputs.push_back(Output::Fault(fault)),
            ServerFrame::Ping { nonce, .. } => {
                self.send(&ClientFrame::Pong { nonce }.encode());
                if welcomed {
                    self.ask_clock(now);
                }
            }
            ServerFrame::Goaway(goaway) => {
                self.goaway = Some(goaway);
                // The next connection would be sent away as well.
                if !self.is_leaving() {
                    self.abandon_next(now, 1000);
                }
            }
            _ if !welcomed => return Err(Broken::protocol("a frame came before the welcome")),
            ServerFrame::Welcome(_) => return Err(Broken::protocol("a second welcome came")),
            ServerFrame::Reply { call, body } => {
                return self.replied(now, call, message.slice_ref(body));
            }
            ServerFrame::Fault { call, fault } => self.faulted(now, call, fault),
            ServerFrame::Event { event, body } => {
                return self.event(event, message.slice_ref(body));
            }
            ServerFrame::State { room, tick, data } => {
                self.state(room, tick, message.slice_ref(data));
            }
            ServerFrame::Gap {
                stream,
                missing,
                from,
                to,
            } => return self.gap(stream, missing, from, to),
        }
        Ok(())
    }

    fn welcome(&mut self, now: u64, welcome: Welcome) -> Result<(), Broken> {
        if welcome.v != crate::VERSION {
            return Err(Broken::Protocol(format!(
                "the server speaks version {} of the protocol, this client version {}",
                welcome.v,
                crate::VERSION
            )));
        }
        self.phase = Phase::Open { since: now };
        self.take_terms(&welcome);
        self.clock_begins(now);
        self.welcomed(now, welcome)
    }

    /// What the server says of itself.
    fn take_terms(&mut self, welcome: &Welcome) {
        self.stats.welcomes += 1;
        self.ping_ms = u64::from(welcome.ping_ms).max(PING_MS_MIN);
        self.calls_max = usize::try_from(welcome.limits.calls).unwrap_or(CALLS_IN_FLIGHT_MAX);
        self.quic.clone_from(&welcome.quic);
        if self.streams.welcomed(welcome.epoch) {
            self.calls.forget_first_heads();
        }
    }

    /// Something is due: see [`Self::next_timeout`]. Harmless at any other time.
    pub fn tick(&mut self, now: u64) {
        match self.phase {
            Phase::Waiting { at } if at <= now => {
                self.phase = Phase::Connecting { since: now };
                self.outputs.push_back(Output::Connect);
            }
            Phase::Connecting { since } | Phase::Handshaking { since }
                if since.saturating_add(self.config.handshake_ms) <= now =>
            {
                self.give_up(now, CloseCode::HandshakeTimeout);
            }
            Phase::Open { .. } if self.dead_at() <= now => {
                self.give_up(now, CloseCode::HeartbeatMissed);
            }
            _ => {}
        }
        if matches!(self.phase, Phase::Open { .. }) {
            self.refresh_due(now);
        }
        self.calls.repeat_due(now);
        while let Some(ticket) = self.calls.overdue(now) {
            self.drop_call(ticket);
            self.answer(ticket, Err(Fault::of(Code::Deadline)));
            self.end_calls_without_player();
        }
        self.handover_due(now);
        self.dispatch();
        self.tell();
    }

    /// When [`Self::tick`] must be called next, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<u64> {
        let phase = match self.phase {
            Phase::Idle | Phase::Loading | Phase::Stopped { .. } => None,
            Phase::Waiting { at } => Some(at),
            Phase::Connecting { since } | Phase::Handshaking { since } => {
                Some(since.saturating_add(self.config.handshake_ms))
            }
            Phase::Open { .. } => Some(self.dead_at()),
        };
        let refresh = match self.phase {
            Phase::Open { .. } => self.sign_in.refresh_at,
            _ => None,
        };
        let handover = self.handover_timeout();
        [phase, refresh, handover, self.calls.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// While paused, the machine takes no more entries of streams: the first one that comes cuts its stream, which is opened
    /// again from its cursor when the pause ends. Answers and other events keep coming. For a driver
    /// whose application does not keep up.
    pub fn pause(&mut self, paused: bool) {
        if self.paused && !paused {
            self.open_cut_streams();
            self.dispatch();
            self.tell();
        }
        self.paused = paused;
    }

    /// What the machine wants done or known next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next message to send, of at most [`MESSAGE_BYTES_MAX`](crate::limits::MESSAGE_BYTES_MAX) bytes. Take the outputs first: an
    /// acknowledgement says that they were taken.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    /// Where the client stands.
    pub fn connection(&self) -> Connection {
        match self.phase {
            Phase::Idle => Connection::Offline { retry_at: None },
            Phase::Waiting { at } => Connection::Offline { retry_at: Some(at) },
            Phase::Loading | Phase::Connecting { .. } | Phase::Handshaking { .. } => {
                Connection::Connecting
            }
            Phase::Open { .. } if self.is_catching_up() => Connection::CatchingUp,
            Phase::Open { .. } => Connection::Online,
            Phase::Stopped { code } => Connection::Stopped { code },
        }
    }

    /// Who is or was last signed in; absent when signed out or not yet known.
    pub fn identity(&self) -> Option<&Identity> {
        self.sign_in.identity()
    }

    /// The streams that are followed, with their cursors: everything up to them has been in [`Output`]s.
    pub fn cursors(&self) -> Resume {
        self.streams.resume()
    }

    /// Where the server takes QUIC connections, as its last welcome says.
    pub const fn quic(&self) -> Option<&QuicAddress> {
        self.quic.as_ref()
    }

    /// Whether the server owes an answer: when nothing comes, the connection may be gone.
    pub fn awaits_answers(&self) -> bool {
        self.calls.awaits_any()
    }

    /// Counts for diagnosis.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Handshaking { .. } | Phase::Open { .. })
    }

    fn dead_at(&self) -> u64 {
        self.heard_at.saturating_add(2 * self.ping_ms)
    }

    fn hello(&mut self) {
        let hello = self.hello_frame();
        self.send(&hello);
        self.greeted();
    }

    fn hello_frame(&self) -> Vec<u8> {
        let hello = Hello {
            v: crate::VERSION,
            sdk: self.config.sdk.clone(),
            token: self.sign_in.tokens.access.clone(),
            presence: self.presence_to_restore(),
        };
        ClientFrame::Hello(hello).encode()
    }

    /// The hello is on its way: what rests on it may follow.
    fn greeted(&mut self) {
        if self.sign_in.tokens.access.is_some() {
            self.sign_in.assume();
            self.send_resume();
            self.follow_boards();
        } else {
            self.refresh();
        }
    }

    /// Puts calls on the wire while there are places for them.
    fn dispatch(&mut self) {
        if !self.is_connected() {
            return;
        }
        let sign_in = self.sign_in.number();
        let settling = self.is_settling();
        while let Some(frame) = self.calls.next_frame(self.calls_max, sign_in, settling) {
            self.send(&frame);
        }
    }

    fn send(&mut self, frame: &[u8]) {
        handover::push(&mut self.messages, frame);
    }

    fn tell(&mut self) {
        let connection = self.connection();
        if connection != self.told {
            self.told = connection;
            self.outputs.push_back(Output::Connection(connection));
        }
    }
}
