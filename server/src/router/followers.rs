//! The connections that have a room open, and fan-out to them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};

use super::recent::Step;
use crate::session::connection::Connection;
use crate::session::outbox::LatestKey;

#[derive(Debug)]
struct Follower {
    connection: Arc<Connection>,
    user: UserId,
    live: bool,
}

/// The connections that have one room open.
#[derive(Debug, Default)]
pub struct Followers {
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
        let Some(&place) = self.places.get(&conn) else {
            return false;
        };
        let follower = &mut self.list[place];
        let mut at = from;
        for step in steps {
            if follower.connection.outbox.durable(&step.frame).is_err() {
                follower.connection.outbox.cut(room, at);
                follower.live = false;
                return false;
            }
            at = step.cursor;
        }
        follower.live = true;
        true
    }

    /// Sends one entry of the stream to every live connection. One whose outbox is full is cut at `before`, the
    /// cursor ahead of the entry. Returns how many were sent and how many were cut.
    pub fn deliver(&mut self, room: RoomId, frame: &Bytes, before: Cursor) -> (u64, u64) {
        let (mut sent, mut cut) = (0, 0);
        for follower in self.list.iter_mut().filter(|follower| follower.live) {
            if follower.connection.outbox.durable(frame).is_ok() {
                sent += 1;
            } else {
                follower.live = false;
                follower.connection.outbox.cut(room, before);
                cut += 1;
            }
        }
        (sent, cut)
    }

    /// Cuts every connection at the cursor: the room must be read again from the store.
    pub fn cut_all(&mut self, room: RoomId, cursor: Cursor) {
        for follower in &mut self.list {
            if std::mem::take(&mut follower.live) {
                follower.connection.outbox.cut(room, cursor);
            }
        }
    }

    /// Sends the newest state to everybody.
    pub fn latest(&self, key: LatestKey, frame: &Bytes) {
        for follower in &self.list {
            follower.connection.outbox.latest(key, frame.clone());
        }
    }

    /// Sends the newest state to the connections that `wanted` picks.
    pub fn latest_where(
        &self,
        key: LatestKey,
        frame: &Bytes,
        wanted: impl Fn(&Connection, UserId) -> bool,
    ) {
        for follower in &self.list {
            if wanted(&follower.connection, follower.user) {
                follower.connection.outbox.latest(key, frame.clone());
            }
        }
    }

    /// Sends to each connection what `frame` makes for its player.
    pub fn latest_each(&self, key: LatestKey, frame: impl Fn(UserId) -> Bytes) {
        for follower in &self.list {
            follower.connection.outbox.latest(key, frame(follower.user));
        }
    }

    /// Sends an event that may be dropped to everybody, live or not, but one player.
    pub fn volatile(&self, frame: &Bytes, except: Option<UserId>) {
        for follower in &self.list {
            if Some(follower.user) != except {
                follower.connection.outbox.volatile(frame);
            }
        }
    }
}
