//! Calls before they are taken: what is checked, and what their success will change.

use crate::codec::{self, InvalidBody};
use crate::ids::RoomId;
use crate::limits::{FRAME_BYTES_MAX, KEY_BYTES_MAX};
use crate::methods::{Change, Effect, Method, MethodInfo, Order, Place};
use crate::types::boards::{FollowBoard, UnfollowBoard};
use crate::types::presence::SetPresence;

/// Most unanswered calls that the machine holds, those on the wire included. One more is refused at once.
pub const CALLS_HELD_MAX: usize = 1024;

/// Most bytes of bodies of unanswered calls. A call beyond it is refused at once.
pub const CALLS_HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a frame that are not its body: the array, numbers and key.
const FRAME_OVERHEAD_BYTES: usize = 32 + KEY_BYTES_MAX;

/// Names a call until it is answered. Increases in the order of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// A call of the application's.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Number of the method.
    pub method: u16,
    /// Encoded request.
    pub body: Vec<u8>,
    /// Idempotency key, drawn for this action. Without one a write is not repeated after a lost connection.
    pub key: Option<String>,
    /// Whether the key was drawn for this call, so that nothing was ever sent under it. The machine then tells the server how
    /// far it had seen the call's room, which spares the room's owner to look the key up. Must be false for a key
    /// that another call may have had, also one of an earlier run: the action could take effect twice.
    pub key_is_new: bool,
    /// Time after which the call is answered with [`Code::Deadline`](crate::codes::Code::Deadline). Absent: it waits for as long as it takes.
    pub deadline: Option<u64>,
}

impl Request {
    /// A call of `request`'s method, without key and deadline.
    pub fn of<M: Method>(request: &M) -> Self {
        Self {
            method: M::NUMBER,
            body: codec::encode(request),
            key: None,
            key_is_new: false,
            deadline: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Refused> {
        if MethodInfo::of(self.method).is_none() {
            return Err(Refused::Method(self.method));
        }
        if self.body.len() + FRAME_OVERHEAD_BYTES > FRAME_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        match &self.key {
            Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => Err(Refused::Key),
            _ => Ok(()),
        }
    }

    /// Whether it neither waits for a connection nor is sent again on another one.
    pub(super) fn is_momentary(&self) -> bool {
        MethodInfo::of(self.method).is_some_and(|info| info.momentary)
    }

    /// The room that it is about, if its method runs there or keeps the order of its room.
    pub(super) fn room(&self) -> Result<Option<RoomId>, InvalidBody> {
        match MethodInfo::of(self.method) {
            Some(info) if info.place == Place::Room || info.order == Some(Order::Room) => {
                room(&self.body).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether it must not overtake other calls of its room.
    pub(super) fn keeps_order(&self) -> bool {
        MethodInfo::of(self.method).is_some_and(|info| info.order == Some(Order::Room))
    }

    /// Whether the room's owner would look its key up, and would find nothing.
    pub(super) fn is_first_write(&self) -> bool {
        let new = self.key.is_some() && self.key_is_new;
        new && MethodInfo::of(self.method)
            .is_some_and(|info| info.place == Place::Room && info.effect == Effect::Writes)
    }
}

/// Why a call was not taken. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many calls, or too many bytes of them, have no answer yet. Wait for answers.
    #[error("{CALLS_HELD_MAX} calls or {CALLS_HELD_BYTES_MAX} bytes have no answer yet")]
    QueueFull,
    /// The request is longer than a frame may be.
    #[error("a call is at most {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// The key is empty or longer than [`KEY_BYTES_MAX`].
    #[error("an idempotency key is 1 to {KEY_BYTES_MAX} bytes")]
    Key,
    /// No method has this number.
    #[error("no method has the number {0}")]
    Method(u16),
    /// The body is not a request of the method.
    #[error("malformed request: {0}")]
    Body(#[from] InvalidBody),
    /// The machine has stopped.
    #[error("the connection has been closed for good")]
    Stopped,
}

/// What the machine does when a call succeeds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Consequence {
    None,
    Opens {
        seq: Option<u64>,
        rev: Option<u64>,
    },
    Closes(RoomId),
    SignsIn,
    Authenticates(String),
    SignsOut,
    SetsPresence(SetPresence),
    /// News of a leaderboard come over the connection from then on.
    Follows(String),
    Unfollows(String),
}

impl Consequence {
    pub(super) fn of(request: &Request) -> Result<Self, InvalidBody> {
        let body = &request.body;
        match request.method {
            FollowBoard::NUMBER => return board(body).map(Self::Follows),
            UnfollowBoard::NUMBER => return board(body).map(Self::Unfollows),
            _ => {}
        }
        let changes = MethodInfo::of(request.method).map_or(Change::Nothing, |info| info.changes);
        Ok(match changes {
            Change::Nothing | Change::EndsSession | Change::Resumes => Self::None,
            Change::SignsIn => Self::SignsIn,
            Change::Authenticates => Self::Authenticates(access(body)?),
            Change::SignsOut => Self::SignsOut,
            Change::Opens => opening(body)?,
            Change::Closes => Self::Closes(room(body)?),
            Change::SetsPresence => Self::SetsPresence(codec::decode(body)?),
        })
    }
}

/// The room that a request is about.
fn room(body: &[u8]) -> Result<RoomId, InvalidBody> {
    #[derive(serde::Deserialize)]
    struct Room {
        room: RoomId,
    }
    codec::decode::<Room>(body).map(|request| request.room)
}

/// The leaderboard that a request is about.
fn board(body: &[u8]) -> Result<String, InvalidBody> {
    #[derive(serde::Deserialize)]
    struct Board {
        board: String,
    }
    codec::decode::<Board>(body).map(|request| request.board)
}

/// The access token that a request brings.
fn access(body: &[u8]) -> Result<String, InvalidBody> {
    #[derive(serde::Deserialize)]
    struct Access {
        access: String,
    }
    codec::decode::<Access>(body).map(|request| request.access)
}

/// Opens a room from the cursor that the request asks for, if it asks for one.
fn opening(body: &[u8]) -> Result<Consequence, InvalidBody> {
    #[derive(serde::Deserialize)]
    struct Asked {
        seq: Option<u64>,
        rev: Option<u64>,
    }
    codec::decode(body).map(|Asked { seq, rev }| Consequence::Opens { seq, rev })
}
