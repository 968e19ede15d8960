//! Pages of a room's past: from memory when it is there, else from the store.

use std::collections::HashMap;

use bytes::Bytes;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{self, Cursor, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_protocol::types::chat::{
    History, HistoryFrom, ListReactions, Message, Reactor, Reactors,
};
use pitturu_rules::pages::Page;
use pitturu_rules::rooms::rows::{ChangeRow, MessageRow};
use pitturu_store::StoreError;
use serde::Serialize;

use super::recent::{Recent, change_frame, message_frame};
use super::store::RoomStore;
use crate::connections::call::PendingCall;
use crate::connections::recipient::Recipient;

/// Entries in one page of a back-fill.
const FILL_ITEMS: usize = 200;

/// A page of history to read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The room.
    pub room: RoomId,
    /// Oldest message kept.
    pub first: u64,
    /// Newest durable message and change.
    pub end: Cursor,
    /// Most messages.
    pub limit: usize,
    /// Where the page lies.
    pub from: Option<HistoryFrom>,
}

impl Read {
    fn history(&self, messages: Vec<Message>) -> History {
        History {
            messages,
            first: self.first.min(self.end.seq + 1),
            head: self.end.seq,
            rev: self.end.rev,
        }
    }

    /// The page, if all of it is among the recent messages.
    pub fn from_memory(&self, recent: &Recent) -> Option<History> {
        let limit = self.limit as u64;
        let messages = match self.from {
            None => self.newest_before(recent, self.end.seq + 1, limit)?,
            Some(HistoryFrom::Before(seq)) => {
                self.newest_before(recent, seq.min(self.end.seq + 1), limit)?
            }
            Some(HistoryFrom::After(seq)) => {
                let from = seq.saturating_add(1).max(self.first);
                let to = (from - 1).saturating_add(limit).min(self.end.seq);
                let mut messages = recent.range(from, to)?;
                keep_oldest(&mut messages);
                messages
            }
            Some(HistoryFrom::Since(_) | HistoryFrom::Until(_)) => return None,
        };
        Some(self.history(messages))
    }

    fn newest_before(&self, recent: &Recent, before: u64, limit: u64) -> Option<Vec<Message>> {
        let from = before.saturating_sub(limit).max(self.first);
        let mut messages = recent.range(from, before.saturating_sub(1))?;
        keep_newest(&mut messages);
        Some(messages)
    }

    /// The page from the store.
    pub async fn from_store(&self, rooms: &RoomStore) -> Result<History, Fault> {
        let before =
            |before: u64| rooms.messages_before(self.room, before, self.limit, PAGE_BYTES_MAX);
        let end = self.end.seq + 1;
        let rows = match self.from {
            None => before(end).await?,
            Some(HistoryFrom::Before(seq)) => before(seq.min(end)).await?,
            Some(HistoryFrom::After(seq)) => self.after(rooms, seq).await?,
            Some(HistoryFrom::Since(time)) => {
                let seq = rooms.seq_at_time(self.room, time).await?;
                self.after(rooms, seq.saturating_sub(1)).await?
            }
            Some(HistoryFrom::Until(time)) => {
                let seq = rooms.seq_at_time(self.room, time).await?;
                before(seq.min(end)).await?
            }
        };
        let mut page: Vec<Message> = rows
            .into_iter()
            .map(|row| row.msg)
            .filter(|message| (self.first..=self.end.seq).contains(&message.seq))
            .collect();
        match self.from {
            Some(HistoryFrom::After(_) | HistoryFrom::Since(_)) => keep_oldest(&mut page),
            _ => keep_newest(&mut page),
        }
        Ok(self.history(page))
    }

    async fn after(&self, rooms: &RoomStore, seq: u64) -> Result<Vec<MessageRow>, StoreError> {
        let after = seq.max(self.first.saturating_sub(1));
        rooms
            .messages_after(self.room, after, self.limit, PAGE_BYTES_MAX)
            .await
    }
}

fn keep_oldest(messages: &mut Vec<Message>) {
    let fits = Page::of(messages.len(), &*messages).into_parts().0.len();
    messages.truncate(fits);
}

fn keep_newest(messages: &mut Vec<Message>) {
    let newest = messages.iter().rev();
    let fits = Page::of(messages.len(), newest).into_parts().0.len();
    messages.drain(..messages.len() - fits);
}

/// Who reacted to a message.
pub async fn reactors(
    rooms: &RoomStore,
    request: &ListReactions,
    limit: usize,
) -> Result<Reactors, Fault> {
    match rooms.message(request.room, request.seq).await? {
        None => return Err(Fault::of(Code::MessageNotFound)),
        // Its rows go a moment later.
        Some(row) if row.msg.deleted_by.is_some() => {
            return Ok(Reactors {
                reactors: Vec::new(),
                more: false,
            });
        }
        Some(_) => {}
    }
    let found = rooms
        .reactions(request.room, request.seq, request.after, limit + 1)
        .await?;
    let reactors = found.into_iter().map(|row| Reactor {
        user: row.user,
        emoji: row.emoji,
    });
    let (reactors, more) = Page::of(limit, reactors).into_parts();
    Ok(Reactors { reactors, more })
}

/// Answers a call with what a read has brought.
pub fn answer<T: Serialize>(recipient: &Recipient, call: PendingCall, outcome: Result<T, Fault>) {
    match outcome {
        Ok(reply) => recipient.reply(call, frame::reply(call.number, &reply).into()),
        Err(fault) => recipient.refuse(call, &fault),
    }
}

/// One page of a room's back-fill.
#[derive(Clone, Debug, PartialEq)]
pub struct FillPage {
    /// Events, and gaps where something is no longer kept, in the room's order.
    pub frames: Vec<Bytes>,
    /// Where the reader stands after them.
    pub cursor: Cursor,
    /// Newest message when the page was read.
    pub head: u64,
    /// Whether the store had nothing more when the page was read.
    pub complete: bool,
}

/// Reads the page after the cursor, up to what the room has told.
///
/// A commit can be read before the room has its report. What it brings is not in the page: the room may have decided it after
/// an end of this opening that the connection has not been told yet, and tells it to those who open the room after that.
pub async fn fill(
    rooms: &RoomStore,
    room: RoomId,
    from: Cursor,
    until: Cursor,
) -> Result<FillPage, StoreError> {
    let (head, rev) = (until.seq.max(from.seq), until.rev.max(from.rev));
    let mut page = FillPage {
        frames: Vec::new(),
        cursor: from,
        head,
        complete: false,
    };
    if rooms.summaries(&[room]).await?.is_empty() {
        return Ok(FillPage::nothing_after(from));
    }
    let mut changes = rooms
        .changes_after(room, from.rev, FILL_ITEMS, PAGE_BYTES_MAX)
        .await?;
    changes.retain(|row| row.rev <= rev);
    let mut rows = rooms
        .messages_after(room, from.seq, FILL_ITEMS, PAGE_BYTES_MAX)
        .await?;
    rows.retain(|row| row.msg.seq <= head);
    let changed = changed_messages(rooms, room, &changes, &rows).await?;

    // What the store no longer has lies before the first row that it gave, or is everything up to the head.
    let first = rows.first().map_or(head + 1, |row| row.msg.seq);
    if from.seq + 1 < first {
        page.frames
            .push(gap(room, Missing::Messages, from.seq + 1, first - 1));
        page.cursor.seq = first - 1;
    }
    let changes_first = changes.first().map_or(rev + 1, |row| row.rev);
    if from.rev + 1 < changes_first {
        page.frames
            .push(gap(room, Missing::Changes, from.rev + 1, changes_first - 1));
        page.cursor.rev = changes_first - 1;
    }
    let changes_end = changes.last().map_or(page.cursor.rev, |row| row.rev) >= rev;
    let messages_end = rows.last().map_or(page.cursor.seq, |row| row.msg.seq) >= head;
    page.complete = changes_end && messages_end;
    let messages = (rows.as_slice(), messages_end);
    page.merge(room, messages, (&changes, changes_end), &changed);
    Ok(page)
}

/// The messages that these changes are about, as they are now, but for those that retention has removed. They are read behind the
/// changes, so that none of them shows what a change has taken away.
async fn changed_messages(
    rooms: &RoomStore,
    room: RoomId,
    changes: &[ChangeRow],
    rows: &[MessageRow],
) -> Result<HashMap<u64, Message>, StoreError> {
    let mut found = HashMap::new();
    for seq in changes.iter().map(|row| row.change.seq()) {
        if found.contains_key(&seq) {
            continue;
        }
        let near = rows.iter().find(|row| row.msg.seq == seq);
        let row = match near {
            Some(row) => Some(row.clone()),
            None => rooms.message(room, seq).await?,
        };
        found.extend(row.map(|row| (seq, row.msg)));
    }
    Ok(found)
}

impl FillPage {
    /// The end is there already.
    pub const fn nothing_after(cursor: Cursor) -> Self {
        Self {
            frames: Vec::new(),
            cursor,
            head: cursor.seq,
            complete: true,
        }
    }

    /// Says that nothing is kept of the inbox before `next`, behind what is in the page.
    pub fn skip_to(&mut self, next: u64) {
        let from = self.cursor.seq + 1;
        if from < next {
            let frame = ServerFrame::Gap {
                stream: Stream::Inbox,
                missing: Missing::Messages,
                from,
                to: next - 1,
            };
            self.frames.push(frame.encode().into());
            self.cursor.seq = next - 1;
        }
    }

    /// Puts messages and changes into one order. Where one of the two ends early, the other stops at the last place
    /// that is certain.
    fn merge(
        &mut self,
        room: RoomId,
        (messages, messages_end): (&[MessageRow], bool),
        (changes, changes_end): (&[ChangeRow], bool),
        changed: &HashMap<u64, Message>,
    ) {
        let mut messages = messages.iter().map(|row| &row.msg).peekable();
        for row in changes {
            while let Some(message) = messages.next_if(|message| message.seq <= row.at_seq) {
                self.frames.push(message_frame(room, message));
                self.cursor.seq = message.seq;
            }
            if self.cursor.seq < row.at_seq && !messages_end {
                return;
            }
            self.frames.push(match changed.get(&row.change.seq()) {
                Some(message) => change_frame(room, row, message),
                // Retention has removed the message, and with it what there was to tell.
                None => gap(room, Missing::Changes, row.rev, row.rev),
            });
            self.cursor.rev = row.rev;
        }
        if !changes_end {
            return;
        }
        for message in messages {
            self.frames.push(message_frame(room, message));
            self.cursor.seq = message.seq;
        }
    }
}

fn gap(room: RoomId, missing: Missing, from: u64, to: u64) -> Bytes {
    let frame = ServerFrame::Gap {
        stream: Stream::Room(room),
        missing,
        from,
        to,
    };
    frame.encode().into()
}
