//! Actions: what a player wanted once, in one call or in several under one key.

use std::collections::BTreeMap;

use crate::record::{Ask, Call, CallNo, Outcome, PlayerNo, Reply};

/// What a player wanted once.
#[derive(Clone, Debug)]
pub(super) struct Action {
    /// Who.
    pub player: PlayerNo,
    /// What.
    pub ask: Ask,
    /// Under which key.
    pub key: String,
    /// It did not take effect before this line.
    pub begins: usize,
    /// It took effect before this line, if it did.
    pub ends: usize,
    /// Whether it took effect.
    pub outcome: Certainty,
    /// What was said of it, once it was done.
    pub reply: Option<Reply>,
}

/// What is known of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It took effect.
    Done,
    /// It did not.
    Refused,
    /// Nobody was told.
    Unknown,
}

impl Action {
    /// Whether it took effect for sure.
    pub(super) fn is_done(&self) -> bool {
        self.outcome == Certainty::Done
    }

    /// Whether it did not, for sure.
    pub(super) fn is_refused(&self) -> bool {
        self.outcome == Certainty::Refused
    }

    fn add(&mut self, call: &Call) {
        self.begins = self.begins.min(call.asked);
        match (&call.outcome, self.outcome) {
            (Outcome::Done(_), Certainty::Done) if self.ask.may_change_nothing() => {
                self.ends = self.ends.max(call.answered);
            }
            (Outcome::Done(_), Certainty::Done) => self.ends = self.ends.min(call.answered),
            (Outcome::Done(reply), _) => {
                self.ends = call.answered;
                self.reply = Some(reply.clone());
                self.outcome = Certainty::Done;
            }
            (Outcome::Unknown(_), Certainty::Refused) => {
                self.ends = call.answered;
                self.outcome = Certainty::Unknown;
            }
            (Outcome::Unknown(_), Certainty::Unknown) => self.ends = self.ends.max(call.answered),
            (Outcome::Refused(_), Certainty::Refused) => self.ends = call.answered,
            (Outcome::Unknown(_), Certainty::Done) | (Outcome::Refused(_), _) => {}
            // Another call under the key says more.
            (Outcome::Unsent, Certainty::Refused) => self.ends = call.answered,
            (Outcome::Unsent, _) => {}
        }
    }
}

/// Whether a repetition under the key gets the first result. Otherwise it acts anew, which for these calls is the same unless
/// something else happened in between.
const fn is_keyed(ask: &Ask) -> bool {
    !matches!(
        ask,
        Ask::Join { .. }
            | Ask::Enter { .. }
            | Ask::Direct { .. }
            | Ask::Open { .. }
            | Ask::Close { .. }
            | Ask::Resume { .. }
            | Ask::History { .. }
            | Ask::Wallet
            | Ask::Movements { .. }
            | Ask::Look { .. }
            | Ask::Follow { .. }
    )
}

/// The actions behind calls.
pub(super) fn of(calls: &BTreeMap<CallNo, Call>) -> Vec<Action> {
    let mut keyed: BTreeMap<(PlayerNo, &str), Action> = BTreeMap::new();
    let mut others = Vec::new();
    for call in calls.values() {
        let action = Action {
            player: call.player,
            ask: call.ask.clone(),
            key: call.key.clone(),
            begins: call.asked,
            ends: usize::MAX,
            outcome: Certainty::Refused,
            reply: None,
        };
        if is_keyed(&call.ask) {
            keyed
                .entry((call.player, &call.key))
                .or_insert(action)
                .add(call);
        } else {
            let mut action = action;
            action.add(call);
            others.push(action);
        }
    }
    others.extend(keyed.into_values());
    others.sort_by_key(|action| action.begins);
    others
}
