//! Limits of rooms hold for calls that are under way together, and what is refused for one has not happened. And who is held to which rates.

use std::collections::BTreeSet;
use std::sync::Arc;

use pitturu_protocol::codes::Code;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::ROOMS_OPEN_MAX;
use pitturu_protocol::types::accounts::{Role, SetRole};
use pitturu_protocol::types::boards::SubmitScore;
use pitturu_protocol::types::chat::{
    CloseRoom, CreateRoom, EnterRoom, JoinRoom, ListMyRooms, OpenDirect, OpenRoom, RoomKind,
};
use pitturu_protocol::types::items::ListItemChanges;
use pitturu_protocol::types::points::{ListMovements, PointsReason};
use pitturu_protocol::types::profile::UpdateProfile;

use super::world::{Client, Raw, World, message};
use crate::connections::link::memory::Options;
use crate::session::rates::{Allowance, Allowances, Rates};

/// Makes so many public rooms.
async fn rooms(world: &World, count: usize) -> Vec<RoomId> {
    let mut made = Vec::new();
    while made.len() < count {
        let (mut owner, _) = world.guest("owner", Options::default()).await;
        for _ in 0..ROOMS_OPEN_MAX.min(count - made.len()) {
            made.push(owner.create_room().await);
        }
    }
    made
}

/// Makes rooms by so many owners, who may be in fewer rooms each.
async fn rooms_of_many(world: &World, owners: usize, each: usize) -> Vec<RoomId> {
    let mut made = Vec::new();
    for number in 0..owners {
        let (mut owner, _) = world
            .guest(&format!("owner{number}"), Options::default())
            .await;
        for _ in 0..each {
            made.push(owner.create_room().await);
        }
    }
    made
}

/// Sends calls in one message, and returns their numbers.
async fn begin(client: &mut Client, raws: &[Raw]) -> Vec<CallId> {
    let (mut frames, mut numbers) = (Vec::new(), Vec::new());
    for (index, raw) in raws.iter().enumerate() {
        let key = format!("{index} {}", fastrand::u64(..));
        let (number, frame) = client.encode_raw(raw, &key);
        frames.extend(frame);
        numbers.push(number);
    }
    client.peer.send(frames).await;
    numbers
}

/// Sends calls in one message, and returns which were refused, all for a limit.
async fn refused(client: &mut Client, raws: &[Raw]) -> Vec<bool> {
    let mut refused = Vec::new();
    for number in begin(client, raws).await {
        let answer = client.answer_in_any_order(number).await;
        let code = answer.as_ref().err().map(|fault| fault.code);
        assert!(matches!(code, None | Some(Code::LimitReached)), "{code:?}");
        refused.push(answer.is_err());
    }
    refused
}

async fn listed(client: &mut Client) -> BTreeSet<RoomId> {
    let (mut listed, mut after) = (BTreeSet::new(), None);
    loop {
        let list = ListMyRooms { after, limit: None };
        let page = client.call(&list).await.expect("a player may");
        after = page.rooms.last().map(|my| my.info.room);
        listed.extend(page.rooms.iter().map(|my| my.info.room));
        if !page.more {
            return listed;
        }
    }
}

fn create() -> CreateRoom {
    CreateRoom {
        kind: RoomKind::Public,
        name: "Another".to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}

/// Every call that makes a member of its caller and opens the room, and one that only opens.
#[derive(Clone, Copy, Debug)]
enum Way {
    Join,
    Create,
    Direct,
    EnterThere,
    EnterNew,
    Open,
}

const WAYS: [Way; 6] = [
    Way::Join,
    Way::Create,
    Way::Direct,
    Way::EnterThere,
    Way::EnterNew,
    Way::Open,
];

/// Calls of one way by which `client` may come into so many further rooms.
async fn calls(world: &World, client: &mut Client, way: Way, count: usize) -> Vec<Raw> {
    let mut raws = Vec::new();
    let there = match way {
        Way::Join | Way::Open => rooms(world, count).await,
        _ => vec![RoomId::from_bytes([0; 10]); count],
    };
    let (mut host, _) = world.guest("host", Options::default()).await;
    for (number, room) in there.into_iter().enumerate() {
        let handle = format!("{way:?} {number}");
        raws.push(match way {
            Way::Join => Raw::of(&JoinRoom { room }),
            Way::Open => {
                client.call(&JoinRoom { room }).await.expect("it is public");
                client.call(&CloseRoom { room }).await.expect("it is open");
                let (seq, rev) = (None, None);
                Raw::of(&OpenRoom { room, seq, rev })
            }
            Way::Create => Raw::of(&create()),
            Way::Direct => {
                let (_, peer) = world
                    .guest(&format!("peer{number}"), Options::default())
                    .await;
                Raw::of(&OpenDirect {
                    user: peer.identity.user,
                })
            }
            Way::EnterThere => {
                let enter = EnterRoom { handle };
                host.call(&enter).await.expect("anybody may");
                Raw::of(&enter)
            }
            Way::EnterNew => Raw::of(&EnterRoom { handle }),
        });
    }
    raws
}

#[tokio::test]
async fn who_is_refused_for_open_rooms_has_changed_nothing() {
    const LEFT: usize = 6;
    for way in WAYS {
        let world = World::with_rooms_max(1_000).await;
        let (mut joiner, _) = world.guest("joiner", Options::default()).await;
        let raws = calls(&world, &mut joiner, way, 40).await;
        let mut room = joiner.create_room().await;
        for _ in 1..ROOMS_OPEN_MAX - LEFT {
            room = joiner.create_room().await;
        }
        let before = listed(&mut joiner).await;
        // The rooms' commits come together.
        let held = world.hold_writes().await;
        let numbers = begin(&mut joiner, &raws).await;
        super::let_others_run().await;
        drop(held);
        let mut opened = 0;
        for number in numbers {
            match joiner.answer_in_any_order(number).await {
                Ok(_) => opened += 1,
                Err(fault) => assert_eq!(fault.code, Code::LimitReached, "{way:?}"),
            }
        }
        assert_eq!(opened, LEFT, "{way:?}: as many as there is room for");
        let joined = listed(&mut joiner).await.len() - before.len();
        let expected = if matches!(way, Way::Open) { 0 } else { LEFT };
        assert_eq!(joined, expected, "{way:?}: joined though refused");
        // A room that is closed leaves its place to another.
        joiner.call(&CloseRoom { room }).await.expect("it is open");
        let last = &raws[raws.len() - 1..];
        assert_eq!(refused(&mut joiner, last).await, [false], "{way:?}");
    }
}

#[tokio::test]
async fn who_is_refused_for_open_rooms_has_not_joined() {
    let world = World::with_rooms_max(1_000).await;
    let rooms = rooms(&world, 300).await;
    let (mut joiner, _) = world.guest("joiner", Options::default()).await;
    let (mut kept_out, mut joined) = (Vec::new(), 0);
    for burst in rooms.chunks(60) {
        let joins: Vec<_> = burst
            .iter()
            .map(|room| Raw::of(&JoinRoom { room: *room }))
            .collect();
        for (room, is_refused) in burst.iter().zip(refused(&mut joiner, &joins).await) {
            match is_refused {
                true => kept_out.push(*room),
                false => joined += 1,
            }
        }
    }
    assert_eq!(joined, ROOMS_OPEN_MAX);
    for room in kept_out {
        let sent = joiner.call(&message(room)).await;
        assert_eq!(sent.map_err(|fault| fault.code), Err(Code::NotAMember));
    }
}

#[tokio::test]
async fn joining_in_a_burst_keeps_the_limit_of_rooms() {
    let world = World::new().await;
    let rooms = rooms_of_many(&world, 2, 90).await;
    let (mut hoarder, _) = world.guest("hoarder", Options::default()).await;
    let mut joined = 0;
    for burst in rooms.chunks(60) {
        let joins: Vec<_> = burst
            .iter()
            .map(|room| Raw::of(&JoinRoom { room: *room }))
            .collect();
        let refused = refused(&mut hoarder, &joins).await;
        joined += refused.iter().filter(|refused| !**refused).count();
    }
    assert_eq!(joined, 100);
    assert_eq!(listed(&mut hoarder).await.len(), 100);
}

/// The rooms are closed as soon as they are joined, so nothing but the player's list says that they were, and the list follows.
#[tokio::test]
async fn several_connections_and_all_ways_keep_the_limit_of_rooms() {
    for way in [
        Way::Join,
        Way::Create,
        Way::Direct,
        Way::EnterThere,
        Way::EnterNew,
    ] {
        let world = World::with_rooms_max(10).await;
        let there = rooms_of_many(&world, 3, 8).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(world.guest("hoarder", Options::default()).await.0);
        }
        let mut raws = Vec::new();
        for (number, room) in there.iter().enumerate() {
            let handle = format!("handle {number}");
            raws.push(match way {
                Way::Join | Way::Open => Raw::of(&JoinRoom { room: *room }),
                Way::Create => Raw::of(&create()),
                Way::Direct => {
                    let name = format!("peer{number}");
                    let (_, peer) = world.guest(&name, Options::default()).await;
                    let user = peer.identity.user;
                    Raw::of(&OpenDirect { user })
                }
                Way::EnterThere | Way::EnterNew => {
                    let enter = EnterRoom { handle };
                    if matches!(way, Way::EnterThere) {
                        let (mut host, _) = world
                            .guest(&format!("host{}", number % 3), Options::default())
                            .await;
                        host.call(&enter).await.expect("anybody may");
                    }
                    Raw::of(&enter)
                }
            });
        }
        let held = world.hold_writes().await;
        let mut numbers = Vec::new();
        for (client, raws) in clients.iter_mut().zip(raws.chunks(8)) {
            numbers.push(begin(client, raws).await);
        }
        super::let_others_run().await;
        drop(held);
        let mut joined = 0;
        for (client, numbers) in clients.iter_mut().zip(numbers) {
            for number in numbers {
                match client.answer_in_any_order(number).await {
                    Ok(_) => joined += 1,
                    Err(fault) => assert_eq!(fault.code, Code::LimitReached, "{way:?}"),
                }
            }
        }
        assert_eq!(joined, 10, "{way:?}");
        let listed = listed(&mut clients[0]).await;
        assert_eq!(listed.len(), 10, "{way:?}");
    }
}

/// What is closed at once is open nowhere, and the player's list does not have it yet.
#[tokio::test]
async fn rooms_that_are_not_listed_yet_count() {
    let world = World::with_rooms_max(10).await;
    let there = rooms_of_many(&world, 3, 8).await;
    let (mut hoarder, signed_in) = world.guest("hoarder", Options::default()).await;
    let deaf = crate::players::entity(signed_in.identity.user);
    world.entities.fail_applying(Some(deaf));
    let mut joined = Vec::new();
    for room in there {
        let joining = hoarder.call(&JoinRoom { room }).await;
        if joining.is_ok() {
            joined.push(room);
            hoarder.call(&CloseRoom { room }).await.expect("it is open");
        }
    }
    assert_eq!(joined.len(), 10);
    // Who leaves may join another one, though nothing was listed yet.
    let left = pitturu_protocol::types::chat::LeaveRoom { room: joined[0] };
    hoarder.call(&left).await.expect("a member may");
    let room = joined[0];
    let again = hoarder.call(&JoinRoom { room }).await;
    again.expect("there is room for one");
    world.entities.fail_applying(None);
}

/// One server of the game speaks for all of its players.
#[tokio::test]
async fn a_server_of_the_game_is_not_held_to_what_one_player_may() {
    let mut world = World::new().await;
    let context = Arc::get_mut(&mut world.context).expect("nobody is connected yet");
    context.rates = Rates::new(&Allowances {
        write: Allowance::new(1, 3),
        ..Allowances::default()
    });
    let (mut admin, _) = world.registered("root").await;
    let (mut service, one) = world.registered("gameserver").await;
    let promote = SetRole {
        user: one.identity.user,
        role: Role::Service,
    };
    admin.call(&promote).await.expect("an admin may");
    let (mut player, other) = world.guest("player", Options::default()).await;
    for score in 0..20 {
        let submit = SubmitScore {
            board: "best".to_owned(),
            user: other.identity.user,
            score,
            metadata: None,
        };
        service.call(&submit).await.expect("it is one of many");
    }
    let rename = |name: &str| UpdateProfile {
        name: Some(name.to_owned()),
        ..UpdateProfile::default()
    };
    for name in ["a", "b", "c"] {
        player.call(&rename(name)).await.expect("within the burst");
    }
    let refused = player.call(&rename("d")).await.unwrap_err();
    assert_eq!(refused.code, Code::RateLimited);
}

/// A filter may have the server look through thousands of lines for a page that is empty.
#[tokio::test]
async fn a_filtered_page_of_a_history_counts_as_several() {
    let mut world = World::new().await;
    let context = Arc::get_mut(&mut world.context).expect("nobody is connected yet");
    context.rates = Rates::new(&Allowances {
        read: Allowance::new(1, 12),
        ..Allowances::default()
    });
    let movements = ListMovements {
        reason: Some(PointsReason::Gift),
        ..ListMovements::default()
    };
    let changes = ListItemChanges {
        item: Some("potion".to_owned()),
        ..ListItemChanges::default()
    };
    let (mut player, _) = world.guest("a", Options::default()).await;
    player.call(&movements).await.expect("the first page");
    let refused = player.call(&changes).await.unwrap_err();
    assert_eq!(refused.code, Code::RateLimited);
    let (mut other, _) = world.guest("b", Options::default()).await;
    for _ in 0..6 {
        other.call(&ListMovements::default()).await.expect("one");
        other.call(&ListItemChanges::default()).await.expect("one");
    }
}
