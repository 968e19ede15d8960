//! Lists of rooms: by name, by words, by player.

use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::RoomKind;
use pitturu_rules::rooms::rows::{MemberState, RoomRow};

use super::{Harness, create, member, room, room_row, user, write};
use crate::StoreError;
use crate::rooms::{RoomWrite, Rooms};

/// All pages of a list, each of at most `limit` rooms.
async fn pages<S: Rooms>(store: &S, query: Option<&str>, limit: usize) -> Vec<RoomId> {
    let mut rooms = Vec::new();
    let mut after = None;
    loop {
        let page = match query {
            Some(query) => store.search(query.to_owned(), after, limit).await,
            None => store.public_rooms(after, limit).await,
        }
        .unwrap();
        assert!(page.rooms.len() <= limit);
        rooms.extend(page.rooms);
        assert!(rooms.len() < 1_000, "the pages go on without end");
        match page.next {
            Some(next) => after = Some(next),
            None => return rooms,
        }
    }
}

async fn rewrite<S: Rooms>(store: &S, row: RoomRow) {
    let mut change = RoomWrite::new(row.room, store.fence());
    change.rows.row = Some(row);
    write(store, change).await.unwrap();
}

pub(crate) async fn public_rooms_are_listed_by_name(mut harness: impl Harness) {
    let store = harness.store();
    let names = ["beta", "Alpha", "alpha beta", "ALPHA", "가", "", "Zebra"];
    for (number, name) in (1..).zip(names) {
        create(store, room_row(room(number), name)).await;
    }
    let private = RoomRow {
        kind: RoomKind::Private,
        ..room_row(room(100), "alpha")
    };
    create(store, private).await;
    let expected: Vec<_> = [6, 2, 4, 3, 1, 7, 5].map(room).into();
    for limit in [1, 2, 3, 99] {
        assert_eq!(pages(store, None, limit).await, expected, "{limit} a page");
    }
    for bad in [
        "",
        "x",
        "0000000000000000",
        "한글한글한글한글",
        "ilou000000000000x",
    ] {
        let page = store.public_rooms(Some(bad.to_owned()), 9).await;
        match page {
            Err(StoreError::InvalidPosition) | Ok(_) => {}
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    let refused = store.public_rooms(Some("x".to_owned()), 9).await;
    assert_eq!(refused, Err(StoreError::InvalidPosition));

    rewrite(store, room_row(room(2), "zz")).await;
    rewrite(
        store,
        RoomRow {
            deleted: true,
            ..room_row(room(6), "")
        },
    )
    .await;
    harness.restart();
    let expected: Vec<_> = [4, 3, 1, 7, 2, 5].map(room).into();
    assert_eq!(pages(harness.store(), None, 2).await, expected);
    let all = harness.store().rooms_page(None, 99).await.unwrap();
    assert_eq!(all.len(), 8, "this list has all rooms");
    let rest = harness.store().rooms_page(Some(room(4)), 2).await.unwrap();
    assert_eq!(
        rest.iter().map(|row| row.room).collect::<Vec<_>>(),
        [room(5), room(6)]
    );
}

pub(crate) async fn rooms_are_found_by_words(harness: impl Harness) {
    let store = harness.store();
    let names = [
        "Boss Raid Tonight",
        "boss-raid (EU)",
        "Raiders of the lost bosses",
        "길드 모집",
        "길드원 잡담",
        "ＦＵＬＬ ｗｉｄｔｈ",
        "bossa nova",
        "🎮",
        "boss boss bossy",
    ];
    for (number, name) in (1..).zip(names) {
        create(store, room_row(room(number), name)).await;
    }
    let private = RoomRow {
        kind: RoomKind::Private,
        ..room_row(room(100), "boss raid")
    };
    create(store, private).await;
    let found = async |query: &str, limit: usize| {
        let mut rooms = pages(store, Some(query), limit).await;
        rooms.sort_unstable();
        rooms
    };
    for limit in [1, 2, 99] {
        let rooms = |numbers: &[u16]| {
            numbers
                .iter()
                .map(|&number| room(number))
                .collect::<Vec<_>>()
        };
        assert_eq!(found("boss", limit).await, rooms(&[1, 2, 3, 7, 9]));
        assert_eq!(found("BOSS raid", limit).await, rooms(&[1, 2, 3]));
        assert_eq!(found("raid boss ton", limit).await, rooms(&[1]));
        assert_eq!(found("길드", limit).await, rooms(&[4, 5]));
        assert_eq!(found("full WIDTH", limit).await, rooms(&[6]));
        assert_eq!(found("🎮", limit).await, rooms(&[8]));
        assert_eq!(found("oss", limit).await, rooms(&[]));
        assert_eq!(found("", limit).await, rooms(&[]));
        assert_eq!(found(" \u{3000}", limit).await, rooms(&[]));
    }
    let refused = store
        .search("boss".to_owned(), Some("x".to_owned()), 9)
        .await;
    assert_eq!(refused, Err(StoreError::InvalidPosition));

    rewrite(store, room_row(room(1), "quiet evening")).await;
    assert_eq!(found("boss raid", 9).await, [room(2), room(3)]);
    assert_eq!(found("quiet", 9).await, [room(1)]);
}

pub(crate) async fn players_have_lists_of_rooms(mut harness: impl Harness) {
    for number in 1..=9 {
        create(harness.store(), room_row(room(number), "hall")).await;
        let mut join = RoomWrite::new(room(number), harness.store().fence());
        let state = if number % 3 == 0 {
            MemberState::Invited
        } else {
            MemberState::Member
        };
        join.rows.members = vec![member(user(1), state), member(user(2), MemberState::Member)];
        write(harness.store(), join).await.unwrap();
    }
    for number in [2, 3] {
        let gone = RoomRow {
            deleted: true,
            ..room_row(room(number), "hall")
        };
        rewrite(harness.store(), gone).await;
    }
    harness.restart();
    let store = harness.store();
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|&(room, _)| room);
        let page = store.rooms_of(user(1), after, 3).await.unwrap();
        let more = page.len() == 3;
        found.extend(page);
        if !more {
            break;
        }
    }
    let rooms: Vec<_> = found.iter().map(|&(room, _)| room).collect();
    assert_eq!(rooms, [1, 4, 5, 6, 7, 8, 9].map(room));
    assert_eq!(found[3].1, member(user(1), MemberState::Invited));
}
