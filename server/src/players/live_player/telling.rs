//! What others tell a player's entity, and what becomes of what it tells them.

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_rules::signals::PlayerSignal;
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{Applied, EntityId};
use pitturu_store::reservation::Reservation;

use super::super::command::{Report, release};
use super::{Answer, Context, Effects, LivePlayer, Pending};
use crate::owners::signals::{Batch, Numbered, Receipt, Taken};

impl LivePlayer {
    pub(super) fn take_batch(&mut self, context: &Context, batch: Batch) {
        let Ok(reservation) = Self::reserve(context) else {
            batch.refused();
            return;
        };
        match self.incoming.take(batch) {
            Taken::Waiting => {}
            Taken::LookUp(from) => {
                let entities = context.environment.players.entities();
                let looking = entities.applied(self.journal.entity(), from);
                let reporter = context.reporter(self.user, self.life);
                tokio::spawn(async move {
                    let found = looking.await;
                    reporter.report(Report::Applied(from, found));
                });
            }
            Taken::Known(batch) => {
                // The commit that applied it may be on its way still.
                self.pending.push(Pending::of(Answer::Applied(batch)), true);
                self.settle(context);
            }
            Taken::Apply(batch, applied) => self.apply(context, reservation, batch, applied),
        }
    }

    fn apply(
        &mut self,
        context: &Context,
        reservation: Reservation,
        batch: Batch,
        applied: Applied,
    ) {
        let mut effects = Effects::default();
        for signal in &batch.signals {
            self.apply_one(batch.from, signal, &mut effects);
        }
        self.account.tidy(now_ms(), &mut effects.account);
        let pending = Pending::of(Answer::Applied(batch));
        self.commit(context, reservation, effects, None, Some(applied), pending);
    }

    fn apply_one(&mut self, from: EntityId, signal: &Numbered, effects: &mut Effects) {
        match codec::decode(&signal.body) {
            Ok(PlayerSignal::Inbox { entry, at }) => self.take_entry(entry, at, effects),
            Ok(PlayerSignal::Room { room, listed, at }) => {
                self.take_room(room, listed, at, effects);
            }
            Ok(PlayerSignal::Friend(signal)) => {
                let at = now_ms();
                let friends = &mut effects.friends;
                self.relations
                    .apply(UserId::from_bytes(from.id()), signal, friends);
                effects
                    .inbox
                    .extend(friends.inbox.drain(..).map(|entry| (entry, at)));
            }
            Ok(PlayerSignal::Role { role, at }) => self.apply_role(role, at, effects),
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }

    /// Another entity has applied what this one told it, or can't now.
    pub(super) fn answered(&mut self, context: &Context, receipt: &Receipt, now: u64) {
        release(self.held.answered(receipt));
        let entities = context.environment.players.entities();
        self.outgoing.answered(receipt, entities.as_ref(), now);
    }
}
