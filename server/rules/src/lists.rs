//! The lists of a player that others write to: the inbox, and rooms that others offer.
//!
//! Everything that gets into one of them passes here, and by the same three rules. What a player does whom the owner of the list
//! blocks does not get in, and a block removes what is there. Each player has a bound, and all who are no friends have one
//! together. When a bound is reached the oldest goes, of those whom it bounds: nobody pushes out what others have put there.
//! Requests for friendship, which are one for each player, keep the same rules in [`crate::friends`].

use std::collections::BTreeMap;

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::inbox::InboxEntry;
use serde::{Deserialize, Serialize};

use crate::signals::Listed;

/// Entries that an inbox keeps; older ones go as new ones come.
pub const INBOX_ENTRIES_MAX: usize = 1_000;

/// Entries of players who are no friends among them.
pub const INBOX_STRANGERS_MAX: usize = 250;

/// Entries of one player who is no friend.
pub const INBOX_STRANGER_MAX: usize = 10;

/// Entries of one friend.
pub const INBOX_FRIEND_MAX: usize = 100;

/// Rooms of one kind, invitations or direct rooms, that others offer.
pub const OFFERS_MAX: usize = 50;

/// Invitations of one player.
pub const OFFERS_OF_ONE_MAX: usize = 5;

/// The player whose doing an entry of an inbox tells of. None: the server's own.
pub const fn caused_by(entry: &InboxEntry) -> Option<UserId> {
    match entry {
        InboxEntry::FriendRequested { user, .. }
        | InboxEntry::FriendAccepted { user, .. }
        | InboxEntry::FriendRemoved { user }
        | InboxEntry::DirectOpened { user, .. }
        | InboxEntry::PointsReceived { user, .. }
        | InboxEntry::PointsReturned { user, .. } => Some(*user),
        InboxEntry::RoomInvited { by, .. }
        | InboxEntry::RoomKicked { by, .. }
        | InboxEntry::RoomBanned { by, .. }
        | InboxEntry::RoomMuted { by, .. }
        | InboxEntry::RoomRoleChanged { by, .. }
        | InboxEntry::RoomDeleted { by, .. } => Some(*by),
        InboxEntry::SeasonPlaced { .. }
        | InboxEntry::RoleChanged { .. }
        | InboxEntry::Suspended { .. }
        | InboxEntry::Muted { .. }
        | InboxEntry::Unmuted
        | InboxEntry::ProfileReset { .. }
        | InboxEntry::Unknown => None,
    }
}

/// What is kept of an entry beside the entry itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxMark {
    /// Whose doing it tells of; absent for the server's own.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// Whether that was a friend when it came.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_friend: bool,
}

impl InboxMark {
    const fn is_strangers(&self) -> bool {
        self.by.is_some() && !self.is_friend
    }
}

/// Which entries an inbox keeps, by their sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboxMarks(BTreeMap<u64, InboxMark>);

impl InboxMarks {
    /// The marks as they are stored.
    pub fn load(marks: impl IntoIterator<Item = (u64, InboxMark)>) -> Self {
        Self(marks.into_iter().collect())
    }

    /// The oldest entry that is kept.
    pub fn first(&self) -> Option<u64> {
        self.0.keys().next().copied()
    }

    /// Takes an entry in as the newest one. The entries that go for it.
    pub fn add(&mut self, seq: u64, mark: InboxMark) -> Vec<u64> {
        let of_one = if mark.is_friend {
            INBOX_FRIEND_MAX
        } else {
            INBOX_STRANGER_MAX
        };
        let mut gone = Vec::new();
        if mark.by.is_some() {
            self.make_room(of_one, |held| held.by == mark.by, &mut gone);
        }
        if mark.is_strangers() {
            self.make_room(INBOX_STRANGERS_MAX, InboxMark::is_strangers, &mut gone);
        }
        self.make_room(INBOX_ENTRIES_MAX, |_| true, &mut gone);
        self.0.insert(seq, mark);
        gone
    }

    /// Lets the oldest of these go until one more has room among them.
    fn make_room(&mut self, max: usize, of: impl Fn(&InboxMark) -> bool, gone: &mut Vec<u64>) {
        let held = self.0.iter().filter(|(_, mark)| of(mark));
        let held: Vec<u64> = held.map(|(seq, _)| *seq).collect();
        let over = (held.len() + 1).saturating_sub(max);
        for seq in held.into_iter().take(over) {
            self.0.remove(&seq);
            gone.push(seq);
        }
    }

    /// Lets everything go. The entries that go.
    pub fn remove_all(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.0).into_keys().collect()
    }

    /// Lets everything go that tells of this player's doing. The entries that go.
    pub fn remove_of(&mut self, user: UserId) -> Vec<u64> {
        let of = self.0.iter().filter(|(_, mark)| mark.by == Some(user));
        let gone: Vec<u64> = of.map(|(seq, _)| *seq).collect();
        for seq in &gone {
            self.0.remove(seq);
        }
        gone
    }
}

/// A room that another player offers: an invitation, or a direct room in which its owner has not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Who offers it.
    #[serde(rename = "b")]
    pub by: UserId,
    /// Whether it is a direct room.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_direct: bool,
    /// Place in the order in which the offers of this list came. A clock would do for as long as nobody sets it.
    #[serde(rename = "n")]
    pub number: u64,
}

impl Offer {
    /// What a room says of its place in a list, if it is an offer. Its number is that of [`Offers::add`].
    pub const fn of(listed: Listed) -> Option<Self> {
        let (by, is_direct) = match listed {
            Listed::Own => return None,
            Listed::Invited(by) => (by, false),
            Listed::Direct(by) => (by, true),
        };
        Some(Self {
            by,
            is_direct,
            number: 0,
        })
    }
}

/// The rooms that others offer a player.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers(BTreeMap<RoomId, Offer>);

impl Offers {
    /// The offers as they are stored.
    pub fn load(offers: impl IntoIterator<Item = (RoomId, Offer)>) -> Self {
        Self(offers.into_iter().collect())
    }

    /// Takes an offer in as the newest one, in place of an earlier one of the same room. The offer with its number, and the rooms that
    /// go for it.
    pub fn add(&mut self, room: RoomId, mut offer: Offer) -> (Offer, Vec<RoomId>) {
        let newest = self.0.values().map(|held| held.number).max();
        offer.number = newest.map_or(1, |newest| newest + 1);
        self.0.remove(&room);
        let mut gone = Vec::new();
        let same = |held: &Offer| held.is_direct == offer.is_direct;
        self.make_room(
            OFFERS_OF_ONE_MAX,
            |held| same(held) && held.by == offer.by,
            &mut gone,
        );
        self.make_room(OFFERS_MAX, same, &mut gone);
        self.0.insert(room, offer);
        (offer, gone)
    }

    fn make_room(&mut self, max: usize, of: impl Fn(&Offer) -> bool, gone: &mut Vec<RoomId>) {
        let held = self.0.iter().filter(|(_, offer)| of(offer));
        let mut held: Vec<(u64, RoomId)> =
            held.map(|(room, offer)| (offer.number, *room)).collect();
        held.sort_unstable();
        let over = (held.len() + 1).saturating_sub(max);
        for (_, room) in held.into_iter().take(over) {
            self.0.remove(&room);
            gone.push(room);
        }
    }

    /// Takes a room out. Whether it was offered.
    pub fn remove(&mut self, room: RoomId) -> bool {
        self.0.remove(&room).is_some()
    }

    /// Takes out what this player offers. The rooms.
    pub fn remove_of(&mut self, user: UserId) -> Vec<RoomId> {
        let of = self.0.iter().filter(|(_, offer)| offer.by == user);
        let gone: Vec<RoomId> = of.map(|(room, _)| *room).collect();
        for room in &gone {
            self.0.remove(room);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u16) -> UserId {
        let mut bytes = [1; 10];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        UserId::from_bytes(bytes)
    }

    const fn mark(by: Option<UserId>, is_friend: bool) -> InboxMark {
        InboxMark { by, is_friend }
    }

    #[test]
    fn nobody_pushes_others_out_of_an_inbox() {
        let mut marks = InboxMarks::default();
        let own = marks.add(1, mark(None, false));
        assert_eq!(own, Vec::<u64>::new());
        marks.add(2, mark(Some(user(1)), true));
        marks.add(3, mark(Some(user(2)), false));
        for seq in 4..200 {
            marks.add(seq, mark(Some(user(3)), false));
        }
        let kept: Vec<u64> = marks.0.keys().copied().collect();
        assert_eq!(kept[..3], [1, 2, 3]);
        assert_eq!(kept.len(), 3 + INBOX_STRANGER_MAX);
        // Many strangers push out each other.
        for seq in 200..2_200_u64 {
            let stranger = user(100 + u16::try_from(seq / 5).unwrap());
            marks.add(seq, mark(Some(stranger), false));
        }
        let kept: Vec<u64> = marks.0.keys().copied().collect();
        assert_eq!(
            (kept[..2].to_vec(), kept.len()),
            (vec![1, 2], 2 + INBOX_STRANGERS_MAX)
        );
        // The server's own, and friends, have the rest.
        for seq in 2_200..3_400 {
            marks.add(seq, mark(None, false));
        }
        assert_eq!(marks.0.len(), INBOX_ENTRIES_MAX);
        assert_eq!(marks.remove_of(user(1)), Vec::<u64>::new());
    }

    #[test]
    fn offers_are_bounded_by_kind_and_by_player_and_the_oldest_goes() {
        let mut offers = Offers::default();
        let room = |number: u16| RoomId::from_bytes(*user(number).as_bytes());
        let offer = |by, is_direct| Offer {
            by: user(by),
            is_direct,
            number: 0,
        };
        offers.add(room(0), offer(1, true));
        for number in 1..20 {
            let (_, gone) = offers.add(room(number), offer(2, false));
            let is_full = usize::from(number) > OFFERS_OF_ONE_MAX;
            let oldest = is_full.then(|| room(number - u16::try_from(OFFERS_OF_ONE_MAX).unwrap()));
            assert_eq!(gone, oldest.into_iter().collect::<Vec<_>>());
        }
        // Offered again it is the newest.
        assert_eq!(offers.add(room(15), offer(2, false)).1, []);
        // What was stored keeps its order.
        let mut offers = Offers::load(offers.0);
        assert_eq!(offers.add(room(20), offer(2, false)).1, [room(16)]);
        for number in 100..300 {
            offers.add(room(number), offer(number, false));
        }
        assert_eq!(offers.0.len(), 1 + OFFERS_MAX);
        assert_eq!(offers.remove_of(user(1)), [room(0)]);
        assert!(!offers.remove(room(0)));
    }
}
