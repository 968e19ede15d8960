//! Rows and rows of lists: sizes, pages, glances, removal.

use super::{Harness, Owner, append, entity, numbered, put};
use crate::entities::{
    Bounds, Commit, EntityId, Glance, Kind, List, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey,
    RowRange, Span,
};

async fn all(harness: &impl Harness, entity: EntityId) -> Vec<Row> {
    let rows = harness
        .store()
        .rows(entity, RowRange::default(), Bounds::ALL);
    rows.await.unwrap()
}

pub(crate) async fn rows_of_all_sizes_come_back(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let sizes = [0, 1, 255, 256, 65_535, 65_536, 256 * 1024];
    let row = |size: usize| -> Vec<u8> { (0..=u8::MAX).cycle().take(size).collect() };
    for (number, size) in (0..).zip(sizes) {
        owner
            .commit(|commit| {
                put(commit, &[number; 200], &row(size));
                commit.lists.push((List(3), vec![number], Some(row(size))));
                append(commit, 1, u64::from(number) + 1..u64::from(number) + 2, "");
                commit.entries[0].row = row(size);
                commit.results = vec![super::keyed_result(1, "big", &row(size))];
            })
            .await;
    }
    for _ in 0..2 {
        let store = harness.store();
        for (number, size) in (0..).zip(sizes) {
            let wanted = vec![(entity(1), vec![number; 200])];
            assert_eq!(store.rows_of(wanted).await.unwrap(), [Some(row(size))]);
            let span = Span::After(number.into());
            let entries = store.entries(entity(1), 1, span, Bounds::rows(1));
            assert_eq!(entries.await.unwrap()[0].1, row(size));
            let range = RowRange::prefix([number]);
            let listed = store.list(List(3), range, Bounds::rows(1)).await.unwrap();
            assert_eq!(listed, [(vec![number], row(size))]);
        }
        let result = store.recall(entity(1), super::user(1), "big").await;
        assert_eq!(result.unwrap().unwrap().reply, row(256 * 1024));
        harness.restart();
    }
}

pub(crate) async fn rows_are_put_replaced_and_removed(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let remove = |commit: &mut Commit, key: &[u8]| commit.rows.push((key.to_vec(), None));
    owner
        .commit(|commit| {
            for key in [b"a", b"b", b"c"] {
                put(commit, key, b"1");
            }
            remove(commit, b"never there");
        })
        .await;
    owner
        .commit(|commit| {
            put(commit, b"a", b"");
            remove(commit, b"b");
            // Of a key that is there twice the last counts.
            put(commit, b"c", b"2");
            remove(commit, b"c");
            remove(commit, b"d");
            put(commit, b"d", b"1");
            put(commit, b"d", b"2");
        })
        .await;
    for _ in 0..2 {
        let expected: [Row; 2] = [(b"a".to_vec(), Vec::new()), (b"d".to_vec(), b"2".to_vec())];
        assert_eq!(all(&harness, entity(1)).await, expected);
        harness.restart();
    }
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner.commit(|commit| put(commit, b"b", b"again")).await;
    assert_eq!(all(&harness, entity(1)).await.len(), 3);
}

pub(crate) async fn entities_are_apart(mut harness: impl Harness) {
    let ids = [
        EntityId::new(Kind(0), [0; 10]),
        EntityId::new(Kind(0), [0xff; 10]),
        EntityId::new(Kind(1), [0; 10]),
        EntityId::new(Kind(255), [0; 10]),
        EntityId::new(Kind(255), [0xff; 10]),
    ];
    let mut expected = Vec::new();
    for (number, id) in (0..).zip(ids) {
        let mut owner = Owner::created(&harness, id).await;
        let keys: [RowKey; 2] = [vec![0], vec![0xff; 200]];
        owner
            .commit(|commit| {
                for key in &keys {
                    put(commit, key, &[number]);
                }
            })
            .await;
        expected.push(keys.map(|key| (key, vec![number])));
    }
    for _ in 0..2 {
        for (id, expected) in ids.iter().zip(&expected) {
            assert_eq!(all(&harness, *id).await, expected);
        }
        harness.restart();
    }
    let store = harness.store();
    store.remove(ids[2], RowRange::default()).await.unwrap();
    for (number, (id, expected)) in ids.iter().zip(&expected).enumerate() {
        let kept = if number == 2 { &[][..] } else { expected };
        assert_eq!(all(&harness, *id).await, kept);
    }
}

pub(crate) async fn pages_of_rows_are_bounded(harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let key = |number: u16| number.to_be_bytes().to_vec();
    owner
        .commit(|commit| {
            for number in 0..1_100 {
                put(commit, &key(number), &[7; 1_000]);
                commit
                    .lists
                    .push((List(0), key(number), Some(vec![7; 1_000])));
            }
        })
        .await;
    let store = harness.store();
    for (rows, bytes, expected) in [
        (PAGE_ROWS_MAX, usize::MAX, 1_000..=1_000),
        (usize::MAX, usize::MAX, 1_000..=1_000),
        (17, usize::MAX, 17..=17),
        (1, usize::MAX, 1..=1),
        (0, usize::MAX, 1..=1),
        (9, 0, 1..=1),
        (9, 1_500, 1..=1),
        (900, 100_000, 90..=100),
    ] {
        let bounds = Bounds { rows, bytes };
        let in_entity = store.rows(entity(1), RowRange::default(), bounds).await;
        let in_list = store.list(List(0), RowRange::default(), bounds).await;
        for page in [in_entity.unwrap(), in_list.unwrap()] {
            assert!(expected.contains(&page.len()), "{bounds:?}: {}", page.len());
            for (number, (found, _)) in (0..).zip(&page) {
                assert_eq!(*found, key(number));
            }
        }
    }
    // Page behind page, everything comes once.
    let (mut after, mut found) = (None, 0);
    loop {
        let range = RowRange::default().after(after);
        let page = store
            .rows(entity(1), range, Bounds::rows(97))
            .await
            .unwrap();
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(last.clone());
        found += page.len();
    }
    assert_eq!(found, 1_100);
    let parts = vec![Part::Rows(RowRange::default())];
    let loaded = store.load(entity(1), parts).await.unwrap().unwrap();
    match &loaded.parts[..] {
        [LoadedPart::Rows(rows)] => assert_eq!(rows.len(), 1_100),
        other => panic!("{} parts", other.len()),
    }
}

pub(crate) async fn lists_belong_to_nobody(mut harness: impl Harness) {
    let mut first = Owner::created(&harness, entity(1)).await;
    let mut second = Owner::created(&harness, entity(2)).await;
    let set = |commit: &mut Commit, list: u8, key: &[u8], row: Option<&[u8]>| {
        let row = row.map(<[u8]>::to_vec);
        commit.lists.push((List(list), key.to_vec(), row));
    };
    first
        .commit(|commit| {
            set(commit, 0, b"a", Some(b"first"));
            set(commit, 0, b"b", Some(b"first"));
            set(commit, 255, b"a", Some(b"of another list"));
        })
        .await;
    second
        .commit(|commit| {
            set(commit, 0, b"b", Some(b"second"));
            set(commit, 0, b"c", Some(b""));
            set(commit, 0, b"a", None);
            set(commit, 1, b"never there", None);
        })
        .await;
    first
        .commit(|commit| {
            set(commit, 0, b"d", Some(b"1"));
            set(commit, 0, b"d", Some(b"2"));
        })
        .await;
    for _ in 0..2 {
        let store = harness.store();
        let list = |list| store.list(List(list), RowRange::default(), Bounds::ALL);
        let expected: [(&[u8], &[u8]); 3] = [(b"b", b"second"), (b"c", b""), (b"d", b"2")];
        let expected = expected.map(|(key, row)| (key.to_vec(), row.to_vec()));
        assert_eq!(list(0).await.unwrap(), expected);
        assert_eq!(list(1).await.unwrap(), []);
        let of_another = (b"a".to_vec(), b"of another list".to_vec());
        assert_eq!(list(255).await.unwrap(), [of_another]);
        harness.restart();
    }
}

pub(crate) async fn glances_and_single_rows(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner
        .commit(|commit| {
            put(commit, b"a", b"1");
            put(commit, b"b", b"");
            append(commit, 0, 1..4, "");
            append(commit, 1, 1..9, "");
        })
        .await;
    let mut dropped = Owner::created(&harness, entity(2)).await;
    dropped.commit(|commit| append(commit, 0, 1..4, "")).await;
    dropped.commit(|commit| commit.firsts.push((0, 4))).await;
    let mut ended = Owner::created(&harness, entity(3)).await;
    ended
        .commit(|commit| {
            put(commit, b"a", b"1");
            append(commit, 0, 1..2, "");
        })
        .await;
    ended.commit(|commit| commit.ends_at = Some(1)).await;
    let heads = [owner.head().await, dropped.head().await];
    for _ in 0..2 {
        let store = harness.store();
        let asked = [4, 2, 1, 3, 1].map(entity).to_vec();
        let keys: Vec<RowKey> = [b"b", b"x", b"a"].map(|key| key.to_vec()).to_vec();
        let of_dropped = Glance {
            head: heads[1],
            rows: vec![None; 3],
            newest: None,
        };
        let of_owner = Glance {
            head: heads[0],
            rows: vec![Some(Vec::new()), None, Some(b"1".to_vec())],
            newest: Some((3, numbered(3, ""))),
        };
        let expected = [
            None,
            Some(of_dropped),
            Some(of_owner.clone()),
            None,
            Some(of_owner),
        ];
        assert_eq!(store.glances(asked, keys).await.unwrap(), expected);
        assert_eq!(store.glances(Vec::new(), Vec::new()).await.unwrap(), []);
        let wanted = [
            (1, b"a"),
            (2, b"a"),
            (3, b"a"),
            (4, b"a"),
            (1, b"x"),
            (1, b"b"),
        ];
        let wanted = wanted.map(|(id, key)| (entity(id), key.to_vec()));
        let one = Some(b"1".to_vec());
        let expected = [one, None, None, None, None, Some(Vec::new())];
        assert_eq!(store.rows_of(wanted.to_vec()).await.unwrap(), expected);
        harness.restart();
    }
}

pub(crate) async fn removal_lets_other_writes_through(mut harness: impl Harness) {
    const ROWS: u16 = 3_000;
    let store = harness.store();
    store.remove(entity(1), RowRange::default()).await.unwrap();
    let mut owner = Owner::created(&harness, entity(1)).await;
    let key = |number: u16| [b"old".as_slice(), &number.to_be_bytes()].concat();
    owner
        .commit(|commit| {
            for number in 0..ROWS {
                put(commit, &key(number), b"");
            }
        })
        .await;
    // Of an unknown one nothing is removed, and nothing of its neighbours.
    store.remove(entity(0), RowRange::default()).await.unwrap();
    let parts = vec![Part::Rows(RowRange::default())];
    let loaded = store.load(entity(1), parts).await.unwrap().unwrap();
    assert!(
        matches!(&loaded.parts[..], [LoadedPart::Rows(rows)] if rows.len() == usize::from(ROWS))
    );
    let removal = tokio::spawn(store.remove(entity(1), RowRange::prefix(*b"old")));
    let mut between = 0;
    for number in 0..20_u8 {
        owner.commit(|commit| put(commit, &[number], b"new")).await;
        between += usize::from(!removal.is_finished());
    }
    removal.await.unwrap().unwrap();
    println!("{between} of 20 commits came while rows were removed");
    for _ in 0..2 {
        let expected: Vec<Row> = (0..20)
            .map(|number| (vec![number], b"new".to_vec()))
            .collect();
        assert_eq!(all(&harness, entity(1)).await, expected);
        assert_eq!(Owner::loaded(&harness, entity(1)).await.version, 22);
        harness.restart();
    }
}
