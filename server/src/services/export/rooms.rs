//! What there is of a player in rooms: how they stand to each, what they said, what they reacted with.

use std::fmt;
use std::str::FromStr;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_rules::rooms::rows::MemberRow;
use pitturu_store::entities::PAGE_ROWS_MAX;
use serde_json::{Value, json};

use super::{Found, ROWS, no_position, required};
use crate::chat::store::RoomStore;
use crate::players::store::PlayerStore;

/// Rooms of the whole server that are read together.
const ROOMS: usize = 8;

/// Which rooms are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of the player's list.
    Listed,
    /// All others, which the player has left, is kept out of, or has never seen: nobody keeps a list of them.
    Others,
}

/// How far the rooms were looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    room: RoomId,
    stage: Stage,
}

/// How far a room was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not yet.
    Standing,
    /// Up to this message.
    Messages(u64),
    /// All messages, and up to this reaction to this one.
    Reactions(Option<(u64, UserId)>),
    /// All of it.
    Over,
}

impl Position {
    const fn beginning(room: RoomId) -> Self {
        Self::at(room, Stage::Standing)
    }

    const fn at(room: RoomId, stage: Stage) -> Self {
        Self { room, stage }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.room)?;
        match self.stage {
            Stage::Standing => Ok(()),
            Stage::Messages(seq) => write!(f, ":m:{seq}"),
            Stage::Reactions(None) => f.write_str(":r"),
            Stage::Reactions(Some((seq, user))) => write!(f, ":r:{seq}:{user}"),
            Stage::Over => f.write_str(":o"),
        }
    }
}

impl FromStr for Position {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.split(':').collect();
        let stage = match parts[1..] {
            [] => Stage::Standing,
            ["m", seq] => Stage::Messages(required(seq)?),
            ["r"] => Stage::Reactions(None),
            ["r", seq, user] => Stage::Reactions(Some((required(seq)?, required(user)?))),
            ["o"] => Stage::Over,
            _ => return Err(no_position()),
        };
        Ok(Self::at(required(parts[0])?, stage))
    }
}

/// Looks through rooms for what there is of a player.
pub(super) struct Rooms<'a> {
    /// What is stored of players.
    pub(super) players: &'a PlayerStore,
    /// What is stored of rooms.
    pub(super) rooms: &'a RoomStore,
    /// Whose it is.
    pub(super) user: UserId,
    /// Where it is looked for.
    pub(super) which: Which,
}

impl Rooms<'_> {
    /// What a look behind this position finds.
    pub(super) async fn look(&self, after: &str) -> Result<Found, Fault> {
        let position = match after.is_empty() {
            true => self.next(None).await?,
            false => Some(after.parse()?),
        };
        let Some(position) = position else {
            return Ok(Found::default());
        };
        let room = position.room;
        let (records, next) = match position.stage {
            Stage::Standing => (self.standing(room).await?, Some(Stage::Messages(0))),
            Stage::Messages(seq) => self.messages(room, seq).await?,
            Stage::Reactions(after) => self.reactions(room, after).await?,
            Stage::Over => (Vec::new(), None),
        };
        let next = match next {
            Some(stage) => Some(Position::at(room, stage)),
            None => self.next(Some(room)).await?,
        };
        let records = records.into_iter().map(|(record, stage)| {
            let position = Position::at(room, stage);
            (record, position.to_string())
        });
        Ok(Found {
            records: records.collect(),
            next: next.map(|position| position.to_string()),
        })
    }

    /// Rows of one look. What the staff has looked through is nearly all other players'.
    const fn rows(&self) -> usize {
        match self.which {
            Which::Listed => ROWS,
            Which::Others => PAGE_ROWS_MAX,
        }
    }

    /// Where it goes on behind a room.
    async fn next(&self, after: Option<RoomId>) -> Result<Option<Position>, Fault> {
        if self.which == Which::Listed {
            let rooms = self.players.rooms(self.user, after, 1).await?;
            return Ok(rooms.first().copied().map(Position::beginning));
        }
        let page = self.rooms.rooms_page(after, ROOMS).await?;
        let listed = self.players.rooms(self.user, after, PAGE_ROWS_MAX).await?;
        let may_know = |peers: Option<[UserId; 2]>| peers.is_none_or(|of| of.contains(&self.user));
        let found = page.iter().find(|row| {
            !row.deleted && may_know(row.peers) && listed.binary_search(&row.room).is_err()
        });
        let last = page.last().map(|row| Position::at(row.room, Stage::Over));
        Ok(found.map(|row| Position::beginning(row.room)).or(last))
    }

    /// How the player stands to the room, if there is anything to say of it.
    async fn standing(&self, room: RoomId) -> Result<Vec<(Value, Stage)>, Fault> {
        let (place, limits) = self.rooms.standing(room, self.user).await?;
        if self.which == Which::Others && place.is_none() && limits.is_none() {
            return Ok(Vec::new());
        }
        let record = json!({"room": {
            "room": room,
            "place": place.as_ref().map(shown),
            "muted_until": limits.and_then(|limits| limits.muted_until),
            "wrote_in_slow_mode_at": limits.map(|limits| limits.wrote_at).filter(|at| *at > 0),
        }});
        Ok(vec![(record, Stage::Messages(0))])
    }

    async fn messages(
        &self,
        room: RoomId,
        after: u64,
    ) -> Result<(Vec<(Value, Stage)>, Option<Stage>), Fault> {
        let rows = self
            .rooms
            .messages_after(room, after, self.rows(), PAGE_BYTES_MAX)
            .await?;
        let next = rows.last().map(|last| Stage::Messages(last.msg.seq));
        let own = rows.into_iter().filter(|row| row.msg.from == self.user);
        let records = own.map(|row| {
            let record = json!({"message": {"room": room, "message": row.msg}});
            (record, Stage::Messages(row.msg.seq))
        });
        let next = next.unwrap_or(Stage::Reactions(None));
        Ok((records.collect(), Some(next)))
    }

    async fn reactions(
        &self,
        room: RoomId,
        after: Option<(u64, UserId)>,
    ) -> Result<(Vec<(Value, Stage)>, Option<Stage>), Fault> {
        let rows = self.rooms.all_reactions(room, after, self.rows()).await?;
        let at = |seq, user| Stage::Reactions(Some((seq, user)));
        let next = rows.last().map(|(seq, row)| at(*seq, row.user));
        let own = rows.into_iter().filter(|(_, row)| row.user == self.user);
        let records = own.map(|(seq, row)| {
            let record = json!({"reaction": {"room": room, "seq": seq, "emoji": row.emoji}});
            (record, at(seq, row.user))
        });
        Ok((records.collect(), next))
    }
}

/// A place without who has kept the player out.
fn shown(place: &MemberRow) -> Value {
    let mut shown = json!(place);
    let banned = shown.pointer_mut("/state/banned");
    if let Some(banned) = banned.and_then(Value::as_object_mut) {
        banned.remove("by");
    }
    shown
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::codes::Code;

    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_told_and_anything_else_is_none() {
        let (room, user) = (RoomId::from_bytes([3; 10]), UserId::from_bytes([9; 10]));
        let stages = [
            Stage::Standing,
            Stage::Messages(7),
            Stage::Reactions(None),
            Stage::Reactions(Some((7, user))),
            Stage::Over,
        ];
        for stage in stages {
            let position = Position::at(room, stage);
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for wrong in ["", ":", "x", ":m:1", "m:1"] {
            let code = wrong.parse::<Position>().map_err(|fault| fault.code);
            assert_eq!(code, Err(Code::InvalidArgument), "{wrong:?}");
        }
        for wrong in [":m", ":m:", ":m:x", ":m:1:2", ":r:1", ":r:1:x", ":o:1", ":"] {
            let code = format!("{room}{wrong}").parse::<Position>();
            let code = code.map_err(|fault| fault.code);
            assert_eq!(code, Err(Code::InvalidArgument), "{wrong:?}");
        }
    }
}
