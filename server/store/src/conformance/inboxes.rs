//! Inboxes.

use std::sync::{Arc, Mutex};

use pitturu_protocol::types::inbox::InboxEntry;

use super::{Harness, create, room, room_row, user, write};
use crate::StoreError;
use crate::inboxes::{INBOX_ENTRIES_MAX, InboxHead, Inboxes as _};
use crate::rooms::{RoomWrite, Rooms as _};

pub(crate) async fn inboxes_are_dense_and_bounded(mut harness: impl Harness) {
    const OVER: u64 = 5;
    let store = harness.store();
    let empty = InboxHead { head: 0, first: 1 };
    assert_eq!(store.head(user(1)).await.unwrap(), empty);
    assert!(store.entries_after(user(1), 0, 9).await.unwrap().is_empty());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let listener = move |user, seq| hears.lock().unwrap().push((user, seq));
    assert!(store.listen(Box::new(listener)));
    assert!(!store.listen(Box::new(|_, _| {})), "there is one listener");

    let fence = create(store, room_row(room(1), "hall")).await;
    let entry = InboxEntry::RoomInvited {
        room: room(1),
        name: "hall".to_owned(),
        by: user(3),
    };
    for at in 0..INBOX_ENTRIES_MAX + OVER {
        let mut invite = RoomWrite::new(room(1), fence);
        invite.rows.inbox = vec![(user(1), entry.clone(), at)];
        if at == 0 {
            invite.rows.inbox.push((user(2), entry.clone(), at));
            invite
                .rows
                .inbox
                .push((user(2), InboxEntry::FriendRemoved { user: user(1) }, at));
        }
        store.write(
            store.reserve(0).unwrap(),
            invite,
            Box::new(|outcome: Result<(), StoreError>| outcome.unwrap()),
        );
    }
    write(store, RoomWrite::new(room(1), fence)).await.unwrap();
    let full = InboxHead {
        head: INBOX_ENTRIES_MAX + OVER,
        first: 1 + OVER,
    };
    // The last write's outcome is reported just before its group's notes.
    for _ in 0..500 {
        if heard.lock().unwrap().len() as u64 >= full.head + 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let heard: Vec<_> = std::mem::take(&mut *heard.lock().unwrap());
    let of = |number| {
        let seqs = heard.iter().filter(|(who, _)| *who == user(number));
        seqs.map(|&(_, seq)| seq).collect::<Vec<_>>()
    };
    assert_eq!(of(2).last(), Some(&2));
    assert_eq!(of(1).last(), Some(&full.head));
    assert!(of(1).is_sorted());

    harness.restart();
    let store = harness.store();
    assert_eq!(store.head(user(1)).await.unwrap(), full);
    assert_eq!(
        store.head(user(2)).await.unwrap(),
        InboxHead { head: 2, first: 1 }
    );
    let page = store.entries_after(user(1), 0, 2).await.unwrap();
    assert_eq!(
        page.iter().map(|added| added.seq).collect::<Vec<_>>(),
        [6, 7]
    );
    assert_eq!((page[0].at, &page[0].entry), (5, &entry));
    let rest = store
        .entries_after(user(1), full.head - 1, 9)
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert!(
        store
            .entries_after(user(1), full.head, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .entries_after(user(1), u64::MAX, 9)
            .await
            .unwrap()
            .is_empty()
    );
    let other = store.entries_after(user(2), 0, 9).await.unwrap();
    assert_eq!(other[1].entry, InboxEntry::FriendRemoved { user: user(1) });
}
