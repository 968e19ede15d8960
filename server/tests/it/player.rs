//! A blocking client that speaks the protocol over a raw socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{CallId, ClientFrame, ServerFrame, call};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, SignedIn};
use pitturu_protocol::types::system::{Goaway, Hello, Welcome};

use crate::raw::{BINARY, CLOSE, RawSocket, message};

/// What came that a test may want to see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Came {
    Welcome(Welcome),
    Reply(CallId, Vec<u8>),
    Fault(CallId, Fault),
    Event(u16, Vec<u8>),
    /// What is missing of a stream: first and last.
    Gap(u64, u64),
    Goaway(Goaway),
    Other,
    /// The close frame's code.
    Closed(Option<u16>),
    /// The end without a close frame.
    Ended,
}

/// One connection.
pub(crate) struct Player {
    pub(crate) socket: RawSocket,
    unread: VecDeque<Came>,
    events: VecDeque<(u16, Vec<u8>)>,
    last_call: CallId,
    /// Whether pings are answered.
    pub(crate) pongs: bool,
}

/// The first frame of a client.
pub(crate) fn hello() -> Vec<u8> {
    ClientFrame::Hello(Hello {
        v: pitturu_protocol::VERSION,
        sdk: "test/0".to_owned(),
        token: None,
        presence: None,
    })
    .encode()
}

impl Player {
    /// Connects and says nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        Self {
            socket: RawSocket::connect(address),
            unread: VecDeque::new(),
            events: VecDeque::new(),
            last_call: 0,
            pongs: true,
        }
    }

    /// Connects and says hello.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut player = Self::silent(address);
        player.send(&hello());
        match player.next() {
            Came::Welcome(_) => player,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Connects and signs in as a new guest.
    pub(crate) fn guest(address: SocketAddr, name: &str) -> (Self, SignedIn) {
        let mut player = Self::connect(address);
        let signed_in = player
            .call(&LoginGuest {
                secret: format!("{name:-<32}"),
                name: Some(name.to_owned()),
                device: None,
            })
            .unwrap();
        (player, signed_in)
    }

    /// Sends frames as one message.
    pub(crate) fn send(&mut self, frames: &[u8]) {
        self.socket.send(&message(BINARY, frames));
    }

    /// Sends a call and waits for its answer. Events that come before it are kept.
    pub(crate) fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, Fault> {
        let number = self.begin(request);
        self.answer::<M>(number)
    }

    /// Sends a call under this key and waits for its answer.
    pub(crate) fn call_keyed<M: Method>(
        &mut self,
        request: &M,
        key: &str,
    ) -> Result<M::Reply, Fault> {
        self.last_call += 1;
        self.send(&call(self.last_call, request, Some(key)));
        self.answer::<M>(self.last_call)
    }

    fn answer<M: Method>(&mut self, number: CallId) -> Result<M::Reply, Fault> {
        loop {
            match self.next() {
                Came::Reply(call, body) if call == number => {
                    return Ok(codec::decode(&body).unwrap());
                }
                Came::Fault(call, fault) if call == number => return Err(fault),
                Came::Event(event, body) => self.events.push_back((event, body)),
                Came::Other | Came::Gap(..) | Came::Reply(..) => {}
                other => panic!("no answer to {} but {other:?}", M::NAME),
            }
        }
    }

    /// Sends a call and returns its number.
    pub(crate) fn begin<M: Method>(&mut self, request: &M) -> CallId {
        self.last_call += 1;
        // Before sign-in keys are not told apart by player, so no two calls of a test may share one.
        static KEYS: AtomicU64 = AtomicU64::new(0);
        let key = format!("test-{}", KEYS.fetch_add(1, Ordering::Relaxed));
        self.send(&call(self.last_call, request, Some(&key)));
        self.last_call
    }

    /// The next event of this kind. Others are dropped.
    pub(crate) fn event<E: Event>(&mut self) -> E {
        loop {
            let (event, body) = self.any_event(E::NAME);
            if event == E::NUMBER {
                return codec::decode(&body).unwrap();
            }
        }
    }

    /// The next of each kind, in whichever order they come. Others are dropped.
    pub(crate) fn both<A: Event, B: Event>(&mut self) -> (A, B) {
        let (mut one, mut other) = (None, None);
        loop {
            let (event, body) = self.any_event(A::NAME);
            if event == A::NUMBER {
                one = Some(codec::decode(&body).unwrap());
            } else if event == B::NUMBER {
                other = Some(codec::decode(&body).unwrap());
            }
            match (one, other) {
                (Some(one), Some(other)) => return (one, other),
                kept => (one, other) = kept,
            }
        }
    }

    fn any_event(&mut self, wanted: &str) -> (u16, Vec<u8>) {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match self.next() {
                Came::Event(event, body) => return (event, body),
                Came::Other | Came::Gap(..) | Came::Reply(..) => {}
                other => panic!("no {wanted} but {other:?}"),
            }
        }
    }

    /// The next gap: first and last of what is missing. Events that come before it are dropped.
    pub(crate) fn gap(&mut self) -> (u64, u64) {
        loop {
            match self.next() {
                Came::Gap(from, to) => return (from, to),
                Came::Closed(_) | Came::Ended => panic!("no gap but the end"),
                _ => {}
            }
        }
    }

    /// The next thing that comes. Pings are answered on the way.
    pub(crate) fn next(&mut self) -> Came {
        loop {
            if let Some(came) = self.unread.pop_front() {
                return came;
            }
            let Some(frame) = self.socket.next() else {
                return Came::Ended;
            };
            match frame.opcode() {
                CLOSE => return Came::Closed(frame.close_code()),
                BINARY => self.take_frames(&frame.payload),
                other => panic!("unexpected opcode {other}"),
            }
        }
    }

    fn take_frames(&mut self, mut rest: &[u8]) {
        assert!(!rest.is_empty(), "a message holds at least one frame");
        while !rest.is_empty() {
            let (frame, after) = ServerFrame::read(rest).unwrap();
            rest = after;
            let came = match frame {
                ServerFrame::Welcome(welcome) => Came::Welcome(welcome),
                ServerFrame::Reply { call, body } => Came::Reply(call, body.to_vec()),
                ServerFrame::Fault { call, fault } => Came::Fault(call, fault),
                ServerFrame::Event { event, body } => Came::Event(event, body.to_vec()),
                ServerFrame::Ping { nonce, .. } => {
                    if self.pongs {
                        self.send(&ClientFrame::Pong { nonce }.encode());
                    }
                    continue;
                }
                ServerFrame::Gap { from, to, .. } => Came::Gap(from, to),
                ServerFrame::Goaway(goaway) => Came::Goaway(goaway),
                _ => Came::Other,
            };
            self.unread.push_back(came);
        }
    }

    /// Answers pings for so long. Whatever else comes is dropped.
    pub(crate) fn answer_pings(&mut self, during: Duration) {
        let until = Instant::now() + during;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.socket.next_within(left) {
                Some(frame) if frame.opcode() == BINARY => self.take_frames(&frame.payload),
                Some(frame) => panic!("closed: {frame:?}"),
                None => return,
            }
        }
        self.unread.clear();
    }

    /// Reads until the end: the fault about the connection, if one came, and the close code.
    pub(crate) fn farewell(&mut self) -> (Option<Fault>, Option<u16>) {
        let mut fault = None;
        loop {
            match self.next() {
                Came::Fault(0, about_connection) => fault = Some(about_connection),
                Came::Closed(code) => return (fault, code),
                Came::Ended => return (fault, None),
                _ => {}
            }
        }
    }
}
