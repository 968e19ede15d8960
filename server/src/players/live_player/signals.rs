//! What others tell a player's entity.

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_rules::signals::PlayerSignal;
use pitturu_store::clock::now_ms;
use pitturu_store::entities::EntityId;

use super::{Effects, Player};
use crate::owners::signals::Numbered;

impl Player {
    pub(super) fn take_signal(&mut self, from: EntityId, signal: &Numbered, effects: &mut Effects) {
        match codec::decode(&signal.body) {
            // Nobody is there to read it, and nobody looks for it again.
            Ok(PlayerSignal::Inbox { .. }) if self.account.is_ending() => {}
            Ok(PlayerSignal::Inbox { entry, at }) => self.take_entry(entry, at, effects),
            Ok(PlayerSignal::Room { room, listed }) => self.take_room(room, listed, effects),
            Ok(PlayerSignal::Friend(signal)) => {
                let at = now_ms();
                let friends = &mut effects.friends;
                self.relations
                    .apply(UserId::from_bytes(from.id()), signal, friends);
                if self.account.is_ending() {
                    self.relations.end_all(friends);
                    friends.inbox.clear();
                }
                effects
                    .inbox
                    .extend(friends.inbox.drain(..).map(|entry| (entry, at)));
            }
            Ok(PlayerSignal::Points(signal)) => {
                let user = UserId::from_bytes(from.id());
                // Whoever has no account has no wallet either.
                let has_wallet = self.account.row().is_some() && !self.account.is_ending();
                let takes = has_wallet && self.relations.may_reach(user);
                let points = &mut effects.points;
                self.wallet.apply(user, signal, takes, now_ms(), points);
            }
            Ok(PlayerSignal::Placed(placement)) => self.take_place(&placement, effects),
            Ok(PlayerSignal::Items(signal)) => self.settle_order(signal, now_ms(), effects),
            Ok(PlayerSignal::Played { play, at }) => self.take_play(&play, at, effects),
            Ok(PlayerSignal::Role { role, at }) => self.apply_role(role, at, effects),
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }
}
