//! All connections of this process, by player.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use pitturu_metrics::labels::DeliveryClass;
use pitturu_metrics::table;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{self, ServerFrame};
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::items::{InventoryChanged, ItemChange};
use pitturu_protocol::types::moderation::PlayerSuspended;
use pitturu_protocol::types::points::{Wallet, WalletChanged};
use pitturu_protocol::types::presence::{Presence, SetPresence, Status};
use pitturu_protocol::types::system::Goaway;
use pitturu_rules::accounts::Sanctions;
use pitturu_store::clock::now_ms;
use tokio::sync::mpsc;

use super::link::Broadcast;
use super::outbox::LatestKey;
use super::session_notifier::Presences;
use crate::connections::connection::{Connection, Player};
use crate::connections::session_notifier::SessionNotifier;
use crate::sync::Mutex;

/// A signed-in player's connections, and what others see of them.
#[derive(Debug)]
struct Present {
    connections: Vec<Arc<Connection>>,
    status: Status,
    note: Option<String>,
    set_by: SetBy,
}

/// Where what others see of a player comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetBy {
    Nobody,
    Hello,
    Call,
}

impl Present {
    fn new() -> Self {
        Self {
            connections: Vec::with_capacity(1),
            status: Status::Online,
            note: None,
            set_by: SetBy::Nobody,
        }
    }

    /// What a hello wants counts less than what the player has said since; of two hellos the one that hides. Returns
    /// whether the player hides now, or no longer.
    fn restore(&mut self, presence: SetPresence) -> bool {
        let counts = match self.set_by {
            SetBy::Nobody => true,
            SetBy::Hello => presence.status == Status::Offline,
            SetBy::Call => false,
        };
        counts && self.set(presence, SetBy::Hello)
    }

    /// Returns whether the player hides now, or no longer.
    fn set(&mut self, presence: SetPresence, set_by: SetBy) -> bool {
        let was_hidden = self.is_hidden();
        self.status = presence.status;
        self.note = presence.note;
        self.set_by = set_by;
        self.tell_connections();
        self.is_hidden() != was_hidden
    }

    fn is_hidden(&self) -> bool {
        self.status == Status::Offline
    }

    /// Rooms look at the connections that have them open.
    fn tell_connections(&self) {
        for connection in &self.connections {
            connection.set_hidden(self.is_hidden());
        }
    }

    /// What others see.
    fn shown(&self, user: UserId) -> Presence {
        if self.is_hidden() {
            return offline(user);
        }
        Presence {
            user,
            status: self.status,
            note: self.note.clone(),
        }
    }
}

/// What others see of a player without connections, and of one who hides: the same, wherever it is told.
pub const fn offline(user: UserId) -> Presence {
    Presence {
        user,
        status: Status::Offline,
        note: None,
    }
}

/// What connections follow. Told when a connection is gone or its player signed out of it.
pub trait Followed: Send + Sync {
    /// The connection follows the room no longer.
    fn left(&self, room: RoomId, connection: ConnectionId);

    /// A player who has the room open hides now, or no longer.
    fn visibility_changed(&self, room: RoomId, user: UserId);
}

/// Two players who have become friends, or are friends no longer.
pub type ChangedPair = (UserId, UserId);

/// What others have seen of a player whose presence may have changed.
struct Changed {
    /// What they were told last.
    before: Presence,
    /// Somebody has seen something else since: all are told what it is now, also if it is as before.
    is_seen: bool,
}

/// All connections of this process.
pub struct Registry {
    connections: DashMap<ConnectionId, Arc<Connection>>,
    players: DashMap<UserId, Present>,
    /// Players whose presence may have changed since the last time.
    changed: Mutex<HashMap<UserId, Changed>>,
    pairs: mpsc::UnboundedSender<ChangedPair>,
    followed: Arc<dyn Followed>,
}

impl Registry {
    /// No connections yet. Pairs of players whose friendship changed come out of the second part; there are never
    /// more of them than calls in flight.
    pub fn new(followed: Arc<dyn Followed>) -> (Arc<Self>, mpsc::UnboundedReceiver<ChangedPair>) {
        let (pairs, changed_pairs) = mpsc::unbounded_channel();
        let registry = Self {
            connections: DashMap::new(),
            players: DashMap::new(),
            changed: Mutex::default(),
            pairs,
            followed,
        };
        (Arc::new(registry), changed_pairs)
    }

    /// Adds a connection on which nobody is signed in.
    pub fn add(&self, connection: Arc<Connection>) {
        self.connections.insert(connection.id, connection);
        table::CONNECTIONS.came(1);
    }

    /// Forgets a connection, signs it out and takes it out of its rooms.
    pub fn remove(&self, connection: &Arc<Connection>) {
        // First nothing more is listed for it, then what is listed goes.
        let rooms = connection.end_rooms();
        self.sign_out(connection);
        self.detach(connection, rooms);
        if self.connections.remove(&connection.id).is_some() {
            table::CONNECTIONS.went(1);
        }
    }

    /// The connection with this name.
    #[cfg(test)]
    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.connections.get(&id).map(|held| Arc::clone(&held))
    }

    /// Number of players signed in.
    pub fn player_count(&self) -> usize {
        self.players.len()
    }

    /// Signs a player in on a connection. A prolonged sign-in of the same player keeps the rooms open; another player
    /// begins without any. `restored` is what others are to see of them from now on, if nobody has said it meanwhile.
    pub fn sign_in(
        &self,
        connection: &Arc<Connection>,
        player: Player,
        restored: Option<SetPresence>,
    ) {
        let user = player.identity.user;
        match connection.user() {
            Some(before) if before == user => {
                connection.set_player(Some(player));
                return;
            }
            Some(_) => self.sign_out(connection),
            None => {}
        }
        connection.set_player(Some(player));
        self.changing(user, || {
            let mut present = self.players.entry(user).or_insert_with(Present::new);
            present.connections.push(Arc::clone(connection));
            let hides_or_shows = restored.is_some_and(|presence| present.restore(presence));
            present.tell_connections();
            hides_or_shows
        });
        if connection.is_gone() {
            // A call that ended after its connection has listed it; nobody else would take it out.
            self.sign_out(connection);
        }
    }

    /// Signs the player out of a connection and takes it out of its rooms. The connection stays.
    pub fn sign_out(&self, connection: &Arc<Connection>) {
        let Some(player) = connection.set_player(None) else {
            return;
        };
        self.detach(connection, connection.take_rooms());
        let user = player.identity.user;
        self.changing(user, || {
            self.players.remove_if_mut(&user, |_, present| {
                present.connections.retain(|held| held.id != connection.id);
                present.connections.is_empty()
            });
            false
        });
    }

    fn detach(&self, connection: &Connection, rooms: Vec<RoomId>) {
        for room in rooms {
            connection.outbox.forget_cut(room);
            self.followed.left(room, connection.id);
        }
    }

    /// Shows a state on the player's connections. A slow one gets the newest.
    fn show_latest<E: Event>(&self, user: UserId, state: &E) {
        let connections = self.connections_of(user);
        if connections.is_empty() {
            return;
        }
        let state = Broadcast::new(frame::event(state).into());
        table::DELIVERIES
            .at(DeliveryClass::Latest)
            .add(connections.len() as u64);
        for connection in connections {
            let key = LatestKey::of::<E>(user);
            connection.outbox.latest(key, &state);
        }
    }

    /// The player's connections.
    pub fn connections_of(&self, user: UserId) -> Vec<Arc<Connection>> {
        self.players
            .get(&user)
            .map(|present| present.connections.clone())
            .unwrap_or_default()
    }

    /// The rooms that are open on the player's connections. Some may be there twice.
    pub fn open_rooms_of(&self, user: UserId) -> Vec<RoomId> {
        let connections = self.connections_of(user);
        connections
            .iter()
            .flat_map(|held| held.open_rooms())
            .collect()
    }

    /// What others see of the player. They are told when it is so no longer.
    pub fn presence(&self, user: UserId) -> Presence {
        let mut changed = self.changed.lock();
        let now = self.shown(user);
        if let Some(changed) = changed.get_mut(&user) {
            changed.is_seen |= changed.before != now;
        }
        now
    }

    fn shown(&self, user: UserId) -> Presence {
        let present = self.players.get(&user);
        present.map_or(offline(user), |present| present.shown(user))
    }

    /// Sets what others see of the player.
    pub fn set_presence(&self, user: UserId, presence: SetPresence) {
        self.changing(user, || {
            let present = self.players.get_mut(&user);
            present.is_some_and(|mut present| present.set(presence, SetBy::Call))
        });
    }

    /// Takes away what the player has written beside their presence.
    pub fn forget_note(&self, user: UserId) {
        self.changing(user, || {
            if let Some(mut present) = self.players.get_mut(&user) {
                present.note = None;
            }
            false
        });
    }

    /// Does what may change what others see of the player, and tells the rooms that are open if `change` says that the
    /// player hides now, or no longer.
    fn changing(&self, user: UserId, change: impl FnOnce() -> bool) {
        let mut changed = self.changed.lock();
        changed.entry(user).or_insert_with(|| Changed {
            before: self.shown(user),
            is_seen: false,
        });
        let hides_or_shows = change();
        drop(changed);
        if hides_or_shows {
            for room in self.open_rooms_of(user) {
                self.followed.visibility_changed(room, user);
            }
        }
    }

    /// What others see of players since the last time, of those of whom it is not the same or was not for a moment in which somebody
    /// looked. Who hides and comes or goes is not
    /// among them.
    pub fn take_changed(&self) -> Vec<Presence> {
        let changed = std::mem::take(&mut *self.changed.lock());
        let now = changed
            .into_iter()
            .map(|(user, changed)| (changed, self.shown(user)));
        let differs = now.filter(|(changed, now)| changed.is_seen || changed.before != *now);
        differs.map(|(_, now)| now).collect()
    }

    /// Sends every client away.
    pub fn goaway(&self, goaway: &Goaway, code: CloseCode) {
        let frame = Bytes::from(ServerFrame::Goaway(goaway.clone()).encode());
        for connection in &self.connections {
            connection.outbox.control(frame.clone());
            connection.outbox.close(code);
        }
    }

    fn end(&self, user: UserId, by: ConnectionId, ended: impl Fn(SessionId) -> bool) {
        for connection in self.connections_of(user) {
            let session = connection.player().map(|player| player.identity.session);
            if !session.is_some_and(&ended) {
                continue;
            }
            if connection.id == by {
                self.sign_out(&connection);
            } else {
                connection.outbox.close(CloseCode::SessionEnded);
            }
        }
    }

    fn update(&self, user: UserId, change: impl Fn(&mut Player)) {
        for connection in self.connections_of(user) {
            connection.update_player(&change);
        }
    }
}

impl Presences for Registry {
    fn presence(&self, user: UserId) -> Presence {
        Self::presence(self, user)
    }
}

impl SessionNotifier for Registry {
    fn session_ended(&self, user: UserId, session: SessionId, by: ConnectionId) {
        self.end(user, by, |held| held == session);
    }

    fn sessions_ended(&self, user: UserId, except: Option<SessionId>, by: ConnectionId) {
        self.end(user, by, |held| Some(held) != except);
    }

    fn role_changed(&self, user: UserId, role: Role) {
        self.update(user, |player| player.identity.role = role);
    }

    fn upgraded(&self, user: UserId) {
        self.update(user, |player| player.identity.guest = false);
    }

    fn suspended(&self, user: UserId, told: &PlayerSuspended) {
        let event = Bytes::from(frame::event(told));
        for connection in self.connections_of(user) {
            connection.outbox.control(event.clone());
            connection.outbox.close(CloseCode::Suspended);
        }
    }

    fn sanctioned(&self, user: UserId, sanctions: &Arc<Sanctions>) {
        self.update(user, |player| player.take_sanctions(sanctions));
        if sanctions.may_speak(now_ms()).is_err() {
            self.forget_note(user);
        }
    }

    fn renamed(&self, user: UserId, name: &str) {
        let name: Arc<str> = Arc::from(name);
        self.update(user, |player| player.name = Arc::clone(&name));
    }

    fn friendship_changed(&self, one: UserId, other: UserId) {
        // Nobody listens once the server has stopped.
        self.pairs.send((one, other)).ok();
    }

    fn inbox_grew(&self, user: UserId) {
        for connection in self.connections_of(user) {
            connection.outbox.inbox_grew();
        }
    }

    fn wallet_changed(&self, user: UserId, wallet: Wallet) {
        self.show_latest(user, &WalletChanged { wallet });
    }

    fn inventory_changed(&self, user: UserId, change: ItemChange) {
        self.show_latest(user, &InventoryChanged { change });
    }
}
