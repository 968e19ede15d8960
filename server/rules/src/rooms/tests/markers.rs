//! What the store says of read markers is what the room says, and a message costs no place.

use std::collections::{BTreeMap, BTreeSet};

use pitturu_protocol::codec;
use proptest::prelude::*;

use super::super::markers::MOVED_MAX;
use super::super::rows::{MemberRow, MemberState, StoredRoom};
use super::*;

/// What a store holds of the places and of the newest message.
#[derive(Default)]
struct Stored {
    places: BTreeMap<UserId, MemberRow>,
    newest: Option<MessageRow>,
}

impl Stored {
    fn put(&mut self, effects: Effects) {
        for row in effects.rows.members {
            match row.state {
                MemberState::Left => self.places.remove(&row.user),
                _ => self.places.insert(row.user, row),
            };
        }
        self.newest = effects.rows.message.or(self.newest.take());
        for row in effects.rows.updated {
            let is_newest = |held: &&mut MessageRow| held.msg.seq == row.msg.seq;
            if let Some(newest) = self.newest.as_mut().filter(is_newest) {
                *newest = row;
            }
        }
    }

    fn load(&self, room: &Room) -> Room {
        let stored = StoredRoom {
            row: room.row().clone(),
            members: self.places.values().cloned().collect(),
            sanctions: Vec::new(),
            deleted: Vec::new(),
            head: room.head(),
            rev: room.rev(),
            first: room.first(),
            changes_first: 1,
            last: self.newest.clone(),
            last_at: 0,
        };
        Room::load(stored, false, Arc::new(ChatLimits::default()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8),
    MarkRead(u8, u64),
    JoinOrLeave(u8),
    /// The newest message changes. Its row comes without what it said of markers, as it does from memory.
    Edit,
    /// Retention removes all messages but the newest so many.
    Retain(u64),
    Load,
}

fn step(players: u8) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..=players).prop_map(Step::Send),
        1 => (1..=players, 0..40_u64).prop_map(|(player, seq)| Step::MarkRead(player, seq)),
        2 => (2..=players).prop_map(Step::JoinOrLeave),
        1 => Just(Step::Edit),
        1 => (0..3_u64).prop_map(Step::Retain),
        1 => Just(Step::Load),
    ]
}

proptest! {
    #[test]
    fn places_and_the_newest_message_tell_all_read_markers(
        steps in prop::collection::vec(step(2 * u8::try_from(MOVED_MAX).unwrap()), 1..400),
    ) {
        let (mut room, mut stored) = (public_room(), Stored::default());
        let owner = room.member(&actor(1, 1)).unwrap().clone();
        stored.places.insert(owner.user, owner);
        let mut markers = BTreeMap::from([(1, 0)]);
        for step in steps {
            let mut effects = Effects::default();
            match step {
                Step::Send(player) => {
                    let sent = room.send(&actor(player, 1), text("hi"), &mut effects);
                    prop_assert_eq!(sent.is_ok(), markers.contains_key(&player));
                    if let Ok(sent) = sent {
                        markers.insert(player, sent.seq);
                    }
                }
                Step::MarkRead(player, seq) => {
                    if let Ok(marked) = room.mark_read(&actor(player, 1), seq, &mut effects) {
                        markers.insert(player, marked.read);
                    }
                }
                Step::JoinOrLeave(player) if markers.contains_key(&player) => {
                    room.leave(&actor(player, 1), &mut effects).unwrap();
                    markers.remove(&player);
                }
                Step::JoinOrLeave(player) => {
                    room.join(&actor(player, 1), &mut effects).unwrap();
                    markers.insert(player, room.head());
                }
                Step::Edit => {
                    let Some(mut row) = stored.newest.clone() else { continue };
                    row.moved.clear();
                    let author = row.msg.from.as_bytes()[0];
                    let edit = EditMessage { room: ROOM, seq: row.msg.seq, text: "better".into() };
                    // Refused if the author is gone.
                    drop(room.edit(&actor(author, 1), edit, &mut row, &mut effects));
                }
                Step::Retain(kept) => {
                    room.retain_from((room.head() + 1).saturating_sub(kept), 1, &mut effects);
                    if room.first() > room.head() {
                        stored.newest = None;
                    }
                }
                Step::Load => room = stored.load(&room),
            }
            stored.put(effects);
            for (player, read) in &markers {
                let actor = actor(*player, 1);
                let place = stored.places[&actor.user].clone().with_newest(stored.newest.as_ref());
                prop_assert_eq!((place.read, room.member(&actor).unwrap().read), (*read, *read));
            }
        }
    }
}

#[test]
fn a_message_stores_no_place_while_few_write_by_turns() {
    let few = u8::try_from(MOVED_MAX + 1).unwrap();
    let mut room = public_room();
    for number in 2..=few + 1 {
        join(&mut room, number).expect("open to all");
    }
    let mut places = |writers: u8| {
        let mut stored = BTreeSet::new();
        for turn in 0..3 * writers {
            let mut effects = Effects::default();
            let actor = actor(1 + turn % writers, 1);
            room.send(&actor, text("hi"), &mut effects).unwrap();
            assert!(effects.rows.members.len() <= 1, "one goes as one comes");
            stored.extend(effects.rows.members.into_iter().map(|row| row.user));
        }
        stored.len()
    };
    assert_eq!(places(few), 0);
    assert_eq!(places(few + 1), usize::from(few + 1));
}

#[test]
fn a_marker_costs_nineteen_bytes_in_a_message() {
    let mut room = public_room();
    for number in 2..=3 {
        join(&mut room, number).expect("open to all");
    }
    let stored = |room: &mut Room, number| codec::encode(&sent_row(room, number)).len();
    stored(&mut room, 1);
    let [one, two] = [stored(&mut room, 2), stored(&mut room, 3)];
    assert_eq!(two - one, 19);
}
