//! Rooms, their members, and how writes behave.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use pitturu_protocol::types::chat::{MemberRole, Retention, RoomKind};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::rooms::rows::{Change, ChangeRow, MemberState, RoomRow};

use super::{Harness, create, member, message, room, room_row, send, user, write};
use crate::StoreError;
use crate::idempotency::{KeyRecord, KeyedResults as _};
use crate::inboxes::Inboxes as _;
use crate::rooms::{Fence, Messages as _, RoomWrite, Rooms as _};

pub(crate) async fn unknown_rooms_are_empty(harness: impl Harness) {
    let store = harness.store();
    let unknown = room(1);
    assert_eq!(store.load(unknown).await.unwrap(), None);
    assert!(store.summaries(vec![unknown]).await.unwrap().is_empty());
    assert!(store.rooms_of(user(1), None, 9).await.unwrap().is_empty());
    assert_eq!(store.member(unknown, user(1)).await.unwrap(), None);
    assert!(store.rooms_page(None, 9).await.unwrap().is_empty());
    assert!(
        store
            .messages_after(unknown, 0, 9, 9999)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .messages_before(unknown, u64::MAX, 9, 9999)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.message(unknown, 1).await.unwrap(), None);
    assert!(
        store
            .changes_after(unknown, 0, 9, 9999)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.seq_at_time(unknown, 1).await.unwrap(), 1);
    assert!(
        store
            .reactions(unknown, 1, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(matches!(
        store.remove_before(unknown, 1, 1).await,
        Err(StoreError::Conflict(_))
    ));
    assert!(!store.sweep().await.unwrap());
    let mut orphan = RoomWrite::new(unknown, store.fence());
    orphan.rows.message = Some(message(1, "nowhere"));
    assert!(matches!(
        write(store, orphan).await,
        Err(StoreError::Conflict(_))
    ));
    assert_eq!(store.load(unknown).await.unwrap(), None);
}

pub(crate) async fn a_room_comes_back_as_it_was_written(mut harness: impl Harness) {
    let row = RoomRow {
        kind: RoomKind::Direct,
        topic: Some("주제".to_owned()),
        slow_mode_ms: 1_500,
        retention: Retention {
            age_ms: Some(u64::MAX),
            messages: None,
        },
        created_at: u64::MAX,
        peers: Some([user(1), user(2)]),
        ..room_row(room(1), "name \0 \u{10ffff}")
    };
    let mut first = RoomWrite::new(room(1), harness.store().fence());
    first.rows.row = Some(row.clone());
    let mut banned = member(
        user(3),
        MemberState::Banned {
            by: user(1),
            until: None,
            reason: Some(String::new()),
        },
    );
    banned.muted_until = Some(7);
    banned.invited_by = Some(user(2));
    banned.role = MemberRole::Owner;
    banned.read = 12;
    first.rows.members = vec![banned, member(user(1), MemberState::Member)];
    let mut sent = message(1, "첫");
    sent.msg.data = Some(vec![0, 255]);
    sent.msg.reply_to = Some(1);
    first.rows.message = Some(sent.clone());
    let members = vec![first.rows.members[1].clone(), first.rows.members[0].clone()];
    write(harness.store(), first).await.unwrap();

    for _ in 0..2 {
        let loaded = harness.store().load(room(1)).await.unwrap().unwrap();
        assert_eq!(loaded.stored.row, row);
        assert_eq!(loaded.stored.members, members, "in the order of their ids");
        assert_eq!(
            (loaded.stored.head, loaded.stored.rev, loaded.stored.last_at),
            (1, 0, 10)
        );
        assert_eq!((loaded.stored.first, loaded.stored.changes_first), (1, 1));
        assert_eq!(loaded.stored.last.as_ref(), Some(&sent));
        let summary = &harness
            .store()
            .summaries(vec![room(9), room(1)])
            .await
            .unwrap()[0];
        assert_eq!((summary.members, summary.head), (1, 1));
        assert_eq!(summary.last.as_ref(), Some(&sent));
        harness.restart();
    }
}

pub(crate) async fn writes_are_whole_or_refused(harness: impl Harness) {
    let store = harness.store();
    let fence = create(store, room_row(room(1), "hall")).await;
    send(store, room(1), message(1, "one")).await;
    let full = |fence: Fence| {
        let mut full = RoomWrite::new(room(1), fence);
        full.rows.row = Some(room_row(room(1), "renamed"));
        full.rows.members = vec![member(user(5), MemberState::Member)];
        full.rows.message = Some(message(2, "two"));
        full.rows.updated = vec![message(1, "changed")];
        full.rows.change = Some(ChangeRow {
            rev: 1,
            at_seq: 1,
            at: 1,
            change: Change::Deleted {
                seq: 1,
                by: user(1),
            },
        });
        full.rows.reactions = vec![(1, user(5), vec!["👍".to_owned()])];
        let record = KeyRecord {
            method: 1,
            request_hash: [0; 16],
            reply: vec![1],
            at: 1,
        };
        full.key = Some((user(5), "key".to_owned(), record));
        full.rows.inbox = vec![(user(5), InboxEntry::FriendRemoved { user: user(1) }, 1)];
        full
    };
    let mut wrong = vec![full(fence); 6];
    wrong[0].rows.message.as_mut().unwrap().msg.seq = 1;
    wrong[1].rows.message.as_mut().unwrap().msg.seq = 3;
    wrong[2].rows.message.as_mut().unwrap().msg.at = 9;
    wrong[3].rows.change.as_mut().unwrap().rev = 2;
    wrong[4].rows.row.as_mut().unwrap().room = room(2);
    wrong[5].fence = Fence(u64::MAX);
    let before = store.load(room(1)).await.unwrap().unwrap();
    for (index, wrong) in wrong.into_iter().enumerate() {
        let refused = write(store, wrong).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict(_))),
            "{index}: {refused:?}"
        );
        assert_eq!(
            store.load(room(1)).await.unwrap().unwrap(),
            before,
            "{index}"
        );
        assert_eq!(
            store.message(room(1), 1).await.unwrap().unwrap().msg.text,
            "one"
        );
        assert_eq!(store.message(room(1), 2).await.unwrap(), None);
        assert!(
            store
                .reaction_of(room(1), 1, user(5))
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(store.recall(Some(user(5)), "key").await.unwrap(), None);
        assert_eq!(store.head(user(5)).await.unwrap().head, 0);
        assert!(store.rooms_of(user(5), None, 9).await.unwrap().is_empty());
    }
    write(store, full(fence)).await.unwrap();
    let after = store.load(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (
            after.stored.head,
            after.stored.rev,
            after.stored.members.len()
        ),
        (2, 1, 1)
    );
    assert_eq!(after.stored.row.name, "renamed");
    assert_eq!(
        store.message(room(1), 1).await.unwrap().unwrap().msg.text,
        "changed"
    );
    assert_eq!(store.head(user(5)).await.unwrap().head, 1);
    assert!(store.recall(Some(user(5)), "key").await.unwrap().is_some());
}

pub(crate) async fn writes_report_in_order(harness: impl Harness) {
    const WRITES: u64 = 500;
    let store = harness.store();
    let fence = create(store, room_row(room(1), "hall")).await;
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (all, done) = tokio::sync::oneshot::channel();
    let mut all = Some(all);
    for seq in 1..=WRITES {
        let mut next = RoomWrite::new(room(1), fence);
        next.rows.message = Some(message(seq, "text"));
        let reports = Arc::clone(&reports);
        let last = if seq == WRITES { all.take() } else { None };
        let report = move |result: Result<(), StoreError>| {
            reports.lock().unwrap().push((seq, result));
            if let Some(last) = last {
                last.send(()).unwrap();
            }
        };
        store.write(store.reserve(0).unwrap(), next, Box::new(report));
    }
    done.await.unwrap();
    let expected: Vec<_> = (1..=WRITES).map(|seq| (seq, Ok(()))).collect();
    assert_eq!(*reports.lock().unwrap(), expected);
}

pub(crate) async fn members_come_and_go(harness: impl Harness) {
    let store = harness.store();
    let fence = create(store, room_row(room(1), "hall")).await;
    let set = async |number: u16, state: MemberState| {
        let mut change = RoomWrite::new(room(1), fence);
        change.rows.members = vec![member(user(number), state)];
        write(store, change).await.unwrap();
        let members = store.summaries(vec![room(1)]).await.unwrap()[0].members;
        let listed = store.rooms_of(user(number), None, 9).await.unwrap().len();
        (members, listed)
    };
    let banned = MemberState::Banned {
        by: user(1),
        until: Some(5),
        reason: None,
    };
    assert_eq!(set(1, MemberState::Member).await, (1, 1));
    assert_eq!(set(1, MemberState::Member).await, (1, 1), "twice is once");
    assert_eq!(set(2, MemberState::Invited).await, (1, 1));
    assert_eq!(set(2, MemberState::Member).await, (2, 1));
    assert_eq!(set(2, banned.clone()).await, (1, 0));
    assert_eq!(set(3, MemberState::Left).await, (1, 0), "was never there");
    assert_eq!(set(1, MemberState::Left).await, (0, 0));
    assert_eq!(set(1, MemberState::Left).await, (0, 0));
    let members = store.load(room(1)).await.unwrap().unwrap().stored.members;
    assert_eq!(members, [member(user(2), banned)]);
    assert_eq!(store.member(room(1), user(1)).await.unwrap(), None);
    assert!(store.member(room(1), user(2)).await.unwrap().is_some());
}

pub(crate) async fn large_rooms_load(mut harness: impl Harness) {
    const MEMBERS: u16 = 10_000;
    let fence = create(harness.store(), room_row(room(1), "hall")).await;
    for chunk in (0..MEMBERS).collect::<Vec<_>>().chunks(500) {
        let mut join = RoomWrite::new(room(1), fence);
        join.rows.members = chunk
            .iter()
            .map(|&number| member(user(number), MemberState::Member))
            .collect();
        write(harness.store(), join).await.unwrap();
    }
    harness.restart();
    let started = Instant::now();
    let loaded = harness.store().load(room(1)).await.unwrap().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "loaded {MEMBERS} members, {:.0} rows/s",
        f64::from(MEMBERS) / seconds
    );
    assert_eq!(loaded.stored.members.len(), usize::from(MEMBERS));
    assert!(loaded.stored.members.is_sorted_by_key(|member| member.user));
}
