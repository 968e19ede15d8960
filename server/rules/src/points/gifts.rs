//! Points that go to other players and come from them, by the account of what is under way.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::points::{Movement, PointsAccount, PointsReason};

use super::books::Overdraft;
use super::refusal::PointsRefusal;
use super::rows::PointsSignal;
use super::wallet::{PointsCommit, PointsEffects, Transfer, Wallet};

impl Wallet {
    /// The player gives points to another. They are gone at once; what the other can't take comes back.
    ///
    /// # Errors
    /// [`PointsRefusal::NoAmount`], `NotEnough`, `TooMany`, `Yourself`.
    pub fn give(
        &mut self,
        commit: &PointsCommit<'_>,
        (to, amount): (UserId, u64),
        note: Option<&str>,
        effects: &mut PointsEffects,
    ) -> Result<Movement, PointsRefusal> {
        if to == self.user {
            return Err(PointsRefusal::Yourself);
        }
        let (from, way) = (PointsAccount::Wallet, PointsAccount::Transit);
        let transfer = Transfer {
            note,
            other: Some(to),
            ..Transfer::new(from, way, amount, PointsReason::Gift)
        };
        let movement = self.post(commit, transfer, Overdraft::Refused, effects)?;
        let signal = PointsSignal::Gift {
            number: movement.number,
            amount,
            note: note.map(str::to_owned),
        };
        effects.signals.push((to, signal));
        Ok(movement)
    }

    /// Applies what another player's books tell, which is applied once. `takes`: whether the player takes anything from the sender.
    pub fn apply(
        &mut self,
        from: UserId,
        signal: PointsSignal,
        takes: bool,
        at: u64,
        effects: &mut PointsEffects,
    ) {
        let commit = PointsCommit {
            at,
            ..PointsCommit::default()
        };
        let (way, to) = (PointsAccount::Transit, PointsAccount::Wallet);
        match signal {
            PointsSignal::Gift {
                number,
                amount,
                note,
            } => {
                let transfer = Transfer {
                    note: note.as_deref(),
                    other: Some(from),
                    ..Transfer::new(way, to, amount, PointsReason::Gift)
                };
                let taken = takes
                    && self
                        .post(&commit, transfer, Overdraft::Refused, effects)
                        .is_ok();
                if taken {
                    effects.inbox.push(InboxEntry::PointsReceived {
                        user: from,
                        amount,
                        note,
                    });
                } else {
                    let signal = PointsSignal::Returned { number, amount };
                    effects.signals.push((from, signal));
                }
            }
            PointsSignal::Returned { number, amount } => {
                let transfer = Transfer {
                    other: Some(from),
                    of: Some(number),
                    ..Transfer::new(way, to, amount, PointsReason::GiftReturned)
                };
                // The amount was in this wallet before. Only what came in meanwhile can have filled it: then the points stay under
                // way, where the books of all show them.
                if self
                    .post(&commit, transfer, Overdraft::Refused, effects)
                    .is_ok()
                {
                    let entry = InboxEntry::PointsReturned { user: from, amount };
                    effects.inbox.push(entry);
                }
            }
        }
    }
}
