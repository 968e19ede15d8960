//! Disks that are full, small or mounted for reading only. They need the right to mount.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use fjall::{Database, KeyspaceCreateOptions};
use futures_util::future::join_all;
use pitturu_protocol::codes::{Code, Fault};

use super::super::{Engine, EngineHealth, EngineOptions, OpenError};
use super::{commit, small};
use crate::StoreError;
use crate::embedded::Embedded;
use crate::embedded::tables::Table;
use crate::entities::{Commit, Entities as _, EntityId, Kind};

const MIB: usize = 1024 * 1024;

/// A disk of its own in memory, unmounted when dropped.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// None, loudly, where mounting is not allowed; an error where everything is required.
    fn new(bytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
            .arg(dir.path())
            .output();
        if matches!(&mounted, Ok(output) if output.status.success()) {
            return Some(Self { dir });
        }
        let required = std::env::var_os("PITTURU_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(
            !required,
            "a disk of its own cannot be mounted: {mounted:?}"
        );
        let line = "tests on a full disk: they need the right to mount one, so run them as root";
        eprintln!("\n!!! LEFT OUT: {line}\n");
        // The test runner shows no output of a test that passes; the end of `make test` shows this list.
        if let Some(list) = std::env::var_os("PITTURU_LEFT_OUT") {
            let mut list = OpenOptions::new()
                .append(true)
                .create(true)
                .open(list)
                .unwrap();
            writeln!(list, "{line}").unwrap();
        }
        None
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn remount(&self, mode: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{mode}")])
            .arg(self.path())
            .status();
        assert!(status.unwrap().success());
    }

    /// Takes up to so many bytes; false if the disk is full before.
    fn take(&self, name: &str, bytes: usize) -> bool {
        let mut file = File::create(self.path().join(name)).unwrap();
        (0..bytes / 4096).all(|_| file.write_all(&[1; 4096]).is_ok())
    }

    /// Takes all but `room` bytes. The database's workers may take some of those meanwhile.
    fn leave(&self, name: &str, room: usize) {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        let free = usize::try_from(stat.f_bavail * stat.f_frsize).unwrap();
        assert!(free >= room, "{name}: {free} bytes are free");
        self.take(name, free - room);
    }

    /// Takes what is left.
    fn fill(&self, name: &str) {
        assert!(!self.take(name, usize::MAX));
    }

    /// Removes what was taken.
    fn free_all(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn free(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Rows that the disk holds easily; older ones make room.
const ROWS_KEPT: u64 = 1_500;

/// Writes a row to two tables, and removes an old one.
async fn put(engine: &Engine, number: u64) -> Result<(), StoreError> {
    engine
        .write(move |tx| {
            tx.put(Table::Entries, number.to_be_bytes(), noise(number, 2_000));
            tx.put(Table::Signals, number.to_be_bytes(), b"beside it");
            if let Some(old) = number.checked_sub(ROWS_KEPT) {
                tx.delete(Table::Entries, old.to_be_bytes());
                tx.delete(Table::Signals, old.to_be_bytes());
            }
            Ok(())
        })
        .await
}

async fn until_healthy(engine: &Engine) {
    let started = Instant::now();
    while engine.health() != EngineHealth::Ok {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it has not recovered: {:?}",
            engine.health()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the test knows of its writes.
#[derive(Default)]
struct Ledger {
    next: u64,
    there: BTreeSet<u64>,
    refused: Vec<u64>,
    /// Those whose outcome nobody knows while the disk is full.
    in_doubt: Vec<(u64, JoinHandle<Result<(), StoreError>>)>,
}

impl Ledger {
    /// Writes several rows at once; false when the store did not take some.
    async fn write_some(&mut self, engine: &Engine) -> bool {
        let numbers = self.next..self.next + 8;
        self.next += 8;
        let begin = |number| {
            let engine = engine.clone();
            (
                number,
                tokio::spawn(async move { put(&engine, number).await }),
            )
        };
        let tasks: Vec<_> = numbers.map(begin).collect();
        let refused_before = self.refused.len();
        for (number, mut task) in tasks {
            loop {
                tokio::select! {
                    outcome = &mut task => {
                        self.ended(number, outcome.unwrap());
                        break;
                    }
                    () = tokio::time::sleep(Duration::from_millis(50)) => {
                        if engine.health() != EngineHealth::Ok {
                            self.in_doubt.push((number, task));
                            break;
                        }
                    }
                }
            }
        }
        self.refused.len() == refused_before && self.in_doubt.is_empty()
    }

    fn ended(&mut self, number: u64, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                self.there.insert(number);
                self.there.remove(&number.wrapping_sub(ROWS_KEPT));
            }
            Err(StoreError::Unavailable(_)) => self.refused.push(number),
            Err(other) => panic!("{other}"),
        }
    }

    /// The disk has space again: what was in doubt is decided.
    async fn settle(&mut self) {
        for (number, task) in std::mem::take(&mut self.in_doubt) {
            let outcome = tokio::time::timeout(Duration::from_secs(30), task).await;
            self.ended(number, outcome.expect("it is decided").unwrap());
        }
    }

    fn check(&self, engine: &Engine, place: &str) {
        for &number in &self.there {
            // A commit in doubt may remove it.
            if self
                .in_doubt
                .iter()
                .any(|(newer, _)| newer.checked_sub(ROWS_KEPT) == Some(number))
            {
                continue;
            }
            let row = engine.get(Table::Entries, &number.to_be_bytes()).unwrap();
            assert_eq!(row.unwrap(), noise(number, 2_000), "{place}: row {number}");
        }
        for (number, _) in &self.in_doubt {
            let row = engine.get(Table::Entries, &number.to_be_bytes()).unwrap();
            assert!(row.is_none(), "{place}: row {number} is not decided yet");
        }
        for &number in &self.refused {
            for table in [Table::Entries, Table::Signals] {
                let row = engine.get(table, &number.to_be_bytes()).unwrap();
                assert!(
                    row.is_none(),
                    "{place}: refused row {number} is in {}",
                    table.name()
                );
            }
        }
    }
}

/// What failed flushes and compactions wrote is gone, and so are journals but the one in use and the one before it.
fn check_nothing_left_over(dir: &Path) {
    // Without workers no file comes or goes meanwhile.
    let db = Database::builder(dir.join("data"))
        .worker_threads_unchecked(0)
        .open()
        .unwrap();
    for table in Table::ALL {
        let keyspace = db
            .keyspace(table.name(), KeyspaceCreateOptions::default)
            .unwrap();
        let files = fs::read_dir(keyspace.path().join("tables")).unwrap();
        assert_eq!(files.count(), keyspace.table_count(), "{}", table.name());
    }
    assert!(db.journal_count() <= 2, "{}", db.journal_count());
}

/// Bytes that each round leaves free: different ones, so that the disk fills in different places.
///
/// The journal keeps what all rounds wrote, since the library begins another only after 64 MB. A disk of twice their
/// sum has room for that and for the tables, which shrink again.
const ROOM_BYTES: [usize; 4] = [16 * MIB, 10 * MIB, 6 * MIB, 4 * MIB];

/// Fills the disk, again and again, also while the database flushes and compacts: what was acknowledged stays, what was
/// refused is nowhere, reads go on, and writes do once there is space.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_until_there_is_space() {
    let Some(disk) = Disk::new(2 * ROOM_BYTES.iter().sum::<usize>()) else {
        return;
    };
    let dir = disk.path().join("store");
    let options = EngineOptions {
        memtable_bytes: 512 * 1024,
        ..small()
    };
    let engine = Engine::open(&dir, options.clone()).unwrap();
    let mut ledger = Ledger::default();
    for (round, room) in ROOM_BYTES.into_iter().enumerate() {
        disk.leave(&format!("ballast-{round}"), room);
        while ledger.write_some(&engine).await {
            assert!(ledger.next < 100_000, "the disk never fills");
            if ledger.next.is_multiple_of(800) {
                disk.take(&format!("more-{}", ledger.next), 2 * MIB);
            }
        }
        // What failed writes gave back, so that the store does not recover by itself.
        disk.fill("rest");
        let EngineHealth::Failing { reason, recovers } = engine.health() else {
            panic!("round {round}: {:?}", engine.health());
        };
        println!(
            "round {round}: {} acknowledged or refused, {reason}",
            ledger.next
        );
        assert!(recovers, "round {round}: {reason}");
        assert!(reason.contains(&dir.display().to_string()), "{reason}");
        let fault = Fault::from(put(&engine, 0).await.unwrap_err());
        assert_eq!(fault.code, Code::StorageUnavailable);
        ledger.check(&engine, "while the disk is full");

        disk.free_all();
        until_healthy(&engine).await;
        ledger.settle().await;
        assert!(ledger.write_some(&engine).await, "round {round}");
        ledger.check(&engine, "after it recovered");
    }
    engine.close();
    let engine = Engine::open(&dir, options).unwrap();
    ledger.check(&engine, "after a restart");
    engine.close();
    check_nothing_left_over(&dir);
}

/// Each round writes more than a journal holds and then fills the disk. The rounds together write far more than the
/// disk holds, so that it would refuse them before its time if the journals of a round stayed behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_full_disks_left_over_does_not_add_up() {
    const ROUND_BYTES: usize = 72 * MIB;
    const ROW_BYTES: usize = 32 * 1024;
    let Some(disk) = Disk::new(192 * MIB) else {
        return;
    };
    let dir = disk.path().join("store");
    let options = EngineOptions {
        journal_bytes_max: 64 * MIB as u64,
        ..small()
    };
    let engine = Engine::open(&dir, options).unwrap();
    let bytes = Arc::new(noise(1, MIB));
    let put = |number: usize| {
        let bytes = Arc::clone(&bytes);
        engine.write::<_, StoreError>(move |tx| {
            let start = number * 997 % (MIB - ROW_BYTES);
            let row = &bytes[start..start + ROW_BYTES];
            tx.put(Table::Entries, (number % 64).to_be_bytes(), row);
            Ok(())
        })
    };
    let rows = ROUND_BYTES / ROW_BYTES;
    for round in 0..5 {
        for first in (round * rows..(round + 1) * rows).step_by(8) {
            for outcome in join_all((first..first + 8).map(put)).await {
                assert_eq!(outcome, Ok(()), "round {round}, row {first}");
            }
        }
        let mut more = 0;
        // What is in doubt is not answered as long as the disk is full.
        let some = || tokio::time::timeout(Duration::from_secs(2), join_all((0..8).map(put)));
        while some()
            .await
            .is_ok_and(|some| some.iter().all(Result::is_ok))
        {
            disk.take(&format!("more-{more}"), 8 * MIB);
            more += 1;
            assert!(more < 1_000, "the disk never fills");
        }
        disk.fill("rest");
        let refused = put(0).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        disk.free_all();
        until_healthy(&engine).await;
    }
    engine.close();
    check_nothing_left_over(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserve_is_kept_and_owners_load_again() {
    let Some(disk) = Disk::new(16 * MIB) else {
        return;
    };
    let options = EngineOptions {
        free_bytes_min: 4 * MIB as u64,
        ..small()
    };
    let store = Embedded::open(&disk.path().join("store"), options).unwrap();
    let entity = EntityId::new(Kind(1), [1; 10]);
    let first = Commit::new(entity, store.fence(), 1, 7);
    commit(&store, first).await.unwrap();
    assert!(disk.take("ballast", 12 * MIB));
    let mut next = Commit::new(entity, store.fence(), 2, 7);
    next.rows.push((b"k".to_vec(), Some(b"lost".to_vec())));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let lost = commit(&store, next.clone()).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    disk.free("ballast");
    until_healthy(store.engine()).await;
    let late = commit(&store, next.clone()).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
    next.fence = store.load(entity, Vec::new()).await.unwrap().unwrap().fence;
    commit(&store, next).await.unwrap();
    store.engine().close();
}

#[test]
fn opening_on_a_full_disk_is_refused() {
    let Some(disk) = Disk::new(MIB) else {
        return;
    };
    assert!(!disk.take("ballast", 2 * MIB));
    let refused = Engine::open(&disk.path().join("store"), small()).map(drop);
    assert!(
        matches!(refused, Err(OpenError::DiskFull { .. })),
        "{refused:?}"
    );
    disk.free("ballast");
    Engine::open(&disk.path().join("store"), small())
        .unwrap()
        .close();
}

#[test]
fn a_disk_mounted_for_reading_is_refused() {
    let Some(disk) = Disk::new(16 * MIB) else {
        return;
    };
    let dir = disk.path().join("store");
    disk.remount("ro");
    let refused = Engine::open(&dir, small()).map(drop);
    assert!(
        matches!(refused, Err(OpenError::NotWritable { .. })),
        "{refused:?}"
    );
    disk.remount("rw");
    Engine::open(&dir, small()).unwrap().close();
    disk.remount("ro");
    let refused = Engine::open(&dir, small()).map(drop);
    assert!(
        matches!(refused, Err(OpenError::NotWritable { .. })),
        "{refused:?}"
    );
}
