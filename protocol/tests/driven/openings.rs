//! Streams that more than one call opens and closes: none stays behind for good, and none has a hole that the server did not make.

use pitturu_protocol::client::{Connection, Output, Request};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::events::Event as _;
use pitturu_protocol::frame::{self, CallId, Cursor, Stream};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat::{
    CloseRoom, EnterRoom, JoinRoom, LostReason, MessageDeleted, OpenRoom, RoomLost,
};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};
use serde::Serialize;

use crate::machine::{Driven, ROOM, View, identity, player, signed_in, view_of, welcome};

fn view(rev: u64) -> View {
    view_of(ROOM, 0, rev)
}

#[derive(Serialize)]
struct Resumed {
    inbox: u64,
    rooms: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    room: RoomId,
    view: View,
}

/// Follows the room from its beginning on, where the server has so many changes.
fn following(rev: u64) -> Driven {
    let mut config = player();
    let (seq, at) = (0, 0);
    config.resume.rooms.push(RoomCursor {
        room: ROOM,
        seq,
        rev: at,
    });
    let mut test = Driven::new(config);
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(Some(identity(1))));
    let call = test.called::<Resume>();
    let outcome = Outcome {
        room: ROOM,
        view: view(rev),
    };
    let resumed = Resumed {
        inbox: 0,
        rooms: vec![outcome],
    };
    test.receive(&frame::reply(call, &resumed));
    test.outputs();
    test
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

fn live(rev: u64) -> Vec<u8> {
    frame::position(Stream::Room(ROOM), Cursor { seq: 0, rev }, 0, true)
}

/// The only call since the last time, which opens the room from this revision on.
fn opens_from(test: &mut Driven, rev: u64) -> CallId {
    let calls = test.said().calls;
    let [open] = &calls[..] else {
        panic!("not one call but {calls:?}");
    };
    assert_eq!(open.method, OpenRoom::NUMBER);
    let request: OpenRoom = codec::decode(&open.body).unwrap();
    assert_eq!((request.seq, request.rev), (Some(0), Some(rev)));
    open.call
}

/// The server opens the room from this revision on, and sends what is newer.
fn comes_up(test: &mut Driven, call: CallId, (from, to): (u64, u64)) {
    test.receive(&frame::reply(call, &view(to)));
    for rev in from + 1..=to {
        test.receive(&change(rev));
    }
    test.receive(&live(to));
}

fn changes(outputs: &[Output]) -> usize {
    let is_change = |output: &&Output| matches!(output, Output::Event { event, .. } if *event == MessageDeleted::NUMBER);
    outputs.iter().filter(is_change).count()
}

#[test]
fn a_room_that_is_opened_without_a_cursor_goes_on_from_the_one_it_has() {
    let mut test = following(9);
    test.receive(&change(1));
    test.call(&JoinRoom { room: ROOM }, Some("join"));
    let join = test.called::<JoinRoom>();
    test.receive(&change(2));
    // The server begins at the newest, and sends nothing that is older.
    test.receive(&frame::reply(join, &view(9)));
    test.receive(&live(9));
    let open = opens_from(&mut test, 2);
    test.receive(&change(10));
    assert_eq!(test.machine.connection(), Connection::CatchingUp);
    comes_up(&mut test, open, (2, 10));
    assert_eq!(test.machine.connection(), Connection::Online);
    let outputs = test.outputs();
    assert_eq!(changes(&outputs), 10);
    let told = |output: &Output| matches!(output, Output::Mismatch { .. } | Output::Gap { .. });
    assert!(!outputs.iter().any(told), "{outputs:?}");
    assert_eq!(test.machine.stats().holes, 0);

    // Where it has come to the newest, there is nothing to ask for.
    test.call(&JoinRoom { room: ROOM }, Some("again"));
    let join = test.called::<JoinRoom>();
    test.receive(&frame::reply(join, &view(10)));
    assert_eq!(test.said().calls, []);
    assert_eq!(test.machine.connection(), Connection::Online);
}

/// While a room is being closed a hole in it does not open it again, and nor may it stay shut if it is not closed.
#[test]
fn a_room_whose_closing_comes_to_nothing_is_opened_again() {
    let refused = |test: &mut Driven, call| {
        let fault = Fault::of(Code::StorageUnavailable);
        test.fault(call, fault);
    };
    type End = fn(&mut Driven, CallId);
    let late: End = |test, call| {
        test.pass(1_000);
        assert_eq!(test.said().calls, [], "it may still be closed");
        test.fault(call, Fault::of(Code::StorageUnavailable));
    };
    for end in [refused as End, late] {
        let mut test = following(0);
        let mut close = Request::of(&CloseRoom { room: ROOM });
        close.deadline = Some(test.now + 500);
        test.machine.call(close).unwrap();
        let call = test.called::<CloseRoom>();
        test.receive(&change(2));
        assert_eq!(test.said().calls, [], "it is being closed");
        end(&mut test, call);
        let open = opens_from(&mut test, 0);
        comes_up(&mut test, open, (0, 2));
        assert_eq!(test.machine.connection(), Connection::Online);
        assert_eq!(changes(&test.outputs()), 2);
    }
}

#[test]
fn a_room_that_was_lost_before_the_answer_of_its_opening_came_is_asked_for_again() {
    let mut test = Driven::online(player());
    let request = EnterRoom {
        handle: "lobby".to_owned(),
    };
    test.call(&request, Some("enter"));
    let enter = test.called::<EnterRoom>();
    test.receive(&frame::event(&RoomLost {
        room: ROOM,
        reason: LostReason::Kicked,
    }));
    test.receive(&frame::reply(enter, &view(0)));
    test.outputs();
    let open = opens_from(&mut test, 0);
    let fault = Fault::of(Code::NotAMember);
    test.fault(open, fault.clone());
    let stream = Stream::Room(ROOM);
    let lost = Output::StreamLost { stream, fault };
    assert!(test.outputs().contains(&lost), "it is told");
    assert_eq!(test.machine.cursors(), Resume::default());
}

#[test]
fn an_inbox_that_was_lost_is_followed_by_the_next_player_only() {
    let mut config = player();
    config.resume.inbox = Some(3);
    let mut test = Driven::new(config);
    test.machine.start(test.now);
    test.machine.connected(test.now);
    test.receive(&welcome(Some(identity(1))));
    let call = test.called::<Resume>();
    let fault = Fault::of(Code::Forbidden);
    test.fault(call, fault.clone());
    let stream = Stream::Inbox;
    let lost = Output::StreamLost { stream, fault };
    assert!(test.outputs().contains(&lost));
    for _ in 0..2 {
        assert_eq!(test.machine.connection(), Connection::Online);
        assert_eq!(test.machine.cursors(), Resume::default());
        let said = test.reconnect();
        assert_eq!(said.calls, []);
        test.receive(&welcome(Some(identity(1))));
    }
    test.receive(&frame::event(&StreamPosition {
        stream: Stream::Inbox.to_string(),
        seq: 7,
        rev: 0,
        head: 7,
        live: true,
    }));
    assert_eq!(test.said().calls, [], "nobody follows it");

    test.outputs();
    let login = pitturu_protocol::types::accounts::LoginGuest {
        secret: "x".repeat(32),
        name: None,
        device: None,
    };
    test.call(&login, Some("login"));
    let login = test.said().calls[0].call;
    test.receive(&frame::reply(login, &signed_in(2, 1)));
    let resume = test.called::<Resume>();
    assert!(resume > 0);
    assert_eq!(test.machine.cursors().inbox, Some(0));
}
