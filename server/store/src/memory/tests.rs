//! The suite of the port, run on memory, and what its controls do beside it.

use std::sync::Arc;

use super::{BYTES_MAX, Failure, JOBS_MAX, Memory};
use crate::StoreError;
use crate::conformance::entities::{
    Crashing, FailingCommits, Harness, HeldWriter, Owner, crashing_suite, entities_suite, entity,
    failing_suite, held_suite, keyed_result,
};
use crate::conformance::user;
use crate::entities::{Entities, KeyedRequest};

struct InMemory(Memory);

impl Harness for InMemory {
    fn new() -> Self {
        Self::with_room(JOBS_MAX, BYTES_MAX)
    }

    fn store(&self) -> Arc<dyn Entities> {
        Arc::new(self.0.clone())
    }

    fn restart(&mut self) {
        self.0 = self.0.restart();
    }
}

impl HeldWriter for InMemory {
    fn with_room(jobs: usize, bytes: usize) -> Self {
        Self(Memory::with_room(jobs, bytes))
    }

    fn hold(&self) {
        self.0.hold_writer();
    }

    fn release(&self) {
        self.0.release_writer();
    }
}

impl FailingCommits for InMemory {
    fn fail_next(&self, is_unknown: bool) {
        let failure = if is_unknown {
            Failure::Unknown
        } else {
            Failure::Lost
        };
        self.0.fail_commits(1, failure);
    }

    fn recover(&self) {
        self.0.recover();
    }
}

impl Crashing for InMemory {
    fn crash(&mut self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        self.0 = self.0.crash(|_| random.bool());
    }
}

entities_suite!(InMemory);
held_suite!(InMemory);
failing_suite!(InMemory);
crashing_suite!(InMemory);

#[tokio::test]
async fn reservations_are_refused_on_demand() {
    let memory = Memory::new();
    let kept = memory.reserve(1).unwrap();
    for refusal in [StoreError::Busy, StoreError::unavailable("test")] {
        memory.refuse_reservations(Some(refusal.clone()));
        assert_eq!(memory.reserve(1).unwrap_err(), refusal);
    }
    memory.refuse_reservations(None);
    drop((kept, memory.reserve(1).unwrap()));
    assert_eq!(memory.waiting(), (0, 0));
}

#[tokio::test]
async fn loads_are_held_and_fail_on_demand() {
    let mut harness = InMemory::new();
    let mut owner = Owner::created(&harness, entity(1)).await;
    harness.0.hold_loads();
    let load = tokio::spawn(owner.store.load(entity(1), Vec::new()));
    owner.commit(|_| {}).await;
    assert!(!load.is_finished());
    harness.0.release_loads();
    // As of its turn, not of its release.
    assert_eq!(load.await.unwrap().unwrap().unwrap().head.version, 1);
    harness.0.fail_loads(2);
    for is_ok in [false, false, true] {
        let loaded = owner.store.load(entity(1), Vec::new()).await;
        assert_eq!(loaded.is_ok(), is_ok);
    }
    harness.restart();
    let old = owner.store.load(entity(1), Vec::new()).await;
    assert!(matches!(old, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn results_are_found_for_one_turn_and_not_for_two() {
    let harness = InMemory::new();
    let mut owner = Owner::created(&harness, entity(1)).await;
    for (number, is_found) in [(1, true), (2, false)] {
        let result = keyed_result(1, "key", &[number]);
        owner
            .commit(|commit| commit.results = vec![result.clone()])
            .await;
        for _ in 0..number {
            harness.0.turn_results();
        }
        let found = owner.store.recall(entity(1), user(1), "key").await;
        assert_eq!(found.unwrap(), is_found.then_some(result));
    }
    let mut lasting = keyed_result(1, "lasting", &[3]);
    lasting.request = KeyedRequest::Whole(vec![0x80].into());
    owner
        .commit(|commit| commit.results = vec![lasting.clone()])
        .await;
    for _ in 0..3 {
        harness.0.turn_results();
    }
    let found = owner.store.recall(entity(1), user(1), "lasting").await;
    assert_eq!(found.unwrap(), Some(lasting));
}

#[tokio::test]
async fn some_commits_fail_and_each_raises_the_fence() {
    let harness = InMemory::new();
    Owner::created(&harness, entity(1)).await;
    harness.0.fail_commits(3, Failure::Lost);
    for is_ok in [false, false, false, true] {
        let mut owner = Owner::loaded(&harness, entity(1)).await;
        let outcome = owner.hand_over(|_| {}).await.unwrap();
        assert_eq!(outcome.is_ok(), is_ok);
        assert_eq!(owner.fence != harness.0.fence(), !is_ok);
    }
}

#[tokio::test]
async fn an_unknown_commit_stops_everything_but_reads() {
    let harness = InMemory::new();
    let mut owner = Owner::created(&harness, entity(1)).await;
    harness.0.fail_commits(1, Failure::Unknown);
    assert!(owner.hand_over(|_| {}).await.unwrap().is_err());
    let store = &owner.store;
    assert!(matches!(store.reserve(0), Err(StoreError::Unavailable(_))));
    assert!(store.load(entity(1), Vec::new()).await.is_err());
    assert!(store.sweep(0).await.is_err());
    let glances = store.glances(vec![entity(1)], Vec::new()).await.unwrap();
    assert_eq!(glances[0].as_ref().unwrap().head.version, 1);
    harness.0.recover();
    assert_eq!(owner.head().await.version, 1);
}

#[tokio::test]
async fn a_crash_leaves_what_the_test_says() {
    let mut memory = Memory::new();
    for found in [vec![1, 3], vec![1, 2], vec![]] {
        let harness = InMemory(memory.clone());
        let mut owner = match memory.load(entity(1), Vec::new()).await.unwrap() {
            Some(_) => Owner::loaded(&harness, entity(1)).await,
            None => Owner::created(&harness, entity(1)).await,
        };
        let before = owner.version;
        memory.hold_writer();
        let outcomes: Vec<_> = (0..3).map(|_| owner.hand_over(|_| {})).collect();
        let opened = memory.crash(|commit| found.contains(&(commit.version - before)));
        for outcome in outcomes {
            assert!(outcome.await.unwrap().is_err());
        }
        // The third rests on the second.
        let there = found.iter().zip(1..).take_while(|(a, b)| **a == *b).count();
        memory = opened;
        let harness = InMemory(memory.clone());
        let version = Owner::loaded(&harness, entity(1)).await.version;
        assert_eq!(version, before + u64::try_from(there).unwrap());
    }
}
