//! One player of the generator: a connection, the calls that wait for their answer, and how far it has come in its room.

use std::collections::VecDeque;
use std::time::Duration;

use pitturu_protocol::VERSION;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{CallId, ClientFrame, call, first_call};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{SendEphemeral, SendMessage};
use pitturu_protocol::types::system::{Hello, Welcome};

use crate::clock;
use crate::floor::StatesOrder;
use crate::link::{ConnectError, Link, Lost, Route, Transport};
use crate::stamp;
use crate::tally::{DISCONNECTED, Op, TIMED_OUT, Tally, count};

mod bare;
mod calls;
mod followed;
mod inbox;
mod pace;
mod states;

pub use followed::Place;
pub use pace::{Pace, exponential, nanoseconds};

use inbox::{Expected, Inbox, Side};

/// Longest time for an answer while players get ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest time for the server to close a connection after the player did.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why something that a player needed did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The server refused.
    #[error("refused: {0}")]
    Refused(Fault),
    /// No answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// An answer of another type.
    #[error("an answer that does not fit: {0}")]
    Unreadable(String),
}

impl Failed {
    /// Under which name it is counted.
    pub fn code(&self) -> &str {
        match self {
            Self::Connect(ConnectError::Io(_)) => "unreachable",
            Self::Connect(ConnectError::Refused(_)) => "upgrade_refused",
            Self::Lost(_) => DISCONNECTED,
            Self::Refused(fault) => fault.code.name(),
            Self::TimedOut => TIMED_OUT,
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// What a message is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Stored before it is answered.
    Durable,
    /// Not stored.
    Ephemeral,
}

/// One player.
#[derive(Debug)]
pub struct Player {
    link: Link,
    inbox: Inbox,
    last_call: CallId,
    /// The loss of the connection is counted.
    is_lost: bool,
}

impl Player {
    const fn over(link: Link, inbox: Inbox) -> Self {
        Self {
            link,
            inbox,
            last_call: 0,
            is_lost: false,
        }
    }

    /// Connects, says hello, and waits for the welcome.
    pub async fn connect(
        route: Route,
        token: Option<String>,
        tally: &Tally,
    ) -> Result<Self, Failed> {
        Self::connect_at(route, token, tally, clock::now()).await
    }

    /// Like [`Self::connect`], for a connection that was meant to begin at `intended`.
    pub async fn connect_at(
        route: Route,
        token: Option<String>,
        tally: &Tally,
        intended: u64,
    ) -> Result<Self, Failed> {
        tally.intend(Op::Connect);
        let connecting = Self::greet(route, token, tally.clone());
        let outcome = match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failed::TimedOut),
        };
        match &outcome {
            Ok(_) => tally.done_now(Op::Connect, intended),
            Err(failed) => tally.failed(Op::Connect, failed.code()),
        }
        outcome
    }

    async fn greet(route: Route, token: Option<String>, tally: Tally) -> Result<Self, Failed> {
        let link = Link::connect(route).await?;
        let mut player = Self::over(link, Inbox::new(tally));
        let hello = Hello {
            v: VERSION,
            sdk: concat!("loadtest/", env!("CARGO_PKG_VERSION")).to_owned(),
            token,
            presence: None,
        };
        player.link.out.message(&ClientFrame::Hello(hello).encode());
        while player.inbox.welcome.is_none() {
            player.turn().await?;
        }
        Ok(player)
    }

    /// A connection to the bare fan-out server, in this room.
    pub async fn bare(route: Route, room: u64, tally: &Tally) -> Result<Self, Failed> {
        let link = Link::open(route).await?;
        let mut player = Self::over(link, Inbox::new(tally.clone()));
        player.inbox.side = Side::FanOutFloor;
        player.link.out.message(&room.to_be_bytes());
        player.link.flush(&mut player.inbox).await?;
        Ok(player)
    }

    /// A connection to the bare echo server.
    pub async fn bare_echo(route: Route, tally: &Tally) -> Result<Self, Failed> {
        let link = Link::connect(route).await?;
        let mut inbox = Inbox::new(tally.clone());
        inbox.side = Side::EchoFloor;
        let mut player = Self::over(link, inbox);
        if route.transport == Transport::Quic {
            // A stream is there once something has come on it.
            player.link.out.message(&[]);
            player.turn().await?;
        }
        Ok(player)
    }

    /// A connection to the bare sender of states, which waits for an order.
    pub async fn bare_states(route: Route, tally: &Tally) -> Result<Self, Failed> {
        let link = Link::open(route).await?;
        let mut player = Self::over(link, Inbox::new(tally.clone()));
        player.inbox.side = Side::StatesFloor;
        Ok(player)
    }

    /// Orders states with the next turn.
    pub fn order_states(&mut self, order: StatesOrder) -> Result<(), Failed> {
        if order.datagrams {
            self.link.receive_datagrams().map_err(ConnectError::Io)?;
        }
        self.link.out.message(&order.encode());
        Ok(())
    }

    /// Has the bare fan-out server tell the room what the server would tell it.
    pub fn send_bare(&mut self, room: RoomId, bytes: usize, delivery: Delivery, intended: u64) {
        self.inbox.tally.intend(Op::Send);
        self.inbox.tally.done_now(Op::Late, intended);
        let payload = bare::event_of(room, bytes, delivery, intended);
        self.link.out.message(&payload);
    }

    /// What the server said at the beginning.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.inbox.welcome.as_ref()
    }

    /// Why the server did not take the token of the greeting; none when the player is signed in by it.
    pub fn token_refused(&self) -> Option<Fault> {
        let welcome = self.inbox.welcome.as_ref()?;
        if welcome.identity.is_some() {
            return None;
        }
        let refused = welcome.refused.clone();
        Some(refused.unwrap_or_else(|| Fault::of(Code::Unauthenticated)))
    }

    /// Where it stands in a room that it follows.
    pub fn place(&self, room: RoomId) -> Option<Place> {
        self.inbox.followed.place(room)
    }

    /// Counts what arrives from here on as this.
    pub fn count_deliveries_as(&mut self, op: Op) {
        self.inbox.deliver = op;
    }

    /// Messages of its own that wait for their answer.
    pub fn unanswered(&self) -> usize {
        self.inbox.expected.len()
    }

    /// Reads at most this many bytes in one turn.
    pub fn read_at_most(&mut self, bytes: usize) {
        self.link.read_at_most(bytes);
    }

    /// Sends one message that was meant to leave at `intended`.
    pub fn send(&mut self, room: RoomId, bytes: usize, delivery: Delivery, intended: u64) {
        let text = stamp::text(intended, bytes);
        self.last_call += 1;
        let (frame, counted) = match delivery {
            Delivery::Durable => {
                let request = SendMessage {
                    room,
                    text,
                    data: None,
                    reply_to: None,
                };
                // As the SDKs do: a key that no other call of this account has, on its first attempt.
                let key = format!("{:016x}", fastrand::u64(..));
                let seen = self.place(room).map(|place| place.head);
                let frame = first_call(self.last_call, &request, Some(&key), seen);
                (frame, count::PERSISTED)
            }
            Delivery::Ephemeral => {
                let request = SendEphemeral { room, text };
                (call(self.last_call, &request, None), count::ACCEPTED)
            }
        };
        self.inbox.tally.intend(Op::Send);
        self.inbox.tally.done_now(Op::Late, intended);
        self.inbox.expect(Expected {
            call: self.last_call,
            op: Op::Send,
            intended,
            count: Some(counted),
            is_watched: false,
        });
        self.link.out.message(&frame);
    }

    /// Sends what is queued, and takes what has come. Waits for something to come.
    pub async fn turn(&mut self) -> Result<(), Lost> {
        self.link.turn(&mut self.inbox).await
    }

    /// Like [`Self::turn`], for players outside of [`Self::play`]: the loss of the connection is counted.
    pub async fn step(&mut self) -> Result<(), Lost> {
        let turned = self.turn().await;
        turned.map_err(|lost| self.lost(lost))
    }

    /// Plays until the time comes: takes what comes, and does `act` whenever `pace` says so. Returns early when the
    /// connection is lost, which is counted.
    pub async fn play(
        &mut self,
        until: u64,
        mut pace: Option<Pace>,
        mut act: impl FnMut(&mut Self, u64),
    ) -> Result<(), Lost> {
        let end = tokio::time::sleep_until(clock::instant(until));
        tokio::pin!(end);
        let next = pace.as_ref().map_or(until, |pace| pace.next.min(until));
        let due = tokio::time::sleep_until(clock::instant(next));
        tokio::pin!(due);
        loop {
            tokio::select! {
                biased;
                () = &mut due, if pace.is_some() => {
                    let now = clock::now();
                    if let Some(pace) = &mut pace {
                        while pace.next <= now && pace.next < until {
                            let intended = pace.advance();
                            act(self, intended);
                        }
                        due.as_mut().reset(clock::instant(pace.next.min(until)));
                        if pace.next >= until {
                            // Nothing more to do but to listen.
                            due.as_mut().reset(clock::instant(until) + Duration::from_secs(1));
                        }
                    }
                    let flushed = self.link.flush(&mut self.inbox);
                    // A socket that takes no more is emptied by the next turns.
                    if let Some(Err(lost)) = futures_util::FutureExt::now_or_never(flushed) {
                        return Err(self.lost(lost));
                    }
                }
                () = &mut end => return Ok(()),
                outcome = self.link.turn(&mut self.inbox) => {
                    if let Err(lost) = outcome {
                        return Err(self.lost(lost));
                    }
                }
            }
        }
    }

    /// Takes what comes until the time comes. Returns early when the connection is lost, which is counted.
    pub async fn listen_until(&mut self, until: u64) -> Result<(), Lost> {
        self.play(until, None, |_, _| {}).await
    }

    /// Takes what comes until the connection is lost, which is counted.
    pub async fn listen(&mut self) {
        loop {
            if let Err(lost) = self.turn().await {
                self.lost(lost);
                return;
            }
        }
    }

    /// Takes what comes while something else is done, so that the server's heartbeat is answered. Counts the loss of the connection.
    pub async fn listen_while<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        tokio::select! {
            biased;
            done = &mut other => done,
            () = self.listen() => other.await,
        }
    }

    /// Listens until everything sent has been answered and the room is live, at most until the time comes.
    pub async fn settle(&mut self, until: u64) -> Result<(), Lost> {
        while !self.inbox.expected.is_empty() && clock::now() < until {
            let turn = self.link.turn(&mut self.inbox);
            let timed = tokio::time::timeout_at(clock::instant(until), turn).await;
            if let Ok(Err(lost)) = timed {
                return Err(self.lost(lost));
            }
        }
        Ok(())
    }

    /// Counts the loss of the connection, once, and of the answers that will not come.
    fn lost(&mut self, lost: Lost) -> Lost {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.inbox.tally.count(count::DISCONNECTS, 1);
        }
        for expected in self.inbox.expected.drain(..) {
            self.inbox.tally.failed(expected.op, DISCONNECTED);
        }
        lost
    }

    /// Counts the answers that have not come as timed out, and goes.
    pub fn leave(mut self) {
        for expected in self.inbox.expected.drain(..) {
            self.inbox.tally.failed(expected.op, TIMED_OUT);
        }
    }

    /// Leaves as a player who closes the game: says so, and waits a little for the server's answer.
    pub async fn close(mut self) {
        self.inbox.tally.count(count::LEFT, 1);
        for expected in self.inbox.expected.drain(..) {
            self.inbox.tally.failed(expected.op, TIMED_OUT);
        }
        let answered = self.link.close(&mut self.inbox);
        // Whether the server answers makes no difference to a game that is closed.
        drop(tokio::time::timeout(GOODBYE, answered).await);
    }

    /// Cuts the connection as a lost network would.
    pub fn cut(self) {
        self.link.cut();
    }
}

/// What waits for its answer in the order in which it was sent.
type Queue = VecDeque<Expected>;
