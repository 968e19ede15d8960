//! [`Messages`] in the embedded store.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::rows::{ChangeRow, MessageRow, ReactionRow};
use serde::de::DeserializeOwned;

use super::Embedded;
use super::engine::{Limit, Range, View};
use super::keys::id_at_end;
use super::rooms::{live_floors, live_heads, numbered_key, reaction_key};
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::rooms::{Messages, PAGE_ROWS_MAX};

/// Numbered rows of a room from `start` on, below `end`.
fn numbered<T: DeserializeOwned>(
    view: &View,
    table: Table,
    room: RoomId,
    (start, end): (u64, u64),
    reverse: bool,
    limit: Limit,
) -> Result<Vec<T>, StoreError> {
    let range = Range::prefix(room.as_bytes())
        .from(numbered_key(room, start))
        .before(numbered_key(room, end));
    view.scan(table, &range, reverse, limit)?
        .iter()
        .map(|(_, row)| rows::decode(table, row))
        .collect()
}

fn message(view: &View, room: RoomId, seq: u64) -> Result<Option<MessageRow>, StoreError> {
    view.get(Table::Messages, &numbered_key(room, seq))?
        .map(|row| rows::decode(Table::Messages, &row))
        .transpose()
}

fn seq_at_time(view: &View, room: RoomId, at: u64) -> Result<u64, StoreError> {
    let Some(heads) = live_heads(view, room)? else {
        return Ok(1);
    };
    // Times never decrease along the sequence.
    let (mut low, mut high) = (heads.first, heads.head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let row = message(view, room, middle)?.ok_or_else(|| {
            StoreError::damaged(format!("message {middle} of room {room} is missing"))
        })?;
        if row.msg.at < at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn bounded(limit: usize, bytes: usize) -> Limit {
    Limit::new(limit.min(PAGE_ROWS_MAX), bytes)
}

impl Messages for Embedded {
    fn messages_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<MessageRow>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    let Some(heads) = live_floors(view, room)? else {
                        return Ok(Vec::new());
                    };
                    let span = (heads.first.max(after.saturating_add(1)), u64::MAX);
                    let limit = bounded(limit, bytes);
                    numbered(view, Table::Messages, room, span, false, limit)
                })
                .await
        }
        .boxed()
    }

    fn messages_before(
        &self,
        room: RoomId,
        before: u64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<MessageRow>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    let Some(heads) = live_floors(view, room)? else {
                        return Ok(Vec::new());
                    };
                    let span = (heads.first, before);
                    let limit = bounded(limit, bytes);
                    let mut rows: Vec<MessageRow> =
                        numbered(view, Table::Messages, room, span, true, limit)?;
                    rows.reverse();
                    Ok(rows)
                })
                .await
        }
        .boxed()
    }

    fn message(
        &self,
        room: RoomId,
        seq: u64,
    ) -> BoxFuture<'static, Result<Option<MessageRow>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| match live_floors(view, room)? {
                    Some(heads) if seq >= heads.first => message(view, room, seq),
                    _ => Ok(None),
                })
                .await
        }
        .boxed()
    }

    fn changes_after(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> BoxFuture<'static, Result<Vec<ChangeRow>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    let Some(heads) = live_floors(view, room)? else {
                        return Ok(Vec::new());
                    };
                    let span = (heads.changes_first.max(after.saturating_add(1)), u64::MAX);
                    let limit = bounded(limit, bytes);
                    numbered(view, Table::Changes, room, span, false, limit)
                })
                .await
        }
        .boxed()
    }

    fn seq_at_time(&self, room: RoomId, at: u64) -> BoxFuture<'static, Result<u64, StoreError>> {
        let engine = self.engine().clone();
        async move { engine.read(move |view| seq_at_time(view, room, at)).await }.boxed()
    }

    fn reactions(
        &self,
        room: RoomId,
        seq: u64,
        after: Option<UserId>,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<ReactionRow>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| match live_floors(view, room)? {
                    Some(heads) if seq >= heads.first => reactions(view, room, seq, after, limit),
                    _ => Ok(Vec::new()),
                })
                .await
        }
        .boxed()
    }

    fn reaction_of(
        &self,
        room: RoomId,
        seq: u64,
        user: UserId,
    ) -> BoxFuture<'static, Result<Vec<String>, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    let visible = live_floors(view, room)?.is_some_and(|heads| seq >= heads.first);
                    let row = view.get(Table::Reactions, &reaction_key(room, seq, user))?;
                    match row.filter(|_| visible) {
                        Some(row) => rows::decode(Table::Reactions, &row),
                        None => Ok(Vec::new()),
                    }
                })
                .await
        }
        .boxed()
    }
}

fn reactions(
    view: &View,
    room: RoomId,
    seq: u64,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<ReactionRow>, StoreError> {
    let mut range = Range::prefix(&numbered_key(room, seq));
    if let Some(after) = after {
        range = range.after(reaction_key(room, seq, after));
    }
    let limit = Limit::rows(limit.min(PAGE_ROWS_MAX));
    view.scan(Table::Reactions, &range, false, limit)?
        .iter()
        .filter_map(|(key, row)| Some((id_at_end(key)?, row)))
        .map(|(user, row)| {
            Ok(ReactionRow {
                user: UserId::from_bytes(user),
                emoji: rows::decode(Table::Reactions, row)?,
            })
        })
        .collect()
}
