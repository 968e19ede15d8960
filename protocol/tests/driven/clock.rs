//! The server's clock, measured by questions that it answers at once.

use bytes::Bytes;
use pitturu_protocol::client::{ClockEstimate, Config};
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{self, CallId, ServerFrame};
use pitturu_protocol::types::accounts::Logout;
use pitturu_protocol::types::system::{Done, Echo, Echoed};

use crate::machine::{Driven, identity, player, welcome};

/// The server's clock is ahead of the machine's.
const AHEAD: u64 = 1_000_000;

fn measuring() -> Driven {
    let mut driven = Driven::new(Config {
        measures_clock: true,
        ..player()
    });
    driven.machine.start(driven.now);
    driven.machine.connected(driven.now);
    driven.said();
    driven.receive(&welcome(Some(identity(1))));
    driven.outputs();
    driven
}

fn echoed(call: CallId, now: u64) -> Vec<u8> {
    let data = Vec::new();
    frame::reply(call, &Echoed { data, now })
}

/// Answers a question; the way there and the way back take so long.
fn answer(driven: &mut Driven, call: CallId, there: u64, back: u64) {
    driven.now += there;
    let server = driven.now + AHEAD;
    driven.now += back;
    driven.receive(&echoed(call, server));
}

fn estimate(offset_ms: u64, round_trip_ms: u64) -> Option<ClockEstimate> {
    Some(ClockEstimate {
        offset_ms: i64::try_from(offset_ms).unwrap(),
        round_trip_ms,
    })
}

#[test]
fn a_connection_begins_with_four_questions_and_each_ping_leads_to_one() {
    let mut driven = measuring();
    assert_eq!(driven.machine.clock(), None);
    for way in [30, 20, 25, 40] {
        let call = driven.called::<Echo>();
        answer(&mut driven, call, way, way);
    }
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 40));
    assert!(driven.said().calls.is_empty());
    for _ in 0..2 {
        driven.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    }
    // One at a time.
    let call = driven.called::<Echo>();
    answer(&mut driven, call, 10, 10);
    assert!(driven.said().calls.is_empty());
    driven.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    driven.called::<Echo>();
}

#[test]
fn a_question_that_is_refused_or_not_understood_says_nothing_and_another_follows() {
    let mut driven = measuring();
    let call = driven.called::<Echo>();
    driven.fault(call, Fault::of(Code::Overloaded).retry_after_ms(1));
    driven.pass(10);
    assert!(driven.said().calls.is_empty());
    driven.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    let call = driven.called::<Echo>();
    driven.receive(&frame::reply(call, &identity(1)));
    assert_eq!(driven.machine.clock(), None);
    driven.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    let call = driven.called::<Echo>();
    answer(&mut driven, call, 5, 5);
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 10));
}

#[test]
fn another_connection_is_measured_anew_and_what_the_one_before_answers_is_not_counted() {
    let mut driven = measuring();
    let call = driven.called::<Echo>();
    answer(&mut driven, call, 50, 50);
    let late = driven.called::<Echo>();
    assert!(driven.machine.hand_over(driven.now));
    driven.now += 500;
    while driven.machine.transmit_other().is_some() {}
    let next = Bytes::from(welcome(Some(identity(1))));
    driven.machine.other_received(driven.now, &next);
    let call = driven.called::<Echo>();
    // The answer came at once, and was asked for long ago.
    let answered = Bytes::from(echoed(late, 0));
    driven.machine.other_received(driven.now, &answered);
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 100));
    answer(&mut driven, call, 7, 7);
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 14));
    // A lost connection is forgotten in the same way.
    driven.called::<Echo>();
    driven.reconnect();
    driven.receive(&welcome(Some(identity(1))));
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 14));
    let call = driven.called::<Echo>();
    answer(&mut driven, call, 90, 90);
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 180));
}

#[test]
fn it_goes_on_when_the_player_signs_out() {
    let mut driven = measuring();
    let call = driven.called::<Echo>();
    driven.call(&Logout {}, Some("logout"));
    let logout = driven.called::<Logout>();
    driven.receive(&frame::reply(logout, &Done {}));
    answer(&mut driven, call, 5, 5);
    assert_eq!(driven.machine.clock(), estimate(AHEAD, 10));
    driven.called::<Echo>();
}

#[test]
fn nothing_is_asked_unless_the_owner_wants_it() {
    let mut driven = Driven::online(player());
    driven.receive(&ServerFrame::Ping { nonce: 1, now: 0 }.encode());
    assert!(driven.said().calls.is_empty());
    assert_eq!(driven.machine.clock(), None);
}
