//! The server's side of one connection, without I/O: order of frames, calls in flight, heartbeat.
//!
//! The owner feeds it received messages, time and signs of life, and carries out what it says. It
//! never holds a body: a [`ClientEvent`] borrows from the message that it came in.

use crate::codes::{CloseCode, Code, Fault};
use crate::frame::{CallId, ClientFrame, Cursor, InvalidFrame, Stream};
use crate::ids::RoomId;
use crate::scan::Malformed;
use crate::types::system::Hello;

/// Times of a connection, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a client may take to say hello.
    pub hello_ms: u64,
    /// Time between two pings. A client silent for twice as long is dead.
    pub ping_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hello_ms: 5_000,
            ping_ms: 25_000,
        }
    }
}

/// What a well-behaved client sent, frame by frame.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent<'a> {
    /// The connection is open; answer with a welcome.
    Hello(Hello),
    /// A call to answer exactly once.
    Call {
        /// Number for the answer.
        call: CallId,
        /// Number of the method.
        method: u16,
        /// Encoded request.
        body: &'a [u8],
        /// Idempotency key.
        key: Option<&'a str>,
        /// With a key, on the first attempt of a call alone: the newest sequence of the call's room that its client had seen
        /// when it made the call.
        head: Option<u64>,
    },
    /// A call to refuse: its request holds an integer that no client could read back.
    Beyond {
        /// Number for the answer.
        call: CallId,
        /// Number of the method.
        method: u16,
        /// Why: names the field.
        fault: Fault,
    },
    /// The answer to this call, which is still in flight, is not wanted any more.
    Cancel(CallId),
    /// The next page of a stream may come.
    Ack {
        /// The stream.
        stream: Stream,
        /// How far it was processed.
        cursor: Cursor,
    },
    /// Game input.
    Input {
        /// The match's room.
        room: RoomId,
        /// The client's count.
        seq: u64,
        /// The game's own encoding.
        data: &'a [u8],
    },
    /// Nothing to do: a pong, or a cancel that came too late.
    Nothing,
}

/// The client broke the protocol. Send the fault with call 0, then close with the code.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Close code.
    pub close: CloseCode,
    /// What was wrong.
    pub fault: Fault,
}

impl Violation {
    fn protocol(message: impl Into<String>) -> Self {
        Self {
            close: CloseCode::ProtocolError,
            fault: Fault::new(Code::BadRequest, message),
        }
    }
}

impl From<InvalidFrame> for Violation {
    fn from(error: InvalidFrame) -> Self {
        let close = match error {
            InvalidFrame::TooLong => CloseCode::MessageTooBig,
            _ => CloseCode::ProtocolError,
        };
        Self {
            close,
            fault: Fault::new(Code::BadRequest, error.to_string()),
        }
    }
}

/// What the time asks the owner to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerAction {
    /// Nothing yet.
    Nothing,
    /// Send a ping with this number.
    Ping(u32),
    /// Close: no hello in time, or no sign of life.
    Close(CloseCode),
}

/// Pings without a sign of life after which a client is dead.
const PINGS_MAX: u8 = 2;

/// Room for calls in flight that a connection without any keeps: sixteen bytes.
const IN_FLIGHT_KEPT: usize = 4;

/// One connection as the server sees it.
#[derive(Debug)]
pub struct ServerConnection {
    timing: Timing,
    greeted: bool,
    last_call: Option<CallId>,
    in_flight: Vec<CallId>,
    nonce: u32,
    /// Pings since the last sign of life.
    unanswered: u8,
    next_at: u64,
}

impl ServerConnection {
    /// A connection accepted at `now`. `phase` is a random number that spreads the first pings of many connections
    /// over the ping interval.
    pub fn new(timing: Timing, now: u64, phase: u64) -> Self {
        Self {
            timing,
            greeted: false,
            last_call: None,
            in_flight: Vec::new(),
            nonce: u32::try_from(phase & 0xffff).expect("16 bits"),
            unanswered: 0,
            next_at: now.saturating_add(timing.hello_ms),
        }
    }

    /// Whether hello has been said.
    pub const fn greeted(&self) -> bool {
        self.greeted
    }

    /// Calls without an answer.
    pub fn calls_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Reads the next frame of a received message and returns what follows it.
    pub fn read<'a>(
        &mut self,
        message: &'a [u8],
        now: u64,
    ) -> Result<(ClientEvent<'a>, &'a [u8]), Violation> {
        self.alive();
        let (frame, rest) = match ClientFrame::read(message) {
            Err(InvalidFrame::Integer {
                call,
                method,
                field,
                frame_bytes,
            }) if self.greeted => {
                self.begin(call)?;
                let fault = Fault::invalid(&field, Malformed::Integer.to_string());
                let event = ClientEvent::Beyond {
                    call,
                    method,
                    fault,
                };
                return Ok((event, &message[frame_bytes..]));
            }
            read => read?,
        };
        let event = match frame {
            ClientFrame::Hello(hello) => self.hello(hello, now)?,
            _ if !self.greeted => {
                return Err(Violation::protocol("the first frame must be hello"));
            }
            ClientFrame::Call {
                call,
                method,
                body,
                key,
                head,
            } => {
                self.begin(call)?;
                ClientEvent::Call {
                    call,
                    method,
                    body,
                    key,
                    head,
                }
            }
            ClientFrame::Cancel { call } if self.in_flight.contains(&call) => {
                ClientEvent::Cancel(call)
            }
            ClientFrame::Cancel { .. } | ClientFrame::Pong { .. } => ClientEvent::Nothing,
            ClientFrame::Ack { stream, cursor } => ClientEvent::Ack { stream, cursor },
            ClientFrame::Input { room, seq, data } => ClientEvent::Input { room, seq, data },
        };
        Ok((event, rest))
    }

    /// Reads a received datagram: exactly one `input`. None: it overtook hello and is dropped, whatever it holds.
    ///
    /// # Errors
    /// After hello, anything that is not one `input` and nothing else.
    pub fn read_datagram<'a>(
        &mut self,
        datagram: &'a [u8],
    ) -> Result<Option<ClientEvent<'a>>, Violation> {
        self.alive();
        if !self.greeted {
            return Ok(None);
        }
        match ClientFrame::read(datagram)? {
            (ClientFrame::Input { room, seq, data }, []) => {
                Ok(Some(ClientEvent::Input { room, seq, data }))
            }
            _ => Err(Violation::protocol("a datagram holds one input")),
        }
    }

    fn hello<'a>(&mut self, hello: Hello, now: u64) -> Result<ClientEvent<'a>, Violation> {
        if self.greeted {
            return Err(Violation::protocol("hello was said before"));
        }
        if hello.v != crate::VERSION {
            return Err(Violation {
                close: CloseCode::VersionUnsupported,
                fault: Fault::new(
                    Code::BadRequest,
                    format!("this server speaks version {}", crate::VERSION),
                ),
            });
        }
        self.greeted = true;
        let spread = u64::from(self.nonce) * self.timing.ping_ms / 0x1_0000;
        self.next_at = now.saturating_add(spread.max(1));
        Ok(ClientEvent::Hello(hello))
    }

    /// Numbers increase, so a call that was recorded and sent again is noticed.
    fn begin(&mut self, call: CallId) -> Result<(), Violation> {
        if call == 0 || self.last_call.is_some_and(|last| call <= last) {
            return Err(Violation::protocol(
                "call numbers begin above 0 and increase",
            ));
        }
        self.last_call = Some(call);
        self.in_flight.push(call);
        Ok(())
    }

    /// A call was answered. False: it was not in flight, and the answer must not be sent.
    pub fn answered(&mut self, call: CallId) -> bool {
        match self.in_flight.iter().position(|&open| open == call) {
            Some(index) => {
                self.in_flight.swap_remove(index);
                if self.in_flight.is_empty() && self.in_flight.capacity() > IN_FLIGHT_KEPT {
                    self.in_flight = Vec::new();
                }
                true
            }
            None => false,
        }
    }

    /// A sign of life other than a message: the socket, full before, has taken bytes again.
    pub fn alive(&mut self) {
        self.unanswered = 0;
    }

    /// When [`Self::due`] wants to be asked next.
    pub const fn next_at(&self) -> u64 {
        self.next_at
    }

    /// What the time asks for. Before it carries out a close the owner reads what has arrived, and asks again.
    ///
    /// A client is dead once two pings in a row have brought no sign of life, each within the time between pings. What counts is
    /// that it was asked: a server that stood still for as long, and asked nothing, has heard nothing either. When it is asked
    /// so late that it must have stood still, the last ping may not have gone out, and another one follows.
    pub fn due(&mut self, now: u64) -> TimerAction {
        if now < self.next_at {
            return TimerAction::Nothing;
        }
        if !self.greeted {
            return TimerAction::Close(CloseCode::HandshakeTimeout);
        }
        let is_late = now - self.next_at >= self.timing.ping_ms / 2;
        if self.unanswered >= PINGS_MAX && !is_late {
            return TimerAction::Close(CloseCode::HeartbeatMissed);
        }
        self.unanswered = (self.unanswered + 1).min(PINGS_MAX);
        self.next_at = now.saturating_add(self.timing.ping_ms);
        self.nonce = self.nonce.wrapping_add(1);
        TimerAction::Ping(self.nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        hello_ms: 100,
        ping_ms: 1_000,
    };

    fn hello() -> Vec<u8> {
        let hello = Hello {
            v: crate::VERSION,
            sdk: "test".into(),
            token: None,
            presence: None,
        };
        ClientFrame::Hello(hello).encode()
    }

    fn call(call: CallId) -> Vec<u8> {
        ClientFrame::Call {
            call,
            method: 0,
            body: &[0x80],
            key: None,
            head: None,
        }
        .encode()
    }

    fn greeted() -> ServerConnection {
        let mut connection = ServerConnection::new(TIMING, 0, 0);
        connection.read(&hello(), 0).expect("hello is first");
        connection
    }

    #[test]
    fn nothing_comes_before_hello_and_hello_comes_once() {
        let mut early = ServerConnection::new(TIMING, 0, 0);
        let violation = early.read(&call(1), 0).expect_err("a call is too early");
        assert_eq!(violation.close, CloseCode::ProtocolError);
        let violation = greeted().read(&hello(), 1).expect_err("a second hello");
        assert_eq!(violation.close, CloseCode::ProtocolError);
    }

    #[test]
    fn a_replayed_call_is_noticed() {
        let mut connection = greeted();
        connection.read(&call(7), 1).expect("a new number");
        assert!(connection.answered(7));
        assert!(!connection.answered(7));
        connection.read(&call(7), 2).expect_err("an old number");
    }

    fn input(seq: u64) -> Vec<u8> {
        ClientFrame::Input {
            room: RoomId::from_bytes([1; 10]),
            seq,
            data: b"left",
        }
        .encode()
    }

    #[test]
    fn a_datagram_holds_one_input() {
        let mut connection = greeted();
        let datagram = input(7);
        let (by_message, _) = connection.read(&datagram, 1).expect("input by message");
        assert_eq!(connection.read_datagram(&datagram), Ok(Some(by_message)));
        let refused = [
            Vec::new(),
            vec![0xc1],
            datagram[..datagram.len() - 1].to_vec(),
            [input(8), input(9)].concat(),
            [input(8), vec![0]].concat(),
            call(1),
            hello(),
            ClientFrame::Pong { nonce: 1 }.encode(),
        ];
        for datagram in refused {
            let violation = connection.read_datagram(&datagram);
            let violation = violation.expect_err("not one input");
            assert_eq!(violation.close, CloseCode::ProtocolError, "{datagram:?}");
        }
        assert_eq!(connection.calls_in_flight(), 0);
    }

    #[test]
    fn a_datagram_that_overtook_hello_is_dropped() {
        let mut connection = ServerConnection::new(TIMING, 0, 0);
        for datagram in [input(1), call(1), hello(), vec![0xc1], Vec::new()] {
            assert_eq!(connection.read_datagram(&datagram), Ok(None));
        }
        assert!(!connection.greeted());
        connection.read(&hello(), 1).expect("hello is still first");
        connection
            .read(&call(1), 1)
            .expect("no call was counted before");
    }

    #[test]
    fn a_datagram_is_a_sign_of_life() {
        let mut connection = greeted();
        assert!(matches!(connection.due(1_000), TimerAction::Ping(_)));
        connection.read_datagram(&input(1)).expect("one input");
        assert!(matches!(connection.due(2_000), TimerAction::Ping(_)));
        assert!(matches!(connection.due(3_000), TimerAction::Ping(_)));
        let missed = TimerAction::Close(CloseCode::HeartbeatMissed);
        assert_eq!(connection.due(4_000), missed);
    }

    #[test]
    fn silence_ends_the_connection_and_progress_keeps_it() {
        let mut connection = greeted();
        assert!(matches!(connection.due(1_000), TimerAction::Ping(_)));
        connection.alive();
        assert!(matches!(connection.due(2_000), TimerAction::Ping(_)));
        assert!(matches!(connection.due(3_000), TimerAction::Ping(_)));
        assert_eq!(
            connection.due(4_000),
            TimerAction::Close(CloseCode::HeartbeatMissed)
        );
    }

    #[test]
    fn a_server_that_stood_still_asks_before_it_declares_anybody_dead() {
        // Asleep before anything was asked; between two pings; with both of them unanswered.
        for pings in 0..=2 {
            let mut connection = greeted();
            let mut now = 0;
            for _ in 0..pings {
                now += 1_000;
                assert!(matches!(connection.due(now), TimerAction::Ping(_)));
            }
            now += 60_000;
            let woken = connection.due(now);
            assert!(matches!(woken, TimerAction::Ping(_)), "{pings}: {woken:?}");
            connection.alive();
            for _ in 0..2 {
                now += 1_000;
                assert!(matches!(connection.due(now), TimerAction::Ping(_)));
            }
            now += 1_000;
            let missed = TimerAction::Close(CloseCode::HeartbeatMissed);
            assert_eq!(connection.due(now), missed);
            connection.alive();
            assert!(matches!(connection.due(now), TimerAction::Ping(_)));
        }
    }

    #[test]
    fn hello_must_come_in_time() {
        let mut connection = ServerConnection::new(TIMING, 0, 0);
        assert_eq!(connection.due(99), TimerAction::Nothing);
        assert_eq!(
            connection.due(100),
            TimerAction::Close(CloseCode::HandshakeTimeout)
        );
    }

    #[test]
    fn another_version_is_refused_with_its_own_code() {
        let mut connection = ServerConnection::new(TIMING, 0, 0);
        let hello = Hello {
            v: 99,
            sdk: String::new(),
            token: None,
            presence: None,
        };
        let violation = connection
            .read(&ClientFrame::Hello(hello).encode(), 0)
            .expect_err("no such version");
        assert_eq!(violation.close, CloseCode::VersionUnsupported);
    }
}
