//! Retention and deletion.

use pitturu_rules::rooms::rows::{Change, ChangeRow, MemberState, RoomRow};

use super::{Harness, create, member, message, room, room_row, send, send_many, seqs, user, write};
use crate::StoreError;
use crate::rooms::{Messages as _, RoomWrite, Rooms as _};

pub(crate) async fn retention_removes_the_oldest(mut harness: impl Harness) {
    const MESSAGES: u64 = 1_300;
    let store = harness.store();
    let fence = create(store, room_row(room(1), "hall")).await;
    create(store, room_row(room(2), "next door")).await;
    send_many(store, room(1), MESSAGES).await;
    send_many(store, room(2), 3).await;
    for rev in 1..=3 {
        let mut next = RoomWrite::new(room(1), fence);
        next.rows.change = Some(ChangeRow {
            rev,
            at_seq: MESSAGES,
            at: 1,
            change: Change::Deleted {
                seq: rev,
                by: user(1),
            },
        });
        next.rows.reactions = (0..400)
            .map(|number| (rev, user(number), vec!["👍".to_owned()]))
            .collect();
        write(store, next).await.unwrap();
    }
    store.remove_before(room(1), 1_201, 3).await.unwrap();
    store.remove_before(room(1), 100, 1).await.unwrap();
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    assert_eq!((loaded.stored.first, loaded.stored.head), (1_201, MESSAGES));
    assert_eq!((loaded.stored.changes_first, loaded.stored.rev), (3, 3));
    let page = store.messages_after(room(1), 0, 2, 9_999).await.unwrap();
    assert_eq!(seqs(&page), [1_201, 1_202]);
    let page = store
        .messages_before(room(1), 1_202, 9, 9_999)
        .await
        .unwrap();
    assert_eq!(seqs(&page), [1_201]);
    assert_eq!(store.message(room(1), 1_200).await.unwrap(), None);
    assert_eq!(
        store
            .changes_after(room(1), 0, 9, 9_999)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(
        store
            .reactions(room(1), 3, None, 9)
            .await
            .unwrap()
            .is_empty()
    );

    // What is gone does not come back.
    let mut late = RoomWrite::new(room(1), fence);
    late.rows.updated = vec![message(5, "edited late")];
    late.rows.reactions = vec![(5, user(1), vec!["👍".to_owned()])];
    write(store, late).await.unwrap();
    assert_eq!(store.message(room(1), 5).await.unwrap(), None);
    assert!(
        store
            .reaction_of(room(1), 5, user(1))
            .await
            .unwrap()
            .is_empty()
    );

    store
        .remove_before(room(1), u64::MAX, u64::MAX)
        .await
        .unwrap();
    harness.restart();
    let store = harness.store();
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (loaded.stored.first, loaded.stored.head),
        (MESSAGES + 1, MESSAGES)
    );
    assert_eq!((loaded.stored.changes_first, loaded.stored.rev), (4, 3));
    assert_eq!(
        (loaded.stored.last, loaded.stored.last_at),
        (None, MESSAGES * 10)
    );
    assert!(
        store
            .messages_after(room(1), 0, 9, 9_999)
            .await
            .unwrap()
            .is_empty()
    );
    send(store, room(1), message(MESSAGES + 1, "goes on")).await;
    let page = store.messages_after(room(1), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&page), [MESSAGES + 1]);
    let other = store.messages_after(room(2), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&other), [1, 2, 3]);
}

pub(crate) async fn deleted_rooms_go_for_good(mut harness: impl Harness) {
    let store = harness.store();
    let fence = create(store, room_row(room(1), "doomed hall")).await;
    create(store, room_row(room(2), "other hall")).await;
    send_many(store, room(1), 1_100).await;
    send_many(store, room(2), 2).await;
    let mut crowd = RoomWrite::new(room(1), fence);
    crowd.rows.members = (0..600)
        .map(|number| member(user(number), MemberState::Member))
        .collect();
    crowd.rows.reactions = vec![(7, user(1), vec!["👍".to_owned()])];
    write(store, crowd).await.unwrap();

    let mut delete = RoomWrite::new(room(1), fence);
    delete.rows.row = Some(RoomRow {
        deleted: true,
        ..room_row(room(1), "doomed hall")
    });
    write(store, delete.clone()).await.unwrap();
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    assert!(loaded.stored.row.deleted && loaded.stored.members.is_empty());
    assert!(
        store
            .messages_after(room(1), 0, 9, 9_999)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.rooms_of(user(5), None, 9).await.unwrap().is_empty());
    assert!(store.summaries(vec![room(1)]).await.unwrap().is_empty());
    assert_eq!(store.public_rooms(None, 9).await.unwrap().rooms, [room(2)]);
    let found = store.search("doomed".to_owned(), None, 9).await.unwrap();
    assert!(found.rooms.is_empty());
    assert!(matches!(
        write(store, delete).await,
        Err(StoreError::Conflict(_))
    ));

    assert!(store.sweep().await.unwrap());
    harness.restart();
    let store = harness.store();
    let mut rounds = 1;
    while store.sweep().await.unwrap() {
        rounds += 1;
        assert!(rounds < 100, "the sweep does not end");
    }
    assert!(rounds > 3, "the work is cut in pieces");
    assert_eq!(store.load(room(1)).await.unwrap(), None);

    create(store, room_row(room(1), "new hall")).await;
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (
            loaded.stored.head,
            loaded.stored.rev,
            loaded.stored.members.len()
        ),
        (0, 0, 0)
    );
    send(store, room(1), message(1, "first")).await;
    let page = store.messages_after(room(1), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&page), [1]);
    for seq in [1, 7] {
        assert!(
            store
                .reactions(room(1), seq, None, 9)
                .await
                .unwrap()
                .is_empty()
        );
    }
    assert!(store.rooms_of(user(5), None, 9).await.unwrap().is_empty());
    let other = store.messages_after(room(2), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&other), [1, 2]);
}
