//! Idempotency keys, over every method that writes at a room or a player.
//!
//! A call has an effect when it is a commit: the version of the entity that decides it goes up by one.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::TIME_MS_MAX;
use pitturu_protocol::methods::{Access, Change, Effect, METHODS, MethodInfo, Place};
use pitturu_protocol::types::boards::{RemoveScore, SubmitScore};
use pitturu_protocol::types::chat::{
    BanMember, CreateRoom, DeleteMessage, DeleteRoom, EditMessage, EnterRoom, InviteToRoom,
    JoinRoom, KickMember, LeaveRoom, ListMembers, ListRooms, MarkRead, MemberRole, MuteMember,
    OpenDirect, React, RoomKind, RoomView, SendMessage, SetMemberRole, UnbanMember, UpdateRoom,
};
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, Friend, ListFriends, RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_store::entities::{Entities as _, EntityId};

use super::world::{Client, Raw, World};
use super::{PATIENCE, let_others_run};
use crate::chat::store::entity;
use crate::connections::link::memory::Options;
use crate::players;
use pitturu_protocol::types::items::{BuyItem, GrantItem, TakeItem, UseItem};
use pitturu_protocol::types::moderation::{
    DeletePlayer, MutePlayer, ResetProfile, SignOutPlayer, SuspendPlayer, UnmutePlayer,
};
use pitturu_protocol::types::points::{
    DeductPoints, ExpirePoints, GivePoints, GrantPoints, PostPoints, RefundPoints, SetPointsAside,
    SpendPoints, VoidPoints,
};
use pitturu_protocol::types::rewards::{PlayOutcome, RecordPlay};
use pitturu_store::clock::now_ms;

const KEY: &str = "key";

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Member,
    Stranger,
}

/// Two rooms of an owner with a member, and a stranger.
struct Scene {
    world: World,
    owner: Client,
    member: Client,
    stranger: Client,
    /// Of the owner, the member and the stranger.
    users: [UserId; 3],
    rooms: [RoomId; 2],
}

/// A method's call, and what it is tried with.
struct Case {
    info: &'static MethodInfo,
    who: Who,
    raw: Raw,
    /// The same method for the same entity with other content, where there can be such.
    other_content: Option<Raw>,
    /// Another method for the same entity.
    other_method: Raw,
    entity: EntityId,
}

/// The methods whose results are kept by the entity that decides.
fn methods() -> impl Iterator<Item = &'static MethodInfo> {
    let of_players = [
        "RequestFriend",
        "AcceptFriend",
        "RemoveFriend",
        "BlockPlayer",
        "UnblockPlayer",
        "SpendPoints",
        "GivePoints",
        "BuyItem",
        "UseItem",
    ];
    METHODS.iter().filter(move |info| {
        let makes_room = info.place == Place::Caller && info.changes == Change::Opens;
        let is_kept = info.place == Place::Room || makes_room || of_players.contains(&info.name);
        info.effect == Effect::Writes && info.access == Access::Player && is_kept
    })
}

fn create(name: &str) -> CreateRoom {
    CreateRoom {
        kind: RoomKind::Public,
        name: name.to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}

fn send(room: RoomId, text: &str) -> SendMessage {
    SendMessage {
        room,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    }
}

fn rename(room: RoomId, name: &str) -> UpdateRoom {
    UpdateRoom {
        room,
        name: Some(name.to_owned()),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}

/// The call of a method, and another one of the same method for the same entity.
pub(super) fn raws(
    name: &str,
    room: RoomId,
    [_, member, stranger]: [UserId; 3],
) -> (Raw, Option<Raw>) {
    /// Two requests of one type.
    macro_rules! two {
        ($one:expr, $other:expr) => {
            (Raw::of(&$one), Some(Raw::of(&$other)))
        };
    }
    let reason = |text: &str| Some(text.to_owned());
    match name {
        "CreateRoom" => two!(create("one"), create("two")),
        "OpenDirect" => (Raw::of(&OpenDirect { user: member }), None),
        // Another handle is another room.
        "EnterRoom" => {
            let handle = "lobby".to_owned();
            (Raw::of(&EnterRoom { handle }), None)
        }
        "JoinRoom" => (Raw::of(&JoinRoom { room }), None),
        "LeaveRoom" => (Raw::of(&LeaveRoom { room }), None),
        "DeleteRoom" => (Raw::of(&DeleteRoom { room }), None),
        "InviteToRoom" => {
            let invite = |user| InviteToRoom { room, user };
            two!(invite(stranger), invite(member))
        }
        "KickMember" => {
            let kick = |reason| KickMember {
                room,
                user: member,
                reason,
            };
            two!(kick(None), kick(reason("noise")))
        }
        "BanMember" => {
            let ban = |reason| BanMember {
                room,
                user: member,
                until: None,
                reason,
            };
            two!(ban(None), ban(reason("noise")))
        }
        "UnbanMember" => {
            let unban = |user| UnbanMember { room, user };
            two!(unban(stranger), unban(member))
        }
        "MuteMember" => {
            let mute = |until| MuteMember {
                room,
                user: member,
                until,
            };
            two!(mute(TIME_MS_MAX), mute(TIME_MS_MAX - 1))
        }
        "SetMemberRole" => {
            let set = |role| SetMemberRole {
                room,
                user: member,
                role,
            };
            two!(set(MemberRole::Moderator), set(MemberRole::Member))
        }
        "UpdateRoom" => two!(rename(room, "one"), rename(room, "two")),
        "SendMessage" => two!(send(room, "one"), send(room, "two")),
        "EditMessage" => {
            let edit = |text: &str| EditMessage {
                room,
                seq: 1,
                text: text.to_owned(),
            };
            two!(edit("one"), edit("two"))
        }
        "DeleteMessage" => {
            let delete = |seq| DeleteMessage { room, seq };
            two!(delete(1), delete(2))
        }
        "React" => {
            let react = |emoji: &str| React {
                room,
                seq: 1,
                emoji: emoji.to_owned(),
                on: true,
            };
            two!(react("👍"), react("🎉"))
        }
        "MarkRead" => two!(MarkRead { room, seq: 2 }, MarkRead { room, seq: 1 }),
        "RequestFriend" => two!(
            RequestFriend { user: member },
            RequestFriend { user: stranger }
        ),
        "AcceptFriend" => two!(
            AcceptFriend { user: member },
            AcceptFriend { user: stranger }
        ),
        "RemoveFriend" => two!(
            RemoveFriend { user: member },
            RemoveFriend { user: stranger }
        ),
        "BlockPlayer" => two!(BlockPlayer { user: member }, BlockPlayer { user: stranger }),
        "UnblockPlayer" => two!(
            UnblockPlayer { user: member },
            UnblockPlayer { user: stranger }
        ),
        "SubmitScore" => {
            let submit = |score| SubmitScore {
                board: "best".to_owned(),
                user: member,
                score,
                metadata: None,
            };
            two!(submit(1), submit(2))
        }
        "RemoveScore" => {
            let remove = |season| RemoveScore {
                board: "best".to_owned(),
                season,
                user: member,
                note: "for the test".to_owned(),
            };
            two!(remove(None), remove(Some(0)))
        }
        name => points(name, member),
    }
}

/// Movements of points of `user`, who has a hundred, has spent ten by the second one, and set aside five by the third and by the fourth.
fn points(name: &str, user: UserId) -> (Raw, Option<Raw>) {
    let (reference, note) = (None, "for the test".to_owned());
    let each = |raw: &dyn Fn(u64) -> Raw| (raw(1), Some(raw(2)));
    match name {
        "SpendPoints" => each(&|amount| {
            let reference = None;
            Raw::of(&SpendPoints { amount, reference })
        }),
        "GivePoints" => each(&|amount| {
            let note = None;
            Raw::of(&GivePoints { user, amount, note })
        }),
        "GrantPoints" => each(&|amount| {
            Raw::of(&GrantPoints {
                user,
                amount,
                reference: reference.clone(),
                note: note.clone(),
            })
        }),
        "DeductPoints" => each(&|amount| {
            Raw::of(&DeductPoints {
                user,
                amount,
                reference: reference.clone(),
                note: note.clone(),
            })
        }),
        "ExpirePoints" => each(&|amount| {
            let reference = None;
            Raw::of(&ExpirePoints {
                user,
                amount,
                reference,
            })
        }),
        "RefundPoints" => each(&|amount| {
            Raw::of(&RefundPoints {
                user,
                movement: 2,
                amount: Some(amount),
                note: note.clone(),
            })
        }),
        "SetPointsAside" => each(&|amount| {
            Raw::of(&SetPointsAside {
                user,
                amount,
                until: now_ms() + 60_000,
                reference: None,
                note: None,
            })
        }),
        "PostPoints" => each(&|amount| {
            let amount = Some(amount);
            Raw::of(&PostPoints {
                user,
                movement: 3,
                amount,
            })
        }),
        "VoidPoints" => each(&|number| {
            let movement = number + 2;
            Raw::of(&VoidPoints { user, movement })
        }),
        name => items(name, user),
    }
}

/// Changes of what `user` owns, who has twenty potions.
fn items(name: &str, user: UserId) -> (Raw, Option<Raw>) {
    let (item, note) = ("potion".to_owned(), "for the test".to_owned());
    let each = |raw: &dyn Fn(u64) -> Raw| (raw(1), Some(raw(2)));
    match name {
        "BuyItem" => each(&|count| {
            let (item, price) = (item.clone(), 2);
            Raw::of(&BuyItem { item, count, price })
        }),
        "UseItem" => each(&|count| {
            let item = item.clone();
            Raw::of(&UseItem { item, count })
        }),
        "GrantItem" => each(&|count| {
            Raw::of(&GrantItem {
                user,
                item: item.clone(),
                count,
                note: note.clone(),
            })
        }),
        "TakeItem" => each(&|count| {
            Raw::of(&TakeItem {
                user,
                item: item.clone(),
                count,
                note: note.clone(),
            })
        }),
        "RecordPlay" => {
            let play = |outcome| {
                let game = "chess".to_owned();
                Raw::of(&RecordPlay {
                    user,
                    game,
                    outcome,
                })
            };
            (play(PlayOutcome::Won), Some(play(PlayOutcome::Lost)))
        }
        name => moderation(name, user),
    }
}

/// What the staff decides about `user`.
fn moderation(name: &str, user: UserId) -> (Raw, Option<Raw>) {
    let each = |raw: &dyn Fn(&str) -> Raw| (raw("one"), Some(raw("two")));
    match name {
        "SuspendPlayer" => each(&|reason| {
            let (until, reason) = (None, reason.to_owned());
            Raw::of(&SuspendPlayer {
                user,
                until,
                reason,
            })
        }),
        "MutePlayer" => each(&|reason| {
            let (until, reason) = (None, reason.to_owned());
            Raw::of(&MutePlayer {
                user,
                until,
                reason,
            })
        }),
        "ResetProfile" => each(&|reason| {
            Raw::of(&ResetProfile {
                user,
                name: Some("Player".to_owned()),
                avatar: true,
                bio: true,
                reason: reason.to_owned(),
            })
        }),
        "DeletePlayer" => each(&|reason| {
            let (at_once, reason) = (false, reason.to_owned());
            Raw::of(&DeletePlayer {
                user,
                at_once,
                reason,
            })
        }),
        "UnmutePlayer" => (Raw::of(&UnmutePlayer { user }), None),
        "SignOutPlayer" => (Raw::of(&SignOutPlayer { user }), None),
        name => panic!("{name} writes and is not tried here"),
    }
}

/// Moves points of a player and gives items as [`raws`] wants them; `admin` may.
pub(super) async fn earn(admin: &mut Client, player: &mut Client, user: UserId) {
    let grant = GrantPoints {
        user,
        amount: 100,
        reference: None,
        note: "for the test".to_owned(),
    };
    admin.call_raw(&Raw::of(&grant), "earned").await.unwrap();
    let potions = GrantItem {
        user,
        item: "potion".to_owned(),
        count: 20,
        note: "for the test".to_owned(),
    };
    admin.call_raw(&Raw::of(&potions), "given").await.unwrap();
    let spend = SpendPoints {
        amount: 10,
        reference: None,
    };
    player.call_raw(&Raw::of(&spend), "spent").await.unwrap();
    for key in ["third", "fourth"] {
        let aside = SetPointsAside {
            user,
            amount: 5,
            until: now_ms() + 60_000,
            reference: None,
            note: None,
        };
        admin.call_raw(&Raw::of(&aside), key).await.unwrap();
    }
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut owner, one) = world.guest("owner", Options::default()).await;
        let (mut member, two) = world.guest("member", Options::default()).await;
        let (stranger, three) = world.guest("stranger", Options::default()).await;
        let mut rooms = Vec::new();
        for _ in 0..2 {
            let room = owner.create_room().await;
            member.join(room).await;
            for _ in 0..2 {
                // The member's, so that it is unread.
                let said = send(room, "said");
                member.call(&said).await.unwrap();
            }
            rooms.push(room);
        }
        Self {
            world,
            owner,
            member,
            stranger,
            users: [one, two, three].map(|who| who.identity.user),
            rooms: [rooms[0], rooms[1]],
        }
    }

    fn client(&mut self, who: Who) -> &mut Client {
        match who {
            Who::Owner => &mut self.owner,
            Who::Member => &mut self.member,
            Who::Stranger => &mut self.stranger,
        }
    }

    /// The case of a method at one of the rooms, or players. What has to be there for it to have an effect is.
    async fn case(&mut self, info: &'static MethodInfo, place: usize) -> Case {
        let (users, room) = (self.users, self.rooms[place]);
        let [owner, member, stranger] = users;
        let (raw, other_content) = raws(info.name, room, users);
        let who = match info.name {
            "JoinRoom" => Who::Stranger,
            "LeaveRoom" | "EditMessage" => Who::Member,
            _ => Who::Owner,
        };
        let entity = match (info.name, info.place) {
            ("CreateRoom", _) => entity(
                self.world
                    .context
                    .services
                    .directory
                    .ids()
                    .keyed(owner, KEY),
            ),
            ("OpenDirect", _) => entity(
                self.world
                    .context
                    .services
                    .directory
                    .ids()
                    .direct(owner, member),
            ),
            ("EnterRoom", _) => {
                let rooms = &self.world.context.services.room_store;
                let claimed = RoomId::from_bytes([42; 10]);
                entity(rooms.claim_handle("lobby", claimed, None).await.unwrap())
            }
            (_, Place::Room) => entity(room),
            _ => players::entity(owner),
        };
        let its_room = RoomId::from_bytes(entity.id());
        let other_method = match info.name {
            "SendMessage" => Raw::of(&MarkRead { room, seq: 1 }),
            "BlockPlayer" => Raw::of(&RequestFriend { user: stranger }),
            _ if entity.kind() == players::PLAYER => Raw::of(&BlockPlayer { user: stranger }),
            _ => Raw::of(&send(its_room, "another method")),
        };
        match info.name {
            "UnbanMember" => {
                let ban = BanMember {
                    room,
                    user: stranger,
                    until: None,
                    reason: None,
                };
                self.owner.call(&ban).await.unwrap();
            }
            "AcceptFriend" | "RemoveFriend" => {
                let request = RequestFriend { user: owner };
                self.member.call(&request).await.unwrap();
            }
            "UnblockPlayer" => {
                let block = BlockPlayer { user: member };
                self.owner.call(&block).await.unwrap();
            }
            "SpendPoints" | "GivePoints" | "BuyItem" | "UseItem" => {
                let (mut admin, _) = self.world.registered("root").await;
                earn(&mut admin, &mut self.owner, owner).await;
            }
            _ => {}
        }
        Case {
            info,
            who,
            raw,
            other_content,
            other_method,
            entity,
        }
    }

    /// How many commits an entity has taken.
    async fn version(&self, entity: EntityId) -> u64 {
        let loaded = self.world.entities.load(entity, Vec::new()).await.unwrap();
        loaded.map_or(0, |loaded| loaded.head.version)
    }

    async fn call(&mut self, case: &Case, raw: &Raw) -> Result<Vec<u8>, Fault> {
        self.client(case.who).call_raw(raw, KEY).await
    }

    /// The key is refused for anything but its request, and nothing comes of it.
    async fn refuses_others(&mut self, case: &Case, place: &str) {
        let before = self.version(case.entity).await;
        for other in case.other_content.iter().chain([&case.other_method]) {
            let refused = self.call(case, other).await.map_err(|fault| fault.code);
            let name = case.info.name;
            assert_eq!(refused, Err(Code::KeyReused), "{name}, {place}");
        }
        let after = self.version(case.entity).await;
        assert_eq!(after, before, "{}, {place}", case.info.name);
    }

    /// The same request gets the first reply, and nothing comes of it.
    async fn repeats(&mut self, case: &Case, first: &[u8], place: &str) {
        let before = self.version(case.entity).await;
        let name = case.info.name;
        let again = self.call(case, &case.raw).await;
        let again = again.unwrap_or_else(|fault| panic!("{name}, {place}: {fault}"));
        assert_eq!(shown(case, &again), shown(case, first), "{name}, {place}");
        let after = self.version(case.entity).await;
        assert_eq!(after, before, "{name}, {place}");
    }

    /// Has a commit of the entity fail, so that it is loaded again.
    async fn reload(&mut self, case: &Case) {
        let room = RoomId::from_bytes(case.entity.id());
        let loads = self.world.entities.loads(case.entity);
        self.world.entities.fail(case.entity, 1, 0);
        let failed = if case.entity.kind() == players::PLAYER {
            let block = BlockPlayer {
                user: self.users[2],
            };
            self.owner.call(&block).await.err()
        } else {
            self.owner.call(&send(room, "fails")).await.err()
        };
        let failed = failed.map(|fault| fault.code);
        assert_eq!(failed, Some(Code::StorageUnavailable), "{}", case.info.name);
        while self.world.entities.loads(case.entity) == loads {
            tokio::task::yield_now().await;
        }
    }

    /// Stops the server and starts it again; the caller of the case signs in again.
    async fn restart(self, case: &Case) -> Self {
        let world = self.world.restarted().await;
        let name = match case.who {
            Who::Owner => "owner",
            Who::Member => "member",
            Who::Stranger => "stranger",
        };
        let (client, _) = world.guest(name, Options::default()).await;
        let mut scene = Self { world, ..self };
        *scene.client(case.who) = client;
        scene
    }
}

/// A reply as it has to be the same each time: who else has a room open, and where a friend is, is of the moment.
fn shown(case: &Case, reply: &[u8]) -> Vec<u8> {
    if case.info.changes == Change::Opens {
        let view: RoomView = codec::decode(reply).unwrap();
        return codec::encode(&RoomView { online: 0, ..view });
    }
    if ["RequestFriend", "AcceptFriend"].contains(&case.info.name) {
        let friend: Friend = codec::decode(reply).unwrap();
        return codec::encode(&Friend {
            presence: None,
            ..friend
        });
    }
    reply.to_vec()
}

#[tokio::test]
async fn a_key_belongs_to_one_call_of_every_method_that_writes() {
    for info in methods() {
        let mut scene = Scene::new().await;
        let case = scene.case(info, 0).await;
        let before = scene.version(case.entity).await;
        let first = scene.call(&case, &case.raw).await;
        let first = first.unwrap_or_else(|fault| panic!("{}: {fault}", info.name));
        let after = scene.version(case.entity).await;
        assert_eq!(after, before + 1, "{}", info.name);
        scene.repeats(&case, &first, "at once").await;
        scene.refuses_others(&case, "at once").await;
        if info.name != "DeleteRoom" {
            scene.reload(&case).await;
            scene.repeats(&case, &first, "loaded again").await;
            scene.reload(&case).await;
            scene.refuses_others(&case, "loaded again").await;
        }
        let mut scene = scene.restart(&case).await;
        scene.repeats(&case, &first, "after a restart").await;
        let mut scene = scene.restart(&case).await;
        scene.refuses_others(&case, "after a restart").await;
    }
}

#[tokio::test]
async fn a_call_and_its_repetition_in_one_message_have_one_effect() {
    for info in methods() {
        let mut scene = Scene::new().await;
        let case = scene.case(info, 0).await;
        let before = scene.version(case.entity).await;
        let client = scene.client(case.who);
        let (mut numbers, mut message) = (Vec::new(), Vec::new());
        // Calls that run for their caller run side by side: any of different ones may be the first.
        let is_in_order = info.changes == Change::Opens || info.place == Place::Room;
        let others = case.other_content.iter().chain([&case.other_method]);
        let others = others.filter(|_| is_in_order);
        for raw in [&case.raw, &case.raw, &case.raw].into_iter().chain(others) {
            let (number, frame) = client.encode_raw(raw, KEY);
            numbers.push(number);
            message.extend(frame);
        }
        client.peer.send(message).await;
        let mut answers = Vec::new();
        for number in &numbers {
            answers.push(client.answer_in_any_order(*number).await);
        }
        let name = info.name;
        let first = answers[0]
            .as_ref()
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        for again in &answers[1..3] {
            let again = again
                .as_ref()
                .unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert_eq!(shown(&case, again), shown(&case, first), "{name}");
        }
        for other in &answers[3..] {
            let code = other.as_ref().map_err(|fault| fault.code);
            assert_eq!(code, Err(Code::KeyReused), "{name}");
        }
        let after = scene.version(case.entity).await;
        assert_eq!(after, before + 1, "{name}");
    }
}

#[tokio::test]
async fn the_same_key_at_two_rooms_is_two_keys() {
    for info in methods().filter(|info| info.place == Place::Room) {
        let mut scene = Scene::new().await;
        for place in [0, 1] {
            let case = scene.case(info, place).await;
            let before = scene.version(case.entity).await;
            let reply = scene.call(&case, &case.raw).await;
            reply.unwrap_or_else(|fault| panic!("{} at {place}: {fault}", info.name));
            let after = scene.version(case.entity).await;
            assert_eq!(after, before + 1, "{} at {place}", info.name);
        }
    }
}

#[tokio::test]
async fn a_room_is_made_once_under_its_key() {
    let mut scene = Scene::new().await;
    let list = ListRooms {
        after: None,
        limit: None,
    };
    let raw = Raw::of(&create("one"));
    let first = scene.owner.call_raw(&raw, KEY).await.unwrap();
    let first: RoomView = codec::decode(&first).unwrap();
    let other = scene.owner.call_raw(&Raw::of(&create("two")), KEY).await;
    assert_eq!(other.map_err(|fault| fault.code), Err(Code::KeyReused));
    let again = scene.owner.call_raw(&raw, KEY).await.unwrap();
    let again: RoomView = codec::decode(&again).unwrap();
    assert_eq!(again.info.room, first.info.room);
    let rooms = scene.owner.call(&list).await.unwrap().rooms;
    let names: Vec<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    assert_eq!(names, ["Lobby", "Lobby", "one"]);
    // Another player's key is another one.
    let theirs = scene.member.call_raw(&raw, KEY).await.unwrap();
    let theirs: RoomView = codec::decode(&theirs).unwrap();
    assert_ne!(theirs.info.room, first.info.room);
}

#[tokio::test]
async fn a_room_is_deleted_once_under_its_key_also_while_it_is_being_deleted() {
    let mut scene = Scene::new().await;
    let room = scene.rooms[0];
    let (mut elsewhere, _) = scene.world.guest("owner", Options::default()).await;
    let raw = Raw::of(&DeleteRoom { room });
    let before = scene.version(entity(room)).await;
    let commits = scene.world.entities.commits();
    let held = scene.world.hold_writes().await;
    let (first, frame) = scene.owner.encode_raw(&raw, KEY);
    scene.owner.peer.send(frame).await;
    scene.owner.peer.until_unread(0).await;
    while scene.world.entities.commits() == commits {
        tokio::task::yield_now().await;
    }
    let (again, frame) = elsewhere.encode_raw(&raw, KEY);
    elsewhere.peer.send(frame).await;
    elsewhere.peer.until_unread(0).await;
    let_others_run().await;
    drop(held);
    let first = scene.owner.answer_to(first).await.unwrap();
    assert_eq!(elsewhere.answer_to(again).await.unwrap(), first);
    for _ in 0..2 {
        let later = scene.owner.call_raw(&raw, KEY).await.unwrap();
        assert_eq!(later, first);
    }
    assert_eq!(scene.version(entity(room)).await, before + 1);
    // Without the key the room is gone.
    let gone = scene.owner.call(&DeleteRoom { room }).await;
    assert_eq!(gone.map_err(|fault| fault.code), Err(Code::RoomNotFound));
}

#[tokio::test]
async fn a_repetition_does_not_join_again_after_a_kick() {
    for is_reloaded in [false, true] {
        let mut scene = Scene::new().await;
        let room = scene.rooms[0];
        let case = scene.case(MethodInfo::of(69).unwrap(), 0).await;
        assert_eq!(case.info.name, "JoinRoom");
        scene.call(&case, &case.raw).await.unwrap();
        let kick = KickMember {
            room,
            user: scene.users[2],
            reason: None,
        };
        scene.owner.call(&kick).await.unwrap();
        if is_reloaded {
            scene.reload(&case).await;
        }
        let before = scene.version(case.entity).await;
        let again = scene.call(&case, &case.raw).await;
        let code = again.map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::NotAMember), "{is_reloaded}");
        assert_eq!(scene.version(case.entity).await, before, "{is_reloaded}");
        // Under a new key it is a new wish.
        let anew = scene.stranger.call_raw(&case.raw, "another key").await;
        anew.unwrap();
    }
}

/// Two attempts of one call are being looked up when the room's life ends: both are answered.
#[tokio::test]
async fn whoever_waits_for_a_look_up_is_answered_when_the_room_is_loaded_again() {
    for name in ["JoinRoom", "SendMessage"] {
        let mut scene = Scene::new().await;
        let info = methods().find(|info| info.name == name).unwrap();
        let case = scene.case(info, 0).await;
        let who = if case.who == Who::Owner {
            "owner"
        } else {
            "stranger"
        };
        let (mut elsewhere, _) = scene.world.guest(who, Options::default()).await;
        let before = scene.version(case.entity).await;
        scene.world.entities.hold_recalls(true);
        let client = scene.client(case.who);
        let (first, frame) = client.encode_raw(&case.raw, KEY);
        client.peer.send(frame).await;
        client.peer.until_unread(0).await;
        let_others_run().await;
        let (again, frame) = elsewhere.encode_raw(&case.raw, KEY);
        elsewhere.peer.send(frame).await;
        elsewhere.peer.until_unread(0).await;
        // Reads of the store are behind both by now.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        scene.world.entities.fail(entity(scene.rooms[0]), 1, 0);
        let failed = scene.member.call(&send(scene.rooms[0], "fails")).await;
        assert!(failed.is_err());
        scene.world.entities.hold_recalls(false);
        let answers = async {
            let first = scene.client(case.who).answer_to(first).await;
            (first, elsewhere.answer_to(again).await)
        };
        let answers = tokio::time::timeout(PATIENCE, answers).await;
        let (first, again) = answers.unwrap_or_else(|_| panic!("{name} is not answered"));
        for answer in [first, again] {
            let code = answer.map_err(|fault| fault.code);
            let is_temporary = matches!(
                code,
                Err(Code::StorageUnavailable | Code::Unavailable) | Ok(_)
            );
            assert!(is_temporary, "{name}: {code:?}");
        }
        let reply = scene.call(&case, &case.raw).await.unwrap();
        scene.repeats(&case, &reply, "after all").await;
        assert_eq!(scene.version(case.entity).await, before + 1, "{name}");
    }
}

/// Methods whose second call asks for what is already so. An invitation is offered once more: the other's list may have let it go.
const SETTLED: [&str; 8] = [
    "UnbanMember",
    "MuteMember",
    "SetMemberRole",
    "UpdateRoom",
    "React",
    "MarkRead",
    "BlockPlayer",
    "UnblockPlayer",
];

#[tokio::test]
async fn a_call_that_changes_nothing_writes_nothing_under_its_key() {
    let mut tried = 0;
    for info in methods().filter(|info| SETTLED.contains(&info.name)) {
        let mut scene = Scene::new().await;
        let case = scene.case(info, 0).await;
        let first = scene.call(&case, &case.raw).await;
        first.unwrap_or_else(|fault| panic!("{}: {fault}", info.name));
        let before = scene.version(case.entity).await;
        for key in ["another key", "a third one"] {
            // Whether it is refused or answered as before, there is nothing to store.
            drop(scene.client(case.who).call_raw(&case.raw, key).await);
        }
        let after = scene.version(case.entity).await;
        assert_eq!(after, before, "{}", info.name);
        tried += 1;
    }
    assert_eq!(tried, SETTLED.len());
}

/// "A call that changes nothing stores no result; only those 20 seconds remember it."
#[tokio::test]
async fn what_changed_nothing_is_remembered_though_a_write_fails() {
    for loads in [0, 1] {
        let world = World::new().await;
        let (mut one, a) = world.guest("one", Options::default()).await;
        let (_two, b) = world.guest("two", Options::default()).await;
        let (_three, c) = world.guest("three", Options::default()).await;
        let (user, other) = (b.identity.user, c.identity.user);
        let raw = Raw::of(&RequestFriend { user });
        one.call_raw(&raw, "first").await.unwrap();
        let asked = one.call_raw(&raw, KEY).await.unwrap();
        one.call(&RemoveFriend { user }).await.unwrap();
        let player = players::entity(a.identity.user);
        world.entities.fail(player, 1, loads);
        let failed = one.call(&BlockPlayer { user: other }).await;
        let code = failed.map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::StorageUnavailable));
        let began = std::time::Instant::now();
        let again = loop {
            match one.call_raw(&raw, KEY).await {
                Err(fault) if fault.code == Code::StorageUnavailable => {
                    assert!(began.elapsed() < PATIENCE, "{fault}");
                }
                again => break again,
            }
        };
        assert_eq!(again, Ok(asked));
        let found = one.call(&ListFriends::default()).await.unwrap();
        assert!(found.friends.is_empty(), "asked again by a repetition");
    }
}

/// The same at a room.
#[tokio::test]
async fn what_changed_nothing_at_a_room_is_remembered_though_a_write_fails() {
    for loads in [0, 1] {
        let world = World::new().await;
        let (mut owner, _) = world.guest("owner", Options::default()).await;
        let (mut member, signed) = world.guest("member", Options::default()).await;
        let (room, user) = (owner.create_room().await, signed.identity.user);
        member.join(room).await;
        let set = |role| SetMemberRole { room, user, role };
        let raw = Raw::of(&set(MemberRole::Moderator));
        owner.call_raw(&raw, "first").await.unwrap();
        let set_before = owner.call_raw(&raw, KEY).await.unwrap();
        owner.call(&set(MemberRole::Member)).await.unwrap();
        world.entities.fail(entity(room), 1, loads);
        let failed = owner.call(&send(room, "lost")).await;
        let code = failed.map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::StorageUnavailable));
        let began = std::time::Instant::now();
        let again = loop {
            match owner.call_raw(&raw, KEY).await {
                Err(fault) if fault.code == Code::StorageUnavailable => {
                    assert!(began.elapsed() < PATIENCE, "{fault}");
                }
                again => break again,
            }
        };
        assert_eq!(again, Ok(set_before));
        let list = ListMembers {
            room,
            online: false,
            after: None,
            limit: None,
        };
        let found = owner.call(&list).await.unwrap();
        let role = found.members.iter().find(|found| found.user == user);
        let role = role.map(|member| member.role);
        assert_eq!(role, Some(MemberRole::Member), "set again by a repetition");
    }
}
