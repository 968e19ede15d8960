//! The handover of a live client from one connection to another: the next one is made while the present one serves, and the one
//! before is let go when nothing is awaited from it any more.
//!
//! | stage | present connection | other connection |
//! |---|---|---|
//! | handshaking | serves | hello is sent, the welcome is awaited |
//! | settling | serves, but calls that change a connection wait | welcomed; takes over once no such call is on the wire |
//! | leaving | the next one: calls go out on it, streams are resumed on it | the one before: answers what it was asked, serves each stream until the present one does, and is left when it has answered a last question behind that |
//!
//! Calls are numbered on across both, so a number says which connection answers. Entries of streams are dense and held against the cursor, so
//! it does not matter which connection brings them first. Other events are told by both, and counted: what one has brought before is
//! dropped when the other brings it.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec;
use crate::codes::{CloseCode, Code, Fault, Reconnect};
use crate::events::{Event, EventInfo};
use crate::frame::{CallId, ClientFrame, ServerFrame};
use crate::limits::{CALLS_IN_FLIGHT_MAX, MESSAGE_BYTES_MAX};
use crate::methods::Method;
use crate::types::system::{Echo, StreamPosition, Welcome};

use super::echoes::{ConnectionNumber, Echoes};
use super::{ClientConnection, Output, Phase};

/// How long calls that change a connection may keep the next one waiting.
const SETTLE_MS_MAX: u64 = 5_000;

/// How long the one before is waited for. What it has not answered by then is asked again, under the same key.
const LEAVE_MS_MAX: u64 = 2_000;

/// The other connection of a handover.
#[derive(Debug)]
pub(super) struct Handover {
    stage: Stage,
    messages: VecDeque<Vec<u8>>,
}

/// The last thing that the connection before is asked: what it brings before the answer was told before the present connection had
/// every stream, and would not come over that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    NotAsked,
    Asked(CallId),
    Answered,
}

#[derive(Debug)]
enum Stage {
    Handshaking {
        since: u64,
        /// The token of its hello.
        access: Option<String>,
    },
    Settling {
        since: u64,
        welcome: Box<Welcome>,
    },
    Leaving {
        since: u64,
        last: Last,
    },
}

impl ClientConnection {
    /// Another socket is open, over which the client shall go on: the machine greets the server there, and takes that connection for
    /// the present one by [`Output::TakeOver`] when it can without losing anything. False: this is not the time for it, and the socket
    /// is to be closed. There has to be an open connection, with nobody being signed in, and no other handover.
    pub fn hand_over(&mut self, now: u64) -> bool {
        let is_open = matches!(self.phase, Phase::Open { .. });
        if !is_open || self.is_signing_in() || self.handover.is_some() || self.goaway.is_some() {
            return false;
        }
        let mut handover = Handover {
            stage: Stage::Handshaking {
                since: now,
                access: self.sign_in.tokens.access.clone(),
            },
            messages: VecDeque::new(),
        };
        push(&mut handover.messages, &self.hello_frame());
        self.handover = Some(handover);
        self.echoes_begin(now);
        true
    }

    /// Whether there is another connection, being welcomed or being left.
    pub const fn is_handing_over(&self) -> bool {
        self.handover.is_some()
    }

    /// The next message to send over the other connection. As with [`Self::transmit`], take the outputs first.
    pub fn transmit_other(&mut self) -> Option<Vec<u8>> {
        self.handover.as_mut()?.messages.pop_front()
    }

    /// A message came over the other connection.
    pub fn other_received(&mut self, now: u64, message: &Bytes) {
        if let Some(handover) = &self.handover {
            match handover.stage {
                Stage::Leaving { .. } => self.before_received(now, message),
                _ => self.next_received(now, message),
            }
        }
        self.go_on(now);
    }

    /// The other connection has closed.
    pub fn other_disconnected(&mut self, now: u64) {
        match self.handover.take().map(|handover| handover.stage) {
            Some(Stage::Leaving { .. }) => self.left(now),
            Some(_) => self.echoes_end(now),
            None => {}
        }
        self.go_on(now);
    }

    fn go_on(&mut self, now: u64) {
        self.handover_due(now);
        self.dispatch();
        self.tell();
    }

    /// Reads what came over the next connection before it has taken over. It is given up over whatever does not fit: the present
    /// one serves.
    fn next_received(&mut self, now: u64, message: &Bytes) {
        let mut rest: &[u8] = message;
        while !rest.is_empty() {
            let Ok((frame, after)) = ServerFrame::read(rest) else {
                match self.unreadable_ahead(rest) {
                    Some(after) => rest = after,
                    None => return self.abandon_next(now, CloseCode::ProtocolError.number()),
                }
                continue;
            };
            rest = after;
            let Some(handover) = &mut self.handover else {
                return;
            };
            match (frame, &mut handover.stage) {
                (ServerFrame::Ping { nonce, .. }, _) => {
                    push(
                        &mut handover.messages,
                        &ClientFrame::Pong { nonce }.encode(),
                    );
                }
                (ServerFrame::Welcome(welcome), Stage::Handshaking { .. }) => {
                    if welcome.v != crate::VERSION {
                        return self.abandon_next(now, CloseCode::ProtocolError.number());
                    }
                    handover.stage = Stage::Settling {
                        since: now,
                        welcome: Box::new(welcome),
                    };
                }
                (ServerFrame::Event { event, body }, Stage::Settling { .. }) => {
                    let body = message.slice_ref(body);
                    let is_entry = EventInfo::of(event).is_some_and(|info| info.entry.is_some());
                    if !is_entry && event != StreamPosition::NUMBER {
                        self.told_of_other(self.present() + 1, event, body);
                    }
                }
                _ => return self.abandon_next(now, CloseCode::ProtocolError.number()),
            }
        }
    }

    /// Reads what comes over the connection before: answers to what it was asked, entries of streams that the present one does not
    /// serve yet, and what the present one has not brought. What does not fit ends it, and nothing else.
    fn before_received(&mut self, now: u64, message: &Bytes) {
        let mut rest: &[u8] = message;
        while !rest.is_empty() {
            let (frame, after) = match ServerFrame::read(rest) {
                Ok(read) => read,
                Err(why) => {
                    match self.unreadable_before(now, rest, message, &why) {
                        Some(after) => rest = after,
                        None => return self.let_go(now),
                    }
                    continue;
                }
            };
            rest = after;
            match frame {
                ServerFrame::Reply { call, .. } | ServerFrame::Fault { call, .. }
                    if self.is_last(call) =>
                {
                    self.last_answered();
                }
                ServerFrame::Reply { call, body } if self.calls.is_before(call) => {
                    let outcome = self.replied(now, call, message.slice_ref(body));
                    if outcome.is_err() {
                        return self.let_go(now);
                    }
                }
                ServerFrame::Fault { call, fault } if call != 0 && self.calls.is_before(call) => {
                    self.faulted(now, call, fault);
                }
                ServerFrame::Ping { nonce, .. } => {
                    if let Some(handover) = &mut self.handover {
                        push(
                            &mut handover.messages,
                            &ClientFrame::Pong { nonce }.encode(),
                        );
                    }
                }
                ServerFrame::Event { event, body } => {
                    self.event_before(event, message.slice_ref(body));
                }
                ServerFrame::State { room, tick, data } => {
                    self.state(room, tick, message.slice_ref(data));
                }
                // What is missing, and why the connection ends, is told by the present one.
                _ => {}
            }
        }
    }

    pub(super) fn event_before(&mut self, event: u16, body: Bytes) {
        match super::entries::place(event, &body) {
            Ok(Some((stream, place))) => {
                if !self.paused && self.streams.entry_before(stream, place) {
                    self.outputs.push_back(Output::Event { event, body });
                }
            }
            Ok(None) if event != StreamPosition::NUMBER => {
                self.told_of_other(self.present().saturating_sub(1), event, body);
            }
            // The present connection brings it as well.
            Ok(None) | Err(_) => {}
        }
    }

    /// An event that is no entry came over the connection that is not the present one.
    fn told_of_other(&mut self, by: ConnectionNumber, event: u16, body: Bytes) {
        if self.is_news(by, event, &body)
            && let Ok(Ok(())) = self.told_of_stream(event, &body)
        {
            self.outputs.push_back(Output::Event { event, body });
        }
    }

    /// Whether calls that change a connection wait until the next one has taken over.
    pub(super) fn is_settling(&self) -> bool {
        let stage = self.handover.as_ref().map(|handover| &handover.stage);
        matches!(stage, Some(Stage::Settling { .. }))
    }

    /// Whether the connection before is being left, and brings what this one does not yet.
    pub(super) fn is_leaving(&self) -> bool {
        let stage = self.handover.as_ref().map(|handover| &handover.stage);
        matches!(stage, Some(Stage::Leaving { .. }))
    }

    /// Goes on with a handover as far as that is possible now.
    pub(super) fn handover_due(&mut self, now: u64) {
        let timeout = self.config.handshake_ms;
        match self.handover.as_ref().map(|handover| &handover.stage) {
            Some(Stage::Handshaking { since, .. }) if since.saturating_add(timeout) <= now => {
                self.abandon_next(now, CloseCode::HandshakeTimeout.number());
            }
            Some(Stage::Settling { welcome, .. }) if self.calls.change_nothing_on_wire() => {
                let welcome = welcome.clone();
                self.take_over(now, *welcome);
            }
            Some(&Stage::Settling { since, .. }) if since.saturating_add(SETTLE_MS_MAX) <= now => {
                self.end_settling(now, since);
            }
            Some(&Stage::Leaving { since, last }) => {
                if last == Last::NotAsked && !self.streams.any_served_before() {
                    self.ask_last();
                }
                let is_done = last == Last::Answered && !self.calls.awaits_before();
                if is_done || since.saturating_add(LEAVE_MS_MAX) <= now {
                    self.let_go(now);
                }
            }
            _ => {}
        }
        self.echoes_due(now);
    }

    /// What keeps the next connection waiting has taken too long. When nothing at all has come over the present one meanwhile, that is
    /// taken for lost: it may be what the handover is for.
    fn end_settling(&mut self, now: u64, since: u64) {
        if self.heard_at >= since {
            return self.abandon_next(now, 1000);
        }
        let code = CloseCode::HeartbeatMissed.number();
        self.outputs.push_back(Output::Close(code));
        self.rescued(now, Reconnect::BackOff);
    }

    /// When [`Self::handover_due`] has something to do though nothing has come.
    pub(super) fn handover_timeout(&self) -> Option<u64> {
        let stage = self.handover.as_ref().map(|handover| &handover.stage);
        let stage = stage.map(|stage| match stage {
            Stage::Handshaking { since, .. } => since.saturating_add(self.config.handshake_ms),
            Stage::Settling { since, .. } => since.saturating_add(SETTLE_MS_MAX),
            Stage::Leaving { since, .. } => since.saturating_add(LEAVE_MS_MAX),
        });
        let echoes = self.echoes.as_ref().and_then(Echoes::ends_at);
        stage.into_iter().chain(echoes).min()
    }

    /// The next connection becomes the present one, and the present one that before.
    fn take_over(&mut self, now: u64, welcome: Welcome) {
        if !self.is_of_this_player(&welcome) {
            return self.abandon_next(now, 1000);
        }
        self.calls.handed_over();
        self.streams.handed_over();
        self.become_present(Some(Stage::Leaving {
            since: now,
            last: Last::NotAsked,
        }));
        self.begin_on_next(now, welcome);
    }

    fn is_of_this_player(&self, welcome: &Welcome) -> bool {
        let whom = |identity: &crate::types::accounts::Identity| (identity.user, identity.session);
        let here = self.sign_in.number().and(self.identity()).map(whom);
        welcome.identity.as_ref().map(whom) == here && welcome.refused.is_none()
    }

    /// The next connection becomes the present one; the present one the other, at this stage, or nothing where it is lost.
    fn become_present(&mut self, stage: Option<Stage>) {
        let Some(mut handover) = self.handover.take() else {
            return;
        };
        std::mem::swap(&mut self.messages, &mut handover.messages);
        // The driver says what this connection can.
        self.play.datagram_bytes_max = None;
        self.outputs.push_back(Output::TakeOver);
        self.handover = stage.map(|stage| Handover { stage, ..handover });
    }

    /// The next connection has been welcomed, and is the present one.
    fn begin_on_next(&mut self, now: u64, welcome: Welcome) {
        self.phase = Phase::Open { since: now };
        self.heard_at = now;
        self.stats.handovers += 1;
        self.take_terms(&welcome);
        self.clock_begins(now);
        self.sign_in.begin_anew();
        if let Some(identity) = welcome.identity {
            self.sign_in.clock(now, welcome.now);
            self.goes_on_signed_in(now, identity);
            self.calls.forget_resumes();
            self.send_resume();
            self.follow_boards();
        }
    }

    /// Asks the connection before something that is answered at once, behind all that it has been told.
    fn ask_last(&mut self) {
        let call = self.calls.number();
        let request = codec::encode(&Echo { data: Vec::new() });
        let frame = ClientFrame::Call {
            call,
            method: Echo::NUMBER,
            body: &request,
            key: None,
            head: None,
        };
        if let Some(handover) = &mut self.handover {
            push(&mut handover.messages, &frame.encode());
        }
        self.set_last(Last::Asked(call));
    }

    /// The connection before has answered what it was asked last.
    pub(super) fn last_answered(&mut self) {
        self.set_last(Last::Answered);
    }

    fn set_last(&mut self, to: Last) {
        if let Some(Handover {
            stage: Stage::Leaving { last, .. },
            ..
        }) = &mut self.handover
        {
            *last = to;
        }
    }

    pub(super) fn is_last(&self, call: CallId) -> bool {
        matches!(
            &self.handover,
            Some(Handover { stage: Stage::Leaving { last: Last::Asked(asked), .. }, .. }) if *asked == call
        )
    }

    /// The connection before is not awaited any longer.
    fn let_go(&mut self, now: u64) {
        self.handover = None;
        self.outputs.push_back(Output::CloseOther(1000));
        self.left(now);
    }

    /// The connection before is gone: what it was asked and has not answered is asked again.
    fn left(&mut self, now: u64) {
        self.streams.served_by_present_only();
        for ticket in self.calls.lost_before() {
            self.answer(ticket, Err(Fault::of(Code::Disconnected)));
        }
        self.echoes_end(now);
    }

    /// Gives the next connection up. The present one goes on.
    pub(super) fn abandon_next(&mut self, now: u64, code: u16) {
        if self.handover.take().is_some() {
            self.outputs.push_back(Output::CloseOther(code));
            self.echoes_end(now);
        }
    }

    /// The present connection is lost. True: the next one goes on in its place, and nothing has to be waited for.
    pub(super) fn rescued(&mut self, now: u64, after: Reconnect) -> bool {
        let may_go_on =
            matches!(after, Reconnect::Now | Reconnect::BackOff) && self.goaway.is_none();
        let stage = self.handover.as_ref().map(|handover| &handover.stage);
        let is_next = may_go_on && matches!(self.phase, Phase::Open { .. });
        match stage {
            // A hello with a token that counts no more may sign in somebody else.
            Some(Stage::Handshaking { since, access })
                if is_next && *access == self.sign_in.tokens.access =>
            {
                let since = *since;
                self.detach();
                self.become_present(None);
                self.echoes_end(now);
                self.phase = Phase::Handshaking { since };
                self.heard_at = now;
                self.calls_max = CALLS_IN_FLIGHT_MAX;
                self.greeted();
                true
            }
            Some(Stage::Settling { welcome, .. }) if is_next && self.is_of_this_player(welcome) => {
                let welcome = welcome.clone();
                self.detach();
                self.become_present(None);
                self.echoes_end(now);
                self.begin_on_next(now, *welcome);
                true
            }
            _ => {
                self.drop_other();
                false
            }
        }
    }

    /// Nothing goes on: whatever other connection there is goes as well.
    pub(super) fn drop_other(&mut self) {
        self.echoes = None;
        if self.handover.take().is_some() {
            self.outputs.push_back(Output::CloseOther(1000));
        }
    }

    /// Whoever was signed in is no more: what the other connection says is not for whoever comes.
    pub(super) fn drop_other_player(&mut self) {
        self.drop_other();
        for ticket in self.calls.lost_before() {
            self.answer(ticket, Err(Fault::of(Code::Disconnected)));
        }
    }

    /// Queues a frame about a call on the connection that has the call.
    pub(super) fn send_about(&mut self, call: CallId, frame: &[u8]) {
        match &mut self.handover {
            Some(Handover {
                stage: Stage::Leaving { .. },
                messages,
            }) if self.calls.is_before(call) => push(messages, frame),
            _ => self.send(frame),
        }
    }
}

/// Adds a frame to the last message, or to a new one where that would be too long.
pub(super) fn push(messages: &mut VecDeque<Vec<u8>>, frame: &[u8]) {
    match messages.back_mut() {
        Some(message) if message.len() + frame.len() <= MESSAGE_BYTES_MAX => {
            message.extend_from_slice(frame);
        }
        _ => messages.push_back(frame.to_vec()),
    }
}
