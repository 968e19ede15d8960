//! The calls of one room take effect in the order in which they were sent (docs/protocol.md), also where one of them needs
//! something from the store first.

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::events::Event as _;
use pitturu_protocol::types::chat::{
    CloseRoom, DeleteMessage, EditMessage, JoinRoom, LeaveRoom, MessageSent, OpenDirect, React,
};

use super::world::{Came, Client, Raw, World, message};
use super::{echo, let_others_run, open};
use crate::connections::link::memory::Options;

/// The messages that came until an echo has.
async fn hears(client: &mut Client) -> Vec<u64> {
    let call = client.begin(&echo()).await;
    let mut heard = Vec::new();
    loop {
        match client.next().await.expect("the connection is up") {
            Came::Event(MessageSent::NUMBER, body) => {
                let sent: MessageSent = codec::decode(&body).unwrap();
                heard.push(sent.msg.seq);
            }
            Came::Reply(answered, _) if answered == call => return heard,
            _ => {}
        }
    }
}

/// Has something fetched for the first call, and sends the second in one message with it. Both are carried out.
#[tokio::test]
async fn what_follows_a_change_of_an_old_message_waits_for_it() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    for kind in 0..3 {
        let (mut reader, _) = world.guest(&format!("r{kind}"), Options::default()).await;
        reader.join(room).await;
        let seq = reader.call(&message(room)).await.unwrap().seq;
        // So many that the first one is only in the store.
        for _ in 0..crate::chat::recent::RECENT_MAX {
            owner.call(&message(room)).await.unwrap();
        }
        let (one, mut frames) = match kind {
            0 => reader.encode(&React {
                room,
                seq,
                emoji: "👍".to_owned(),
                on: true,
            }),
            1 => reader.encode(&EditMessage {
                room,
                seq,
                text: "better".to_owned(),
            }),
            _ => reader.encode(&DeleteMessage { room, seq }),
        };
        let (two, more) = reader.encode(&LeaveRoom { room });
        frames.extend(more);
        reader.peer.send(frames).await;
        let first = reader.answer_in_any_order(one).await;
        assert!(first.is_ok(), "{kind}: {first:?}");
        reader.answer_in_any_order(two).await.expect("left");
    }
}

/// Behind a call that is looked up, whatever it is.
#[tokio::test]
async fn what_follows_a_call_that_is_looked_up_waits_for_it() {
    for second in ["close", "leave", "send", "open"] {
        let world = World::new().await;
        let (mut owner, _) = world.guest("owner", Options::default()).await;
        let room = owner.create_room().await;
        let (mut reader, _) = world.guest("reader", Options::default()).await;
        world.entities.hold_recalls(true);
        let raw = match second {
            "close" => Raw::of(&CloseRoom { room }),
            "leave" => Raw::of(&LeaveRoom { room }),
            "send" => Raw::of(&message(room)),
            _ => Raw::of(&open(room)),
        };
        let (one, mut frames) = reader.encode_raw(&Raw::of(&JoinRoom { room }), "join");
        let (two, more) = reader.encode_raw(&raw, "second");
        frames.extend(more);
        reader.peer.send(frames).await;
        reader.peer.until_unread(0).await;
        let_others_run().await;
        world.entities.hold_recalls(false);
        for call in [one, two] {
            let answer = reader.answer_in_any_order(call).await;
            assert!(answer.is_ok(), "join, then {second}: {answer:?}");
        }
        let sent = owner.call(&message(room)).await.unwrap().seq;
        if ["send", "open"].contains(&second) {
            while reader.event::<MessageSent>().await.msg.seq < sent {}
        } else {
            let_others_run().await;
            assert!(!hears(&mut reader).await.contains(&sent), "{second}");
        }
    }
}

/// A direct room is shown under the other player's name, which a server that has just started does not know.
#[tokio::test]
async fn what_follows_an_opening_that_waits_for_a_name_waits_for_it() {
    let world = World::new().await;
    let (mut one, _) = world.guest("one", Options::default()).await;
    let (_, two) = world.guest("two", Options::default()).await;
    let user = two.identity.user;
    let room = one.call(&OpenDirect { user }).await.unwrap().info.room;
    one.call(&message(room)).await.unwrap();
    drop(one);
    let world = world.restarted().await;
    let (mut two, _) = world.guest("two", Options::default()).await;
    let (opening, mut frames) = two.encode(&open(room));
    let (sending, more) = two.encode(&message(room));
    frames.extend(more);
    two.peer.send(frames).await;
    two.answer_in_any_order(opening).await.unwrap();
    two.answer_in_any_order(sending).await.unwrap();
    assert_eq!(two.event::<MessageSent>().await.msg.seq, 2);
}

/// Whoever is refused while others are held is refused in their turn too, and holds nobody up.
#[tokio::test]
async fn a_refusal_holds_nobody_up() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let seq = owner.call(&message(room)).await.unwrap().seq;
    for _ in 0..crate::chat::recent::RECENT_MAX {
        owner.call(&message(room)).await.unwrap();
    }
    let (mut other, _) = world.guest("other", Options::default()).await;
    other.join(room).await;
    let edit = EditMessage {
        room,
        seq,
        text: "not mine".to_owned(),
    };
    let mut frames = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..50 {
        let (call, more) = other.encode(&edit);
        frames.extend(more);
        calls.push((call, Some(Code::Forbidden)));
        let (call, more) = other.encode(&message(room));
        frames.extend(more);
        calls.push((call, None));
    }
    other.peer.send(frames).await;
    for (call, code) in calls {
        let answer = other.answer_in_any_order(call).await;
        assert_eq!(answer.err().map(|fault| fault.code), code);
    }
}
