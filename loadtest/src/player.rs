//! One player of the generator: a connection, the calls that wait for their answer, and how far it has come in its room.

use std::collections::VecDeque;
use std::time::Duration;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::{CallId, ClientFrame, Cursor, call};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, SignedIn};
use pitturu_protocol::types::chat::{JoinRoom, SendEphemeral, SendMessage};
use pitturu_protocol::types::system::{Hello, Resume, Resumed, RoomCursor, Welcome};
use pitturu_protocol::{VERSION, codec};

use crate::clock;
use crate::link::{ConnectError, Link, Lost};
use crate::report::count;
use crate::stamp;
use crate::tally::{DISCONNECTED, Op, TIMED_OUT, Tally};

mod bare;
mod inbox;

use inbox::{Expected, Inbox, Side};

/// Longest time for an answer while players get ready.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Where a player connects, and from which address.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The server.
    pub address: std::net::SocketAddr,
    /// The player's own address; the system's choice when absent.
    pub source: Option<std::net::IpAddr>,
    /// Size of the socket's receive buffer; the system's choice when absent. Small ones make slow readers felt.
    pub receive_buffer: Option<u32>,
}

impl Way {
    /// To this address, with the system's choices.
    pub const fn to(address: std::net::SocketAddr) -> Self {
        Self {
            address,
            source: None,
            receive_buffer: None,
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
}

impl Player {
    /// Connects, says hello, and waits for the welcome.
    pub async fn connect(way: Way, token: Option<String>, tally: &Tally) -> Result<Self, Failed> {
        Self::connect_at(way, token, tally, clock::now()).await
    }

    /// Like [`Self::connect`], for a connection that was meant to begin at `intended`.
    pub async fn connect_at(
        way: Way,
        token: Option<String>,
        tally: &Tally,
        intended: u64,
    ) -> Result<Self, Failed> {
        tally.intend(Op::Connect);
        let connecting = Self::greet(way, token, tally.clone());
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

    async fn greet(way: Way, token: Option<String>, tally: Tally) -> Result<Self, Failed> {
        let link = Link::connect(way.address, way.source, way.receive_buffer).await?;
        let mut player = Self {
            link,
            inbox: Inbox::new(tally),
            last_call: 0,
        };
        let hello = Hello {
            v: VERSION,
            sdk: concat!("loadtest/", env!("CARGO_PKG_VERSION")).to_owned(),
            token,
        };
        player.link.out.message(&ClientFrame::Hello(hello).encode());
        while player.inbox.welcome.is_none() {
            player.turn().await?;
        }
        Ok(player)
    }

    /// A connection to the bare fan-out server, in this room.
    pub async fn bare(way: Way, room: u64, tally: &Tally) -> Result<Self, Failed> {
        let link = Link::open(way.address, way.source)
            .await
            .map_err(ConnectError::Io)?;
        let mut player = Self {
            link,
            inbox: Inbox::new(tally.clone()),
            last_call: 0,
        };
        player.inbox.side = Side::FanOutFloor;
        player.link.out.message(&room.to_be_bytes());
        player.link.flush(&mut player.inbox).await?;
        Ok(player)
    }

    /// A connection to the bare echo server.
    pub async fn bare_echo(way: Way, tally: &Tally) -> Result<Self, Failed> {
        let link = Link::connect(way.address, way.source, way.receive_buffer).await?;
        let mut inbox = Inbox::new(tally.clone());
        inbox.side = Side::EchoFloor;
        Ok(Self {
            link,
            inbox,
            last_call: 0,
        })
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

    /// How far the player has come in its room.
    pub fn cursor(&self) -> Cursor {
        self.inbox.cursor
    }

    /// The room's head as the server last told it.
    pub fn head(&self) -> u64 {
        self.inbox.head
    }

    /// Whether the room's new messages arrive as they happen.
    pub fn is_live(&self) -> bool {
        self.inbox.live
    }

    /// Messages of its own that wait for their answer.
    pub fn unanswered(&self) -> usize {
        self.inbox.expected.len()
    }

    /// Reads at most this many bytes in one turn.
    pub fn read_at_most(&mut self, bytes: usize) {
        self.link.read_at_most(bytes);
    }

    /// Signs in as the guest of this number; the same number is the same account.
    pub async fn sign_in(&mut self, seed: u64, number: u64) -> Result<SignedIn, Failed> {
        let request = LoginGuest {
            secret: format!("loadtest-{seed:016x}-{number:012}"),
            name: Some(format!("player {number}")),
            device: None,
        };
        self.timed(Op::SignIn, &request).await
    }

    /// Joins a room, which opens it.
    pub async fn join(&mut self, room: RoomId) -> Result<(), Failed> {
        let view = self.timed(Op::Open, &JoinRoom { room }).await?;
        self.follow(view.info.head, view.rev);
        Ok(())
    }

    /// Counts the room's messages from here on.
    pub fn follow(&mut self, seq: u64, rev: u64) {
        // Messages that were pushed before the answer count as well.
        if self.inbox.cursor.seq < seq {
            self.inbox.cursor = Cursor { seq, rev };
        }
        self.inbox.live = true;
    }

    /// Takes up the room where an earlier connection stood. What was missed follows as events.
    pub async fn resume(&mut self, room: RoomId, cursor: Cursor) -> Result<Resumed, Failed> {
        self.inbox.cursor = cursor;
        self.inbox.live = false;
        let request = Resume {
            inbox: None,
            rooms: vec![RoomCursor {
                room,
                seq: cursor.seq,
                rev: cursor.rev,
            }],
        };
        self.call(&request).await
    }

    /// A call whose time is counted.
    pub async fn timed<M: Method>(&mut self, op: Op, request: &M) -> Result<M::Reply, Failed> {
        self.timed_at(op, request, clock::now()).await
    }

    /// A call that was meant to begin at `intended`.
    pub async fn timed_at<M: Method>(
        &mut self,
        op: Op,
        request: &M,
        intended: u64,
    ) -> Result<M::Reply, Failed> {
        self.inbox.tally.intend(op);
        let outcome = self.call(request).await;
        match &outcome {
            Ok(_) => self.inbox.tally.done_now(op, intended),
            Err(failed) => self.inbox.tally.failed(op, failed.code()),
        }
        outcome
    }

    /// Calls and waits for the answer. What else comes is counted meanwhile.
    pub async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, Failed> {
        self.last_call += 1;
        let number = self.last_call;
        self.inbox.awaited = Some(number);
        self.link.out.message(&call(number, request, None));
        let answered = async {
            loop {
                if let Some(answer) = self.inbox.answer.take() {
                    return Ok(answer);
                }
                self.link.turn(&mut self.inbox).await?;
            }
        };
        let answer = match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answer) => answer.map_err(Failed::Lost)?,
            Err(_) => return Err(Failed::TimedOut),
        };
        self.inbox.awaited = None;
        match answer {
            Ok(body) => codec::decode(&body).map_err(|error| Failed::Unreadable(error.0)),
            Err(fault) => Err(Failed::Refused(fault)),
        }
    }

    /// Begins a call whose answer will be counted as `op` when it comes.
    pub fn begin<M: Method>(&mut self, op: Op, request: &M, key: Option<&str>, intended: u64) {
        self.last_call += 1;
        let frame = call(self.last_call, request, key);
        self.inbox.expect(Expected {
            call: self.last_call,
            op,
            intended,
            count: None,
        });
        self.link.out.message(&frame);
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
                // As the SDKs do: a key that no other call of this account has.
                let key = format!("{:016x}", fastrand::u64(..));
                (call(self.last_call, &request, Some(&key)), count::PERSISTED)
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

    /// Takes what comes until the connection is lost, which is counted.
    pub async fn listen(&mut self) {
        loop {
            if let Err(lost) = self.turn().await {
                self.lost(lost);
                return;
            }
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

    /// Counts the loss of the connection and of the answers that will not come.
    fn lost(&mut self, lost: Lost) -> Lost {
        self.inbox.tally.count(count::DISCONNECTS, 1);
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

    /// Cuts the connection as a lost network would.
    pub fn cut(self) {
        self.link.cut();
    }
}

/// When something is to be done: at a steady rate from a first moment on, whatever came of the ones before.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The next moment.
    pub next: u64,
    interval: u64,
}

impl Pace {
    /// `per_second` times a second; the first within the first interval after `begin`, at random.
    pub fn new(begin: u64, per_second: f64) -> Self {
        // A rate is far below 2^53 and above nothing, so the interval is a number of nanoseconds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let interval = ((clock::SECOND as f64 / per_second) as u64).max(1);
        Self {
            next: begin + fastrand::u64(0..interval),
            interval,
        }
    }

    /// The moment that has come; the next one is an interval later.
    pub fn advance(&mut self) -> u64 {
        let now = self.next;
        self.next += self.interval;
        now
    }
}

/// What waits for its answer in the order in which it was sent.
type Queue = VecDeque<Expected>;
