//! What a player asks of their own entity.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_rules::friends;
use pitturu_rules::points::wallet::About;
use pitturu_rules::points::{PointsCommit, PointsEffects};

use super::super::command::{Ask, PointsAsk, PointsGift, PointsWish};
use super::super::store::FriendRow;
use super::accounts::answers;
use super::{Effects, Moment, Player, encoded};

impl Player {
    /// Decides what is asked. The encoded result.
    pub(super) fn carry_out(
        &mut self,
        ask: Ask,
        Moment { version, now }: Moment,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        if self.account.is_ending() {
            match ask {
                Ask::Account(..) | Ask::ForgetPlayer(..) | Ask::ForgetRooms(_) => {}
                // Nobody is there to read it.
                Ask::Tell(_) => return Ok(Vec::new()),
                _ => return Err(Fault::of(Code::NotFound)),
            }
        }
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
            Ask::Points(ask) => self.move_points(&ask, now, &mut effects.points)?,
            Ask::Items(ask) => self.change_items(&ask, now, effects)?,
            Ask::Account(ask, origin) => {
                effects.by = origin.conn;
                self.decide_account(*ask, origin, now, effects)?
            }
            Ask::ForgetPlayer(other, lines) => {
                self.forget_player(other, effects);
                effects.redacted.movements = lines;
                // What was said stands under the keys of the calls as well.
                effects.answers = answers(self.user, &effects.redacted);
                encoded(&())
            }
            Ask::ForgetRooms(rooms) => {
                for room in rooms {
                    self.take_room(room, None, effects);
                }
                Vec::new()
            }
        })
    }

    fn move_points(
        &mut self,
        ask: &PointsAsk,
        now: u64,
        effects: &mut PointsEffects,
    ) -> Result<Vec<u8>, Fault> {
        if self.account.row().is_none() {
            return Err(Fault::of(Code::NotFound));
        }
        let commit = &PointsCommit {
            id: ask.id.as_deref(),
            by: ask.by,
            at: now,
        };
        if let PointsWish::Give(gift) = &ask.wish {
            self.check_gift(gift)?;
            if ask.note.as_ref().is_some_and(|note| !note.is_empty()) {
                self.account.may_speak(now)?;
            }
        }
        let note = ask.note.as_deref();
        let about = About {
            reference: ask.reference.as_deref(),
            note,
        };
        let wallet = &mut self.wallet;
        let moved = match &ask.wish {
            PointsWish::Flow(flow, amount) => wallet.flow(commit, (*flow, *amount), about, effects),
            PointsWish::Refund(of, spent, amount) => {
                wallet.refund(commit, (*of, spent), *amount, note, effects)
            }
            PointsWish::Give(gift) => {
                wallet.give(commit, (gift.to.user, gift.amount), note, effects)
            }
            PointsWish::SetAside(amount, until) => {
                wallet.set_aside(commit, (*amount, *until), about, effects)
            }
            PointsWish::Post(of, amount) => wallet.post_pending(commit, *of, *amount, effects),
            PointsWish::Void(of) => wallet.void_pending(commit, *of, effects),
        };
        Ok(encoded(&moved?))
    }
    /// Refuses what the player may not give, or not with this note. What the wallet refuses comes after it.
    fn check_gift(&self, gift: &PointsGift) -> Result<(), Fault> {
        self.game.data.points.gifts.check(gift.amount)?;
        let other = &gift.to;
        if other.user != self.user {
            if !other.exists {
                return Err(Fault::of(Code::NotFound));
            }
            if !other.reachable || !self.relations.may_reach(other.user) {
                return Err(Fault::of(Code::Blocked));
            }
        }
        match gift.is_note_allowed {
            true => Ok(()),
            false => Err(Fault::of(Code::TextRefused).of_field("note")),
        }
    }
}
