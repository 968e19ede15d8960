//! Who may not do something in a room is refused for who they are, before anything that the call names is looked at: a refusal
//! that depended on it would tell what is in the room.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{
    BanMember, InviteToRoom, JoinRoom, KickMember, LeaveRoom, ListBans, MuteMember, OpenRoom,
    RoomKind,
};
use pitturu_protocol::types::system::{Resume, RoomCursor};
use pitturu_store::clock::{now_ms, shift_here};

use super::super::world::{Client, Raw, World};
use super::known::{about_rooms, calls};
use super::{guest, room_of, say, settle};

const HOUR: u64 = 60 * 60 * 1_000;

/// How a player came to stand to a room.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stands {
    Member,
    Muted,
    Invited,
    Kicked,
    Left,
    Banned,
    BannedInvited,
    BannedUnasked,
}

const STANDS: [Stands; 8] = [
    Stands::Member,
    Stands::Muted,
    Stands::Invited,
    Stands::Kicked,
    Stands::Left,
    Stands::Banned,
    Stands::BannedInvited,
    Stands::BannedUnasked,
];

/// Has the player come to stand so.
async fn bring(
    owner: &mut Client,
    (player, user): (&mut Client, UserId),
    room: RoomId,
    stands: Stands,
    until: Option<u64>,
) {
    if stands != Stands::BannedUnasked {
        owner.call(&InviteToRoom { room, user }).await.unwrap();
    }
    let is_member = ![
        Stands::Invited,
        Stands::BannedInvited,
        Stands::BannedUnasked,
    ]
    .contains(&stands);
    if is_member {
        player.call(&JoinRoom { room }).await.unwrap();
    }
    let reason = None;
    match stands {
        Stands::Member | Stands::Invited => {}
        Stands::Muted => {
            let until = now_ms() + HOUR;
            let mute = MuteMember { room, user, until };
            owner.call(&mute).await.unwrap();
        }
        Stands::Kicked => {
            let kick = KickMember { room, user, reason };
            owner.call(&kick).await.unwrap();
        }
        Stands::Left => drop(player.call(&LeaveRoom { room }).await.unwrap()),
        Stands::Banned | Stands::BannedInvited | Stands::BannedUnasked => {
            let ban = BanMember {
                room,
                user,
                until,
                reason,
            };
            owner.call(&ban).await.unwrap();
        }
    }
}

/// What an answer tells: that a reply has come, or for what the call was refused.
type Told = Option<(Code, Option<String>)>;

async fn told(client: &mut Client, raw: &Raw) -> Told {
    let key = fastrand::u64(..).to_string();
    let answer: Result<Vec<u8>, Fault> = client.call_raw(raw, &key).await;
    answer.err().map(|fault| (fault.code, fault.field))
}

/// Refusals for who the caller is.
const fn is_for_the_caller(code: Code) -> bool {
    matches!(
        code,
        Code::Banned | Code::NotAMember | Code::RoomNotFound | Code::Muted
    )
}

/// Methods that a moderator's rights decide: a plain member is refused whatever the call names.
const KEEPS_ORDER: [&str; 7] = [
    "KickMember",
    "BanMember",
    "UnbanMember",
    "MuteMember",
    "SetMemberRole",
    "ListBans",
    "UpdateRoom",
];

/// Of each method whose calls leave how a player stands to the room, which of its calls a room takes.
async fn taken(world: &World) -> Vec<(&'static str, Vec<bool>)> {
    let (mut nobody, about) = guest(world, "nobody").await;
    let nowhere = RoomId::from_bytes([99; 10]);
    let mut taken = Vec::new();
    let methods = about_rooms();
    for info in methods.filter(|info| !["JoinRoom", "LeaveRoom"].contains(&info.name)) {
        let mut of_calls = Vec::new();
        for raw in calls(info.name, nowhere, about) {
            let refused = told(&mut nobody, &raw).await;
            of_calls.push(refused == Some((Code::RoomNotFound, None)));
        }
        taken.push((info.name, of_calls));
    }
    taken
}

#[tokio::test]
async fn a_refusal_for_who_the_caller_is_does_not_depend_on_what_the_call_names() {
    let world = World::new().await;
    let taken = taken(&world).await;
    let mut refused = 0;
    for kind in [RoomKind::Public, RoomKind::Private] {
        for stands in STANDS {
            let name = format!("{kind:?} {stands:?}");
            let (mut owner, of_owner) = guest(&world, &format!("owner {name}")).await;
            let (mut player, user) = guest(&world, &name).await;
            let room = room_of(&mut owner, kind).await;
            for number in 0..3 {
                let said = say(room, &format!("words {number}"));
                owner.call(&said).await.unwrap();
            }
            bring(&mut owner, (&mut player, user), room, stands, None).await;
            let of_all = [of_owner, user, UserId::from_bytes([7; 10])];
            for (name_of, taken) in &taken {
                let mut first: Option<Told> = None;
                for about in of_all {
                    let raws = calls(name_of, room, about);
                    for (raw, _) in raws.iter().zip(taken).filter(|(_, is_taken)| **is_taken) {
                        let now = told(&mut player, raw).await;
                        let first = first.get_or_insert_with(|| now.clone());
                        let code = first.as_ref().map(|(code, _)| *code);
                        let is_order = KEEPS_ORDER.contains(name_of);
                        if code.is_some_and(is_for_the_caller)
                            || (is_order && code == Some(Code::Forbidden))
                        {
                            assert_eq!(now, *first, "{name}: {name_of}");
                            refused += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 500, "only {refused} were refused for the caller");
}

/// All that a player is answered to in a room, but for what would change how they stand to it.
async fn all_told(client: &mut Client, room: RoomId, about: UserId) -> Vec<(&'static str, Told)> {
    let mut all = Vec::new();
    let methods = about_rooms();
    for info in methods.filter(|info| info.name != "JoinRoom") {
        for raw in calls(info.name, room, about) {
            all.push((info.name, told(client, &raw).await));
        }
    }
    let cursor = RoomCursor {
        room,
        seq: 0,
        rev: 0,
    };
    let resume = Resume {
        epoch: None,
        inbox: None,
        rooms: vec![cursor],
    };
    let resumed = client.call(&resume).await.unwrap().rooms;
    let fault = resumed.into_iter().find_map(|resumed| resumed.fault);
    all.push(("Resume", fault.map(|fault| (fault.code, fault.field))));
    all
}

#[tokio::test]
async fn a_ban_that_is_over_is_as_if_the_player_had_left() {
    for kind in [RoomKind::Public, RoomKind::Private] {
        for stands in [Stands::Banned, Stands::BannedInvited, Stands::BannedUnasked] {
            let mut world = World::new().await;
            let (mut owner, of_owner) = guest(&world, "owner").await;
            let (mut left, of_left) = guest(&world, "left").await;
            let (mut banned, user) = guest(&world, "banned").await;
            let room = room_of(&mut owner, kind).await;
            owner.call(&say(room, "words")).await.unwrap();
            bring(&mut owner, (&mut left, of_left), room, Stands::Left, None).await;
            let until = Some(now_ms() + HOUR);
            bring(&mut owner, (&mut banned, user), room, stands, until).await;
            let open = OpenRoom {
                room,
                seq: None,
                rev: None,
            };
            let refused = banned.call(&open).await.map_err(|fault| fault.code);
            let is_told = kind == RoomKind::Public || stands != Stands::BannedUnasked;
            let code = [Code::RoomNotFound, Code::Banned][usize::from(is_told)];
            assert_eq!(refused.err(), Some(code), "{kind:?}, {stands:?}");
            shift_here(2 * i64::try_from(HOUR).unwrap());
            for is_restarted in [false, true] {
                if is_restarted {
                    drop((owner, left, banned));
                    world = world.restarted().await;
                    (owner, _) = guest(&world, "owner").await;
                    (left, _) = guest(&world, "left").await;
                    (banned, _) = guest(&world, "banned").await;
                }
                let expected = all_told(&mut left, room, of_owner).await;
                let found = all_told(&mut banned, room, of_owner).await;
                let name = format!("{kind:?}, {stands:?}, restarted: {is_restarted}");
                assert_eq!(found, expected, "{name}");
                let bans = ListBans {
                    room,
                    after: None,
                    limit: None,
                };
                assert_eq!(owner.call(&bans).await.unwrap().bans, [], "{name}");
            }
            // Another one is that of a stranger, and is told as such.
            let again = BanMember {
                room,
                user,
                until: None,
                reason: None,
            };
            owner.call(&again).await.unwrap();
            let refused = banned.call(&open).await.map_err(|fault| fault.code);
            let code = match kind {
                RoomKind::Public => Code::Banned,
                _ => Code::RoomNotFound,
            };
            assert_eq!(refused.err(), Some(code), "{kind:?}, {stands:?}");
            shift_here(0);
            settle(&world).await;
        }
    }
}
