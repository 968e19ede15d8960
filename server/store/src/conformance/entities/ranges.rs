//! Ranges of keys, each compared with looking at every key.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Harness, Owner, entity, put};
use crate::StoreError;
use crate::entities::{Bounds, Entities, List, LoadedPart, Part, Row, RowKey, RowRange, TakeRow};

/// Keys at every edge: prefixes of each other, the least and greatest bytes, the shortest and longest.
fn keys() -> Vec<RowKey> {
    let mut keys: Vec<RowKey> = [
        b"\x00".as_slice(),
        b"\x00\x00",
        b"\x00\xff",
        b"\x01",
        b"a",
        b"a\x00",
        b"a\x00\x00",
        b"ab",
        b"ab\xff",
        b"ab\xff\xff",
        b"ac",
        b"b",
        b"\xfe\xff",
        b"\xff",
        b"\xff\x00",
        b"\xff\xff",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    keys.extend([vec![0; 200], vec![b'a'; 200], vec![0xff; 200]]);
    keys.sort();
    keys
}

/// Ranges with these prefixes and every pair of bounds among the keys and what lies between them.
fn ranges() -> Vec<RowRange> {
    let prefixes = [
        b"".as_slice(),
        b"\x00",
        b"a",
        b"ab",
        b"ab\xff",
        b"ab\xff\xff",
        b"b",
        b"c",
        b"\xff",
        b"\xff\xff",
    ];
    let mut bounds: Vec<Option<RowKey>> = keys().into_iter().map(Some).collect();
    bounds.extend([
        None,
        Some(Vec::new()),
        Some(b"aa".to_vec()),
        Some(vec![0xff; 201]),
    ]);
    let mut ranges = Vec::new();
    for prefix in prefixes {
        for after in &bounds {
            for before in &bounds {
                ranges.push(RowRange {
                    prefix: prefix.to_vec(),
                    after: after.clone(),
                    before: before.clone(),
                });
            }
        }
    }
    ranges
}

fn row_of(key: &RowKey) -> Row {
    (key.clone(), [b"row of ", key.as_slice()].concat())
}

/// What lies in the range, by its definition.
fn expected(range: &RowRange) -> Vec<Row> {
    keys()
        .iter()
        .filter(|key| key.starts_with(&range.prefix))
        .filter(|key| range.after.as_ref().is_none_or(|after| *key > after))
        .filter(|key| range.before.as_ref().is_none_or(|before| *key < before))
        .map(row_of)
        .collect()
}

/// Entities and lists on both sides, so that what leaves the range is seen.
async fn filled(harness: &impl Harness) {
    for id in [0, 1, 2] {
        let mut owner = Owner::new(harness, entity(id));
        owner
            .commit(|commit| {
                for key in keys() {
                    let (key, row) = row_of(&key);
                    put(commit, &key, &row);
                    commit.lists.push((List(id), key, Some(row)));
                }
            })
            .await;
    }
}

pub(crate) async fn rows_come_in_ranges(harness: impl Harness) {
    filled(&harness).await;
    let store = harness.store();
    for range in ranges() {
        let found = store.rows(entity(1), range.clone(), Bounds::ALL).await;
        assert_eq!(found.unwrap(), expected(&range), "{range:?}");
        let found = store.rows(entity(1), range.clone(), Bounds::rows(2)).await;
        let two: Vec<Row> = expected(&range).into_iter().take(2).collect();
        assert_eq!(found.unwrap(), two, "{range:?}");
    }
}

/// All rows of a range, shown so many at a time.
async fn shown(store: &Arc<dyn Entities>, range: &RowRange, rows: usize) -> Vec<Row> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let mut range = range.clone();
    loop {
        let (before, taken) = (found.lock().len(), Arc::clone(&found));
        let take: TakeRow = Box::new(move |key, row| {
            taken.lock().push((key.to_vec(), row.to_vec()));
            Ok(())
        });
        let on = store.show(entity(1), range.clone(), rows, take).await;
        assert!(found.lock().len() - before <= rows);
        match on.unwrap() {
            None => return std::mem::take(&mut found.lock()),
            on => range = range.after(on),
        }
    }
}

pub(crate) async fn rows_are_shown_in_ranges(harness: impl Harness) {
    filled(&harness).await;
    let store = harness.store();
    for range in ranges() {
        for rows in [1, 3, 1_000] {
            let found = shown(&store, &range, rows).await;
            assert_eq!(found, expected(&range), "{range:?}");
        }
    }
    let nothing: TakeRow = Box::new(|key, _| panic!("nobody has put {key:?}"));
    let on = store.show(entity(7), RowRange::default(), 10, nothing);
    assert_eq!(on.await, Ok(None));
    let mut calls = 0;
    let refused: TakeRow = Box::new(move |_, _| {
        calls += 1;
        Err(StoreError::damaged(format!("row {calls}")))
    });
    let ended = store.show(entity(1), RowRange::default(), 10, refused);
    assert_eq!(ended.await, Err(StoreError::damaged("row 1")));
}

pub(crate) async fn lists_come_in_ranges(harness: impl Harness) {
    filled(&harness).await;
    let store = harness.store();
    for range in ranges() {
        let found = store.list(List(1), range.clone(), Bounds::ALL).await;
        assert_eq!(found.unwrap(), expected(&range), "{range:?}");
        let found = store.list(List(1), range.clone(), Bounds::rows(2)).await;
        let two: Vec<Row> = expected(&range).into_iter().take(2).collect();
        assert_eq!(found.unwrap(), two, "{range:?}");
    }
}

pub(crate) async fn parts_are_loaded_in_ranges(harness: impl Harness) {
    filled(&harness).await;
    let store = harness.store();
    for some in ranges().chunks(100) {
        let parts = some.iter().cloned().map(Part::Rows).collect();
        let loaded = store.load(entity(1), parts).await.unwrap().unwrap();
        let expected: Vec<_> = some
            .iter()
            .map(|range| LoadedPart::Rows(expected(range)))
            .collect();
        assert_eq!(loaded.parts, expected);
    }
}

pub(crate) async fn ranges_are_removed(mut harness: impl Harness) {
    filled(&harness).await;
    let all = expected(&RowRange::default());
    // Every tenth: each costs a commit.
    for (turn, range) in ranges().into_iter().enumerate().skip(3).step_by(10) {
        let store = harness.store();
        store.remove(entity(1), range.clone()).await.unwrap();
        let removed = expected(&range);
        let kept: Vec<Row> = all
            .iter()
            .filter(|row| !removed.contains(row))
            .cloned()
            .collect();
        let rows = |id| store.rows(entity(id), RowRange::default(), Bounds::ALL);
        assert_eq!(rows(1).await.unwrap(), kept, "{range:?}");
        assert_eq!(rows(0).await.unwrap(), all, "{range:?}");
        assert_eq!(rows(2).await.unwrap(), all, "{range:?}");
        if turn % 1_000 == 3 {
            harness.restart();
            let rows = harness
                .store()
                .rows(entity(1), RowRange::default(), Bounds::ALL);
            assert_eq!(rows.await.unwrap(), kept, "{range:?}");
        }
        if !removed.is_empty() {
            let mut owner = Owner::loaded(&harness, entity(1)).await;
            owner
                .commit(|commit| {
                    for (key, row) in &removed {
                        put(commit, key, row);
                    }
                })
                .await;
        }
    }
}
