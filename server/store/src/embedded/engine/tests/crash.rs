//! A process that is killed in the middle of its writes, again and again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use pitturu_protocol::ids::UserId;

use super::super::EngineOptions;
use super::small;
use crate::embedded::Embedded;
use crate::entities::{
    Applied, Bounds, Commit, Entities as _, EntityId, Entry, Head, KeyedRequest, KeyedResult, Kind,
    List, RowRange, Signal, Span,
};

const USER: UserId = UserId::from_bytes([1; 10]);

/// How far back the list is looked at.
const KEPT: u64 = 1_000;

/// Names the folder to the process that writes.
const FOLDER: &str = "PITTURU_TEST_CRASH_FOLDER";

/// How often it is killed.
const KILLS: usize = 15;

/// Writes that it has under way at once.
const UNDER_WAY: usize = 64;

fn options() -> EngineOptions {
    // Small, so that flushes and compactions are interrupted too.
    EngineOptions {
        memtable_bytes: 256 * 1024,
        ..small()
    }
}

fn entity(number: u8) -> EntityId {
    EntityId::new(Kind(number), [number; 10])
}

fn text(seq: u64) -> Vec<u8> {
    let times = 20 + usize::try_from(seq % 50).unwrap();
    format!("{seq} ").repeat(times).into_bytes()
}

/// Everything that one commit of the test changes. Every third does nothing but append, and leave a result.
fn nth_commit(store: &Embedded, seq: u64) -> Commit {
    let mut next = Commit::new(entity(1), store.fence(), seq, 9);
    let row = text(seq);
    next.entries = vec![Entry {
        stream: 0,
        number: seq,
        row: row.clone(),
    }];
    next.results = vec![KeyedResult {
        user: USER,
        key: format!("key {seq}").into(),
        method: 1,
        request: KeyedRequest::Hash([0; 16]),
        reply: seq.to_be_bytes().to_vec(),
    }];
    if !seq.is_multiple_of(3) {
        next.rows = vec![(b"newest".to_vec(), Some(seq.to_be_bytes().to_vec()))];
        next.lists = vec![(List(9), seq.to_be_bytes().to_vec(), Some(Vec::new()))];
        next.signals = vec![Signal {
            to: entity(2),
            body: row,
        }];
        next.applied = Some(Applied {
            from: entity(3),
            incarnation: 1,
            version: seq,
        });
    }
    next
}

/// The process that is killed: this test does nothing unless it is told a folder.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Embedded::open(Path::new(&dir), options()).unwrap();
    let head = runtime.block_on(async {
        let loaded = store.load(entity(1), Vec::new()).await.unwrap();
        loaded
            .map_or_else(Head::default, |loaded| loaded.head)
            .version
    });
    let (done, outcomes) = mpsc::channel();
    let mut under_way = 0;
    for seq in head + 1.. {
        let done = done.clone();
        store.commit(
            store.reserve(0).unwrap(),
            nth_commit(&store, seq).into(),
            Box::new(move |outcome| done.send(outcome.map(|()| seq)).unwrap()),
        );
        under_way += 1;
        if under_way == UNDER_WAY {
            let seq = outcomes.recv().unwrap().unwrap();
            under_way -= 1;
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {seq}").unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn killing_the_process_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let mut acknowledged = 0;
    for (kill, chance) in (0..KILLS).zip(seed.iter().cycle()) {
        let wait = Duration::from_millis(u64::from(*chance) * (1 + kill as u64 % 3));
        let seen = run_and_kill(dir.path(), wait);
        assert!(
            seen > acknowledged,
            "seed {seed:?}, kill {kill}: no progress"
        );
        acknowledged = seen;
        let store = Embedded::open(dir.path(), options()).unwrap();
        runtime.block_on(check(
            &store,
            acknowledged,
            &format!("seed {seed:?}, kill {kill}"),
        ));
        store.engine().close();
    }
    println!("{acknowledged} acknowledged writes outlived {KILLS} kills");
}

/// Lets the process write for `wait` after its first acknowledgement, and kills it; the last one that it reported.
fn run_and_kill(dir: &Path, wait: Duration) -> u64 {
    let name = format!("{}::writes_until_it_is_killed", module_path!());
    let (_, name) = name.split_once("::").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (first, began) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last = 0;
        // A last line that was cut by the kill is no acknowledgement.
        for line in out.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if let Some(seq) = line.split("acknowledged ").nth(1)
                && let Ok(seq) = seq.parse::<u64>()
                && seq > last
            {
                last = seq;
                let _ = first.send(());
            }
        }
        last
    });
    began.recv_timeout(Duration::from_secs(60)).unwrap();
    std::thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

async fn check(store: &Embedded, acknowledged: u64, place: &str) {
    let loaded = store.load(entity(1), Vec::new()).await.unwrap().unwrap();
    let version = loaded.head.version;
    assert!(
        version >= acknowledged,
        "{place}: {version} < {acknowledged}"
    );
    assert_eq!(loaded.head.streams[0].head, version, "{place}");
    let mut after = 0;
    while after < version {
        let (span, bounds) = (Span::After(after), Bounds::rows(500));
        for (number, row) in store.entries(entity(1), 0, span, bounds).await.unwrap() {
            after += 1;
            assert_eq!((number, row), (after, text(after)), "{place}");
        }
    }
    let newest = (1..=version).rev().find(|seq| !seq.is_multiple_of(3));
    let newest = newest.unwrap_or_default();
    let row = store
        .rows_of(vec![(entity(1), b"newest".to_vec())])
        .await
        .unwrap();
    let row = row[0].clone().unwrap_or_default();
    assert_eq!(row, newest.to_be_bytes(), "{place}");
    let applied = store.applied(entity(1), entity(3)).await.unwrap();
    assert_eq!(
        applied.map(|applied| applied.version),
        Some(newest),
        "{place}"
    );
    let behind = newest.saturating_sub(KEPT);
    let listed = (behind + 1..=newest)
        .filter(|seq| !seq.is_multiple_of(3))
        .count();
    let range = RowRange::default().after(Some(behind.to_be_bytes().to_vec()));
    let found = store
        .list(List(9), range, Bounds::rows(1_000))
        .await
        .unwrap();
    assert_eq!(found.len(), listed, "{place}");
    let waiting = store.undelivered(entity(1), None, 1_000).await.unwrap();
    let told: Vec<_> = (1..=version)
        .filter(|seq| !seq.is_multiple_of(3))
        .take(1_000)
        .collect();
    let versions: Vec<_> = waiting.iter().map(|found| found.version).collect();
    assert_eq!(versions, told, "{place}");
    for seq in [1, version / 2 + 1, acknowledged, version] {
        let kept = store
            .recall(entity(1), USER, &format!("key {seq}"))
            .await
            .unwrap();
        assert_eq!(kept.unwrap().reply, seq.to_be_bytes(), "{place}");
    }
    let beyond = format!("key {}", version + 1);
    assert_eq!(
        store.recall(entity(1), USER, &beyond).await.unwrap(),
        None,
        "{place}"
    );
}
