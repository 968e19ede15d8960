//! What a room decides of its members does not bind the product's moderators and admins.

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::{Role, SetRole};
use pitturu_protocol::types::chat::{
    BanMember, EditMessage, InviteToRoom, JoinRoom, KickMember, LeaveRoom, ListBans, ListMyRooms,
    MemberRole, MuteMember, OpenRoom, React, ReadHistory, RoomKind, SendEphemeral, SetMemberRole,
    Typing, UpdateRoom,
};
use pitturu_store::clock::now_ms;

use super::super::world::{Client, Raw, World};
use super::{guest, room_of, say, settle};

const HOUR: u64 = 60 * 60 * 1_000;

/// An owner, and somebody of the product's staff.
struct Scene {
    world: World,
    root: Client,
    owner: Client,
    staff: Client,
    user: UserId,
}

impl Scene {
    async fn new(role: Role) -> Self {
        let world = World::new().await;
        let (mut root, _) = world.registered("root").await;
        let (staff, signed_in) = world.registered("staff").await;
        let user = signed_in.identity.user;
        root.call(&SetRole { user, role }).await.unwrap();
        settle(&world).await;
        let (owner, _) = guest(&world, "owner").await;
        Self {
            world,
            root,
            owner,
            staff,
            user,
        }
    }

    /// A room of the owner's where the other has said something.
    async fn room(&mut self, kind: RoomKind) -> RoomId {
        let room = room_of(&mut self.owner, kind).await;
        self.staff.call(&JoinRoom { room }).await.unwrap();
        self.staff.call(&say(room, "mine")).await.unwrap();
        room
    }

    async fn mute(&mut self, room: RoomId) {
        let (user, until) = (self.user, now_ms() + HOUR);
        let mute = MuteMember { room, user, until };
        self.owner.call(&mute).await.expect("the owner may");
    }

    async fn ban(&mut self, room: RoomId) {
        let ban = BanMember {
            room,
            user: self.user,
            until: None,
            reason: None,
        };
        self.owner.call(&ban).await.expect("the owner may");
    }

    /// Why words at each door are refused.
    async fn refused(&mut self, room: RoomId) -> Vec<Option<Code>> {
        let text = || "words".to_owned();
        let raws = [
            Raw::of(&say(room, "words")),
            Raw::of(&EditMessage {
                room,
                seq: 1,
                text: text(),
            }),
            Raw::of(&SendEphemeral { room, text: text() }),
            Raw::of(&React {
                room,
                seq: 1,
                emoji: "👍".into(),
                on: true,
            }),
            Raw::of(&Typing { room }),
        ];
        let mut refused = Vec::new();
        for raw in raws {
            let key = fastrand::u64(..).to_string();
            let answer = self.staff.call_raw(&raw, &key).await;
            refused.push(answer.err().map(|fault| fault.code));
        }
        refused
    }

    async fn demote(&mut self) {
        let (user, role) = (self.user, Role::Player);
        self.root.call(&SetRole { user, role }).await.unwrap();
        settle(&self.world).await;
    }
}

#[tokio::test]
async fn a_rooms_mute_and_slow_mode_bind_no_staff_while_they_are_it() {
    for role in [Role::Moderator, Role::Admin] {
        for kind in [RoomKind::Public, RoomKind::Private] {
            let mut scene = Scene::new(role).await;
            let room = scene.room(kind).await;
            let slow = UpdateRoom {
                room,
                name: None,
                topic: None,
                slow_mode_ms: Some(3_600_000),
                retention: None,
            };
            scene.owner.call(&slow).await.unwrap();
            scene.mute(room).await;
            let name = format!("{role:?}, {kind:?}");
            assert_eq!(scene.refused(room).await, [None; 5], "{name}");
            // Nor does anything say that they are muted.
            let open = OpenRoom {
                room,
                seq: None,
                rev: None,
            };
            let me = scene.staff.call(&open).await.unwrap().me;
            assert_eq!(me.muted_until, None, "{name}");
            let mine = scene.staff.call(&ListMyRooms::default()).await.unwrap();
            let me = mine.rooms.into_iter().find_map(|mine| mine.me).unwrap();
            assert_eq!(me.muted_until, None, "{name}");
            // It was decided all the same, and outlives the membership.
            scene.staff.call(&LeaveRoom { room }).await.unwrap();
            scene.staff.call(&JoinRoom { room }).await.unwrap();
            assert_eq!(scene.refused(room).await, [None; 5], "{name}");
            scene.demote().await;
            let muted = [Some(Code::Muted); 5];
            assert_eq!(scene.refused(room).await, muted, "{name}, demoted");
        }
    }
}

#[tokio::test]
async fn a_rooms_ban_and_kick_keep_no_staff_out_while_they_are_it() {
    for role in [Role::Moderator, Role::Admin] {
        for kind in [RoomKind::Public, RoomKind::Private] {
            let mut scene = Scene::new(role).await;
            let room = scene.room(kind).await;
            let name = format!("{role:?}, {kind:?}");
            let user = scene.user;
            let kick = KickMember {
                room,
                user,
                reason: None,
            };
            scene.owner.call(&kick).await.expect("the owner may");
            scene.staff.call(&JoinRoom { room }).await.expect(&name);
            let read = ReadHistory {
                room,
                from: None,
                limit: None,
            };
            let bans = ListBans {
                room,
                after: None,
                limit: None,
            };
            // Put out, they are as anybody of the staff who is not in the room.
            scene.staff.call(&LeaveRoom { room }).await.unwrap();
            let before = scene.staff.call(&read).await.map_err(|fault| fault.code);
            scene.staff.call(&JoinRoom { room }).await.unwrap();
            scene.ban(room).await;
            let after = scene.staff.call(&read).await.map_err(|fault| fault.code);
            assert_eq!(after, before, "{name}");
            let listed = scene.staff.call(&bans).await.unwrap().bans;
            assert_eq!(listed.len(), 1, "{name}");
            scene.staff.call(&JoinRoom { room }).await.expect(&name);
            assert_eq!(scene.refused(room).await, [None; 5], "{name}");
            // A ban is kept, and binds who is no longer staff.
            scene.ban(room).await;
            scene.demote().await;
            let joined = scene.staff.call(&JoinRoom { room }).await;
            let refused = joined.err().map(|fault| fault.code);
            assert_eq!(refused, Some(Code::Banned), "{name}, demoted");
        }
    }
}

/// A direct room is nobody's but its two players'.
#[tokio::test]
async fn staff_are_as_anybody_in_a_direct_room() {
    use pitturu_protocol::types::chat::OpenDirect;
    use pitturu_protocol::types::friends::BlockPlayer;
    let mut scene = Scene::new(Role::Admin).await;
    let user = scene.user;
    let direct = scene.owner.call(&OpenDirect { user }).await.unwrap();
    let room = direct.info.room;
    scene.owner.call(&BlockPlayer { user }).await.unwrap();
    settle(&scene.world).await;
    let said = scene.staff.call(&say(room, "words")).await;
    assert_eq!(said.err().map(|fault| fault.code), Some(Code::Blocked));
    let invited = scene.owner.call(&InviteToRoom { room, user }).await;
    assert_eq!(invited.err().map(|fault| fault.code), Some(Code::Forbidden));
}

const DEEDS: usize = 4;

/// What is done to one member of a room.
fn deeds(room: RoomId, user: UserId) -> [Raw; DEEDS] {
    let until = now_ms() + HOUR;
    [
        Raw::of(&MuteMember { room, user, until }),
        Raw::of(&SetMemberRole {
            room,
            user,
            role: MemberRole::Moderator,
        }),
        Raw::of(&KickMember {
            room,
            user,
            reason: None,
        }),
        Raw::of(&BanMember {
            room,
            user,
            until: None,
            reason: None,
        }),
    ]
}

/// A room of the first one's, of which the other is a member.
async fn shared_room(
    owner: &mut Client,
    kind: RoomKind,
    (member, user): (&mut Client, UserId),
) -> RoomId {
    let room = room_of(owner, kind).await;
    owner.call(&InviteToRoom { room, user }).await.unwrap();
    member.call(&JoinRoom { room }).await.unwrap();
    room
}

/// A role in the whole product reaches those below it, in their own rooms too, and nobody else's.
#[tokio::test]
async fn staff_act_in_rooms_on_those_below_them() {
    const GIVES_ROLE: usize = 1;
    for kind in [RoomKind::Public, RoomKind::Private] {
        for role in [Role::Moderator, Role::Admin] {
            for other in [Role::Player, Role::Service, Role::Moderator, Role::Admin] {
                let mut scene = Scene::new(role).await;
                let (mut target, signed_in) = scene.world.registered("target").await;
                let user = signed_in.identity.user;
                let (mut friend, friend_user) = guest(&scene.world, "friend").await;
                if other != Role::Player {
                    let set = SetRole { user, role: other };
                    scene.root.call(&set).await.expect("an admin may");
                    settle(&scene.world).await;
                }
                for (is_owner, number) in [true, false]
                    .into_iter()
                    .flat_map(|is_owner| (0..DEEDS).map(move |number| (is_owner, number)))
                {
                    // Who owns a room alone stays the owner, whoever says otherwise.
                    if is_owner && number == GIVES_ROLE {
                        continue;
                    }
                    let room = match is_owner {
                        true => shared_room(&mut target, kind, (&mut friend, friend_user)).await,
                        false => shared_room(&mut friend, kind, (&mut target, user)).await,
                    };
                    let raw = &deeds(room, user)[number];
                    let key = format!("{is_owner} {number}");
                    let done = scene.staff.call_raw(raw, &key).await;
                    let code = done.map(drop).map_err(|fault| fault.code);
                    // Roles in a room are given by its owners and by admins.
                    let may = role.acts_on(other) && (number != GIVES_ROLE || role == Role::Admin);
                    let expected = if may { Ok(()) } else { Err(Code::Forbidden) };
                    assert_eq!(code, expected, "{kind:?} {role:?} on {other:?}: {key}");
                }
            }
        }
    }
}

/// Whoever has a role in the whole product still has the one that they have in the room.
#[tokio::test]
async fn who_owns_a_room_acts_on_its_members_whatever_they_are_elsewhere() {
    for role in [Role::Moderator, Role::Admin] {
        let mut scene = Scene::new(role).await;
        let (mut member, signed_in) = scene.world.registered("member").await;
        let user = signed_in.identity.user;
        let set = SetRole {
            user,
            role: Role::Admin,
        };
        scene.root.call(&set).await.expect("an admin may");
        settle(&scene.world).await;
        let room = room_of(&mut scene.staff, RoomKind::Public).await;
        member.call(&JoinRoom { room }).await.unwrap();
        for (number, raw) in deeds(room, user).iter().enumerate() {
            let done = scene.staff.call_raw(raw, &format!("{number}")).await;
            assert!(done.is_ok(), "{role:?}, deed {number}: {done:?}");
        }
    }
}
