//! How far a player has come in each room that it follows.

use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::system::StreamPosition;

/// Where a player stands in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Everything up to it has been received. None: not yet told where the stream begins.
    pub cursor: Option<Cursor>,
    /// Newest message that the server told of.
    pub head: u64,
    /// Whether new messages arrive as they happen.
    pub live: bool,
}

/// What a message's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It is new, and this many before it were passed over.
    New { passed_over: u64 },
    /// It came before.
    Twice,
    /// The room is not followed: it was closed while the message was on its way.
    Stray,
}

/// The rooms that a player follows: few, so that looking through them all is quick. Their names are kept as the
/// events spell them, so that none has to be parsed.
#[derive(Debug, Default)]
pub(super) struct Followed(Vec<(String, Place)>);

impl Followed {
    /// Begins to follow a room, from this cursor on if it is known.
    pub(super) fn begin(&mut self, room: RoomId, cursor: Option<Cursor>) {
        self.end(room);
        let place = Place {
            cursor,
            ..Place::default()
        };
        self.0.push((room.to_string(), place));
    }

    /// Follows a room no longer.
    pub(super) fn end(&mut self, room: RoomId) {
        let name = room.to_string();
        self.0.retain(|(held, _)| *held != name);
    }

    /// Where the player stands.
    pub(super) fn place(&self, room: RoomId) -> Option<Place> {
        let name = room.to_string();
        let held = self.0.iter().find(|(held, _)| *held == name);
        held.map(|(_, place)| *place)
    }

    /// The server has answered with where the stream goes on.
    pub(super) fn opened(&mut self, room: RoomId, at: Cursor) {
        if let Some(place) = self.named(&room.to_string()) {
            // Messages that came with the answer have been counted already.
            place.cursor.get_or_insert(at);
            place.head = place.head.max(at.seq);
        }
    }

    /// A message has come.
    pub(super) fn message(&mut self, room: &str, seq: u64) -> Met {
        let Some(place) = self.named(room) else {
            return Met::Stray;
        };
        let cursor = place.cursor.get_or_insert(Cursor {
            seq: seq.saturating_sub(1),
            rev: 0,
        });
        if seq <= cursor.seq {
            return Met::Twice;
        }
        let passed_over = seq - cursor.seq - 1;
        cursor.seq = seq;
        place.head = place.head.max(seq);
        Met::New { passed_over }
    }

    /// Messages up to this one are gone for good.
    pub(super) fn gap(&mut self, room: &str, to: u64) {
        if let Some(cursor) = self.named(room).and_then(|place| place.cursor.as_mut()) {
            cursor.seq = cursor.seq.max(to);
        }
    }

    /// The server says where the stream stands. Returns the cursor to acknowledge when it is not live.
    pub(super) fn position(&mut self, position: &StreamPosition) -> Option<Cursor> {
        let place = self.named(&position.stream)?;
        place.live = position.live;
        place.head = place.head.max(position.head);
        let cursor = place.cursor.get_or_insert(Cursor {
            seq: position.seq,
            rev: position.rev,
        });
        cursor.rev = cursor.rev.max(position.rev);
        (!position.live).then_some(*cursor)
    }

    fn named(&mut self, room: &str) -> Option<&mut Place> {
        let held = self.0.iter_mut().find(|(held, _)| held == room);
        held.map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: u8) -> RoomId {
        RoomId::from_bytes([number; 10])
    }

    fn position(seq: u64, head: u64, live: bool) -> StreamPosition {
        StreamPosition {
            stream: room(1).to_string(),
            seq,
            rev: 3,
            head,
            live,
        }
    }

    #[test]
    fn each_room_is_counted_by_itself() {
        let mut followed = Followed::default();
        followed.begin(room(1), None);
        followed.begin(room(2), Some(Cursor { seq: 40, rev: 0 }));
        followed.opened(room(1), Cursor { seq: 5, rev: 0 });
        let (one, two) = (room(1).to_string(), room(2).to_string());
        assert_eq!(followed.message(&one, 6), Met::New { passed_over: 0 });
        assert_eq!(followed.message(&two, 43), Met::New { passed_over: 2 });
        assert_eq!(followed.message(&one, 6), Met::Twice);
        followed.end(room(1));
        assert_eq!(followed.message(&one, 7), Met::Stray);
        assert_eq!(followed.place(room(2)).unwrap().head, 43);
    }

    #[test]
    fn a_room_whose_first_message_overtakes_the_answer_has_no_gap() {
        let mut followed = Followed::default();
        followed.begin(room(1), None);
        assert_eq!(followed.position(&position(5, 5, true)), None);
        let name = room(1).to_string();
        assert_eq!(followed.message(&name, 7), Met::New { passed_over: 1 });
        followed.opened(room(1), Cursor { seq: 5, rev: 0 });
        assert_eq!(followed.place(room(1)).unwrap().cursor.unwrap().seq, 7);
    }

    #[test]
    fn the_end_of_a_page_is_acknowledged_at_the_cursor() {
        let mut followed = Followed::default();
        followed.begin(room(1), Some(Cursor { seq: 9, rev: 1 }));
        followed.gap(&room(1).to_string(), 10);
        let acked = followed.position(&position(10, 30, false));
        assert_eq!(acked, Some(Cursor { seq: 10, rev: 3 }));
        assert!(!followed.place(room(1)).unwrap().live);
        assert_eq!(followed.position(&position(30, 30, true)), None);
        assert!(followed.place(room(1)).unwrap().live);
    }
}
