//! No answer tells whether there is a room that the caller may not know: it is the answer for a room that there is not.

use std::time::Instant;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::events::Event as _;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::{METHODS, MethodInfo, Place};
use pitturu_protocol::types::chat::{
    BanMember, CloseRoom, DeleteMessage, DeleteRoom, EditMessage, HistoryFrom, InviteToRoom,
    JoinRoom, KickMember, LeaveRoom, ListBans, ListMembers, ListReactions, MarkRead, MemberRole,
    MuteMember, OpenDirect, OpenRoom, React, ReadHistory, RoomKind, SendEphemeral, SetMemberRole,
    Typing, UnbanMember, UpdateRoom,
};
use pitturu_protocol::types::friends::{BlockPlayer, RemoveFriend, RequestFriend, UnblockPlayer};
use pitturu_protocol::types::presence::PlayerPresence;
use pitturu_protocol::types::reports::{ReportMessage, ReportReason};
use pitturu_protocol::types::system::{Resume, ResumedRoom, RoomCursor};

use super::super::world::{Came, Client, Raw, World};
use super::{guest, room_of, say};
use crate::connections::connection::UNKNOWN_ROOM_AFTER;

/// One encoded call for each of these requests.
macro_rules! raws {
    ($($request:expr),* $(,)?) => {
        vec![$(Raw::of(&$request)),*]
    };
}

/// Methods that name a room: those that run at it, and those that look at what is stored of it.
pub(super) fn about_rooms() -> impl Iterator<Item = &'static MethodInfo> {
    METHODS
        .iter()
        .filter(|info| info.place == Place::Room || info.name == "ReportMessage")
}

/// Calls of a method about a room and a player: good ones, and ones with arguments that are refused.
pub(super) fn calls(name: &str, room: RoomId, user: UserId) -> Vec<Raw> {
    let (long, nobody) = ("x".repeat(5_000), UserId::from_bytes([7; 10]));
    let (after, limit) = (None, Some(100_000));
    match name {
        "JoinRoom" => raws![JoinRoom { room }],
        "LeaveRoom" => raws![LeaveRoom { room }],
        "OpenRoom" => {
            let at = |seq, rev| OpenRoom { room, seq, rev };
            raws![
                at(None, None),
                at(Some(0), Some(0)),
                at(Some(1 << 40), None)
            ]
        }
        "CloseRoom" => raws![CloseRoom { room }],
        "InviteToRoom" => {
            raws![
                InviteToRoom { room, user },
                InviteToRoom { room, user: nobody }
            ]
        }
        "KickMember" => {
            let kick = |user, reason| KickMember { room, user, reason };
            raws![kick(user, None), kick(user, Some(long)), kick(nobody, None)]
        }
        "BanMember" => {
            let ban = |user, until| BanMember {
                room,
                user,
                until,
                reason: None,
            };
            raws![ban(user, None), ban(user, Some(1)), ban(nobody, None)]
        }
        "UnbanMember" => {
            raws![
                UnbanMember { room, user },
                UnbanMember { room, user: nobody }
            ]
        }
        "MuteMember" => {
            let mute = |user, until| MuteMember { room, user, until };
            raws![mute(user, 0), mute(user, 1 << 40), mute(nobody, 0)]
        }
        "SetMemberRole" => {
            let role = MemberRole::Owner;
            let set = |user| SetMemberRole { room, user, role };
            raws![set(user), set(nobody)]
        }
        "ListMembers" => {
            let list = |online, limit| ListMembers {
                room,
                online,
                after,
                limit,
            };
            raws![list(false, None), list(true, limit)]
        }
        "ListBans" => {
            let list = |limit| ListBans { room, after, limit };
            raws![list(None), list(limit)]
        }
        "UpdateRoom" => {
            let rename = |name: &str| UpdateRoom {
                room,
                name: Some(name.to_owned()),
                topic: None,
                slow_mode_ms: None,
                retention: None,
            };
            raws![rename("new"), rename("")]
        }
        "DeleteRoom" => raws![DeleteRoom { room }],
        "SendMessage" => {
            let mut reply = say(room, "x");
            reply.reply_to = Some(99);
            raws![say(room, "x"), say(room, &long), reply]
        }
        "EditMessage" => {
            let edit = |seq| EditMessage {
                room,
                seq,
                text: "x".into(),
            };
            raws![edit(1), edit(0), edit(2), edit(3), edit(4), edit(99)]
        }
        "DeleteMessage" => {
            let delete = |seq| DeleteMessage { room, seq };
            raws![delete(1), delete(0), delete(2), delete(4), delete(99)]
        }
        "React" => {
            let react = |seq| React {
                room,
                seq,
                emoji: "👍".into(),
                on: true,
            };
            raws![react(1), react(0), react(2), react(3), react(4), react(99)]
        }
        "ListReactions" => {
            let list = |seq, limit| ListReactions {
                room,
                seq,
                after,
                limit,
            };
            raws![list(1, None), list(99, None), list(1, limit)]
        }
        "ReadHistory" => {
            let read = |from, limit| ReadHistory { room, from, limit };
            raws![
                read(None, None),
                read(Some(HistoryFrom::After(0)), None),
                read(Some(HistoryFrom::Since(0)), None),
                read(None, limit),
            ]
        }
        "MarkRead" => raws![MarkRead { room, seq: 1 }, MarkRead { room, seq: 99 }],
        "Typing" => raws![Typing { room }],
        "SendEphemeral" => {
            let text = "x".to_owned();
            raws![
                SendEphemeral { room, text },
                SendEphemeral { room, text: long }
            ]
        }
        "ReportMessage" => {
            let report = |seq, note| ReportMessage {
                room,
                seq,
                reason: ReportReason::Spam,
                note,
            };
            raws![
                report(1, None),
                report(0, None),
                report(99, None),
                report(1, Some(long))
            ]
        }
        name => panic!("{name} is about a room and is not tried here"),
    }
}

/// What a method answers to each of its calls, and to their repetitions.
async fn answers(
    client: &mut Client,
    name: &str,
    room: RoomId,
    user: UserId,
    key: &str,
) -> Vec<Result<Vec<u8>, Fault>> {
    let mut answers = Vec::new();
    for (number, raw) in calls(name, room, user).iter().enumerate() {
        for _ in 0..2 {
            answers.push(client.call_raw(raw, &format!("{key}{number}")).await);
        }
    }
    answers
}

/// Rooms that the stranger may not know, by what they are.
async fn unknown_rooms(
    world: &World,
    owner: &mut Client,
    (member, of_member): (&mut Client, UserId),
    (stranger, of_stranger): (&mut Client, UserId),
) -> Vec<(&'static str, RoomId)> {
    let mut rooms = Vec::new();
    for what in [
        "private",
        "left",
        "kicked",
        "declined",
        "banned unasked",
        "deleted",
    ] {
        let room = room_of(owner, RoomKind::Private).await;
        let invite = |user| InviteToRoom { room, user };
        owner.call(&invite(of_member)).await.unwrap();
        member.call(&JoinRoom { room }).await.unwrap();
        owner.call(&say(room, "said")).await.unwrap();
        if ["left", "kicked", "declined"].contains(&what) {
            owner.call(&invite(of_stranger)).await.unwrap();
        }
        if ["left", "kicked"].contains(&what) {
            stranger.call(&JoinRoom { room }).await.unwrap();
        }
        let (user, reason) = (of_stranger, None);
        match what {
            "left" | "declined" => drop(stranger.call(&LeaveRoom { room }).await.unwrap()),
            "kicked" => {
                let kick = KickMember { room, user, reason };
                owner.call(&kick).await.unwrap();
            }
            "banned unasked" => {
                let ban = BanMember {
                    room,
                    user,
                    until: None,
                    reason,
                };
                owner.call(&ban).await.unwrap();
            }
            "deleted" => drop(owner.call(&DeleteRoom { room }).await.unwrap()),
            _ => {}
        }
        rooms.push((what, room));
    }
    let direct = OpenDirect { user: of_member };
    let direct = owner.call(&direct).await.unwrap().info.room;
    owner.call(&say(direct, "said")).await.unwrap();
    rooms.push(("direct", direct));
    super::settle(world).await;
    rooms
}

#[tokio::test]
async fn a_room_that_one_may_not_know_answers_as_one_that_there_is_not() {
    let world = World::new().await;
    let (mut owner, _) = guest(&world, "owner").await;
    let (mut member, of_member) = guest(&world, "member").await;
    let (mut stranger, of_stranger) = guest(&world, "stranger").await;
    let rooms = unknown_rooms(
        &world,
        &mut owner,
        (&mut member, of_member),
        (&mut stranger, of_stranger),
    )
    .await;
    let nowhere = RoomId::from_bytes([99; 10]);
    // Whoever blocks the caller, or is blocked, is no way to find out either.
    for is_blocked in [false, true] {
        if is_blocked {
            let block = BlockPlayer { user: of_member };
            stranger.call(&block).await.unwrap();
        }
        for info in about_rooms() {
            let key = format!("{}{is_blocked}", info.name);
            let none = answers(&mut stranger, info.name, nowhere, of_member, &key).await;
            for (what, room) in &rooms {
                let found = answers(&mut stranger, info.name, *room, of_member, &key).await;
                assert_eq!(found, none, "{} of a room that is {what}", info.name);
            }
            // What no room takes is refused before anybody looks for one. The first call of each method is a good one.
            let refused = |answer: &Result<Vec<u8>, Fault>| {
                let fault = answer.as_ref().err();
                fault.is_some_and(|fault| match fault.code {
                    Code::RoomNotFound => true,
                    Code::InvalidArgument => fault.field.is_some(),
                    _ => false,
                })
            };
            assert!(none.iter().all(refused), "{}: {none:?}", info.name);
            let first = none[0].as_ref().err().map(|fault| fault.code);
            assert_eq!(first, Some(Code::RoomNotFound), "{}", info.name);
        }
    }
    let resume = |room| Resume {
        epoch: None,
        inbox: None,
        rooms: vec![RoomCursor {
            room,
            seq: 0,
            rev: 0,
        }],
    };
    let outcome = |resumed: Vec<ResumedRoom>| {
        let [one] = <[ResumedRoom; 1]>::try_from(resumed).unwrap();
        (one.view, one.fault)
    };
    let none = outcome(stranger.call(&resume(nowhere)).await.unwrap().rooms);
    for (what, room) in rooms {
        let found = outcome(stranger.call(&resume(room)).await.unwrap().rooms);
        assert_eq!(found, none, "resume of a room that is {what}");
    }
}

/// What is in memory is refused sooner than what has to be looked for, unless all of it waits for the same time.
#[tokio::test]
async fn the_time_of_an_answer_tells_nothing_of_a_room_either() {
    let mut world = World::new().await;
    let (mut owner, of_owner) = guest(&world, "owner").await;
    let room = room_of(&mut owner, RoomKind::Private).await;
    owner.call(&say(room, "said")).await.unwrap();
    let nowhere = RoomId::from_bytes([99; 10]);
    for is_in_memory in [true, false] {
        if !is_in_memory {
            drop(owner);
            world = world.restarted().await;
            (owner, _) = guest(&world, "another").await;
        }
        let (mut stranger, _) = guest(&world, "stranger").await;
        for info in about_rooms() {
            for about in [room, nowhere] {
                let raw = calls(info.name, about, of_owner).swap_remove(0);
                let began = Instant::now();
                let refused = stranger.call_raw(&raw, info.name).await;
                let (code, took) = (refused.map_err(|fault| fault.code), began.elapsed());
                assert_eq!(code, Err(Code::RoomNotFound), "{}", info.name);
                assert!(took >= UNKNOWN_ROOM_AFTER, "{}: {took:?}", info.name);
            }
        }
        let resume = |room| Resume {
            epoch: None,
            inbox: None,
            rooms: vec![RoomCursor {
                room,
                seq: 0,
                rev: 0,
            }],
        };
        for about in [room, nowhere] {
            let began = Instant::now();
            stranger.call(&resume(about)).await.unwrap();
            let took = began.elapsed();
            assert!(took >= UNKNOWN_ROOM_AFTER, "Resume: {took:?}");
        }
    }
}

#[tokio::test]
async fn a_block_tells_the_stranger_nothing() {
    let world = World::new().await;
    let (mut one, _) = guest(&world, "one").await;
    let (mut other, of_other) = guest(&world, "other").await;
    one.call(&BlockPlayer { user: of_other }).await.unwrap();
    one.call(&UnblockPlayer { user: of_other }).await.unwrap();
    one.call(&RequestFriend { user: of_other }).await.unwrap();
    one.call(&RemoveFriend { user: of_other }).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let number = other.begin(&super::super::echo()).await;
    loop {
        match other.next().await {
            Some(Came::Event(event, body)) if event == PlayerPresence::NUMBER => {
                let presence: PlayerPresence = codec::decode(&body).unwrap();
                panic!("a stranger hears {presence:?}");
            }
            Some(Came::Reply(call, _)) if call == number => break,
            Some(_) => {}
            None => panic!("the connection ended"),
        }
    }
}

/// A result that is stored under a key comes before everything that could refuse the call by now.
#[tokio::test]
async fn an_invitation_repeated_under_its_key_is_answered_as_before() {
    let world = World::new().await;
    let (mut owner, _) = guest(&world, "owner").await;
    let (_, friend) = guest(&world, "friend").await;
    let room = room_of(&mut owner, RoomKind::Private).await;
    let raw = Raw::of(&InviteToRoom { room, user: friend });
    let first = owner.call_raw(&raw, "key").await.unwrap();
    owner.call(&BlockPlayer { user: friend }).await.unwrap();
    assert_eq!(owner.call_raw(&raw, "key").await, Ok(first));
    let anew = owner.call_raw(&raw, "another").await;
    assert_eq!(anew.map_err(|fault| fault.code), Err(Code::Blocked));
}
