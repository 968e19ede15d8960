//! Frames and bodies under generated values, cuts, flipped bits and lies about lengths.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{ClientFrame, Cursor, InvalidFrame, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::limits::{FRAME_BYTES_MAX, KEY_BYTES_MAX, NESTING_MAX};
use pitturu_protocol::scan::{Malformed, Scanner};
use pitturu_protocol::types::accounts::{Identity, Role};
use pitturu_protocol::types::chat::{Message, MessageSent, SendMessage};
use pitturu_protocol::types::system::{Goaway, GoawayReason, Hello, Limits, Welcome};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const INTEGER_MAX: u64 = (1 << 53) - 1;

fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(127),
        Just(128),
        Just(255),
        Just(256),
        Just(65_536),
        Just(1 << 32),
        Just(INTEGER_MAX),
        0..=INTEGER_MAX
    ]
}

fn room() -> impl Strategy<Value = RoomId> {
    any::<[u8; 10]>().prop_map(RoomId::from_bytes)
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![Just(Stream::Inbox), room().prop_map(Stream::Room)]
}

/// Any text, with what breaks naive code among it: Korean, joined emoji, combining marks, zero bytes, right-to-left.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("안녕하세요 👩‍👩‍👧‍👦 e\u{301}\u{0}\u{202e}".to_owned()),
        ".{0,300}"
    ]
}

fn send_message() -> impl Strategy<Value = SendMessage> {
    (
        room(),
        text(),
        option::of(vec(any::<u8>(), 0..300)),
        option::of(integer()),
    )
        .prop_map(|(room, text, data, reply_to)| SendMessage {
            room,
            text,
            data,
            reply_to,
        })
}

fn message_sent() -> impl Strategy<Value = MessageSent> {
    (
        send_message(),
        integer(),
        integer(),
        any::<[u8; 10]>(),
        text(),
    )
        .prop_map(|(send, seq, at, from, name)| MessageSent {
            room: send.room,
            msg: Message {
                seq,
                from: UserId::from_bytes(from),
                name,
                text: send.text,
                at,
                data: send.data,
                reply_to: send.reply_to,
                edited_at: None,
                deleted_by: None,
                reactions: Vec::new(),
            },
        })
}

/// Encodes a client frame of every kind and hands it to `check`.
#[derive(Clone, Debug)]
enum Client {
    Hello(String, Option<String>),
    Call(u32, u16, SendMessage, Option<(String, Option<u64>)>),
    Cancel(u32),
    Ack(Stream, u64, u64),
    Pong(u32),
    Input(RoomId, u64, Vec<u8>),
}

impl Client {
    fn bytes(&self) -> Vec<u8> {
        let body;
        let frame = match self {
            Self::Hello(sdk, token) => ClientFrame::Hello(Hello {
                v: 1,
                sdk: sdk.clone(),
                token: token.clone(),
                presence: None,
            }),
            Self::Call(call, method, request, key) => {
                body = codec::encode(request);
                ClientFrame::Call {
                    call: *call,
                    method: *method,
                    body: &body,
                    key: key.as_ref().map(|(key, _)| key.as_str()),
                    head: key.as_ref().and_then(|(_, head)| *head),
                }
            }
            Self::Cancel(call) => ClientFrame::Cancel { call: *call },
            Self::Ack(stream, seq, rev) => ClientFrame::Ack {
                stream: *stream,
                cursor: Cursor {
                    seq: *seq,
                    rev: *rev,
                },
            },
            Self::Pong(nonce) => ClientFrame::Pong { nonce: *nonce },
            Self::Input(room, seq, data) => ClientFrame::Input {
                room: *room,
                seq: *seq,
                data,
            },
        };
        let bytes = frame.encode();
        let (read, rest) = ClientFrame::read(&bytes).unwrap();
        assert_eq!((read, rest), (frame, &[][..]));
        if let Self::Call(_, _, request, _) = self {
            let ClientFrame::Call { body, .. } = ClientFrame::read(&bytes).unwrap().0 else {
                panic!("a call became something else");
            };
            assert_eq!(&codec::decode::<SendMessage>(body).unwrap(), request);
        }
        bytes
    }
}

/// In a box: without optimisation, two of them at once fill the stack of a test.
fn client() -> BoxedStrategy<Client> {
    let key = option::of(("[a-z0-9]{1,64}", option::of(integer())));
    prop_oneof![
        (text(), option::of(text())).prop_map(|(sdk, token)| Client::Hello(sdk, token)),
        (any::<u32>(), any::<u16>(), send_message(), key)
            .prop_map(|(call, method, request, key)| Client::Call(call, method, request, key)),
        any::<u32>().prop_map(Client::Cancel),
        (stream(), integer(), integer())
            .prop_map(|(stream, seq, rev)| Client::Ack(stream, seq, rev)),
        any::<u32>().prop_map(Client::Pong),
        (room(), integer(), vec(any::<u8>(), 0..300))
            .prop_map(|(room, seq, data)| Client::Input(room, seq, data)),
    ]
    .boxed()
}

#[derive(Clone, Debug)]
enum Server {
    Welcome(u64, Option<u64>, Option<String>),
    Reply(u32, MessageSent),
    Fault(u32, u16, String, Option<u64>),
    Event(u16, MessageSent),
    State(RoomId, u64, Vec<u8>),
    Ping(u32, u64),
    Goaway(bool, u64),
    Gap(Stream, bool, u64, u64),
}

impl Server {
    fn bytes(&self) -> Vec<u8> {
        let body;
        let frame = match self {
            Self::Welcome(now, expires_at, refused) => ServerFrame::Welcome(Welcome {
                v: 1,
                epoch: 1,
                conn: ConnectionId::from_bytes([7; 10]),
                now: *now,
                ping_ms: 25_000,
                identity: expires_at.map(|expires_at| Identity {
                    user: UserId::from_bytes([1; 10]),
                    session: SessionId::from_bytes([2; 10]),
                    role: Role::Player,
                    guest: true,
                    expires_at,
                }),
                refused: refused
                    .as_ref()
                    .map(|message| Fault::new(Code::TokenExpired, message)),
                limits: Limits {
                    frame_bytes: 1,
                    message_bytes: 2,
                    calls: 3,
                    rooms: 4,
                },
                quic: None,
            }),
            Self::Reply(call, reply) => {
                body = codec::encode(reply);
                ServerFrame::Reply {
                    call: *call,
                    body: &body,
                }
            }
            Self::Fault(call, code, message, retry_after_ms) => ServerFrame::Fault {
                call: *call,
                fault: Fault {
                    retry_after_ms: *retry_after_ms,
                    ..Fault::new(Code::from(*code), message)
                },
            },
            Self::Event(event, sent) => {
                body = codec::encode(sent);
                ServerFrame::Event {
                    event: *event,
                    body: &body,
                }
            }
            Self::State(room, tick, data) => ServerFrame::State {
                room: *room,
                tick: *tick,
                data,
            },
            Self::Ping(nonce, now) => ServerFrame::Ping {
                nonce: *nonce,
                now: *now,
            },
            Self::Goaway(reconnect, within_ms) => ServerFrame::Goaway(Goaway {
                reason: GoawayReason::Drain,
                reconnect: *reconnect,
                within_ms: *within_ms,
            }),
            Self::Gap(stream, messages, from, to) => ServerFrame::Gap {
                stream: *stream,
                missing: if *messages {
                    Missing::Messages
                } else {
                    Missing::Changes
                },
                from: *from,
                to: *to,
            },
        };
        let bytes = frame.encode();
        let (read, rest) = ServerFrame::read(&bytes).unwrap();
        assert_eq!((read, rest), (frame, &[][..]));
        bytes
    }
}

/// In a box: without optimisation, two of them at once fill the stack of a test.
fn server() -> BoxedStrategy<Server> {
    prop_oneof![
        (integer(), option::of(integer()), option::of(text()))
            .prop_map(|(now, expires, refused)| Server::Welcome(now, expires, refused)),
        (any::<u32>(), message_sent()).prop_map(|(call, reply)| Server::Reply(call, reply)),
        (any::<u32>(), any::<u16>(), text(), option::of(integer()))
            .prop_map(|(call, code, message, retry)| Server::Fault(call, code, message, retry)),
        (any::<u16>(), message_sent()).prop_map(|(event, sent)| Server::Event(event, sent)),
        (room(), integer(), vec(any::<u8>(), 0..300))
            .prop_map(|(room, tick, data)| Server::State(room, tick, data)),
        (any::<u32>(), integer()).prop_map(|(nonce, now)| Server::Ping(nonce, now)),
        (any::<bool>(), integer()).prop_map(|(again, within)| Server::Goaway(again, within)),
        (stream(), any::<bool>(), integer(), integer())
            .prop_map(|(stream, messages, from, to)| Server::Gap(stream, messages, from, to)),
    ]
    .boxed()
}

/// Reads everything in `bytes` as both sides would; errors are fine, panics are not.
fn read_all(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok((frame, after)) = ClientFrame::read(rest) {
        if let ClientFrame::Call { body, .. } = frame {
            let _ = codec::decode::<SendMessage>(body);
        }
        assert!(after.len() < rest.len());
        rest = after;
    }
    rest = bytes;
    while let Ok((frame, after)) = ServerFrame::read(rest) {
        if let ServerFrame::Event { body, .. } | ServerFrame::Reply { body, .. } = frame {
            let _ = codec::decode::<MessageSent>(body);
        }
        assert!(after.len() < rest.len());
        rest = after;
    }
}

proptest! {
    #[test]
    fn client_frames_round_trip_and_their_prefixes_are_errors(frame in client()) {
        let bytes = frame.bytes();
        for end in 0..bytes.len() {
            prop_assert!(ClientFrame::read(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
        }
    }

    #[test]
    fn server_frames_round_trip_and_their_prefixes_are_errors(frame in server()) {
        let bytes = frame.bytes();
        for end in 0..bytes.len() {
            prop_assert!(ServerFrame::read(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
        }
    }

    #[test]
    fn frames_back_to_back_are_read_one_by_one(frames in vec(server(), 1..6)) {
        let bytes: Vec<u8> = frames.iter().flat_map(Server::bytes).collect();
        let mut rest = &bytes[..];
        for frame in &frames {
            let (read, after) = ServerFrame::read(rest).unwrap();
            prop_assert_eq!(read.encode(), frame.bytes());
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn flipped_bits_never_panic(from_client in client(), from_server in server(), at in any::<prop::sample::Index>()) {
        for mut bytes in [from_client.bytes(), from_server.bytes()] {
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            read_all(&bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
        let _ = codec::decode::<SendMessage>(&bytes);
        let _ = codec::decode::<Welcome>(&bytes);
    }

    /// A frame may grow at its end: what this version does not know is walked over.
    #[test]
    fn unknown_elements_are_ignored(call in any::<u32>(), extra in message_sent()) {
        let mut bytes = vec![0x94, 3];
        rmp_uint(&mut bytes, u64::from(call));
        bytes.extend(codec::encode(&extra));
        bytes.push(0xc0);
        let (read, rest) = ClientFrame::read(&bytes).unwrap();
        prop_assert_eq!(read, ClientFrame::Cancel { call });
        prop_assert!(rest.is_empty());
    }
}

fn rmp_uint(out: &mut Vec<u8>, value: u64) {
    out.push(0xcf);
    out.extend(value.to_be_bytes());
}

/// Claims of up to 4 GiB in a handful of bytes: refused at once, so nothing of that size can have been allocated.
#[test]
fn lies_about_lengths_are_refused_before_anything_is_allocated() {
    let lies: [&[u8]; 8] = [
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0x95, 2, 1, 83, 0xdf, 0xff, 0xff, 0xff, 0xff],
        &[
            0x94, 2, 1, 83, 0x81, 0xa1, b'a', 0xdb, 0xff, 0xff, 0xff, 0xff,
        ],
        &[
            0x94, 2, 1, 83, 0x81, 0xa1, b'a', 0xc6, 0xff, 0xff, 0xff, 0xff,
        ],
        &[
            0x94, 2, 1, 83, 0x81, 0xa1, b'a', 0xdd, 0x7f, 0xff, 0xff, 0xff,
        ],
        &[0x94, 6, 0xdb, 0xff, 0xff, 0xff, 0xff, 0],
        &[0x92, 1, 0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdc, 0xff, 0xff, 1],
    ];
    for lie in lies {
        assert_eq!(
            ClientFrame::read(lie),
            Err(InvalidFrame::Malformed(Malformed::Truncated)),
            "{lie:x?}"
        );
    }
}

#[test]
fn nesting_is_allowed_to_the_limit_and_not_beyond() {
    let nested = |levels: usize| {
        let mut bytes = vec![0x94, 2, 1, 0, 0x81, 0xa1, b'a'];
        bytes.extend(vec![0x91; levels]);
        bytes.push(0xc0);
        bytes
    };
    // The frame's array and the body's map take two levels.
    assert!(ClientFrame::read(&nested(NESTING_MAX - 2)).is_ok());
    assert_eq!(
        ClientFrame::read(&nested(NESTING_MAX - 1)),
        Err(InvalidFrame::Malformed(Malformed::TooDeep))
    );
    let mut scanner = Scanner::new(&[0x91; 100_000]);
    assert_eq!(scanner.value(0), Err(Malformed::TooDeep));
}

#[test]
fn a_frame_is_as_long_as_the_limit_and_no_longer() {
    let frame = |bytes: usize| {
        let data = vec![0; bytes];
        ClientFrame::Input {
            room: RoomId::from_bytes([0; 10]),
            seq: 0,
            data: &data,
        }
        .encode()
    };
    let overhead = frame(FRAME_BYTES_MAX - 100).len() - (FRAME_BYTES_MAX - 100);
    assert!(ClientFrame::read(&frame(FRAME_BYTES_MAX - overhead)).is_ok());
    assert_eq!(
        ClientFrame::read(&frame(FRAME_BYTES_MAX - overhead + 1)).err(),
        Some(InvalidFrame::TooLong)
    );
}

#[test]
fn keys_integers_and_kinds_have_their_bounds() {
    let call = |key: &str| {
        ClientFrame::Call {
            call: 1,
            method: 0,
            body: &[0x80],
            key: Some(key),
            head: None,
        }
        .encode()
    };
    assert!(ClientFrame::read(&call(&"k".repeat(KEY_BYTES_MAX))).is_ok());
    for key in ["", &"k".repeat(KEY_BYTES_MAX + 1)] {
        assert_eq!(ClientFrame::read(&call(key)).err(), Some(InvalidFrame::Key));
    }
    let mut ack = ClientFrame::Ack {
        stream: Stream::Inbox,
        cursor: Cursor { seq: 0, rev: 0 },
    }
    .encode();
    ack.truncate(ack.len() - 2);
    rmp_uint(&mut ack, INTEGER_MAX + 1);
    ack.push(0);
    assert!(ClientFrame::read(&ack).is_err());
    assert_eq!(
        ClientFrame::read(&[0x91, 99]).err(),
        Some(InvalidFrame::Kind(99))
    );
    assert_eq!(
        ServerFrame::read(&[0x91, 1]).err(),
        Some(InvalidFrame::Kind(1))
    );
    assert!(ClientFrame::read(&[]).is_err());
    assert!(ClientFrame::read(&[0x90]).is_err());
    assert!(ClientFrame::read(&[0xc1]).is_err());
}

#[test]
fn a_head_stands_behind_a_key_alone_and_has_the_bounds_of_integers() {
    let read = |key_and_head: &[u8]| {
        let bytes = [&[0x96, 2, 1, 0, 0x80], key_and_head].concat();
        match ClientFrame::read(&bytes) {
            Ok((ClientFrame::Call { key, head, .. }, [])) => Ok((key.map(str::to_owned), head)),
            Ok(other) => panic!("a call became {other:?}"),
            Err(error) => Err(error),
        }
    };
    let keyed = |head: &[u8]| read(&[&[0xa1, b'k'], head].concat());
    let k = || Some("k".to_owned());
    assert_eq!(keyed(&[0]), Ok((k(), Some(0))));
    assert_eq!(keyed(&[0xc0]), Ok((k(), None)));
    assert_eq!(read(&[0xc0, 0xc0]), Ok((None, None)));
    let mut largest = Vec::new();
    rmp_uint(&mut largest, INTEGER_MAX);
    assert_eq!(keyed(&largest), Ok((k(), Some(INTEGER_MAX))));

    let mut too_large = Vec::new();
    rmp_uint(&mut too_large, INTEGER_MAX + 1);
    let negative: [&[u8]; 2] = [&[0xff], &[0xd0, 0x80]];
    let others: [&[u8]; 5] = [
        &[0xa1, b'5'],
        &[0xc3],
        &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
        &[0x80],
        &too_large,
    ];
    for head in negative.into_iter().chain(others) {
        let refused = keyed(head);
        assert!(
            matches!(
                refused,
                Err(InvalidFrame::Malformed(
                    Malformed::Expected(_) | Malformed::Integer
                ))
            ),
            "{head:x?}: {refused:?}"
        );
    }
    assert_eq!(
        read(&[0xc0, 5]),
        Err(InvalidFrame::Malformed(Malformed::Expected(
            "a key before the head"
        )))
    );
}

#[test]
fn a_head_without_a_key_is_not_written() {
    let call = |head| ClientFrame::Call {
        call: 1,
        method: 0,
        body: &[0x80],
        key: None,
        head,
    };
    assert_eq!(call(Some(5)).encode(), call(None).encode());
}
