//! What docs/protocol.md says of sessions, and nothing else tries.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{CloseCode, Code};
use pitturu_protocol::events::Event as _;
use pitturu_protocol::types::accounts::{GetAccount, RefreshTokens};
use pitturu_protocol::types::chat::{
    ListMyRooms, ListRooms, MessageSent, OpenRoom, ReadHistory, RoomView, Sent,
};
use pitturu_protocol::types::system::StreamPosition;

use super::until_now;
use super::world::{Came, World, message};
use crate::connections::link::CloseReason;
use crate::connections::link::memory::Options;

#[tokio::test]
async fn who_comes_with_a_cursor_from_the_future_is_told_the_head_and_hears_what_follows() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let (mut member, _) = world.guest("member", Options::default()).await;
    member.join(room).await;
    owner.call(&message(room)).await.unwrap();
    until_now(&mut member).await;
    let ahead = OpenRoom {
        room,
        seq: Some(1_000),
        rev: Some(50),
    };
    let view: RoomView = member.call(&ahead).await.unwrap();
    assert_eq!((view.info.head, view.rev), (1, 0));
    let position = member.event::<StreamPosition>().await;
    assert!(position.live);
    assert_eq!((position.head, position.seq, position.rev), (1, 1, 0));
    owner.call(&message(room)).await.unwrap();
    assert_eq!(member.event::<MessageSent>().await.msg.seq, 2);
}

#[tokio::test]
async fn senders_get_their_own_message_once_and_behind_the_reply() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    until_now(&mut owner).await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(owner.begin(&message(room)).await);
    }
    let mut replied = Vec::new();
    let mut told = Vec::new();
    while told.len() < calls.len() {
        match owner.next().await.unwrap() {
            Came::Reply(call, body) => {
                let sent: Sent = codec::decode(&body).unwrap();
                replied.push((call, sent.seq));
            }
            Came::Event(number, body) if number == MessageSent::NUMBER => {
                let event: MessageSent = codec::decode(&body).unwrap();
                let seq = event.msg.seq;
                assert!(replied.iter().any(|&(_, known)| known == seq), "{seq}");
                told.push(seq);
            }
            _ => {}
        }
    }
    let all: Vec<u64> = (1..=20).collect();
    assert_eq!(told, all);
    assert_eq!(replied, calls.into_iter().zip(all).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_token_used_twice_closes_the_connections_of_its_session() {
    let world = World::new().await;
    let (mut own, tokens) = world.guest("ana", Options::default()).await;
    let (mut other, _) = world.guest("ana", Options::default()).await;
    let refresh = RefreshTokens {
        refresh: tokens.refresh,
    };
    own.call(&refresh).await.unwrap();
    let refused = own.call(&refresh).await.unwrap_err();
    assert_eq!(refused.code, Code::RefreshReused);
    let refused = own.call(&GetAccount {}).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated, "signed out, and open");
    other.call(&GetAccount {}).await.expect("another session");

    // From elsewhere.
    let (mut own, tokens) = world.guest("ana", Options::default()).await;
    let refresh = RefreshTokens {
        refresh: tokens.refresh,
    };
    own.call(&refresh).await.unwrap();
    let mut thief = world.greeted(Options::default()).await;
    let refused = thief.call(&refresh).await.unwrap_err();
    assert_eq!(refused.code, Code::RefreshReused);
    let closed = Some(CloseReason::Protocol(CloseCode::SessionEnded));
    assert_eq!(own.farewell().await.1, closed);
}

#[tokio::test]
async fn the_first_message_of_an_empty_room_is_the_one_to_come() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let open = OpenRoom {
        room,
        seq: None,
        rev: None,
    };
    let view = owner.call(&open).await.unwrap();
    let rooms = owner.call(&ListRooms::default()).await.unwrap();
    let own = owner.call(&ListMyRooms::default()).await.unwrap();
    let history = ReadHistory {
        room,
        from: None,
        limit: None,
    };
    let history = owner.call(&history).await.unwrap();
    let first = [
        view.info.first,
        rooms.rooms[0].first,
        own.rooms[0].info.first,
        history.first,
    ];
    assert_eq!(first, [1; 4]);
    assert_eq!(history.head, 0);
}
