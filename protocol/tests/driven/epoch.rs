//! A server whose store was restored from a backup: no cursor of before counts, and the application is told.

use pitturu_protocol::client::{Config, Connection, Output};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{self, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat::OpenRoom;
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition, Welcome};
use serde::Serialize;

use crate::machine::{Called, Driven, ROOM, View, identity, player, view_of, welcome};

#[derive(Serialize)]
struct Answer {
    inbox: u64,
    rooms: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    room: RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
}

fn resumed(call: u32, inbox: u64, head: u64, rev: u64) -> Vec<u8> {
    let outcome = Outcome {
        room: ROOM,
        view: Some(view_of(ROOM, head, rev)),
        fault: None,
    };
    let rooms = vec![outcome];
    frame::reply(call, &Answer { inbox, rooms })
}

fn welcome_of(epoch: u64) -> Vec<u8> {
    let bytes = welcome(Some(identity(1)));
    let Ok((ServerFrame::Welcome(welcome), _)) = ServerFrame::read(&bytes) else {
        panic!("no welcome");
    };
    ServerFrame::Welcome(Welcome { epoch, ..welcome }).encode()
}

fn kept(epoch: Option<u64>) -> Resume {
    Resume {
        epoch,
        inbox: Some(4),
        rooms: vec![RoomCursor {
            room: ROOM,
            seq: 9,
            rev: 3,
        }],
    }
}

/// A client with these cursors, welcomed by a server of this epoch, and the call by which it resumes.
fn welcomed(resume: Resume, epoch: u64) -> (Driven, Called) {
    let config = Config { resume, ..player() };
    let mut driven = Driven::new(config);
    driven.machine.start(driven.now);
    driven.machine.connected(driven.now);
    let call = driven.said().calls.remove(0);
    driven.receive(&welcome_of(epoch));
    driven.outputs();
    (driven, call)
}

fn asked(call: &Called) -> Resume {
    assert_eq!(call.method, Resume::NUMBER);
    codec::decode(&call.body).unwrap()
}

fn gap(stream: Stream, missing: Missing, to: u64) -> Output {
    Output::Gap {
        stream,
        missing,
        from: 1,
        to,
    }
}

/// All entries of the inbox, and where they end.
fn inbox_entries(head: u64) -> Vec<u8> {
    let mut frames = Vec::new();
    for seq in 1..=head {
        frames.extend(frame::event(&InboxAdded {
            seq,
            at: 0,
            entry: InboxEntry::FriendRemoved {
                user: identity(2).user,
            },
        }));
    }
    frames.extend(frame::event(&StreamPosition {
        stream: "inbox".to_owned(),
        seq: head,
        rev: 0,
        head,
        live: true,
    }));
    frames
}

fn gaps(driven: &mut Driven) -> Vec<Output> {
    let mut outputs = driven.outputs();
    outputs.retain(|output| matches!(output, Output::Gap { .. }));
    outputs
}

#[test]
fn cursors_of_the_same_epoch_count() {
    let (mut driven, call) = welcomed(kept(Some(7)), 7);
    assert_eq!(asked(&call).epoch, Some(7));
    driven.receive(&resumed(call.call, 4, 9, 3));
    assert_eq!(gaps(&mut driven), []);
    assert_eq!(driven.machine.cursors(), kept(Some(7)));
}

/// Ahead of what was restored, and below it: what was seen is not to be trusted either way.
#[test]
fn cursors_of_another_epoch_are_told_and_begin_at_the_newest() {
    for (inbox, head, rev) in [(2, 5, 1), (8, 50, 10)] {
        let (mut driven, call) = welcomed(kept(Some(7)), 8);
        assert_eq!(asked(&call).epoch, Some(7), "asked before the welcome came");
        driven.receive(&resumed(call.call, inbox, head, rev));
        let room = Stream::Room(ROOM);
        assert_eq!(
            gaps(&mut driven),
            [
                gap(Stream::Inbox, Missing::Messages, 4),
                gap(room, Missing::Messages, head.max(9)),
                gap(room, Missing::Changes, rev.max(3)),
            ]
        );
        let cursors = driven.machine.cursors();
        assert_eq!((cursors.epoch, cursors.inbox), (Some(8), Some(0)));
        assert_eq!((cursors.rooms[0].seq, cursors.rooms[0].rev), (head, rev));
        assert_eq!(driven.machine.connection(), Connection::CatchingUp);
        // The inbox comes from its beginning, for no call reads it.
        driven.receive(&inbox_entries(inbox));
        assert_eq!(driven.machine.cursors().inbox, Some(inbox));
        assert_eq!(driven.machine.connection(), Connection::Online);
        driven.outputs();

        // It is told once: from here on the cursors are those of the new epoch.
        let again = driven.reconnect().calls.remove(0);
        assert_eq!(asked(&again).epoch, Some(8));
        driven.receive(&welcome_of(8));
        driven.receive(&resumed(again.call, inbox, head, rev));
        assert_eq!(gaps(&mut driven), []);
    }
}

/// A connection that is lost between the welcome and the answer, and a server that is restored twice.
#[test]
fn what_has_no_answer_yet_is_of_no_epoch() {
    let (mut driven, _) = welcomed(kept(Some(7)), 8);
    assert_eq!(driven.machine.cursors().epoch, Some(0));
    let again = driven.reconnect().calls.remove(0);
    assert_eq!(asked(&again).epoch, Some(0), "no server's");
    // Back to the first history: nobody knows any more what of the cursors is of it.
    driven.receive(&welcome_of(7));
    driven.receive(&resumed(again.call, 4, 9, 3));
    assert_eq!(gaps(&mut driven).len(), 3);
    driven.receive(&inbox_entries(4));
    assert_eq!(driven.machine.cursors(), kept(Some(7)));
}

#[test]
fn a_room_that_has_to_wait_is_opened_without_its_cursor() {
    let (mut driven, call) = welcomed(kept(Some(7)), 8);
    let fault = Fault::of(Code::Unavailable).retry_after_ms(100);
    let rooms = vec![Outcome {
        room: ROOM,
        view: None,
        fault: Some(fault),
    }];
    driven.receive(&frame::reply(call.call, &Answer { inbox: 4, rooms }));
    driven.pass(200);
    let open = driven.said().calls.remove(0);
    assert_eq!(open.method, OpenRoom::NUMBER);
    let request: OpenRoom = codec::decode(&open.body).unwrap();
    assert_eq!((request.seq, request.rev), (None, None));
    driven.outputs();
    driven.receive(&frame::reply(open.call, &view_of(ROOM, 50, 3)));
    let room = Stream::Room(ROOM);
    assert_eq!(
        gaps(&mut driven),
        [
            gap(room, Missing::Messages, 50),
            gap(room, Missing::Changes, 3)
        ]
    );
}

/// Who kept no epoch says so, and is taken at their word.
#[test]
fn cursors_without_an_epoch_get_that_of_the_welcome() {
    let (mut driven, call) = welcomed(kept(None), 8);
    assert_eq!(asked(&call).epoch, None);
    driven.receive(&resumed(call.call, 4, 9, 3));
    assert_eq!(gaps(&mut driven), []);
    assert_eq!(driven.machine.cursors(), kept(Some(8)));
}
