//! Streams of a connection.

use std::fmt;
use std::str::FromStr;

use crate::ids::{InvalidId, RoomId};

/// A durable stream that a connection follows and resumes by its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// What concerns the signed-in player: friend requests, invitations, moderation.
    Inbox,
    /// The messages of one room and the changes made to them.
    Room(RoomId),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inbox => f.write_str("inbox"),
            Self::Room(room) => room.fmt(f),
        }
    }
}

impl FromStr for Stream {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "inbox" => Ok(Self::Inbox),
            room => room.parse().map(Self::Room),
        }
    }
}
