//! Random histories of some entities, compared with [`Memory`] after every few steps.

use std::sync::Arc;

use fastrand::Rng;

use super::seen::{ENTITIES, KEYS, LISTS, ROWS, Seen, entities, seen};
use super::{Harness, STALE, append, entity, fill, hand_over, keyed_result, put};
use crate::StoreError;
use crate::entities::{
    Applied, Bounds, Commit, Entities, EntityId, Head, List, RowKey, RowRange, Signal, Span,
};
use crate::memory::Memory;

/// Steps of one history, most of which are commits.
const STEPS: usize = 2_500;

/// Names the variable whose number, if it is set, is the seed.
const SEED: &str = "PITTURU_ENTITIES_SEED";

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A store under test beside the one that it is compared with.
struct Pair<H> {
    harness: H,
    memory: Memory,
    random: Rng,
    /// Milliseconds since 1970, which only the test moves.
    now: u64,
}

pub(crate) async fn random_histories_match_memory(harness: impl Harness) {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    println!("{SEED}={seed} runs this history again");
    let mut pair = Pair {
        harness,
        memory: Memory::new(),
        random: Rng::with_seed(seed),
        now: 1_700_000_000_000,
    };
    for step in 0..STEPS {
        pair.step().await;
        if step % 25 == 0 || step + 1 == STEPS {
            pair.compare().await;
        }
    }
}

type Change = fn(&mut Commit);

/// What a commit may have beside an entry that it appends, each alone: a store may keep one that only appends in another way.
const ONE_THING: [(&str, Change); 14] = [
    ("nothing", |_| {}),
    ("a row", |commit| put(commit, b"a", b"1")),
    ("a removed row", |commit| {
        commit.rows.push((b"same".to_vec(), None));
    }),
    ("an entry elsewhere", |commit| append(commit, 1, 3..4, "")),
    ("an entry elsewhere in its place", |commit| {
        commit.entries[0].stream = 1;
    }),
    ("the end", |commit| commit.ends_at = Some(5)),
    ("a replaced entry", |commit| append(commit, 0, 2..3, "new")),
    ("a dropped entry", |commit| commit.dropped.push((0, 2))),
    ("a bound", |commit| commit.firsts.push((0, 3))),
    ("a bound elsewhere", |commit| commit.firsts.push((1, 2))),
    ("a row of a list", |commit| {
        commit
            .lists
            .push((List(0), b"a".to_vec(), Some(Vec::new())));
    }),
    ("a result", |commit| {
        commit.results = vec![keyed_result(2, "key", b"new")];
    }),
    ("a signal", |commit| {
        let body = b"new".to_vec();
        commit.signals.push(Signal {
            to: entity(2),
            body,
        });
    }),
    ("what was applied", |commit| {
        commit.applied = Some(Applied {
            from: entity(5),
            incarnation: 2,
            version: 1,
        });
    }),
];

pub(crate) async fn appending_and_one_thing_more_matches_memory(mut harness: impl Harness) {
    let mut memory = Memory::new();
    // As many at a time as are looked at.
    for some in ONE_THING.chunks(usize::from(ENTITIES)) {
        let incarnation = fastrand::u64(..);
        for (id, (what, change)) in (0..).zip(some) {
            let mut first = Commit::new(entity(id), memory.fence(), 1, incarnation);
            fill(&mut first, 0);
            let mut next = Commit::new(entity(id), memory.fence(), 2, incarnation);
            append(&mut next, 0, 3..4, what);
            change(&mut next);
            for commit in [first, next] {
                hand_over(&memory, commit.clone()).await.unwrap().unwrap();
                let store = harness.store();
                let there = Commit {
                    fence: store.fence(),
                    ..commit
                };
                hand_over(&*store, there).await.unwrap().unwrap();
            }
            let there = seen(&*harness.store()).await;
            assert_eq!(there, seen(&memory).await, "{what}");
        }
        harness.restart();
        memory = memory.restart();
        assert_eq!(seen(&*harness.store()).await, seen(&memory).await);
        // Anew for the rest.
        harness = Harness::new();
        memory = Memory::new();
    }
}

impl<H: Harness> Pair<H> {
    async fn step(&mut self) {
        let store = self.harness.store();
        match self.random.u8(..200) {
            0 => {
                self.harness.restart();
                self.memory = self.memory.restart();
            }
            1..12 => {
                let (entity, range) = (self.entity(), self.range());
                store.remove(entity, range.clone()).await.unwrap();
                self.memory.remove(entity, range).await.unwrap();
            }
            12..22 => {
                let entity = self.entity();
                store.trim(entity).await.unwrap();
                self.memory.trim(entity).await.unwrap();
            }
            22..32 => {
                self.now += self.random.u64(..30 * HOUR_MS);
                let now = self.now - self.random.u64(..10 * HOUR_MS);
                while store.sweep(now).await.unwrap() {}
                while self.memory.sweep(now).await.unwrap() {}
            }
            32..60 => {
                let sender = self.entity();
                let delivered = self.some_signals(sender).await;
                store.delivered(sender, delivered.clone()).await.unwrap();
                self.memory.delivered(sender, delivered).await.unwrap();
            }
            _ => self.commit_some(&store).await,
        }
    }

    /// Hands over some commits at once, each right or nearly so.
    async fn commit_some(&mut self, store: &Arc<dyn Entities>) {
        let mut outcomes = Vec::new();
        for _ in 0..self.random.usize(1..6) {
            let entity = self.entity();
            let loaded = self.memory.load(entity, Vec::new()).await.unwrap();
            let head = loaded.map(|loaded| loaded.head);
            let mut commit = self.some_commit(entity, head);
            let is_stale = self.random.u8(..60) == 0;
            commit.fence = if is_stale { STALE } else { self.memory.fence() };
            let here = hand_over(&self.memory, commit.clone()).await.unwrap();
            commit.fence = if is_stale { STALE } else { store.fence() };
            outcomes.push((here, hand_over(&**store, commit.clone()), commit));
        }
        for (here, there, commit) in outcomes {
            match (there.await.unwrap(), here) {
                (Ok(()), Ok(())) => {}
                (Err(StoreError::Conflict(_)), Err(StoreError::Conflict(_))) => {}
                (there, here) => panic!("{there:?} in place of {here:?} for {commit:?}"),
            }
        }
    }

    fn some_commit(&mut self, entity: EntityId, head: Option<Head>) -> Commit {
        let head = head.unwrap_or(Head {
            incarnation: self.random.u64(..),
            ..Head::default()
        });
        let mut version = head.version + 1;
        let mut incarnation = head.incarnation;
        match self.random.u8(..40) {
            0 => version = self.random.u64(..head.version + 4),
            1 => incarnation = self.random.u64(..),
            _ => {}
        }
        let mut commit = Commit::new(entity, self.memory.fence(), version, incarnation);
        // Many commits do nothing but append, as messages do.
        let mut stream = head.streams[0];
        if self.random.u8(..3) == 0 {
            for _ in 0..self.random.u64(1..4) {
                self.entry(&mut commit, 0, stream.head + 1);
                stream.head += 1;
            }
            self.result(&mut commit);
            return commit;
        }
        self.streams(&mut commit, head);
        self.rows(&mut commit);
        self.result(&mut commit);
        for _ in 0..self.random.u8(..6).saturating_sub(3) {
            let to = self.entity();
            let body = self.row();
            commit.signals.push(Signal { to, body });
        }
        if self.random.u8(..4) == 0 {
            commit.applied = Some(Applied {
                from: self.entity(),
                incarnation: self.random.u64(..2),
                version: self.random.u64(..20),
            });
        }
        if self.random.u8(..50) == 0 {
            commit.ends_at = Some(self.now - self.random.u64(..HOUR_MS));
        }
        commit
    }

    /// Entries that append, replace, come too late or leave a gap, single ones that go, and bounds on both sides of both ends.
    fn streams(&mut self, commit: &mut Commit, head: Head) {
        for (stream, mut at) in (0..).zip(head.streams) {
            for _ in 0..self.random.u8(..4).saturating_sub(2) {
                let number = self.random.u64(..at.head + 3);
                commit.dropped.push((stream, number));
            }
            for _ in 0..self.random.u8(..5).saturating_sub(1) {
                let number = match self.random.u8(..30) {
                    0 => at.head + 2,
                    1..8 => self.random.u64(..=at.head),
                    8..12 => at.head.max(1),
                    _ => at.head + 1,
                };
                self.entry(commit, stream, number);
                at.head = at.head.max(number);
            }
            if self.random.u8(..8) == 0 {
                let first = match self.random.u8(..8) {
                    0 => u64::MAX,
                    _ => (at.first + self.random.u64(..6)).saturating_sub(1),
                };
                commit.firsts.push((stream, first));
            }
        }
    }

    fn entry(&mut self, commit: &mut Commit, stream: u8, number: u64) {
        let text = self.random.u16(..).to_string();
        append(commit, stream, number..=number, &text);
    }

    fn rows(&mut self, commit: &mut Commit) {
        for _ in 0..self.random.u8(..6) {
            let (key, row) = (self.key(), self.row());
            let row = (self.random.u8(..3) > 0).then_some(row);
            commit.rows.push((key, row));
        }
        for _ in 0..self.random.u8(..6).saturating_sub(3) {
            let (key, row) = (self.key(), self.row());
            let row = (self.random.u8(..3) > 0).then_some(row);
            let list = List(self.random.u8(..LISTS));
            commit.lists.push((list, key, row));
        }
    }

    fn result(&mut self, commit: &mut Commit) {
        if self.random.bool() {
            let who = self.random.u16(1..3);
            let key = KEYS[self.random.usize(..KEYS.len())];
            commit.results = vec![keyed_result(who, key, &self.row())];
        }
    }

    fn entity(&mut self) -> EntityId {
        entity(self.random.u8(..ENTITIES))
    }

    /// Keys that are often the same, and often prefixes of each other.
    fn key(&mut self) -> RowKey {
        if self.random.u8(..4) == 0 {
            return ROWS[self.random.usize(..ROWS.len())].to_vec();
        }
        let length = self.random.usize(1..5);
        let byte = |_| *self.random.choice(&[0, 1, b'a', 0xfe, 0xff]).unwrap();
        (0..length).map(byte).collect()
    }

    fn row(&mut self) -> Vec<u8> {
        let length = match self.random.u8(..20) {
            0 => self.random.usize(..5_000),
            _ => self.random.usize(..20),
        };
        vec![self.random.u8(..); length]
    }

    fn range(&mut self) -> RowRange {
        let mut prefix = self.key();
        prefix.truncate(self.random.usize(..3));
        let after = self.random.bool().then(|| self.key());
        let before = self.random.bool().then(|| self.key());
        RowRange {
            prefix,
            after,
            before,
        }
    }

    /// Some of the signals that wait, and one that does not.
    async fn some_signals(&mut self, sender: EntityId) -> Vec<(u64, u16)> {
        let undelivered = self.memory.undelivered(sender, None, 1_000).await.unwrap();
        let mut some: Vec<(u64, u16)> = undelivered
            .iter()
            .map(|signal| (signal.version, signal.index))
            .filter(|_| self.random.bool())
            .collect();
        some.push((self.random.u64(..), 0));
        self.random.shuffle(&mut some);
        some
    }

    /// Looks at everything on both sides, and at some parts of it.
    async fn compare(&mut self) {
        let store = self.harness.store();
        let (there, here): (Seen, Seen) = (seen(&*store).await, seen(&self.memory).await);
        assert_eq!(there, here);
        for entity in entities() {
            let (range, bounds) = (self.range(), Bounds::rows(self.random.usize(..20)));
            let there = store.rows(entity, range.clone(), bounds).await;
            let here = self.memory.rows(entity, range.clone(), bounds).await;
            assert_eq!(there, here, "{entity} {range:?} {bounds:?}");
            let list = List(self.random.u8(..LISTS));
            let there = store.list(list, range.clone(), bounds).await;
            let here = self.memory.list(list, range.clone(), bounds).await;
            assert_eq!(there, here, "{list:?} {range:?} {bounds:?}");
            for stream in [0, 1] {
                let number = self.random.u64(..200);
                for span in [Span::After(number), Span::Before(number)] {
                    let there = store.entries(entity, stream, span, bounds).await;
                    let here = self.memory.entries(entity, stream, span, bounds).await;
                    assert_eq!(there, here, "{entity} {stream} {span:?} {bounds:?}");
                }
            }
            let (after, limit) = (Some(self.entity()), self.random.usize(..5));
            let there = store.senders(after, limit).await;
            assert_eq!(there, self.memory.senders(after, limit).await);
            let there = store.undelivered(entity, None, limit).await;
            assert_eq!(there, self.memory.undelivered(entity, None, limit).await);
        }
    }
}
