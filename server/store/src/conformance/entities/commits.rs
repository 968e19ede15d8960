//! Commits: dense versions, one owner, all or nothing, order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::seen::seen;
use super::{Harness, Owner, STALE, append, commit, entity, fill, hand_over, is_conflict, put};
use crate::entities::{
    Bounds, Commit, Entities, Head, List, LoadedPart, OpenCommit, Part, RowRange, StreamHead,
};

pub(crate) async fn versions_are_dense(mut harness: impl Harness) {
    let store = harness.store();
    assert_eq!(store.load(entity(1), Vec::new()).await.unwrap(), None);
    let of_version = |version| Commit::new(entity(1), store.fence(), version, 7);
    for (version, is_next) in [
        (0, false),
        (2, false),
        (1, true),
        (1, false),
        (3, false),
        (0, false),
        (2, true),
        (2, false),
        (1, false),
        (u64::MAX, false),
        (3, true),
    ] {
        let before = seen(&*store).await;
        let mut next = of_version(version);
        put(&mut next, b"a", &version.to_be_bytes());
        let outcome = commit(&*store, next).await;
        if is_next {
            assert_eq!(outcome, Ok(()), "version {version}");
        } else {
            assert!(is_conflict(&outcome), "version {version}: {outcome:?}");
            assert_eq!(seen(&*store).await, before, "version {version}");
        }
    }
    for _ in 0..2 {
        let loaded = harness.store().load(entity(1), Vec::new()).await;
        let expected = Head {
            version: 3,
            incarnation: 7,
            streams: [StreamHead { head: 0, first: 1 }; 2],
            ended_at: None,
        };
        assert_eq!(loaded.unwrap().unwrap().head, expected);
        harness.restart();
    }
}

pub(crate) async fn an_empty_commit_is_one(mut harness: impl Harness) {
    let mut owner = Owner::new(&harness, entity(1));
    for _ in 0..3 {
        owner.commit(|_| {}).await;
    }
    assert_eq!(owner.head().await.version, 3);
    harness.restart();
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    assert_eq!(owner.version, 3);
    owner.commit(|_| {}).await;
    assert_eq!(owner.head().await.version, 4);
}

/// What makes a commit one that is refused.
type Flaw = fn(&mut Commit);

const FLAWS: [(&str, Flaw); 10] = [
    ("version before", |commit| commit.version -= 1),
    ("version behind", |commit| commit.version += 1),
    ("incarnation", |commit| commit.incarnation ^= 1),
    ("fence", |commit| commit.fence = STALE),
    ("gap in stream 0", |commit| append(commit, 0, 900..901, "")),
    ("gap in stream 1", |commit| append(commit, 1, 900..901, "")),
    ("gap before what fills it", |commit| {
        commit.entries.reverse();
    }),
    ("entry of no stream", |commit| append(commit, 2, 1..2, "")),
    ("bound of no stream", |commit| commit.firsts.push((2, 1))),
    ("number out of range", |commit| {
        append(commit, 0, u64::MAX..=u64::MAX, "");
    }),
];

pub(crate) async fn refused_commits_change_nothing(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    owner
        .commit(|commit| put(commit, b"gone", b"not yet"))
        .await;
    owner.commit(|commit| fill(commit, 0)).await;
    let before = seen(&*owner.store).await;
    for (what, flaw) in FLAWS {
        owner
            .refused(|commit| {
                fill(commit, 1);
                put(commit, b"a", b"refused");
                put(commit, b"gone", b"refused");
                commit.ends_at = Some(5);
                flaw(commit);
            })
            .await;
        assert_eq!(seen(&*owner.store).await, before, "{what}");
    }
    harness.restart();
    assert_eq!(seen(&*harness.store()).await, before);
    let mut owner = Owner::loaded(&harness, entity(1)).await;
    owner.commit(|commit| fill(commit, 1)).await;
    assert_ne!(seen(&*harness.store()).await, before);
}

pub(crate) async fn refused_commits_leave_those_around_them_alone(harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let mut outcomes = Vec::new();
    for number in 0..30 {
        let mut bad = owner.next();
        fill(&mut bad, number);
        put(&mut bad, b"bad", b"");
        (FLAWS[usize::try_from(number).unwrap() % FLAWS.len()].1)(&mut bad);
        outcomes.push((false, hand_over(&*owner.store, bad)));
        owner.version -= 1;
        outcomes.push((true, owner.hand_over(|commit| fill(commit, number))));
    }
    for (is_good, outcome) in outcomes {
        assert_eq!(!is_conflict(&outcome.await.unwrap()), is_good);
    }
    let expected = Owner::created(&harness, entity(2)).await;
    assert_eq!(owner.head().await.version, 31);
    assert_eq!(
        owner.head().await.streams[0],
        StreamHead { head: 60, first: 1 }
    );
    let wanted = vec![
        (entity(1), b"bad".to_vec()),
        (expected.entity, b"bad".to_vec()),
    ];
    assert_eq!(owner.store.rows_of(wanted).await.unwrap(), [None, None]);
}

pub(crate) async fn one_of_two_owners_wins(harness: impl Harness) {
    const OWNERS: u8 = 16;
    let store = harness.store();
    for version in 1..=20 {
        let attempts = (0..OWNERS).map(|owner| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                // Each creates as another incarnation; of the later versions only the owner differs.
                let incarnation = if version == 1 {
                    u64::from(owner)
                } else {
                    winner_of(&*store).await
                };
                let mut next = Commit::new(entity(1), store.fence(), version, incarnation);
                put(&mut next, b"winner", &[owner]);
                append(&mut next, 0, version..version + 1, &owner.to_string());
                commit(&*store, next).await
            })
        });
        let outcomes = join_all(attempts).await;
        let mut winners = Vec::new();
        for (owner, outcome) in (0..OWNERS).zip(outcomes) {
            match outcome.unwrap() {
                Ok(()) => winners.push(owner),
                refused => assert!(is_conflict(&refused), "{refused:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "version {version}: {winners:?}");
        let parts = vec![
            Part::Rows(RowRange::prefix(*b"winner")),
            Part::Newest(0, Bounds::rows(1)),
        ];
        let loaded = store.load(entity(1), parts).await.unwrap().unwrap();
        assert_eq!(loaded.head.version, version);
        let expected = [
            LoadedPart::Rows(vec![(b"winner".to_vec(), winners.clone())]),
            LoadedPart::Newest(vec![(
                version,
                super::numbered(version, &winners[0].to_string()),
            )]),
        ];
        assert_eq!(loaded.parts, expected);
    }
}

async fn winner_of(store: &dyn Entities) -> u64 {
    let loaded = store.load(entity(1), Vec::new()).await;
    loaded.unwrap().unwrap().head.incarnation
}

pub(crate) async fn commits_report_in_order_and_once(harness: impl Harness) {
    const EACH: u64 = 300;
    let reports = Arc::new(Mutex::new(Vec::new()));
    let all_reported = Arc::new(Notify::new());
    let mut owners: Vec<Owner> = (1..=3)
        .map(|number| Owner::new(&harness, entity(number)))
        .collect();
    let expected = owners.len() * usize::try_from(EACH).unwrap();
    for _ in 0..EACH {
        for owner in &mut owners {
            let next = owner.next();
            let (reports, all_reported) = (Arc::clone(&reports), Arc::clone(&all_reported));
            let place = (owner.entity, next.version);
            let done = move |outcome| {
                let mut reports = reports.lock();
                reports.push((place, outcome));
                if reports.len() == expected {
                    all_reported.notify_one();
                }
            };
            let reservation = owner.store.reserve(0).unwrap();
            owner.store.commit(reservation, next.into(), Box::new(done));
        }
    }
    all_reported.notified().await;
    // What comes behind them reports behind them, so a second report of one would be there.
    for owner in &mut owners {
        owner.commit(|_| {}).await;
    }
    let reports = reports.lock();
    assert_eq!(reports.len(), expected);
    assert!(reports.iter().all(|(_, outcome)| outcome.is_ok()));
    for owner in &owners {
        let of_one = reports
            .iter()
            .filter(|((entity, _), _)| *entity == owner.entity);
        let versions: Vec<u64> = of_one.map(|((_, version), _)| *version).collect();
        assert_eq!(versions, (1..=EACH).collect::<Vec<_>>());
    }
}

/// Far longer than a commit takes.
pub(super) const HEARD_WITHIN: Duration = Duration::from_secs(20);

pub(crate) async fn the_listener_hears_of_reports(harness: impl Harness) {
    let store = harness.store();
    let (heard, reported) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let told = Arc::new(Notify::new());
    let listener = {
        let (heard, reported, told) =
            (Arc::clone(&heard), Arc::clone(&reported), Arc::clone(&told));
        move || {
            heard.store(reported.load(Ordering::SeqCst), Ordering::SeqCst);
            told.notify_one();
        }
    };
    assert!(store.listen_to_reports(Box::new(listener)));
    assert!(!store.listen_to_reports(Box::new(|| panic!("there is one already"))));
    let mut owner = Owner::new(&harness, entity(1));
    for round in 1..=50 {
        for _ in 0..round % 4 + 1 {
            let reservation = store.reserve(0).unwrap();
            let reported = Arc::clone(&reported);
            let done = move |outcome: Result<(), _>| {
                outcome.unwrap();
                reported.fetch_add(1, Ordering::SeqCst);
            };
            store.commit(reservation, owner.next().into(), Box::new(done));
        }
        let expected = usize::try_from(owner.version).unwrap();
        while heard.load(Ordering::SeqCst) < expected {
            let is_told = tokio::time::timeout(HEARD_WITHIN, told.notified()).await;
            is_told.expect("the listener is called behind the reports");
        }
    }
}

pub(crate) async fn loads_are_of_one_moment(harness: impl Harness) {
    const COMMITS: u64 = 300;
    let mut owner = Owner::created(&harness, entity(1)).await;
    let store = harness.store();
    let reader = tokio::spawn(async move {
        let parts = vec![
            Part::Rows(RowRange::prefix(*b"row")),
            Part::Newest(0, Bounds::rows(1)),
            Part::Newest(1, Bounds::ALL),
        ];
        let mut loads = 0;
        loop {
            let loaded = store.load(entity(1), parts.clone()).await.unwrap().unwrap();
            let version = loaded.head.version;
            if version > 1 {
                let row = version.to_be_bytes().to_vec();
                let rows = vec![(b"row 1".to_vec(), row.clone()), (b"row 2".to_vec(), row)];
                assert_eq!(loaded.parts[0], LoadedPart::Rows(rows));
                let entry = |number| (number, super::numbered(number, ""));
                let newest = vec![entry(version - 1)];
                assert_eq!(loaded.parts[1], LoadedPart::Newest(newest.clone()));
                assert_eq!(loaded.parts[2], LoadedPart::Newest(newest));
            }
            loads += 1;
            if version > COMMITS {
                return loads;
            }
        }
    });
    let mut outcomes = Vec::new();
    for number in 1..=COMMITS {
        outcomes.push(owner.hand_over(|commit| {
            let row = commit.version.to_be_bytes();
            put(commit, b"row 1", &row);
            put(commit, b"row 2", &row);
            for stream in [0, 1] {
                append(commit, stream, number..number + 1, "");
            }
            commit.firsts.push((1, number));
        }));
        if number % 10 == 0 {
            for outcome in outcomes.drain(..) {
                outcome.await.unwrap().unwrap();
            }
        }
    }
    assert!(reader.await.unwrap() > 1);
}

pub(crate) async fn loads_come_behind_what_was_handed_over(harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    for round in 0..20 {
        let mut outcomes = Vec::new();
        for number in 0..50 {
            outcomes.push(owner.hand_over(|commit| put(commit, &[number], &[round])));
        }
        let head = owner.head().await;
        assert_eq!(head.version, owner.version);
        for outcome in outcomes {
            outcome.await.unwrap().unwrap();
        }
    }
}

pub(crate) async fn reported_commits_are_read(harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(0)).await;
    for number in 0..50_u64 {
        owner.commit(|commit| fill(commit, number)).await;
        let store = &owner.store;
        let text = format!("commit {number}").into_bytes();
        let wanted = vec![(entity(0), b"same".to_vec())];
        assert_eq!(store.rows_of(wanted).await.unwrap(), [Some(text.clone())]);
        let glances = store.glances(vec![entity(0)], Vec::new()).await.unwrap();
        assert_eq!(glances[0].as_ref().unwrap().head.version, number + 2);
        let result = store
            .recall(entity(0), super::user(1), "key")
            .await
            .unwrap();
        assert_eq!(result.unwrap().reply, text);
        let applied = store.applied(entity(0), entity(5)).await.unwrap();
        assert_eq!(applied.unwrap().version, number + 1);
        let undelivered = store.undelivered(entity(0), None, 1_000).await.unwrap();
        assert_eq!(undelivered.last().unwrap().signal.body, text);
        let list = store.list(List(1), RowRange::default(), Bounds::rows(9));
        assert_eq!(list.await.unwrap()[0].1, text);
    }
}

pub(crate) async fn commits_survive_a_restart_whole(mut harness: impl Harness) {
    let mut before = seen(&*harness.store()).await;
    for number in 0..4 {
        for id in [0, 1] {
            let mut owner = match number {
                0 => Owner::created(&harness, entity(id)).await,
                _ => Owner::loaded(&harness, entity(id)).await,
            };
            owner.commit(|commit| fill(commit, number)).await;
        }
        let now = seen(&*harness.store()).await;
        assert_ne!(now, before);
        harness.restart();
        assert_eq!(seen(&*harness.store()).await, now);
        before = now;
    }
}

pub(crate) async fn what_joined_a_commit_is_there_and_nothing_else(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    let mut expected = Vec::new();
    for round in 0..100_u8 {
        let open = OpenCommit::from(owner.next());
        let (report, outcome) = oneshot::channel();
        let done = move |result| report.send(result).unwrap();
        let reservation = owner.store.reserve(64).unwrap();
        owner
            .store
            .commit(reservation, open.clone(), Box::new(done));
        for number in 0..u8::MAX {
            let reservation = owner.store.reserve(64).unwrap();
            let key = [round, number];
            if open
                .join(reservation, |commit| put(commit, &key, b""))
                .is_err()
            {
                break;
            }
            expected.push((key.to_vec(), Vec::new()));
        }
        outcome.await.unwrap().unwrap();
    }
    harness.restart();
    let all = vec![Part::Rows(RowRange::default())];
    let loaded = harness.store().load(entity(1), all).await;
    let loaded = loaded.unwrap().unwrap();
    assert_eq!(loaded.head.version, 101);
    assert_eq!(loaded.parts, [LoadedPart::Rows(expected)]);
}
