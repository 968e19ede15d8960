//! How rooms are stored: each case on the embedded store and on the one in memory.

mod lists;
mod messages;
mod model;
mod removal;
mod rooms;

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{MemberRole, Message, Retention, RoomKind};
use pitturu_rules::rooms::rows::{MemberRow, MemberState, MessageRow, RoomRow, RoomRows};
use pitturu_store::StoreError;
use pitturu_store::entities::{Bounds, Commit};
use tokio::sync::oneshot;

use super::{CHANGES, MESSAGES, RoomStore, entity, put};
use crate::owners::journal::Journal;

/// When commits are made that end rooms, in milliseconds since 1970.
const NOW: u64 = 1_800_000_000_000;

fn room(number: u16) -> RoomId {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    RoomId::from_bytes(bytes)
}

fn user(number: u16) -> UserId {
    let mut bytes = [1; 10];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

fn room_row(room: RoomId, name: &str) -> RoomRow {
    RoomRow {
        room,
        kind: RoomKind::Public,
        name: name.to_owned(),
        handle: None,
        topic: None,
        slow_mode_ms: 0,
        retention: Retention::default(),
        created_at: 1,
        peers: None,
        deleted: false,
    }
}

fn member(user: UserId, state: MemberState) -> MemberRow {
    MemberRow {
        user,
        role: MemberRole::Member,
        state,
        read: 0,
        muted_until: None,
        joined_at: 1,
        number: 1,
        invited_by: None,
        unasked: false,
    }
}

/// A message sent at its sequence times ten.
fn message(seq: u64, text: &str) -> MessageRow {
    MessageRow {
        msg: Message {
            seq,
            from: user(1),
            name: "player".to_owned(),
            text: text.to_owned(),
            at: seq * 10,
            data: None,
            reply_to: None,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        },
        rev: 0,
        moved: Vec::new(),
    }
}

fn seqs(rows: &[MessageRow]) -> Vec<u64> {
    rows.iter().map(|row| row.msg.seq).collect()
}

fn is_conflict<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Conflict(_)))
}

/// Whoever commits to one room.
struct Owner {
    rooms: RoomStore,
    room: RoomId,
    journal: Journal,
}

impl Owner {
    /// Of a room as the store has it; without one, its next commit makes it.
    async fn of(rooms: &RoomStore, room: RoomId) -> Self {
        let fence = rooms.entities().fence();
        let loaded = rooms.load(room, Bounds::rows(1)).await.unwrap();
        let journal = match loaded {
            Some(loaded) => Journal::of(entity(room), &loaded.loaded),
            None => Journal::begin(entity(room), fence),
        };
        Self {
            rooms: rooms.clone(),
            room,
            journal,
        }
    }

    /// Of a new room.
    async fn create(rooms: &RoomStore, row: RoomRow) -> Self {
        let mut owner = Self::of(rooms, row.room).await;
        let rows = RoomRows {
            row: Some(row),
            ..RoomRows::default()
        };
        owner.write(rows).await.unwrap();
        owner
    }

    /// Hands the next commit over, which changes these rows, and more; what the store will report.
    fn hand_over(
        &mut self,
        rows: &RoomRows,
        more: impl FnOnce(&mut Commit),
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let entities = self.rooms.entities();
        let reservation = entities.reserve(64).unwrap();
        let mut commit = self.journal.next();
        put(&mut commit, self.room, rows, NOW);
        more(&mut commit);
        let (report, outcome) = oneshot::channel();
        let done = move |result| report.send(result).unwrap();
        entities.commit(reservation, commit.into(), Box::new(done));
        outcome
    }

    async fn write(&mut self, rows: RoomRows) -> Result<(), StoreError> {
        self.hand_over(&rows, |_| {}).await.unwrap()
    }

    async fn send(&mut self, row: MessageRow) {
        let rows = RoomRows {
            message: Some(row),
            ..RoomRows::default()
        };
        self.write(rows).await.unwrap();
    }

    /// Sends messages `1..=count`, many at once.
    async fn send_many(&mut self, count: u64) {
        let mut outcomes = Vec::new();
        for seq in 1..=count {
            let rows = RoomRows {
                message: Some(message(seq, &format!("text {seq}"))),
                ..RoomRows::default()
            };
            outcomes.push(self.hand_over(&rows, |_| {}));
        }
        for outcome in outcomes {
            outcome.await.unwrap().unwrap();
        }
    }

    /// Replaces the settings, as rules do who know those before.
    async fn rewrite(&mut self, row: RoomRow) {
        let loaded = self.rooms.load(self.room, Bounds::rows(1)).await.unwrap();
        let rows = RoomRows {
            row: Some(row),
            row_before: loaded.map(|loaded| loaded.stored.row),
            ..RoomRows::default()
        };
        self.write(rows).await.unwrap();
    }

    /// Keeps messages and changes from these on, and removes the rest for good.
    async fn retain(&mut self, first: u64, changes_first: u64) {
        let firsts = vec![(MESSAGES, first), (CHANGES, changes_first)];
        let retained = self.hand_over(&RoomRows::default(), |commit| commit.firsts = firsts);
        retained.await.unwrap().unwrap();
        self.rooms
            .remove_between(self.room, 0, first)
            .await
            .unwrap();
    }
}
