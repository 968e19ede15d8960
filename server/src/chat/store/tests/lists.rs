//! Lists of rooms: by name, by words, all.

use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::RoomKind;
use pitturu_rules::rooms::rows::RoomRow;
use pitturu_store::StoreError;

use super::{Owner, room, room_row};
use crate::chat::store::RoomStore;
use crate::players::tests::stored::{Stored, on_both_stores};

on_both_stores! {
    public_rooms_are_listed_by_name,
    rooms_are_found_by_words,
}

/// All pages of a list, each of at most `limit` rooms.
async fn pages(rooms: &RoomStore, query: Option<&str>, limit: usize) -> Vec<RoomId> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = match query {
            Some(query) => rooms.search(query, after.as_deref(), limit).await,
            None => rooms.public_rooms(after.as_deref(), limit).await,
        }
        .unwrap();
        assert!(page.rooms.len() <= limit);
        found.extend(page.rooms);
        assert!(found.len() < 1_000, "the pages go on without end");
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

async fn rewrite(rooms: &RoomStore, row: RoomRow) {
    Owner::of(rooms, row.room).await.rewrite(row).await;
}

async fn public_rooms_are_listed_by_name(mut store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let names = ["beta", "Alpha", "alpha beta", "ALPHA", "가", "", "Zebra"];
    for (number, name) in (1..).zip(names) {
        Owner::create(&rooms, room_row(room(number), name)).await;
    }
    let private = RoomRow {
        kind: RoomKind::Private,
        ..room_row(room(100), "alpha")
    };
    Owner::create(&rooms, private).await;
    let expected: Vec<_> = [6, 2, 4, 3, 1, 7, 5].map(room).into();
    for limit in [1, 2, 3, 99] {
        assert_eq!(pages(&rooms, None, limit).await, expected, "{limit} a page");
    }
    for bad in [
        "",
        "x",
        "0000000000000000",
        "한글한글한글한글",
        "ilou000000000000x",
    ] {
        match rooms.public_rooms(Some(bad), 9).await {
            Err(StoreError::InvalidPosition) | Ok(_) => {}
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    let refused = rooms.public_rooms(Some("x"), 9).await;
    assert_eq!(refused, Err(StoreError::InvalidPosition));

    rewrite(&rooms, room_row(room(2), "zz")).await;
    let ended = RoomRow {
        deleted: true,
        ..room_row(room(6), "")
    };
    rewrite(&rooms, ended).await;
    store.restart();
    let rooms = RoomStore::new(store.entities());
    let expected: Vec<_> = [4, 3, 1, 7, 2, 5].map(room).into();
    assert_eq!(pages(&rooms, None, 2).await, expected);
    let ids = |rows: Vec<RoomRow>| rows.iter().map(|row| row.room).collect::<Vec<_>>();
    let all = ids(rooms.rooms_page(None, 99).await.unwrap());
    let expected = [1, 2, 3, 4, 5, 7, 100].map(room);
    assert_eq!(all, expected, "all that have not ended");
    let rest = ids(rooms.rooms_page(Some(room(4)), 2).await.unwrap());
    assert_eq!(rest, [room(5), room(7)]);
}

async fn rooms_are_found_by_words(store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
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
        Owner::create(&rooms, room_row(room(number), name)).await;
    }
    let private = RoomRow {
        kind: RoomKind::Private,
        ..room_row(room(100), "boss raid")
    };
    Owner::create(&rooms, private).await;
    let found = async |query: &str, limit: usize| {
        let mut found = pages(&rooms, Some(query), limit).await;
        found.sort_unstable();
        found
    };
    let of = |numbers: &[u16]| numbers.iter().map(|&it| room(it)).collect::<Vec<_>>();
    for limit in [1, 2, 99] {
        assert_eq!(found("boss", limit).await, of(&[1, 2, 3, 7, 9]));
        assert_eq!(found("BOSS raid", limit).await, of(&[1, 2, 3]));
        assert_eq!(found("raid boss ton", limit).await, of(&[1]));
        assert_eq!(found("길드", limit).await, of(&[4, 5]));
        assert_eq!(found("full WIDTH", limit).await, of(&[6]));
        assert_eq!(found("🎮", limit).await, of(&[8]));
        assert_eq!(found("oss", limit).await, of(&[]));
        assert_eq!(found("", limit).await, of(&[]));
        assert_eq!(found(" \u{3000}", limit).await, of(&[]));
    }
    let refused = rooms.search("boss", Some("x"), 9).await;
    assert_eq!(refused, Err(StoreError::InvalidPosition));

    rewrite(&rooms, room_row(room(1), "quiet evening")).await;
    assert_eq!(found("boss raid", 9).await, of(&[2, 3]));
    assert_eq!(found("quiet", 9).await, of(&[1]));
}
