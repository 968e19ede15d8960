//! Players whose accounts are erased.

use super::*;
use crate::accounts::NOBODY;
use crate::rooms::rows::{Change, MemberState};
use pitturu_protocol::types::accounts::Role;

fn message(room: &mut Room, number: u8, text: &str) -> MessageRow {
    let mut effects = Effects::default();
    let request = SendMessage {
        room: ROOM,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    };
    room.send(&actor(number, 10), request, &mut effects)
        .expect("a member may");
    effects.rows.message.expect("it is stored")
}

#[test]
fn only_the_authors_own_messages_lose_their_author_and_once() {
    let mut room = public_room();
    join(&mut room, 2).expect("anybody may");
    let mut own = message(&mut room, 2, "words");
    let mut other = message(&mut room, 1, "words");
    let mut effects = Effects::default();
    assert_eq!(
        room.erase_author(&actor(2, 20), &mut other, &mut effects),
        None
    );
    assert!(!effects.changes_anything());

    let changed = room.erase_author(&actor(2, 20), &mut own, &mut effects);
    assert_eq!(changed.map(|changed| changed.rev), Some(1));
    assert_eq!((own.msg.from, own.msg.name.as_str()), (NOBODY, ""));
    assert_eq!(own.msg.text, "words");
    let change = effects.rows.change.expect("followers are told");
    assert_eq!(change.change, Change::AuthorErased { seq: 1 });
    assert_eq!(effects.rows.updated, [own.clone()]);
    let mut again = Effects::default();
    assert_eq!(room.erase_author(&actor(2, 20), &mut own, &mut again), None);
    assert!(!again.changes_anything());
}

#[test]
fn an_owner_hands_on_and_words_about_others_go() {
    let mut room = public_room();
    for number in [2, 3] {
        join(&mut room, number).expect("anybody may");
    }
    let target = Target {
        user: actor(3, 1).user,
        exists: true,
        is_blocked: false,
        role: Role::Player,
    };
    let ban = BanMember {
        room: ROOM,
        user: target.user,
        until: None,
        reason: Some("words".to_owned()),
    };
    room.ban(&actor(1, 5), ban, &target, &mut Effects::default())
        .expect("an owner may");
    let owner = actor(1, 1).user;
    let mut effects = Effects::default();
    room.erase_player(owner, 9, &mut effects);
    assert!(!room.is_member(owner));
    let heir = effects.rows.members.iter();
    let heir = heir.filter(|row| row.role == MemberRole::Owner);
    let heir: Vec<UserId> = heir.map(|row| row.user).collect();
    assert_eq!(heir, [actor(2, 1).user]);
    let banned = effects.rows.members.iter();
    let banned: Vec<&MemberState> = banned
        .filter(|row| row.user == target.user)
        .map(|row| &row.state)
        .collect();
    let state = MemberState::Banned {
        by: owner,
        until: None,
        reason: None,
    };
    assert_eq!(banned, [&state]);
    let mut again = Effects::default();
    room.erase_player(owner, 9, &mut again);
    assert!(!again.changes_anything());
}

#[test]
fn who_was_banned_muted_or_last_leaves_nothing() {
    let mut room = public_room();
    join(&mut room, 2).expect("anybody may");
    let user = actor(2, 1).user;
    let mute = MuteMember {
        room: ROOM,
        user,
        until: 1_000,
    };
    room.mute(&actor(1, 5), &mute, &mut Effects::default())
        .expect("an owner may");
    let target = Target {
        user,
        exists: true,
        is_blocked: false,
        role: Role::Player,
    };
    let ban = BanMember {
        room: ROOM,
        user,
        until: None,
        reason: None,
    };
    room.ban(&actor(1, 5), ban, &target, &mut Effects::default())
        .expect("an owner may");
    let mut effects = Effects::default();
    room.erase_player(user, 9, &mut effects);
    let places = effects.rows.members.iter();
    let places: Vec<&MemberState> = places.map(|row| &row.state).collect();
    assert_eq!(places, [&MemberState::Left]);
    assert_eq!(effects.rows.sanctions, [(user, None)]);

    let mut effects = Effects::default();
    room.erase_player(actor(1, 1).user, 9, &mut effects);
    assert!(room.is_deleted(), "nobody is left");
}
