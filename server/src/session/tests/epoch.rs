//! Cursors of another history of the store: none is looked at.

use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::events::Event as _;
use pitturu_protocol::types::chat::MessageSent;
use pitturu_protocol::types::friends::RequestFriend;
use pitturu_protocol::types::inbox::InboxAdded;
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};

use super::world::{Came, World, message};
use crate::connections::link::memory::Options;
use crate::players::tests::until_quiet;

#[tokio::test]
async fn only_cursors_of_the_stores_own_epoch_are_served_from() {
    let world = World::new().await;
    let (mut writer, _) = world.guest("writer", Options::default()).await;
    let room = writer.create_room().await;
    let (mut reader, signed_in) = world.guest("reader", Options::default()).await;
    reader.join(room).await;
    let user = signed_in.identity.user;
    let request = RequestFriend { user };
    writer.call(&request).await.expect("anybody may");
    for _ in 0..5 {
        writer.call(&message(room)).await.expect("a member");
    }
    let entities = std::sync::Arc::clone(&world.entities);
    until_quiet(&(entities as _)).await;

    let epoch = world.connect(Options::default()).hello().await.epoch;
    assert!((1..1 << 53).contains(&epoch));
    let mut head = 5;
    // What it has, nothing said, no server's, and another one's.
    for (named, counts) in [
        (Some(epoch), true),
        (None, true),
        (Some(0), false),
        (Some(epoch + 1), false),
    ] {
        let mut client = world.connect(Options::default());
        client.hello_with(Some(&signed_in.access), None).await;
        // Below the head, where entries are to come that the client has not seen.
        let resume = Resume {
            epoch: named,
            inbox: Some(1),
            rooms: vec![RoomCursor {
                room,
                seq: 2,
                rev: 0,
            }],
        };
        let resumed = client.call(&resume).await.expect("a member");
        let view = resumed.rooms[0].view.as_ref().expect("a member");
        assert_eq!((resumed.inbox, view.info.head), (1, head), "{named:?}");
        writer.call(&message(room)).await.expect("a member");
        head += 1;
        let (mut messages, mut entries) = (Vec::new(), 0);
        while let Ok(Some(came)) =
            tokio::time::timeout(Duration::from_millis(300), client.next()).await
        {
            match came {
                Came::Event(event, body) if event == MessageSent::NUMBER => {
                    let sent: MessageSent = codec::decode(&body).expect("its type");
                    messages.push(sent.msg.seq);
                }
                Came::Event(event, _) if event == InboxAdded::NUMBER => entries += 1,
                Came::Event(event, body) if event == StreamPosition::NUMBER => {
                    let position: StreamPosition = codec::decode(&body).expect("its type");
                    assert!(position.live, "{named:?}");
                }
                _ => {}
            }
        }
        let from = if counts { 3 } else { head };
        assert_eq!(messages, (from..=head).collect::<Vec<_>>(), "{named:?}");
        assert_eq!(entries, u32::from(!counts), "{named:?}: all of it");
    }
}
