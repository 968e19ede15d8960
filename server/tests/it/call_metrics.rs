//! Every call is counted once, by method and outcome, wherever it is answered or refused.

use std::time::Instant;

use pitturu_metrics::labels::{CallClass, Labels as _};
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::{METHODS, Method};
use pitturu_protocol::types::accounts::{GetAccount, Login};
use pitturu_protocol::types::chat::{
    BanMember, DeleteMessage, InviteToRoom, JoinRoom, LeaveRoom, OpenRoom, ReadHistory, RoomKind,
    SendMessage,
};
use pitturu_protocol::types::presence::{SetPresence, Status};
use pitturu_protocol::types::system::Echo;

use crate::chat::{create, say};
use crate::launch::Server;
use crate::player::Player;
use crate::raw::PATIENCE;

const NOWHERE: RoomId = RoomId::from_bytes([9; 10]);

const NOBODY: UserId = UserId::from_bytes([9; 10]);

/// What the page says of a line; a method whose calls were never answered so has no times.
fn value(page: &str, line: &str) -> u64 {
    page.lines()
        .find_map(|text| text.strip_prefix(line)?.trim().parse().ok())
        .unwrap_or(0)
}

fn calls(page: &str, method: &str, outcome: &str) -> u64 {
    let labels = format!("{{method=\"{method}\",outcome=\"{outcome}\"}}");
    let counted = value(page, &format!("pitturu_calls_total{labels}"));
    let timed = value(page, &format!("pitturu_call_seconds_count{labels}"));
    assert_eq!(counted, timed, "{method} {outcome}");
    counted
}

/// Makes a call that has to be refused with `code`.
fn refused<M: Method>(player: &mut Player, request: &M, code: Code) -> &'static str {
    let fault = player.call(request).err().map(|fault| fault.code);
    assert_eq!(fault, Some(code), "{}", M::NAME);
    M::NAME
}

#[test]
fn every_refusal_is_counted_where_a_client_hears_it() {
    let server = Server::start(&[]);
    let mut stranger = Player::connect(server.ws);
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    let (mut ben, _) = Player::guest(server.ws, "Ben");
    let room = create(&mut ana, RoomKind::Public, "hall", None).info.room;
    let text = |room| SendMessage {
        room,
        text: "hi".into(),
        data: None,
        reply_to: None,
    };
    let login = Login {
        username: "nobody".into(),
        password: "wrong horse".into(),
        device: None,
        known: None,
    };
    let in_game = SetPresence {
        status: Status::InGame,
        note: None,
    };
    let open = OpenRoom {
        room,
        seq: None,
        rev: None,
    };
    let history = ReadHistory {
        room: NOWHERE,
        from: None,
        limit: None,
    };
    let invitation = InviteToRoom { room, user: NOBODY };
    let ban = BanMember {
        room,
        user: NOBODY,
        until: None,
        reason: None,
    };
    let gone = DeleteMessage { room, seq: 77 };
    let nowhere = LeaveRoom { room: NOWHERE };
    let refusals = [
        // Before anything is looked at; by a service; on the spot.
        refused(&mut stranger, &GetAccount {}, Code::Unauthenticated),
        refused(&mut stranger, &login, Code::WrongCredentials),
        refused(&mut ana, &in_game, Code::InvalidArgument),
        // By a room that is not there, and by one that is: following, reading, editing, deciding.
        refused(&mut ana, &JoinRoom { room: NOWHERE }, Code::RoomNotFound),
        refused(&mut ben, &open, Code::NotAMember),
        refused(&mut ana, &history, Code::RoomNotFound),
        refused(&mut ana, &gone, Code::MessageNotFound),
        refused(&mut ana, &nowhere, Code::RoomNotFound),
        refused(&mut ben, &text(room), Code::NotAMember),
        // By what has to be looked up for the room.
        refused(&mut ana, &invitation, Code::NotFound),
        refused(&mut ana, &ban, Code::NotFound),
    ];
    let page = server.ops_page("/metrics");
    for method in refusals {
        assert_eq!(calls(&page, method, "refused"), 1, "{method}");
        assert_eq!(calls(&page, method, "failed"), 0, "{method}");
    }
    let counted: u64 = METHODS
        .iter()
        .map(|method| calls(&page, method.name, "refused"))
        .sum();
    assert_eq!(counted, refusals.len() as u64);
    let faults: u64 = <(CallClass, Code)>::series()
        .iter()
        .map(|labels| {
            let [class, code] = labels[..] else {
                panic!("{labels:?}");
            };
            let labels = format!("{{class=\"{class}\",code=\"{code}\"}}");
            value(&page, &format!("pitturu_faults_total{labels}"))
        })
        .sum();
    assert_eq!(faults, refusals.len() as u64);
}

#[test]
fn calls_that_are_answered_alike_are_counted_one_by_one() {
    let server = Server::start(&[]);
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    let room = create(&mut ana, RoomKind::Public, "hall", None).info.room;
    for _ in 0..3 {
        say(&mut ana, room, "hi");
        let echo = Echo { data: vec![1] };
        ana.call(&echo).unwrap();
    }
    // Several in one message are answered together.
    let numbers: Vec<_> = (0..5).map(|_| ana.begin(&Echo { data: vec![2] })).collect();
    ana.call(&Echo { data: vec![3] }).unwrap();
    let page = server.ops_page("/metrics");
    assert_eq!(calls(&page, "SendMessage", "ok"), 3);
    assert_eq!(calls(&page, "CreateRoom", "ok"), 1);
    assert_eq!(calls(&page, "LoginGuest", "ok"), 1);
    assert_eq!(calls(&page, "Echo", "ok"), 4 + numbers.len() as u64);
}

#[test]
fn each_call_is_a_span_at_level_debug_and_costs_no_line_above_it() {
    for (level, is_told) in [("debug", true), ("info", false)] {
        let mut server = Server::start(&[&format!("log.level={level}"), "log.format=json"]);
        let (mut ana, _) = Player::guest(server.ws, "Ana");
        let room = create(&mut ana, RoomKind::Public, "hall", None).info.room;
        say(&mut ana, room, "hi");
        drop(ana);
        let began = Instant::now();
        let spans = |log: &str| {
            ["LoginGuest", "CreateRoom", "SendMessage"]
                .iter()
                .filter(|method| log.contains(&format!("\"method\":\"{method}\"")))
                .count()
        };
        while is_told && spans(&server.log()) < 3 {
            assert!(began.elapsed() < PATIENCE, "{}", server.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        server.stop();
        assert_eq!(spans(&server.log()), if is_told { 3 } else { 0 }, "{level}");
    }
}
