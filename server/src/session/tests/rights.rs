//! Rights over every way to reach something: who may know a room, what is left of a deleted text, which sanctions last, whose
//! names are shown, and what of a player's own lists others can write to.

mod handles;
mod hostile;
mod known;
mod lists;
mod refusals;
mod rooms;
mod sanctions;
mod staff;
mod texts;
mod undecided;
mod unread;

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{CreateRoom, ListMyRooms, MyRoom, RoomKind, SendMessage};

use super::let_others_run;
use super::world::{Client, World};
use crate::connections::link::memory::Options;
use crate::players::tests::until_quiet;

fn create(kind: RoomKind, name: &str) -> CreateRoom {
    CreateRoom {
        kind,
        name: name.to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}

fn say(room: RoomId, text: &str) -> SendMessage {
    SendMessage {
        room,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    }
}

/// A new guest, and who it is.
async fn guest(world: &World, name: &str) -> (Client, UserId) {
    let (client, signed_in) = world.guest(name, Options::default()).await;
    (client, signed_in.identity.user)
}

/// A room of this kind, made by this player.
async fn room_of(client: &mut Client, kind: RoomKind) -> RoomId {
    let view = client.call(&create(kind, "Room")).await;
    view.expect("the room is made").info.room
}

/// All rooms of the player's list, once no signal is on its way.
async fn my_rooms(world: &World, client: &mut Client) -> Vec<MyRoom> {
    settle(world).await;
    let all = ListMyRooms {
        after: None,
        limit: Some(200),
    };
    client.call(&all).await.expect("a page").rooms
}

/// Waits until no signal is on its way.
async fn settle(world: &World) {
    let entities = std::sync::Arc::clone(&world.entities);
    until_quiet(&(entities as _)).await;
    let_others_run().await;
}
