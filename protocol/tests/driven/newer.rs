//! Servers that are newer, older or wrong: what they say of streams is told, ends what it is about, and nothing is repeated without a
//! word.

use pitturu_protocol::client::{Config, Connection, Output};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{self, CallId, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::{ConnectionId, RoomId};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat::{MessageDeleted, OpenRoom};
use pitturu_protocol::types::system::{Limits, Resume, RoomCursor, Welcome};
use serde::Serialize;

use crate::machine::{Driven, ROOM, Said, View, identity, player, view_of, welcome};

const OTHER: RoomId = RoomId::from_bytes([8; 10]);

/// As far as the client reads it.
#[derive(Serialize)]
struct Resumed {
    inbox: u64,
    rooms: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    room: RoomId,
    view: Option<View>,
    fault: Option<Fault>,
}

fn view(room: RoomId, rev: u64) -> View {
    view_of(room, 0, rev)
}

fn opened(room: RoomId, of: RoomId) -> Outcome {
    Outcome {
        room,
        view: Some(view(of, 0)),
        fault: None,
    }
}

fn change(rev: u64) -> Vec<u8> {
    frame::event(&MessageDeleted {
        room: ROOM,
        rev,
        seq: 1,
        by: identity(1).user,
        at: 0,
    })
}

fn follower(inbox: Option<u64>, rooms: &[RoomId]) -> Config {
    let cursor = |room: &RoomId| RoomCursor {
        room: *room,
        seq: 0,
        rev: 0,
    };
    Config {
        resume: Resume {
            epoch: None,
            inbox,
            rooms: rooms.iter().map(cursor).collect(),
        },
        ..player()
    }
}

/// Up to the resume of two rooms, and its call.
fn resuming() -> (Driven, CallId) {
    let mut test = Driven::new(follower(None, &[ROOM, OTHER]));
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(Some(identity(1))));
    let call = test.called::<Resume>();
    test.outputs();
    (test, call)
}

fn lost(outputs: &[Output]) -> Vec<Stream> {
    let lost = outputs.iter().filter_map(|output| match output {
        Output::StreamLost { stream, .. } => Some(*stream),
        _ => None,
    });
    lost.collect()
}

fn mismatches(outputs: &[Output]) -> usize {
    let told = outputs.iter();
    told.filter(|output| matches!(output, Output::Mismatch { .. }))
        .count()
}

fn closes(outputs: &[Output]) -> bool {
    outputs
        .iter()
        .any(|output| matches!(output, Output::Close(_)))
}

#[test]
fn a_room_that_can_not_be_resumed_is_lost_and_the_others_come_back() {
    let refused = |code| {
        Some(Outcome {
            room: ROOM,
            view: None,
            fault: Some(Fault::of(code)),
        })
    };
    let outcomes = [
        ("missing", None),
        ("refused for good", refused(Code::NotAMember)),
        ("refused with a newer code", refused(Code::Unknown(999))),
        (
            "neither view nor fault",
            Some(Outcome {
                room: ROOM,
                view: None,
                fault: None,
            }),
        ),
        ("the view of another room", Some(opened(ROOM, OTHER))),
        (
            "another room in its place",
            Some(opened(
                RoomId::from_bytes([7; 10]),
                RoomId::from_bytes([7; 10]),
            )),
        ),
    ];
    for (what, outcome) in outcomes {
        let (mut test, call) = resuming();
        let mut rooms: Vec<Outcome> = outcome.into_iter().collect();
        rooms.push(opened(OTHER, OTHER));
        test.receive(&frame::reply(call, &Resumed { inbox: 0, rooms }));
        let outputs = test.outputs();
        assert_eq!(lost(&outputs), [Stream::Room(ROOM)], "{what}");
        assert!(!closes(&outputs), "{what}");
        assert_eq!(test.machine.connection(), Connection::Online, "{what}");
        let followed: Vec<RoomId> = test
            .machine
            .cursors()
            .rooms
            .iter()
            .map(|at| at.room)
            .collect();
        assert_eq!(followed, [OTHER], "{what}");
    }
}

#[test]
fn a_room_that_is_opened_again_as_another_one_is_lost() {
    let (mut test, call) = resuming();
    let rooms = vec![opened(ROOM, ROOM), opened(OTHER, OTHER)];
    test.receive(&frame::reply(call, &Resumed { inbox: 0, rooms }));
    test.receive(&change(2));
    let call = test.called::<OpenRoom>();
    test.receive(&frame::reply(call, &view(OTHER, 2)));
    assert_eq!(lost(&test.outputs()), [Stream::Room(ROOM)]);
}

#[test]
fn a_resume_that_is_refused_for_good_is_asked_piece_by_piece() {
    for code in Code::ALL.iter().copied().chain([Code::Unknown(999)]) {
        let mut test = Driven::new(follower(Some(0), &[ROOM, OTHER]));
        test.machine.start(test.now);
        test.machine.connected(test.now);
        test.receive(&welcome(Some(identity(1))));
        let refusal = Fault::of(code);
        if code.retry() != pitturu_protocol::codes::Retry::Never {
            continue;
        }
        let call = test.called::<Resume>();
        test.outputs();
        test.fault(call, refusal.clone());
        assert_eq!(mismatches(&test.outputs()), 1, "{code:?}");
        let calls = test.said().calls;
        let methods: Vec<u16> = calls.iter().map(|call| call.method).collect();
        assert_eq!(
            methods,
            [Resume::NUMBER, OpenRoom::NUMBER, OpenRoom::NUMBER]
        );
        let inbox: Resume = codec::decode(&calls[0].body).unwrap();
        assert_eq!((inbox.inbox, inbox.rooms), (Some(0), Vec::new()));
        let first: OpenRoom = codec::decode(&calls[1].body).unwrap();
        test.fault(calls[0].call, refusal.clone());
        test.fault(calls[1].call, refusal.clone());
        test.receive(&frame::reply(
            calls[2].call,
            &view(if first.room == ROOM { OTHER } else { ROOM }, 0),
        ));
        let outputs = test.outputs();
        assert_eq!(lost(&outputs), [Stream::Inbox, Stream::Room(first.room)]);
        assert!(!closes(&outputs), "{code:?}");
        assert_eq!(test.machine.connection(), Connection::Online, "{code:?}");
    }
}

/// Welcomed, with the room open from the cursor, and then the change that comes after a hole.
fn come_back(test: &mut Driven, said: &Said) -> Vec<Output> {
    test.receive(&welcome(Some(identity(1))));
    let rooms = vec![Outcome {
        room: ROOM,
        view: Some(view(ROOM, 3)),
        fault: None,
    }];
    let call = said.calls.last().unwrap().call;
    test.receive(&frame::reply(call, &Resumed { inbox: 0, rooms }));
    test.receive(&change(3));
    let call = test.called::<OpenRoom>();
    test.receive(&frame::reply(call, &view(ROOM, 3)));
    test.receive(&change(3));
    test.outputs()
}

#[test]
fn a_hole_that_stays_is_told_and_stepped_over_on_the_next_connection() {
    let mut test = Driven::new(follower(None, &[ROOM]));
    test.machine.start(test.now);
    test.machine.connected(test.now);
    let said = test.said();
    let outputs = come_back(&mut test, &said);
    assert_eq!(mismatches(&outputs), 2, "each time");
    assert!(outputs.contains(&Output::Close(4300)));
    let said = test.reconnect();
    let outputs = come_back(&mut test, &said);
    assert!(!closes(&outputs));
    let gap = Output::Gap {
        stream: Stream::Room(ROOM),
        missing: Missing::Changes,
        from: 1,
        to: 2,
    };
    assert!(outputs.contains(&gap), "{outputs:?}");
    let is_entry = |output: &Output| matches!(output, Output::Event { .. });
    assert_eq!(outputs.iter().filter(|output| is_entry(output)).count(), 1);
    test.receive(&change(4));
    assert!(test.outputs().iter().any(is_entry), "the stream goes on");
}

#[test]
fn waits_grow_over_connections_that_the_server_spoils_however_long_they_last() {
    let mut test = Driven::new(player());
    test.machine.start(test.now);
    test.machine.connected(test.now);
    let mut longest = 0;
    for _ in 0..12 {
        test.receive(&welcome(Some(identity(1))));
        test.pass(6_000);
        test.receive(&welcome(Some(identity(1))));
        let outputs = test.outputs();
        assert_eq!(mismatches(&outputs), 1, "a second welcome is told");
        let Connection::Offline { retry_at: Some(at) } = test.machine.connection() else {
            panic!("it tries again");
        };
        longest = longest.max(at - test.now);
        test.now = at;
        test.machine.tick(at);
        test.machine.connected(at);
        test.outputs();
    }
    assert!(longest > 2_000, "{longest}");
}

#[test]
fn a_welcome_of_another_version_is_refused_and_told() {
    for version in [0, 2, u16::MAX] {
        let mut test = Driven::new(player());
        test.machine.start(test.now);
        test.machine.connected(test.now);
        let newer = Welcome {
            v: version,
            epoch: 1,
            conn: ConnectionId::from_bytes([3; 10]),
            now: 0,
            ping_ms: 60_000,
            identity: Some(identity(1)),
            refused: None,
            limits: Limits {
                frame_bytes: 65_536,
                message_bytes: 262_144,
                calls: 64,
                rooms: 256,
            },
            quic: None,
        };
        test.receive(&ServerFrame::Welcome(newer).encode());
        let outputs = test.outputs();
        assert_eq!(mismatches(&outputs), 1, "{version}");
        assert!(outputs.contains(&Output::Close(4300)), "{version}");
        assert!(
            !outputs
                .iter()
                .any(|output| matches!(output, Output::SignedIn(_)))
        );
        assert_eq!(test.machine.stats().welcomes, 0);
    }
}
