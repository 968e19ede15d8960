//! Retention and deletion.

use pitturu_rules::rooms::rows::{Change, ChangeRow, MemberState, RoomRow, RoomRows};
use pitturu_store::entities::Bounds;

use super::{NOW, Owner, is_conflict, member, message, room, room_row, seqs, user};
use crate::chat::store::RoomStore;
use crate::players::tests::stored::{Stored, on_both_stores};

on_both_stores! {
    retention_removes_the_oldest,
    deleted_rooms_go_for_good,
}

/// Three days, after which a room that has ended is known no longer.
const LONG_AFTER: u64 = NOW + 3 * 24 * 60 * 60 * 1_000;

fn like() -> Vec<String> {
    vec!["👍".to_owned()]
}

async fn retention_removes_the_oldest(mut store: impl Stored) {
    const MESSAGES: u64 = 1_300;
    let rooms = RoomStore::new(store.entities());
    let mut hall = Owner::create(&rooms, room_row(room(1), "hall")).await;
    let mut next_door = Owner::create(&rooms, room_row(room(2), "next door")).await;
    hall.send_many(MESSAGES).await;
    next_door.send_many(3).await;
    for rev in 1..=3 {
        let rows = RoomRows {
            change: Some(ChangeRow {
                rev,
                at_seq: MESSAGES,
                at: 1,
                change: Change::Deleted {
                    seq: rev,
                    by: user(1),
                },
            }),
            reactions: (0..400).map(|number| (rev, user(number), like())).collect(),
            ..RoomRows::default()
        };
        hall.write(rows).await.unwrap();
    }
    hall.retain(1_201, 3).await;
    hall.retain(100, 1).await;
    let stored = async |rooms: &RoomStore| {
        let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap();
        loaded.unwrap().stored
    };
    let now = stored(&rooms).await;
    assert_eq!((now.first, now.head), (1_201, MESSAGES));
    assert_eq!((now.changes_first, now.rev), (3, 3));
    let page = rooms.messages_after(room(1), 0, 2, 9_999).await.unwrap();
    assert_eq!(seqs(&page), [1_201, 1_202]);
    let page = rooms.messages_before(room(1), 1_202, 9, 9_999).await;
    assert_eq!(seqs(&page.unwrap()), [1_201]);
    assert_eq!(rooms.message(room(1), 1_200).await.unwrap(), None);
    let changes = rooms.changes_after(room(1), 0, 9, 9_999).await.unwrap();
    assert_eq!(changes.len(), 1);
    let reactions = rooms.reactions(room(1), 3, None, 9).await.unwrap();
    assert!(reactions.is_empty());

    // A message that is gone does not come back.
    let late = RoomRows {
        updated: vec![message(5, "edited late")],
        ..RoomRows::default()
    };
    hall.write(late).await.unwrap();
    assert_eq!(rooms.message(room(1), 5).await.unwrap(), None);

    hall.retain(u64::MAX, u64::MAX).await;
    store.restart();
    let rooms = RoomStore::new(store.entities());
    let now = stored(&rooms).await;
    assert_eq!((now.first, now.head), (MESSAGES + 1, MESSAGES));
    assert_eq!((now.changes_first, now.rev), (4, 3));
    assert_eq!(now.last, None);
    let page = rooms.messages_after(room(1), 0, 9, 9_999).await.unwrap();
    assert!(page.is_empty());
    let mut hall = Owner::of(&rooms, room(1)).await;
    hall.send(message(MESSAGES + 1, "goes on")).await;
    let page = rooms.messages_after(room(1), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&page), [MESSAGES + 1]);
    let other = rooms.messages_after(room(2), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&other), [1, 2, 3]);
}

/// A room with a crowd and many messages, beside another one.
async fn doomed(rooms: &RoomStore) -> Owner {
    let mut doomed = Owner::create(rooms, room_row(room(1), "doomed hall")).await;
    let mut other = Owner::create(rooms, room_row(room(2), "other hall")).await;
    doomed.send_many(1_100).await;
    other.send_many(2).await;
    let crowd = (0..600).map(|number| member(user(number), MemberState::Member));
    let rows = RoomRows {
        members: crowd.collect(),
        reactions: vec![(7, user(1), like())],
        ..RoomRows::default()
    };
    doomed.write(rows).await.unwrap();
    doomed
}

async fn deleted_rooms_go_for_good(mut store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let mut owner = doomed(&rooms).await;
    let ended = RoomRow {
        deleted: true,
        ..room_row(room(1), "doomed hall")
    };
    owner.rewrite(ended.clone()).await;
    let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
    assert!(loaded.stored.row.deleted && loaded.stored.members.is_empty());
    let page = rooms.messages_after(room(1), 0, 9, 9_999).await.unwrap();
    assert!(page.is_empty() && loaded.recent.is_empty());
    assert_eq!(rooms.places(user(5), &[room(1)]).await.unwrap(), [None]);
    assert!(rooms.summaries(&[room(1)]).await.unwrap().is_empty());
    let public = rooms.public_rooms(None, 9).await.unwrap();
    assert_eq!(public.rooms, [room(2)]);
    let found = rooms.search("doomed", None, 9).await.unwrap();
    assert!(found.rooms.is_empty());
    let again = RoomRows {
        row: Some(ended),
        ..RoomRows::default()
    };
    assert!(is_conflict(&owner.write(again).await));

    assert!(store.entities().sweep(LONG_AFTER).await.unwrap());
    store.restart();
    let mut rounds = 1;
    while store.entities().sweep(LONG_AFTER).await.unwrap() {
        rounds += 1;
        assert!(rounds < 100, "the sweep does not end");
    }
    assert!(rounds > 3, "the work is cut in pieces");
    let rooms = RoomStore::new(store.entities());
    assert_eq!(rooms.load(room(1), Bounds::rows(9)).await.unwrap(), None);

    let mut owner = Owner::create(&rooms, room_row(room(1), "new hall")).await;
    let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
    let stored = loaded.stored;
    assert_eq!((stored.head, stored.rev, stored.members.len()), (0, 0, 0));
    owner.send(message(1, "first")).await;
    let page = rooms.messages_after(room(1), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&page), [1]);
    for seq in [1, 7] {
        let reactions = rooms.reactions(room(1), seq, None, 9).await.unwrap();
        assert!(reactions.is_empty());
    }
    assert_eq!(rooms.places(user(5), &[room(1)]).await.unwrap(), [None]);
    let other = rooms.messages_after(room(2), 0, 9, 9_999).await.unwrap();
    assert_eq!(seqs(&other), [1, 2]);
}
