//! Signals on their way, and what was applied.

use super::{Harness, Owner, entity};
use crate::entities::{Applied, Commit, Entities, EntityId, PAGE_ROWS_MAX, Signal, Undelivered};

fn signal(to: u8, body: &str) -> Signal {
    Signal {
        to: entity(to),
        body: body.as_bytes().to_vec(),
    }
}

/// Puts so many signals into a commit, each with the commit's version and its place as body.
fn tell(commit: &mut Commit, count: u16) {
    let version = commit.version;
    let signals = (0..count).map(|index| signal(9, &format!("{version} {index}")));
    commit.signals.extend(signals);
}

fn undelivered(version: u64, index: u16) -> Undelivered {
    Undelivered {
        version,
        index,
        signal: signal(9, &format!("{version} {index}")),
    }
}

async fn places(store: &dyn Entities, entity: EntityId) -> Vec<(u64, u16)> {
    let undelivered = store.undelivered(entity, None, usize::MAX).await.unwrap();
    undelivered
        .iter()
        .map(|signal| (signal.version, signal.index))
        .collect()
}

pub(crate) async fn signals_wait_in_order(mut harness: impl Harness) {
    let store = harness.store();
    assert_eq!(store.undelivered(entity(1), None, 9).await.unwrap(), []);
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| tell(commit, 2)).await;
    for _ in 0..254 {
        owner.commit(|_| {}).await;
    }
    owner.commit(|commit| tell(commit, 300)).await;
    owner.commit(|commit| tell(commit, 1)).await;
    let mut neighbour = Owner::created(&harness, entity(2)).await;
    neighbour.commit(|commit| tell(commit, 1)).await;
    let mut expected = vec![undelivered(2, 0), undelivered(2, 1)];
    expected.extend((0..300).map(|index| undelivered(257, index)));
    expected.push(undelivered(258, 0));
    let loaded = store.load(entity(1), Vec::new()).await.unwrap().unwrap();
    assert_eq!(loaded.undelivered, expected);
    for _ in 0..2 {
        let store = harness.store();
        for limit in [0, 1, 2, 5, 303, 304] {
            let some = store.undelivered(entity(1), None, limit).await.unwrap();
            assert_eq!(some, expected[..limit.min(expected.len())], "{limit}");
        }
        for after in [
            (0, 0),
            (2, 0),
            (2, 1),
            (3, 0),
            (257, 4),
            (258, 0),
            (u64::MAX, u16::MAX),
        ] {
            let behind = expected.iter().filter(|it| (it.version, it.index) > after);
            let behind: Vec<_> = behind.take(7).cloned().collect();
            let some = store.undelivered(entity(1), Some(after), 7).await.unwrap();
            assert_eq!(some, behind, "{after:?}");
        }
        let of_neighbour = store.undelivered(entity(2), None, 9).await.unwrap();
        assert_eq!(of_neighbour, [undelivered(2, 0)]);
        harness.restart();
    }
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner.commit(|commit| tell(commit, 1_200)).await;
    let page = harness
        .store()
        .undelivered(entity(1), None, usize::MAX)
        .await;
    assert_eq!(page.unwrap().len(), PAGE_ROWS_MAX);
    let too_many = usize::from(u16::MAX) + 2;
    owner
        .refused(|commit| commit.signals = vec![signal(9, ""); too_many])
        .await;
}

pub(crate) async fn signals_are_delivered_in_any_order(mut harness: impl Harness) {
    for id in [1, 2] {
        let mut owner = Owner::created(&harness, entity(id)).await;
        owner.commit(|commit| tell(commit, 3)).await;
        owner.commit(|commit| tell(commit, 2)).await;
    }
    let all = [(2, 0), (2, 1), (2, 2), (3, 0), (3, 1)];
    let mut left = all.to_vec();
    let steps: [&[(u64, u16)]; 7] = [
        &[(3, 0), (2, 1)],
        &[(2, 1)],
        &[],
        &[(2, 3), (4, 0), (1, 0), (u64::MAX, u16::MAX)],
        &[(2, 0), (2, 0), (3, 0)],
        &[(3, 1)],
        &[(2, 2)],
    ];
    for step in steps {
        let store = harness.store();
        store.delivered(entity(1), step.to_vec()).await.unwrap();
        left.retain(|place| !step.contains(place));
        assert_eq!(places(&*store, entity(1)).await, left);
        assert_eq!(places(&*store, entity(2)).await, all);
        harness.restart();
        assert_eq!(places(&*harness.store(), entity(1)).await, left);
    }
    let store = harness.store();
    store.delivered(entity(1), all.to_vec()).await.unwrap();
    store.delivered(entity(7), all.to_vec()).await.unwrap();
    assert_eq!(store.senders(None, 9).await.unwrap(), [entity(2)]);
    // The versions go on, and are told anew.
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner.commit(|commit| tell(commit, 1)).await;
    assert_eq!(places(&*harness.store(), entity(1)).await, [(4, 0)]);
}

pub(crate) async fn senders_come_in_pages(mut harness: impl Harness) {
    let ids = [3, 9, 0, 255, 17, 4];
    for id in ids {
        let mut owner = Owner::created(&harness, entity(id)).await;
        owner.commit(|commit| tell(commit, 5)).await;
        owner.commit(|commit| tell(commit, 1)).await;
    }
    let silent = Owner::created(&harness, entity(5)).await;
    for _ in 0..2 {
        let store = harness.store();
        let mut expected = ids.map(entity);
        expected.sort_unstable();
        assert_eq!(store.senders(None, usize::MAX).await.unwrap(), expected);
        assert_eq!(store.senders(None, 0).await.unwrap(), []);
        for (limit, after) in [
            (1, None),
            (4, None),
            (2, Some(3)),
            (9, Some(9)),
            (9, Some(255)),
        ] {
            let after = after.map(entity);
            let page = store.senders(after, limit).await.unwrap();
            let behind = expected.iter().copied().filter(|id| Some(*id) > after);
            assert_eq!(page, behind.take(limit).collect::<Vec<_>>());
        }
        // Behind one that is no sender, too.
        let page = store.senders(Some(silent.entity), 1).await.unwrap();
        assert_eq!(page, [entity(9)]);
        harness.restart();
    }
    let store = harness.store();
    let all = places(&*store, entity(4)).await;
    store.delivered(entity(4), all[1..].to_vec()).await.unwrap();
    assert_eq!(
        store.senders(Some(entity(3)), 1).await.unwrap(),
        [entity(4)]
    );
    store.delivered(entity(4), all[..1].to_vec()).await.unwrap();
    assert_eq!(
        store.senders(Some(entity(3)), 1).await.unwrap(),
        [entity(9)]
    );
}

pub(crate) async fn the_highest_applied_version_counts(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let applied = |from: u8, incarnation, version| Applied {
        from: entity(from),
        incarnation,
        version,
    };
    for (given, stored) in [
        (applied(2, 10, 5), applied(2, 10, 5)),
        (applied(2, 10, 9), applied(2, 10, 9)),
        (applied(2, 10, 9), applied(2, 10, 9)),
        (applied(2, 10, 7), applied(2, 10, 9)),
        (applied(2, 3, 1), applied(2, 3, 1)),
        (applied(2, 3, 2), applied(2, 3, 2)),
        (applied(2, 10, 1), applied(2, 10, 1)),
        (applied(3, 1, 1), applied(3, 1, 1)),
        // Itself, too.
        (applied(1, 1, u64::MAX), applied(1, 1, u64::MAX)),
    ] {
        owner.commit(|commit| commit.applied = Some(given)).await;
        let found = owner.store.applied(entity(1), given.from).await.unwrap();
        assert_eq!(found, Some(stored), "{given:?}");
    }
    for _ in 0..2 {
        let store = harness.store();
        for (target, from, expected) in [
            (1, 2, Some(applied(2, 10, 1))),
            (1, 3, Some(applied(3, 1, 1))),
            (1, 4, None),
            (2, 1, None),
            (2, 3, None),
        ] {
            let found = store.applied(entity(target), entity(from)).await.unwrap();
            assert_eq!(found, expected, "{target} of {from}");
        }
        harness.restart();
    }
}
