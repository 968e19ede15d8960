//! A handle leads everybody to one room, whoever asks first, and however the room and its server came to their ends.

use std::collections::BTreeSet;
use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::{ROOM_NAME_BYTES_MAX, ROOMS_OPEN_MAX};
use pitturu_protocol::types::chat::{
    BanMember, CreateRoom, EnterRoom, LeaveRoom, ListRooms, MemberRole, MessageSent, RoomKind,
    RoomView,
};

use super::super::world::{Client, Raw, World};
use super::{create, guest, my_rooms, say, settle};
use crate::chat::store::entity;

fn enter(handle: &str) -> EnterRoom {
    EnterRoom {
        handle: handle.to_owned(),
    }
}

async fn room_of(client: &mut Client, handle: &str) -> RoomId {
    let view = client.call(&enter(handle)).await.expect("it is public");
    view.info.room
}

#[tokio::test]
async fn fifty_who_come_at_once_meet_in_one_room_on_a_cold_server() {
    let mut world = World::new().await;
    for round in 0..2 {
        let mut clients = Vec::new();
        for number in 0..50 {
            let (client, _) = guest(&world, &format!("player {number}")).await;
            clients.push(client);
        }
        let mut calls = Vec::new();
        for client in &mut clients {
            calls.push(client.begin(&enter("The Lobby")).await);
        }
        let mut rooms = BTreeSet::new();
        for (client, call) in clients.iter_mut().zip(calls) {
            let view = client.answer_to(call).await.expect("everybody is let in");
            let view: RoomView = codec::decode(&view).unwrap();
            assert_eq!(view.me.role, MemberRole::Member);
            assert_eq!(view.info.handle.as_deref(), Some("the lobby"));
            rooms.insert(view.info.room);
        }
        assert_eq!(rooms.len(), 1, "round {round}");
        let listed = clients[0].call(&ListRooms::default()).await.unwrap();
        assert_eq!(listed.rooms.len(), 1);
        assert_eq!(
            (listed.rooms[0].name.as_str(), listed.rooms[0].members),
            ("The Lobby", 50)
        );
        drop(clients);
        world = world.restarted().await;
    }
}

#[tokio::test]
async fn handles_that_look_alike_are_the_same_and_names_are_not_handles() {
    let world = World::new().await;
    let (mut one, _) = guest(&world, "one").await;
    let lobby = room_of(&mut one, "Die Straße").await;
    for same in [
        "die straße",
        "DIE STRASSE",
        "  Die   Straße ",
        "ｄｉｅ Straße",
    ] {
        assert_eq!(room_of(&mut one, same).await, lobby, "{same:?}");
    }
    let composed = room_of(&mut one, "한글").await;
    assert_eq!(
        room_of(&mut one, "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}").await,
        composed
    );
    // Whoever gives a room the same name has another room.
    let named: CreateRoom = create(RoomKind::Public, "Die Straße");
    let named = one.call(&named).await.unwrap().info;
    assert_eq!((named.handle, named.room == lobby), (None, false));
    assert_eq!(room_of(&mut one, "die straße").await, lobby);
    for refused in ["", "  ", &"x".repeat(65), "a\u{7}b"] {
        let fault = one.call(&enter(refused)).await.expect_err("no handle");
        assert_eq!(fault.code, Code::InvalidArgument);
        assert_eq!(fault.field.as_deref(), Some("handle"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_handle_is_free_when_its_room_has_ended() {
    let mut world = World::new().await;
    let (mut one, _) = guest(&world, "one").await;
    let (mut two, _) = guest(&world, "two").await;
    let mut before = BTreeSet::new();
    for round in 0..12 {
        let room = room_of(&mut one, "lobby").await;
        assert!(before.insert(room), "round {round}: a new room");
        assert_eq!(room_of(&mut two, "Lobby").await, room);
        one.call(&say(room, "words of before")).await.unwrap();
        assert_eq!(two.event::<MessageSent>().await.msg.seq, 1);
        for client in [&mut one, &mut two] {
            client.call(&LeaveRoom { room }).await.unwrap();
        }
        if round % 3 == 0 {
            settle(&world).await;
        }
        if round % 4 == 1 {
            drop((one, two));
            world = world.restarted().await;
            (one, _) = guest(&world, "one").await;
            (two, _) = guest(&world, "two").await;
        }
    }
    assert_eq!(my_rooms(&world, &mut one).await, []);
}

/// A server killed between claim and room: the claim is there, and the room is not.
#[tokio::test]
async fn a_claim_without_a_room_leads_everybody_to_the_same_room() {
    let world = World::new().await;
    let (mut one, _) = guest(&world, "one").await;
    let (mut two, _) = guest(&world, "two").await;
    let rooms = &world.context.services.room_store;
    let claimed = RoomId::from_bytes([42; 10]);
    let held = rooms.claim_handle("lobby", claimed, None).await;
    assert_eq!(held, Ok(claimed));
    assert_eq!(room_of(&mut one, "lobby").await, claimed);
    assert_eq!(room_of(&mut two, "lobby").await, claimed);
}

#[tokio::test]
async fn a_repetition_enters_again_and_whoever_came_first_rules_nobody() {
    let world = World::new().await;
    let (mut one, _) = guest(&world, "one").await;
    let (mut two, user) = guest(&world, "two").await;
    let raw = Raw::of(&enter("lobby"));
    let view = |body: Vec<u8>| codec::decode::<RoomView>(&body).unwrap();
    let first = view(one.call_raw(&raw, "key").await.unwrap());
    let again = view(one.call_raw(&raw, "key").await.unwrap());
    assert_eq!(first.info, again.info);
    let room = first.info.room;
    two.call(&enter("lobby")).await.unwrap();
    let ban = BanMember {
        room,
        user,
        until: None,
        reason: None,
    };
    let refused = one.call(&ban).await.expect_err("nobody owns it");
    assert_eq!(refused.code, Code::Forbidden);
    // A late repetition does not bring back who has left.
    one.call(&LeaveRoom { room }).await.unwrap();
    let late = one.call_raw(&raw, "key").await.expect_err("has left");
    assert_eq!(late.code, Code::NotAMember);
}

#[tokio::test]
async fn a_handle_is_no_longer_folded_than_a_name_may_be() {
    let world = World::new().await;
    let (mut client, _) = guest(&world, "player").await;
    // One character of three bytes, folded into eighteen of 33.
    for (count, is_taken) in [(7, true), (8, false)] {
        let entered = client.call(&enter(&"\u{fdfa}".repeat(count))).await;
        match entered {
            Ok(view) => {
                let handle = view.info.handle.expect("it was entered by it");
                assert!(is_taken && handle.len() <= ROOM_NAME_BYTES_MAX, "{handle}");
            }
            Err(fault) => {
                assert!(!is_taken, "{fault}");
                assert_eq!(fault.field.as_deref(), Some("handle"));
                assert_eq!(fault.rule.as_deref(), Some("long"));
            }
        }
    }
}

#[tokio::test]
async fn a_handle_has_one_room_though_the_end_of_that_fails() {
    let world = World::new().await;
    let (mut one, _) = guest(&world, "one").await;
    let (mut two, _) = guest(&world, "two").await;
    let room = room_of(&mut one, "lobby").await;
    world.entities.fail_late(entity(room));
    let leaving = one.begin(&LeaveRoom { room }).await;
    while !world.entities.has_failed_late() {
        tokio::task::yield_now().await;
    }
    // While the end is decided and not durable nobody knows whether there will be another room.
    let entering = two.begin(&enter("lobby")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.entities.release_failure();
    assert!(one.answer_to(leaving).await.is_err(), "it has failed");
    let refused = two.answer_to(entering).await.map_err(|fault| fault.code);
    assert_eq!(
        refused,
        Err(Code::StorageUnavailable),
        "whoever repeats it finds out"
    );
    let view = two.call(&enter("lobby")).await.expect("the room goes on");
    assert_eq!((view.info.room, view.info.members), (room, 2));
}

/// Whoever has all rooms open that one connection may have would claim handle after handle, and no room came of it.
#[tokio::test]
async fn a_refused_entrance_leaves_no_claim() {
    let world = World::with_rooms_max(2 * ROOMS_OPEN_MAX).await;
    let (mut squatter, _) = guest(&world, "squatter").await;
    for _ in 0..ROOMS_OPEN_MAX {
        squatter.create_room().await;
    }
    for number in 0..10 {
        let handle = format!("handle {number}");
        let refused = squatter.call(&enter(&handle)).await;
        let code = refused.err().map(|fault| fault.code);
        assert_eq!(code, Some(Code::LimitReached));
        let holder = world.context.services.room_store.with_handle(&handle);
        assert_eq!(holder.await, Ok(None), "{handle} is claimed for nobody");
    }
}
