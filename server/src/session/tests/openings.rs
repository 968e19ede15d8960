//! A room that is opened again while an earlier opening of it is still read.

use pitturu_protocol::codec;
use pitturu_protocol::events::Event as _;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{MessageSent, OpenRoom};
use pitturu_protocol::types::system::StreamPosition;

use super::PATIENCE;
use super::world::{Came, Client, World, message};
use crate::connections::link::memory::Options;

/// More messages than a room keeps in memory.
const MESSAGES: u64 = 150;

const fn from_the_first(room: RoomId) -> OpenRoom {
    OpenRoom {
        room,
        seq: Some(0),
        rev: Some(0),
    }
}

/// Reads until the room's stream is live, and returns the messages that came.
async fn until_live(client: &mut Client, room: RoomId) -> Vec<u64> {
    let mut heard = Vec::new();
    loop {
        match client.next().await.expect("the connection stays") {
            Came::Event(event, body) if event == MessageSent::NUMBER => {
                let sent: MessageSent = codec::decode(&body).expect("the event's type");
                heard.push(sent.msg.seq);
            }
            Came::Event(event, body) if event == StreamPosition::NUMBER => {
                let position: StreamPosition = codec::decode(&body).expect("its type");
                if position.live {
                    return heard;
                }
                client.ack(room, &position).await;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_page_that_could_not_be_read_leaves_a_later_opening_alone() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    for _ in 0..MESSAGES {
        owner.call(&message(room)).await.expect("it is sent");
    }
    let (mut reader, _) = world.guest("reader", Options::default()).await;
    reader.join(room).await;
    world.entities.fail_point_reads(1);
    reader.call(&from_the_first(room)).await.expect("a member");
    // Its first page can't be read, which is noted after a pause.
    let tried = async {
        while world.entities.fails_point_reads() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried)
        .await
        .expect("it is tried");
    reader.call(&from_the_first(room)).await.expect("a member");
    let heard = tokio::time::timeout(PATIENCE / 3, until_live(&mut reader, room));
    let heard = heard.await.expect("the later opening is read on");
    assert_eq!(heard, (1..=MESSAGES).collect::<Vec<_>>());
}
