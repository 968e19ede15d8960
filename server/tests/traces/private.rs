//! Traces go to another program, so what players write and who they are does not.

use pitturu_protocol::types::accounts::{LoginGuest, Register};
use pitturu_protocol::types::chat::{CreateRoom, EditMessage, RoomKind, SearchRooms, SendMessage};
use pitturu_protocol::types::presence::{SetPresence, Status};

use super::start;
use crate::collector::{Answers, Collector};
use crate::player::Player;

/// What every planted text holds.
const PLANTED: &str = "zqxplanted";

#[test]
fn nothing_that_a_player_has_written_reaches_the_collector() {
    let collector = Collector::start(Answers::Ok);
    let mut server = start(&collector, "1", &["log.addresses=full"]);
    let planted = |what: &str| format!("{PLANTED}{what}");
    let mut ana = Player::connect(server.ws);
    let register = Register {
        username: planted("user"),
        password: format!("{PLANTED} password of hers"),
        name: Some(planted("name")),
        email: Some(format!("{PLANTED}@mail.example")),
        device: Some(planted("device")),
    };
    let tokens = ana.call(&register).unwrap();
    let mut ben = Player::connect(server.ws);
    let guest = LoginGuest {
        secret: format!("{PLANTED:-<32}"),
        name: Some(planted("guest")),
        device: None,
    };
    ben.call(&guest).unwrap();
    let presence = SetPresence {
        status: Status::Away,
        note: Some(planted("note")),
    };
    // Whether it may be so is all the same here.
    let _ = ana.call(&presence);
    let create = CreateRoom {
        kind: RoomKind::Public,
        name: planted("room"),
        topic: Some(planted("topic")),
        slow_mode_ms: None,
        retention: None,
    };
    let room = ana.call(&create).unwrap().info.room;
    let send = SendMessage {
        room,
        text: planted("text"),
        data: None,
        reply_to: None,
    };
    let seq = ana.call_keyed(&send, &planted("key")).unwrap().seq;
    let edit = EditMessage {
        room,
        seq,
        text: planted("edited"),
    };
    let _ = ana.call(&edit);
    let search = SearchRooms {
        query: planted("search"),
        after: None,
        limit: None,
    };
    let _ = ben.call(&search);
    // Refused, with the name in the request.
    let _ = ben.call(&register);
    assert!(server.stop().success());

    let methods: Vec<String> = collector
        .traces()
        .into_iter()
        .map(|trace| trace.call.name)
        .collect();
    assert!(methods.len() >= 8, "{methods:?}");
    let secrets = [
        PLANTED,
        &tokens.access[..],
        &tokens.refresh[..],
        "127.0.0.1",
    ];
    for posted in collector.posted() {
        let text = String::from_utf8_lossy(&posted.body);
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
