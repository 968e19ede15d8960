//! Messages, changes and reactions.

use pitturu_rules::rooms::rows::{Change, ChangeRow, MessageRow, ReactionRow};

use super::{Harness, create, message, room, room_row, send, send_many, seqs, user, write};
use crate::rooms::{Messages as _, RoomWrite, Rooms as _};

pub(crate) async fn messages_come_in_pages_and_byte_for_byte(mut harness: impl Harness) {
    const BYTES: usize = 1 << 20;
    let texts = [
        "",
        "\0",
        "a\u{202e}b\u{feff}",
        "Ω≈ç√∫˜µ≤≥÷ 田中さん 👩‍👩‍👧‍👦 e\u{301} é",
        &"가".repeat(1_365),
        "' OR 1=1; --",
    ];
    create(harness.store(), room_row(room(1), "hall")).await;
    create(harness.store(), room_row(room(2), "next door")).await;
    for (seq, text) in (1..).zip(texts) {
        let mut row = message(seq, text);
        row.msg.data = (seq % 2 == 0).then(Vec::new);
        send(harness.store(), room(1), row).await;
    }
    send(harness.store(), room(2), message(1, "another room's")).await;
    harness.restart();
    let store = harness.store();
    let all = store.messages_after(room(1), 0, 99, BYTES).await.unwrap();
    assert_eq!(seqs(&all), [1, 2, 3, 4, 5, 6]);
    for (row, text) in all.iter().zip(texts) {
        assert_eq!(row.msg.text, text);
        assert_eq!(row.msg.data.is_some(), row.msg.seq % 2 == 0);
    }
    let after = |after, limit, bytes| store.messages_after(room(1), after, limit, bytes);
    assert_eq!(seqs(&after(2, 2, BYTES).await.unwrap()), [3, 4]);
    assert_eq!(seqs(&after(5, 9, BYTES).await.unwrap()), [6]);
    assert!(after(6, 9, BYTES).await.unwrap().is_empty());
    assert!(after(u64::MAX, 9, BYTES).await.unwrap().is_empty());
    assert!(after(0, 0, BYTES).await.unwrap().is_empty());
    assert_eq!(seqs(&after(3, 9, 1).await.unwrap()), [4], "at least one");
    let page = after(3, 9, 4_000).await.unwrap();
    assert_eq!(seqs(&page), [4], "the fifth has 4,095 bytes of text");
    assert_eq!(seqs(&after(4, 9, 4_000).await.unwrap()), [5]);
    let before = |before, limit| store.messages_before(room(1), before, limit, BYTES);
    assert_eq!(seqs(&before(u64::MAX, 2).await.unwrap()), [5, 6]);
    assert_eq!(seqs(&before(4, 2).await.unwrap()), [2, 3]);
    assert_eq!(seqs(&before(3, 99).await.unwrap()), [1, 2]);
    assert!(before(1, 9).await.unwrap().is_empty());
    assert!(before(0, 9).await.unwrap().is_empty());
    assert_eq!(
        store.message(room(1), 6).await.unwrap().as_ref(),
        all.last()
    );
    assert_eq!(store.message(room(1), 7).await.unwrap(), None);
}

pub(crate) async fn changes_are_numbered_by_themselves(mut harness: impl Harness) {
    let fence = create(harness.store(), room_row(room(1), "hall")).await;
    send_many(harness.store(), room(1), 3).await;
    let changes = [
        Change::Edited {
            seq: 2,
            text: "edited".to_owned(),
        },
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
    let mut rows = Vec::new();
    for (rev, change) in (1..).zip(changes) {
        let row = ChangeRow {
            rev,
            at_seq: 3,
            at: 99 + rev,
            change,
        };
        let mut next = RoomWrite::new(room(1), fence);
        next.rows.change = Some(row.clone());
        next.rows.updated = vec![MessageRow {
            rev,
            ..message(2, "edited")
        }];
        write(harness.store(), next).await.unwrap();
        rows.push(row);
    }
    harness.restart();
    let store = harness.store();
    assert_eq!(
        store.changes_after(room(1), 0, 9, 9999).await.unwrap(),
        rows
    );
    assert_eq!(
        store.changes_after(room(1), 1, 1, 9999).await.unwrap(),
        rows[1..2]
    );
    assert!(
        store
            .changes_after(room(1), 3, 9, 9999)
            .await
            .unwrap()
            .is_empty()
    );
    let loaded = store.load(room(1)).await.unwrap().unwrap();
    assert_eq!((loaded.stored.head, loaded.stored.rev), (3, 3));
    let edited = store.message(room(1), 2).await.unwrap().unwrap();
    assert_eq!((edited.rev, edited.msg.text.as_str()), (3, "edited"));
    let mut ahead = RoomWrite::new(room(1), store.fence());
    ahead.rows.updated = vec![message(9, "not sent yet")];
    write(store, ahead).await.unwrap();
    assert_eq!(store.message(room(1), 9).await.unwrap(), None);
}

pub(crate) async fn reactions_belong_to_a_player_and_a_message(harness: impl Harness) {
    let store = harness.store();
    let fence = create(store, room_row(room(1), "hall")).await;
    send_many(store, room(1), 2).await;
    let react = async |seq: u64, number: u16, emoji: &[&str]| {
        let mut change = RoomWrite::new(room(1), fence);
        let emoji = emoji.iter().map(|&emoji| emoji.to_owned()).collect();
        change.rows.reactions = vec![(seq, user(number), emoji)];
        write(store, change).await.unwrap();
    };
    react(1, 3, &["👍"]).await;
    react(1, 1, &["👍", ":gg:"]).await;
    react(1, 2, &["👎"]).await;
    react(2, 9, &["👍"]).await;
    react(1, 2, &[]).await;
    react(1, 3, &["🎉"]).await;
    let row = |number, emoji: &[&str]| ReactionRow {
        user: user(number),
        emoji: emoji.iter().map(|&emoji| emoji.to_owned()).collect(),
    };
    let all = [row(1, &["👍", ":gg:"]), row(3, &["🎉"])];
    assert_eq!(store.reactions(room(1), 1, None, 9).await.unwrap(), all);
    assert_eq!(
        store.reactions(room(1), 1, None, 1).await.unwrap(),
        all[..1]
    );
    assert_eq!(
        store.reactions(room(1), 1, Some(user(1)), 9).await.unwrap(),
        all[1..]
    );
    assert!(
        store
            .reactions(room(1), 1, Some(user(3)), 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        store.reaction_of(room(1), 1, user(1)).await.unwrap(),
        all[0].emoji
    );
    assert!(
        store
            .reaction_of(room(1), 1, user(2))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .reaction_of(room(1), 2, user(1))
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn times_lead_to_sequences(harness: impl Harness) {
    let store = harness.store();
    create(store, room_row(room(1), "hall")).await;
    assert_eq!(store.seq_at_time(room(1), 0).await.unwrap(), 1);
    for (seq, at) in (1..).zip([10, 20, 20, 20, 30]) {
        let mut row = message(seq, "");
        row.msg.at = at;
        send(store, room(1), row).await;
    }
    for (at, seq) in [
        (0, 1),
        (10, 1),
        (11, 2),
        (20, 2),
        (21, 5),
        (30, 5),
        (31, 6),
        (u64::MAX, 6),
    ] {
        assert_eq!(store.seq_at_time(room(1), at).await.unwrap(), seq, "{at}");
    }
    store.remove_before(room(1), 3, 1).await.unwrap();
    assert_eq!(store.seq_at_time(room(1), 0).await.unwrap(), 3);
    assert_eq!(store.seq_at_time(room(1), 20).await.unwrap(), 3);
    store.remove_before(room(1), 6, 1).await.unwrap();
    assert_eq!(store.seq_at_time(room(1), 0).await.unwrap(), 6);
}
