//! Joins under way. They count against the most rooms of a player until the player's list has the room: a room is in it only once
//! the player's entity has heard of it, so who joins many at once would find room for each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_store::clock::Steady;

/// How long a join whose outcome is known waits to be found in the player's list, in milliseconds: mostly it takes a few.
const KEPT_MS: u64 = 30_000;

/// One join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    number: u64,
    /// The room.
    pub room: RoomId,
    /// Its outcome is not known yet.
    pub is_under_way: bool,
}

#[derive(Debug, Default)]
struct State {
    of: HashMap<UserId, Vec<Join>>,
    last: u64,
    /// Those whose outcome is known, and since when.
    ended: VecDeque<(Steady, UserId, u64)>,
}

impl State {
    fn remove(&mut self, user: UserId, number: u64) {
        if let Some(joins) = self.of.get_mut(&user) {
            joins.retain(|join| join.number != number);
            if joins.is_empty() {
                self.of.remove(&user);
            }
        }
    }

    /// Forgets those of which no list was looked at for long.
    fn forget_old(&mut self, now: Steady) {
        while let Some((since, user, number)) = self.ended.front().copied()
            && now >= since.after_ms(KEPT_MS)
        {
            self.ended.pop_front();
            self.remove(user, number);
        }
    }
}

/// The joins of all players on this server.
#[derive(Clone, Debug, Default)]
pub struct Joins(Arc<Mutex<State>>);

impl Joins {
    /// Counts a join from now on. Returns it with the player's joins before it, oldest first.
    pub fn begin(&self, user: UserId, room: RoomId, now: Steady) -> (Joining, Vec<Join>) {
        let mut state = self.0.lock();
        state.forget_old(now);
        state.last += 1;
        let number = state.last;
        let joins = state.of.entry(user).or_default();
        let before = joins.clone();
        joins.push(Join {
            number,
            room,
            is_under_way: true,
        });
        let joining = Joining {
            joins: self.clone(),
            user,
            number,
        };
        (joining, before)
    }

    /// Counts a join no longer: the player's list has the room, or the player is not a member.
    pub fn settled(&self, user: UserId, join: Join) {
        self.0.lock().remove(user, join.number);
    }
}

/// A room that a player is about to join. It is dropped when the outcome is known and, if the player has joined, the room is open;
/// it counts on until the player's list has been found to have it.
#[derive(Debug)]
pub struct Joining {
    joins: Joins,
    user: UserId,
    number: u64,
}

impl Joining {
    /// It is this room that the player is about to join, as it turns out. The place among the player's joins stays.
    pub fn leads_to(&self, room: RoomId) {
        let mut state = self.joins.0.lock();
        let joins = state.of.get_mut(&self.user).into_iter().flatten();
        for join in joins.filter(|join| join.number == self.number) {
            join.room = room;
        }
    }

    /// Nothing is joined.
    pub fn cancel(self) {
        self.joins.0.lock().remove(self.user, self.number);
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let (user, number) = (self.user, self.number);
        let mut state = self.joins.0.lock();
        let joins = state.of.get_mut(&user).into_iter().flatten();
        let Some(join) = joins.into_iter().find(|join| join.number == number) else {
            return;
        };
        join.is_under_way = false;
        state.ended.push_back((Steady::now(), user, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId::from_bytes([1; 10]);

    fn room(byte: u8) -> RoomId {
        RoomId::from_bytes([byte; 10])
    }

    fn rooms(joins: &[Join]) -> Vec<(RoomId, bool)> {
        let joins = joins.iter();
        joins.map(|join| (join.room, join.is_under_way)).collect()
    }

    #[test]
    fn a_join_counts_for_those_behind_it_until_it_is_settled() {
        let joins = Joins::default();
        let now = Steady::now();
        let (first, before) = joins.begin(USER, room(1), now);
        assert_eq!(before, []);
        let (second, before) = joins.begin(USER, room(2), now);
        assert_eq!(rooms(&before), [(room(1), true)]);
        let (_other, before) = joins.begin(UserId::from_bytes([2; 10]), room(1), now);
        assert_eq!(before, []);
        drop(first);
        second.cancel();
        let (third, before) = joins.begin(USER, room(3), now);
        assert_eq!(rooms(&before), [(room(1), false)]);
        joins.settled(USER, before[0]);
        third.cancel();
        assert_eq!(joins.begin(USER, room(4), now).1, []);
    }

    #[test]
    fn a_join_that_leads_elsewhere_keeps_its_place() {
        let joins = Joins::default();
        let now = Steady::now();
        let (first, _) = joins.begin(USER, room(1), now);
        let (second, before) = joins.begin(USER, room(2), now);
        assert_eq!(rooms(&before), [(room(1), true)]);
        first.leads_to(room(3));
        let (_third, before) = joins.begin(USER, room(4), now);
        assert_eq!(rooms(&before), [(room(3), true), (room(2), true)]);
        second.cancel();
        first.leads_to(room(5));
        drop(first);
        let (_fourth, before) = joins.begin(USER, room(6), now);
        assert_eq!(rooms(&before), [(room(5), false), (room(4), true)]);
    }

    #[test]
    fn nothing_is_kept_for_long_of_who_comes_no_more() {
        let joins = Joins::default();
        let now = Steady::now();
        drop(joins.begin(USER, room(1), now));
        let later = Steady::now().after_ms(KEPT_MS);
        let (kept, _) = joins.begin(UserId::from_bytes([2; 10]), room(1), later);
        kept.cancel();
        let state = joins.0.lock();
        assert!(state.of.is_empty() && state.ended.is_empty());
    }
}
