//! What everybody may know of one connection, and the handle to reach it.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::limits::ROOMS_OPEN_MAX;
use pitturu_protocol::types::accounts::Identity;

use super::call::PendingCall;
use super::link::Peer;
use super::outbox::Outbox;
use crate::sync::Mutex;

/// Who is signed in on a connection.
#[derive(Clone, Debug)]
pub struct Player {
    /// Account, session, role and time limit.
    pub identity: Identity,
    /// Display name, as messages carry it.
    pub name: Arc<str>,
}

/// One connection, shared by its driver, the rooms that it has open and the registry.
#[derive(Debug)]
pub struct Connection {
    /// Its name in logs.
    pub id: ConnectionId,
    /// The other end.
    pub peer: Peer,
    /// What waits to be sent on it.
    pub outbox: Outbox,
    player: Mutex<Option<Player>>,
    /// Rooms that follow this connection; absent once it is gone.
    rooms: Mutex<Option<Vec<RoomId>>>,
}

/// Why a room could not be opened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowRefused {
    /// The connection is gone, or the player has signed out of it.
    Gone,
    /// It has [`ROOMS_OPEN_MAX`] rooms open.
    TooMany,
}

impl Connection {
    /// A connection on which nobody is signed in.
    pub fn new(id: ConnectionId, peer: Peer, outbox_bytes: usize) -> Self {
        Self {
            id,
            peer,
            outbox: Outbox::new(outbox_bytes),
            player: Mutex::new(None),
            rooms: Mutex::new(Some(Vec::new())),
        }
    }

    /// Answers a call with an encoded reply, unless it was answered already.
    pub fn reply(&self, call: PendingCall, frame: Bytes) {
        if self.outbox.answer(call.number, frame) {
            call.replied();
        }
    }

    /// As [`Self::reply`], when the caller will hear more at once: it goes out together with the next event past the driver,
    /// or when the outbox is released, which has to follow.
    pub fn reply_corked(&self, call: PendingCall, frame: Bytes) {
        if self.outbox.cork_reply(call.number, frame) {
            call.replied();
        }
    }

    /// Refuses a call, unless it was answered already. Every refusal goes through here or, on the spot, through
    /// [`PendingCall::refused`], so all are counted.
    pub fn refuse(&self, call: PendingCall, fault: &Fault) {
        let frame = call.fault_frame(fault.clone()).encode();
        if self.outbox.answer(call.number, frame.into()) {
            call.refused(fault.code);
        }
    }

    /// Notes that a room is open here for the player. The room's shard calls it before it adds the connection, so that
    /// whoever signs out or goes away meanwhile finds the room among those to leave.
    pub fn follow(&self, room: RoomId, user: UserId) -> Result<(), FollowRefused> {
        let mut rooms = self.rooms.lock();
        match rooms.as_mut() {
            None => Err(FollowRefused::Gone),
            Some(_) if self.user() != Some(user) => Err(FollowRefused::Gone),
            Some(open) if open.contains(&room) => Ok(()),
            Some(open) if open.len() >= ROOMS_OPEN_MAX => Err(FollowRefused::TooMany),
            Some(open) => {
                open.push(room);
                Ok(())
            }
        }
    }

    /// Notes that a room is no longer open here.
    pub fn unfollow(&self, room: RoomId) {
        let mut rooms = self.rooms.lock();
        if let Some(open) = rooms.as_mut() {
            open.retain(|&held| held != room);
        }
    }

    /// Takes all rooms away: the player signed out.
    pub fn take_rooms(&self) -> Vec<RoomId> {
        let mut rooms = self.rooms.lock();
        rooms.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes all rooms away for good: the connection is gone, and no room may add it any more.
    pub fn end_rooms(&self) -> Vec<RoomId> {
        let mut rooms = self.rooms.lock();
        rooms.take().unwrap_or_default()
    }

    /// Who is signed in.
    pub fn player(&self) -> Option<Player> {
        self.player.lock().clone()
    }

    /// The signed-in account with its session, role and time limit.
    pub fn identity(&self) -> Option<Identity> {
        self.player
            .lock()
            .as_ref()
            .map(|player| player.identity.clone())
    }

    /// The signed-in account.
    pub fn user(&self) -> Option<UserId> {
        self.identity().map(|identity| identity.user)
    }

    /// Replaces who is signed in and returns who was.
    pub fn set_player(&self, player: Option<Player>) -> Option<Player> {
        std::mem::replace(&mut *self.player.lock(), player)
    }

    /// Changes the signed-in player in place, if there is one.
    pub fn update_player(&self, change: impl FnOnce(&mut Player)) {
        if let Some(player) = self.player.lock().as_mut() {
            change(player);
        }
    }
}
