//! What everybody may know of one connection, and the handle to reach it.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::Bytes;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::limits::ROOMS_OPEN_MAX;
use pitturu_protocol::types::accounts::{Identity, Role};
use pitturu_protocol::types::presence::SetPresence;
use pitturu_rules::accounts::Sanctions;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::fail_points::is_undone;

use super::automod::Automod;
use super::call::PendingCall;
use super::link::Peer;
use super::open_rooms::OpenRooms;
use super::opening::Opening;
use super::outbox::{InboxFollow, Outbox};
use crate::call_traces;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// How long after a call a caller hears that there is no such room, at the earliest. That a room is not there is found out in the
/// store, and that it is there and none of the caller's business in memory, or by loading it: answered at once, the time would tell
/// which it was. Ten times what any of these mostly takes; loading a room
/// of thousands takes longer.
pub const UNKNOWN_ROOM_AFTER: Duration = Duration::from_millis(10);

/// Who is signed in on a connection.
#[derive(Clone, Debug)]
pub struct Player {
    /// Account, session, role and time limit.
    pub identity: Identity,
    /// When the time limit is reached: what was left of it at the sign-in, on the clock that does not jump.
    pub expires: Steady,
    /// Display name, as messages carry it.
    pub name: Arc<str>,
    /// What the staff has decided against the player; absent if nothing ever was.
    pub sanctions: Option<Arc<Sanctions>>,
}

impl Player {
    /// A player who signs in now.
    pub fn new(identity: Identity, name: Arc<str>) -> Self {
        let left = identity.expires_at.saturating_sub(now_ms());
        Self {
            identity,
            expires: Steady::now().after_ms(left),
            name,
            sanctions: None,
        }
    }

    /// Takes what the staff has decided against the player, if it is newer than what is known. What was read and what was told may
    /// come in either order.
    pub fn take_sanctions(&mut self, sanctions: &Arc<Sanctions>) {
        let is_news = match &self.sanctions {
            Some(known) => sanctions.is_newer_than(known),
            None => !sanctions.is_empty(),
        };
        if is_news {
            self.sanctions = Some(Arc::clone(sanctions));
        }
    }
}

/// Who is signed in on a connection.
#[derive(Debug)]
enum Who {
    /// Nobody yet, or no more; and what the hello wants others to see of the player whom its tokens sign in.
    Nobody(Option<Box<SetPresence>>),
    Player(Player),
}

impl Who {
    const fn player(&self) -> Option<&Player> {
        match self {
            Self::Nobody(_) => None,
            Self::Player(player) => Some(player),
        }
    }
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
    who: Mutex<Who>,
    /// Rooms that are open here; absent once the connection is gone.
    rooms: Mutex<Option<OpenRooms>>,
    openings: AtomicU32,
    /// Number of the last time that the inbox was asked for. It changes under the lock of `who` alone.
    inbox: AtomicU32,
    hidden: AtomicBool,
    automod: Arc<Automod>,
}

/// Why a room could not be opened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowRefused {
    /// The connection is gone, or the player has signed out of it.
    Gone,
    /// It has [`ROOMS_OPEN_MAX`] rooms open, or about to be.
    TooMany,
}

impl From<FollowRefused> for Fault {
    fn from(refused: FollowRefused) -> Self {
        match refused {
            FollowRefused::Gone => Self::of(Code::Unauthenticated),
            FollowRefused::TooMany => {
                let text = format!("at most {ROOMS_OPEN_MAX} rooms open on one connection");
                Self::new(Code::LimitReached, text)
            }
        }
    }
}

/// A place among the rooms that are open on a connection, kept from when an opening is decided until it is told or has failed:
/// what was decided is not refused for want of it. Dropped, it is given back.
#[derive(Debug)]
pub struct Place {
    connection: Arc<Connection>,
    room: RoomId,
    user: UserId,
    /// There was somebody to open the room for.
    is_kept: bool,
}

impl Place {
    /// Where the room is to be opened.
    pub const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// For whom.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Notes that the room is open. The room's shard calls it before it adds the connection, so that whoever signs out or goes
    /// away meanwhile finds the room among those to leave.
    ///
    /// # Errors
    /// [`FollowRefused::Gone`].
    pub fn open(&self) -> Result<Opening, FollowRefused> {
        let connection = &self.connection;
        let opening = connection.next_opening();
        let mut rooms = connection.rooms.lock();
        let rooms = rooms.as_mut().ok_or(FollowRefused::Gone)?;
        if !self.is_kept || connection.user() != Some(self.user) {
            return Err(FollowRefused::Gone);
        }
        rooms.open(self.room, opening);
        Ok(opening)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(rooms) = self
            .connection
            .rooms
            .lock()
            .as_mut()
            .filter(|_| self.is_kept)
        {
            rooms.give_back(self.room);
        }
    }
}

impl Connection {
    /// A connection on which nobody is signed in.
    pub fn new(id: ConnectionId, peer: Peer, outbox_bytes: usize, automod: Arc<Automod>) -> Self {
        Self {
            id,
            peer,
            outbox: Outbox::new(outbox_bytes),
            who: Mutex::new(Who::Nobody(None)),
            rooms: Mutex::new(Some(OpenRooms::default())),
            openings: AtomicU32::new(0),
            inbox: AtomicU32::new(0),
            hidden: AtomicBool::new(false),
            automod,
        }
    }

    /// Notes what the hello wants others to see of the player whom its tokens sign in.
    pub fn restore_presence(&self, presence: Option<SetPresence>) {
        *self.who.lock() = Who::Nobody(presence.map(Box::new));
    }

    /// What the hello wanted, once: for the first sign-in.
    pub fn take_restored_presence(&self) -> Option<SetPresence> {
        match &mut *self.who.lock() {
            Who::Nobody(restored) => restored.take().map(|presence| *presence),
            Who::Player(_) => None,
        }
    }

    /// Whether the player who was last signed in here hides from others.
    pub fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Acquire)
    }

    /// Says whether the player hides. It stays so after they are signed out, until the rooms have let the connection go.
    pub fn set_hidden(&self, hidden: bool) {
        self.hidden.store(hidden, Ordering::Release);
    }

    /// Answers a call with an encoded reply, unless it was answered already.
    pub fn reply(self: &Arc<Self>, call: PendingCall, frame: Bytes) {
        match call.sendable(frame) {
            Ok(frame) => {
                if self.outbox.answer(call.number, frame) {
                    call.replied();
                }
            }
            Err(fault) => self.refuse(call, &fault),
        }
    }

    /// As [`Self::reply`], when the caller will hear more at once: it goes out together with the next event past the driver,
    /// or when the outbox is released, which has to follow.
    pub fn reply_corked(self: &Arc<Self>, call: PendingCall, frame: Bytes) {
        match call.sendable(frame) {
            Ok(frame) => {
                if self.outbox.cork_reply(call.number, frame) {
                    call.replied();
                }
            }
            Err(fault) => self.refuse(call, &fault),
        }
    }

    /// Refuses a call, unless it was answered already. Every refusal goes through here or, on the spot, through
    /// [`PendingCall::refused`], so all are counted. That there is no such room is said [`UNKNOWN_ROOM_AFTER`] the call.
    pub fn refuse(self: &Arc<Self>, call: PendingCall, fault: &Fault) {
        if fault.code == Code::RoomNotFound
            && let Some(wait) = call.left_of(UNKNOWN_ROOM_AFTER)
        {
            let (connection, fault) = (Arc::clone(self), fault.clone());
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                connection.refuse_now(call, fault);
            });
            return;
        }
        self.refuse_now(call, fault.clone());
    }

    fn refuse_now(&self, call: PendingCall, fault: Fault) {
        let code = fault.code;
        let frame = call.fault_frame(fault).encode();
        if self.outbox.answer(call.number, frame.into()) {
            call.refused(code);
            self.note_refusal(call, code);
        }
    }

    /// Counts a refusal for the rules by which the server acts on players by itself. Whoever refuses a call on the spot calls this.
    pub fn note_refusal(&self, call: PendingCall, code: Code) {
        if let Some(offence) = call.offence(code)
            && let Some(identity) = self.identity()
            && identity.role == Role::Player
        {
            self.automod.count(identity.user, offence, Steady::now());
        }
    }

    /// Keeps a place for a room that is to be opened here for the player. Asked before anything is decided that opens it. Where
    /// nothing can be opened, because the connection is gone or the player has signed out, there is nothing to keep: what they have
    /// called for is still carried out.
    ///
    /// # Errors
    /// [`FollowRefused::TooMany`].
    pub fn keep_place(
        self: &Arc<Self>,
        room: RoomId,
        user: UserId,
    ) -> Result<Place, FollowRefused> {
        let mut rooms = self.rooms.lock();
        let mut is_kept = false;
        if let Some(rooms) = rooms.as_mut().filter(|_| self.user() == Some(user)) {
            if !rooms.reserve(room) {
                return Err(FollowRefused::TooMany);
            }
            is_kept = true;
        }
        Ok(Place {
            connection: Arc::clone(self),
            room,
            user,
            is_kept,
        })
    }

    /// Has the driver follow the player's inbox from this sequence on, in place of what it followed before. Nothing, if the player
    /// has signed out.
    pub fn follow_inbox(&self, user: UserId, seq: u64) {
        self.while_signed_in(user, || {
            let follow = self.next_opening();
            self.inbox.store(follow.number(), Ordering::Relaxed);
            self.outbox.follow_inbox(InboxFollow { user, follow, seq });
        });
    }

    /// Does `act` if this player is signed in, and has not asked for the inbox again since. Meanwhile neither can happen. False: it
    /// is not so.
    pub fn while_inbox_followed(&self, user: UserId, follow: Opening, act: impl FnOnce()) -> bool {
        let mut is_followed = false;
        self.while_signed_in(user, || {
            is_followed = self.inbox.load(Ordering::Relaxed) == follow.number();
            if is_followed {
                act();
            }
        });
        is_followed
    }

    fn next_opening(&self) -> Opening {
        Opening::numbered(self.openings.fetch_add(1, Ordering::Relaxed))
    }

    /// The rooms that are open here.
    pub fn open_rooms(&self) -> Vec<RoomId> {
        let rooms = self.rooms.lock();
        rooms
            .as_ref()
            .map(OpenRooms::open_rooms)
            .unwrap_or_default()
    }

    /// Whether the room is still open as it was.
    pub fn is_open(&self, room: RoomId, opening: Opening) -> bool {
        is_open(self.rooms.lock().as_ref(), room, opening)
    }

    /// Does `act` if the room is still open as it was. Meanwhile it can't be closed or lost. False: it is not.
    pub fn while_open(&self, room: RoomId, opening: Opening, act: impl FnOnce()) -> bool {
        let rooms = self.rooms.lock();
        let is_open = is_open(rooms.as_ref(), room, opening);
        if is_open {
            act();
        }
        is_open
    }

    /// Does `act` if this player is signed in. Meanwhile nobody else can be. False: it is not.
    pub fn while_signed_in(&self, user: UserId, act: impl FnOnce()) -> bool {
        let who = self.who.lock();
        let is_here = who
            .player()
            .is_some_and(|player| player.identity.user == user);
        if is_here {
            act();
        }
        is_here
    }

    /// Notes that a room is no longer open here.
    pub fn unfollow(&self, room: RoomId) {
        let mut rooms = self.rooms.lock();
        if let Some(rooms) = rooms.as_mut() {
            rooms.close(room);
        }
    }

    /// Takes all rooms away: the player signed out.
    pub fn take_rooms(&self) -> Vec<RoomId> {
        let mut rooms = self.rooms.lock();
        rooms.as_mut().map(OpenRooms::close_all).unwrap_or_default()
    }

    /// Takes all rooms away for good: the connection is gone, and no room may add it any more.
    pub fn end_rooms(&self) -> Vec<RoomId> {
        let mut rooms = self.rooms.lock();
        let taken = rooms.take();
        taken.map(|rooms| rooms.open_rooms()).unwrap_or_default()
    }

    /// Whether the connection is gone: nothing may be listed for it any more.
    pub fn is_gone(&self) -> bool {
        self.rooms.lock().is_none()
    }

    /// Who is signed in.
    pub fn player(&self) -> Option<Player> {
        self.who.lock().player().cloned()
    }

    /// The signed-in account with its session, role and time limit.
    pub fn identity(&self) -> Option<Identity> {
        let who = self.who.lock();
        who.player().map(|player| player.identity.clone())
    }

    /// When the sign-in ends unless it is prolonged.
    pub fn expires(&self) -> Option<Steady> {
        self.who.lock().player().map(|player| player.expires)
    }

    /// The signed-in account.
    pub fn user(&self) -> Option<UserId> {
        self.identity().map(|identity| identity.user)
    }

    /// Replaces who is signed in and returns who was.
    pub fn set_player(&self, player: Option<Player>) -> Option<Player> {
        if let Some(player) = &player {
            call_traces::current().signed_in(player.identity.user);
        }
        let who = player.map_or(Who::Nobody(None), Who::Player);
        match std::mem::replace(&mut *self.who.lock(), who) {
            Who::Nobody(_) => None,
            Who::Player(player) => Some(player),
        }
    }

    /// Changes the signed-in player in place, if there is one.
    pub fn update_player(&self, change: impl FnOnce(&mut Player)) {
        if let Who::Player(player) = &mut *self.who.lock() {
            change(player);
        }
    }
}

fn is_open(rooms: Option<&OpenRooms>, room: RoomId, opening: Opening) -> bool {
    rooms.is_some_and(|open| open.is_open(room, opening)) || is_undone("numbered_openings")
}
