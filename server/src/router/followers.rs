//! The connections that have a room open, and fan-out to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use metrics::counter;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};

use super::recent::Step;
use super::spread;
use crate::session::connection::Connection;
use crate::session::link::Broadcast;
use crate::session::outbox::{BATCH_BYTES, LatestKey};

#[derive(Debug)]
struct Follower {
    connection: Arc<Connection>,
    user: UserId,
    live: bool,
}

/// Entries of the stream that have not been sent yet, in order.
#[derive(Debug)]
struct Burst {
    room: RoomId,
    /// The cursor ahead of the first.
    before: Cursor,
    frames: Vec<Bytes>,
    bytes: usize,
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
/// Entries of the stream are gathered by [`Self::deliver`] and go out with [`Self::flush`], each connection getting all of
/// them at once. Whatever else is done here flushes first, so that everything keeps its order.
#[derive(Debug, Default)]
pub struct Followers {
    burst: Option<Burst>,
    list: Vec<Follower>,
    places: HashMap<ConnectionId, usize>,
    online: HashMap<UserId, u32>,
}

impl Followers {
    /// Whether nobody has the room open.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Players who have the room open.
    pub fn online(&self) -> usize {
        self.online.len()
    }

    /// Whether this player has the room open.
    pub fn has_user(&self, user: UserId) -> bool {
        self.online.contains_key(&user)
    }

    /// Players who have the room open.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.online.keys().copied()
    }

    /// Adds a connection, not live yet. False: it was there.
    pub fn add(&mut self, connection: Arc<Connection>, user: UserId) -> bool {
        self.flush();
        if let Some(&place) = self.places.get(&connection.id) {
            self.list[place].live = false;
            return false;
        }
        *self.online.entry(user).or_default() += 1;
        self.places.insert(connection.id, self.list.len());
        self.list.push(Follower {
            connection,
            user,
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
        if let Some(count) = self.online.get_mut(&gone.user) {
            *count -= 1;
            if *count == 0 {
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
        self.list
            .drain(..)
            .map(|follower| follower.connection)
            .collect()
    }

    /// Whether the connection follows.
    pub fn contains(&self, conn: ConnectionId) -> bool {
        self.places.contains_key(&conn)
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
        for step in steps {
            if follower.connection.outbox.catch_up(&step.frame).is_err() {
                follower.connection.outbox.cut(room, at);
                follower.live = false;
                return false;
            }
            at = step.cursor;
        }
        follower.live = true;
        true
    }

    /// Gathers one entry of the stream for every live connection; `before` is the cursor ahead of it.
    pub fn deliver(&mut self, room: RoomId, frame: Bytes, before: Cursor) {
        let held = self.burst.as_ref().map_or(0, |burst| burst.bytes);
        if held + frame.len() > BATCH_BYTES {
            self.flush();
        }
        let burst = self.burst.get_or_insert_with(|| Burst {
            room,
            before,
            frames: Vec::with_capacity(1),
            bytes: 0,
        });
        burst.bytes += frame.len();
        burst.frames.push(frame);
    }

    /// Whether entries wait for [`Self::flush`].
    pub const fn has_burst(&self) -> bool {
        self.burst.is_some()
    }

    /// Sends what was gathered to every live connection. One whose outbox is full is cut ahead of all of it.
    pub fn flush(&mut self) -> Delivered {
        let Some(burst) = self.burst.take() else {
            return Delivered::default();
        };
        let entries = burst.frames.len() as u64;
        let frame = match <[Bytes; 1]>::try_from(burst.frames) {
            Ok([frame]) => frame,
            Err(frames) => frames.concat().into(),
        };
        let entries_together = Broadcast::new(frame);
        let (sent, cut) = (AtomicU64::new(0), AtomicU64::new(0));
        spread::for_each(&mut self.list, |followers| {
            let (mut here_sent, mut here_cut) = (0, 0);
            for follower in followers.iter_mut().filter(|follower| follower.live) {
                if follower
                    .connection
                    .outbox
                    .durable(&entries_together)
                    .is_ok()
                {
                    here_sent += entries;
                } else {
                    follower.live = false;
                    follower.connection.outbox.cut(burst.room, burst.before);
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
        counter!("pitturu_deliveries_total").increment(delivered.sent);
        if delivered.cut > 0 {
            counter!("pitturu_streams_cut_total").increment(delivered.cut);
        }
        delivered
    }

    /// Cuts every connection at the cursor: the room must be read again from the store.
    pub fn cut_all(&mut self, room: RoomId, cursor: Cursor) {
        self.flush();
        for follower in &mut self.list {
            if std::mem::take(&mut follower.live) {
                follower.connection.outbox.cut(room, cursor);
            }
        }
    }

    /// Sends the newest state to everybody.
    pub fn latest(&mut self, key: LatestKey, frame: &Bytes) {
        self.flush();
        for follower in &self.list {
            follower.connection.outbox.latest(key, frame.clone());
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
        for follower in &self.list {
            if wanted(&follower.connection, follower.user) {
                follower.connection.outbox.latest(key, frame.clone());
            }
        }
    }

    /// Sends to each connection what `frame` makes for its player.
    pub fn latest_each(&mut self, key: LatestKey, frame: impl Fn(UserId) -> Bytes) {
        self.flush();
        for follower in &self.list {
            follower.connection.outbox.latest(key, frame(follower.user));
        }
    }

    /// Sends an event that may be dropped to everybody, live or not, but one player.
    pub fn volatile(&mut self, frame: Bytes, except: Option<UserId>) {
        self.flush();
        let event = Broadcast::new(frame);
        spread::for_each(&mut self.list, |followers| {
            for follower in followers {
                if Some(follower.user) != except {
                    follower.connection.outbox.volatile(&event);
                }
            }
        });
    }
}
