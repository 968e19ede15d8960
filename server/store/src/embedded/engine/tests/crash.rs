//! A process that is killed in the middle of its writes, again and again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::rooms::rows::MemberState;

use super::super::EngineOptions;
use super::small;
use crate::conformance::{create, member, message, room, room_row, user};
use crate::embedded::Embedded;
use crate::idempotency::{KeyRecord, KeyedResults as _};
use crate::inboxes::{INBOX_ENTRIES_MAX, Inboxes as _};
use crate::rooms::{Messages as _, RoomWrite, Rooms as _};

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

fn text(seq: u64) -> String {
    format!("{seq} ").repeat(20 + usize::try_from(seq % 50).unwrap())
}

/// Everything that one write of the test changes.
fn nth_write(store: &Embedded, seq: u64) -> RoomWrite {
    let mut next = RoomWrite::new(room(1), store.fence());
    next.rows.message = Some(message(seq, &text(seq)));
    let mut reader = member(user(1), MemberState::Member);
    reader.read = seq;
    next.rows.members = vec![reader];
    next.rows.reactions = vec![(seq, user(1), vec!["👍".to_owned()])];
    let record = KeyRecord {
        method: 1,
        request_hash: [0; 16],
        reply: seq.to_be_bytes().to_vec(),
        at: seq,
    };
    next.key = Some((user(1), format!("key {seq}"), record));
    next.rows.inbox = vec![(user(1), InboxEntry::FriendRemoved { user: user(2) }, seq)];
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
        match store.load(room(1)).await.unwrap() {
            Some(loaded) => loaded.stored.head,
            None => {
                create(&store, room_row(room(1), "hall")).await;
                0
            }
        }
    });
    let (done, outcomes) = mpsc::channel();
    let mut under_way = 0;
    for seq in head + 1.. {
        let done = done.clone();
        store.write(
            store.reserve(0).unwrap(),
            nth_write(&store, seq),
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
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    let head = loaded.stored.head;
    assert!(head >= acknowledged, "{place}: {head} < {acknowledged}");
    let mut after = 0;
    while after < head {
        let page = store
            .messages_after(room(1), after, 500, 1 << 20)
            .await
            .unwrap();
        for row in page {
            after += 1;
            assert_eq!((row.msg.seq, row.msg.text), (after, text(after)), "{place}");
        }
    }
    assert_eq!(loaded.stored.members[0].read, head, "{place}");
    let inbox = store.head(user(1)).await.unwrap();
    assert_eq!(inbox.head, head, "{place}");
    let entries = store.entries_after(user(1), 0, 1_000).await.unwrap();
    assert_eq!(entries.len() as u64, head.min(INBOX_ENTRIES_MAX), "{place}");
    for seq in [1, head / 2 + 1, acknowledged, head] {
        let kept = store
            .recall(Some(user(1)), &format!("key {seq}"))
            .await
            .unwrap();
        assert_eq!(kept.unwrap().reply, seq.to_be_bytes(), "{place}");
        let reacted = store.reaction_of(room(1), seq, user(1)).await.unwrap();
        assert_eq!(reacted.len(), 1, "{place}");
    }
    let beyond = format!("key {}", head + 1);
    assert_eq!(
        store.recall(Some(user(1)), &beyond).await.unwrap(),
        None,
        "{place}"
    );
}
