//! The client machine against hand-made servers: each rule at its boundary.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use pitturu_protocol::client::{
    CALLS_HELD_BYTES_MAX, CALLS_HELD_MAX, ClientConnection, Config, Connection, Output, Refused,
    Request, Ticket, Tokens,
};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::events::{EVENTS, Entry, Event};
use pitturu_protocol::frame::{self, CallId, ClientFrame, Cursor, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::limits::{CALLS_IN_FLIGHT_MAX, FRAME_BYTES_MAX};
use pitturu_protocol::methods::{Change, Effect, METHODS, Method, MethodInfo, Order, Place};
use pitturu_protocol::types::accounts::{
    GetAccount, Identity, LoginGuest, Logout, RefreshTokens, Role, SignedIn,
};
use pitturu_protocol::types::chat::{
    CloseRoom, History, JoinRoom, LostReason, MemberRole, Membership, Message, MessageSent,
    OpenRoom, ReactionChanged, ReadHistory, Retention, RoomInfo, RoomKind, RoomLost, RoomView,
    SendEphemeral, SendMessage, Sent, Typing,
};
use pitturu_protocol::types::presence::Status;
use pitturu_protocol::types::system::{
    Done, Echo, Goaway, GoawayReason, Limits, Resume, Resumed, ResumedRoom, RoomCursor,
    StreamPosition, Welcome,
};
use serde::Serialize;

const ROOM: RoomId = RoomId::from_bytes([9; 10]);
const PING_MS: u32 = 1_000;

/// A frame from the client, owned.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Hello(Option<String>),
    Call(CallId, u16, Option<String>, Vec<u8>, Option<u64>),
    Cancel(CallId),
    Ack(Stream, u64, u64),
    Pong(u32),
}

struct Test {
    machine: ClientConnection,
    now: u64,
    drawn: u32,
}

impl Test {
    fn new(config: Config) -> Self {
        Self {
            machine: ClientConnection::new(config, 1),
            now: 10_000,
            drawn: 0,
        }
    }

    /// Connected and welcomed, signed in when there is an access token.
    fn online(config: Config) -> Self {
        let signed_in = config.tokens.access.is_some();
        let mut test = Self::new(config);
        test.machine.start(test.now);
        test.machine.connected(test.now);
        test.receive(&welcome(signed_in, None));
        test.outputs();
        test.said();
        test
    }

    fn with_room(cursor: Cursor) -> Self {
        let mut config = player();
        config.resume.rooms = vec![RoomCursor {
            room: ROOM,
            seq: cursor.seq,
            rev: cursor.rev,
        }];
        let mut test = Self::new(config);
        test.machine.start(test.now);
        test.machine.connected(test.now);
        test.receive(&welcome(true, None));
        test.receive(&frame::reply(1, &resumed(cursor)));
        test.outputs();
        test.said();
        test
    }

    fn receive(&mut self, frame: &[u8]) {
        self.machine
            .received(self.now, &Bytes::copy_from_slice(frame));
    }

    fn fault(&mut self, call: CallId, fault: Fault) {
        self.receive(&ServerFrame::Fault { call, fault }.encode());
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.machine.tick(self.now);
    }

    /// Lets the time pass until the machine wants to connect, and connects.
    fn reconnect(&mut self) {
        for _ in 0..100 {
            self.now = self.now.max(self.machine.next_timeout().unwrap());
            self.machine.tick(self.now);
            if self.outputs().contains(&Output::Connect) {
                self.machine.connected(self.now);
                return;
            }
        }
        panic!("the machine does not connect again");
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll()).collect()
    }

    fn answers(&mut self) -> Vec<(Ticket, Result<Bytes, Code>)> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Answer { ticket, result } => {
                    Some((ticket, result.map_err(|fault| fault.code)))
                }
                _ => None,
            })
            .collect()
    }

    fn said(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(message) = self.machine.transmit() {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (frame, after) = ClientFrame::read(rest).unwrap();
                rest = after;
                said.push(match frame {
                    ClientFrame::Hello(hello) => Said::Hello(hello.token),
                    ClientFrame::Call {
                        call,
                        method,
                        body,
                        key,
                        head,
                    } => Said::Call(call, method, key.map(str::to_owned), body.to_vec(), head),
                    ClientFrame::Cancel { call } => Said::Cancel(call),
                    ClientFrame::Ack { stream, cursor } => {
                        Said::Ack(stream, cursor.seq, cursor.rev)
                    }
                    ClientFrame::Pong { nonce } => Said::Pong(nonce),
                    ClientFrame::Input { .. } => panic!("no input was given"),
                });
            }
        }
        said
    }

    /// The calls on the wire since the last look: number, method and key.
    fn calls(&mut self) -> Vec<(CallId, u16, Option<String>)> {
        self.said()
            .into_iter()
            .filter_map(|said| match said {
                Said::Call(call, method, key, ..) => Some((call, method, key)),
                _ => None,
            })
            .collect()
    }

    /// The calls with a key on the wire since the last look: number, key, and head if they are first attempts.
    fn attempts(&mut self) -> Vec<(CallId, String, Option<u64>)> {
        self.said()
            .into_iter()
            .filter_map(|said| match said {
                Said::Call(call, _, key, _, head) => Some((call, key?, head)),
                _ => None,
            })
            .collect()
    }

    /// Makes a call under a key that nothing was sent under before, which goes out at once. Returns its number and head.
    fn first<M: Method>(&mut self, request: &M) -> (CallId, Option<u64>) {
        self.drawn += 1;
        self.machine.call(drawn(request, self.drawn)).unwrap();
        let attempts = self.attempts();
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        (attempts[0].0, attempts[0].2)
    }

    fn send(&mut self, key: &str) -> Ticket {
        self.call(&send("hello"), Some(key), None).unwrap()
    }

    fn call<M: Method>(
        &mut self,
        request: &M,
        key: Option<&str>,
        deadline: Option<u64>,
    ) -> Result<Ticket, Refused> {
        let mut call = Request::of(request);
        call.key = key.map(str::to_owned);
        call.deadline = deadline;
        self.machine.call(call)
    }
}

fn player() -> Config {
    Config {
        tokens: Tokens {
            access: Some("access 1".into()),
            refresh: Some("refresh 1".into()),
        },
        ..Config::default()
    }
}

fn identity(user: u8, expires_at: u64) -> Identity {
    Identity {
        user: UserId::from_bytes([user; 10]),
        session: SessionId::from_bytes([1; 10]),
        role: Role::Player,
        guest: false,
        expires_at,
    }
}

fn welcome(signed_in: bool, refused: Option<Code>) -> Vec<u8> {
    welcome_at(0, signed_in, refused)
}

/// The same by a server whose clock says this.
fn welcome_at(now: u64, signed_in: bool, refused: Option<Code>) -> Vec<u8> {
    ServerFrame::Welcome(Welcome {
        identity: signed_in.then(|| identity(1, 1_000_000)),
        refused: refused.map(Fault::of),
        ..welcome_of(now)
    })
    .encode()
}

/// That of a connection on which nobody has tried to sign in.
fn welcome_of(now: u64) -> Welcome {
    Welcome {
        v: 1,
        epoch: 1,
        conn: ConnectionId::from_bytes([0; 10]),
        now,
        ping_ms: PING_MS,
        identity: None,
        refused: None,
        limits: Limits {
            frame_bytes: 65_536,
            message_bytes: 262_144,
            calls: 64,
            rooms: 256,
        },
        quic: None,
    }
}

fn signed_in(user: u8, generation: u32, expires_at: u64) -> SignedIn {
    SignedIn {
        identity: identity(user, expires_at),
        access: format!("access {generation}"),
        refresh: format!("refresh {generation}"),
        refresh_expires_at: 10_000_000,
        created: false,
    }
}

fn view(cursor: Cursor) -> RoomView {
    RoomView {
        info: RoomInfo {
            room: ROOM,
            kind: RoomKind::Public,
            name: "room".into(),
            handle: None,
            topic: None,
            peer: None,
            members: 1,
            head: cursor.seq,
            first: 1,
            slow_mode_ms: 0,
            retention: Retention::default(),
            created_at: 0,
        },
        me: Membership {
            role: MemberRole::Member,
            read: 0,
            muted_until: None,
            joined_at: 0,
        },
        rev: cursor.rev,
        online: 1,
    }
}

fn resumed(cursor: Cursor) -> Resumed {
    Resumed {
        inbox: 0,
        rooms: vec![ResumedRoom {
            room: ROOM,
            view: Some(view(cursor)),
            fault: None,
        }],
    }
}

fn message(seq: u64) -> Vec<u8> {
    frame::event(&MessageSent {
        room: ROOM,
        msg: Message {
            seq,
            from: UserId::from_bytes([1; 10]),
            name: "n".into(),
            text: format!("text {seq}"),
            at: 0,
            data: None,
            reply_to: None,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        },
    })
}

fn change(rev: u64) -> Vec<u8> {
    frame::event(&ReactionChanged {
        room: ROOM,
        rev,
        seq: 1,
        user: UserId::from_bytes([1; 10]),
        emoji: "+1".into(),
        on: true,
        count: 1,
    })
}

fn position(seq: u64, rev: u64, live: bool) -> Vec<u8> {
    frame::event(&StreamPosition {
        stream: ROOM.to_string(),
        seq,
        rev,
        head: seq,
        live,
    })
}

fn send(text: &str) -> SendMessage {
    SendMessage {
        room: ROOM,
        text: text.into(),
        data: None,
        reply_to: None,
    }
}

/// A call under a key that nothing was sent under before.
fn drawn<M: Method>(request: &M, key: u32) -> Request {
    Request {
        key: Some(format!("drawn {key}")),
        key_is_new: true,
        ..Request::of(request)
    }
}

fn sent() -> Sent {
    Sent { seq: 1, at: 0 }
}

/// The sequences and revisions in the messages and changes among the outputs.
fn entries(outputs: &[Output]) -> Vec<(u16, u64)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event { event, body } if *event == MessageSent::NUMBER => {
                Some((*event, codec::decode::<MessageSent>(body).unwrap().msg.seq))
            }
            Output::Event { event, body } if *event == ReactionChanged::NUMBER => {
                Some((*event, codec::decode::<ReactionChanged>(body).unwrap().rev))
            }
            _ => None,
        })
        .collect()
}

fn cursor(seq: u64, rev: u64) -> Cursor {
    Cursor { seq, rev }
}

#[test]
fn hello_resume_and_calls_go_out_without_waiting_for_the_welcome() {
    let mut config = player();
    config.resume = Resume {
        epoch: None,
        inbox: Some(4),
        rooms: vec![RoomCursor {
            room: ROOM,
            seq: 7,
            rev: 2,
        }],
    };
    let mut test = Test::new(config);
    test.send("k1");
    test.machine.start(test.now);
    assert_eq!(test.said(), []);
    test.machine.connected(test.now);
    let said = test.said();
    assert_eq!(said[0], Said::Hello(Some("access 1".into())));
    let Said::Call(1, Resume::NUMBER, None, body, None) = &said[1] else {
        panic!("{said:?}");
    };
    assert_eq!(
        codec::decode::<Resume>(body).unwrap(),
        test.machine.cursors()
    );
    assert!(matches!(&said[2], Said::Call(2, SendMessage::NUMBER, Some(key), ..) if key == "k1"));
    assert_eq!(said.len(), 3);
}

#[test]
fn calls_that_need_a_player_wait_for_sign_in_and_others_do_not() {
    let mut test = Test::online(Config::default());
    let login = LoginGuest {
        secret: "s".repeat(16),
        name: None,
        device: None,
    };
    test.call(&login, Some("login"), None).unwrap();
    let held = test.call(&GetAccount {}, None, None).unwrap();
    test.call(&Echo { data: vec![1] }, None, None).unwrap();
    let calls = test.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].1, Echo::NUMBER);
    let call = calls[0].0;
    test.receive(&frame::reply(call, &signed_in(1, 1, 1_000_000)));
    assert!(test.outputs().contains(&Output::Tokens(Tokens {
        access: Some("access 1".into()),
        refresh: Some("refresh 1".into()),
    })));
    let calls = test.calls();
    assert_eq!(calls[0].1, GetAccount::NUMBER);
    test.receive(&frame::reply(calls[0].0, &Done {}));
    assert_eq!(test.answers()[0].0, held);
}

#[test]
fn a_refused_token_is_renewed_and_what_was_sent_is_sent_again() {
    let mut test = Test::new(player());
    let ticket = test.send("k1");
    test.machine.start(test.now);
    test.machine.connected(test.now);
    let first = test.calls();
    assert_eq!(first.len(), 1);
    test.receive(&welcome(false, Some(Code::TokenExpired)));
    let refresh = test.calls();
    assert_eq!(refresh[0].1, RefreshTokens::NUMBER);
    test.fault(first[0].0, Fault::of(Code::Unauthenticated));
    assert_eq!(test.calls(), []);
    test.receive(&frame::reply(refresh[0].0, &signed_in(1, 2, 1_000_000)));
    let again = test.calls();
    assert_eq!(again[0].1, SendMessage::NUMBER);
    assert_eq!(again[0].2.as_deref(), Some("k1"));
    test.receive(&frame::reply(again[0].0, &sent()));
    assert_eq!(test.answers().first().map(|answer| answer.0), Some(ticket));
}

#[test]
fn a_refresh_whose_reply_was_lost_is_repeated_under_the_same_key() {
    let mut test = Test::new(player());
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(false, Some(Code::TokenExpired)));
    let first = test.calls();
    test.machine.disconnected(test.now, Some(1006));
    test.reconnect();
    let second = test.calls();
    assert_eq!(first[0].1, RefreshTokens::NUMBER);
    assert_eq!(first, second);
    assert!(first[0].2.is_some());
}

#[test]
fn a_refresh_token_that_is_refused_signs_out_and_ends_the_calls_of_the_player() {
    let mut test = Test::new(player());
    let ticket = test.send("k1");
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(false, Some(Code::TokenExpired)));
    let refresh = test.calls().pop().unwrap().0;
    test.fault(refresh, Fault::of(Code::RefreshReused));
    let outputs = test.outputs();
    assert!(outputs.contains(&Output::SignedOut(Some(Fault::of(Code::RefreshReused)))));
    assert!(outputs.contains(&Output::Tokens(Tokens::default())));
    assert!(outputs.iter().any(|output| matches!(output,
        Output::Answer { ticket: ended, result: Err(_) } if *ended == ticket)));
    assert_eq!(test.machine.connection(), Connection::Online);
}

/// Whatever sign-in is tried: the client stays away, and keeps the tokens for when the suspension ends.
#[test]
fn a_suspended_player_is_told_and_the_tokens_are_kept() {
    let fault = Fault::new(Code::Suspended, "spam");
    let suspended = Connection::Stopped {
        code: Some(CloseCode::Suspended.number()),
    };
    let by_hello = |test: &mut Test| {
        let welcome = Welcome {
            refused: Some(Fault::new(Code::Suspended, "spam")),
            ..welcome_of(0)
        };
        test.receive(&ServerFrame::Welcome(welcome).encode());
    };
    let by_refresh = |test: &mut Test| {
        test.receive(&welcome(false, Some(Code::TokenExpired)));
        let refresh = test.calls().pop().unwrap();
        assert_eq!(refresh.1, RefreshTokens::NUMBER);
        test.fault(refresh.0, Fault::new(Code::Suspended, "spam"));
    };
    for suspends in [&by_hello as &dyn Fn(&mut Test), &by_refresh] {
        let mut test = Test::new(player());
        let waiting = test.send("k1");
        test.machine.start(test.now);
        test.machine.connected(test.now);
        suspends(&mut test);
        let outputs = test.outputs();
        assert!(
            outputs.contains(&Output::Fault(fault.clone())),
            "{outputs:?}"
        );
        assert!(outputs.contains(&Output::Close(1000)), "{outputs:?}");
        let forgets = |output: &Output| matches!(output, Output::Tokens(_) | Output::SignedOut(_));
        assert!(!outputs.iter().any(forgets), "{outputs:?}");
        assert!(outputs.iter().any(|output| matches!(output,
            Output::Answer { ticket, result: Err(_) } if *ticket == waiting)));
        assert_eq!(test.machine.connection(), suspended);
        assert_eq!(test.machine.next_timeout(), None);
    }
}

#[test]
fn tokens_are_renewed_at_four_fifths_of_their_life_and_once() {
    let mut test = Test::online(player());
    let life = 1_000_000;
    while test.now < 10_000 + life * 4 / 5 - 1 {
        test.pass(999);
        test.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
        if test.now < 10_000 + life * 4 / 5 {
            assert_eq!(test.calls(), []);
        }
    }
    test.pass(1_000);
    let refresh = test.calls();
    assert_eq!(refresh.len(), 1);
    assert_eq!(refresh[0].1, RefreshTokens::NUMBER);
    test.pass(1);
    assert_eq!(test.calls(), []);
    test.receive(&frame::reply(refresh[0].0, &signed_in(1, 2, 2_000_000)));
    let outputs = test.outputs();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Tokens(_)))
    );
    assert_eq!(test.calls(), [], "streams and calls were never interrupted");
}

/// Each of these servers believes that the token is as good as new: its clock says 0.
#[test]
fn no_later_connection_puts_the_renewal_off() {
    let mut test = Test::online(player());
    let due = 10_000 + 800_000;
    while test.now < due - 100_000 {
        test.now += 60_000;
        test.machine.disconnected(test.now, None);
        test.reconnect();
        test.receive(&welcome(true, None));
        assert_eq!(test.calls(), [], "at {}", test.now);
    }
    while test.now < due {
        test.pass(999.min(due - test.now));
        test.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    }
    let renewals = test.calls();
    assert_eq!(renewals.len(), 1);
    assert_eq!(renewals[0].1, RefreshTokens::NUMBER);
}

/// The client's clock did not go on while the device slept: of 1,000 s it finds 10 left.
#[test]
fn a_renewal_comes_in_time_after_a_sleep() {
    let mut test = Test::online(player());
    test.machine.disconnected(test.now, None);
    test.reconnect();
    let woken = test.now;
    test.receive(&welcome_at(990_000, true, None));
    while test.now < woken + 8_000 {
        assert_eq!(test.calls(), [], "at {}", test.now);
        test.pass(500);
        test.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    }
    assert_eq!(test.calls().len(), 1);
}

/// Tokens that are over when they come, because a clock is wrong: the server is not asked without pause.
#[test]
fn tokens_that_never_last_are_renewed_once_a_second() {
    let mut test = Test::online(player());
    let (from, mut renewals) = (test.now, 0);
    test.machine.disconnected(test.now, Some(4201));
    test.reconnect();
    test.receive(&welcome(false, Some(Code::TokenExpired)));
    while test.now < from + 20_000 {
        for (call, method) in test.calls().iter().map(|call| (call.0, call.1)) {
            assert_eq!(method, RefreshTokens::NUMBER);
            renewals += 1;
            test.receive(&frame::reply(call, &signed_in(1, renewals, 0)));
        }
        test.pass(100);
        test.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    }
    assert!((15..=23).contains(&renewals), "{renewals}");
}

#[test]
fn logging_out_forgets_tokens_streams_and_waiting_calls() {
    let mut test = Test::with_room(cursor(3, 0));
    test.call(&Logout {}, Some("bye"), None).unwrap();
    let call = test.calls()[0].0;
    test.receive(&frame::reply(call, &Done {}));
    let outputs = test.outputs();
    assert!(outputs.contains(&Output::SignedOut(None)));
    assert_eq!(test.machine.cursors(), Resume::default());
    test.machine.disconnected(test.now, Some(4200));
    test.reconnect();
    assert_eq!(test.said(), [Said::Hello(None)]);
}

#[test]
fn at_most_the_limit_is_on_the_wire_and_the_rest_follows_answers() {
    let mut test = Test::online(player());
    for number in 0..CALLS_IN_FLIGHT_MAX * 2 {
        test.send(&format!("k{number}"));
    }
    let on_wire = test.calls();
    assert!(on_wire.len() <= CALLS_IN_FLIGHT_MAX && on_wire.len() > CALLS_IN_FLIGHT_MAX / 2);
    test.receive(&frame::reply(on_wire[0].0, &sent()));
    let next = test.calls();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].2, Some(format!("k{}", on_wire.len())));
}

#[test]
fn what_can_not_be_held_is_refused_at_once() {
    let mut test = Test::new(player());
    for _ in 0..CALLS_HELD_MAX {
        test.call(&GetAccount {}, None, None).unwrap();
    }
    assert_eq!(
        test.call(&GetAccount {}, None, None),
        Err(Refused::QueueFull)
    );

    let mut test = Test::new(Config::default());
    let large = Echo {
        data: vec![0; 60_000],
    };
    let fitting = CALLS_HELD_BYTES_MAX / codec::encode(&large).len();
    for _ in 0..fitting {
        test.call(&large, None, None).unwrap();
    }
    assert_eq!(test.call(&large, None, None), Err(Refused::QueueFull));

    let huge = Echo {
        data: vec![0; FRAME_BYTES_MAX],
    };
    assert_eq!(test.call(&huge, None, None), Err(Refused::TooLong));
    assert_eq!(test.call(&GetAccount {}, Some(""), None), Err(Refused::Key));
    let unknown = Request {
        method: 9_999,
        ..Request::of(&GetAccount {})
    };
    assert_eq!(test.machine.call(unknown), Err(Refused::Method(9_999)));
    let unfit = Request {
        method: SendMessage::NUMBER,
        ..Request::of(&GetAccount {})
    };
    assert!(matches!(test.machine.call(unfit), Err(Refused::Body(_))));
}

#[test]
fn a_deadline_ends_a_call_wherever_it_waits_and_its_late_answer_is_ignored() {
    let mut test = Test::online(player());
    let deadline = test.now + 500;
    let ticket = test.call(&send("x"), Some("k"), Some(deadline)).unwrap();
    let call = test.calls()[0].0;
    assert_eq!(test.machine.next_timeout(), Some(deadline));
    test.pass(499);
    assert_eq!(test.answers(), []);
    test.pass(1);
    assert_eq!(test.answers(), [(ticket, Err(Code::Deadline))]);
    assert_eq!(test.said(), [Said::Cancel(call)]);
    test.receive(&frame::reply(call, &sent()));
    assert_eq!(test.answers(), []);

    let deadline = test.now + 500;
    test.machine.disconnected(test.now, None);
    let ticket = test.call(&send("x"), Some("k"), Some(deadline)).unwrap();
    test.pass(500);
    assert_eq!(test.answers(), [(ticket, Err(Code::Deadline))]);
}

#[test]
fn a_cancelled_call_has_no_answer() {
    let mut test = Test::online(player());
    let ticket = test.send("k");
    let call = test.calls()[0].0;
    test.machine.cancel(ticket);
    assert_eq!(test.said(), [Said::Cancel(call)]);
    test.fault(call, Fault::of(Code::Cancelled));
    test.machine.cancel(ticket);
    assert_eq!((test.answers(), test.said()), (vec![], vec![]));
    test.machine.disconnected(test.now, None);
    test.reconnect();
    assert_eq!(test.calls(), []);
}

#[test]
fn a_cancelled_join_still_follows_the_room() {
    let mut test = Test::online(player());
    let ticket = test
        .call(&JoinRoom { room: ROOM }, Some("j"), None)
        .unwrap();
    let call = test.calls()[0].0;
    test.machine.cancel(ticket);
    assert_eq!(test.said(), []);
    test.receive(&frame::reply(call, &view(cursor(5, 0))));
    assert_eq!(test.answers(), []);
    test.receive(&message(6));
    assert_eq!(entries(&test.outputs()), [(1, 6)]);
}

#[test]
fn calls_on_the_wire_are_sent_again_in_their_order_under_their_keys() {
    let mut test = Test::online(player());
    test.send("a");
    test.call(&GetAccount {}, None, None).unwrap();
    test.send("b");
    let before: Vec<_> = test.calls().into_iter().map(|call| call.2).collect();
    test.machine.disconnected(test.now, Some(1006));
    assert_eq!(test.answers(), []);
    test.send("c");
    test.reconnect();
    let after: Vec<_> = test.calls().into_iter().map(|call| call.2).collect();
    assert_eq!(after[..3], before[..]);
    assert_eq!(after[3].as_deref(), Some("c"));
}

#[test]
fn a_write_without_a_key_is_not_repeated() {
    let mut test = Test::online(player());
    let ticket = test.call(&send("x"), None, None).unwrap();
    test.machine.disconnected(test.now, Some(1006));
    assert_eq!(test.answers(), [(ticket, Err(Code::Disconnected))]);
    test.reconnect();
    assert_eq!(test.calls(), []);
}

#[test]
fn what_is_for_the_moment_does_not_wait_for_a_connection_and_is_not_repeated() {
    let wave = || SendEphemeral {
        room: ROOM,
        text: "o/".into(),
    };
    let mut test = Test::online(player());
    let read = test.call(&GetAccount {}, None, None).unwrap();
    let on_wire = test.call(&wave(), None, None).unwrap();
    let typing = test.call(&Typing { room: ROOM }, None, None).unwrap();
    let methods: Vec<u16> = test.calls().into_iter().map(|call| call.1).collect();
    assert_eq!(
        methods,
        [GetAccount::NUMBER, SendEphemeral::NUMBER, Typing::NUMBER]
    );
    test.machine.disconnected(test.now, Some(1006));
    assert_eq!(
        test.answers(),
        [
            (on_wire, Err(Code::Disconnected)),
            (typing, Err(Code::Disconnected))
        ]
    );
    let offline = test.call(&wave(), None, None).unwrap();
    assert_eq!(test.answers(), [(offline, Err(Code::Disconnected))]);
    assert!(read < offline);
    test.reconnect();
    let methods: Vec<u16> = test.calls().into_iter().map(|call| call.1).collect();
    assert_eq!(methods, [GetAccount::NUMBER]);
}

#[test]
fn a_rate_limited_send_is_repeated_and_later_ones_of_its_room_stay_behind() {
    let mut test = Test::online(player());
    test.send("a");
    let first = test.calls()[0].0;
    test.fault(first, Fault::of(Code::RateLimited).retry_after_ms(300));
    test.send("b");
    test.send("c");
    test.call(&GetAccount {}, None, None).unwrap();
    let calls = test.calls();
    assert_eq!(calls.len(), 1, "only the call that is no send goes");
    assert_eq!(calls[0].1, GetAccount::NUMBER);
    test.pass(299);
    assert_eq!(test.calls(), []);
    test.pass(80);
    let again = test.calls();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].2.as_deref(), Some("a"));
    test.receive(&frame::reply(again[0].0, &sent()));
    let rest: Vec<_> = test.calls().into_iter().filter_map(|call| call.2).collect();
    assert_eq!(rest, ["b", "c"]);
}

#[test]
fn a_refusal_that_outlasts_the_deadline_is_handed_up_and_so_are_other_faults() {
    let mut test = Test::online(player());
    let deadline = test.now + 1_000;
    let ticket = test.call(&send("x"), Some("a"), Some(deadline)).unwrap();
    let call = test.calls()[0].0;
    test.fault(call, Fault::of(Code::RateLimited).retry_after_ms(1_000));
    assert_eq!(test.answers(), [(ticket, Err(Code::RateLimited))]);
    for code in [Code::SlowMode, Code::StorageUnavailable, Code::Forbidden] {
        let ticket = test.send("b");
        let call = test.calls()[0].0;
        test.fault(call, Fault::of(code).retry_after_ms(1));
        assert_eq!(test.answers(), [(ticket, Err(code))]);
    }
}

#[test]
fn a_second_answer_changes_nothing() {
    let mut test = Test::online(player());
    test.send("a");
    let call = test.calls()[0].0;
    test.receive(&frame::reply(call, &sent()));
    test.receive(&frame::reply(call, &sent()));
    test.fault(call, Fault::of(Code::Internal));
    assert_eq!(test.answers().len(), 1);
}

#[test]
fn an_opened_room_begins_after_the_view_and_drops_what_came_before() {
    let mut test = Test::online(player());
    test.call(&JoinRoom { room: ROOM }, Some("j"), None)
        .unwrap();
    let call = test.calls()[0].0;
    let mut together = frame::reply(call, &view(cursor(5, 2)));
    for frame in [message(5), message(6), change(2), change(3), message(6)] {
        together.extend(frame);
    }
    test.receive(&together);
    let outputs = test.outputs();
    assert!(matches!(outputs[0], Output::Answer { result: Ok(_), .. }));
    assert_eq!(entries(&outputs), [(1, 6), (4, 3)]);
}

#[test]
fn a_hole_opens_the_room_again_from_the_cursor() {
    let mut test = Test::with_room(cursor(5, 2));
    for frame in [message(6), message(8), message(9), change(3)] {
        test.receive(&frame);
    }
    let outputs = test.outputs();
    assert_eq!(entries(&outputs), [(1, 6)]);
    assert_eq!(test.machine.stats().holes, 1);
    let stream = Stream::Room(ROOM);
    let why = format!("something is missing in {stream}: after seq 6 and rev 2 came seq 8");
    assert!(outputs.contains(&Output::Mismatch { why }), "{outputs:?}");
    assert_eq!(test.machine.connection(), Connection::CatchingUp);
    let said = test.said();
    let [Said::Call(call, OpenRoom::NUMBER, None, body, None)] = &said[..] else {
        panic!("{said:?}");
    };
    let open: OpenRoom = codec::decode(body).unwrap();
    assert_eq!((open.seq, open.rev), (Some(6), Some(2)));
    test.receive(&frame::reply(*call, &view(cursor(9, 3))));
    for frame in [
        message(7),
        message(8),
        message(9),
        change(3),
        position(9, 3, true),
    ] {
        test.receive(&frame);
    }
    assert_eq!(entries(&test.outputs()), [(1, 7), (1, 8), (1, 9), (4, 3)]);
    assert_eq!(test.machine.connection(), Connection::Online);
}

#[test]
fn a_position_beyond_the_cursor_is_a_hole_too() {
    let mut test = Test::with_room(cursor(5, 2));
    test.receive(&position(5, 3, true));
    assert_eq!(test.calls()[0].1, OpenRoom::NUMBER);
}

#[test]
fn a_server_that_leaves_the_same_hole_again_loses_the_connection() {
    let mut test = Test::with_room(cursor(5, 2));
    test.receive(&message(7));
    let call = test.calls()[0].0;
    test.receive(&frame::reply(call, &view(cursor(7, 2))));
    test.receive(&message(7));
    assert!(test.outputs().contains(&Output::Close(4300)));
    assert!(matches!(
        test.machine.connection(),
        Connection::Offline { retry_at: Some(_) }
    ));
}

#[test]
fn a_gap_moves_the_cursor_and_is_handed_up() {
    let mut test = Test::with_room(cursor(5, 2));
    let gap = |missing, from, to| {
        ServerFrame::Gap {
            stream: Stream::Room(ROOM),
            missing,
            from,
            to,
        }
        .encode()
    };
    test.receive(&gap(Missing::Messages, 6, 20));
    test.receive(&gap(Missing::Messages, 6, 20));
    test.receive(&gap(Missing::Changes, 3, 4));
    test.receive(&message(21));
    test.receive(&change(5));
    let outputs = test.outputs();
    let gaps = outputs
        .iter()
        .filter(|output| matches!(output, Output::Gap { .. }));
    assert_eq!(gaps.count(), 2);
    assert_eq!(entries(&outputs), [(1, 21), (4, 5)]);
    assert_eq!(test.machine.stats().holes, 0);
}

#[test]
fn a_page_is_acknowledged_and_a_live_position_is_not() {
    let mut test = Test::with_room(cursor(5, 2));
    test.receive(&message(6));
    test.receive(&position(6, 2, false));
    assert_eq!(test.machine.connection(), Connection::CatchingUp);
    assert_eq!(test.said(), [Said::Ack(Stream::Room(ROOM), 6, 2)]);
    test.receive(&position(6, 2, true));
    assert_eq!(test.said(), []);
    assert_eq!(test.machine.connection(), Connection::Online);
}

#[test]
fn a_cursor_ahead_of_the_server_is_told_and_moved_back() {
    let mut config = player();
    config.resume.rooms = vec![RoomCursor {
        room: ROOM,
        seq: 9,
        rev: 4,
    }];
    let mut test = Test::new(config);
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(true, None));
    test.receive(&frame::reply(1, &resumed(cursor(6, 4))));
    assert!(test.outputs().contains(&Output::Gap {
        stream: Stream::Room(ROOM),
        missing: Missing::Messages,
        from: 7,
        to: 9,
    }));
    test.receive(&message(7));
    assert_eq!(entries(&test.outputs()), [(1, 7)]);
}

#[test]
fn a_room_that_can_not_be_resumed_is_told() {
    let mut test = Test::with_room(cursor(5, 2));
    test.machine.disconnected(test.now, None);
    test.reconnect();
    test.receive(&welcome(true, None));
    let mut lost = resumed(cursor(5, 2));
    lost.rooms[0].view = None;
    lost.rooms[0].fault = Some(Fault::of(Code::NotAMember));
    test.receive(&frame::reply(1, &lost));
    assert!(test.outputs().contains(&Output::StreamLost {
        stream: Stream::Room(ROOM),
        fault: Fault::of(Code::NotAMember),
    }));
    assert_eq!(test.machine.cursors(), Resume::default());
}

#[test]
fn a_room_that_is_unavailable_for_a_while_is_opened_later() {
    let mut test = Test::with_room(cursor(5, 2));
    test.machine.disconnected(test.now, None);
    test.reconnect();
    test.receive(&welcome(true, None));
    let mut later = resumed(cursor(5, 2));
    later.rooms[0].view = None;
    later.rooms[0].fault = Some(Fault::of(Code::Unavailable).retry_after_ms(200));
    test.said();
    test.receive(&frame::reply(1, &later));
    assert_eq!(test.calls(), []);
    test.pass(200);
    assert_eq!(test.calls()[0].1, OpenRoom::NUMBER);
}

#[test]
fn closed_and_lost_rooms_are_not_followed_any_more() {
    let mut test = Test::with_room(cursor(5, 2));
    test.call(&CloseRoom { room: ROOM }, None, None).unwrap();
    let call = test.calls()[0].0;
    test.receive(&message(6));
    test.receive(&frame::reply(call, &Done {}));
    test.receive(&message(7));
    assert_eq!(entries(&test.outputs()), [(1, 6)]);
    assert_eq!(test.machine.cursors(), Resume::default());

    let mut test = Test::with_room(cursor(5, 2));
    test.receive(&frame::event(&RoomLost {
        room: ROOM,
        reason: LostReason::Kicked,
    }));
    assert_eq!(test.machine.cursors(), Resume::default());
    assert!(matches!(
        test.outputs()[..],
        [Output::Event {
            event: RoomLost::NUMBER,
            ..
        }]
    ));
}

#[test]
fn a_repeated_join_opens_the_room_from_its_stored_reply() {
    let mut test = Test::online(player());
    test.call(&JoinRoom { room: ROOM }, Some("j"), None)
        .unwrap();
    test.machine.disconnected(test.now, Some(1006));
    test.reconnect();
    test.receive(&welcome(true, None));
    let call = test.calls()[0].0;
    test.receive(&frame::reply(call, &view(cursor(5, 2))));
    let said = test.said();
    let [Said::Call(_, OpenRoom::NUMBER, None, body, None)] = &said[..] else {
        panic!("{said:?}");
    };
    let open: OpenRoom = codec::decode(body).unwrap();
    assert_eq!((open.seq, open.rev), (Some(5), Some(2)));
}

#[test]
fn while_paused_entries_wait_at_the_server_and_answers_come() {
    let mut test = Test::with_room(cursor(5, 2));
    test.machine.pause(true);
    test.send("a");
    let call = test.calls()[0].0;
    test.receive(&message(6));
    test.receive(&message(7));
    test.receive(&frame::reply(call, &sent()));
    let outputs = test.outputs();
    assert_eq!(entries(&outputs), []);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Answer { .. }))
    );
    assert_eq!(test.calls(), []);
    test.machine.pause(false);
    let said = test.said();
    let [Said::Call(call, OpenRoom::NUMBER, None, ..)] = &said[..] else {
        panic!("{said:?}");
    };
    test.receive(&frame::reply(*call, &view(cursor(7, 2))));
    test.receive(&message(6));
    test.receive(&message(7));
    assert_eq!(entries(&test.outputs()), [(1, 6), (1, 7)]);
    assert_eq!(
        (test.machine.stats().holes, test.machine.stats().cuts),
        (0, 1)
    );
}

#[test]
fn pings_are_answered_and_silence_ends_the_connection() {
    let mut test = Test::online(player());
    test.pass(1_500);
    test.receive(&ServerFrame::Ping { nonce: 77, now: 0 }.encode());
    assert_eq!(test.said(), [Said::Pong(77)]);
    test.pass(1_999);
    assert_eq!(test.machine.connection(), Connection::Online);
    test.pass(1);
    assert!(test.outputs().contains(&Output::Close(4100)));
    test.reconnect();
}

#[test]
fn a_welcome_that_does_not_come_ends_the_attempt() {
    let mut test = Test::new(player());
    test.machine.start(test.now);
    test.pass(9_999);
    assert_eq!(test.machine.connection(), Connection::Connecting);
    test.pass(1);
    assert!(matches!(
        test.machine.connection(),
        Connection::Offline { .. }
    ));
    assert!(test.outputs().contains(&Output::Close(4102)));
}

#[test]
fn close_codes_decide_whether_and_when_to_come_back() {
    let wait = |code: Option<u16>, lasted: u64| {
        let mut test = Test::online(player());
        test.now += lasted;
        test.machine.disconnected(test.now, code);
        match test.machine.connection() {
            Connection::Offline { retry_at: Some(at) } => Ok(at - test.now),
            Connection::Stopped { code } => Err(code),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(wait(Some(4000), 6_000), Ok(0));
    assert!(wait(Some(4000), 10).unwrap() <= 250);
    assert!(wait(Some(1006), 10).unwrap() <= 250);
    assert!(wait(None, 10).unwrap() <= 250);
    assert!(wait(Some(4201), 10).unwrap() <= 250);
    assert_eq!(wait(Some(4300), 10), Err(Some(4300)));
    assert_eq!(wait(Some(1008), 10), Err(Some(1008)));
}

#[test]
fn waits_grow_while_nothing_lasts_and_begin_anew_after_something_did() {
    let mut test = Test::new(player());
    test.machine.start(test.now);
    let mut longest = 0;
    for _ in 0..12 {
        test.machine.disconnected(test.now, None);
        let Connection::Offline { retry_at: Some(at) } = test.machine.connection() else {
            panic!("it must try again");
        };
        longest = longest.max(at - test.now);
        assert!(at - test.now <= 20_000);
        test.now = at;
        test.machine.tick(at);
    }
    assert!(longest > 2_000, "{longest}");
    test.machine.connected(test.now);
    test.receive(&welcome(true, None));
    test.now += 5_000;
    test.machine.disconnected(test.now, Some(1006));
    let Connection::Offline { retry_at: Some(at) } = test.machine.connection() else {
        panic!("it must try again");
    };
    assert!(at - test.now <= 250);
}

#[test]
fn a_goaway_spreads_the_return_or_forbids_it() {
    let goaway = |reconnect| {
        ServerFrame::Goaway(Goaway {
            reason: GoawayReason::Shutdown,
            reconnect,
            within_ms: 60_000,
        })
        .encode()
    };
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut machine = ClientConnection::new(player(), seed);
        machine.start(0);
        machine.connected(0);
        machine.received(0, &Bytes::from(welcome(true, None)));
        machine.received(0, &Bytes::from(goaway(true)));
        machine.disconnected(0, Some(4000));
        let Connection::Offline { retry_at: Some(at) } = machine.connection() else {
            panic!("it must try again");
        };
        waits.push(at);
    }
    assert!(waits.iter().all(|wait| *wait <= 60_000));
    assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 20_000);

    let mut test = Test::online(player());
    let ticket = test.send("a");
    test.receive(&goaway(false));
    test.machine.disconnected(test.now, Some(4000));
    assert_eq!(
        test.machine.connection(),
        Connection::Stopped { code: Some(4000) }
    );
    assert_eq!(test.answers(), [(ticket, Err(Code::Disconnected))]);
    assert_eq!(test.call(&GetAccount {}, None, None), Err(Refused::Stopped));
}

#[test]
fn a_session_that_ended_elsewhere_renews_its_tokens_or_signs_out() {
    let mut test = Test::online(player());
    test.machine.disconnected(test.now, Some(4200));
    test.reconnect();
    let said = test.said();
    assert_eq!(said[0], Said::Hello(None));
    assert!(matches!(
        &said[1],
        Said::Call(_, RefreshTokens::NUMBER, Some(_), _, None)
    ));

    let mut config = player();
    config.tokens.refresh = None;
    let mut test = Test::online(config);
    test.machine.disconnected(test.now, Some(4200));
    assert!(
        test.outputs()
            .iter()
            .any(|output| matches!(output, Output::SignedOut(Some(_))))
    );
}

#[test]
fn another_player_begins_with_streams_of_their_own() {
    let mut test = Test::with_room(cursor(5, 2));
    let login = LoginGuest {
        secret: "s".repeat(16),
        name: None,
        device: None,
    };
    test.call(&login, Some("login"), None).unwrap();
    let call = test.calls()[0].0;
    test.receive(&frame::reply(call, &signed_in(2, 9, 1_000_000)));
    assert_eq!(test.machine.cursors(), Resume::default());
}

#[test]
fn what_is_not_the_protocol_ends_the_connection_and_it_comes_back() {
    let broken: [(&str, Vec<u8>); 4] = [
        ("not MessagePack", vec![0xc1]),
        ("a cut frame", message(6)[..20].to_vec()),
        ("a second welcome", welcome(true, None)),
        (
            "a frame of the other side",
            ClientFrame::Pong { nonce: 1 }.encode(),
        ),
    ];
    for (what, bytes) in broken {
        let mut test = Test::with_room(cursor(5, 2));
        test.receive(&bytes);
        assert!(test.outputs().contains(&Output::Close(4300)), "{what}");
        test.reconnect();
    }
    let mut early = Test::new(player());
    early.machine.start(early.now);
    early.machine.connected(early.now);
    early.receive(&message(1));
    assert!(early.outputs().contains(&Output::Close(4300)));
}

#[test]
fn inputs_at_the_wrong_time_are_harmless() {
    let mut test = Test::new(player());
    test.receive(&welcome(true, None));
    test.machine.connected(test.now);
    test.machine.disconnected(test.now, Some(4300));
    test.machine.tick(0);
    test.machine.retry_now(test.now);
    assert_eq!(
        test.machine.connection(),
        Connection::Offline { retry_at: None }
    );
    test.machine.start(test.now);
    test.machine.start(test.now);
    let connects = test
        .outputs()
        .into_iter()
        .filter(|output| *output == Output::Connect);
    assert_eq!(connects.count(), 1);
    test.machine.stop();
    test.machine.stop();
    assert_eq!(
        test.machine.connection(),
        Connection::Stopped { code: None }
    );
    test.machine.start(test.now);
    assert!(test.outputs().contains(&Output::Connect));
}

/// Signing in anew resumes the room although its close has taken effect, and the application opens it once more: the
/// machine's own close, which undoes the resume, must not undo that.
#[test]
fn a_room_opened_while_the_machine_closes_it_stays_open() {
    let mut test = Test::with_room(cursor(5, 2));
    test.call(&CloseRoom { room: ROOM }, None, None).unwrap();
    let close = test.calls()[0].0;
    test.machine.disconnected(test.now, Some(1006));
    test.reconnect();
    let on_wire = test.calls();
    let (resume, close_again) = (on_wire[0].0, on_wire[1].0);
    assert_eq!(on_wire[1].1, CloseRoom::NUMBER, "{close}");
    test.receive(&welcome(true, None));
    test.receive(&frame::reply(close_again, &Done {}));
    test.call(&JoinRoom { room: ROOM }, Some("j"), None)
        .unwrap();
    let join = test.calls()[0].0;
    test.receive(&frame::reply(resume, &resumed(cursor(5, 2))));
    assert_eq!(test.calls()[0].1, CloseRoom::NUMBER);
    test.receive(&frame::reply(join, &view(cursor(7, 2))));
    let open = test.calls();
    assert_eq!(open[0].1, OpenRoom::NUMBER);
    test.receive(&frame::reply(open[0].0, &view(cursor(7, 2))));
    test.receive(&message(8));
    assert_eq!(entries(&test.outputs()), [(1, 8)]);
}

#[test]
fn a_repeated_open_still_begins_where_it_was_asked_to() {
    let mut test = Test::online(player());
    let open = OpenRoom {
        room: ROOM,
        seq: Some(3),
        rev: Some(1),
    };
    test.call(&open, None, None).unwrap();
    test.machine.disconnected(test.now, Some(1006));
    test.reconnect();
    test.receive(&welcome(true, None));
    let call = test.calls()[0].0;
    test.receive(&frame::reply(call, &view(cursor(5, 2))));
    for frame in [message(4), message(5), change(2)] {
        test.receive(&frame);
    }
    assert_eq!(entries(&test.outputs()), [(1, 4), (1, 5), (4, 2)]);
}

/// A call of any method, with each field that the client reads of a request.
fn any_call(method: &MethodInfo, key: Option<&str>) -> Request {
    #[derive(Serialize)]
    struct Any {
        room: RoomId,
        board: &'static str,
        access: &'static str,
        status: Status,
        seq: u64,
        rev: u64,
    }
    Request {
        method: method.number,
        body: codec::encode(&Any {
            room: ROOM,
            board: "weekly",
            access: "access 2",
            status: Status::Away,
            seq: 3,
            rev: 1,
        }),
        key: key.map(str::to_owned),
        key_is_new: false,
        deadline: None,
    }
}

#[test]
fn exactly_what_the_table_calls_momentary_does_not_wait_for_a_connection() {
    for method in METHODS {
        let mut test = Test::new(player());
        let ticket = test.machine.call(any_call(method, Some("a"))).unwrap();
        let ended = test.answers() == [(ticket, Err(Code::Disconnected))];
        assert_eq!(ended, method.momentary, "{}", method.name);
    }
}

#[test]
fn exactly_what_the_table_puts_in_order_stays_behind_a_refused_call_of_its_room() {
    for method in METHODS {
        let mut test = Test::online(player());
        test.machine.call(any_call(method, Some("a"))).unwrap();
        let first = test.calls()[0].0;
        test.fault(first, Fault::of(Code::RateLimited).retry_after_ms(300));
        test.machine.call(any_call(method, Some("b"))).unwrap();
        let waits = test.calls().is_empty();
        assert_eq!(waits, method.order == Some(Order::Room), "{}", method.name);
    }
}

#[test]
fn a_reply_changes_what_the_table_says_and_nothing_else() {
    let other = RoomId::from_bytes([8; 10]);
    let mut opened = view(cursor(9, 9));
    opened.info.room = other;
    for method in METHODS {
        let mut test = Test::with_room(cursor(5, 2));
        test.machine.call(any_call(method, Some("a"))).unwrap();
        let number = test.calls()[0].0;
        test.receive(&match method.changes {
            Change::SignsIn => frame::reply(number, &signed_in(1, 3, 1_000_000)),
            Change::Authenticates => frame::reply(number, &identity(1, 1_000_000)),
            Change::Opens => frame::reply(number, &opened),
            _ => frame::reply(number, &Done {}),
        });
        let tokens: Vec<Tokens> = test
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Tokens(tokens) => Some(tokens),
                _ => None,
            })
            .collect();
        let tokens = tokens.last().map(|tokens| tokens.access.as_deref());
        let rooms: Vec<(RoomId, u64, u64)> = (test.machine.cursors().rooms.iter())
            .map(|room| (room.room, room.seq, room.rev))
            .collect();
        let kept = (ROOM, 5, 2);
        let expected = match method.changes {
            Change::SignsIn => (Some(Some("access 3")), vec![kept]),
            Change::Authenticates => (Some(Some("access 2")), vec![kept]),
            Change::SignsOut => (Some(None), vec![]),
            Change::Opens => (None, vec![(other, 3, 1), kept]),
            Change::Closes => (None, vec![]),
            Change::Nothing | Change::EndsSession | Change::Resumes | Change::SetsPresence => {
                (None, vec![kept])
            }
        };
        assert_eq!((tokens, rooms), expected, "{}", method.name);
    }
}

#[test]
fn an_event_moves_the_cursor_that_the_table_says_and_comes_once_if_it_is_an_entry() {
    #[derive(Serialize)]
    struct Numbered {
        seq: u64,
    }
    #[derive(Serialize)]
    struct Any {
        room: RoomId,
        seq: u64,
        rev: u64,
        msg: Numbered,
    }
    let body = codec::encode(&Any {
        room: ROOM,
        seq: 1,
        rev: 3,
        msg: Numbered { seq: 6 },
    });
    // The machine reads these two itself: they need a body of their own.
    let own = [StreamPosition::NUMBER, RoomLost::NUMBER];
    for event in EVENTS.iter().filter(|event| !own.contains(&event.number)) {
        let mut config = player();
        config.resume.inbox = Some(0);
        config.resume.rooms = vec![RoomCursor {
            room: ROOM,
            seq: 5,
            rev: 2,
        }];
        let mut test = Test::new(config);
        test.machine.start(test.now);
        test.machine.connected(test.now);
        test.receive(&welcome(true, None));
        test.receive(&frame::reply(1, &resumed(cursor(5, 2))));
        test.outputs();
        let frame = ServerFrame::Event {
            event: event.number,
            body: &body,
        };
        test.receive(&frame.encode());
        test.receive(&frame.encode());
        let outputs = test.outputs();
        let events = outputs
            .iter()
            .filter(|output| matches!(output, Output::Event { .. }));
        let cursors = test.machine.cursors();
        let room = &cursors.rooms[0];
        let stands = (events.count(), room.seq, room.rev, cursors.inbox);
        let expected = match event.entry {
            Some(Entry::RoomMessage) => (1, 6, 2, Some(0)),
            Some(Entry::RoomChange) => (1, 5, 3, Some(0)),
            Some(Entry::Inbox) => (1, 5, 2, Some(1)),
            None => (2, 5, 2, Some(0)),
        };
        assert_eq!(stands, expected, "{}", event.name);
    }
}

#[test]
fn a_first_attempt_says_what_the_server_had_told_of_its_room() {
    let mut test = Test::with_room(cursor(5, 2));
    let (call, head) = test.first(&send("after the view"));
    assert_eq!(head, Some(5));
    test.receive(&frame::reply(call, &Sent { seq: 6, at: 0 }));
    assert_eq!(test.first(&send("after a reply")).1, Some(6));
    test.receive(&message(6));
    test.receive(&message(7));
    assert_eq!(test.first(&send("after a message")).1, Some(7));
    test.receive(&change(3));
    assert_eq!(test.first(&send("after a change")).1, Some(7));
    let page = StreamPosition {
        stream: ROOM.to_string(),
        seq: 7,
        rev: 3,
        head: 40,
        live: false,
    };
    test.receive(&frame::event(&page));
    assert_eq!(test.first(&send("after a page")).1, Some(40));
    let gap = |missing, from, to| ServerFrame::Gap {
        stream: Stream::Room(ROOM),
        missing,
        from,
        to,
    };
    test.receive(&gap(Missing::Messages, 8, 41).encode());
    assert_eq!(test.first(&send("after a gap")).1, Some(41));
    test.receive(&gap(Missing::Changes, 4, 90).encode());
    assert_eq!(test.first(&send("after a gap of changes")).1, Some(41));

    let read = ReadHistory {
        room: ROOM,
        from: None,
        limit: None,
    };
    test.call(&read, None, None).unwrap();
    let call = test.calls()[0].0;
    let history = History {
        messages: Vec::new(),
        first: 1,
        head: 50,
        rev: 9,
    };
    test.receive(&frame::reply(call, &history));
    assert_eq!(test.first(&send("after history")).1, Some(50));

    test.machine.pause(true);
    test.receive(&message(51));
    assert_eq!(test.first(&send("of a message held back")).1, Some(51));
    test.receive(&message(49));
    assert_eq!(test.first(&send("after an old message")).1, Some(51));
}

#[test]
fn a_repetition_says_nothing_of_what_was_seen() {
    let mut test = Test::with_room(cursor(5, 2));
    let (call, head) = test.first(&send("a"));
    assert_eq!(head, Some(5));
    let mut number = call;
    for code in [Code::RateLimited, Code::Overloaded] {
        test.fault(number, Fault::of(code).retry_after_ms(0));
        test.pass(10);
        let again = test.attempts();
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].1.as_str(), again[0].2), ("drawn 1", None));
        number = again[0].0;
    }
    test.machine.disconnected(test.now, Some(1006));
    test.reconnect();
    let again = test.attempts();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].1.as_str(), again[0].2), ("drawn 1", None));

    let mut test = Test::with_room(cursor(5, 2));
    let (call, _) = test.first(&send("a"));
    test.fault(call, Fault::of(Code::Unauthenticated));
    let refresh = test.calls()[0].0;
    test.receive(&frame::reply(refresh, &signed_in(1, 2, 1_000_000)));
    let again = test.attempts();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].1.as_str(), again[0].2), ("drawn 1", None));
}

#[test]
fn a_call_that_waited_for_a_connection_is_a_first_attempt_as_of_its_making() {
    let mut test = Test::with_room(cursor(5, 2));
    test.machine.disconnected(test.now, Some(1006));
    test.machine.call(drawn(&send("offline"), 1)).unwrap();
    test.reconnect();
    let attempts = test.attempts();
    assert_eq!(attempts, [(2, "drawn 1".to_owned(), Some(5))]);

    let mut test = Test::with_room(cursor(5, 2));
    for number in 0..CALLS_IN_FLIGHT_MAX {
        test.send(&format!("k{number}"));
    }
    let on_wire = test.calls();
    assert!(on_wire.len() < CALLS_IN_FLIGHT_MAX);
    test.machine.call(drawn(&send("behind"), 1)).unwrap();
    for seq in 6..20 {
        test.receive(&message(seq));
    }
    for (call, ..) in on_wire {
        test.receive(&frame::reply(call, &Sent { seq: 19, at: 0 }));
    }
    let attempts = test.attempts();
    let behind = attempts.iter().find(|(_, key, _)| key == "drawn 1");
    assert_eq!(behind.map(|(.., head)| *head), Some(Some(5)));
    assert_eq!(test.first(&send("now")).1, Some(19));
}

#[test]
fn nothing_is_said_of_a_room_that_is_not_followed() {
    let mut test = Test::online(player());
    assert_eq!(test.first(&send("nowhere")).1, None);

    let mut test = Test::with_room(cursor(5, 2));
    test.call(&CloseRoom { room: ROOM }, None, None).unwrap();
    let close = test.calls()[0].0;
    test.receive(&frame::reply(close, &Done {}));
    assert_eq!(test.first(&send("closed")).1, None);
    test.receive(&message(6));
    assert_eq!(test.first(&send("closed")).1, None);
    test.call(&JoinRoom { room: ROOM }, Some("j"), None)
        .unwrap();
    let join = test.calls()[0].0;
    test.receive(&frame::reply(join, &view(cursor(8, 2))));
    assert_eq!(test.first(&send("joined")).1, Some(8));

    test.receive(&frame::event(&RoomLost {
        room: ROOM,
        reason: LostReason::Kicked,
    }));
    assert_eq!(test.first(&send("kicked")).1, None);

    let mut test = Test::with_room(cursor(5, 2));
    test.machine.disconnected(test.now, None);
    test.reconnect();
    test.receive(&welcome(true, None));
    let mut lost = resumed(cursor(5, 2));
    lost.rooms[0].view = None;
    lost.rooms[0].fault = Some(Fault::of(Code::NotAMember));
    test.receive(&frame::reply(1, &lost));
    test.said();
    assert_eq!(test.first(&send("put out")).1, None);
}

#[test]
fn what_the_application_kept_counts_once_the_server_has_told_it() {
    let mut config = player();
    config.resume.rooms = vec![RoomCursor {
        room: ROOM,
        seq: 9,
        rev: 4,
    }];
    let mut test = Test::new(config);
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(true, None));
    test.said();
    assert_eq!(test.first(&send("early")).1, None);
    test.receive(&frame::reply(1, &resumed(cursor(6, 4))));
    assert_eq!(test.first(&send("resumed")).1, Some(6));
}

#[test]
fn what_a_server_has_forgotten_was_not_seen() {
    let mut test = Test::with_room(cursor(5, 2));
    let page = StreamPosition {
        stream: ROOM.to_string(),
        seq: 5,
        rev: 2,
        head: 40,
        live: false,
    };
    test.receive(&frame::event(&page));
    test.machine.disconnected(test.now, Some(1006));
    test.reconnect();
    test.receive(&welcome(true, None));
    test.said();
    test.receive(&frame::reply(1, &resumed(cursor(7, 2))));
    assert_eq!(test.first(&send("anew")).1, Some(7));
}

#[test]
fn exactly_writes_at_a_room_under_a_key_of_their_own_say_what_was_seen() {
    for method in METHODS {
        for (key, key_is_new) in [(Some("a"), true), (Some("a"), false), (None, true)] {
            let mut test = Test::with_room(cursor(5, 2));
            let call = Request {
                key_is_new,
                ..any_call(method, key)
            };
            test.machine.call(call).unwrap();
            let said = test.said();
            let [Said::Call(.., head)] = &said[..] else {
                panic!("{said:?}");
            };
            let tells = key.is_some()
                && key_is_new
                && method.place == Place::Room
                && method.effect == Effect::Writes;
            assert_eq!(*head, tells.then_some(5), "{} {key:?}", method.name);
        }
    }
}
