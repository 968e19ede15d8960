//! Following the inbox: what was asked last decides.

use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::events::Event as _;
use pitturu_protocol::types::friends::RequestFriend;
use pitturu_protocol::types::inbox::InboxAdded;
use pitturu_protocol::types::system::{Resume, StreamPosition};

use super::world::{Came, World};
use crate::connections::link::memory::Options;
use crate::players::tests::until_quiet;

#[tokio::test]
async fn who_asks_for_the_inbox_again_gets_it_from_there() {
    for round in 0..20 {
        let world = World::new().await;
        let (mut reader, signed_in) = world.guest("reader", Options::default()).await;
        let user = signed_in.identity.user;
        for number in 0..6 {
            let (mut friend, _) = world.guest(&format!("f{number}"), Options::default()).await;
            let request = RequestFriend { user };
            friend.call(&request).await.expect("anybody may");
        }
        let entities = std::sync::Arc::clone(&world.entities);
        until_quiet(&(entities as _)).await;
        let resume = |seq| Resume {
            epoch: None,
            inbox: Some(seq),
            rooms: Vec::new(),
        };
        let (first, mut frames) = reader.encode(&resume(4));
        let (second, more) = reader.encode(&resume(0));
        frames.extend(more);
        reader.peer.send(frames).await;
        let (mut heard, mut positions, mut last) = (Vec::new(), 0, None);
        let wait = Duration::from_millis(100);
        while let Ok(Some(came)) = tokio::time::timeout(wait, reader.next()).await {
            match came {
                Came::Reply(call, _) if call == first || call == second => {
                    // Whichever is answered last was carried out last.
                    last = Some(call);
                    (heard, positions) = (Vec::new(), 0);
                }
                Came::Event(event, body) if event == InboxAdded::NUMBER => {
                    let added: InboxAdded = codec::decode(&body).expect("its type");
                    heard.push(added.seq);
                }
                Came::Event(event, _) if event == StreamPosition::NUMBER => positions += 1,
                _ => {}
            }
        }
        let from = if last == Some(second) { 1 } else { 5 };
        assert_eq!(heard, (from..=6).collect::<Vec<_>>(), "round {round}");
        assert_eq!(positions, 1, "round {round}: of one follow");
    }
}
