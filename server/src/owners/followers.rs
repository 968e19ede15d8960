//! The connections that have a room open, and fan-out to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pitturu_metrics::labels::DeliveryClass;
use pitturu_metrics::table;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_store::fail_points::is_undone;
use smallvec::{SmallVec, smallvec};

use super::spread;
use crate::connections::connection::Connection;
use crate::connections::link::Broadcast;
use crate::connections::opening::Opening;
use crate::connections::outbox::{BATCH_BYTES, Cut, LatestKey};

/// One entry to send, with the cursor after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The frame.
    pub frame: Bytes,
    /// Where the reader stands after it.
    pub cursor: Cursor,
}

#[derive(Debug)]
struct Follower {
    connection: Arc<Connection>,
    user: UserId,
    opening: Opening,
    live: bool,
}

impl Follower {
    /// Stops the stream on this connection after `cursor`, while the room's end is `until`.
    fn cut(&self, room: RoomId, cursor: Cursor, until: Cursor) {
        self.connection.outbox.cut(Cut {
            room,
            opening: self.opening,
            cursor,
            until: Some(until),
        });
    }
}

/// Frames that go out in one message.
type Frames = SmallVec<[Bytes; 1]>;

/// What has not been sent yet.
#[derive(Debug)]
enum Unsent {
    /// Entries of the room's stream, in order, and the cursors ahead of the first and behind the last.
    Entries(RoomId, (Cursor, Cursor), Frames),
    /// Events that nobody misses, for everybody but one player.
    Volatile(Frames, Option<UserId>),
    /// A state that replaces the one before it.
    Latest(LatestKey, Bytes),
    /// The same, another one for each connection of the list.
    LatestEach(LatestKey, Vec<Bytes>),
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Entries that went out, counted for each connection.
    pub sent: u64,
    /// Connections that were cut.
    pub cut: u64,
}

/// The connections that have one room open.
///
/// What everybody gets is gathered and goes out with [`Self::flush`]; entries that follow each other go out together.
/// Whatever changes who is in the list flushes first, so that everything keeps its order.
#[derive(Debug, Default)]
pub struct Followers {
    unsent: Vec<Unsent>,
    list: Vec<Follower>,
    places: HashMap<ConnectionId, usize>,
    online: HashMap<UserId, Online>,
    /// How many of `online` are hidden.
    hidden: usize,
}

/// A player who has the room open.
#[derive(Debug)]
struct Online {
    connections: u32,
    hidden: bool,
}

impl Followers {
    /// Whether nobody has the room open.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Connections that have the room open.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Players who have the room open and are not hidden.
    pub fn online(&self) -> usize {
        self.online.len() - self.hidden
    }

    /// Whether others may see that this player has the room open.
    pub fn shows(&self, user: UserId) -> bool {
        self.online.get(&user).is_some_and(|online| !online.hidden)
    }

    /// Players who have the room open, hidden or not.
    pub fn everybody(&self) -> impl Iterator<Item = UserId> {
        self.online.keys().copied()
    }

    /// Players who have the room open and are not hidden.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        let shown = self.online.iter().filter(|(_, online)| !online.hidden);
        shown.map(|(user, _)| *user)
    }

    /// The player may have become hidden, or be so no longer: looks at one of their connections.
    pub fn look_again(&mut self, user: UserId) {
        let follower = self.list.iter().find(|follower| follower.user == user);
        if let Some(hidden) = follower.map(|follower| follower.connection.is_hidden()) {
            self.note_hidden(user, hidden);
        }
    }

    fn note_hidden(&mut self, user: UserId, hidden: bool) {
        if let Some(online) = self.online.get_mut(&user) {
            self.hidden -= usize::from(online.hidden);
            self.hidden += usize::from(hidden);
            online.hidden = hidden;
        }
    }

    /// Adds a connection, not live yet. False: it was there, as another opening.
    pub fn add(&mut self, connection: Arc<Connection>, user: UserId, opening: Opening) -> bool {
        self.flush();
        if let Some(&place) = self.places.get(&connection.id) {
            self.list[place].opening = opening;
            self.list[place].live = false;
            return false;
        }
        let online = self.online.entry(user).or_insert(Online {
            connections: 0,
            hidden: false,
        });
        online.connections += 1;
        self.note_hidden(user, connection.is_hidden());
        self.places.insert(connection.id, self.list.len());
        self.list.push(Follower {
            connection,
            user,
            opening,
            live: false,
        });
        true
    }

    /// Removes a connection. False: it was not there.
    pub fn remove(&mut self, conn: ConnectionId) -> bool {
        self.flush();
        let Some(place) = self.places.remove(&conn) else {
            return false;
        };
        let gone = self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places.insert(moved.connection.id, place);
        }
        if let Some(online) = self.online.get_mut(&gone.user) {
            online.connections -= 1;
            if online.connections == 0 {
                self.hidden -= usize::from(online.hidden);
                self.online.remove(&gone.user);
            }
        }
        true
    }

    /// Removes all connections of a player and returns them.
    pub fn remove_user(&mut self, user: UserId) -> Vec<Arc<Connection>> {
        self.flush();
        let gone: Vec<Arc<Connection>> = self
            .list
            .iter()
            .filter(|follower| follower.user == user)
            .map(|follower| Arc::clone(&follower.connection))
            .collect();
        for connection in &gone {
            self.remove(connection.id);
        }
        gone
    }

    /// Removes everybody and returns them.
    pub fn remove_all(&mut self) -> Vec<Arc<Connection>> {
        self.flush();
        self.places.clear();
        self.online.clear();
        self.hidden = 0;
        self.list
            .drain(..)
            .map(|follower| follower.connection)
            .collect()
    }

    /// Whether the connection follows by this opening.
    pub fn is_open(&self, conn: ConnectionId, opening: Opening) -> bool {
        let place = self.places.get(&conn);
        place.is_some_and(|&place| {
            self.list[place].opening == opening || is_undone("numbered_openings")
        })
    }

    /// Sends what a connection lacks and makes it live, or cuts it where its outbox filled up.
    pub fn catch_up(
        &mut self,
        conn: ConnectionId,
        room: RoomId,
        from: Cursor,
        steps: &[Step],
    ) -> bool {
        self.flush();
        let Some(&place) = self.places.get(&conn) else {
            return false;
        };
        let follower = &mut self.list[place];
        let mut at = from;
        let until = steps.last().map_or(from, |step| step.cursor);
        for step in steps {
            if follower.connection.outbox.catch_up(&step.frame).is_err() {
                follower.cut(room, at, until);
                follower.live = false;
                table::STREAMS_CUT.increment();
                return false;
            }
            at = step.cursor;
            table::DELIVERIES.at(DeliveryClass::Durable).increment();
        }
        follower.live = true;
        true
    }

    /// Gathers one entry of the stream for every live connection, with the cursors ahead of it and behind it.
    pub fn deliver(&mut self, room: RoomId, frame: Bytes, (before, after): (Cursor, Cursor)) {
        match self.unsent.last_mut() {
            Some(Unsent::Entries(_, (_, end), frames)) if has_room(frames, &frame) => {
                *end = after;
                frames.push(frame);
            }
            _ => self
                .unsent
                .push(Unsent::Entries(room, (before, after), smallvec![frame])),
        }
    }

    /// Gathers an event that may be dropped, for everybody, live or not, but one player.
    pub fn volatile(&mut self, frame: Bytes, except: Option<UserId>) {
        match self.unsent.last_mut() {
            Some(Unsent::Volatile(frames, held)) if *held == except && has_room(frames, &frame) => {
                frames.push(frame);
            }
            _ => self.unsent.push(Unsent::Volatile(smallvec![frame], except)),
        }
    }

    /// Gathers the newest state for everybody.
    pub fn latest(&mut self, key: LatestKey, frame: Bytes) {
        self.unsent.push(Unsent::Latest(key, frame));
    }

    /// Gathers for each connection the newest state as `frame` makes it for its player.
    pub fn latest_each(&mut self, key: LatestKey, frame: impl Fn(UserId) -> Bytes) {
        let states = self.list.iter().map(|follower| frame(follower.user));
        self.unsent.push(Unsent::LatestEach(key, states.collect()));
    }

    /// Whether something waits for [`Self::flush`].
    pub const fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what was gathered. A connection whose outbox is full is cut ahead of the entries that go together.
    pub fn flush(&mut self) -> Delivered {
        let mut delivered = Delivered::default();
        let mut unsent = std::mem::take(&mut self.unsent);
        for unsent in unsent.drain(..) {
            match unsent {
                Unsent::Entries(room, around, frames) => {
                    let entries = self.send_entries(room, around, &frames);
                    delivered.sent += entries.sent;
                    delivered.cut += entries.cut;
                }
                Unsent::Volatile(frames, except) => self.send_volatile(&frames, except),
                Unsent::Latest(key, frame) => {
                    let state = Broadcast::new(frame);
                    spread::for_each(&mut self.list, |followers| {
                        for follower in followers {
                            follower.connection.outbox.latest(key, &state);
                        }
                    });
                    count_latest(self.list.len());
                }
                Unsent::LatestEach(key, states) => {
                    for (follower, state) in self.list.iter().zip(states) {
                        let state = Broadcast::new(state);
                        follower.connection.outbox.latest(key, &state);
                    }
                    count_latest(self.list.len());
                }
            }
        }
        // Its memory serves the next turn.
        self.unsent = unsent;
        delivered
    }

    fn send_volatile(&mut self, frames: &[Bytes], except: Option<UserId>) {
        let events = frames.len() as u64;
        let message = Broadcast::new(together(frames));
        let (sent, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        spread::for_each(&mut self.list, |followers| {
            let (mut here_sent, mut here_dropped) = (0, 0);
            for follower in followers {
                if Some(follower.user) == except {
                    continue;
                }
                match follower.connection.outbox.volatile(&message) {
                    true => here_sent += events,
                    false => here_dropped += events,
                }
            }
            sent.fetch_add(here_sent, Ordering::Relaxed);
            dropped.fetch_add(here_dropped, Ordering::Relaxed);
        });
        let volatile = table::DELIVERIES.at(DeliveryClass::Volatile);
        volatile.add(sent.into_inner());
        table::DELIVERIES_DROPPED.add(dropped.into_inner());
    }

    fn send_entries(
        &mut self,
        room: RoomId,
        (before, after): (Cursor, Cursor),
        frames: &[Bytes],
    ) -> Delivered {
        let entries = frames.len() as u64;
        let message = Broadcast::new(together(frames));
        let (sent, cut) = (AtomicU64::new(0), AtomicU64::new(0));
        spread::for_each(&mut self.list, |followers| {
            let (mut here_sent, mut here_cut) = (0, 0);
            for follower in followers.iter_mut().filter(|follower| follower.live) {
                let outbox = &follower.connection.outbox;
                if outbox.durable(&message).is_ok() {
                    here_sent += entries;
                } else {
                    follower.live = false;
                    follower.cut(room, before, after);
                    here_cut += 1;
                }
            }
            sent.fetch_add(here_sent, Ordering::Relaxed);
            cut.fetch_add(here_cut, Ordering::Relaxed);
        });
        let delivered = Delivered {
            sent: sent.into_inner(),
            cut: cut.into_inner(),
        };
        let durable = table::DELIVERIES.at(DeliveryClass::Durable);
        durable.add(delivered.sent);
        table::STREAMS_CUT.add(delivered.cut);
        delivered
    }

    /// Cuts every connection at the cursor: the room must be read again from the store.
    pub fn cut_all(&mut self, room: RoomId, cursor: Cursor) {
        self.flush();
        for follower in &mut self.list {
            if std::mem::take(&mut follower.live) {
                follower.cut(room, cursor, cursor);
            }
        }
    }

    /// Sends the newest state to the connections that `wanted` picks.
    pub fn latest_where(
        &mut self,
        key: LatestKey,
        frame: &Bytes,
        wanted: impl Fn(&Connection, UserId) -> bool,
    ) {
        self.flush();
        let state = Broadcast::new(frame.clone());
        let mut told = 0;
        for follower in &self.list {
            if wanted(&follower.connection, follower.user) {
                follower.connection.outbox.latest(key, &state);
                told += 1;
            }
        }
        count_latest(told);
    }
}

fn count_latest(connections: usize) {
    table::DELIVERIES
        .at(DeliveryClass::Latest)
        .add(connections as u64);
}

/// Whether one more frame fits into the message.
fn has_room(frames: &Frames, frame: &Bytes) -> bool {
    frames.iter().map(Bytes::len).sum::<usize>() + frame.len() <= BATCH_BYTES
}

fn together(frames: &[Bytes]) -> Bytes {
    match frames {
        [frame] => frame.clone(),
        frames => frames.concat().into(),
    }
}
