//! A server that stood still: stopped by a signal for many times what a silent client is given.

use std::time::Duration;

use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::types::chat::{CreateRoom, JoinRoom, MessageSent, RoomKind, SendMessage};
use pitturu_protocol::types::system::Echo;

use crate::launch::Server;
use crate::player::{Came, Player};

/// Fifteen pings, and a minute.
const PAUSES: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(60)];
const PING: &str = "heartbeat.ping=200ms";

fn echo() -> Echo {
    Echo { data: vec![1] }
}

#[test]
fn nobody_who_answers_is_disconnected_by_a_pause_and_who_is_gone_still_is() {
    let server = Server::start(&[PING]);
    let mut players: Vec<Player> = ["Ana", "Ben", "Cleo"]
        .iter()
        .map(|name| Player::guest(server.ws, name).0)
        .collect();
    let hall = CreateRoom {
        kind: RoomKind::Public,
        name: "hall".to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    };
    let room = players[0].call(&hall).unwrap().info.room;
    for player in &mut players[1..] {
        player.call(&JoinRoom { room }).unwrap();
    }
    let (mut gone, _) = Player::guest(server.ws, "Dan");
    gone.pongs = false;

    for (round, pause) in PAUSES.into_iter().enumerate() {
        server.signal("STOP");
        std::thread::sleep(pause);
        // The first one has said something meanwhile, which lies in the socket; the others have not been asked anything.
        let message = SendMessage {
            room,
            text: format!("round {round}"),
            data: None,
            reply_to: None,
        };
        let sent = players[0].begin(&message);
        server.signal("CONT");
        for player in &mut players[1..] {
            let heard: MessageSent = player.event();
            assert_eq!(heard.msg.text, message.text);
        }
        assert!(sent > 0);
        // Long enough for everybody to be asked, and to be closed if the answers did not count.
        for _ in 0..10 {
            for player in &mut players {
                player.call(&echo()).unwrap();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let missed = Some(CloseCode::HeartbeatMissed.number());
    loop {
        match gone.next() {
            Came::Closed(code) => break assert_eq!(code, missed),
            Came::Ended => panic!("closed without a word"),
            _ => {}
        }
    }
}
