//! Random histories of one room against a model in memory.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_rules::rooms::rows::{Change, ChangeRow, MemberRow, MemberState, MessageRow, RoomRows};
use pitturu_store::entities::Bounds;

use super::{Owner, member, message, room, room_row, user};
use crate::chat::store::RoomStore;
use crate::players::tests::seed;
use crate::players::tests::stored::{Stored, on_both_stores};

on_both_stores! {
    random_histories_match_a_model,
}

const STEPS: usize = 400;

/// Newest messages that are loaded.
const NEWEST: usize = 7;

#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, MessageRow>,
    changes: BTreeMap<u64, ChangeRow>,
    members: BTreeMap<UserId, MemberRow>,
    head: u64,
    rev: u64,
}

impl Model {
    fn joined(&self) -> u32 {
        let members = self.members.values();
        let joined = members.filter(|row| row.state == MemberState::Member);
        u32::try_from(joined.count()).unwrap()
    }

    /// A random commit, carried out on the model.
    fn step(&mut self, random: &mut fastrand::Rng) -> RoomRows {
        let mut rows = RoomRows::default();
        if random.u64(..3) > 0 {
            self.head += 1;
            let row = message(self.head, &format!("text {}", random.u64(..1_000)));
            self.messages.insert(self.head, row.clone());
            rows.message = Some(row);
        }
        if self.head > 0 && random.u64(..3) == 0 {
            self.rev += 1;
            let seq = random.u64(1..=self.head);
            let text = format!("edit {}", random.u64(..1_000));
            let row = MessageRow {
                rev: self.rev,
                ..message(seq, &text)
            };
            if self.messages.contains_key(&seq) {
                self.messages.insert(seq, row.clone());
            }
            rows.updated = vec![row];
            let change = ChangeRow {
                rev: self.rev,
                at_seq: self.head,
                at: random.u64(..1_000),
                change: Change::Edited { seq },
            };
            self.changes.insert(self.rev, change.clone());
            rows.change = Some(change);
        }
        for _ in 0..random.u64(..3) {
            let who = user(random.u16(..20));
            let state = match random.u64(..3) {
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
            rows.members.push(row);
        }
        rows.joined = (!rows.members.is_empty()).then(|| self.joined());
        rows
    }
}

async fn random_histories_match_a_model(mut store: impl Stored) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::create(&rooms, room_row(room(1), "hall")).await;
    for step in 0..STEPS {
        let place = format!("seed {seed}, step {step}");
        owner.write(model.step(&mut random)).await.unwrap();
        match random.u64(..20) {
            0 => {
                let first = random.u64(..model.head + 2);
                let changes_first = random.u64(..model.rev + 2);
                owner.retain(first, changes_first).await;
                model.messages.retain(|&seq, _| seq >= first);
                model.changes.retain(|&rev, _| rev >= changes_first);
            }
            1 if step % 4 == 0 => {
                store.restart();
                let rooms = RoomStore::new(store.entities());
                owner = Owner::of(&rooms, room(1)).await;
            }
            _ => {}
        }
        if random.u64(..10) == 0 || step + 1 == STEPS {
            check(&owner.rooms, &model, &place).await;
        }
    }
}

async fn check(rooms: &RoomStore, model: &Model, place: &str) {
    let loaded = rooms.load(room(1), Bounds::rows(NEWEST)).await.unwrap();
    let loaded = loaded.unwrap();
    let heads = (loaded.stored.head, loaded.stored.rev);
    assert_eq!(heads, (model.head, model.rev), "{place}");
    let members: Vec<_> = model.members.values().cloned().collect();
    assert_eq!(loaded.stored.members, members, "{place}");
    let last = model.messages.get(&model.head);
    assert_eq!(loaded.stored.last.as_ref(), last, "{place}");
    let expected: Vec<_> = model.messages.values().cloned().collect();
    let newest = &expected[expected.len().saturating_sub(NEWEST)..];
    assert_eq!(loaded.recent, newest, "{place}");
    let stored = rooms.messages_after(room(1), 0, 999, 1 << 20).await;
    assert_eq!(stored.unwrap(), expected, "{place}");
    let stored = rooms.changes_after(room(1), 0, 999, 1 << 20).await;
    let expected: Vec<_> = model.changes.values().cloned().collect();
    assert_eq!(stored.unwrap(), expected, "{place}");
    let summary = &rooms.summaries(&[room(1)]).await.unwrap()[0];
    assert_eq!(summary.members, model.joined(), "{place}");
    assert_eq!(summary.last.as_ref(), last, "{place}");
}
