//! Logs that somebody with access to the store has changed.

use std::path::Path;
use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::audit_log::{AuditAct, AuditDetails, AuditEntry};
use pitturu_rules::audit_log::{Note, digest};
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use pitturu_store::entities::{Entities, RowKey};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::verification::Verification;
use crate::io_threads::IoThreads;
use crate::owners::journal::Journal;
use crate::owners::signals::Routes;
use crate::players::audit_log::{self, entity};
use crate::players::store::PlayerStore;
use crate::players::tests::{Grown, without_rooms};
use crate::players::{self};

/// Entries of the log that is tampered with.
const ENTRIES: u64 = 5;

/// An entry as it lies in the store.
#[derive(Serialize, Deserialize)]
struct Stored {
    e: AuditEntry,
    d: String,
}

fn key(family: u8, number: u64) -> RowKey {
    [&[family][..], &number.to_be_bytes()].concat()
}

fn open(folder: &Path) -> Embedded {
    Embedded::open(folder, EngineOptions::default()).expect("it opens")
}

/// A log that was written as a server writes it, in a folder.
async fn written() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path());
    let (io_threads, _threads) = IoThreads::start(1).expect("threads");
    let routes = Arc::new(Routes::default());
    let environment = players::Environment {
        players: PlayerStore::new(Arc::new(store.clone())),
        game: Arc::default(),
        direct_rooms: without_rooms(&routes),
        routes,
        notifier: Arc::new(Grown::default()),
    };
    let owner = audit_log::start(&io_threads, &environment);
    assert!(store.listen_to_reports(Box::new(owner.announcer())));
    for number in 1..=ENTRIES {
        let note = Note {
            by: Some(UserId::from_bytes([1; 10])),
            user: Some(UserId::from_bytes([2; 10])),
            reason: Some(format!("reason {number}")),
            ..Note::new(AuditAct::Suspended, 1_000 + number)
        };
        owner.note(note).await.expect("it is kept");
    }
    store.engine().close();
    folder
}

/// Changes rows behind the server's back.
async fn tamper(store: &Embedded, rows: Vec<(RowKey, Option<Vec<u8>>)>) {
    let loaded = store.load(entity(), Vec::new()).await.expect("it is read");
    let mut journal = Journal::of(entity(), &loaded.expect("it is there"));
    let mut commit = journal.next();
    commit.rows = rows;
    let reservation = store.reserve(4_096).expect("there is room");
    let (done, is_done) = tokio::sync::oneshot::channel();
    let done = Box::new(move |outcome| drop(done.send(outcome)));
    store.commit(reservation, commit.into(), done);
    is_done.await.expect("it is reported").expect("it is kept");
}

async fn entry(store: &Embedded, number: u64) -> Stored {
    let rows = store.rows_of(vec![(entity(), key(b'e', number))]).await;
    let row = rows.expect("it is read").remove(0).expect("it is there");
    codec::decode(&row).expect("an entry")
}

/// What is found of a log that was changed like this.
async fn found(change: impl AsyncFnOnce(&Embedded)) -> Verification {
    let folder = written().await;
    let store = open(folder.path());
    change(&store).await;
    let players = PlayerStore::new(Arc::new(store.clone()));
    let found = Verification::of(&players, &[]).await;
    store.engine().close();
    found.expect("it is read")
}

async fn put(store: &Embedded, number: u64, stored: &Stored) {
    let row = (key(b'e', number), Some(codec::encode(stored)));
    tamper(store, vec![row]).await;
}

#[tokio::test]
async fn a_log_as_it_was_written_is_whole() {
    let found = found(async |_| {}).await;
    assert_eq!((found.faults, found.head.number), (0, ENTRIES));
}

#[tokio::test]
async fn a_changed_entry_is_found_with_or_without_a_new_digest() {
    for with_digest in [false, true] {
        let found = found(async |store| {
            let mut stored = entry(store, 3).await;
            stored.e.by = Some(UserId::from_bytes([9; 10]));
            if with_digest {
                stored.d = digest(&stored.e);
            }
            put(store, 3, &stored).await;
        })
        .await;
        assert!(found.faults > 0, "{with_digest}");
        let expected = if with_digest { "entry 4:" } else { "entry 3:" };
        assert!(found.told[0].starts_with(expected), "{:?}", found.told);
    }
}

#[tokio::test]
async fn a_removed_entry_is_found_in_the_middle_and_at_the_end() {
    for number in [1, 3, ENTRIES] {
        let found = found(async |store| tamper(store, vec![(key(b'e', number), None)]).await).await;
        assert!(found.faults > 0, "entry {number}");
    }
}

#[tokio::test]
async fn an_entry_that_is_put_behind_the_newest_is_found() {
    let found = found(async |store| {
        let last = entry(store, ENTRIES).await;
        let mut more = entry(store, 1).await;
        more.e.number = ENTRIES + 1;
        more.e.previous = last.d;
        more.d = digest(&more.e);
        put(store, ENTRIES + 1, &more).await;
    })
    .await;
    assert!(found.faults > 0);
}

#[tokio::test]
async fn changed_details_are_found_and_erased_ones_are_counted() {
    let change = found(async |store| {
        let details = AuditDetails {
            reason: Some("something else".to_owned()),
            ..AuditDetails::default()
        };
        let row = (key(b'd', 2), Some(codec::encode(&details)));
        tamper(store, vec![row]).await;
    })
    .await;
    assert_eq!((change.faults, change.erased), (1, 0));
    let erased = found(async |store| tamper(store, vec![(key(b'd', 2), None)]).await).await;
    assert_eq!((erased.faults, erased.erased), (0, 1));
}

#[tokio::test]
async fn a_row_that_is_none_is_a_fault() {
    let row = Some(b"not an entry".to_vec());
    let found = found(async |store| tamper(store, vec![(key(b'e', 4), row)]).await).await;
    assert!(found.faults > 0);
    assert!(found.told[0].contains("can't be read"), "{:?}", found.told);
}
