//! What a player asks of their own entity.

use pitturu_protocol::codes::Fault;
use pitturu_rules::friends;

use super::super::command::Ask;
use super::super::store::FriendRow;
use super::{Effects, Moment, Player, encoded};

impl Player {
    /// Decides what is asked. The encoded result.
    pub(super) fn carry_out(
        &mut self,
        ask: Ask,
        Moment { version, now }: Moment,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        let commit = |name| friends::Commit {
            version,
            name,
            at: now,
        };
        let (relations, friends) = (&mut self.relations, &mut effects.friends);
        Ok(match ask {
            Ask::Request(other, name) => {
                let row = relations.request(&commit(name.as_str()), &other, friends)?;
                encoded(&FriendRow::of(other.user, row))
            }
            Ask::Accept(other, name) => {
                let row = relations.accept(&commit(name.as_str()), &other, friends)?;
                encoded(&FriendRow::of(other.user, row))
            }
            Ask::Remove(other) => encoded(&relations.remove(other, friends)?),
            Ask::Block(other) => {
                let before = relations.block(&commit(""), &other, friends)?;
                self.forget_player(other.user, effects);
                encoded(&before)
            }
            Ask::Unblock(other) => encoded(&relations.unblock(other, friends)?),
            Ask::Tell(entry) => {
                self.take_entry(entry, now, effects);
                Vec::new()
            }
            Ask::Account(ask, by) => {
                effects.by = by;
                self.decide_account(*ask, now, effects)?
            }
            Ask::ForgetRooms(rooms) => {
                for room in rooms {
                    self.take_room(room, None, effects);
                }
                Vec::new()
            }
        })
    }
}
