//! What a player does with what it receives.

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{CallId, ClientFrame, Missing, ServerFrame, Stream};
use pitturu_protocol::types::boards::RankChanged;
use pitturu_protocol::types::chat::{EphemeralSent, MessageSent};
use pitturu_protocol::types::presence::RoomPresence;
use pitturu_protocol::types::system::{StreamPosition, Welcome};

use super::Queue;
use super::followed::{Followed, Met};
use super::states::States;
use crate::clock;
use crate::link::{Lost, Outgoing, Receiver};
use crate::stamp::{self, EphemeralEvent, SentEvent};
use crate::tally::{Op, Tally, count};

/// A call whose answer is counted when it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) call: CallId,
    pub(super) op: Op,
    pub(super) intended: u64,
    /// What a good answer adds one to.
    pub(super) count: Option<&'static str>,
    /// The scenario wants to know of a good answer.
    pub(super) is_watched: bool,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    FanOutFloor,
    EchoFloor,
    StatesFloor,
}

#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) tally: Tally,
    pub(super) welcome: Option<Welcome>,
    pub(super) awaited: Option<CallId>,
    pub(super) answer: Option<Result<Vec<u8>, Fault>>,
    pub(super) expected: Queue,
    /// Calls with good answers that the scenario wants to know of.
    pub(super) watched: Vec<CallId>,
    pub(super) followed: Followed,
    states: States,
    /// What a delivery is counted as.
    pub(super) deliver: Op,
    /// Who is at the other end.
    pub(super) side: Side,
    /// When the bytes that are being read came.
    now: u64,
}

impl Inbox {
    pub(super) fn new(tally: Tally) -> Self {
        Self {
            tally,
            welcome: None,
            awaited: None,
            answer: None,
            expected: Queue::new(),
            watched: Vec::new(),
            followed: Followed::default(),
            states: States::default(),
            deliver: Op::Deliver,
            side: Side::Server,
            now: 0,
        }
    }

    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    fn answered(&mut self, call: CallId, answer: Result<&[u8], Fault>) {
        if self.awaited == Some(call) {
            self.answer = Some(answer.map(<[u8]>::to_vec));
            return;
        }
        // Answers come in the order of the calls, nearly always.
        let place = self.expected.iter().position(|held| held.call == call);
        let Some(expected) = place.and_then(|place| self.expected.remove(place)) else {
            return;
        };
        match answer {
            Ok(_) => {
                self.tally.done(expected.op, expected.intended, self.now);
                if expected.is_watched {
                    self.watched.push(call);
                }
                if let Some(name) = expected.count {
                    self.tally.count(name, 1);
                }
            }
            Err(fault) => self.tally.failed(expected.op, fault.code.name()),
        }
    }

    fn event(&mut self, event: u16, body: &[u8], out: &mut Outgoing) -> Result<(), Lost> {
        match event {
            MessageSent::NUMBER => {
                let sent: SentEvent<'_> = body_of(body)?;
                self.message_of_room(sent.room, sent.msg.seq);
                self.delivered(sent.msg.text);
            }
            EphemeralSent::NUMBER => {
                let sent: EphemeralEvent<'_> = body_of(body)?;
                self.delivered(sent.text);
            }
            StreamPosition::NUMBER => self.position(&body_of(body)?, out)?,
            RoomPresence::NUMBER => self.tally.count(count::PRESENCE, 1),
            RankChanged::NUMBER => self.tally.count(count::RANK_CHANGED, 1),
            _ => {}
        }
        Ok(())
    }

    fn delivered(&mut self, text: &str) {
        self.tally.traffic(|traffic| traffic.delivered += 1);
        if let Some(intended) = stamp::read(text) {
            self.tally.done(self.deliver, intended, self.now);
        }
    }

    fn state(&mut self, tick: u64, data: &[u8]) {
        let Some(made) = stamp::read_state(data) else {
            return;
        };
        self.tally.done(self.deliver, made, self.now);
        let Some(looks) = self.states.came(tick, made, self.now) else {
            return self.tally.count(count::STATES_OLD, 1);
        };
        self.tally.count(count::STATES, 1);
        for moment in looks.moments {
            self.tally.done(Op::Age, looks.made, moment);
        }
    }

    fn message_of_room(&mut self, room: &str, seq: u64) {
        if self.side != Side::Server {
            // Floors number nothing.
            return;
        }
        match self.followed.message(room, seq) {
            Met::New { passed_over: 0 } | Met::Stray => {}
            Met::New { passed_over } => self.tally.count(count::MISSING, passed_over),
            Met::Twice => self.tally.count(count::DUPLICATES, 1),
        }
    }

    /// The end of a page is acknowledged, so that the next one comes.
    fn position(&mut self, position: &StreamPosition, out: &mut Outgoing) -> Result<(), Lost> {
        let stream: Stream = position
            .stream
            .parse()
            .map_err(|_| Lost::Malformed(format!("stream {}", position.stream)))?;
        if !matches!(stream, Stream::Room(_)) {
            return Ok(());
        }
        if let Some(cursor) = self.followed.position(position) {
            out.message(&ClientFrame::Ack { stream, cursor }.encode());
        }
        Ok(())
    }
}

fn body_of<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Lost> {
    codec::decode_borrowed(body).map_err(|error| Lost::Malformed(error.to_string()))
}

impl Receiver for Inbox {
    fn message(&mut self, payload: &[u8], out: &mut Outgoing) -> Result<(), Lost> {
        self.now = clock::now();
        if self.side == Side::EchoFloor {
            if let Some(expected) = self.expected.pop_front() {
                self.tally.done(expected.op, expected.intended, self.now);
            }
            self.tally.traffic(|traffic| traffic.frames_in += 1);
            return Ok(());
        }
        let mut rest = payload;
        let mut frames = 0;
        while !rest.is_empty() {
            let (frame, after) =
                ServerFrame::read(rest).map_err(|error| Lost::Malformed(error.to_string()))?;
            rest = after;
            frames += 1;
            match frame {
                ServerFrame::Event { event, body } => self.event(event, body, out)?,
                ServerFrame::Reply { call, body } => self.answered(call, Ok(body)),
                ServerFrame::Fault { call, fault } => self.answered(call, Err(fault)),
                ServerFrame::Ping { nonce, .. } => {
                    self.tally.count(count::PINGS, 1);
                    out.message(&ClientFrame::Pong { nonce }.encode());
                }
                ServerFrame::Welcome(welcome) => self.welcome = Some(welcome),
                ServerFrame::Gap {
                    stream: Stream::Room(room),
                    missing: Missing::Messages,
                    from,
                    to,
                    ..
                } => {
                    self.tally.count(count::MISSING, to - from + 1);
                    self.followed.gap(&room.to_string(), to);
                }
                ServerFrame::State { tick, data, .. } => self.state(tick, data),
                ServerFrame::Gap { .. } | ServerFrame::Goaway(_) => {}
            }
        }
        self.tally.traffic(|traffic| traffic.frames_in += frames);
        Ok(())
    }

    fn received(&mut self, bytes: usize, messages: usize) {
        self.tally.traffic(|traffic| {
            traffic.bytes_in += bytes as u64;
            traffic.messages_in += messages as u64;
        });
    }

    fn written(&mut self, bytes: usize) {
        self.tally
            .traffic(|traffic| traffic.bytes_out += bytes as u64);
    }
}
