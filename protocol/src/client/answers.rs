//! What replies and faults change.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::codes::{Fault, Retry};
use crate::frame::{CallId, Cursor, Stream};
use crate::ids::RoomId;
use crate::limits::{RESUME_ROOMS_MAX, ROOMS_OPEN_MAX};
use crate::methods::Method;
use crate::types::accounts::SignedIn;
use crate::types::chat::{CloseRoom, ReadHistory, RoomView, SendMessage};
use crate::types::system::{Resume, Resumed};

use super::calls::{AfterFault, Owner, Pending};
use super::request::{Consequence, Ticket};
use super::streams::newest;
use super::{Broken, ClientConnection, Output};

/// A reply that does not fit its method breaks the connection.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Broken> {
    codec::decode(body).map_err(|_| Broken::Protocol)
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
                consequence
            }
            Owner::Detached => self.consequence(now, &pending, &body),
            Owner::Resume => self.resumed(now, &pending, decode(&body)?),
            Owner::Reopen(room) => {
                self.reopened(room, Some(decode(&body)?));
                Ok(())
            }
            Owner::Refresh => {
                self.take_tokens(now, decode(&body)?);
                Ok(())
            }
            Owner::Close => Ok(()),
        }
    }

    fn consequence(&mut self, now: u64, pending: &Pending, body: &[u8]) -> Result<(), Broken> {
        match &pending.consequence {
            Consequence::None => {}
            Consequence::Opens { seq, rev } => {
                let view: RoomView = decode(body)?;
                return self.opened(&view, (*seq, *rev), pending.distrusted);
            }
            Consequence::Closes(room) => {
                self.streams.forget(Stream::Room(*room));
            }
            Consequence::SignsIn => {
                let signed_in: SignedIn = decode(body)?;
                self.take_tokens(now, signed_in);
            }
            Consequence::Authenticates(access) => {
                self.take_access(now, access.clone(), decode(body)?);
            }
            Consequence::SignsOut => self.signed_out(None),
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

    /// After a reply that is distrusted, the room is opened anew from where that reply stands.
    fn opened(
        &mut self,
        view: &RoomView,
        asked: (Option<u64>, Option<u64>),
        distrusted: bool,
    ) -> Result<(), Broken> {
        let stream = Stream::Room(view.info.room);
        if !self.streams.follows(stream) && self.streams.len() > ROOMS_OPEN_MAX {
            return Err(Broken::Protocol);
        }
        self.streams.opened(view, asked);
        if distrusted {
            self.streams.shut(stream);
            self.reopen(stream);
        }
        Ok(())
    }

    pub(super) fn faulted(&mut self, now: u64, call: CallId, fault: Fault) -> Result<(), Broken> {
        let (back_off, jitter) = (self.config.back_off, &mut self.jitter);
        let wait_ms = |refusals| match fault.retry_after_ms {
            Some(asked) => asked.saturating_add(jitter.up_to(asked / 4 + 1)),
            None => back_off.wait_ms(refusals + 1, jitter).max(1),
        };
        match self.calls.refused(call, &fault, now, wait_ms) {
            AfterFault::Kept | AfterFault::Unknown => Ok(()),
            AfterFault::NeedsSignIn(sign_in) => {
                if self.sign_in.number() == Some(sign_in) {
                    self.access_refused(fault);
                }
                Ok(())
            }
            AfterFault::Ended(ticket, pending) => self.ended(ticket, &pending, fault),
        }
    }

    fn ended(&mut self, ticket: Ticket, pending: &Pending, fault: Fault) -> Result<(), Broken> {
        match pending.owner {
            Owner::App => self.answer(ticket, Err(fault)),
            Owner::Detached | Owner::Close => {}
            Owner::Resume => return Err(Broken::Unusable),
            Owner::Reopen(room) => self.stream_lost(Stream::Room(room), fault),
            Owner::Refresh => self.signed_out(Some(fault)),
        }
        Ok(())
    }

    /// Asks for all followed streams from their cursors, in as many calls as that takes.
    pub(super) fn send_resume(&mut self) {
        self.calls.end_owned(|owner| owner == Owner::Resume);
        let Resume { mut inbox, rooms } = self.streams.resume();
        for rooms in rooms.chunks(RESUME_ROOMS_MAX) {
            let part = Resume {
                inbox: inbox.take(),
                rooms: rooms.to_vec(),
            };
            self.calls.add(Owner::Resume, &part, None);
        }
        if inbox.is_some() {
            let part = Resume {
                inbox,
                rooms: Vec::new(),
            };
            self.calls.add(Owner::Resume, &part, None);
        }
    }

    fn resumed(&mut self, now: u64, pending: &Pending, resumed: Resumed) -> Result<(), Broken> {
        let asked: Resume = decode(&pending.request.body)?;
        if asked.rooms.len() != resumed.rooms.len() {
            return Err(Broken::Protocol);
        }
        if asked.inbox.is_some() {
            let newest = Cursor {
                seq: resumed.inbox,
                rev: 0,
            };
            self.follows_again(Stream::Inbox, newest);
        }
        for room in resumed.rooms {
            let stream = Stream::Room(room.room);
            match (room.view, room.fault) {
                (Some(view), _) => self.reopened(room.room, Some(view)),
                (None, Some(fault)) if fault.code.retry() == Retry::Later => {
                    let wait = fault
                        .retry_after_ms
                        .unwrap_or_else(|| self.config.back_off.wait_ms(1, &mut self.jitter));
                    if let Some(open) = self.open_from_cursor(room.room) {
                        let at = now.saturating_add(wait);
                        self.calls.add_at(Owner::Reopen(room.room), &open, at);
                    }
                }
                (None, Some(fault)) => self.stream_lost(stream, fault),
                (None, None) => return Err(Broken::Protocol),
            }
        }
        Ok(())
    }

    /// The server follows the room from our cursor again. A room that was closed meanwhile is closed there too.
    fn reopened(&mut self, room: RoomId, view: Option<RoomView>) {
        let Some(view) = view else { return };
        if self.streams.follows(Stream::Room(room)) {
            self.follows_again(Stream::Room(room), newest(&view));
        } else {
            self.calls.distrust_openers();
            self.calls.add(Owner::Close, &CloseRoom { room }, None);
        }
    }

    fn follows_again(&mut self, stream: Stream, newest: Cursor) {
        for (missing, from, to) in self.streams.reopened(stream, newest) {
            self.outputs.push_back(Output::Gap {
                stream,
                missing,
                from,
                to,
            });
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
                && (!self.streams.all_live() || self.calls.has(Owner::Resume))
    }
}
