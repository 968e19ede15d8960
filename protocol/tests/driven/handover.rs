//! The handover of a live client to another connection: what goes over which, and when it is given up.

use bytes::Bytes;
use pitturu_protocol::client::{Config, Connection, Output};
use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::frame::{self, ServerFrame};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{GetAccount, Logout};
use pitturu_protocol::types::chat::{
    EphemeralSent, JoinRoom, Message, MessageSent, SendMessage, Sent, Typing,
};
use pitturu_protocol::types::presence::{PlayerPresence, Presence, Status};
use pitturu_protocol::types::system::{
    Done, Echo, Echoed, Goaway, GoawayReason, Resume, RoomCursor, StreamPosition,
};
use serde::Serialize;

use crate::machine::{Driven, ROOM, View, identity, player, view_of, welcome};

/// A room view, as far as the machine reads it.
fn in_room(head: u64) -> Driven {
    let config = Config {
        resume: Resume {
            epoch: None,
            inbox: None,
            rooms: vec![RoomCursor {
                room: ROOM,
                seq: head,
                rev: 0,
            }],
        },
        ..player()
    };
    let mut driven = Driven::new(config);
    driven.machine.start(driven.now);
    driven.machine.connected(driven.now);
    driven.receive(&welcome(Some(identity(1))));
    driven.receive(&resumed(1, head));
    driven.outputs();
    driven.said();
    assert_eq!(driven.machine.connection(), Connection::Online);
    driven
}

fn resumed(call: u32, head: u64) -> Vec<u8> {
    #[derive(Serialize)]
    struct Outcome {
        room: RoomId,
        view: View,
    }
    #[derive(Serialize)]
    struct Answer {
        inbox: u64,
        rooms: Vec<Outcome>,
    }
    let view = view_of(ROOM, head, 0);
    let answer = Answer {
        inbox: 0,
        rooms: vec![Outcome { room: ROOM, view }],
    };
    let body = pitturu_protocol::codec::encode(&answer);
    ServerFrame::Reply { call, body: &body }.encode()
}

fn message(seq: u64) -> Vec<u8> {
    frame::event(&MessageSent {
        room: ROOM,
        msg: Message {
            seq,
            from: identity(2).user,
            name: String::new(),
            text: String::new(),
            at: 0,
            data: None,
            reply_to: None,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        },
    })
}

fn said(text: &str) -> Vec<u8> {
    frame::event(&EphemeralSent {
        room: ROOM,
        from: identity(2).user,
        name: String::new(),
        text: text.into(),
        at: 0,
    })
}

impl Driven {
    fn other(&mut self, frames: &[u8]) {
        self.machine
            .other_received(self.now, &Bytes::copy_from_slice(frames));
    }

    /// What goes over the other connection: methods of calls, and whether there is a hello.
    fn said_to_other(&mut self) -> (bool, Vec<u16>) {
        let mut all = (false, Vec::new());
        while let Some(message) = self.machine.transmit_other() {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (frame, after) = frame::ClientFrame::read(rest).unwrap();
                rest = after;
                match frame {
                    frame::ClientFrame::Hello(hello) => {
                        assert_eq!(hello.token.as_deref(), Some("access 1"));
                        all.0 = true;
                    }
                    frame::ClientFrame::Call { method, .. } => all.1.push(method),
                    _ => {}
                }
            }
        }
        all
    }

    /// The connection before answers what it is asked last.
    fn answer_last(&mut self) {
        let mut last = None;
        while let Some(message) = self.machine.transmit_other() {
            let (frame, _) = frame::ClientFrame::read(&message).unwrap();
            if let frame::ClientFrame::Call { call, method, .. } = frame {
                assert_eq!(method, Echo::NUMBER);
                last = Some(call);
            }
        }
        let answer = Echoed {
            data: Vec::new(),
            now: 0,
        };
        self.other(&frame::reply(last.unwrap(), &answer));
    }

    /// A handover up to the moment at which the other connection has taken over, which is not answered yet.
    fn handed_over(&mut self) {
        assert!(self.machine.hand_over(self.now));
        assert_eq!(self.said_to_other(), (true, Vec::new()));
        self.other(&welcome(Some(identity(1))));
    }

    fn entries(&mut self) -> usize {
        let outputs = self.outputs();
        let is_event = |output: &&Output| matches!(output, Output::Event { event: 1, .. });
        outputs.iter().filter(is_event).count()
    }
}

fn send() -> SendMessage {
    SendMessage {
        room: ROOM,
        text: "text".into(),
        data: None,
        reply_to: None,
    }
}

#[test]
fn the_connection_before_brings_entries_until_the_next_one_does_and_nothing_is_told() {
    let mut driven = in_room(5);
    driven.handed_over();
    assert_eq!(driven.outputs(), [Output::TakeOver]);
    let resume = driven.called::<Resume>();
    driven.other(&message(6));
    driven.other(&message(7));
    assert_eq!(driven.entries(), 2);
    // The server has answered before it told the other connection of 7.
    driven.receive(&resumed(resume, 6));
    driven.receive(&message(6));
    driven.receive(&message(7));
    driven.receive(&message(8));
    // The first page ends before what came over the connection before; that is no reason to tell of catching up.
    for (seq, live) in [(7, false), (8, true)] {
        let position = StreamPosition {
            stream: ROOM.to_string(),
            seq,
            rev: 0,
            head: 8,
            live,
        };
        driven.receive(&frame::event(&position));
    }
    driven.other(&message(8));
    driven.answer_last();
    let outputs = driven.outputs();
    let told: Vec<_> = outputs
        .iter()
        .map(|output| match output {
            Output::Event { event, .. } => format!("event {event}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        ["event 1", "event 16", "event 16", "CloseOther(1000)"]
    );
    assert_eq!(driven.machine.connection(), Connection::Online);
}

#[test]
fn what_the_connection_before_was_asked_it_answers_and_sends_stay_behind_it() {
    let mut driven = in_room(5);
    let first = driven.call(&send(), Some("key 1"));
    let typing = driven.call(&Typing { room: ROOM }, None);
    let calls = driven.said().calls;
    driven.handed_over();
    driven.outputs();
    let second = driven.call(&send(), Some("key 2"));
    let read = driven.call(&GetAccount {}, None);
    let after: Vec<_> = driven.said().calls;
    assert_eq!(
        after.iter().map(|one| one.method).collect::<Vec<_>>(),
        [Resume::NUMBER, GetAccount::NUMBER]
    );
    // Numbers go on: the same one on both connections would be answered twice.
    assert!(after[0].call > calls[1].call);
    driven.receive(&resumed(after[0].call, 5));
    driven.answer_last();
    assert_eq!(driven.outputs(), []);
    driven.other(&frame::reply(calls[1].call, &Done {}));
    driven.other(&frame::reply(calls[0].call, &Sent { seq: 6, at: 0 }));
    let outputs = driven.outputs();
    assert_eq!(outputs.last(), Some(&Output::CloseOther(1000)));
    let answered = outputs.iter().filter_map(|output| match output {
        Output::Answer { ticket, result } => Some((*ticket, result.is_ok())),
        _ => None,
    });
    assert_eq!(
        answered.collect::<Vec<_>>(),
        [(typing, true), (first, true)]
    );
    let sent = driven.called::<SendMessage>();
    driven.receive(&frame::reply(sent, &Sent { seq: 7, at: 0 }));
    driven.receive(&frame::reply(after[1].call, &Done {}));
    assert_eq!(driven.answers(), [(second, Ok(())), (read, Ok(()))]);
}

#[test]
fn what_the_connection_before_does_not_answer_is_asked_again_under_its_key() {
    for is_cut in [false, true] {
        let mut driven = in_room(5);
        let first = driven.call(&send(), Some("key 1"));
        let typing = driven.call(&Typing { room: ROOM }, None);
        driven.said();
        driven.handed_over();
        let resume = driven.called::<Resume>();
        driven.receive(&resumed(resume, 5));
        driven.outputs();
        if is_cut {
            driven.machine.other_disconnected(driven.now);
        } else {
            driven.pass(1_999);
            assert_eq!(driven.outputs(), []);
            driven.pass(1);
        }
        let mut outputs = driven.outputs();
        if !is_cut {
            assert_eq!(outputs.remove(0), Output::CloseOther(1000));
        }
        match &outputs[..] {
            [
                Output::Answer {
                    ticket,
                    result: Err(fault),
                },
            ] => {
                assert_eq!((*ticket, fault.code), (typing, Code::Disconnected));
            }
            other => panic!("{other:?}"),
        }
        let again = driven.called::<SendMessage>();
        driven.receive(&frame::reply(again, &Sent { seq: 6, at: 0 }));
        assert_eq!(driven.answers(), [(first, Ok(()))]);
    }
}

#[test]
fn a_call_that_opens_a_room_is_not_split_between_two_connections() {
    let mut driven = in_room(5);
    let join = driven.call(&JoinRoom { room: ROOM }, Some("join"));
    let call = driven.called::<JoinRoom>();
    driven.handed_over();
    assert_eq!(driven.outputs(), []);
    // One that comes meanwhile waits, and others do not.
    driven.call(&JoinRoom { room: ROOM }, Some("join again"));
    driven.call(&send(), Some("send"));
    assert_eq!(
        driven
            .said()
            .calls
            .iter()
            .map(|one| one.method)
            .collect::<Vec<_>>(),
        [SendMessage::NUMBER]
    );
    let body = pitturu_protocol::codec::encode(&view_of(ROOM, 5, 0));
    driven.receive(&ServerFrame::Reply { call, body: &body }.encode());
    let outputs = driven.outputs();
    assert!(outputs.contains(&Output::TakeOver));
    assert!(matches!(&outputs[0], Output::Answer { ticket, .. } if *ticket == join));
    let methods: Vec<_> = driven.said().calls.iter().map(|one| one.method).collect();
    assert_eq!(methods, [Resume::NUMBER, JoinRoom::NUMBER]);
}

#[test]
fn a_next_connection_that_does_not_fit_is_given_up_and_nothing_is_lost() {
    let other_version = {
        let mut frames = welcome(Some(identity(1)));
        let at = frames.windows(2).position(|two| two == b"\xa1v").unwrap();
        frames[at + 2] = 2;
        frames
    };
    let goaway = ServerFrame::Goaway(Goaway {
        reason: GoawayReason::Drain,
        reconnect: true,
        within_ms: 1,
    });
    let refused = ServerFrame::Fault {
        call: 0,
        fault: Fault::of(Code::Overloaded),
    };
    let protocol = CloseCode::ProtocolError.number();
    for (frames, code) in [
        (welcome(Some(identity(2))), 1000),
        (welcome(None), 1000),
        (other_version, protocol),
        (goaway.encode(), protocol),
        (refused.encode(), protocol),
        (vec![0xc1], protocol),
    ] {
        let mut driven = in_room(5);
        let sent = driven.call(&send(), Some("key 1"));
        let call = driven.called::<SendMessage>();
        assert!(driven.machine.hand_over(driven.now));
        assert!(!driven.machine.hand_over(driven.now), "one at a time");
        driven.other(&frames);
        assert_eq!(driven.outputs(), [Output::CloseOther(code)]);
        driven.receive(&message(6));
        driven.receive(&frame::reply(call, &Sent { seq: 6, at: 0 }));
        assert_eq!(driven.answers(), [(sent, Ok(()))]);
        assert_eq!(driven.machine.connection(), Connection::Online);
        assert!(driven.machine.hand_over(driven.now));
    }
}

#[test]
fn a_next_connection_that_is_slow_is_given_up() {
    let mut driven = in_room(5);
    assert!(driven.machine.hand_over(driven.now));
    driven.pass(9_999);
    assert_eq!(driven.outputs(), []);
    driven.pass(1);
    let code = CloseCode::HandshakeTimeout.number();
    assert_eq!(driven.outputs(), [Output::CloseOther(code)]);
    // So is one that an unanswered call keeps waiting.
    driven.call(&JoinRoom { room: ROOM }, Some("join"));
    driven.handed_over();
    driven.pass(1_000);
    driven.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    driven.pass(3_999);
    assert_eq!(driven.outputs(), []);
    driven.pass(1);
    assert_eq!(driven.outputs(), [Output::CloseOther(1000)]);
    // Late frames of either are nobody's.
    driven.other(&welcome(Some(identity(1))));
    driven.machine.other_disconnected(driven.now);
    assert_eq!(driven.outputs(), []);
    assert_eq!(driven.machine.connection(), Connection::Online);
}

#[test]
fn a_present_connection_that_is_silent_meanwhile_is_taken_for_lost() {
    let mut driven = in_room(5);
    let join = driven.call(&JoinRoom { room: ROOM }, Some("join"));
    driven.said();
    driven.pass(3_000);
    driven.handed_over();
    driven.pass(4_999);
    assert_eq!(driven.outputs(), []);
    driven.pass(1);
    let missed = CloseCode::HeartbeatMissed.number();
    assert_eq!(
        driven.outputs()[..2],
        [Output::Close(missed), Output::TakeOver]
    );
    let calls = driven.said().calls;
    driven.receive(&resumed(calls[0].call, 5));
    driven.fault(calls[1].call, Fault::of(Code::NotFound));
    assert_eq!(driven.answers(), [(join, Err(Code::NotFound))]);
    assert_eq!(driven.machine.connection(), Connection::Online);
}

#[test]
fn the_next_connection_goes_on_where_the_present_one_is_lost() {
    for is_welcomed in [false, true] {
        let mut driven = in_room(5);
        let sent = driven.call(&send(), Some("key 1"));
        let join = driven.call(&JoinRoom { room: ROOM }, Some("join"));
        driven.said();
        assert!(driven.machine.hand_over(driven.now));
        driven.said_to_other();
        if is_welcomed {
            driven.other(&welcome(Some(identity(1))));
            assert_eq!(driven.outputs(), []);
        }
        driven.machine.disconnected(driven.now, None);
        assert_eq!(driven.outputs()[0], Output::TakeOver);
        if !is_welcomed {
            assert_eq!(driven.machine.connection(), Connection::Connecting);
            driven.receive(&welcome(Some(identity(1))));
        }
        let calls = driven.said().calls;
        let methods: Vec<_> = calls.iter().map(|one| one.method).collect();
        assert_eq!(
            methods,
            [Resume::NUMBER, SendMessage::NUMBER, JoinRoom::NUMBER]
        );
        driven.receive(&resumed(calls[0].call, 5));
        driven.receive(&frame::reply(calls[1].call, &Sent { seq: 6, at: 0 }));
        driven.fault(calls[2].call, Fault::of(Code::NotFound));
        assert_eq!(
            driven.answers(),
            [(sent, Ok(())), (join, Err(Code::NotFound))]
        );
        assert_eq!(driven.machine.connection(), Connection::Online);
    }
}

#[test]
fn a_server_that_sends_its_clients_away_gets_no_handover() {
    let goaway = ServerFrame::Goaway(Goaway {
        reason: GoawayReason::Drain,
        reconnect: true,
        within_ms: 1,
    });
    let mut driven = in_room(5);
    assert!(driven.machine.hand_over(driven.now));
    driven.receive(&goaway.encode());
    assert_eq!(driven.outputs(), [Output::CloseOther(1000)]);
    assert!(!driven.machine.hand_over(driven.now));
    // Nor does a close that says who must not come back.
    let mut driven = in_room(5);
    driven.handed_over();
    driven.outputs();
    let gone = CloseCode::SessionEnded.number();
    driven.machine.disconnected(driven.now, Some(gone));
    assert_eq!(driven.outputs()[0], Output::CloseOther(1000));
    driven.machine.stop();
    assert!(!driven.machine.hand_over(driven.now));
}

#[test]
fn the_connection_before_says_nothing_to_another_player() {
    let mut driven = in_room(5);
    // An answer is owed by the connection before, to whoever it was that asked.
    let asked = driven.call(&Echo { data: vec![1] }, None);
    driven.said();
    driven.handed_over();
    driven.said();
    driven.outputs();
    driven.call(&Logout {}, Some("logout"));
    let call = driven.called::<Logout>();
    driven.receive(&frame::reply(call, &Done {}));
    let outputs = driven.outputs();
    assert!(outputs.contains(&Output::CloseOther(1000)), "{outputs:?}");
    assert!(outputs.contains(&Output::SignedOut(None)));
    driven.other(&said("late"));
    assert_eq!(driven.outputs(), []);
    // Whoever may ask without a player is answered on the connection that there is.
    let again = driven.called::<Echo>();
    let answer = Echoed {
        data: vec![1],
        now: 0,
    };
    driven.receive(&frame::reply(again, &answer));
    assert_eq!(driven.answers(), [(asked, Ok(()))]);
}

#[test]
fn what_both_connections_tell_is_handed_up_once() {
    let mut driven = in_room(5);
    driven.handed_over();
    let resume = driven.called::<Resume>();
    driven.outputs();
    driven.other(&said("one"));
    driven.receive(&resumed(resume, 5));
    // "one" was said twice: once before the next connection had the room open.
    driven.receive(&said("one"));
    driven.receive(&said("two"));
    driven.receive(&said("one"));
    let outputs = driven.outputs();
    let events = outputs
        .iter()
        .filter(|output| matches!(output, Output::Event { .. }));
    assert_eq!(events.count(), 3);
    // An older state that comes late is not handed up behind the newer one.
    let mut driven = in_room(5);
    driven.call(&send(), Some("keeps the connection before"));
    driven.said();
    driven.handed_over();
    driven.outputs();
    let seen = |user, status| {
        frame::event(&PlayerPresence {
            presence: Presence {
                user: identity(user).user,
                status,
                note: None,
            },
        })
    };
    driven.receive(&seen(2, Status::Away));
    driven.other(&seen(2, Status::Online));
    driven.other(&seen(2, Status::Away));
    assert_eq!(driven.outputs().len(), 1);
    // One about somebody else is.
    driven.other(&seen(3, Status::Online));
    assert_eq!(driven.outputs().len(), 1);
}

#[test]
fn a_state_that_was_overtaken_is_dropped() {
    let mut driven = in_room(5);
    let state = |room, tick| {
        ServerFrame::State {
            room,
            tick,
            data: b"state",
        }
        .encode()
    };
    let other_room = RoomId::from_bytes([8; 10]);
    for (room, tick, is_new) in [
        (ROOM, 0, true),
        (ROOM, 3, true),
        (ROOM, 2, false),
        (ROOM, 3, false),
        (other_room, 1, true),
        (ROOM, 4, true),
    ] {
        driven.receive(&state(room, tick));
        assert_eq!(driven.outputs().len(), usize::from(is_new), "{tick}");
    }
    driven.handed_over();
    driven.outputs();
    driven.other(&state(ROOM, 5));
    driven.receive(&state(ROOM, 5));
    assert_eq!(driven.outputs().len(), 1);
    // A server that was started anew may count anew.
    driven.reconnect();
    driven.receive(&welcome(Some(identity(1))));
    driven.outputs();
    driven.receive(&state(ROOM, 1));
    assert_eq!(driven.outputs().len(), 1);
}
