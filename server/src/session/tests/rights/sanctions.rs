//! A sanction holds at every door through which something gets into a room, and outlives the membership.

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{
    BanMember, EditMessage, InviteToRoom, JoinRoom, KickMember, LeaveRoom, ListMembers, MuteMember,
    React, RoomKind, SendEphemeral, Typing, UnbanMember, UpdateRoom,
};
use pitturu_store::clock::now_ms;

use super::super::world::{Client, Raw, World};
use super::{guest, room_of, say};

/// Something that puts words of a player into a room, or shows them to it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Send,
    Edit,
    Ephemeral,
    React,
    Typing,
}

const DOORS: [Door; 5] = [
    Door::Send,
    Door::Edit,
    Door::Ephemeral,
    Door::React,
    Door::Typing,
];

/// A way out of a room and in again, or past what the server has in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Leave,
    Kick,
    BanAndUnban,
    Restart,
}

const WAYS: [Way; 5] = [
    Way::Leave,
    Way::Kick,
    Way::BanAndUnban,
    Way::Restart,
    Way::Leave,
];

/// An owner and a member, who has said something, in a room.
struct Scene {
    world: World,
    owner: Client,
    member: Client,
    user: UserId,
    room: RoomId,
    own: u64,
}

impl Scene {
    async fn new(kind: RoomKind) -> Self {
        let world = World::new().await;
        let (mut owner, _) = guest(&world, "owner").await;
        let (mut member, user) = guest(&world, "member").await;
        let room = room_of(&mut owner, kind).await;
        owner.call(&InviteToRoom { room, user }).await.unwrap();
        member.call(&JoinRoom { room }).await.unwrap();
        let own = member.call(&say(room, "mine")).await.unwrap().seq;
        Self {
            world,
            owner,
            member,
            user,
            room,
            own,
        }
    }

    async fn go(mut self, way: Way) -> Self {
        let (room, user, reason) = (self.room, self.user, None);
        match way {
            Way::Leave => drop(self.member.call(&LeaveRoom { room }).await.unwrap()),
            Way::Kick => {
                let kick = KickMember { room, user, reason };
                self.owner.call(&kick).await.unwrap();
            }
            Way::BanAndUnban => {
                let ban = BanMember {
                    room,
                    user,
                    until: None,
                    reason,
                };
                self.owner.call(&ban).await.unwrap();
                self.owner.call(&UnbanMember { room, user }).await.unwrap();
            }
            Way::Restart => {
                drop((self.owner, self.member));
                self.world = self.world.restarted().await;
                (self.owner, _) = guest(&self.world, "owner").await;
                (self.member, _) = guest(&self.world, "member").await;
            }
        }
        self.owner.call(&InviteToRoom { room, user }).await.unwrap();
        self.member.call(&JoinRoom { room }).await.unwrap();
        self
    }

    /// Why the member is refused at a door.
    async fn refused(&mut self, door: Door) -> Option<Code> {
        let (room, seq) = (self.room, self.own);
        let text = "words".to_owned();
        let raw = match door {
            Door::Send => Raw::of(&say(room, &text)),
            Door::Edit => Raw::of(&EditMessage { room, seq, text }),
            Door::Ephemeral => Raw::of(&SendEphemeral { room, text }),
            Door::React => Raw::of(&React {
                room,
                seq,
                emoji: "👍".into(),
                on: true,
            }),
            Door::Typing => Raw::of(&Typing { room }),
        };
        let key = fastrand::u64(..).to_string();
        let answer = self.member.call_raw(&raw, &key).await;
        answer.err().map(|fault| fault.code)
    }
}

#[tokio::test]
async fn a_mute_outlives_the_membership_at_every_door() {
    for kind in [RoomKind::Public, RoomKind::Private] {
        let mut scene = Scene::new(kind).await;
        let (room, user) = (scene.room, scene.user);
        let until = now_ms() + 3_600_000;
        let mute = |until| MuteMember { room, user, until };
        scene.owner.call(&mute(until)).await.unwrap();
        for way in WAYS {
            scene = scene.go(way).await;
            for door in DOORS {
                let refused = scene.refused(door).await;
                assert_eq!(refused, Some(Code::Muted), "{kind:?}, {way:?}, {door:?}");
            }
            let members = ListMembers {
                room,
                online: false,
                after: None,
                limit: None,
            };
            let members = scene.owner.call(&members).await.unwrap().members;
            let member = members.iter().find(|member| member.user == user);
            let shown = member.and_then(|member| member.muted_until);
            assert_eq!(shown, Some(until), "{way:?}");
        }
        scene.owner.call(&mute(0)).await.unwrap();
        scene = scene.go(Way::Leave).await;
        assert_eq!(scene.refused(Door::Send).await, None);
    }
}

#[tokio::test]
async fn slow_mode_counts_every_text_and_outlives_the_membership() {
    let texts = [Door::Send, Door::Edit, Door::Ephemeral];
    for first in texts {
        let mut scene = Scene::new(RoomKind::Public).await;
        let slow = UpdateRoom {
            room: scene.room,
            name: None,
            topic: None,
            slow_mode_ms: Some(3_600_000),
            retention: None,
        };
        scene.owner.call(&slow).await.unwrap();
        assert_eq!(scene.refused(first).await, None, "{first:?}");
        for way in WAYS {
            if way == Way::Restart && first == Door::Ephemeral {
                // Nothing is stored of what is said for the moment.
                break;
            }
            scene = scene.go(way).await;
            for door in texts {
                let refused = scene.refused(door).await;
                assert_eq!(
                    refused,
                    Some(Code::SlowMode),
                    "{first:?}, {way:?}, {door:?}"
                );
            }
        }
    }
}
