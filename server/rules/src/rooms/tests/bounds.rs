//! What one player can take of a room from others, and what goes when a bound is reached.

use pitturu_protocol::limits::{EMOJI_PER_MESSAGE_MAX, EMOJI_PER_PLAYER_MAX};

use super::super::membership::INVITED_BY_ONE_MAX;
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
