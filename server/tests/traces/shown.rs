//! What a trace shows.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::Register;
use pitturu_protocol::types::chat::{JoinRoom, OpenRoom, SendMessage};
use pitturu_protocol::types::friends::RequestFriend;
use pitturu_protocol::types::system::Echo;

use super::{create, say, start};
use crate::collector::{Answers, Collector, said, took};
use crate::launch::Server;
use crate::player::{Came, Player};

#[test]
fn a_message_shows_its_wait_its_decision_its_commit_and_its_delivery() {
    let collector = Collector::start(Answers::Ok);
    let server = start(
        &collector,
        "1",
        &["traces.headers=x-key=a-key,x-team=games"],
    );
    let (mut ana, signed_in) = Player::guest(server.ws, "Ana");
    let (mut ben, _) = Player::guest(server.ws, "Ben");
    let room = create(&mut ana, "hall");
    ben.call(&JoinRoom { room }).unwrap();
    say(&mut ana, room, "hi");

    let trace = collector.trace_of("SendMessage");
    let call = &trace.call;
    assert_eq!(call.kind, SpanKind::Server as i32);
    assert_eq!((call.trace_id.len(), call.span_id.len()), (16, 8));
    let of_call = |key: &str| said(&call.attributes, key);
    assert_eq!(of_call("rpc.system").as_deref(), Some("pitturu"));
    assert_eq!(of_call("rpc.method").as_deref(), Some("SendMessage"));
    assert_eq!(of_call("pitturu.outcome").as_deref(), Some("ok"));
    assert_eq!(of_call("error.type"), None);
    let user = signed_in.identity.user.to_string();
    assert_eq!(of_call("user.id"), Some(user));
    // Log lines have both: `conn` and `call`.
    let conn = of_call("pitturu.connection").unwrap();
    assert!(server.log().contains(&format!("\"conn\":\"{conn}\"")));
    assert_eq!(of_call("pitturu.call").as_deref(), Some("3"));

    assert_eq!(trace.steps(), ["owner.wait", "decide", "commit", "deliver"]);
    for step in &trace.steps {
        assert_eq!(step.parent_span_id, call.span_id);
        assert_ne!(step.span_id, call.span_id);
        assert_eq!(step.kind, SpanKind::Internal as i32);
        assert!(step.start_time_unix_nano >= call.start_time_unix_nano);
        assert!(step.end_time_unix_nano <= call.end_time_unix_nano);
        let entity = said(&step.attributes, "pitturu.entity");
        assert_eq!(entity.as_deref(), Some("rooms"));
        let of_room = said(&step.attributes, "pitturu.room");
        assert_eq!(of_room, Some(room.to_string()));
    }
    assert!(took(trace.step("commit")) > Duration::from_micros(10));
    let told = said(&trace.step("deliver").attributes, "pitturu.followers");
    assert_eq!(told.as_deref(), Some("2"));
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
        - u128::from(call.start_time_unix_nano);
    assert!(age < Duration::from_secs(60).as_nanos(), "{age} ns");

    let posted = collector.posted().remove(0);
    assert!(posted.head.starts_with("POST /v1/traces HTTP/1.1\r\n"));
    for header in [
        "content-type: application/x-protobuf",
        "x-key: a-key",
        "x-team: games",
    ] {
        assert!(posted.head.contains(header), "{}", posted.head);
    }
    let resource = collector.exports().remove(0).resource_spans.remove(0);
    let resource = resource.resource.unwrap().attributes;
    assert_eq!(said(&resource, "service.name").as_deref(), Some("pitturu"));
    for key in ["service.version", "service.instance.id"] {
        assert!(said(&resource, key).is_some(), "{key}");
    }
}

#[test]
fn calls_of_players_show_what_their_entities_and_their_passwords_take() {
    let collector = Collector::start(Answers::Ok);
    let mut server = start(&collector, "1", &[]);
    let mut ana = Player::connect(server.ws);
    let register = Register {
        username: "ana_maria".to_owned(),
        password: "correct horse battery".to_owned(),
        name: None,
        email: None,
        device: None,
    };
    let signed_in = ana.call(&register).unwrap();
    let (mut ben, ben_is) = Player::guest(server.ws, "Ben");
    let room = create(&mut ana, "hall");
    let user = ben_is.identity.user;
    ana.call(&RequestFriend { user }).unwrap();
    ben.call(&Echo { data: vec![1] }).unwrap();
    assert!(server.stop().success());

    let trace = collector.trace_of("Register");
    let user = said(&trace.call.attributes, "user.id");
    assert_eq!(user, Some(signed_in.identity.user.to_string()));
    assert!(took(trace.step("password.hash")) > Duration::from_micros(100));
    let trace = collector.trace_of("CreateRoom");
    let commit = trace.step("commit");
    let of_room = said(&commit.attributes, "pitturu.room");
    assert_eq!(of_room, Some(room.to_string()));
    // The answer waits until the other player has it.
    let trace = collector.trace_of("RequestFriend");
    for name in ["owner.wait", "decide", "commit", "signals.wait"] {
        let step = trace.step(name);
        let entity = said(&step.attributes, "pitturu.entity");
        assert_eq!(entity.as_deref(), Some("players"), "{name}");
        assert_eq!(said(&step.attributes, "pitturu.room"), None);
    }
    // Answered on the spot.
    assert!(collector.trace_of("Echo").steps.is_empty());
}

#[test]
fn a_refused_call_says_why() {
    let collector = Collector::start(Answers::Ok);
    let mut server = start(&collector, "1", &[]);
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    let open = OpenRoom {
        room: RoomId::from_bytes([9; 10]),
        seq: None,
        rev: None,
    };
    let fault = ana.call(&open).unwrap_err();
    assert_eq!(fault.code, Code::RoomNotFound);
    assert!(server.stop().success());
    let trace = collector.trace_of("OpenRoom");
    let of_call = |key: &str| said(&trace.call.attributes, key);
    assert_eq!(of_call("error.type").as_deref(), Some(fault.code.name()));
    assert_eq!(of_call("pitturu.outcome").as_deref(), Some("refused"));
    assert_eq!(trace.steps(), ["owner.wait", "load"]);
    assert_eq!(trace.call.status.unwrap().code, StatusCode::Unset as i32);
}

#[test]
fn what_the_server_could_not_do_is_an_error() {
    let collector = Collector::start(Answers::Ok);
    let settings = [
        "store.queue_jobs_max=16",
        "store.commit_every=1s",
        "limits.chat_per_second=100000",
        "limits.chat_burst=100000",
    ];
    let mut server = start(&collector, "1", &settings);
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    let room = create(&mut ana, "hall");
    let overloaded = Code::Overloaded;
    while !refusals(&mut ana, room).contains(&overloaded) {}
    assert!(server.stop().success());
    let traces = collector.traces();
    let failed = traces
        .iter()
        .find(|trace| said(&trace.call.attributes, "pitturu.outcome").as_deref() == Some("failed"));
    let failed = &failed.unwrap().call;
    let error = said(&failed.attributes, "error.type");
    assert_eq!(error.as_deref(), Some(overloaded.name()));
    let status = failed.status.as_ref().unwrap().code;
    assert_eq!(status, StatusCode::Error as i32);
}

/// Says more at once than the store's queue holds, and returns why some of it was refused.
fn refusals(player: &mut Player, room: RoomId) -> Vec<Code> {
    let calls = 50;
    let request = SendMessage {
        room,
        text: "hi".to_owned(),
        data: None,
        reply_to: None,
    };
    for _ in 0..calls {
        player.begin(&request);
    }
    let mut answers = 0;
    let mut codes = Vec::new();
    while answers < calls {
        match player.next() {
            Came::Reply(..) => answers += 1,
            Came::Fault(_, fault) => {
                answers += 1;
                codes.push(fault.code);
            }
            Came::Closed(_) | Came::Ended => panic!("the connection is closed"),
            _ => {}
        }
    }
    codes
}

#[test]
fn another_share_is_taken_over_while_the_server_runs() {
    let collector = Collector::start(Answers::Ok);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let configure = |sampled: &str| {
        let endpoint = format!("endpoint = \"http://{}\"", collector.address);
        let text = format!("[traces]\n{endpoint}\nsampled = {sampled}\n");
        std::fs::write(folder.path().join("pitturu.toml"), text).unwrap();
    };
    configure("0");
    let mut server = Server::start_in(Arc::clone(&folder), &[]);
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    for (times, sampled, room) in [(1, "1.0", "hall"), (2, "0.0", "attic")] {
        configure(sampled);
        server.signal("HUP");
        while server.log().matches("configuration read again").count() < times {
            std::thread::sleep(Duration::from_millis(10));
        }
        create(&mut ana, room);
    }
    assert!(server.stop().success());
    let traces = collector.traces();
    let [trace] = &traces[..] else {
        panic!("{traces:?}");
    };
    assert_eq!(trace.call.name, "CreateRoom");
}

#[test]
fn a_collector_behind_a_path_is_found_there() {
    let collector = Collector::start(Answers::Ok);
    let endpoint = format!("traces.endpoint=http://{}/otlp/", collector.address);
    let mut server = Server::start(&[&endpoint, "traces.sampled=1"]);
    Player::guest(server.ws, "Ana");
    assert!(server.stop().success());
    let head = &collector.posted()[0].head;
    assert!(head.starts_with("POST /otlp/v1/traces HTTP/1.1"), "{head}");
}

#[test]
fn calls_that_come_together_are_told_apart() {
    let collector = Collector::start(Answers::Ok);
    let mut server = start(&collector, "1", &[]);
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    for _ in 0..20 {
        ana.begin(&Echo { data: vec![1] });
    }
    ana.call(&Echo { data: vec![2] }).unwrap();
    assert!(server.stop().success());
    let traces = collector.traces();
    let echoes = traces.iter().filter(|trace| trace.call.name == "Echo");
    assert_eq!(echoes.count(), 21);
}

#[test]
fn traces_cost_no_log_line_and_none_is_sent_that_was_not_drawn() {
    let collector = Collector::start(Answers::Ok);
    for (sampled, are_sent) in [("0", false), ("1", true)] {
        let mut server = start(&collector, sampled, &[]);
        let (mut ana, _) = Player::guest(server.ws, "Ana");
        let room = create(&mut ana, "hall");
        say(&mut ana, room, "hi");
        assert!(server.stop().success());
        let log = server.log();
        assert!(!log.contains("SendMessage"), "{log}");
        assert!(!log.contains("\"span"), "{log}");
        assert_eq!(!collector.posted().is_empty(), are_sent, "{sampled}");
    }
}
