//! The client machine steps over what it can't read: no connection is lost over it, and none again and again.

use bytes::Bytes;
use pitturu_protocol::client::{Config, Connection, Output, Ticket};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::events::{EVENTS, Entry, EventInfo};
use pitturu_protocol::frame::{self, Cursor, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::{METHODS, Method};
use pitturu_protocol::types::accounts::{GetAccount, RefreshTokens};
use pitturu_protocol::types::chat::{JoinRoom, OpenRoom};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};
use serde::Serialize;

use crate::machine::{Driven, ROOM, any_call, identity, player, welcome};

/// What the machine reads of a `RoomView`; the rest of one may be anything.
#[derive(Serialize)]
struct View {
    info: Info,
    rev: u64,
    me: &'static str,
}

#[derive(Serialize)]
struct Info {
    room: RoomId,
    head: u64,
    topic: u64,
}

fn view(seq: u64, rev: u64) -> View {
    View {
        info: Info {
            room: ROOM,
            head: seq,
            topic: 7,
        },
        rev,
        me: "unreadable",
    }
}

#[derive(Serialize)]
struct Resumed {
    inbox: u64,
    rooms: Vec<ResumedRoom>,
}

#[derive(Serialize)]
struct ResumedRoom {
    room: RoomId,
    view: View,
}

#[derive(Serialize)]
struct Nothing {}

/// Follows inbox and room, which stand at 5 and at 5 with revision 2.
fn following() -> Driven {
    let mut test = Driven::new(Config {
        resume: Resume {
            epoch: None,
            inbox: Some(5),
            rooms: vec![RoomCursor {
                room: ROOM,
                seq: 5,
                rev: 2,
            }],
        },
        ..player()
    });
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(Some(identity(1))));
    let call = test.called::<Resume>();
    let resumed = Resumed {
        inbox: 5,
        rooms: vec![ResumedRoom {
            room: ROOM,
            view: view(5, 2),
        }],
    };
    test.receive(&frame::reply(call, &resumed));
    assert_eq!(test.machine.connection(), Connection::Online);
    test.outputs();
    test
}

/// An entry's fields in any form.
#[derive(Serialize)]
struct Body<T: Serialize> {
    room: RoomId,
    seq: T,
    rev: T,
    msg: Inner<T>,
}

#[derive(Serialize)]
struct Inner<T: Serialize> {
    seq: T,
}

fn entry<T: Serialize + Copy>(event: &EventInfo, number: T) -> Vec<u8> {
    let body = codec::encode(&Body {
        room: ROOM,
        seq: number,
        rev: number,
        msg: Inner { seq: number },
    });
    raw(event.number, &body)
}

fn raw(event: u16, body: &[u8]) -> Vec<u8> {
    ServerFrame::Event { event, body }.encode()
}

fn entries() -> impl Iterator<Item = (&'static EventInfo, Entry)> {
    EVENTS
        .iter()
        .filter_map(|event| event.entry.map(|entry| (event, entry)))
}

fn closes(outputs: &[Output]) -> bool {
    outputs
        .iter()
        .any(|output| matches!(output, Output::Close(_)))
}

fn unreadable(outputs: &[Output]) -> usize {
    let told = |output: &&Output| matches!(output, Output::Unreadable { .. });
    outputs.iter().filter(told).count()
}

/// Answers the call that follows the stream again from its cursor, and takes what `then` sends after it.
fn answer_reopening(test: &mut Driven, kind: Entry, newest: Cursor, then: &[&[u8]]) -> Vec<Output> {
    let reply = match kind {
        Entry::Inbox => {
            let resumed = Resumed {
                inbox: newest.seq,
                rooms: Vec::new(),
            };
            frame::reply(test.called::<Resume>(), &resumed)
        }
        Entry::RoomMessage | Entry::RoomChange => {
            frame::reply(test.called::<OpenRoom>(), &view(newest.seq, newest.rev))
        }
    };
    test.receive(&reply);
    for frame in then {
        test.receive(frame);
    }
    test.outputs()
}

#[test]
fn an_entry_whose_place_can_not_be_read_is_told_and_stepped_over() {
    for (event, kind) in entries() {
        let (at, stream, missing) = match kind {
            Entry::Inbox => (5, Stream::Inbox, Missing::Messages),
            Entry::RoomMessage => (5, Stream::Room(ROOM), Missing::Messages),
            Entry::RoomChange => (2, Stream::Room(ROOM), Missing::Changes),
        };
        let newest = match kind {
            Entry::RoomChange => Cursor { seq: 5, rev: 4 },
            _ => Cursor { seq: 7, rev: 2 },
        };
        let forms = [
            ("text", entry(event, "six")),
            ("negative", entry(event, -1_i64)),
            ("nothing", raw(event.number, &codec::encode(&Nothing {}))),
        ];
        for (form, bad) in forms {
            let what = format!("{} with {form}", event.name);
            let good = entry(event, at + 2);
            let mut test = following();
            test.receive(&bad);
            let outputs = test.outputs();
            assert!(!closes(&outputs), "{what}");
            assert_eq!(unreadable(&outputs), 1, "{what}");
            // What comes next shows that something is missing; the server sends the same again.
            test.receive(&good);
            test.outputs();
            let outputs = answer_reopening(&mut test, kind, newest, &[&bad, &good]);
            assert!(!closes(&outputs), "{what}");
            let gap = Output::Gap {
                stream,
                missing,
                from: at + 1,
                to: at + 1,
            };
            assert!(outputs.contains(&gap), "{what}: {outputs:?}");
            let came = |output: &Output| matches!(output, Output::Event { event: number, .. } if *number == event.number);
            assert!(outputs.iter().any(came), "{what}: {outputs:?}");
            test.receive(&entry(event, at + 3));
            assert!(
                test.outputs().iter().any(came),
                "{what}: the stream goes on"
            );
        }
    }
}

#[test]
fn a_last_entry_that_can_not_be_read_does_not_keep_the_stream_back() {
    for (event, kind) in entries() {
        let (stream, newest) = match kind {
            Entry::Inbox => (Stream::Inbox, Cursor { seq: 6, rev: 0 }),
            Entry::RoomMessage => (Stream::Room(ROOM), Cursor { seq: 6, rev: 2 }),
            Entry::RoomChange => (Stream::Room(ROOM), Cursor { seq: 5, rev: 3 }),
        };
        let bad = entry(event, "six");
        let live = frame::position(stream, newest, newest.seq, true);
        let mut test = following();
        test.receive(&bad);
        test.receive(&live);
        test.outputs();
        let outputs = answer_reopening(&mut test, kind, newest, &[&bad, &live]);
        assert!(!closes(&outputs), "{}", event.name);
        assert_eq!(
            test.machine.connection(),
            Connection::Online,
            "{}",
            event.name
        );
    }
}

#[test]
fn no_event_whose_body_can_not_be_read_ends_the_connection() {
    let bodies = [
        codec::encode(&Nothing {}),
        codec::encode(&Body {
            room: ROOM,
            seq: u64::MAX,
            rev: u64::MAX,
            msg: Inner { seq: u64::MAX },
        }),
        codec::encode(&StreamPosition {
            stream: "no stream".into(),
            seq: 1,
            rev: 1,
            head: 1,
            live: true,
        }),
    ];
    for event in EVENTS {
        for body in &bodies {
            let mut test = following();
            for _ in 0..3 {
                test.receive(&raw(event.number, body));
            }
            assert!(!closes(&test.outputs()), "{}", event.name);
        }
    }
}

#[test]
fn no_reply_that_can_not_be_read_ends_the_connection() {
    for method in METHODS {
        let mut test = Driven::online(player());
        let ticket = test.machine.call(any_call(method, Some("key"))).unwrap();
        let call = test.said().calls[0].call;
        test.receive(&frame::reply(call, &view(u64::MAX, 1).info));
        let outputs = test.outputs();
        assert!(!closes(&outputs), "{}", method.name);
        let answered =
            |output: &Output| matches!(output, Output::Answer { ticket: of, .. } if *of == ticket);
        assert!(outputs.iter().any(answered), "{}", method.name);
    }
}

#[test]
fn streams_whose_resume_can_not_be_read_are_lost_and_the_connection_is_not() {
    let mut test = following();
    test.reconnect();
    test.receive(&welcome(Some(identity(1))));
    test.receive(&frame::reply(1, &Nothing {}));
    let outputs = test.outputs();
    assert!(!closes(&outputs));
    let lost: Vec<Stream> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::StreamLost { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(lost, [Stream::Inbox, Stream::Room(ROOM)]);
    assert_eq!(test.machine.connection(), Connection::Online);
}

#[test]
fn new_tokens_that_can_not_be_read_sign_out() {
    let mut test = Driven::online(player());
    test.machine.disconnected(test.now, Some(4200));
    let said = test.reconnect();
    assert_eq!(said.calls[0].method, RefreshTokens::NUMBER);
    test.receive(&welcome(None));
    test.receive(&frame::reply(said.calls[0].call, &Nothing {}));
    let outputs = test.outputs();
    assert!(!closes(&outputs));
    let told = |output: &Output| {
        matches!(
            output,
            Output::SignedOut(Some(Fault {
                code: Code::Internal,
                ..
            }))
        )
    };
    assert!(outputs.iter().any(told), "{outputs:?}");
}

#[test]
fn cursors_that_no_server_gave_do_no_harm() {
    let mut test = Driven::new(Config {
        resume: Resume {
            epoch: None,
            inbox: Some(u64::MAX),
            rooms: vec![RoomCursor {
                room: ROOM,
                seq: u64::MAX,
                rev: u64::MAX,
            }],
        },
        ..player()
    });
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(Some(identity(1))));
    let call = test.called::<Resume>();
    let resumed = Resumed {
        inbox: u64::MAX - 1,
        rooms: vec![ResumedRoom {
            room: ROOM,
            view: view(u64::MAX - 1, u64::MAX - 1),
        }],
    };
    test.receive(&frame::reply(call, &resumed));
    for event in EVENTS {
        for number in [0, 1, u64::MAX - 1, u64::MAX] {
            test.receive(&entry(event, number));
        }
    }
}

/// A frame of these elements, encoded already.
fn frame_of(elements: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0x90 | u8::try_from(elements.len()).unwrap()];
    for element in elements {
        bytes.extend_from_slice(element);
    }
    bytes
}

/// What the protocol has nowhere: an integer beyond 64 bits' half, a float, an extension, text that is not UTF-8, values nested too deep.
fn forbidden() -> Vec<Vec<u8>> {
    let mut deep = vec![0x91; 40];
    deep.push(0xc0);
    vec![
        [&[0xcf][..], &[0xff; 8]].concat(),
        vec![0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
        vec![0xd4, 1, 2],
        vec![0xc7, 2, 1, 2, 3],
        vec![0xa1, 0xff],
        deep,
    ]
}

fn unreadable_frames(outputs: &[Output]) -> Vec<&'static str> {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::UnreadableFrame { frame, .. } => Some(*frame),
        _ => None,
    });
    frames.collect()
}

#[test]
fn frames_that_can_not_be_read_are_told_and_stepped_over() {
    let text = codec::encode(&ROOM);
    for bad in &forbidden() {
        let frames = [
            ("state", frame_of(&[&[12], bad, &[1], &[0xc4, 0]])),
            ("state", frame_of(&[&[12], &text, bad, &[0xc4, 0]])),
            ("ping", frame_of(&[&[13], bad])),
            ("goaway", frame_of(&[&[14], bad])),
            ("gap", frame_of(&[&[15], bad, &[0], &[1], &[2]])),
            ("gap", frame_of(&[&[15], &text, bad, &[1], &[2]])),
            ("gap", frame_of(&[&[15], &text, &[0], bad, &[2]])),
            ("gap", frame_of(&[&[15], &text, &[0], &[1], bad])),
            ("gap", frame_of(&[&[15]])),
        ];
        for (name, frame) in frames {
            let what = format!("{name} {frame:02x?}");
            let mut test = following();
            let fault = ServerFrame::Fault {
                call: 0,
                fault: Fault::of(Code::Internal),
            };
            test.receive(&[frame, fault.encode()].concat());
            let outputs = test.outputs();
            assert!(!closes(&outputs), "{what}");
            assert_eq!(unreadable_frames(&outputs), [name], "{what}");
            let came = |output: &Output| matches!(output, Output::Fault(_));
            assert!(outputs.iter().any(came), "what comes behind {what}");
        }
    }
}

#[test]
fn refusals_that_can_not_be_read_end_their_calls() {
    for bad in &forbidden() {
        let mut test = Driven::online(player());
        let ticket = test.call(
            &RefreshTokens {
                refresh: "a".into(),
            },
            Some("key"),
        );
        let call = test.called::<RefreshTokens>();
        let call = u8::try_from(call).unwrap();
        test.receive(&frame_of(&[&[10], &[call], bad]));
        let outputs = test.outputs();
        assert!(!closes(&outputs), "{bad:02x?}");
        let answered = outputs.iter().any(|output| {
            matches!(output, Output::Answer { ticket: of, result: Err(fault) } if *of == ticket && fault.code == Code::Internal)
        });
        assert!(answered, "{bad:02x?}: {outputs:?}");
    }
}

#[test]
fn bodies_that_are_not_even_well_formed_are_stepped_over() {
    for bad in &forbidden() {
        for event in EVENTS {
            let mut test = following();
            test.receive(&raw(
                event.number,
                &[&[0x81, 0xa1, b'x'], &bad[..]].concat(),
            ));
            assert!(!closes(&test.outputs()), "{} {bad:02x?}", event.name);
        }
        for method in METHODS {
            let mut test = Driven::online(player());
            let ticket = test.machine.call(any_call(method, Some("key"))).unwrap();
            let call = u8::try_from(test.said().calls[0].call).unwrap();
            test.receive(&frame_of(&[&[9], &[call], bad]));
            let outputs = test.outputs();
            assert!(!closes(&outputs), "{} {bad:02x?}", method.name);
            let answered = |output: &Output| matches!(output, Output::Answer { ticket: of, .. } if *of == ticket);
            assert!(outputs.iter().any(answered), "{} {bad:02x?}", method.name);
        }
    }
}

/// The gap frames of which one element can't be read, in front of place 8.
fn bad_gaps(stream: Stream, missing: Missing, from: u8) -> Vec<Vec<u8>> {
    let stream = codec::encode(&stream.to_string());
    let missing = [u8::from(missing == Missing::Changes)];
    let mut gaps = vec![
        frame_of(&[&[15], &stream, &[2], &[from], &[7]]),
        frame_of(&[&[15], &stream, &missing, &[from]]),
        frame_of(&[&[15], &codec::encode("no stream"), &missing, &[from], &[7]]),
    ];
    for bad in forbidden() {
        gaps.push(frame_of(&[&[15], &bad, &missing, &[from], &[7]]));
        gaps.push(frame_of(&[&[15], &stream, &bad, &[from], &[7]]));
        gaps.push(frame_of(&[&[15], &stream, &missing, &bad, &[7]]));
        gaps.push(frame_of(&[&[15], &stream, &missing, &[from], &bad]));
    }
    gaps
}

#[test]
fn a_gap_that_can_not_be_read_is_told_once_what_is_behind_it_has_come() {
    for (event, kind) in entries() {
        let (at, stream, missing, newest) = match kind {
            Entry::Inbox => (5, Stream::Inbox, Missing::Messages, (8, 0)),
            Entry::RoomMessage => (5, Stream::Room(ROOM), Missing::Messages, (8, 2)),
            Entry::RoomChange => (2, Stream::Room(ROOM), Missing::Changes, (5, 8)),
        };
        let (seq, rev) = newest;
        let newest = Cursor { seq, rev };
        let good = entry(event, 8);
        let live = frame::position(stream, newest, seq, true);
        for gap in bad_gaps(stream, missing, at + 1) {
            for (behind, to) in [(&good, 7), (&live, 8)] {
                let what = format!("{} {gap:02x?}", event.name);
                let mut test = following();
                test.receive(&gap);
                test.receive(behind);
                assert!(!closes(&test.outputs()), "{what}");
                let outputs = answer_reopening(&mut test, kind, newest, &[&gap, behind, &live]);
                assert!(!closes(&outputs), "{what}");
                let told = Output::Gap {
                    stream,
                    missing,
                    from: u64::from(at) + 1,
                    to,
                };
                assert!(outputs.contains(&told), "{what}: {outputs:?}");
                assert_eq!(test.machine.connection(), Connection::Online, "{what}");
            }
        }
    }
}

#[test]
fn only_what_a_connection_can_not_do_without_ends_it_and_that_is_told() {
    let cases = [
        ("frame", frame_of(&[&[99], &[1]])),
        ("frame", vec![0x01]),
        ("frame", vec![0xc1]),
        ("welcome", frame_of(&[&[8], &[1]])),
        ("event", frame_of(&[&[11], &[1], &[0x81, 0xa1]])),
        ("event", frame_of(&[&[11], &[1], &[0x81, 0xc1, 0xc1]])),
    ];
    for (name, frame) in cases {
        let mut test = following();
        test.receive(&frame);
        let outputs = test.outputs();
        assert!(closes(&outputs), "{name} {frame:02x?}");
        assert_eq!(unreadable_frames(&outputs), [name], "{frame:02x?}");
    }
    let before_the_welcome = [
        ("welcome", frame_of(&[&[8], &[0x80]])),
        ("goaway", frame_of(&[&[14], &[0xc0]])),
        ("gap", frame_of(&[&[15], &[0xc0]])),
    ];
    for (name, frame) in before_the_welcome {
        let mut test = Driven::new(player());
        test.machine.start(test.now);
        test.machine.connected(test.now);
        test.receive(&frame);
        let outputs = test.outputs();
        assert!(closes(&outputs), "{name}");
        assert_eq!(unreadable_frames(&outputs), [name]);
        let again = |output: &Output| {
            matches!(
                output,
                Output::Connection(Connection::Offline { retry_at: Some(_) })
            )
        };
        assert!(outputs.iter().any(again), "{name}: it tries again");
    }
}

/// A client whose other connection has taken over, and the call that the connection before has yet to answer.
fn moving() -> (Driven, Ticket, u8) {
    let mut test = following();
    let ticket = test.call(&GetAccount {}, None);
    let call = u8::try_from(test.called::<GetAccount>()).unwrap();
    assert!(test.machine.hand_over(test.now));
    let other = Bytes::from(welcome(Some(identity(1))));
    test.machine.other_received(test.now, &other);
    assert_eq!(test.outputs(), [Output::TakeOver]);
    (test, ticket, call)
}

fn answers(outputs: &[Output]) -> Vec<Ticket> {
    let answered = outputs.iter().filter_map(|output| match output {
        Output::Answer { ticket, .. } => Some(*ticket),
        _ => None,
    });
    answered.collect()
}

#[test]
fn what_can_not_be_read_of_a_connection_before_ends_its_call_and_not_the_connection() {
    let room = codec::encode(&ROOM);
    for bad in &forbidden() {
        let (mut test, ticket, call) = moving();
        let frames = [
            frame_of(&[&[12], bad, &[1], &[0xc4, 0]]),
            frame_of(&[&[12], &room, bad, &[0xc4, 0]]),
            frame_of(&[&[13], bad]),
            frame_of(&[&[14], bad]),
            frame_of(&[&[15], bad, &[0], &[1], &[2]]),
            raw(1, bad),
            frame_of(&[&[9], &[call + 1], bad]),
            frame_of(&[&[10], &[call + 1], bad]),
        ];
        for frame in frames {
            test.machine.other_received(test.now, &frame.into());
        }
        assert_eq!(test.outputs(), [], "{bad:02x?}");
        // The call has an answer, if not the one that was meant.
        for kind in [9, 10] {
            let (mut test, ticket, call) = moving();
            let frame = frame_of(&[&[kind], &[call], bad]);
            test.machine.other_received(test.now, &frame.into());
            assert_eq!(answers(&test.outputs()), [ticket], "{kind} {bad:02x?}");
        }
        let frame = frame_of(&[&[9], &[call], &codec::encode(&Nothing {})]);
        test.machine.other_received(test.now, &frame.into());
        assert_eq!(answers(&test.outputs()), [ticket], "{bad:02x?}");
    }
}

#[test]
fn an_event_of_the_next_connection_that_can_not_be_read_does_not_give_it_up() {
    for bad in &forbidden() {
        let mut test = following();
        // A call that opens a room keeps the next connection waiting once it is welcome.
        test.call(&JoinRoom { room: ROOM }, Some("join"));
        test.called::<JoinRoom>();
        assert!(test.machine.hand_over(test.now));
        for (frame, goes_on) in [
            (welcome(Some(identity(1))), true),
            (raw(1, bad), true),
            (frame_of(&[&[13], bad]), false),
        ] {
            test.machine.other_received(test.now, &frame.into());
            let given_up = test
                .outputs()
                .iter()
                .any(|output| matches!(output, Output::CloseOther(_)));
            assert_eq!(!given_up, goes_on, "{bad:02x?}");
        }
    }
}
