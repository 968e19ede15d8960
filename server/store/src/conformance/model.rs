//! Random histories of one room against a model in memory.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_rules::rooms::rows::{Change, ChangeRow, MemberRow, MemberState, MessageRow};

use super::{Harness, create, member, message, room, room_row, user, write};
use crate::rooms::{Messages as _, RoomWrite, Rooms as _};

const STEPS: usize = 400;

/// A small generator (xorshift), so that a printed seed gives the same history again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, MessageRow>,
    changes: BTreeMap<u64, ChangeRow>,
    members: BTreeMap<UserId, MemberRow>,
    head: u64,
    rev: u64,
}

impl Model {
    /// A random write, carried out on the model.
    fn step(&mut self, random: &mut Random, next: &mut RoomWrite) {
        if random.below(3) > 0 {
            self.head += 1;
            let row = message(self.head, &format!("text {}", random.below(1_000)));
            self.messages.insert(self.head, row.clone());
            next.rows.message = Some(row);
        }
        if self.head > 0 && random.below(3) == 0 {
            self.rev += 1;
            let seq = 1 + random.below(self.head);
            let text = format!("edit {}", random.below(1_000));
            let row = MessageRow {
                rev: self.rev,
                ..message(seq, &text)
            };
            if self.messages.contains_key(&seq) {
                self.messages.insert(seq, row.clone());
            }
            next.rows.updated = vec![row];
            let change = ChangeRow {
                rev: self.rev,
                at_seq: self.head,
                at: random.below(1_000),
                change: Change::Edited { seq, text },
            };
            self.changes.insert(self.rev, change.clone());
            next.rows.change = Some(change);
        }
        for _ in 0..random.below(3) {
            let who = user(u16::try_from(random.below(20)).unwrap());
            let state = match random.below(3) {
                0 => MemberState::Member,
                1 => MemberState::Invited,
                _ => MemberState::Left,
            };
            let row = member(who, state);
            if row.state == MemberState::Left {
                self.members.remove(&who);
            } else {
                self.members.insert(who, row.clone());
            }
            next.rows.members.push(row);
        }
    }
}

pub(crate) async fn random_histories_match_a_model(mut harness: impl Harness) {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed = u64::from_le_bytes(seed) | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut model = Model::default();
    create(harness.store(), room_row(room(1), "hall")).await;
    for step in 0..STEPS {
        let place = format!("seed {seed}, step {step}");
        let mut next = RoomWrite::new(room(1), harness.store().fence());
        model.step(&mut random, &mut next);
        write(harness.store(), next).await.unwrap();
        match random.below(20) {
            0 => {
                let first = random.below(model.head + 2);
                let changes_first = random.below(model.rev + 2);
                let removed = harness.store().remove_before(room(1), first, changes_first);
                removed.await.unwrap();
                model.messages.retain(|&seq, _| seq >= first);
                model.changes.retain(|&rev, _| rev >= changes_first);
            }
            1 if step % 4 == 0 => harness.restart(),
            _ => {}
        }
        if random.below(10) == 0 || step + 1 == STEPS {
            check(&harness, &model, &place).await;
        }
    }
}

async fn check(harness: &impl Harness, model: &Model, place: &str) {
    let store = harness.store();
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (loaded.stored.head, loaded.stored.rev),
        (model.head, model.rev),
        "{place}"
    );
    let members: Vec<_> = model.members.values().cloned().collect();
    assert_eq!(loaded.stored.members, members, "{place}");
    let last = model.messages.get(&model.head);
    assert_eq!(loaded.stored.last.as_ref(), last, "{place}");
    let stored = store
        .messages_after(room(1), 0, 999, 1 << 20)
        .await
        .unwrap();
    let expected: Vec<_> = model.messages.values().cloned().collect();
    assert_eq!(stored, expected, "{place}");
    let stored = store.changes_after(room(1), 0, 999, 1 << 20).await.unwrap();
    let expected: Vec<_> = model.changes.values().cloned().collect();
    assert_eq!(stored, expected, "{place}");
    let summary = &store.summaries(vec![room(1)]).await.unwrap()[0];
    let count = model
        .members
        .values()
        .filter(|row| row.state == MemberState::Member)
        .count();
    assert_eq!(summary.members as usize, count, "{place}");
}
