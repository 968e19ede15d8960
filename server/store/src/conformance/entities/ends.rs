//! The end of an entity, what outlives it, and results of keyed calls.

use pitturu_protocol::ids::UserId;

use super::super::user;
use super::seen::seen;
use super::{
    Harness, Owner, append, commit, entity, fill, hand_over, is_conflict, keyed_result, put,
};
use crate::entities::{
    Applied, Bounds, Commit, Entities, EntityId, KeyedResult, Kind, List, LoadedPart, Part, Row,
    RowRange, Signal, Span,
};

/// When entities end here, in milliseconds since 1970.
const ENDED_AT: u64 = 1_700_000_000_000;

const TWO_DAYS_MS: u64 = 48 * 60 * 60 * 1_000;

async fn sweep_all(store: &dyn Entities, now: u64) {
    let mut steps = 0;
    while store.sweep(now).await.unwrap() {
        steps += 1;
        assert!(steps < 10_000, "there is always more to do");
    }
}

/// What anyone can read of rows and streams.
async fn contents(store: &dyn Entities, number: u8) -> (Vec<Row>, Vec<(u64, Vec<u8>)>) {
    let rows = store.rows(entity(number), RowRange::default(), Bounds::ALL);
    let mut entries = Vec::new();
    for stream in [0, 1] {
        for span in [Span::After(0), Span::Before(u64::MAX)] {
            let some = store.entries(entity(number), stream, span, Bounds::ALL);
            entries.extend(some.await.unwrap());
        }
    }
    (rows.await.unwrap(), entries)
}

pub(crate) async fn ended_entities_show_nothing(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| fill(commit, 0)).await;
    let mut neighbour = Owner::created(&harness, entity(2)).await;
    neighbour.commit(|commit| fill(commit, 0)).await;
    let of_neighbour = contents(&*harness.store(), 2).await;
    owner
        .commit(|commit| {
            // What its last commit brings besides is gone too.
            put(commit, b"last", b"words");
            append(commit, 0, 3..4, "last words");
            commit
                .lists
                .push((List(1), b"last".to_vec(), Some(b"row".to_vec())));
            commit.ends_at = Some(ENDED_AT);
        })
        .await;
    for turn in 0..3 {
        let store = harness.store();
        assert_eq!(contents(&*store, 1).await, (Vec::new(), Vec::new()));
        let parts = vec![
            Part::Newest(0, Bounds::ALL),
            Part::Rows(RowRange::default()),
            Part::Newest(1, Bounds::rows(1)),
        ];
        let loaded = store.load(entity(1), parts).await.unwrap().unwrap();
        assert_eq!(loaded.head.ended_at, Some(ENDED_AT));
        assert_eq!((loaded.head.version, loaded.head.streams[0].head), (3, 3));
        let empty = [
            LoadedPart::Newest(Vec::new()),
            LoadedPart::Rows(Vec::new()),
            LoadedPart::Newest(Vec::new()),
        ];
        assert_eq!(loaded.parts, empty);
        let glances = store.glances(vec![entity(1)], vec![b"same".to_vec()]).await;
        assert_eq!(glances.unwrap(), [None]);
        let wanted = vec![(entity(1), b"same".to_vec())];
        assert_eq!(store.rows_of(wanted).await.unwrap(), [None]);
        assert_eq!(store.applied(entity(1), entity(5)).await.unwrap(), None);
        // Rows of lists are values of their own: only commits change them.
        let listed = store.list(List(1), RowRange::default(), Bounds::ALL).await;
        assert_eq!(listed.unwrap().len(), 3);
        assert_eq!(contents(&*store, 2).await, of_neighbour);
        match turn {
            0 => harness.restart(),
            _ => sweep_all(&*store, ENDED_AT).await,
        }
    }
}

pub(crate) async fn ended_entities_take_no_commits(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| fill(commit, 0)).await;
    // What is already on its way when the end comes is refused as well.
    let end = owner.hand_over(|commit| commit.ends_at = Some(ENDED_AT));
    let behind = owner.hand_over(|commit| put(commit, b"a", b"late"));
    assert_eq!(end.await.unwrap(), Ok(()));
    assert!(is_conflict(&behind.await.unwrap()));
    let mut at_once = Owner::new(&harness, entity(2));
    at_once
        .commit(|commit| commit.ends_at = Some(ENDED_AT))
        .await;
    let before = seen(&*harness.store()).await;
    for turn in 0..3 {
        let store = harness.store();
        for (id, version, incarnation) in
            [(1, 4, owner.incarnation), (1, 1, 5), (2, 1, 5), (2, 2, 5)]
        {
            let mut next = Commit::new(entity(id), store.fence(), version, incarnation);
            fill(&mut next, 1);
            let outcome = commit(&*store, next).await;
            assert!(is_conflict(&outcome), "{id}, {version}: {outcome:?}");
        }
        assert_eq!(seen(&*store).await, before);
        match turn {
            0 => harness.restart(),
            _ => sweep_all(&*store, ENDED_AT + TWO_DAYS_MS).await,
        }
    }
}

pub(crate) async fn ended_entities_are_swept_in_steps(mut harness: impl Harness) {
    let (mut neighbours, mut owner) = (Vec::new(), Owner::created(&harness, entity(1)).await);
    for id in [0, 2] {
        let mut neighbour = Owner::created(&harness, entity(id)).await;
        neighbour.commit(|commit| fill(commit, 0)).await;
        neighbours.push(contents(&*harness.store(), id).await);
    }
    owner
        .commit(|commit| {
            for number in 0..3_000_u16 {
                put(commit, &number.to_be_bytes(), b"");
            }
            append(commit, 0, 1..1_201, "");
            append(commit, 1, 1..1_201, "");
        })
        .await;
    owner.commit(|commit| commit.ends_at = Some(ENDED_AT)).await;
    let mut steps = 0;
    while harness.store().sweep(ENDED_AT).await.unwrap() {
        steps += 1;
        if steps % 3 == 0 {
            harness.restart();
        }
        let mut neighbour = Owner::loaded(&harness, entity(0)).await;
        neighbour.commit(|_| {}).await;
    }
    assert!(steps > 2, "5,400 rows went in {steps} steps");
    let store = harness.store();
    assert!(!store.sweep(ENDED_AT).await.unwrap());
    assert_eq!(contents(&*store, 0).await, neighbours[0]);
    assert_eq!(contents(&*store, 2).await, neighbours[1]);
    let loaded = store.load(entity(1), Vec::new()).await.unwrap().unwrap();
    assert_eq!(loaded.head.ended_at, Some(ENDED_AT));
}

pub(crate) async fn ended_entities_are_known_for_two_days(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner
        .commit(|commit| {
            fill(commit, 0);
            commit.signals.clear();
        })
        .await;
    owner.commit(|commit| commit.ends_at = Some(ENDED_AT)).await;
    let mut later = Owner::created(&harness, entity(2)).await;
    later
        .commit(|commit| commit.ends_at = Some(ENDED_AT + 1))
        .await;
    let is_known = async |harness: &dyn Fn() -> std::sync::Arc<dyn Entities>, id| {
        let loaded = harness().load(entity(id), Vec::new()).await;
        loaded.unwrap().is_some()
    };
    for now in [0, ENDED_AT, ENDED_AT + TWO_DAYS_MS] {
        sweep_all(&*harness.store(), now).await;
        assert!(is_known(&|| harness.store(), 1).await, "{now}");
        harness.restart();
        assert!(is_known(&|| harness.store(), 1).await, "{now}");
    }
    sweep_all(&*harness.store(), ENDED_AT + TWO_DAYS_MS + 1).await;
    for _ in 0..2 {
        assert!(!is_known(&|| harness.store(), 1).await);
        assert!(is_known(&|| harness.store(), 2).await);
        harness.restart();
    }
    // Anew, with nothing of the one before.
    let mut anew = Owner::new(&harness, entity(1));
    anew.incarnation = 77;
    anew.refused(|commit| commit.version = 4).await;
    anew.commit(|_| {}).await;
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(contents(&*store, 1).await, (Vec::new(), Vec::new()));
        assert_eq!(store.applied(entity(1), entity(5)).await.unwrap(), None);
        let head = Owner::loaded(&harness, entity(1)).await.head().await;
        assert_eq!((head.version, head.incarnation), (1, 77));
        assert_eq!((head.ended_at, head.streams[0].head), (None, 0));
        harness.restart();
    }
    let mut anew = Owner::loaded(&harness, entity(1)).await;
    anew.commit(|commit| append(commit, 0, 1..2, "anew")).await;
    assert_eq!(contents(&*harness.store(), 1).await.1.len(), 2);
}

pub(crate) async fn ended_entities_wait_for_their_signals(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let signal = |body: &[u8]| Signal {
        to: entity(2),
        body: body.to_vec(),
    };
    owner
        .commit(|commit| commit.signals = vec![signal(b"first")])
        .await;
    owner
        .commit(|commit| {
            commit.signals = vec![signal(b"second"), signal(b"last")];
            commit.ends_at = Some(ENDED_AT);
        })
        .await;
    let mut now = ENDED_AT;
    for left in [3, 2, 1] {
        now += 2 * TWO_DAYS_MS;
        sweep_all(&*harness.store(), now).await;
        harness.restart();
        let store = harness.store();
        let loaded = store.load(entity(1), Vec::new()).await.unwrap().unwrap();
        assert_eq!(loaded.head.ended_at, Some(ENDED_AT));
        assert_eq!(store.senders(None, 9).await.unwrap(), [entity(1)]);
        let undelivered = store.undelivered(entity(1), None, 9).await.unwrap();
        assert_eq!(undelivered.len(), left);
        assert_eq!(undelivered[left - 1].signal, signal(b"last"));
        let first = (undelivered[0].version, undelivered[0].index);
        store.delivered(entity(1), vec![first]).await.unwrap();
    }
    let store = harness.store();
    sweep_all(&*store, now + TWO_DAYS_MS).await;
    assert_eq!(store.load(entity(1), Vec::new()).await.unwrap(), None);
    assert_eq!(store.senders(None, 9).await.unwrap(), []);
}

pub(crate) async fn those_who_wait_for_their_signals_hold_nobody_up(harness: impl Harness) {
    const WAITING: u16 = 1_100;
    let store = harness.store();
    let id = |number: u16| {
        let mut id = [0; 10];
        id[..2].copy_from_slice(&number.to_be_bytes());
        EntityId::new(Kind(1), id)
    };
    let mut outcomes = Vec::new();
    for number in 0..=WAITING {
        let mut all = Commit::new(id(number), store.fence(), 1, 1);
        all.ends_at = Some(ENDED_AT);
        if number < WAITING {
            let body = Vec::new();
            all.signals.push(Signal {
                to: entity(1),
                body,
            });
        }
        outcomes.push(hand_over(&*store, all));
    }
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
    sweep_all(&*store, ENDED_AT + TWO_DAYS_MS + 1).await;
    for (number, is_known) in [(0, true), (WAITING - 1, true), (WAITING, false)] {
        let loaded = store.load(id(number), Vec::new()).await.unwrap();
        assert_eq!(loaded.is_some(), is_known, "{number}");
    }
}

pub(crate) async fn results_belong_to_entity_player_and_key(mut harness: impl Harness) {
    let longest = "x".repeat(64);
    let places = [
        (1, 1, "a"),
        (2, 1, "a"),
        (1, 2, "a"),
        (1, 1, "ab"),
        (1, 1, &longest),
        (1, 1, &longest[1..]),
        (1, 1, "é"),
    ];
    for (number, (id, who, key)) in (0..).zip(places) {
        let mut owner = match harness.store().load(entity(id), Vec::new()).await.unwrap() {
            Some(_) => Owner::loaded(&harness, entity(id)).await,
            None => Owner::created(&harness, entity(id)).await,
        };
        for text in ["replaced", "kept"] {
            let reply = format!("{number} {text}").into_bytes();
            owner
                .commit(|commit| commit.results = vec![keyed_result(who, key, &reply)])
                .await;
        }
    }
    for _ in 0..2 {
        let store = harness.store();
        for (number, (id, who, key)) in (0..).zip(places) {
            let result = store.recall(entity(id), user(who), key).await.unwrap();
            let reply = format!("{number} kept").into_bytes();
            assert_eq!(result, Some(keyed_result(who, key, &reply)));
        }
        for (id, who, key) in [
            (3, 1, "a"),
            (2, 2, "a"),
            (2, 1, "ab"),
            (1, 1, "b"),
            (1, 1, ""),
        ] {
            assert_eq!(
                store.recall(entity(id), user(who), key).await.unwrap(),
                None
            );
        }
        harness.restart();
    }
}

async fn recalled(store: &dyn Entities, who: UserId) -> Option<KeyedResult> {
    store.recall(entity(1), who, "key").await.unwrap()
}

pub(crate) async fn results_outlive_their_entity(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let (before, at_end) = (
        keyed_result(1, "key", b"before"),
        keyed_result(2, "key", b"end"),
    );
    owner
        .commit(|commit| commit.results = vec![before.clone()])
        .await;
    owner
        .commit(|commit| {
            commit.results = vec![at_end.clone()];
            commit.applied = Some(Applied {
                from: entity(2),
                incarnation: 1,
                version: 1,
            });
            commit.ends_at = Some(ENDED_AT);
        })
        .await;
    for now in [ENDED_AT, ENDED_AT + TWO_DAYS_MS + 1] {
        let store = harness.store();
        assert_eq!(recalled(&*store, user(1)).await.as_ref(), Some(&before));
        assert_eq!(recalled(&*store, user(2)).await.as_ref(), Some(&at_end));
        sweep_all(&*store, now).await;
        harness.restart();
    }
    let mut anew = Owner::new(&harness, entity(1));
    anew.incarnation = 77;
    anew.commit(|_| {}).await;
    assert_eq!(recalled(&*harness.store(), user(1)).await, Some(before));
    assert_eq!(recalled(&*harness.store(), user(2)).await, Some(at_end));
}
