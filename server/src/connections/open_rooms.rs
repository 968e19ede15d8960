//! The rooms that are open on a connection, and the places kept for those that are about to be.

use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::ROOMS_OPEN_MAX;

use super::opening::Opening;

/// A room that is open, is about to be, or both.
#[derive(Debug)]
struct OpenRoom {
    room: RoomId,
    opening: Option<Opening>,
    /// Openings that are decided and not told yet.
    reserved: u32,
}

/// At most [`ROOMS_OPEN_MAX`] rooms. One that is open and to be opened again takes one place.
#[derive(Debug, Default)]
pub struct OpenRooms(Vec<OpenRoom>);

impl OpenRooms {
    /// Keeps a place for an opening. False: there is none left.
    pub fn reserve(&mut self, room: RoomId) -> bool {
        if let Some(held) = self.find(room) {
            held.reserved += 1;
        } else if self.0.len() < ROOMS_OPEN_MAX {
            self.0.push(OpenRoom {
                room,
                opening: None,
                reserved: 1,
            });
        } else {
            return false;
        }
        true
    }

    /// Gives back what was kept for one opening.
    pub fn give_back(&mut self, room: RoomId) {
        if let Some(held) = self.find(room) {
            held.reserved = held.reserved.saturating_sub(1);
        }
        self.forget(room);
    }

    /// Opens a room for which a place is kept.
    pub fn open(&mut self, room: RoomId, opening: Opening) {
        if let Some(held) = self.find(room) {
            held.opening = Some(opening);
        }
    }

    /// A room is no longer open. What is kept for another opening stays.
    pub fn close(&mut self, room: RoomId) {
        if let Some(held) = self.find(room) {
            held.opening = None;
        }
        self.forget(room);
    }

    /// Closes all rooms and says which were open.
    pub fn close_all(&mut self) -> Vec<RoomId> {
        let open = self.open_rooms();
        self.0.iter_mut().for_each(|held| held.opening = None);
        self.0.retain(|held| held.reserved > 0);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        open
    }

    /// The rooms that are open.
    pub fn open_rooms(&self) -> Vec<RoomId> {
        let open = self.0.iter().filter(|held| held.opening.is_some());
        open.map(|held| held.room).collect()
    }

    /// Whether the room is still open as it was.
    pub fn is_open(&self, room: RoomId, opening: Opening) -> bool {
        let mut held = self.0.iter();
        held.any(|held| held.room == room && held.opening == Some(opening))
    }

    fn find(&mut self, room: RoomId) -> Option<&mut OpenRoom> {
        self.0.iter_mut().find(|held| held.room == room)
    }

    fn forget(&mut self, room: RoomId) {
        self.0
            .retain(|held| held.room != room || held.opening.is_some() || held.reserved > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: usize) -> RoomId {
        let mut id = [0; 10];
        id[..8].copy_from_slice(&number.to_be_bytes());
        RoomId::from_bytes(id)
    }

    #[test]
    fn places_are_kept_used_and_given_back() {
        let mut rooms = OpenRooms::default();
        for number in 0..ROOMS_OPEN_MAX {
            assert!(rooms.reserve(room(number)), "{number}");
        }
        assert!(!rooms.reserve(room(ROOMS_OPEN_MAX)));
        assert_eq!(rooms.open_rooms(), []);
        // Another opening of the same room takes no further place.
        assert!(rooms.reserve(room(0)));
        rooms.open(room(0), Opening::numbered(1));
        rooms.give_back(room(0));
        rooms.close(room(0));
        assert!(!rooms.reserve(room(ROOMS_OPEN_MAX)), "one is still to come");
        rooms.open(room(0), Opening::numbered(2));
        rooms.give_back(room(0));
        assert!(rooms.is_open(room(0), Opening::numbered(2)));
        assert!(!rooms.is_open(room(0), Opening::numbered(1)));
        assert!(!rooms.reserve(room(ROOMS_OPEN_MAX)), "it is open");
        rooms.close(room(0));
        assert!(rooms.reserve(room(ROOMS_OPEN_MAX)));
        rooms.give_back(room(1));
        assert!(rooms.reserve(room(1)));
    }

    #[test]
    fn who_signs_out_leaves_what_is_kept() {
        let mut rooms = OpenRooms::default();
        for number in 0..3 {
            assert!(rooms.reserve(room(number)));
        }
        for number in 0..2 {
            rooms.open(room(number), Opening::numbered(0));
        }
        rooms.give_back(room(0));
        assert_eq!(rooms.close_all(), [room(0), room(1)]);
        assert_eq!(rooms.open_rooms(), []);
        assert_eq!(rooms.0.len(), 2, "of openings under way");
    }
}
