//! Events that the connections of a handover all bring: each is handed up once.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;

use crate::codec;
use crate::events::{Delivery, EventInfo};
use crate::ids::{RoomId, UserId};

use super::ClientConnection;

/// How long after the end of the one before the present one may bring what that one had brought.
const ECHO_MS_MAX: u64 = 5_000;

/// Events kept to tell which were brought by the other connection before.
const ECHOES_MAX: usize = 4_096;

/// Bytes of them.
const ECHO_BYTES_MAX: usize = 256 * 1024;

/// Names one of the connections that a client has been handed over between, as they took over.
pub(super) type ConnectionNumber = u64;

/// What the connections of handovers have brought that is no entry of a stream, each as often as the one that brought it most often.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    brought: HashMap<(u16, Bytes), Brought>,
    bytes: usize,
    /// The newest connection that has told of something: older states of it, that one before brings late, are not handed up any more.
    told: HashMap<About, ConnectionNumber>,
    now: u64,
    ends_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Brought {
    times: Vec<(ConnectionNumber, u32)>,
    at: u64,
}

impl Brought {
    /// Counts one more. Whether no other connection has brought it as often.
    fn again(&mut self, by: ConnectionNumber, now: u64) -> bool {
        self.at = now;
        let others = self.times.iter().filter(|(other, _)| *other != by);
        let most = others.map(|(_, times)| *times).max().unwrap_or(0);
        let own = match self.times.iter_mut().find(|(other, _)| *other == by) {
            Some((_, times)) => times,
            None => &mut self.times.push_mut((by, 0)).1,
        };
        *own += 1;
        *own > most
    }
}

impl Echoes {
    /// Whether the event is to be handed up.
    fn is_new(&mut self, by: ConnectionNumber, event: u16, body: &Bytes) -> bool {
        let is_state = EventInfo::of(event).is_some_and(|info| info.delivery == Delivery::Latest);
        if is_state {
            let about = About::of(event, body);
            let is_known = self.told.contains_key(&about);
            if is_known || self.told.len() < ECHOES_MAX {
                let newest = self.told.entry(about).or_insert(by);
                if *newest > by {
                    return false;
                }
                *newest = by;
            }
        }
        if let Some(brought) = self.brought.get_mut(&(event, body.clone())) {
            return brought.again(by, self.now);
        }
        if self.brought.len() < ECHOES_MAX && self.bytes + body.len() <= ECHO_BYTES_MAX {
            self.bytes += body.len();
            // A copy: a part of a message would keep all of it.
            let key = (event, Bytes::copy_from_slice(body));
            self.brought.entry(key).or_default().again(by, self.now);
        }
        true
    }

    /// When it can be forgotten; absent while there are two connections.
    pub(super) const fn ends_at(&self) -> Option<u64> {
        self.ends_at
    }

    /// Forgets what no connection will bring any more.
    fn forget_old(&mut self) {
        let oldest = self.now.saturating_sub(2 * ECHO_MS_MAX);
        self.brought.retain(|_, brought| brought.at >= oldest);
        self.bytes = self.brought.keys().map(|(_, body)| body.len()).sum();
        // What was told by connections that are gone stands before nothing that could still come.
        self.told.clear();
    }
}

/// What a state is about: a newer one with the same stands for an older one.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct About {
    event: u16,
    room: Option<RoomId>,
    user: Option<UserId>,
    board: Option<String>,
}

impl About {
    /// As far as it can be read.
    fn of(event: u16, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        struct Named {
            room: Option<RoomId>,
            user: Option<UserId>,
            board: Option<String>,
        }
        #[derive(Default, Deserialize)]
        struct Fields {
            room: Option<RoomId>,
            user: Option<UserId>,
            info: Option<Named>,
            presence: Option<Named>,
            standing: Option<Named>,
        }
        let fields: Fields = codec::decode(body).unwrap_or_default();
        Self {
            event,
            room: fields.room.or(fields.info.and_then(|info| info.room)),
            user: fields
                .user
                .or(fields.presence.and_then(|presence| presence.user)),
            board: fields.standing.and_then(|standing| standing.board),
        }
    }
}

impl ClientConnection {
    /// There is going to be a second connection, which will bring events as well.
    pub(super) fn echoes_begin(&mut self, now: u64) {
        let echoes = self.echoes.get_or_insert_default();
        echoes.now = now;
        echoes.ends_at = None;
        echoes.forget_old();
    }

    /// Whether an event that is no entry of a stream is handed up, which the other connection of a handover may have brought before.
    pub(super) fn is_news(&mut self, by: ConnectionNumber, event: u16, body: &Bytes) -> bool {
        self.echoes
            .as_mut()
            .is_none_or(|echoes| echoes.is_new(by, event, body))
    }

    /// The number of the present connection.
    pub(super) const fn present(&self) -> ConnectionNumber {
        self.stats.handovers
    }

    /// There is one connection only, which may bring for a while what others have brought.
    pub(super) fn echoes_end(&mut self, now: u64) {
        if let Some(echoes) = &mut self.echoes {
            echoes.ends_at = Some(now.saturating_add(ECHO_MS_MAX));
        }
    }

    /// Forgets what was brought, once nothing of it can come again.
    pub(super) fn echoes_due(&mut self, now: u64) {
        if let Some(echoes) = &mut self.echoes {
            echoes.now = now;
            if echoes.ends_at.is_some_and(|at| at <= now) {
                self.echoes = None;
            }
        }
    }
}
