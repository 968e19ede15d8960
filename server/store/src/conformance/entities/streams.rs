//! Streams: dense numbers, replacement, retention, pages both ways.

use super::{Harness, Owner, append, entity, numbered};
use crate::entities::{
    Bounds, EntityId, LoadedPart, Numbered, PAGE_ROWS_MAX, Part, Span, StreamHead,
};

const FROM_BEGINNING: Span = Span::After(0);
const FROM_END: Span = Span::Before(u64::MAX);

async fn entries(harness: &impl Harness, stream: u8, span: Span, bounds: Bounds) -> Vec<Numbered> {
    let reading = harness.store().entries(entity(1), stream, span, bounds);
    reading.await.unwrap()
}

async fn all(harness: &impl Harness, entity: EntityId, stream: u8) -> Vec<Numbered> {
    let bounds = Bounds::rows(PAGE_ROWS_MAX);
    let store = harness.store();
    let forwards = store.entries(entity, stream, FROM_BEGINNING, bounds);
    let forwards = forwards.await.unwrap();
    let backwards = store.entries(entity, stream, FROM_END, bounds);
    assert_eq!(backwards.await.unwrap(), forwards);
    let parts = vec![Part::Newest(stream, Bounds::ALL)];
    let loaded = store.load(entity, parts).await.unwrap().unwrap();
    assert_eq!(loaded.parts, [LoadedPart::Newest(forwards.clone())]);
    forwards
}

fn rows(numbers: impl Iterator<Item = u64>, text: &str) -> Vec<Numbered> {
    numbers
        .map(|number| (number, numbered(number, text)))
        .collect()
}

fn numbers(entries: &[Numbered]) -> Vec<u64> {
    entries.iter().map(|(number, _)| *number).collect()
}

pub(crate) async fn entries_are_dense(mut harness: impl Harness) {
    let mut owner = Owner::new(&harness, entity(1));
    // With the first commit too.
    owner.refused(|commit| append(commit, 0, 2..3, "")).await;
    owner.commit(|commit| append(commit, 0, 1..3, "")).await;
    owner.commit(|commit| append(commit, 0, 3..4, "")).await;
    for gap in [5, 6, 1_000, u64::MAX] {
        owner
            .refused(|commit| append(commit, 0, gap..=gap, ""))
            .await;
    }
    owner.commit(|commit| append(commit, 0, 4..6, "")).await;
    for _ in 0..2 {
        assert_eq!(all(&harness, entity(1), 0).await, rows(1..6, ""));
        assert_eq!(all(&harness, entity(1), 1).await, []);
        let owner = Owner::loaded(&harness, entity(1)).await;
        let streams = owner.head().await.streams;
        let expected = [(5, 1), (0, 1)].map(|(head, first)| StreamHead { head, first });
        assert_eq!((owner.version, streams), (3, expected));
        harness.restart();
    }
}

pub(crate) async fn kept_entries_are_replaced(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| append(commit, 0, 1..6, "a")).await;
    owner.commit(|commit| append(commit, 0, 3..4, "b")).await;
    // The newest too, and one that comes with the same commit.
    owner.commit(|commit| append(commit, 0, 5..6, "c")).await;
    owner
        .commit(|commit| {
            append(commit, 0, 6..8, "d");
            append(commit, 0, 6..7, "e");
        })
        .await;
    let mut expected = rows(1..8, "a");
    for (number, text) in [(3, "b"), (5, "c"), (6, "e"), (7, "d")] {
        expected[number - 1].1 = numbered(u64::try_from(number).unwrap(), text);
    }
    for _ in 0..2 {
        assert_eq!(all(&harness, entity(1), 0).await, expected);
        let head = Owner::loaded(&harness, entity(1)).await.head().await;
        assert_eq!((head.version, head.streams[0].head), (5, 7));
        harness.restart();
    }
}

pub(crate) async fn single_entries_leave_holes(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| append(commit, 0, 1..8, "a")).await;
    // The newest, one in the middle, one that comes with the commit, and ones that there are not.
    owner
        .commit(|commit| {
            append(commit, 0, 8..10, "a");
            commit.dropped = vec![(0, 3), (0, 9), (0, 99), (1, 1)];
        })
        .await;
    owner.commit(|commit| append(commit, 0, 10..11, "a")).await;
    owner.commit(|commit| commit.dropped.push((0, 10))).await;
    owner.refused(|commit| commit.dropped.push((2, 1))).await;
    let kept = rows([1, 2, 4, 5, 6, 7, 8].into_iter(), "a");
    for _ in 0..2 {
        assert_eq!(all(&harness, entity(1), 0).await, kept);
        let head = Owner::loaded(&harness, entity(1)).await.head().await;
        assert_eq!(head.version, 5);
        assert_eq!(head.streams[0], StreamHead { head: 10, first: 1 });
        let before = entries(&harness, 0, Span::Before(5), Bounds::rows(2)).await;
        assert_eq!(numbers(&before), [2, 4]);
        harness.restart();
    }
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner.commit(|commit| append(commit, 0, 11..12, "a")).await;
    assert_eq!(all(&harness, entity(1), 0).await.len(), 8);
}

pub(crate) async fn dropped_entries_are_gone(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| append(commit, 0, 1..8, "a")).await;
    owner.commit(|commit| commit.firsts.push((0, 4))).await;
    assert_eq!(all(&harness, entity(1), 0).await, rows(4..8, "a"));
    // One before the first is dropped, not refused; what else the commit has counts.
    owner
        .commit(|commit| {
            append(commit, 0, 3..4, "late");
            append(commit, 0, 0..1, "late");
            append(commit, 0, 8..9, "a");
        })
        .await;
    for _ in 0..2 {
        assert_eq!(all(&harness, entity(1), 0).await, rows(4..9, "a"));
        let streams = Owner::loaded(&harness, entity(1))
            .await
            .head()
            .await
            .streams;
        assert_eq!(streams[0], StreamHead { head: 8, first: 4 });
        let before_first = entries(&harness, 0, Span::Before(4), Bounds::rows(9)).await;
        assert_eq!(before_first, []);
        let from_first = entries(&harness, 0, Span::After(2), Bounds::rows(1)).await;
        assert_eq!(numbers(&from_first), [4]);
        harness.restart();
    }
}

pub(crate) async fn bounds_of_streams_only_rise(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner.commit(|commit| append(commit, 1, 1..10, "")).await;
    for (bound, first) in [(0, 1), (1, 1), (5, 5), (3, 5), (5, 5), (9, 9), (8, 9)] {
        owner.commit(|commit| commit.firsts.push((1, bound))).await;
        assert_eq!(all(&harness, entity(1), 1).await, rows(first..10, ""));
    }
    for (bound, head) in [(10, 9), (u64::MAX, 9), (2, 9), (1_000, 9)] {
        owner.commit(|commit| commit.firsts.push((1, bound))).await;
        assert_eq!(all(&harness, entity(1), 1).await, []);
        let stream = owner.head().await.streams[1];
        assert_eq!((stream.head, stream.first), (head, head + 1));
    }
    // It goes on where it was. Bounds are those behind the entries of their commit.
    owner.commit(|commit| append(commit, 1, 10..13, "")).await;
    assert_eq!(all(&harness, entity(1), 1).await, rows(10..13, ""));
    owner
        .commit(|commit| {
            append(commit, 1, 13..15, "");
            commit.firsts.push((1, 14));
            commit.firsts.push((1, 12));
        })
        .await;
    assert_eq!(all(&harness, entity(1), 1).await, rows(14..15, ""));
    owner
        .commit(|commit| {
            append(commit, 1, 15..16, "");
            commit.firsts.push((1, u64::MAX));
        })
        .await;
    for _ in 0..2 {
        assert_eq!(all(&harness, entity(1), 1).await, []);
        let stream = Owner::loaded(&harness, entity(1))
            .await
            .head()
            .await
            .streams[1];
        assert_eq!((stream.head, stream.first), (15, 16));
        harness.restart();
    }
}

pub(crate) async fn trimmed_streams_stay_where_they_were(mut harness: impl Harness) {
    harness.store().trim(entity(1)).await.unwrap();
    let mut owner = Owner::created(&harness, entity(1)).await;
    for stream in [0, 1] {
        owner
            .commit(|commit| append(commit, stream, 1..1_501, ""))
            .await;
    }
    owner.store.trim(entity(1)).await.unwrap();
    let oldest = entries(&harness, 0, FROM_BEGINNING, Bounds::rows(2)).await;
    assert_eq!(numbers(&oldest), [1, 2]);
    for (bound, kept) in [(700, 700..1_501), (1_498, 1_498..1_501), (u64::MAX, 0..0)] {
        let mut owner = Owner::loaded(&harness, entity(1)).await;
        owner
            .commit(|commit| commit.firsts.extend([(0, bound), (1, bound)]))
            .await;
        let head = owner.head().await;
        for _ in 0..2 {
            for stream in [0, 1] {
                assert_eq!(
                    all(&harness, entity(1), stream).await,
                    rows(kept.clone(), "")
                );
            }
            assert_eq!(Owner::loaded(&harness, entity(1)).await.head().await, head);
            harness.store().trim(entity(1)).await.unwrap();
            harness.restart();
        }
    }
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner
        .refused(|commit| append(commit, 0, 1_502..1_503, ""))
        .await;
    for number in 1_501..1_504 {
        owner
            .commit(|commit| append(commit, 0, number..number + 1, ""))
            .await;
    }
    harness.restart();
    assert_eq!(all(&harness, entity(1), 0).await, rows(1_501..1_504, ""));
    assert_eq!(all(&harness, entity(1), 1).await, []);
}

pub(crate) async fn spans_go_both_ways(harness: impl Harness) {
    const HEAD: u64 = 12;
    const FIRST: u64 = 4;
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner
        .commit(|commit| append(commit, 0, 1..HEAD + 1, ""))
        .await;
    owner.commit(|commit| commit.firsts.push((0, FIRST))).await;
    for number in (0..HEAD + 3).chain([u64::MAX - 1, u64::MAX]) {
        for count in [1, 2, 5, 100] {
            let kept = || FIRST..HEAD + 1;
            let found = entries(&harness, 0, Span::After(number), Bounds::rows(count)).await;
            let expected: Vec<u64> = kept().filter(|kept| *kept > number).take(count).collect();
            assert_eq!(numbers(&found), expected, "{count} after {number}");
            let found = entries(&harness, 0, Span::Before(number), Bounds::rows(count)).await;
            let mut expected: Vec<u64> = kept()
                .rev()
                .filter(|kept| *kept < number)
                .take(count)
                .collect();
            expected.reverse();
            assert_eq!(numbers(&found), expected, "{count} before {number}");
        }
    }
    for span in [FROM_BEGINNING, FROM_END] {
        assert_eq!(entries(&harness, 2, span, Bounds::rows(9)).await, []);
        assert_eq!(entries(&harness, u8::MAX, span, Bounds::rows(9)).await, []);
    }
}

pub(crate) async fn pages_of_entries_are_bounded(harness: impl Harness) {
    const HEAD: u64 = 1_100;
    let mut owner = Owner::created(&harness, entity(1)).await;
    let text = "x".repeat(1_000);
    for begin in (1..HEAD).step_by(100) {
        owner
            .commit(|commit| append(commit, 0, begin..begin + 100, &text))
            .await;
    }
    for (span, oldest) in [(FROM_BEGINNING, 1), (FROM_END, HEAD + 1 - 1_000)] {
        for rows in [PAGE_ROWS_MAX, PAGE_ROWS_MAX + 1, usize::MAX] {
            let bounds = Bounds {
                rows,
                ..Bounds::ALL
            };
            let found = numbers(&entries(&harness, 0, span, bounds).await);
            assert_eq!(found, (oldest..oldest + 1_000).collect::<Vec<_>>());
        }
        for (rows, bytes) in [(0, usize::MAX), (9, 0), (9, 1), (1, usize::MAX), (9, 1_500)] {
            let bounds = Bounds { rows, bytes };
            let found = entries(&harness, 0, span, bounds).await;
            assert_eq!(found.len(), 1, "{bounds:?}");
        }
        let bounds = Bounds {
            rows: 900,
            bytes: 100_000,
        };
        let found = entries(&harness, 0, span, bounds).await.len();
        assert!((90..=100).contains(&found), "about 100,000 bytes: {found}");
    }
}

pub(crate) async fn the_newest_entries_are_loaded(harness: impl Harness) {
    const HEAD: u64 = 1_200;
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner
        .commit(|commit| append(commit, 1, 1..HEAD + 1, ""))
        .await;
    owner.commit(|commit| commit.firsts.push((1, 101))).await;
    let newest = |rows, bytes| Part::Newest(1, Bounds { rows, bytes });
    let parts = vec![
        newest(3, usize::MAX),
        newest(usize::MAX, usize::MAX),
        newest(9, 1),
        newest(0, usize::MAX),
        Part::Newest(0, Bounds::ALL),
        Part::Newest(2, Bounds::ALL),
    ];
    let loaded = owner.store.load(entity(1), parts).await.unwrap().unwrap();
    let expected = [HEAD - 2, 101, HEAD, HEAD, HEAD + 1, HEAD + 1];
    assert_eq!(loaded.parts.len(), expected.len());
    for (part, oldest) in loaded.parts.iter().zip(expected) {
        assert_eq!(*part, LoadedPart::Newest(rows(oldest..HEAD + 1, "")));
    }
}

pub(crate) async fn streams_are_apart(mut harness: impl Harness) {
    let ids = [0, 1, 2, 254, 255];
    for id in ids {
        let mut owner = Owner::created(&harness, entity(id)).await;
        for stream in [0, 1] {
            let count = u64::from(id % 7 + stream + 1);
            let text = format!("{id} {stream}");
            owner
                .commit(|commit| append(commit, stream, 1..count + 1, &text))
                .await;
        }
    }
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner
        .commit(|commit| commit.firsts.push((0, u64::MAX)))
        .await;
    owner.store.trim(entity(1)).await.unwrap();
    for _ in 0..2 {
        for id in ids {
            for stream in [0, 1] {
                let count = u64::from(id % 7 + stream + 1);
                let first = if (id, stream) == (1, 0) { count + 1 } else { 1 };
                let expected = rows(first..count + 1, &format!("{id} {stream}"));
                assert_eq!(all(&harness, entity(id), stream).await, expected);
            }
        }
        harness.restart();
    }
}
