//! What a game sends without waiting for an answer: input and states, by datagram where the connection has them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::frame::{ClientFrame, ServerFrame};
use crate::ids::RoomId;
use crate::limits::ROOMS_OPEN_MAX;

use super::{ClientConnection, Output, Phase};

/// Datagrams that wait for the driver. Of more the oldest goes: newer input says what it said.
const DATAGRAMS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Play {
    /// The longest datagram that the present connection can send now.
    pub(super) datagram_bytes_max: Option<usize>,
    datagrams: VecDeque<Vec<u8>>,
    /// The newest tick of each room's match that was handed up since there has been a connection without a break.
    ticks: HashMap<RoomId, u64>,
}

impl Play {
    /// The connection is gone: a server that was started anew may count anew.
    pub(super) fn disconnected(&mut self) {
        *self = Self::default();
    }
}

impl ClientConnection {
    /// Longest datagram in bytes that the present connection can send now; none where it carries no datagrams, as at the beginning of each.
    pub fn set_datagram_bytes_max(&mut self, bytes: Option<usize>) {
        self.play.datagram_bytes_max = bytes;
    }

    /// Sends game input, if there is a connection: by datagram where it has them and the input fits into one, otherwise with the
    /// messages. It is lost otherwise, and a datagram may be lost on the way, so input that counts is repeated in the next.
    pub fn input(&mut self, room: RoomId, seq: u64, data: &[u8]) {
        if !matches!(self.phase, Phase::Open { .. }) {
            return;
        }
        let frame = ClientFrame::Input { room, seq, data }.encode();
        match self.play.datagram_bytes_max {
            Some(bytes) if frame.len() <= bytes => {
                if self.play.datagrams.len() == DATAGRAMS_MAX {
                    self.play.datagrams.pop_front();
                }
                self.play.datagrams.push_back(frame);
            }
            _ => self.send(&frame),
        }
    }

    /// The next datagram to send over the present connection.
    pub fn transmit_datagram(&mut self) -> Option<Vec<u8>> {
        self.play.datagrams.pop_front()
    }

    /// A datagram came, over either connection of a handover. It holds one state of a match; what holds anything else says nothing.
    pub fn datagram_received(&mut self, now: u64, datagram: &Bytes) {
        if !matches!(self.phase, Phase::Open { .. }) {
            return;
        }
        self.heard_at = now;
        match ServerFrame::read(datagram) {
            Ok((ServerFrame::State { room, tick, data }, [])) => {
                self.state(room, tick, datagram.slice_ref(data));
            }
            _ => self.stats.unreadable += 1,
        }
    }

    /// A state came. Datagrams overtake each other and messages: what is older than what was handed up is dropped.
    pub(super) fn state(&mut self, room: RoomId, tick: u64, data: Bytes) {
        let ticks = &mut self.play.ticks;
        let newest = ticks.get(&room);
        if newest.is_some_and(|newest| tick <= *newest) {
            return;
        }
        if newest.is_some() || ticks.len() < ROOMS_OPEN_MAX {
            ticks.insert(room, tick);
        }
        self.outputs.push_back(Output::State { room, tick, data });
    }
}
