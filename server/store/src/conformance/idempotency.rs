//! Results of keyed calls.

use super::{Harness, create, room, room_row, user, write};
use crate::idempotency::{KeyRecord, KeyedResults as _};
use crate::rooms::RoomWrite;

pub(crate) async fn results_are_recalled_by_player_and_key(mut harness: impl Harness) {
    let record = |number: u8| KeyRecord {
        method: number.into(),
        request_hash: [number; 16],
        reply: vec![number; usize::from(number)],
        at: number.into(),
    };
    let fence = create(harness.store(), room_row(room(1), "hall")).await;
    for (number, who, key) in [(1, 1, "a"), (2, 2, "a"), (3, 1, "ab"), (0, 1, "")] {
        let mut call = RoomWrite::new(room(1), fence);
        call.key = Some((user(who), key.to_owned(), record(number)));
        write(harness.store(), call).await.unwrap();
    }
    for _ in 0..2 {
        let recall = |who: Option<u16>, key: &str| harness.store().recall(who.map(user), key);
        assert_eq!(recall(Some(1), "a").await.unwrap(), Some(record(1)));
        assert_eq!(recall(Some(2), "a").await.unwrap(), Some(record(2)));
        assert_eq!(recall(Some(1), "ab").await.unwrap(), Some(record(3)));
        assert_eq!(recall(Some(1), "").await.unwrap(), Some(record(0)));
        assert_eq!(recall(Some(2), "ab").await.unwrap(), None);
        assert_eq!(recall(None, "a").await.unwrap(), None);
        assert_eq!(recall(Some(1), &"x".repeat(64)).await.unwrap(), None);
        harness.restart();
    }
}
