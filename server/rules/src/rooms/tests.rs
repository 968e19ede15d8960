mod bounds;
mod erasure;
mod markers;
mod muted;
mod slow_mode;

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{
    BanMember, CreateRoom, EditMessage, EphemeralSent, KickMember, MemberRole, MuteMember, React,
    Retention, RoomKind, SendEphemeral, SendMessage, SetMemberRole, UpdateRoom,
};
use pitturu_protocol::types::inbox::InboxEntry;

use super::rows::{MessageRow, RoomRows};
use super::*;
use crate::signals::PlayerSignal;

const ROOM: RoomId = RoomId::from_bytes([9; 10]);

fn actor(number: u8, now: u64) -> Actor {
    Actor {
        user: UserId::from_bytes([number; 10]),
        name: Arc::from(format!("player {number}")),
        role: Role::Player,
        sanctions: None,
        now,
        steady_ms: now,
    }
}

fn room_of(kind: RoomKind, limits: ChatLimits) -> Room {
    let request = CreateRoom {
        kind,
        name: "a room".into(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    };
    Room::create(ROOM, &actor(1, 1), request, Arc::new(limits))
        .expect("the request is fine")
        .0
}

fn public_room() -> Room {
    room_of(RoomKind::Public, ChatLimits::default())
}

fn join(room: &mut Room, number: u8) -> Result<(), Fault> {
    let mut effects = Effects::default();
    room.join(&actor(number, u64::from(number)), &mut effects)
}

fn inbox(effects: &Effects) -> Vec<InboxEntry> {
    let entry = |(_, signal): &(UserId, PlayerSignal)| match signal {
        PlayerSignal::Inbox { entry, .. } => Some(entry.clone()),
        _ => None,
    };
    effects.signals.iter().filter_map(entry).collect()
}

fn target(number: u8) -> Target {
    Target {
        user: actor(number, 1).user,
        exists: true,
        is_blocked: false,
        role: Role::Player,
    }
}

fn text(text: &str) -> SendMessage {
    SendMessage {
        room: ROOM,
        text: text.into(),
        data: None,
        reply_to: None,
    }
}

fn send(room: &mut Room, number: u8, now: u64) -> Result<(u64, u64), Code> {
    let mut effects = Effects::default();
    room.send(&actor(number, now), text("hi"), &mut effects)
        .map(|sent| (sent.seq, sent.at))
        .map_err(|fault| fault.code)
}

fn sent_row(room: &mut Room, number: u8) -> MessageRow {
    let mut effects = Effects::default();
    room.send(&actor(number, 10), text("hi"), &mut effects)
        .expect("a member writes");
    effects.rows.message.expect("a message is stored")
}

#[test]
fn sequences_are_dense_and_times_never_decrease() {
    let mut room = public_room();
    assert_eq!(send(&mut room, 1, 100), Ok((1, 100)));
    assert_eq!(send(&mut room, 1, 50), Ok((2, 100)));
    assert_eq!(send(&mut room, 1, 200), Ok((3, 200)));
    assert_eq!(room.head(), 3);
}

#[test]
fn a_refused_message_takes_no_place() {
    let mut room = public_room();
    let mut effects = Effects::default();
    let mut reply = text("to nobody");
    reply.reply_to = Some(7);
    let fault = room
        .send(&actor(1, 1), reply, &mut effects)
        .expect_err("no such message");
    assert_eq!(fault.code, Code::MessageNotFound);
    assert_eq!(send(&mut room, 2, 1), Err(Code::NotAMember));
    assert!(effects.rows.message.is_none() && effects.events.is_empty());
    assert_eq!(send(&mut room, 1, 1), Ok((1, 1)));
}

#[test]
fn private_rooms_do_not_show_that_they_exist() {
    let mut room = room_of(RoomKind::Private, ChatLimits::default());
    assert_eq!(
        join(&mut room, 2).map_err(|f| f.code),
        Err(Code::RoomNotFound)
    );
    assert_eq!(send(&mut room, 2, 1), Err(Code::RoomNotFound));
    let mut effects = Effects::default();
    room.invite(&actor(1, 1), &target(2), &mut effects)
        .expect("members invite");
    assert!(matches!(
        inbox(&effects).as_slice(),
        [InboxEntry::RoomInvited { .. }]
    ));
    assert_eq!(join(&mut room, 2), Ok(()));
    assert_eq!(room.member_count(), 2);
}

fn say(room: &mut Room, number: u8, now: u64, text: &str) -> Result<EphemeralSent, Fault> {
    let mut effects = Effects::default();
    let before = (room.head(), room.rev());
    let request = SendEphemeral {
        room: ROOM,
        text: text.into(),
    };
    let said = room.send_ephemeral(&actor(number, now), request, &mut effects);
    let untouched = RoomRows::default();
    assert_eq!(effects.rows, untouched);
    assert_eq!((room.head(), room.rev()), before);
    match (said, effects.events.as_slice()) {
        (Ok(()), [RoomEvent::Said(said)]) => Ok(said.clone()),
        (Err(fault), []) => Err(fault),
        (said, events) => panic!("{said:?} but {events:?}"),
    }
}

fn code(said: Result<EphemeralSent, Fault>) -> Code {
    said.expect_err("refused").code
}

#[test]
fn what_is_said_for_the_moment_is_told_and_not_stored() {
    let mut room = public_room();
    assert_eq!(send(&mut room, 1, 100), Ok((1, 100)));
    let said = EphemeralSent {
        room: ROOM,
        from: actor(1, 1).user,
        name: "player 1".into(),
        text: "gg".into(),
        at: 100,
    };
    assert_eq!(say(&mut room, 1, 50, "gg"), Ok(said));
    assert_eq!(
        say(&mut room, 1, 300, "").map(|said| (said.text, said.at)),
        Ok((String::new(), 300))
    );
    assert_eq!(send(&mut room, 1, 200), Ok((2, 300)));
}

#[test]
fn what_is_said_for_the_moment_keeps_the_rules_of_messages() {
    #[derive(Debug)]
    struct Mild;
    impl TextFilter for Mild {
        fn allows(&self, _: Option<RoomId>, text: &str) -> bool {
            !text.contains("darn")
        }
    }
    let limits = ChatLimits {
        filter: Some(Arc::new(Mild)),
        ..ChatLimits::default()
    };
    let mut room = room_of(RoomKind::Public, limits);
    assert_eq!(code(say(&mut room, 2, 1, "hi")), Code::NotAMember);
    join(&mut room, 2).expect("open to all");
    assert!(say(&mut room, 2, 1, "hi").is_ok());
    assert_eq!(code(say(&mut room, 2, 2, "darn it")), Code::TextRefused);
    let mute = MuteMember {
        room: ROOM,
        user: actor(2, 1).user,
        until: 1_000,
    };
    let mut effects = Effects::default();
    room.mute(&actor(1, 5), &mute, &mut effects)
        .expect("the owner may");
    let fault = say(&mut room, 2, 900, "hi").expect_err("muted");
    assert_eq!((fault.code, fault.retry_after_ms), (Code::Muted, Some(100)));
    assert!(say(&mut room, 2, 1_000, "hi").is_ok());

    let mut private = room_of(RoomKind::Private, ChatLimits::default());
    assert_eq!(code(say(&mut private, 2, 1, "hi")), Code::RoomNotFound);
}

#[test]
fn a_mute_ends_by_itself() {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    let mut effects = Effects::default();
    let mute = MuteMember {
        room: ROOM,
        user: actor(2, 1).user,
        until: 1_000,
    };
    room.mute(&actor(1, 1), &mute, &mut effects)
        .expect("the owner may");
    assert_eq!(send(&mut room, 2, 900), Err(Code::Muted));
    assert!(send(&mut room, 2, 1_000).is_ok());
}

#[test]
fn bans_keep_out_until_their_time_and_kicks_do_not() {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    let mut effects = Effects::default();
    let kick = KickMember {
        room: ROOM,
        user: actor(2, 1).user,
        reason: None,
    };
    room.kick(&actor(1, 1), kick, &mut effects)
        .expect("the owner may");
    assert!(
        effects
            .events
            .iter()
            .any(|event| matches!(event, RoomEvent::Lost(..)))
    );
    join(&mut room, 2).expect("a kick is not a ban");
    let ban = BanMember {
        room: ROOM,
        user: actor(2, 1).user,
        until: Some(1_000),
        reason: Some("spam".into()),
    };
    let mut effects = Effects::default();
    room.ban(&actor(1, 1), ban, &target(2), &mut effects)
        .expect("the owner may");
    let mut effects = Effects::default();
    let late = room.join(&actor(2, 999), &mut effects);
    assert_eq!(late.map_err(|fault| fault.code), Err(Code::Banned));
    assert_eq!(room.join(&actor(2, 1_000), &mut effects), Ok(()));
}

#[test]
fn nobody_moderates_their_equals() {
    let mut room = public_room();
    for number in [2, 3] {
        join(&mut room, number).expect("open to all");
        let role = SetMemberRole {
            room: ROOM,
            user: actor(number, 1).user,
            role: MemberRole::Moderator,
        };
        let mut effects = Effects::default();
        room.set_role(&actor(1, 1), &role, &mut effects)
            .expect("the owner may");
    }
    for target in [1, 2, 3] {
        let kick = KickMember {
            room: ROOM,
            user: actor(target, 1).user,
            reason: None,
        };
        let mut effects = Effects::default();
        let refused = room.kick(&actor(2, 1), kick, &mut effects);
        assert_eq!(
            refused.map_err(|f| f.code),
            Err(Code::Forbidden),
            "{target}"
        );
    }
}

#[test]
fn a_room_with_members_keeps_an_owner() {
    let mut room = public_room();
    for number in [2, 3] {
        join(&mut room, number).expect("open to all");
    }
    let step_down = SetMemberRole {
        room: ROOM,
        user: actor(1, 1).user,
        role: MemberRole::Member,
    };
    let mut effects = Effects::default();
    let refused = room.set_role(&actor(1, 1), &step_down, &mut effects);
    assert_eq!(refused.map_err(|f| f.code), Err(Code::Forbidden));
    room.leave(&actor(1, 1), &mut effects)
        .expect("anyone may go");
    let heir = room.member(&actor(2, 1)).expect("is still here");
    assert_eq!(heir.role, MemberRole::Owner);
    assert_eq!(room.member_count(), 2);
}

#[test]
fn a_full_room_refuses_and_a_place_comes_free() {
    let limits = ChatLimits {
        members_max: 2,
        ..ChatLimits::default()
    };
    let mut room = room_of(RoomKind::Public, limits);
    join(&mut room, 2).expect("there is a place");
    assert_eq!(join(&mut room, 3).map_err(|f| f.code), Err(Code::RoomFull));
    let mut effects = Effects::default();
    room.leave(&actor(2, 1), &mut effects)
        .expect("anyone may go");
    assert_eq!(join(&mut room, 3), Ok(()));
}

#[test]
fn changes_are_numbered_by_themselves_and_carry_the_head() {
    let mut room = public_room();
    let mut row = sent_row(&mut room, 1);
    sent_row(&mut room, 1);
    let edit = EditMessage {
        room: ROOM,
        seq: 1,
        text: "better".into(),
    };
    let mut effects = Effects::default();
    let changed = room
        .edit(&actor(1, 20), edit, &mut row, &mut effects)
        .expect("one's own message");
    assert_eq!((changed.rev, room.head()), (1, 2));
    let change = effects.rows.change.expect("a change is stored");
    assert_eq!((change.rev, change.at_seq), (1, 2));
    assert_eq!(
        (row.msg.text.as_str(), row.msg.edited_at),
        ("better", Some(20))
    );
}

#[test]
fn only_the_author_edits_and_moderators_delete_once() {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    let mut row = sent_row(&mut room, 2);
    let edit = EditMessage {
        room: ROOM,
        seq: 1,
        text: "not yours".into(),
    };
    let mut effects = Effects::default();
    let refused = room.edit(&actor(1, 1), edit.clone(), &mut row, &mut effects);
    assert_eq!(refused.map_err(|f| f.code), Err(Code::Forbidden));
    room.delete(&actor(1, 1), &mut row, &mut effects)
        .expect("the owner may");
    assert!(row.msg.text.is_empty() && row.msg.deleted_by.is_some());
    for refused in [
        room.delete(&actor(1, 1), &mut row, &mut effects),
        room.edit(&actor(2, 1), edit, &mut row, &mut effects),
    ] {
        assert_eq!(refused.map_err(|f| f.code), Err(Code::MessageDeleted));
    }
}

#[test]
fn a_reaction_counts_once_for_each_player() {
    let mut room = public_room();
    let mut row = sent_row(&mut room, 1);
    let mut mine = Vec::new();
    let mut react = |on: bool| {
        let request = React {
            room: ROOM,
            seq: 1,
            emoji: "👍🏽".into(),
            on,
        };
        let mut effects = Effects::default();
        let reacted = room
            .react(&actor(1, 1), &request, &mut row, &mut mine, &mut effects)
            .expect("a member reacts");
        (reacted.rev, reacted.count)
    };
    assert_eq!(react(true), (Some(1), 1));
    assert_eq!(react(true), (None, 1));
    assert_eq!(react(false), (Some(2), 0));
    assert_eq!(react(false), (None, 0));
    assert!(row.msg.reactions.is_empty() && mine.is_empty());
}

#[test]
fn the_read_marker_only_moves_forward_and_not_past_the_head() {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    for _ in 0..5 {
        send(&mut room, 1, 1).expect("the owner writes");
    }
    let mut effects = Effects::default();
    for (asked, read, unread) in [(3, 3, 2), (1, 3, 2), (99, 5, 0)] {
        let marker = room
            .mark_read(&actor(2, 1), asked, &mut effects)
            .expect("a member reads");
        assert_eq!((marker.read, marker.unread), (read, unread));
    }
}

#[test]
fn direct_rooms_have_two_players_and_no_moderators() {
    let peer = actor(2, 1).user;
    let limits = Arc::new(ChatLimits::default());
    let (mut room, effects) = Room::create_direct(ROOM, &actor(1, 1), peer, limits).unwrap();
    assert!(matches!(
        inbox(&effects).as_slice(),
        [InboxEntry::DirectOpened { .. }]
    ));
    assert_eq!(room.info(peer, 0).peer, Some(actor(1, 1).user));
    assert_eq!(
        join(&mut room, 3).map_err(|f| f.code),
        Err(Code::RoomNotFound)
    );
    let mut effects = Effects::default();
    let left = room.leave(&actor(1, 1), &mut effects);
    assert_eq!(left.map_err(|f| f.code), Err(Code::Forbidden));
    room.set_blocked(true);
    assert_eq!(send(&mut room, 1, 1), Err(Code::Blocked));
}

#[test]
fn one_member_can_invite_only_so_many_at_once() {
    let mut room = room_of(RoomKind::Private, ChatLimits::default());
    for number in 2..=102 {
        let mut effects = Effects::default();
        room.invite(&actor(1, u64::from(number)), &target(number), &mut effects)
            .expect("there is room");
    }
    assert_eq!(
        join(&mut room, 2).map_err(|f| f.code),
        Err(Code::RoomNotFound)
    );
    assert_eq!(join(&mut room, 3), Ok(()));
    assert_eq!(join(&mut room, 102), Ok(()));
}

#[test]
fn retention_by_count_keeps_the_newest() {
    let mut room = public_room();
    let mut effects = Effects::default();
    let update = UpdateRoom {
        room: ROOM,
        name: None,
        topic: None,
        slow_mode_ms: None,
        retention: Some(Retention {
            age_ms: None,
            messages: Some(3),
        }),
    };
    room.update(&actor(1, 1), update, &mut effects)
        .expect("the owner sets it");
    for _ in 0..5 {
        send(&mut room, 1, 1).expect("the owner writes");
    }
    assert_eq!(room.first_by_count(), Some(3));
    room.retain_from(3, 1, &mut Effects::default());
    assert_eq!((room.first(), room.first_by_count()), (3, None));
}

#[test]
fn staff_keep_order_in_rooms_but_not_in_direct_ones() {
    let mut room = room_of(RoomKind::Private, ChatLimits::default());
    join(&mut room, 2).expect_err("not invited");
    let mut staff = actor(7, 1);
    staff.role = Role::Moderator;
    let mut row = sent_row(&mut room, 1);
    let mut effects = Effects::default();
    room.delete(&staff, &mut row, &mut effects)
        .expect("a moderator of the product may");
    let peer = actor(2, 1).user;
    let limits = Arc::new(ChatLimits::default());
    let (mut direct, _) = Room::create_direct(ROOM, &actor(1, 1), peer, limits).unwrap();
    let mut row = sent_row(&mut direct, 1);
    let refused = direct.delete(&staff, &mut row, &mut effects);
    assert_eq!(refused.map_err(|f| f.code), Err(Code::RoomNotFound));
}

#[test]
fn staff_act_on_owners_and_close_rooms() {
    for role in [Role::Moderator, Role::Admin] {
        let staff = Actor {
            role,
            ..actor(7, 5)
        };
        let mut room = public_room();
        join(&mut room, 2).expect("it is public");
        let mut effects = Effects::default();
        let mute = MuteMember {
            room: ROOM,
            user: actor(1, 1).user,
            until: 50,
        };
        room.mute(&staff, &mute, &mut effects).expect("staff may");
        let ban = BanMember {
            room: ROOM,
            user: actor(1, 1).user,
            until: None,
            reason: None,
        };
        room.ban(&staff, ban, &target(1), &mut effects)
            .expect("staff may");
        let heir = room.member(&actor(2, 6)).expect("the room goes on");
        assert_eq!(heir.role, MemberRole::Owner);
        room.delete_room(&staff, &mut effects).expect("staff may");
        assert!(!room.is_known_to(&actor(2, 6)));
    }
}
