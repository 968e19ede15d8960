//! What waits while the writer is held back: room, loads, and what nobody may read yet.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::commits::HEARD_WITHIN;
use super::{HeldWriter, Owner, entity, hand_over, keyed_result, put};
use crate::StoreError;
use crate::entities::{Bounds, LoadedPart, OpenCommit, Part, Reading, RowRange};

/// Polls once; whether there is no result yet.
async fn is_pending<T>(reading: &mut Reading<T>) -> bool {
    poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_pending())).await
}

pub(crate) async fn reservations_are_given_back<H: HeldWriter>() {
    let harness = H::with_room(2, 1_000);
    let store = harness.store();
    for _ in 0..5 {
        let first = store.reserve(100).unwrap();
        let second = store.reserve(100).unwrap();
        assert_eq!(store.reserve(0).unwrap_err(), StoreError::Busy);
        drop(first);
        let third = store.reserve(100).unwrap();
        assert_eq!(store.reserve(0).unwrap_err(), StoreError::Busy);
        drop((second, third));
    }
    // Commits give back what was reserved for them, whatever they weigh.
    let mut owner = Owner::created(&harness, entity(1)).await;
    for _ in 0..20 {
        owner.commit(|commit| put(commit, b"a", &[0; 900])).await;
    }
    let all = (store.reserve(500).unwrap(), store.reserve(500).unwrap());
    assert_eq!(store.reserve(0).unwrap_err(), StoreError::Busy);
    drop(all);
}

pub(crate) async fn full_queues_refuse_by_jobs_and_bytes<H: HeldWriter>() {
    let harness = H::with_room(3, 1_000);
    let store = harness.store();
    let mut owner = Owner::created(&harness, entity(1)).await;
    harness.hold();
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(owner.hand_over(|commit| put(commit, b"a", b"")));
    }
    assert_eq!(store.reserve(0).unwrap_err(), StoreError::Busy);
    harness.release();
    for outcome in outcomes.drain(..) {
        outcome.await.unwrap().unwrap();
    }
    let held = store.reserve(600).unwrap();
    assert_eq!(store.reserve(401).unwrap_err(), StoreError::Busy);
    let rest = store.reserve(400).unwrap();
    assert_eq!(store.reserve(1).unwrap_err(), StoreError::Busy);
    drop((held, rest));
    // One that is heavier than the whole room is taken when nothing else waits.
    let heavy = store.reserve(5_000).unwrap();
    assert_eq!(store.reserve(0).unwrap_err(), StoreError::Busy);
    drop(heavy);
    owner.commit(|_| {}).await;
}

pub(crate) async fn reserved_commits_are_taken<H: HeldWriter>() {
    let harness = H::with_room(4, 1_000);
    let store = harness.store();
    let mut owner = Owner::created(&harness, entity(1)).await;
    harness.hold();
    let reservations: Vec<_> = (0..4).map(|_| store.reserve(10).unwrap()).collect();
    let mut outcomes = Vec::new();
    for reservation in reservations {
        let mut next = owner.next();
        put(&mut next, b"a", &[1; 5_000]);
        let (report, outcome) = tokio::sync::oneshot::channel();
        let done = move |result| report.send(result).unwrap();
        store.commit(reservation, next.into(), Box::new(done));
        outcomes.push(outcome);
    }
    assert_eq!(store.reserve(10).unwrap_err(), StoreError::Busy);
    harness.release();
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
    assert_eq!(owner.head().await.version, 5);
}

pub(crate) async fn reports_that_come_together_are_told_once(harness: impl HeldWriter) {
    const COMMITS: usize = 50;
    let mut owner = Owner::created(&harness, entity(1)).await;
    let (reported, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (is_told, told) = std::sync::mpsc::channel();
    let listener = {
        let (reported, calls) = (Arc::clone(&reported), Arc::clone(&calls));
        let is_told = parking_lot::Mutex::new(is_told);
        move || {
            calls.fetch_add(1, Ordering::SeqCst);
            if reported.load(Ordering::SeqCst) == COMMITS {
                // Nobody listens after the first.
                let _ = is_told.lock().send(());
            }
        }
    };
    harness.hold();
    assert!(owner.store.listen_to_reports(Box::new(listener)));
    for _ in 0..COMMITS {
        let reservation = owner.store.reserve(0).unwrap();
        let reported = Arc::clone(&reported);
        let done = move |outcome: Result<(), StoreError>| {
            outcome.unwrap();
            reported.fetch_add(1, Ordering::SeqCst);
        };
        let next = owner.next();
        owner.store.commit(reservation, next.into(), Box::new(done));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    harness.release();
    told.recv_timeout(HEARD_WITHIN).unwrap();
    let calls = calls.load(Ordering::SeqCst);
    assert!(calls < COMMITS / 5, "{calls} calls for {COMMITS} commits");
}

pub(crate) async fn loads_wait_for_what_was_handed_over(harness: impl HeldWriter) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let store = harness.store();
    harness.hold();
    let mut outcomes = Vec::new();
    for number in 0..10 {
        outcomes.push(owner.hand_over(|commit| put(commit, b"a", &[number])));
    }
    let mut load = store.load(entity(1), vec![Part::Rows(RowRange::prefix(*b"a"))]);
    assert!(is_pending(&mut load).await);
    // One that is created meanwhile is loaded behind that, and an unknown one behind everything.
    let mut created = Owner::new(&harness, entity(2));
    let creation = created.hand_over(|_| {});
    let mut load_created = store.load(entity(2), Vec::new());
    let mut load_unknown = store.load(entity(3), Vec::new());
    assert!(is_pending(&mut load_created).await);
    assert!(is_pending(&mut load_unknown).await);
    harness.release();
    let loaded = load.await.unwrap().unwrap();
    assert_eq!(loaded.head.version, 11);
    let newest = vec![(b"a".to_vec(), vec![9])];
    assert_eq!(loaded.parts, [LoadedPart::Rows(newest)]);
    assert!(load_created.await.unwrap().is_some());
    assert!(load_unknown.await.unwrap().is_none());
    for outcome in outcomes.into_iter().chain([creation]) {
        outcome.await.unwrap().unwrap();
    }
}

pub(crate) async fn reads_show_decided_commits_only(harness: impl HeldWriter) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| super::fill(commit, 0)).await;
    let store = harness.store();
    let rows = || store.rows(entity(1), RowRange::default(), Bounds::ALL);
    let before = rows().await.unwrap();
    harness.hold();
    let mut next = owner.next();
    super::fill(&mut next, 1);
    let outcome = hand_over(&*store, next);
    assert_eq!(rows().await.unwrap(), before);
    let glances = store.glances(vec![entity(1)], Vec::new()).await.unwrap();
    let glance = glances[0].as_ref().unwrap();
    assert_eq!(
        (glance.head.version, glance.newest.as_ref().unwrap().0),
        (2, 2)
    );
    let result = store
        .recall(entity(1), super::user(1), "key")
        .await
        .unwrap();
    assert_eq!(result.unwrap().reply, b"commit 0");
    let applied = store.applied(entity(1), entity(5)).await.unwrap();
    assert_eq!(applied.unwrap().version, 1);
    assert_eq!(
        store.undelivered(entity(1), None, 9).await.unwrap().len(),
        2
    );
    harness.release();
    outcome.await.unwrap().unwrap();
    assert_ne!(rows().await.unwrap(), before);
    assert_eq!(
        store.undelivered(entity(1), None, 9).await.unwrap().len(),
        4
    );
}

pub(crate) async fn what_joins_a_commit_shares_its_outcome<H: HeldWriter>() {
    let harness = H::with_room(4, 1_000);
    let store = harness.store();
    let mut owner = Owner::created(&harness, entity(1)).await;
    harness.hold();
    let open = OpenCommit::from(owner.next());
    let (report, outcome) = tokio::sync::oneshot::channel();
    let done = move |result| report.send(result).unwrap();
    let reservation = store.reserve(100).unwrap();
    store.commit(reservation, open.clone(), Box::new(done));
    for number in 0..3 {
        let reservation = store.reserve(100).unwrap();
        let joined = open.join(reservation, |commit| {
            put(commit, &[number], b"joined");
            commit
                .results
                .push(keyed_result(1, &format!("{number}"), &[number]));
        });
        assert!(joined.is_ok());
    }
    // What was added takes room until it is written.
    assert_eq!(store.reserve(0).unwrap_err(), StoreError::Busy);
    harness.release();
    outcome.await.unwrap().unwrap();
    let all: Vec<_> = (0..4).map(|_| store.reserve(250).unwrap()).collect();
    drop(all);
    let late = open.join(store.reserve(1).unwrap(), |commit| {
        put(commit, b"late", b"")
    });
    assert!(late.is_err(), "it is written");
    assert_eq!(owner.head().await.version, 2);
    let rows = store.rows(entity(1), RowRange::default(), Bounds::ALL);
    let keys: Vec<_> = rows
        .await
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, [[0], [1], [2]]);
    for number in 0..3 {
        let result = keyed_result(1, &format!("{number}"), &[number]);
        let found = store.recall(entity(1), result.user, &result.key).await;
        assert_eq!(found.unwrap(), Some(result));
    }
}
