//! The lists of a player that others write to.

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_rules::friends::Standing;
use pitturu_rules::lists::{InboxMark, Offer, caused_by};
use pitturu_rules::signals::Listed;
use pitturu_store::entities::{Commit, Entry};

use super::super::store::{INBOX, mark_row};
use super::{Effects, Player, encoded};

impl Player {
    /// Appends what comes, and removes what goes for it.
    pub(super) fn put_inbox(&mut self, commit: &mut Commit, effects: &Effects) {
        let mut gone = effects.dropped.clone();
        for (entry, at) in &effects.inbox {
            self.inbox.head += 1;
            let by = caused_by(entry);
            let mark = InboxMark {
                by,
                is_friend: by.is_some_and(|by| self.is_friend(by)),
            };
            gone.extend(self.marks.add(self.inbox.head, mark));
            commit.rows.push(mark_row(self.inbox.head, Some(&mark)));
            let added = InboxAdded {
                seq: self.inbox.head,
                at: *at,
                entry: entry.clone(),
            };
            commit.entries.push(Entry {
                stream: INBOX,
                number: added.seq,
                row: encoded(&added),
            });
        }
        for seq in gone {
            commit.rows.push(mark_row(seq, None));
            commit.dropped.push((INBOX, seq));
        }
        let first = self.marks.first().unwrap_or(self.inbox.head + 1);
        if first > self.inbox.first {
            self.inbox.first = first;
            commit.firsts.push((INBOX, first));
        }
    }

    fn is_friend(&self, user: UserId) -> bool {
        let standing = self.relations.get(user).map(|row| row.standing);
        matches!(standing, Some(Standing::Friends { .. }))
    }

    /// Puts an entry into the inbox, unless it tells of what a blocked player did.
    pub(super) fn take_entry(&self, entry: InboxEntry, at: u64, effects: &mut Effects) {
        if caused_by(&entry).is_none_or(|by| self.relations.may_reach(by)) {
            effects.inbox.push((entry, at));
        }
    }

    /// Puts a room into the list of rooms, or takes it out, as the room says. What a blocked player offers is not taken.
    pub(super) fn take_room(
        &mut self,
        room: RoomId,
        listed: Option<Listed>,
        effects: &mut Effects,
    ) {
        let offer = listed.and_then(Offer::of);
        effects.rooms.push((room, listed == Some(Listed::Own)));
        match offer {
            Some(offer) if self.relations.may_reach(offer.by) => {
                let (offer, gone) = self.offers.add(room, offer);
                effects
                    .offers
                    .extend(gone.into_iter().map(|room| (room, None)));
                effects.offers.push((room, Some(offer)));
            }
            _ if self.offers.remove(room) => effects.offers.push((room, None)),
            _ => {}
        }
    }

    /// A player is blocked: what they have put into the lists goes.
    pub(super) fn forget_player(&mut self, other: UserId, effects: &mut Effects) {
        effects.dropped.extend(self.marks.remove_of(other));
        let offers = self.offers.remove_of(other).into_iter();
        effects.offers.extend(offers.map(|room| (room, None)));
    }
}
