//! Lists whose items are as long as they get: each page is within a frame, and the pages together are the whole list.

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::{
    ECHO_BYTES_MAX, FAULT_TEXT_BYTES_MAX, NOTE_BYTES_MAX, PAGE_ITEMS_MAX, RESUME_ROOMS_MAX,
};
use pitturu_protocol::types::chat::{
    BanMember, CreateRoom, JoinRoom, ListBans, ListMembers, ListMyRooms, ListRooms, RoomKind,
    SearchRooms, SendMessage,
};
use pitturu_protocol::types::profile::{GetProfiles, UpdateProfile};
use pitturu_protocol::types::system::{Echo, Resume, RoomCursor};

use super::answers_calls;
use super::world::{Client, Raw, World};
use crate::connections::link::memory::Options;

const ROOMS: usize = 90;

/// Text of so many bytes in characters of four.
fn wide(bytes: usize) -> String {
    "\u{1f600}".repeat(bytes / 4)
}

fn hall(number: usize) -> CreateRoom {
    CreateRoom {
        kind: RoomKind::Public,
        name: format!("hall {number:03} {}", wide(4 * 50)),
        topic: Some(wide(NOTE_BYTES_MAX)),
        slow_mode_ms: None,
        retention: None,
    }
}

/// Makes so many rooms, with a long message in each.
async fn halls(client: &mut Client) -> Vec<RoomId> {
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        let view = client.call(&hall(number)).await.expect("a room is made");
        let room = view.info.room;
        let message = SendMessage {
            room,
            text: wide(4_096),
            data: Some(vec![1; 4_096]),
            reply_to: None,
        };
        client.call(&message).await.expect("it is sent");
        rooms.push(room);
    }
    rooms
}

#[tokio::test]
async fn lists_of_rooms_go_on_until_their_end() {
    let world = World::new().await;
    let (mut client, _) = world.guest("Ana", Options::default()).await;
    let made = halls(&mut client).await;
    let limit = Some(PAGE_ITEMS_MAX);

    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = client
            .call(&ListRooms { after, limit })
            .await
            .expect("a page");
        listed.extend(page.rooms.into_iter().map(|info| info.room));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, made, "in the order of their names");
    assert!(pages > 1, "a page that holds all of them is no test");

    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let search = SearchRooms {
            query: "hall".to_owned(),
            after,
            limit,
        };
        let page = client.call(&search).await.expect("a page");
        found.extend(page.rooms.into_iter().map(|info| info.room));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort_unstable();
    let mut by_id = made.clone();
    by_id.sort_unstable();
    assert_eq!(found, by_id);

    let (mut mine, mut after) = (Vec::new(), None);
    loop {
        let page = client
            .call(&ListMyRooms { after, limit })
            .await
            .expect("a page");
        mine.extend(page.rooms.iter().map(|mine| mine.info.room));
        after = mine.last().copied();
        if !page.more {
            break;
        }
    }
    assert_eq!(mine, by_id);
}

#[tokio::test]
async fn a_resume_takes_so_many_rooms_as_fit_into_its_reply() {
    let world = World::new().await;
    let (mut client, _) = world.guest("Ana", Options::default()).await;
    let rooms = halls(&mut client).await;
    let (mut client, _) = world.guest("Ana", Options::default()).await;
    let resume = |rooms: &[RoomId]| Resume {
        epoch: None,
        inbox: None,
        rooms: rooms
            .iter()
            .map(|room| RoomCursor {
                room: *room,
                seq: 1,
                rev: 0,
            })
            .collect(),
    };
    let too_many = client.call(&resume(&rooms[..=RESUME_ROOMS_MAX])).await;
    let fault = too_many.expect_err("more than fit");
    assert_eq!(fault.code, Code::InvalidArgument);
    assert_eq!(fault.field.as_deref(), Some("rooms"));
    for part in rooms.chunks(RESUME_ROOMS_MAX) {
        let resumed = client.call(&resume(part)).await.expect("a part");
        let opened = resumed.rooms.iter().filter(|room| room.view.is_some());
        assert_eq!(opened.count(), part.len());
    }
}

/// Signs so many guests in, and gives each a profile as long as it gets.
async fn crowd(world: &World, size: usize) -> Vec<(Client, UserId)> {
    let mut crowd = Vec::new();
    for number in 0..size {
        let (mut client, signed_in) = world
            .guest(&format!("p{number:02}"), Options::default())
            .await;
        let profile = UpdateProfile {
            name: Some(wide(4 * 40)),
            avatar: Some(wide(NOTE_BYTES_MAX)),
            bio: Some(wide(NOTE_BYTES_MAX)),
            language: None,
        };
        client.call(&profile).await.expect("it is taken");
        crowd.push((client, signed_in.identity.user));
    }
    crowd
}

#[tokio::test]
async fn lists_of_players_go_on_until_their_end() {
    let world = World::new().await;
    let (mut client, _) = world.guest("Ana", Options::default()).await;
    let room = client.call(&hall(0)).await.expect("a room").info.room;
    let mut crowd = crowd(&world, ROOMS).await;
    let mut users: Vec<UserId> = crowd.iter().map(|(_, user)| *user).collect();
    // Players that there are not are looked up as well.
    users.insert(3, UserId::from_bytes([9; 10]));

    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let asked = users[from..].to_vec();
        let page = client
            .call(&GetProfiles { users: asked })
            .await
            .expect("a page");
        found.extend(page.profiles.into_iter().map(|profile| profile.user));
        match page.next {
            Some(next) => from += usize::try_from(next).unwrap(),
            None => break,
        }
    }
    users.remove(3);
    assert_eq!(found, users);
    assert!(from > 0, "a page that holds all of them is no test");

    for (member, _) in &mut crowd {
        member.call(&JoinRoom { room }).await.expect("it is public");
    }
    users.sort_unstable();
    let limit = Some(PAGE_ITEMS_MAX);
    let (mut members, mut after) = (Vec::new(), None);
    loop {
        let list = ListMembers {
            room,
            online: false,
            after,
            limit,
        };
        let page = client.call(&list).await.expect("a page");
        members.extend(page.members.iter().map(|member| member.user));
        after = members.last().copied();
        if !page.more {
            break;
        }
    }
    assert_eq!(members.len(), users.len() + 1);

    for user in &users {
        let ban = BanMember {
            room,
            user: *user,
            until: None,
            reason: Some(wide(NOTE_BYTES_MAX)),
        };
        client.call(&ban).await.expect("it is the owner");
    }
    let (mut banned, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = client
            .call(&ListBans { room, after, limit })
            .await
            .expect("a page");
        banned.extend(page.bans.iter().map(|ban| ban.user));
        after = banned.last().copied();
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(banned, users);
    assert!(pages > 1, "a page that holds all of them is no test");
}

#[tokio::test]
async fn what_would_come_back_longer_than_a_frame_is_refused() {
    let world = World::new().await;
    let (mut client, _) = world.guest("Ana", Options::default()).await;
    for (bytes, fits) in [
        (ECHO_BYTES_MAX, true),
        (ECHO_BYTES_MAX + 1, false),
        (65_500, false),
    ] {
        let echoed = client
            .call(&Echo {
                data: vec![7; bytes],
            })
            .await;
        match echoed {
            Ok(echoed) => assert!(fits && echoed.data.len() == bytes, "{bytes}"),
            Err(fault) => assert!(!fits && fault.field.as_deref() == Some("data"), "{fault:?}"),
        }
    }
    // A refusal repeats what it refuses.
    let body = [
        &[0x81, 0xa4][..],
        b"kind",
        &[0xda, 0xfe, 0x00],
        &[b'x'; 0xfe00],
    ]
    .concat();
    let raw = Raw { method: 64, body };
    let fault = client
        .call_raw(&raw, "long")
        .await
        .expect_err("no such kind");
    assert_eq!(fault.code, Code::BadRequest);
    assert!(
        fault.message.len() <= FAULT_TEXT_BYTES_MAX,
        "{}",
        fault.message.len()
    );
    answers_calls(&mut client).await;
}
