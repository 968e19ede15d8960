//! Slow mode: who has to wait, and by which clock.

use super::super::rows::{SanctionRow, StoredRoom};
use super::*;

const PAUSE_MS: u64 = 1_000;

fn slow_room() -> Room {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    room.row.slow_mode_ms = 1_000;
    room
}

/// The room in its next life, in which nothing but what was stored is known.
fn loaded_again(room: &Room) -> Room {
    let stored = StoredRoom {
        row: room.row.clone(),
        members: room.members.values().cloned().collect(),
        sanctions: room.sanctions.values().copied().collect(),
        deleted: Vec::new(),
        head: room.head,
        rev: room.rev,
        first: room.first,
        changes_first: room.changes_first,
        last: None,
        last_at: room.last_at,
    };
    Room::load(stored, false, Arc::new(ChatLimits::default()))
}

/// Sends while the clock on the wall says `now` and the steady one `steady_ms`. How long there is to wait.
fn send_at(room: &mut Room, now: u64, steady_ms: u64) -> Result<(), Option<u64>> {
    let actor = Actor {
        steady_ms,
        ..actor(2, now)
    };
    match room.send(&actor, text("hello"), &mut Effects::default()) {
        Ok(_) => Ok(()),
        Err(fault) => {
            assert_eq!(fault.code, Code::SlowMode);
            Err(fault.retry_after_ms)
        }
    }
}

#[test]
fn slow_mode_tells_how_long_and_spares_moderators() {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    let mut effects = Effects::default();
    let update = UpdateRoom {
        room: ROOM,
        name: None,
        topic: None,
        slow_mode_ms: Some(1_000),
        retention: None,
    };
    room.update(&actor(1, 1), update, &mut effects)
        .expect("the owner sets it");
    assert!(send(&mut room, 2, 5_000).is_ok());
    let mut effects = Effects::default();
    let fault = room
        .send(&actor(2, 5_400), text("again"), &mut effects)
        .expect_err("too soon");
    assert_eq!(
        (fault.code, fault.retry_after_ms),
        (Code::SlowMode, Some(600))
    );
    assert!(send(&mut room, 2, 6_000).is_ok());
    assert!(send(&mut room, 1, 6_000).is_ok() && send(&mut room, 1, 6_001).is_ok());
}

#[test]
fn slow_mode_counts_messages_and_what_is_said_for_the_moment_together() {
    let mut room = public_room();
    join(&mut room, 2).expect("open to all");
    room.row.slow_mode_ms = 1_000;
    assert!(say(&mut room, 2, 5_000, "hi").is_ok());
    assert_eq!(send(&mut room, 2, 5_500), Err(Code::SlowMode));
    assert!(send(&mut room, 2, 6_000).is_ok());
    let fault = say(&mut room, 2, 6_400, "hi").expect_err("too soon");
    assert_eq!(
        (fault.code, fault.retry_after_ms),
        (Code::SlowMode, Some(600))
    );
    assert!(say(&mut room, 1, 6_400, "hi").is_ok() && say(&mut room, 1, 6_401, "hi").is_ok());
}

#[test]
fn an_edit_counts_as_a_text() {
    let mut room = slow_room();
    let mut effects = Effects::default();
    room.send(&actor(2, 5_000), text("hello"), &mut effects)
        .expect("the first");
    let mut row = effects.rows.message.expect("it is stored");
    let edit = EditMessage {
        room: ROOM,
        seq: row.msg.seq,
        text: "goodbye".into(),
    };
    for (now, outcome) in [(5_999, Err(Code::SlowMode)), (6_000, Ok(()))] {
        let edited = room.edit(
            &actor(2, now),
            edit.clone(),
            &mut row,
            &mut Effects::default(),
        );
        assert_eq!(edited.map(drop).map_err(|fault| fault.code), outcome);
    }
    assert_eq!(send(&mut room, 2, 6_999), Err(Code::SlowMode));
}

#[test]
fn within_a_life_no_jump_of_the_wall_clock_changes_the_pause() {
    const NOW: u64 = 1_000_000_000;
    for jumped in [0, NOW - 1, NOW, NOW + 1, 2 * NOW] {
        let mut room = slow_room();
        assert_eq!(send_at(&mut room, NOW, 50), Ok(()));
        assert_eq!(send_at(&mut room, jumped, 450), Err(Some(600)), "{jumped}");
        assert_eq!(send_at(&mut room, jumped, 1_050), Ok(()), "{jumped}");
    }
}

#[test]
fn the_next_life_goes_by_the_stored_time_unless_it_is_still_to_come() {
    const NOW: u64 = 1_000_000_000;
    let mut room = slow_room();
    assert_eq!(send_at(&mut room, NOW, 50), Ok(()));
    for (now, outcome) in [
        (NOW - 1, Ok(())),
        (NOW, Err(Some(PAUSE_MS))),
        (NOW + 400, Err(Some(600))),
        (NOW + PAUSE_MS, Ok(())),
    ] {
        // Another process's steady clock began anew.
        assert_eq!(send_at(&mut loaded_again(&room), now, 3), outcome, "{now}");
    }
}

#[test]
fn what_the_room_forgets_is_still_known_by_its_row() {
    let mut room = slow_room();
    assert_eq!(send_at(&mut room, 5_000, 50), Ok(()));
    room.wrote_at.clear();
    assert_eq!(send_at(&mut room, 5_400, 450), Err(Some(600)));
}

#[test]
fn a_sanction_that_is_over_matters_no_longer() {
    let row = SanctionRow {
        wrote_at: 5_000,
        ..SanctionRow::none(actor(2, 1).user)
    };
    let matters = [4_999, 5_000, 5_999, 6_000].map(|now| row.matters(PAUSE_MS, now));
    assert_eq!(matters, [false, true, true, false]);
    let muted = SanctionRow {
        muted_until: Some(9_000),
        ..row
    };
    assert!(muted.matters(0, 8_999) && !muted.matters(0, 9_000));
}
