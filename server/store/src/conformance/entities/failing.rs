//! Commits that fail: nobody ever sees them, and nothing rests on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::seen::seen;
use super::{FailingCommits, Owner, commit, entity, fill, load_again, put};
use crate::StoreError;
use crate::entities::{Bounds, Commit, OpenCommit, RowRange};

fn is_unavailable(outcome: &Result<(), StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_)))
}

/// Makes a commit fail while somebody reads without a pause, recovers, and restarts: nobody sees anything of it.
async fn never_seen(mut harness: impl FailingCommits, is_unknown: bool) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| put(commit, b"same", b"before")).await;
    owner.commit(|commit| put(commit, b"gone", b"before")).await;
    let before = seen(&*owner.store).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (store, is_over) = (harness.store(), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let wanted = vec![(entity(1), b"same".to_vec()), (entity(1), b"gone".to_vec())];
                // While the store recovers it may not be there.
                if let Ok(rows) = store.rows_of(wanted).await {
                    assert_eq!(rows, [Some(b"before".to_vec()), Some(b"before".to_vec())]);
                }
                if let Ok(undelivered) = store.undelivered(entity(1), None, 9).await {
                    assert_eq!(undelivered, []);
                }
            }
        })
    };
    // Begun before, finished after.
    let early = harness.store().rows_of(vec![(entity(1), b"same".to_vec())]);
    harness.fail_next(is_unknown);
    let outcome = owner
        .hand_over(|commit| {
            fill(commit, 0);
            commit.ends_at = Some(5);
        })
        .await;
    assert!(is_unavailable(&outcome.unwrap()));
    assert_eq!(early.await.unwrap(), [Some(b"before".to_vec())]);
    harness.recover();
    load_again(&*harness.store(), entity(1)).await;
    is_over.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    assert_eq!(seen(&*harness.store()).await, before);
    harness.restart();
    assert_eq!(seen(&*harness.store()).await, before);
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner.commit(|commit| fill(commit, 0)).await;
}

pub(crate) async fn lost_commits_are_never_seen(harness: impl FailingCommits) {
    never_seen(harness, false).await;
}

pub(crate) async fn unknown_commits_are_never_seen(harness: impl FailingCommits) {
    never_seen(harness, true).await;
}

pub(crate) async fn nothing_rests_on_a_lost_commit(mut harness: impl FailingCommits) {
    for is_unknown in [false, true] {
        let id = u8::from(is_unknown);
        let mut owner = Owner::created(&harness, entity(id)).await;
        let old = owner.fence;
        harness.fail_next(is_unknown);
        // Handed over at once, so that those behind it may already be on their way when it fails.
        let reservations: Vec<_> = (0..10).map(|_| owner.store.reserve(9).unwrap()).collect();
        let mut outcomes = Vec::new();
        for (number, reservation) in (0..).zip(reservations) {
            let mut next = owner.next();
            put(&mut next, &[number], b"lost");
            let (report, outcome) = oneshot::channel();
            let done = move |result| report.send(result).unwrap();
            owner.store.commit(reservation, next.into(), Box::new(done));
            outcomes.push(outcome);
        }
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let outcome = outcome.await.unwrap();
            assert!(outcome.is_err(), "{number}");
            assert!(number > 0 || is_unavailable(&outcome));
        }
        harness.recover();
        let loaded = load_again(&*harness.store(), entity(id)).await.unwrap();
        assert_eq!(loaded.head.version, 1);
        assert_ne!(loaded.fence, old);
        assert_eq!(harness.store().fence(), loaded.fence);
        // What would be right but for its fence, of this entity, another, and a new one.
        let incarnation = owner.incarnation;
        for (id, version) in [(id, 2), (8, 1)] {
            let late = Commit::new(entity(id), old, version, incarnation);
            assert!(commit(&*harness.store(), late).await.is_err());
        }
        assert_eq!(
            harness.store().load(entity(8), Vec::new()).await.unwrap(),
            None
        );
        let next = Commit::new(entity(id), loaded.fence, 2, incarnation);
        assert_eq!(commit(&*harness.store(), next).await, Ok(()));
        harness.restart();
        assert_eq!(Owner::loaded(&harness, entity(id)).await.version, 2);
    }
}

pub(crate) async fn failed_entities_load_again(harness: impl FailingCommits) {
    let store = harness.store();
    let mut versions = [0, 0];
    for round in 0..12_u8 {
        let mut owners = Vec::new();
        for (id, version) in (0..).zip(&mut versions) {
            let loaded = load_again(&*store, entity(id)).await;
            assert_eq!(loaded.map_or(0, |loaded| loaded.head.version), *version);
            let owner = match *version {
                0 => Owner::new(&harness, entity(id)),
                _ => Owner::loaded(&harness, entity(id)).await,
            };
            owners.push(owner);
        }
        for (owner, version) in owners.iter_mut().zip(&mut versions) {
            owner.commit(|commit| put(commit, b"a", &[round])).await;
            *version += 1;
        }
        let reservation = store.reserve(0).unwrap();
        harness.fail_next(round % 3 == 0);
        let failed = owners[0].hand_over(|commit| put(commit, b"a", b"lost"));
        let mut behind = owners[1].next();
        put(&mut behind, b"a", b"behind");
        let (report, outcome) = oneshot::channel();
        let done = move |result| report.send(result).unwrap();
        store.commit(reservation, behind.into(), Box::new(done));
        let outcome = outcome.await.unwrap();
        assert!(outcome.is_err(), "under the fence of the one that failed");
        assert!(is_unavailable(&failed.await.unwrap()));
        harness.recover();
        for id in 0..2 {
            let rows = store.rows_of(vec![(entity(id), b"a".to_vec())]).await;
            assert_eq!(rows.unwrap(), [Some(vec![round])]);
        }
    }
}

pub(crate) async fn what_joined_a_lost_commit_is_lost(harness: impl FailingCommits) {
    for is_unknown in [false, true] {
        let id = u8::from(is_unknown);
        let mut owner = Owner::created(&harness, entity(id)).await;
        let reservations: Vec<_> = (0..10).map(|_| owner.store.reserve(9).unwrap()).collect();
        harness.fail_next(is_unknown);
        let (report, outcome) = oneshot::channel();
        let done = move |result| report.send(result).unwrap();
        let open = OpenCommit::from(owner.next());
        let mut reservations = reservations.into_iter();
        let first = reservations.next().unwrap();
        owner.store.commit(first, open.clone(), Box::new(done));
        for (number, reservation) in (0..).zip(reservations) {
            // How many come in time does not matter.
            drop(open.join(reservation, |commit| put(commit, &[number], b"lost")));
        }
        assert!(is_unavailable(&outcome.await.unwrap()));
        harness.recover();
        let loaded = load_again(&*harness.store(), entity(id)).await.unwrap();
        assert_eq!(loaded.head.version, 1);
        let rows = harness
            .store()
            .rows(entity(id), RowRange::default(), Bounds::ALL);
        assert_eq!(rows.await.unwrap(), []);
    }
}
