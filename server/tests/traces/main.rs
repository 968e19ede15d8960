//! Traces as a collector gets them from a running server that is built with the feature `otlp`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(
    dead_code,
    reason = "modules that are shared with another test program"
)]

mod collector;
#[path = "../it/launch.rs"]
mod launch;
#[path = "../it/player.rs"]
mod player;
#[path = "../it/raw.rs"]
mod raw;

mod failing;
mod noted;
mod private;
mod shown;

use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{CreateRoom, RoomKind, SendMessage};

use crate::collector::Collector;
use crate::launch::Server;
use crate::player::Player;

/// A server that traces this share of the calls.
fn start(collector: &Collector, sampled: &str, more: &[&str]) -> Server {
    let endpoint = format!("traces.endpoint=http://{}", collector.address);
    let sampled = format!("traces.sampled={sampled}");
    Server::start(&[&[&endpoint[..], &sampled[..]], more].concat())
}

fn create(player: &mut Player, name: &str) -> RoomId {
    let request = CreateRoom {
        kind: RoomKind::Public,
        name: name.to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    };
    player.call(&request).unwrap().info.room
}

fn say(player: &mut Player, room: RoomId, text: &str) {
    let request = SendMessage {
        room,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    };
    player.call(&request).unwrap();
}
