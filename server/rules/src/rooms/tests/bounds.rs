//! What one player can take of a room from others, and what goes when a bound is reached.

use pitturu_protocol::limits::{EMOJI_PER_MESSAGE_MAX, EMOJI_PER_PLAYER_MAX};

use super::*;

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
