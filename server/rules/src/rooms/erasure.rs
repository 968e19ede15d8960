//! What a room does when the account of a player is erased: they leave it, and their messages stand under nobody's name.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::chat::{Changed, LostReason};

use super::rows::{Change, MemberState, MessageRow};
use super::{Actor, Effects, Room};
use crate::accounts::NOBODY;

impl Room {
    /// Removes a player's place, or what keeps them out, what limits them, and their words about others who are kept out. An owner hands
    /// the room on, and the last member ends it, as when they leave; direct rooms too.
    pub fn erase_player(&mut self, user: UserId, now: u64, effects: &mut Effects) {
        match self.members.get(&user).map(|row| &row.state) {
            Some(MemberState::Member | MemberState::Invited) => {
                self.put_out(user, MemberState::Left, LostReason::Left, now, effects);
            }
            Some(MemberState::Banned { .. }) => self.let_go(user, effects),
            Some(MemberState::Left) | None => {}
        }
        if self.sanctions.remove(&user).is_some() {
            effects.rows.sanctions.push((user, None));
        }
        self.wrote_at.remove(&user);
        self.typed_at.remove(&user);
        for row in self.members.values_mut() {
            if let MemberState::Banned { by, reason, .. } = &mut row.state
                && *by == user
                && reason.take().is_some()
            {
                effects.rows.members.push(row.clone());
            }
        }
    }

    /// Puts nobody in the place of a message's author, if that is the actor. Nothing: it is somebody else's.
    pub fn erase_author(
        &mut self,
        actor: &Actor,
        row: &mut MessageRow,
        effects: &mut Effects,
    ) -> Option<Changed> {
        if row.msg.from != actor.user {
            return None;
        }
        row.msg.from = NOBODY;
        row.msg.name = String::new();
        let seq = row.msg.seq;
        Some(self.change(actor, Change::AuthorErased { seq }, row, effects))
    }
}
