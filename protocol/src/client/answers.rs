//! What replies and faults change.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;

use crate::codec;
use crate::codec::InvalidBody;
use crate::codes::{Code, Fault, Retry};
use crate::frame::{CallId, Cursor, Stream};
use crate::ids::RoomId;
use crate::limits::{RESUME_ROOMS_MAX, ROOMS_OPEN_MAX};
use crate::methods::Method;
use crate::types::accounts::SignedIn;
use crate::types::chat::{CloseRoom, ReadHistory, SendMessage};
use crate::types::system::{Resume, RoomCursor};

use super::calls::{AfterFault, Owner, Pending};
use super::request::{Consequence, Ticket};
use super::streams::OpenedRoom;
use super::{Broken, ClientConnection, Output};

/// A `Resumed`, as far as the machine reads it.
#[derive(Deserialize)]
struct Resumed {
    inbox: u64,
    rooms: Vec<ResumedRoom>,
}

#[derive(Deserialize)]
struct ResumedRoom {
    room: RoomId,
    view: Option<OpenedRoom>,
    fault: Option<Fault>,
}

/// What is told when a reply can't be read: whoever sent it speaks another version.
fn unreadable(error: &InvalidBody) -> Fault {
    Fault::new(
        Code::Internal,
        format!("the server's reply can't be read: {error}"),
    )
}

/// What is told of a stream when the server's reply does not say what it has to.
fn strange(what: &str) -> Fault {
    Fault::new(Code::Internal, what)
}

impl ClientConnection {
    pub(super) fn replied(&mut self, now: u64, call: CallId, body: Bytes) -> Result<(), Broken> {
        let Some((ticket, pending)) = self.calls.answered(call) else {
            return Ok(());
        };
        match pending.owner {
            Owner::App => {
                self.told_by_reply(&pending, &body);
                let consequence = self.consequence(now, &pending, &body);
                self.answer(ticket, Ok(body));
                self.end_calls_without_player();
                consequence
            }
            Owner::Detached => self.consequence(now, &pending, &body),
            Owner::Resume => {
                self.resumed(now, &pending, &body);
                Ok(())
            }
            Owner::Reopen(room) => {
                match codec::decode(&body) {
                    Ok(view) => self.reopened(room, &view, false),
                    Err(error) => self.stream_lost(Stream::Room(room), unreadable(&error)),
                }
                Ok(())
            }
            Owner::Refresh => {
                self.refreshed(now, &body);
                Ok(())
            }
            Owner::Close => Ok(()),
            Owner::Clock => {
                self.clock_answered(now, ticket, Some(&body));
                Ok(())
            }
            Owner::Follow => {
                self.follows_board_again(&pending, &body);
                Ok(())
            }
        }
    }

    /// A reply that can't be read changes nothing, and whoever made the call hears that from the reply itself: the same reply
    /// would come on the next connection.
    fn consequence(&mut self, now: u64, pending: &Pending, body: &[u8]) -> Result<(), Broken> {
        match &pending.consequence {
            Consequence::None => {}
            Consequence::Opens { seq, rev } => {
                if let Ok(view) = codec::decode(body) {
                    return self.opened(&view, (*seq, *rev), pending.distrusted);
                }
            }
            Consequence::Closes(room) => {
                self.streams.forget(Stream::Room(*room));
            }
            Consequence::SignsIn => {
                if let Ok(signed_in) = codec::decode(body) {
                    self.take_tokens(now, signed_in);
                }
            }
            Consequence::Authenticates(access) => {
                if let Ok(identity) = codec::decode(body) {
                    self.take_access(now, access.clone(), identity);
                }
            }
            Consequence::SignsOut => self.signed_out(None),
            Consequence::SetsPresence(presence) => {
                self.sign_in.presence = Some(presence.clone());
            }
            Consequence::Follows(board) => {
                self.boards.insert(board.clone());
            }
            Consequence::Unfollows(board) => {
                self.boards.remove(board);
            }
        }
        Ok(())
    }

    /// The reply of a call in a room may tell of the room's newest message.
    fn told_by_reply(&mut self, pending: &Pending, body: &[u8]) {
        #[derive(Deserialize)]
        struct Told {
            seq: Option<u64>,
            head: Option<u64>,
        }
        let method = pending.request.method;
        if let Some(room) = pending.room
            && matches!(method, SendMessage::NUMBER | ReadHistory::NUMBER)
            && let Ok(Told { seq, head }) = codec::decode(body)
            && let Some(newest) = seq.max(head)
        {
            self.streams.told(Stream::Room(room), newest);
        }
    }

    /// After a reply that is distrusted, the room is opened anew from where that reply stands; after one that begins elsewhere
    /// than the room's own cursor, from there.
    fn opened(
        &mut self,
        view: &OpenedRoom,
        asked: (Option<u64>, Option<u64>),
        distrusted: bool,
    ) -> Result<(), Broken> {
        let stream = Stream::Room(view.info.room);
        if !self.streams.follows(stream) && self.streams.len() > ROOMS_OPEN_MAX {
            return Err(Broken::protocol(format!(
                "the server has more than {ROOMS_OPEN_MAX} rooms open"
            )));
        }
        let goes_on = self.streams.opened(view, asked);
        if distrusted || !goes_on {
            self.streams.shut(stream);
            self.reopen(stream);
        }
        Ok(())
    }

    pub(super) fn faulted(&mut self, now: u64, call: CallId, fault: Fault) {
        let (back_off, jitter) = (self.config.back_off, &mut self.jitter);
        let wait_ms = |refusals| match fault.retry_after_ms {
            Some(asked) => asked.saturating_add(jitter.up_to(asked / 4 + 1)),
            None => back_off.wait_ms(refusals + 1, jitter).max(1),
        };
        match self.calls.refused(call, &fault, now, wait_ms) {
            AfterFault::Kept | AfterFault::Unknown => {}
            AfterFault::NeedsSignIn(sign_in) => {
                if self.sign_in.number() == Some(sign_in) {
                    self.access_refused(fault);
                }
            }
            AfterFault::Ended(ticket, pending) if pending.owner == Owner::Clock => {
                self.clock_answered(now, ticket, None);
            }
            AfterFault::Ended(_, pending)
                if pending.owner == Owner::Refresh && fault.code == Code::Suspended =>
            {
                self.suspended(now, fault);
            }
            AfterFault::Ended(ticket, pending) => self.ended(ticket, &pending, fault),
        }
    }

    fn ended(&mut self, ticket: Ticket, pending: &Pending, fault: Fault) {
        match pending.owner {
            Owner::App | Owner::Detached => {
                if pending.owner == Owner::App {
                    self.answer(ticket, Err(fault));
                }
                if let Consequence::Closes(room) = pending.consequence {
                    self.stays_open(room);
                }
                self.end_calls_without_player();
            }
            Owner::Close | Owner::Clock => {}
            Owner::Resume => self.resume_refused(pending, &fault),
            Owner::Reopen(room) => self.stream_lost(Stream::Room(room), fault),
            Owner::Refresh => self.signed_out(Some(fault)),
            Owner::Follow => self.board_refused(pending, &fault),
        }
    }

    /// Asks for all followed streams from their cursors, in as many calls as that takes.
    pub(super) fn send_resume(&mut self) {
        self.calls.end_owned(|owner| owner == Owner::Resume);
        let Resume {
            epoch,
            mut inbox,
            rooms,
        } = self.streams.resume();
        for rooms in rooms.chunks(RESUME_ROOMS_MAX) {
            let part = Resume {
                epoch,
                inbox: inbox.take(),
                rooms: rooms.to_vec(),
            };
            self.calls.add(Owner::Resume, &part, None);
        }
        if inbox.is_some() {
            let part = Resume {
                epoch,
                inbox,
                rooms: Vec::new(),
            };
            self.calls.add(Owner::Resume, &part, None);
        }
    }

    fn resumed(&mut self, now: u64, pending: &Pending, body: &[u8]) {
        let Ok(asked) = codec::decode::<Resume>(&pending.request.body) else {
            return;
        };
        let resumed: Resumed = match codec::decode(body) {
            Ok(resumed) => resumed,
            Err(error) => return self.lose_all(&asked, &unreadable(&error)),
        };
        let anew = self.streams.is_outlived(asked.epoch);
        if asked.inbox.is_some() {
            let newest = Cursor {
                seq: resumed.inbox,
                rev: 0,
            };
            self.follows_again(Stream::Inbox, newest, anew);
        }
        let outcomes = resumed.rooms.into_iter();
        let mut outcomes: HashMap<RoomId, ResumedRoom> =
            outcomes.map(|outcome| (outcome.room, outcome)).collect();
        for RoomCursor { room, .. } in asked.rooms {
            let outcome = outcomes.remove(&room);
            self.room_resumed(now, room, outcome, anew);
        }
        if !outcomes.is_empty() {
            self.mismatch("a resume answered for rooms that were not asked for");
        }
    }

    fn room_resumed(&mut self, now: u64, room: RoomId, outcome: Option<ResumedRoom>, anew: bool) {
        let stream = Stream::Room(room);
        let outcome = outcome.map(|outcome| (outcome.view, outcome.fault));
        let fault = match outcome {
            Some((Some(view), _)) => return self.reopened(room, &view, anew),
            Some((None, Some(fault))) if fault.code.retry() == Retry::Later => fault,
            Some((None, Some(fault))) => return self.stream_lost(stream, fault),
            Some((None, None)) => {
                let fault =
                    strange("the server's reply to a resume does not say what became of it");
                return self.stream_lost(stream, fault);
            }
            None => {
                let fault = strange("the server's reply to a resume does not have it");
                return self.stream_lost(stream, fault);
            }
        };
        let wait = fault
            .retry_after_ms
            .unwrap_or_else(|| self.config.back_off.wait_ms(1, &mut self.jitter));
        if let Some(open) = self.open_from_cursor(room) {
            let at = now.saturating_add(wait);
            self.calls.add_at(Owner::Reopen(room), &open, at);
        }
    }

    /// A resume was refused for good, which the next connection would not change. What it asked for is asked for piece by piece: each
    /// room that is refused again is lost for itself.
    fn resume_refused(&mut self, pending: &Pending, fault: &Fault) {
        self.mismatch(format!("the server refused to resume: {fault}"));
        let Ok(asked) = codec::decode::<Resume>(&pending.request.body) else {
            return;
        };
        if asked.rooms.is_empty() {
            return self.lose_all(&asked, fault);
        }
        let inbox = asked.inbox.map(|_| Stream::Inbox);
        let rooms = asked.rooms.iter().map(|cursor| Stream::Room(cursor.room));
        for stream in inbox.into_iter().chain(rooms) {
            self.reopen(stream);
        }
    }

    /// The server follows the room from our cursor again, or anew, from its newest. A room that was closed meanwhile is closed there
    /// too.
    fn reopened(&mut self, room: RoomId, view: &OpenedRoom, anew: bool) {
        if view.info.room != room {
            let fault = strange("the server's reply is about another room");
            self.stream_lost(Stream::Room(room), fault);
        } else if self.streams.follows(Stream::Room(room)) {
            self.follows_again(Stream::Room(room), view.newest(), anew);
        } else {
            self.calls.distrust_openers();
            self.calls.add(Owner::Close, &CloseRoom { room }, None);
        }
    }

    fn follows_again(&mut self, stream: Stream, newest: Cursor, anew: bool) {
        let missing = match anew {
            true => self.streams.begun_anew(stream, newest),
            false => self.streams.reopened(stream, newest),
        };
        for (missing, from, to) in missing {
            self.outputs.push_back(Output::Gap {
                stream,
                missing,
                from,
                to,
            });
        }
    }

    fn lose_all(&mut self, asked: &Resume, fault: &Fault) {
        if asked.inbox.is_some() {
            self.stream_lost(Stream::Inbox, fault.clone());
        }
        for room in &asked.rooms {
            self.stream_lost(Stream::Room(room.room), fault.clone());
        }
    }

    /// The refresh token was taken. If others had put it there, it may be another player's: then what the one before wanted
    /// is not done under the new name.
    fn refreshed(&mut self, now: u64, body: &[u8]) {
        match codec::decode::<SignedIn>(body) {
            Ok(signed_in) => {
                let user = signed_in.identity.user;
                if self.identity().is_some_and(|before| before.user != user) {
                    self.end_calls_of_player(&Fault::of(Code::Unauthenticated));
                }
                self.take_tokens(now, signed_in);
            }
            Err(error) => self.signed_out(Some(unreadable(&error))),
        }
    }

    fn stream_lost(&mut self, stream: Stream, fault: Fault) {
        if self.streams.forget(stream) {
            self.outputs.push_back(Output::StreamLost { stream, fault });
        }
    }

    pub(super) fn is_catching_up(&self) -> bool {
        self.is_signing_in()
            || self.sign_in.number().is_some()
                && (!self.streams.all_live() || self.calls.has(Owner::Resume) && !self.is_leaving())
    }
}
