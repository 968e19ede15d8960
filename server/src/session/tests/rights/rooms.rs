//! The life of a room without members, and names that are shown.

use pitturu_protocol::codes::Code;
use pitturu_protocol::types::chat::{
    DeleteRoom, InviteToRoom, JoinRoom, KickMember, LeaveRoom, ListMembers, ListRooms, MemberRole,
    OpenDirect, OpenRoom, RoomKind, SetMemberRole,
};
use pitturu_protocol::types::profile::UpdateProfile;
use pitturu_protocol::types::system::{Resume, RoomCursor};

use pitturu_store::clock::shift_here;

use super::super::open;
use super::super::world::{Client, World};
use super::{guest, my_rooms, room_of, say, settle};

#[tokio::test]
async fn a_room_ends_when_its_last_member_goes() {
    let world = World::new().await;
    let (mut owner, _) = guest(&world, "owner").await;
    let (mut other, user) = guest(&world, "other").await;
    for kind in [RoomKind::Public, RoomKind::Private] {
        let room = room_of(&mut owner, kind).await;
        owner.call(&say(room, "said")).await.unwrap();
        owner.call(&InviteToRoom { room, user }).await.unwrap();
        owner.call(&LeaveRoom { room }).await.unwrap();
        for client in [&mut owner, &mut other] {
            let joined = client.call(&JoinRoom { room }).await;
            let refused = joined.err().map(|fault| fault.code);
            assert_eq!(refused, Some(Code::RoomNotFound), "{kind:?}");
            assert_eq!(my_rooms(&world, client).await, []);
        }
    }
    let listed = owner.call(&ListRooms::default()).await.unwrap();
    assert_eq!(listed.rooms, []);
    // However many are made and left: nothing stays.
    for _ in 0..120 {
        let room = room_of(&mut owner, RoomKind::Public).await;
        owner.call(&LeaveRoom { room }).await.unwrap();
        settle(&world).await;
    }
    let listed = owner.call(&ListRooms::default()).await.unwrap();
    assert_eq!(listed.rooms, []);
}

#[tokio::test]
async fn an_owner_who_goes_hands_the_room_to_a_moderator_or_else_the_oldest_member() {
    let world = World::new().await;
    let (mut owner, _) = guest(&world, "owner").await;
    let (mut second, of_second) = guest(&world, "second").await;
    let (mut third, of_third) = guest(&world, "third").await;
    let room = room_of(&mut owner, RoomKind::Public).await;
    second.call(&JoinRoom { room }).await.unwrap();
    third.call(&JoinRoom { room }).await.unwrap();
    let role = MemberRole::Moderator;
    let user = of_third;
    owner
        .call(&SetMemberRole { room, user, role })
        .await
        .unwrap();
    owner.call(&LeaveRoom { room }).await.unwrap();
    let view = third.call(&open(room)).await.unwrap();
    assert_eq!(view.me.role, MemberRole::Owner);
    let user = of_second;
    let kick = KickMember {
        room,
        user,
        reason: None,
    };
    third.call(&kick).await.unwrap();
    third.call(&LeaveRoom { room }).await.unwrap();
    let joined = second.call(&JoinRoom { room }).await;
    assert_eq!(
        joined.err().map(|fault| fault.code),
        Some(Code::RoomNotFound)
    );
}

/// Whoever joined while the clock was ahead is no newcomer for it, and whoever joined after it no veteran.
#[tokio::test]
async fn the_oldest_member_is_who_joined_first_whatever_the_clock_says() {
    for is_restarted in [false, true] {
        let mut world = World::new().await;
        let (mut owner, _) = guest(&world, "owner").await;
        let (mut second, _) = guest(&world, "second").await;
        let (mut third, _) = guest(&world, "third").await;
        let room = room_of(&mut owner, RoomKind::Public).await;
        shift_here(40 * 24 * 60 * 60 * 1_000);
        second.call(&JoinRoom { room }).await.unwrap();
        shift_here(0);
        third.call(&JoinRoom { room }).await.unwrap();
        if is_restarted {
            drop((owner, second, third));
            world = world.restarted().await;
            (owner, _) = guest(&world, "owner").await;
            (second, _) = guest(&world, "second").await;
        }
        owner.call(&LeaveRoom { room }).await.unwrap();
        let view = second.call(&open(room)).await.unwrap();
        assert_eq!(view.me.role, MemberRole::Owner, "restarted: {is_restarted}");
    }
}

#[tokio::test]
async fn a_room_that_is_deleted_is_in_nobodys_list() {
    let world = World::new().await;
    let (mut owner, of_owner) = guest(&world, "owner").await;
    let (mut member, of_member) = guest(&world, "member").await;
    let (_, of_invited) = guest(&world, "invited").await;
    let players = &world.context.services.players;
    for kind in [RoomKind::Public, RoomKind::Private] {
        let room = room_of(&mut owner, kind).await;
        for user in [of_member, of_invited] {
            owner.call(&InviteToRoom { room, user }).await.unwrap();
        }
        member.call(&JoinRoom { room }).await.unwrap();
        settle(&world).await;
        for user in [of_owner, of_member, of_invited] {
            let listed = players.rooms(user, None, 100).await.unwrap();
            assert_eq!(listed, [room], "{kind:?}");
        }
        owner.call(&DeleteRoom { room }).await.unwrap();
        settle(&world).await;
        for user in [of_owner, of_member, of_invited] {
            let listed = players.rooms(user, None, 100).await.unwrap();
            assert_eq!(listed, [], "{kind:?}");
        }
    }
}

async fn rename(client: &mut Client, name: &str) {
    let update = UpdateProfile {
        name: Some(name.to_owned()),
        avatar: None,
        bio: None,
        language: None,
    };
    client.call(&update).await.unwrap();
}

#[tokio::test]
async fn a_new_name_is_shown_wherever_a_name_is_shown() {
    let mut world = World::new().await;
    let (mut one, of_one) = guest(&world, "one").await;
    let (mut two, _) = guest(&world, "two").await;
    let room = room_of(&mut one, RoomKind::Public).await;
    two.call(&JoinRoom { room }).await.unwrap();
    let direct = two.call(&OpenDirect { user: of_one }).await.unwrap();
    let direct = direct.info.room;
    for (round, place) in ["at once", "again", "after a restart"].iter().enumerate() {
        let name = format!("Renamed {round}");
        rename(&mut one, &name).await;
        if *place == "after a restart" {
            drop((one, two));
            world = world.restarted().await;
            (one, _) = guest(&world, "one").await;
            (two, _) = guest(&world, "two").await;
        }
        for list_of in [room, direct] {
            let list = ListMembers {
                room: list_of,
                online: false,
                after: None,
                limit: None,
            };
            let members = two.call(&list).await.unwrap().members;
            let member = members.iter().find(|member| member.user == of_one);
            assert_eq!(member.unwrap().name, name, "{place}: ListMembers");
        }
        let view = two.call(&open(direct)).await.unwrap();
        assert_eq!(view.info.name, name, "{place}: OpenRoom");
        let view = two.call(&OpenDirect { user: of_one }).await.unwrap();
        assert_eq!(view.info.name, name, "{place}: OpenDirect");
        let view = two.call(&JoinRoom { room: direct }).await.unwrap();
        assert_eq!(view.info.name, name, "{place}: JoinRoom");
        let cursor = RoomCursor {
            room: direct,
            seq: 0,
            rev: 0,
        };
        let resume = Resume {
            epoch: None,
            inbox: None,
            rooms: vec![cursor],
        };
        let resumed = two.call(&resume).await.unwrap();
        let view = resumed.rooms[0].view.clone().unwrap();
        assert_eq!(view.info.name, name, "{place}: Resume");
        let mine = my_rooms(&world, &mut two).await;
        let mine = mine.iter().find(|mine| mine.info.room == direct);
        assert_eq!(mine.unwrap().info.name, name, "{place}: ListMyRooms");
        let seq = Some(0);
        let opened = OpenRoom {
            room: direct,
            seq,
            rev: None,
        };
        assert_eq!(one.call(&opened).await.unwrap().info.name, "two", "{place}");
    }
}
