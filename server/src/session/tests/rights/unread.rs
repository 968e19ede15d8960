//! What is unread is what is still there, and read markers hold whatever goes.

use std::time::Duration;

use pitturu_protocol::types::chat::{
    CloseRoom, DeleteMessage, JoinRoom, ListMyRooms, MarkRead, Retention, RoomKind, UpdateRoom,
};
use tokio::sync::oneshot::error::TryRecvError;

use super::super::open;
use super::super::world::World;
use super::{guest, my_rooms, room_of, say};
use crate::chat::command::Command;

/// What is unread behind this marker, by the words of the contract: messages that are there and not deleted.
fn unread(deleted: &[bool], marker: u64) -> u64 {
    let behind = deleted.iter().skip(usize::try_from(marker).unwrap());
    behind.filter(|is_deleted| !**is_deleted).count() as u64
}

#[tokio::test]
async fn unread_is_what_others_said_and_is_still_there() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new().await;
    let mut clients = [guest(&world, "one").await.0, guest(&world, "two").await.0];
    let room = room_of(&mut clients[0], RoomKind::Public).await;
    clients[1].call(&JoinRoom { room }).await.unwrap();
    let (mut deleted, mut markers) = (Vec::<bool>::new(), [0, 0]);
    for step in 0..200 {
        let who = random.usize(..2);
        let seq = random.u64(1..=deleted.len().max(1) as u64);
        match random.u8(..10) {
            0..=4 => {
                let sent = clients[who].call(&say(room, "words")).await.unwrap();
                deleted.push(false);
                // Whoever sends has read up to there.
                markers[who] = sent.seq;
            }
            // The owner may delete any.
            5..=6 if clients[0].call(&DeleteMessage { room, seq }).await.is_ok() => {
                deleted[usize::try_from(seq).unwrap() - 1] = true;
            }
            7 if !deleted.is_empty() => {
                let marked = clients[who].call(&MarkRead { room, seq }).await.unwrap();
                markers[who] = markers[who].max(seq);
                let expected = (markers[who], unread(&deleted, markers[who]));
                assert_eq!((marked.read, marked.unread), expected, "step {step}");
            }
            8 if step % 5 == 0 => {
                drop(clients);
                world = world.restarted().await;
                clients = [guest(&world, "one").await.0, guest(&world, "two").await.0];
            }
            _ => {}
        }
        let mine = my_rooms(&world, &mut clients[who]).await;
        let mine = mine.iter().find(|mine| mine.info.room == room).unwrap();
        let read = mine.me.as_ref().unwrap().read;
        let expected = (markers[who], unread(&deleted, markers[who]));
        assert_eq!((read, mine.unread), expected, "step {step}");
    }
}

/// A hundred messages are unread all the time, and one more comes and is deleted again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_is_true_of_some_moment() {
    let world = World::new().await;
    let (mut owner, _) = guest(&world, "owner").await;
    let (mut reader, _) = guest(&world, "reader").await;
    let room = room_of(&mut owner, RoomKind::Public).await;
    reader.call(&JoinRoom { room }).await.unwrap();
    reader.call(&CloseRoom { room }).await.unwrap();
    for _ in 0..100 {
        owner.call(&say(room, "stays")).await.unwrap();
    }
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writes = tokio::spawn(async move {
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let seq = owner.call(&say(room, "goes")).await.unwrap().seq;
            owner.call(&DeleteMessage { room, seq }).await.unwrap();
        }
    });
    for _ in 0..1_000 {
        let mine = reader.call(&ListMyRooms::default()).await.unwrap().rooms;
        assert!((100..=101).contains(&mine[0].unread), "{}", mine[0].unread);
    }
    stop.send(()).unwrap();
    writes.await.unwrap();
}

#[tokio::test]
async fn read_markers_stay_when_retention_removes_the_newest_message() {
    let mut world = World::new().await;
    let (mut owner, _) = guest(&world, "owner").await;
    let (mut member, _) = guest(&world, "member").await;
    let room = room_of(&mut owner, RoomKind::Public).await;
    member.call(&JoinRoom { room }).await.unwrap();
    for _ in 0..5 {
        owner.call(&say(room, "one")).await.unwrap();
        member.call(&say(room, "other")).await.unwrap();
    }
    let forget = UpdateRoom {
        room,
        name: None,
        topic: None,
        slow_mode_ms: None,
        retention: Some(Retention {
            age_ms: Some(1),
            messages: None,
        }),
    };
    owner.call(&forget).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    while owner.call(&open(room)).await.unwrap().info.first <= 10 {
        world.context.services.rooms.send(Command::Retain(room));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for round in 0..2 {
        let mine = &my_rooms(&world, &mut owner).await[0];
        assert_eq!((mine.me.as_ref().unwrap().read, mine.unread), (9, 0));
        let view = owner.call(&open(room)).await.unwrap();
        assert_eq!(view.me.read, 9, "round {round}");
        if round == 0 {
            drop((owner, member));
            world = world.restarted().await;
            (owner, _) = guest(&world, "owner").await;
            (member, _) = guest(&world, "member").await;
        }
    }
    drop(member);
}
