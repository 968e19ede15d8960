//! Tests of the engine as a whole.

mod backup;
mod backup_apart;
mod backup_leftovers;
mod crash;
mod damage;
mod disk;
mod folders;

use std::sync::mpsc;
use std::time::Duration;

use super::{Engine, EngineHealth, EngineOptions, Limit, Range};
use crate::StoreError;
use crate::embedded::Embedded;
use crate::embedded::tables::Table;
use crate::entities::{Commit, Entities as _};

/// Options that fit a test's small disk.
fn small() -> EngineOptions {
    EngineOptions {
        free_bytes_min: 0,
        cache_bytes: 1024 * 1024,
        memtable_bytes: 1024 * 1024,
        ..EngineOptions::default()
    }
}

/// Commits and waits for the outcome.
async fn commit(store: &Embedded, commit: Commit) -> Result<(), StoreError> {
    let (report, outcome) = tokio::sync::oneshot::channel();
    let reservation = store.reserve(0)?;
    let done = Box::new(move |result| report.send(result).unwrap());
    store.commit(reservation, commit.into(), done);
    outcome.await.unwrap()
}

fn keys(rows: &[super::Row]) -> Vec<&[u8]> {
    rows.iter().map(|(key, _)| key.as_ref()).collect()
}

#[tokio::test]
async fn writes_last_and_refused_ones_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), small()).unwrap();
    engine
        .write::<_, StoreError>(|tx| {
            tx.put(Table::EntityRows, b"a", b"1");
            tx.put(Table::Lists, b"a", b"2");
            Ok(())
        })
        .await
        .unwrap();
    let refused = engine
        .write::<(), StoreError>(|tx| {
            tx.put(Table::EntityRows, b"a", b"changed");
            tx.delete(Table::Lists, b"a");
            tx.put(Table::EntityRows, b"b", b"new");
            Err(StoreError::Conflict("test"))
        })
        .await;
    assert_eq!(refused, Err(StoreError::Conflict("test")));
    let panicked = engine
        .write::<(), StoreError>(|tx| {
            tx.put(Table::EntityRows, b"c", b"new");
            panic!("a write of this test breaks off");
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Damaged(_))));

    engine.close();
    assert!(matches!(
        engine.get(Table::EntityRows, b"a"),
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(engine.health(), EngineHealth::Closed);
    let engine = Engine::open(dir.path(), small()).unwrap();
    assert_eq!(engine.get(Table::EntityRows, b"a").unwrap().unwrap(), b"1");
    assert_eq!(engine.get(Table::Lists, b"a").unwrap().unwrap(), b"2");
    assert!(engine.get(Table::EntityRows, b"b").unwrap().is_none());
    assert!(engine.get(Table::EntityRows, b"c").unwrap().is_none());
}

#[tokio::test]
async fn a_write_sees_its_own_changes_over_the_committed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), small()).unwrap();
    engine
        .write::<_, StoreError>(|tx| {
            for key in ["a1", "a3", "a5", "b1"] {
                tx.put(Table::EntityRows, key, "old");
            }
            Ok(())
        })
        .await
        .unwrap();
    engine
        .write::<_, StoreError>(|tx| {
            tx.put(Table::EntityRows, "a2", "new");
            tx.put(Table::EntityRows, "a3", "new");
            tx.delete(Table::EntityRows, "a5");
            tx.put(Table::EntityRows, "a6", "new");
            let prefix = Range::prefix(b"a");
            let rows = tx.scan(Table::EntityRows, &prefix, false, Limit::rows(9))?;
            assert_eq!(keys(&rows), [b"a1", b"a2", b"a3", b"a6"]);
            assert_eq!(rows[2].1, b"new");
            let rows = tx.scan(Table::EntityRows, &prefix, true, Limit::rows(2))?;
            assert_eq!(keys(&rows), [b"a6", b"a3"]);
            let after = prefix.clone().after(b"a2".to_vec());
            let rows = tx.scan(Table::EntityRows, &after, false, Limit::rows(9))?;
            assert_eq!(keys(&rows), [b"a3", b"a6"]);
            let none = prefix.after(b"z".to_vec());
            assert!(
                tx.scan(Table::EntityRows, &none, false, Limit::rows(9))?
                    .is_empty()
            );
            let rows = tx.scan(Table::EntityRows, &Range::all(), false, Limit::new(9, 1))?;
            assert_eq!(
                rows.len(),
                1,
                "at least one row, however few bytes are allowed"
            );
            Ok(())
        })
        .await
        .unwrap();
}

#[test]
fn submissions_report_in_order_and_a_full_queue_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        queue_jobs_max: 4,
        ..small()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    let (hold, held) = mpsc::channel::<()>();
    let (began, begins) = mpsc::channel::<()>();
    let (report, reports) = mpsc::channel();
    let submit = |number: u32, job: super::SubmittedJob| {
        let report = report.clone();
        let reservation = engine.reserve(1)?;
        let done = Box::new(move |outcome| report.send((number, outcome)).unwrap());
        engine.submit(reservation, 1, job, done);
        Ok(())
    };
    submit(
        0,
        Box::new(move |_| {
            began.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        }),
    )
    .unwrap();
    begins.recv().unwrap();
    for number in 1..=4 {
        submit(
            number,
            Box::new(move |tx| {
                tx.put(Table::EntityRows, number.to_be_bytes(), b"row");
                if number == 2 {
                    return Err(StoreError::Conflict("test"));
                }
                Ok(())
            }),
        )
        .unwrap();
    }
    let refused = submit(5, Box::new(|_| Ok(())));
    assert_eq!(refused, Err(StoreError::Busy));
    hold.send(()).unwrap();
    engine.close();
    drop(engine);
    drop(report);
    let reports: Vec<_> = reports.iter().collect();
    let expected: Vec<_> = (0..=4)
        .map(|number| match number {
            2 => (2, Err(StoreError::Conflict("test"))),
            other => (other, Ok(())),
        })
        .collect();
    assert_eq!(reports, expected);
}

#[tokio::test]
async fn keyed_results_outlive_one_turn_of_generations_and_not_two() {
    const GENERATION: Duration = Duration::from_millis(300);
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        key_generation: GENERATION,
        ..small()
    };
    let remember = async |engine: &Engine, number: u8| {
        engine
            .write::<_, StoreError>(move |tx| {
                tx.remember([number; 16], [number].as_slice().into(), false);
                Ok(())
            })
            .await
            .unwrap();
        // The turn follows the commit of the group; a second write waits for it.
        engine.write::<_, StoreError>(|_| Ok(())).await.unwrap();
    };
    let found =
        |engine: &Engine| [1, 2, 3, 4].map(|number| engine.result([number; 16]).unwrap().is_some());
    let engine = Engine::open(dir.path(), options.clone()).unwrap();
    remember(&engine, 1).await;
    assert_eq!(found(&engine), [true, false, false, false]);
    tokio::time::sleep(GENERATION).await;
    remember(&engine, 2).await;
    remember(&engine, 3).await;
    assert_eq!(found(&engine), [true, true, true, false]);
    engine.close();
    let engine = Engine::open(dir.path(), options.clone()).unwrap();
    assert_eq!(found(&engine), [true, true, true, false]);
    tokio::time::sleep(GENERATION).await;
    remember(&engine, 4).await;
    assert_eq!(found(&engine), [false, false, true, true]);
    engine.close();
    let long = EngineOptions {
        key_generation: Duration::from_secs(3600),
        ..options
    };
    let engine = Engine::open(dir.path(), long).unwrap();
    assert_eq!(found(&engine), [false, false, true, true]);
}
