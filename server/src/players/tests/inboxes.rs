//! Inboxes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::lists::INBOX_ENTRIES_MAX;
use pitturu_store::entities::{Bounds, Span, StreamHead};
use pitturu_store::memory::{Failure, Memory};

use super::stored::{Stored, on_both_stores};
use super::{PATIENCE, Players, key, user};
use crate::players::entity;

on_both_stores! {
    inboxes_are_dense_and_bounded,
    an_entry_comes_once_for_each_key,
}

/// The server's own doing, for which there is room as long as there is any.
const fn promoted() -> InboxEntry {
    InboxEntry::RoleChanged { role: Role::Player }
}

fn invited() -> InboxEntry {
    InboxEntry::RoomInvited {
        room: RoomId::from_bytes([1; 10]),
        name: "hall".to_owned(),
        by: user(3),
    }
}

async fn inboxes_are_dense_and_bounded(stored: impl Stored) {
    const OVER: u64 = 30;
    const MAX: u64 = INBOX_ENTRIES_MAX as u64;
    let mut world = Players::start(stored);
    let store = &world.store;
    assert_eq!(store.inbox(user(1)).await.unwrap(), StreamHead::default());
    assert!(store.inbox_after(user(1), 0, 9).await.unwrap().is_empty());
    let removed = InboxEntry::FriendRemoved { user: user(1) };
    for entry in [invited(), removed.clone()] {
        world.owners.tell(user(2), entry, None, 7).await.unwrap();
    }
    // All are asked at once: they come in the order in which they were asked.
    let told = (0..MAX + OVER).map(|at| {
        let asked = world.owners.tell(user(1), promoted(), None, at);
        async move { asked.await.unwrap() }
    });
    join_all(told).await;
    let full = StreamHead {
        head: MAX + OVER,
        first: 1 + OVER,
    };
    assert_eq!(world.grown.times(user(2)), 2);
    let grown = world.grown.times(user(1)) as u64;
    assert_eq!(grown, full.head, "once for each commit");

    // What is kept no longer goes for good, some time later.
    let began = Instant::now();
    let entities = world.stored.entities();
    loop {
        let (span, bounds) = (Span::Before(u64::MAX), Bounds::rows(usize::MAX));
        let kept = entities.entries(entity(user(1)), 0, span, bounds).await;
        if kept.unwrap().len() == INBOX_ENTRIES_MAX {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.restart();
    let store = &world.store;
    assert_eq!(store.inbox(user(1)).await.unwrap(), full);
    let two = StreamHead { head: 2, first: 1 };
    assert_eq!(store.inbox(user(2)).await.unwrap(), two);
    let all = store.inbox_after(user(1), 0, 9_999).await.unwrap();
    let seqs: Vec<u64> = all.iter().map(|added| added.seq).collect();
    let expected: Vec<u64> = (full.first..=full.head).collect();
    assert_eq!(seqs, expected, "dense");
    assert!(all.iter().all(|added| added.at == added.seq - 1));
    let page = store.inbox_after(user(1), 0, 2).await.unwrap();
    assert_eq!(page, all[..2]);
    assert_eq!(page[0].entry, promoted());
    let rest = store.inbox_after(user(1), full.head - 1, 9).await.unwrap();
    assert_eq!(rest.len(), 1);
    for behind in [full.head, u64::MAX] {
        let none = store.inbox_after(user(1), behind, 9).await.unwrap();
        assert!(none.is_empty());
    }
    let other = store.inbox_after(user(2), 0, 9).await.unwrap();
    assert_eq!(other[1].entry, removed);
    // A later life goes on where this one stood.
    world
        .owners
        .tell(user(1), invited(), None, 9)
        .await
        .unwrap();
    assert_eq!(
        world.store.inbox(user(1)).await.unwrap().head,
        full.head + 1
    );
}

async fn an_entry_comes_once_for_each_key(stored: impl Stored) {
    let mut world = Players::start(stored);
    for round in 0..3 {
        let told = (0..4).map(|_| {
            world
                .owners
                .tell(user(1), invited(), Some(key("k", 1, 1)), 5)
        });
        for outcome in join_all(told).await {
            outcome.unwrap();
        }
        assert_eq!(world.store.inbox(user(1)).await.unwrap().head, 1, "{round}");
        world.restart();
    }
    world
        .owners
        .tell(user(1), invited(), Some(key("l", 1, 1)), 5)
        .await
        .unwrap();
    assert_eq!(world.store.inbox(user(1)).await.unwrap().head, 2);
}

#[tokio::test]
async fn a_failure_of_another_entity_refuses_nobody_who_stays_in_memory() {
    let store = Memory::new();
    let world = Players::start(store.clone());
    for round in 1..=3 {
        let told = world.owners.tell(user(1), invited(), None, 5);
        let told = told.await;
        told.unwrap_or_else(|fault| panic!("round {round}: {fault}"));
        assert_eq!(world.store.inbox(user(1)).await.unwrap().head, round);
        // From now on the store refuses what rests on a state that was loaded before.
        store.fail_commits(1, Failure::Lost);
        let failed = world.owners.tell(user(2), invited(), None, 5);
        assert!(failed.await.is_err());
    }
}
