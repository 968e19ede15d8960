//! What one player can take of a room from others, and what goes when a bound is reached.

use pitturu_protocol::limits::{EMOJI_PER_MESSAGE_MAX, EMOJI_PER_PLAYER_MAX};

use super::super::membership::{BANS_MAX, INVITED_BY_ONE_MAX, INVITED_MAX};
use super::super::rows::MemberState;
use super::*;

fn numbered(number: u16) -> UserId {
    let mut bytes = [200; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

fn stranger(number: u16) -> Target {
    Target {
        user: numbered(number),
        ..target(1)
    }
}

fn small(kind: RoomKind, members_max: u32) -> Room {
    let limits = ChatLimits {
        members_max,
        ..ChatLimits::default()
    };
    room_of(kind, limits)
}

fn ban(room: &mut Room, number: u16, until: Option<u64>, now: u64) -> Result<(), Fault> {
    let request = BanMember {
        room: ROOM,
        user: numbered(number),
        until,
        reason: None,
    };
    let mut effects = Effects::default();
    room.ban(&actor(1, now), request, &stranger(number), &mut effects)
}

fn invite(room: &mut Room, by: u8, number: u16, now: u64) -> Result<(), Code> {
    let mut effects = Effects::default();
    room.invite(&actor(by, now), &stranger(number), &mut effects)
        .map_err(|fault| fault.code)
}

/// Whether a player can take up an invitation to a private room.
fn is_invited(room: &Room, number: u16) -> bool {
    let held = room.members.get(&numbered(number));
    held.is_some_and(|row| row.state == MemberState::Invited)
}

#[test]
fn one_player_leaves_others_room_for_their_reactions() {
    let mut room = public_room();
    let mut row = sent_row(&mut room, 1);
    let mut react = |room: &mut Room, number: u8, mine: &mut Vec<String>, emoji: &str, on: bool| {
        let request = React {
            room: ROOM,
            seq: 1,
            emoji: emoji.to_owned(),
            on,
        };
        let mut effects = Effects::default();
        room.react(&actor(number, 1), &request, &mut row, mine, &mut effects)
    };
    // Six together leave some places, and each may react with what others react with.
    let mut last = Vec::new();
    for number in 2..8 {
        join(&mut room, number).expect("open to all");
        let mut mine = Vec::new();
        let taken = (0..EMOJI_PER_MESSAGE_MAX).filter(|code| {
            let emoji = format!(":spam{number}x{code}:");
            react(&mut room, number, &mut mine, &emoji, true).is_ok()
        });
        assert_eq!(taken.count(), EMOJI_PER_PLAYER_MAX);
        last = mine;
    }
    let mut mine = Vec::new();
    react(&mut room, 1, &mut mine, "👍", true).expect("there is a place");
    react(&mut room, 1, &mut mine, &last[0], true).expect("one that is there");
    let refused = react(&mut room, 7, &mut last, "👍", true).expect_err("they have five");
    assert_eq!(refused.code, Code::LimitReached);
    let named = format!("at most {EMOJI_PER_PLAYER_MAX} different");
    assert!(refused.message.contains(&named), "{}", refused.message);
    // One that is taken back makes room for another.
    let first = last[0].clone();
    react(&mut room, 7, &mut last, &first, false).expect("it is theirs");
    react(&mut room, 7, &mut last, "👍", true).expect("they have four");
}

#[test]
fn the_oldest_invitation_goes_by_order_of_arrival_whatever_the_clock_says() {
    let mut room = room_of(RoomKind::Private, ChatLimits::default());
    let most = u16::try_from(INVITED_BY_ONE_MAX).unwrap();
    for number in 0..most {
        // The clock is ahead, and runs backwards.
        let now = 1_000_000 - u64::from(number);
        assert_eq!(invite(&mut room, 1, number, now), Ok(()));
    }
    for number in most..most + 3 {
        assert_eq!(invite(&mut room, 1, number, 1), Ok(()));
    }
    let invited: Vec<u16> = (0..most + 3)
        .filter(|number| is_invited(&room, *number))
        .collect();
    assert_eq!(invited, (3..most + 3).collect::<Vec<_>>());
}

#[test]
fn invitations_and_bans_take_no_members_place() {
    let mut room = small(RoomKind::Private, 3);
    for number in 0..10 {
        assert_eq!(invite(&mut room, 1, number, 1), Ok(()));
        assert_eq!(ban(&mut room, 100 + number, None, 1), Ok(()));
    }
    for number in [0, 1] {
        let mut effects = Effects::default();
        let mut invited = actor(1, 1);
        invited.user = numbered(number);
        room.join(&invited, &mut effects).expect("there is a place");
    }
    // Members are what a room is full of.
    assert_eq!(invite(&mut room, 1, 20, 1), Err(Code::RoomFull));
    let mut invited = actor(1, 1);
    invited.user = numbered(2);
    let joined = room.join(&invited, &mut Effects::default());
    assert_eq!(joined.map_err(|fault| fault.code), Err(Code::RoomFull));
}

#[test]
fn when_a_room_has_all_its_invitations_one_of_who_has_most_goes() {
    let mut room = room_of(RoomKind::Private, ChatLimits::default());
    let inviters = u8::try_from(INVITED_MAX / INVITED_BY_ONE_MAX).unwrap() + 2;
    for number in 2..2 + inviters {
        let mut effects = Effects::default();
        room.invite(&actor(1, 1), &target(number), &mut effects)
            .expect("the owner invites");
        join(&mut room, number).expect("they are invited");
    }
    assert_eq!(invite(&mut room, 1, 0, 1), Ok(()));
    let mut next = 1;
    for by in 2..2 + inviters {
        for _ in 0..INVITED_BY_ONE_MAX {
            assert_eq!(invite(&mut room, by, next, 1), Ok(()));
            next += 1;
        }
    }
    let held = (0..next).filter(|number| is_invited(&room, *number));
    assert_eq!(held.count(), INVITED_MAX);
    assert!(is_invited(&room, 0), "others push out what is theirs");
    assert!(is_invited(&room, next - 1), "the newest is there");
}

#[test]
fn bans_are_bounded_and_those_that_are_over_make_room() {
    let mut room = public_room();
    let most = u16::try_from(BANS_MAX).unwrap();
    for number in 0..most {
        let until = (number < 10).then_some(50);
        ban(&mut room, number, until, 1).expect("there is room");
    }
    let refused = ban(&mut room, most, None, 1).expect_err("too many");
    assert_eq!(refused.code, Code::LimitReached);
    let named = BANS_MAX.to_string();
    assert!(refused.message.contains(&named), "{}", refused.message);
    // Whoever is banned can be banned for longer.
    ban(&mut room, 0, Some(60), 1).expect("it is no further one");
    for number in most..most + 9 {
        ban(&mut room, number, None, 55).expect("nine are over");
    }
    ban(&mut room, most + 9, None, 55).expect_err("and no more");
    // A member can be put out whatever there is.
    join(&mut room, 2).expect("open to all");
    let kick = KickMember {
        room: ROOM,
        user: actor(2, 1).user,
        reason: None,
    };
    room.kick(&actor(1, 55), kick, &mut Effects::default())
        .expect("the owner may");
}

#[test]
fn a_ban_that_is_over_limits_nobody() {
    let mut room = room_of(RoomKind::Private, ChatLimits::default());
    ban(&mut room, 7, Some(100), 1).expect("the owner may");
    let mut effects = Effects::default();
    let early = room.invite(&actor(1, 99), &stranger(7), &mut effects);
    assert_eq!(early.map_err(|fault| fault.code), Err(Code::Banned));
    room.invite(&actor(1, 100), &stranger(7), &mut effects)
        .expect("it is over");
    let mut invited = actor(1, 100);
    invited.user = numbered(7);
    room.join(&invited, &mut effects).expect("they are invited");
    let update = UpdateRoom {
        room: ROOM,
        name: None,
        topic: Some("x".into()),
        slow_mode_ms: None,
        retention: None,
    };
    let refused = room.update(&invited, update, &mut effects);
    assert_eq!(refused.map_err(|fault| fault.code), Err(Code::Forbidden));
}
