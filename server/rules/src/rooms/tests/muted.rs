//! Players who are muted in the whole product.

use super::*;
use crate::accounts::{Account, AccountEffects, AccountRow, ProfileRow, Sanction, Sanctions};

fn sanctions(until: Option<u64>) -> Sanctions {
    let row = AccountRow {
        user: actor(1, 1).user,
        login: None,
        guest_secret: None,
        role: Role::Player,
        is_role_decided: false,
        created_at: 1,
        profile: ProfileRow {
            name: "player 1".to_owned(),
            avatar: None,
            bio: None,
            language: None,
        },
        sanctions: Sanctions::default(),
        deletion: None,
    };
    let sanction = Sanction {
        by: Some(actor(9, 1).user),
        at: 1,
        until,
        reason: "enough".to_owned(),
    };
    let mut account = Account::load(row.user, Some(row), [], [], [], false);
    let muted = account.mute(sanction, &mut AccountEffects::default());
    muted.expect("there is an account");
    account
        .row()
        .expect("there is an account")
        .sanctions
        .clone()
}

fn muted(number: u8, now: u64, until: Option<u64>) -> Actor {
    Actor {
        sanctions: Some(Arc::new(sanctions(until))),
        ..actor(number, now)
    }
}

type Act = fn(&mut Room, &Actor) -> Result<(), Fault>;

/// All that puts words before others, by the owner of a room.
const WORDS: [(&str, Act); 9] = [
    ("a message", |room, actor| {
        room.send(actor, text("hi"), &mut Effects::default())
            .map(drop)
    }),
    ("an ephemeral message", |room, actor| {
        let request = SendEphemeral {
            room: ROOM,
            text: "hi".to_owned(),
        };
        room.send_ephemeral(actor, request, &mut Effects::default())
    }),
    ("typing", |room, actor| room.typing(actor).map(drop)),
    ("an edit or a reaction", |room, actor| room.may_write(actor)),
    ("a name", |room, actor| {
        let update = UpdateRoom {
            name: Some("other".to_owned()),
            ..settings()
        };
        room.update(actor, update, &mut Effects::default())
    }),
    ("a topic", |room, actor| {
        let update = UpdateRoom {
            topic: Some("other".to_owned()),
            ..settings()
        };
        room.update(actor, update, &mut Effects::default())
    }),
    ("a reason", |room, actor| kick(room, actor, Some("why"))),
    ("a new room", |_, actor| {
        let request = CreateRoom {
            kind: RoomKind::Public,
            name: "words".to_owned(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        };
        Room::create(ROOM, actor, request, Arc::default()).map(drop)
    }),
    ("a direct room", |_, other| {
        let peer = actor(2, 1).user;
        Room::create_direct(ROOM, other, peer, Arc::default()).map(drop)
    }),
];

const fn settings() -> UpdateRoom {
    UpdateRoom {
        room: ROOM,
        name: None,
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}

fn kick(room: &mut Room, by: &Actor, reason: Option<&str>) -> Result<(), Fault> {
    let request = KickMember {
        room: ROOM,
        user: actor(2, 1).user,
        reason: reason.map(str::to_owned),
    };
    room.kick(by, request, &mut Effects::default())
}

#[test]
fn nothing_of_theirs_is_read_by_others_until_it_is_over() {
    for (what, act) in WORDS {
        for until in [None, Some(100)] {
            let mut room = public_room();
            join(&mut room, 2).expect("it is public");
            let fault = act(&mut room, &muted(1, 50, until)).expect_err(what);
            assert_eq!(fault.code, Code::Muted, "{what}");
            assert_eq!(fault.retry_after_ms, until.map(|until| until - 50));
            assert_eq!(room.head(), 0, "{what}");
        }
        let mut room = public_room();
        join(&mut room, 2).expect("it is public");
        act(&mut room, &muted(1, 100, Some(100))).expect(what);
    }
}

#[test]
fn what_has_no_words_goes_on() {
    let mut room = public_room();
    join(&mut room, 2).expect("it is public");
    let mut effects = Effects::default();
    let slower = UpdateRoom {
        slow_mode_ms: Some(1_000),
        ..settings()
    };
    let owner = muted(1, 50, None);
    room.update(&owner, slower, &mut effects)
        .expect("no words in it");
    kick(&mut room, &owner, None).expect("no words in it");
    room.join(&muted(3, 50, None), &mut effects)
        .expect("it is public");
}
