//! Back-fill of one connection's streams: pages from the store, each after the client's ack of the one before.
//!
//! A stream is read on when its room has cut it here, when a resume asks for it, or when the inbox grew. One page is in
//! hand at a time, and only while the outbox has drained, so a slow reader costs a page of memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_protocol::frame::{self, Cursor, Stream};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_store::StoreError;
use tokio::task::JoinHandle;

use super::SessionContext;
use crate::chat::command::Command;
use crate::chat::history::{self, FillPage};
use crate::connections::connection::Connection;
use crate::connections::opening::Opening;
use crate::connections::outbox::{Cut, InboxFollow};

/// Entries in one page of the inbox.
const INBOX_ITEMS: usize = 100;

/// Pause after the store could not be read, or a room not be asked.
const RETRY: Duration = Duration::from_secs(1);

/// A page being read, in a task of its own: it may hold one of the store's few places for reads, and must not keep it while
/// the connection waits for a call that needs one, too.
type Reading = JoinHandle<Page>;

/// What is read on, and by which right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A room, as long as it is open as this, up to the end that it had told, if it could be asked.
    Room(RoomId, Opening, Option<Cursor>),
    /// The inbox of the player, as long as that player is signed in and does not ask for it again.
    Inbox(UserId, Opening),
}

impl Source {
    const fn stream(self) -> Stream {
        match self {
            Self::Room(room, ..) => Stream::Room(room),
            Self::Inbox(..) => Stream::Inbox,
        }
    }

    /// Does `act` if the right still holds; it holds until `act` is done.
    fn while_allowed(self, connection: &Connection, act: impl FnOnce()) -> bool {
        match self {
            Self::Room(room, opening, _) => connection.while_open(room, opening, act),
            Self::Inbox(user, follow) => connection.while_inbox_followed(user, follow, act),
        }
    }

    /// Has it read on from there.
    fn read_on(self, connection: &Connection, from: Cursor) {
        match self {
            Self::Room(room, opening, until) => connection.outbox.cut(Cut {
                room,
                opening,
                cursor: from,
                until,
            }),
            Self::Inbox(..) => connection.outbox.inbox_grew(),
        }
    }
}

struct Page {
    source: Source,
    from: Cursor,
    result: Result<FillPage, StoreError>,
}

/// What one connection reads on.
#[derive(Default)]
pub struct Backfill {
    reading: Option<Reading>,
    awaiting: Vec<(Source, Cursor)>,
    inbox: Option<Inbox>,
}

/// The followed inbox.
#[derive(Clone, Copy, Debug)]
struct Inbox {
    /// How far it has come, and as which time that it was asked for.
    at: InboxFollow,
    grew: bool,
}

impl Backfill {
    /// Follows the player's inbox from the cursor on. What was asked for before has no effect any more.
    pub fn follow_inbox(&mut self, from: InboxFollow) {
        self.awaiting
            .retain(|(source, _)| source.stream() != Stream::Inbox);
        self.inbox = Some(Inbox {
            at: from,
            grew: true,
        });
    }

    /// Forgets everything: the player has signed out. A page that is being read is dropped when it comes.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether [`Self::poll`] has something to do even if the outbox reports no stream.
    pub fn is_at_work(&self) -> bool {
        self.reading.is_some() || self.inbox.is_some_and(|inbox| inbox.grew)
    }

    /// The client has processed a page.
    pub fn acked(&mut self, stream: Stream, cursor: Cursor, connection: &Connection) {
        let Some(index) = self.awaiting.iter().position(|(source, at)| {
            source.stream() == stream && cursor.seq >= at.seq && cursor.rev >= at.rev
        }) else {
            return;
        };
        let (source, at) = self.awaiting.swap_remove(index);
        // What was closed or lost meanwhile is not read on.
        if source.while_allowed(connection, || ()) {
            source.read_on(connection, at);
        }
    }

    /// Moves on as far as possible. True: something was put into the outbox or handed on.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Arc<Connection>,
        context: &Arc<SessionContext>,
    ) -> bool {
        let mut moved = false;
        loop {
            if self.reading.is_none() {
                self.reading = self.next(connection, context);
            }
            let Some(reading) = self.reading.as_mut() else {
                return moved;
            };
            let Poll::Ready(page) = Pin::new(reading).poll(cx) else {
                return moved;
            };
            self.reading = None;
            // A task is cut off only with the whole runtime, and then nobody waits for the page.
            let Ok(page) = page else {
                return moved;
            };
            self.take(page, connection, context);
            moved = true;
        }
    }

    fn next(&mut self, connection: &Connection, context: &Arc<SessionContext>) -> Option<Reading> {
        while let Some(cut) = connection.outbox.take_cut() {
            // What is left of an earlier opening changes nothing for the one that counts.
            if connection.is_open(cut.room, cut.opening) {
                self.awaiting
                    .retain(|(source, _)| source.stream() != Stream::Room(cut.room));
                return Some(read_room(Arc::clone(context), cut));
            }
        }
        let user = connection.user();
        if self.inbox.is_some_and(|inbox| Some(inbox.at.user) != user) {
            // Another player has signed in here, or nobody: what was followed was the other one's.
            self.inbox = None;
            self.awaiting
                .retain(|(source, _)| source.stream() != Stream::Inbox);
        }
        if connection.outbox.take_inbox_grew()
            && let Some(inbox) = self.inbox.as_mut()
        {
            inbox.grew = true;
        }
        let waits = self
            .awaiting
            .iter()
            .any(|(source, _)| source.stream() == Stream::Inbox);
        match self.inbox.as_mut() {
            Some(inbox) if inbox.grew && !waits && !connection.outbox.is_above_high_water() => {
                inbox.grew = false;
                Some(read_inbox(Arc::clone(context), inbox.at))
            }
            _ => None,
        }
    }

    fn take(&mut self, page: Page, connection: &Arc<Connection>, context: &SessionContext) {
        let source = page.source;
        let fill = match page.result {
            Ok(fill) => fill,
            Err(error) => {
                tracing::warn!(stream = %source.stream(), %error, "a back-fill is tried again");
                source.read_on(connection, page.from);
                return;
            }
        };
        let entries = fill.frames.len() as u64;
        // The right to the page is checked again as it is sent: whoever takes it away waits until the page is queued.
        let sent = source.while_allowed(connection, || {
            for frame in fill.frames {
                connection.outbox.control(frame);
            }
        });
        if !sent {
            return;
        }
        table::BACKFILLED_ENTRIES.add(entries);
        match (source, fill.complete) {
            (Source::Room(room, opening, _), true) => {
                let attach = Command::Attach(room, Arc::clone(connection), opening, fill.cursor);
                context.services.rooms.send(attach);
            }
            (_, complete) => {
                let frame = frame::position(source.stream(), fill.cursor, fill.head, complete);
                connection.outbox.control(frame.into());
                if !complete {
                    self.awaiting.push((source, fill.cursor));
                }
            }
        }
        if let (Source::Inbox(_, follow), Some(inbox)) = (source, self.inbox.as_mut())
            && inbox.at.follow == follow
        {
            inbox.at.seq = fill.cursor.seq;
        }
    }
}

fn read_room(context: Arc<SessionContext>, cut: Cut) -> Reading {
    let (room, from) = (cut.room, cut.cursor);
    tokio::spawn(async move {
        let result = match cut.until {
            Some(until) => history::fill(&context.services.room_store, room, from, until).await,
            None => Ok(FillPage::nothing_after(from)),
        };
        if result.is_err() || cut.until.is_none() {
            tokio::time::sleep(RETRY).await;
        }
        Page {
            source: Source::Room(room, cut.opening, cut.until),
            from,
            result,
        }
    })
}

fn read_inbox(context: Arc<SessionContext>, from: InboxFollow) -> Reading {
    let InboxFollow { user, follow, seq } = from;
    tokio::spawn(async move {
        let result = inbox_page(&context, user, seq).await;
        if result.is_err() {
            tokio::time::sleep(RETRY).await;
        }
        Page {
            source: Source::Inbox(user, follow),
            from: Cursor { seq, rev: 0 },
            result,
        }
    })
}

async fn inbox_page(
    context: &SessionContext,
    user: UserId,
    after: u64,
) -> Result<FillPage, StoreError> {
    let players = &context.services.players;
    let head = players.inbox(user).await?.head;
    let entries = players.inbox_after(user, after, INBOX_ITEMS).await?;
    let mut page = FillPage {
        frames: Vec::new(),
        cursor: Cursor { seq: after, rev: 0 },
        head: entries.last().map_or(head, |entry| entry.seq.max(head)),
        complete: entries.len() < INBOX_ITEMS,
    };
    for entry in entries {
        page.skip_to(entry.seq);
        page.cursor.seq = entry.seq;
        page.frames.push(frame::event(&entry).into());
    }
    if page.complete {
        page.skip_to(page.head + 1);
    }
    Ok(page)
}
