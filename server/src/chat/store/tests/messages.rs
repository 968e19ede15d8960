//! Messages, changes and reactions.

use pitturu_rules::rooms::rows::{Change, ChangeRow, MessageRow, ReactionRow, RoomRows};
use pitturu_store::entities::Bounds;

use super::{Owner, is_conflict, message, room, room_row, seqs, user};
use crate::chat::store::RoomStore;
use crate::players::tests::stored::{Stored, on_both_stores};

on_both_stores! {
    messages_come_in_pages_and_byte_for_byte,
    changes_are_numbered_by_themselves,
    reactions_belong_to_a_player_and_a_message,
    times_lead_to_sequences,
}

async fn messages_come_in_pages_and_byte_for_byte(mut store: impl Stored) {
    const BYTES: usize = 1 << 20;
    let texts = [
        "",
        "\0",
        "a\u{202e}b\u{feff}",
        "Ω≈ç√∫˜µ≤≥÷ 田中さん 👩‍👩‍👧‍👦 e\u{301} é",
        &"가".repeat(1_365),
        "' OR 1=1; --",
    ];
    let rooms = RoomStore::new(store.entities());
    let mut hall = Owner::create(&rooms, room_row(room(1), "hall")).await;
    let mut next_door = Owner::create(&rooms, room_row(room(2), "next door")).await;
    for (seq, text) in (1..).zip(texts) {
        let mut row = message(seq, text);
        row.msg.data = (seq % 2 == 0).then(Vec::new);
        hall.send(row).await;
    }
    next_door.send(message(1, "another room's")).await;
    store.restart();
    let rooms = RoomStore::new(store.entities());
    let all = rooms.messages_after(room(1), 0, 99, BYTES).await.unwrap();
    assert_eq!(seqs(&all), [1, 2, 3, 4, 5, 6]);
    for (row, text) in all.iter().zip(texts) {
        assert_eq!(row.msg.text, text);
        assert_eq!(row.msg.data.is_some(), row.msg.seq % 2 == 0);
    }
    let after = |after, limit, bytes| rooms.messages_after(room(1), after, limit, bytes);
    assert_eq!(seqs(&after(2, 2, BYTES).await.unwrap()), [3, 4]);
    assert_eq!(seqs(&after(5, 9, BYTES).await.unwrap()), [6]);
    assert!(after(6, 9, BYTES).await.unwrap().is_empty());
    assert!(after(u64::MAX, 9, BYTES).await.unwrap().is_empty());
    assert_eq!(
        seqs(&after(0, 0, BYTES).await.unwrap()),
        [1],
        "at least one"
    );
    assert_eq!(seqs(&after(3, 9, 1).await.unwrap()), [4], "at least one");
    let page = after(3, 9, 4_000).await.unwrap();
    assert_eq!(seqs(&page), [4], "the fifth has 4,095 bytes of text");
    assert_eq!(seqs(&after(4, 9, 4_000).await.unwrap()), [5]);
    let before = |before, limit| rooms.messages_before(room(1), before, limit, BYTES);
    assert_eq!(seqs(&before(u64::MAX, 2).await.unwrap()), [5, 6]);
    assert_eq!(seqs(&before(4, 2).await.unwrap()), [2, 3]);
    assert_eq!(seqs(&before(3, 99).await.unwrap()), [1, 2]);
    assert!(before(1, 9).await.unwrap().is_empty());
    assert!(before(0, 9).await.unwrap().is_empty());
    let last = rooms.message(room(1), 6).await.unwrap();
    assert_eq!(last.as_ref(), all.last());
    assert_eq!(rooms.message(room(1), 7).await.unwrap(), None);
    assert_eq!(rooms.message(room(1), 0).await.unwrap(), None);
}

async fn changes_are_numbered_by_themselves(mut store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::create(&rooms, room_row(room(1), "hall")).await;
    owner.send_many(3).await;
    let changes = [
        Change::Edited { seq: 2 },
        Change::Reacted {
            seq: 2,
            user: user(1),
            emoji: "🎉".to_owned(),
            on: true,
            count: 1,
        },
        Change::Deleted {
            seq: 1,
            by: user(2),
        },
    ];
    let mut written = Vec::new();
    for (rev, change) in (1..).zip(changes) {
        let row = ChangeRow {
            rev,
            at_seq: 3,
            at: 99 + rev,
            change,
        };
        let rows = RoomRows {
            change: Some(row.clone()),
            updated: vec![MessageRow {
                rev,
                ..message(2, "edited")
            }],
            ..RoomRows::default()
        };
        owner.write(rows).await.unwrap();
        written.push(row);
    }
    store.restart();
    let rooms = RoomStore::new(store.entities());
    let changes = |after, limit| rooms.changes_after(room(1), after, limit, 9_999);
    assert_eq!(changes(0, 9).await.unwrap(), written);
    assert_eq!(changes(1, 1).await.unwrap(), written[1..2]);
    assert!(changes(3, 9).await.unwrap().is_empty());
    let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
    assert_eq!((loaded.stored.head, loaded.stored.rev), (3, 3));
    let edited = rooms.message(room(1), 2).await.unwrap().unwrap();
    assert_eq!((edited.rev, edited.msg.text.as_str()), (3, "edited"));
    let ahead = RoomRows {
        updated: vec![message(9, "not sent yet")],
        ..RoomRows::default()
    };
    let refused = Owner::of(&rooms, room(1)).await.write(ahead).await;
    assert!(is_conflict(&refused), "{refused:?}");
    assert_eq!(rooms.message(room(1), 9).await.unwrap(), None);
}

async fn reactions_belong_to_a_player_and_a_message(store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::create(&rooms, room_row(room(1), "hall")).await;
    owner.send_many(2).await;
    let emoji = |emoji: &[&str]| -> Vec<String> { emoji.iter().map(|&it| it.to_owned()).collect() };
    let reactions: [(u64, u16, &[&str]); 6] = [
        (1, 3, &["👍"]),
        (1, 1, &["👍", ":gg:"]),
        (1, 2, &["👎"]),
        (2, 9, &["👍"]),
        (1, 2, &[]),
        (1, 3, &["🎉"]),
    ];
    for (seq, number, with) in reactions {
        let rows = RoomRows {
            reactions: vec![(seq, user(number), emoji(with))],
            ..RoomRows::default()
        };
        owner.write(rows).await.unwrap();
    }
    let row = |number, with: &[&str]| ReactionRow {
        user: user(number),
        emoji: emoji(with),
    };
    let all = [row(1, &["👍", ":gg:"]), row(3, &["🎉"])];
    let found = |after, limit| rooms.reactions(room(1), 1, after, limit);
    assert_eq!(found(None, 9).await.unwrap(), all);
    assert_eq!(found(None, 1).await.unwrap(), all[..1]);
    assert_eq!(found(Some(user(1)), 9).await.unwrap(), all[1..]);
    assert!(found(Some(user(3)), 9).await.unwrap().is_empty());
    let of = |seq, number| rooms.reaction_of(room(1), seq, user(number));
    assert_eq!(of(1, 1).await.unwrap(), all[0].emoji);
    assert!(of(1, 2).await.unwrap().is_empty());
    assert!(of(2, 1).await.unwrap().is_empty());
}

async fn times_lead_to_sequences(store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::create(&rooms, room_row(room(1), "hall")).await;
    assert_eq!(rooms.seq_at_time(room(1), 0).await.unwrap(), 1);
    for (seq, at) in (1..).zip([10, 20, 20, 20, 30]) {
        let mut row = message(seq, "");
        row.msg.at = at;
        owner.send(row).await;
    }
    let sequences = [
        (0, 1),
        (10, 1),
        (11, 2),
        (20, 2),
        (21, 5),
        (30, 5),
        (31, 6),
        (u64::MAX, 6),
    ];
    for (at, seq) in sequences {
        assert_eq!(rooms.seq_at_time(room(1), at).await.unwrap(), seq, "{at}");
    }
    owner.retain(3, 1).await;
    assert_eq!(rooms.seq_at_time(room(1), 0).await.unwrap(), 3);
    assert_eq!(rooms.seq_at_time(room(1), 20).await.unwrap(), 3);
    owner.retain(6, 1).await;
    assert_eq!(rooms.seq_at_time(room(1), 0).await.unwrap(), 6);
}
