//! Rules by which the server acts on players by itself: on whoever is refused too often for the rate of what they say, or by the word
//! filter.
//!
//! Connections count here what they refuse. Who has broken a rule is handed to the service that acts, so that no connection waits for it.

use std::collections::VecDeque;

use dashmap::DashMap;
use pitturu_metrics::labels::Offence;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Rate;
use pitturu_store::clock::Steady;
use tokio::sync::mpsc;

use crate::replaceable::Replaceable;

/// Breaches that may wait to be acted on. Whoever breaks a rule meanwhile is handed over at their next refusal.
const BREACHES_MAX: usize = 1_024;

/// What a refusal of this code is, of a call that counts for this rate.
pub fn offence(rate: Rate, code: Code) -> Option<Offence> {
    match (rate, code) {
        (Rate::Chat, Code::RateLimited) => Some(Offence::Flood),
        (_, Code::TextRefused) => Some(Offence::Filter),
        _ => None,
    }
}

/// What is done to a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// They are muted everywhere.
    Mute,
    /// They are suspended.
    Suspend,
}

/// When the server acts, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many refusals break it; at least one.
    pub refusals: usize,
    /// Within so many milliseconds.
    pub within_ms: u64,
    /// What is done then.
    pub act: Act,
    /// For how long, in milliseconds.
    pub lasts_ms: u64,
    /// What the player is told.
    pub reason: String,
}

/// The rules in use. Where there is none, nothing is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// For [`Offence::Flood`].
    pub flood: Option<Rule>,
    /// For [`Offence::Filter`].
    pub filter: Option<Rule>,
}

impl Rules {
    const fn rule(&self, offence: Offence) -> Option<&Rule> {
        match offence {
            Offence::Flood => self.flood.as_ref(),
            Offence::Filter => self.filter.as_ref(),
        }
    }
}

/// A player has broken a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The player.
    pub user: UserId,
    /// By what.
    pub offence: Offence,
    /// The rule, as it was.
    pub rule: Rule,
}

/// What a player was refused lately.
#[derive(Debug, Default)]
struct Recent {
    /// When, oldest first: never as many as break the rule, unless the breach could not be handed over.
    refusals: VecDeque<Steady>,
    /// A breach is being acted on. What is refused until then is part of it, or the player would be acted on twice, and the second time
    /// perhaps after the staff has lifted the first.
    is_acted_on: bool,
}

/// What players were refused lately, over all their connections to this server.
#[derive(Debug)]
pub struct Automod {
    rules: Replaceable<Rules>,
    recent: DashMap<(UserId, Offence), Recent>,
    breaches: mpsc::Sender<Breach>,
}

impl Automod {
    /// Without rules, and where breaches come.
    pub fn new() -> (Self, mpsc::Receiver<Breach>) {
        let (breaches, received) = mpsc::channel(BREACHES_MAX);
        let automod = Self {
            rules: Replaceable::new(Rules::default()),
            recent: DashMap::new(),
            breaches,
        };
        (automod, received)
    }

    /// Goes on with these rules. What was refused before counts for them as well.
    pub fn replace(&self, rules: Rules) {
        self.rules.replace(rules);
    }

    /// Counts that a player was refused something at this time, if there is a rule about it.
    pub fn count(&self, user: UserId, offence: Offence, now: Steady) {
        let rules = self.rules.get();
        let Some(rule) = rules.rule(offence) else {
            return;
        };
        let mut recent = self.recent.entry((user, offence)).or_default();
        if recent.is_acted_on {
            return;
        }
        recent.refusals.push_back(now);
        forget_old(&mut recent.refusals, rule, now);
        if recent.refusals.len() < rule.refusals {
            return;
        }
        let breach = Breach {
            user,
            offence,
            rule: rule.clone(),
        };
        if self.breaches.try_send(breach).is_ok() {
            recent.refusals.clear();
            recent.is_acted_on = true;
        }
    }

    /// A breach was acted on, or could not be: counting begins anew. Whoever takes breaches calls this for each.
    pub fn settled(&self, user: UserId, offence: Offence) {
        self.recent.remove(&(user, offence));
    }

    /// Forgets refusals that count for no rule any more. Call every minute, so that memory follows the number of those who were refused
    /// something lately.
    pub fn forget_idle(&self, now: Steady) {
        let rules = self.rules.get();
        self.recent.retain(|(_, offence), recent| {
            let Some(rule) = rules.rule(*offence) else {
                return false;
            };
            forget_old(&mut recent.refusals, rule, now);
            recent.is_acted_on || !recent.refusals.is_empty()
        });
        self.recent.shrink_to_fit();
    }
}

impl Default for Automod {
    /// One that never acts: nobody is there to whom breaches could be handed.
    fn default() -> Self {
        Self::new().0
    }
}

/// Drops what is too long ago for this rule, and the oldest beyond as many as break it.
fn forget_old(recent: &mut VecDeque<Steady>, rule: &Rule, now: Steady) {
    while recent.len() > rule.refusals
        || recent
            .front()
            .is_some_and(|at| now.as_ms().saturating_sub(at.as_ms()) >= rule.within_ms)
    {
        recent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::ids::ID_BYTES;

    use super::*;

    const WITHIN_MS: u64 = 1_000;

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; ID_BYTES])
    }

    fn rule(refusals: usize) -> Rule {
        Rule {
            refusals,
            within_ms: WITHIN_MS,
            act: Act::Mute,
            lasts_ms: 60_000,
            reason: "enough".to_owned(),
        }
    }

    fn with_rules(flood: Option<Rule>, filter: Option<Rule>) -> (Automod, mpsc::Receiver<Breach>) {
        let (automod, breaches) = Automod::new();
        automod.replace(Rules { flood, filter });
        (automod, breaches)
    }

    fn at(ms: u64) -> Steady {
        Steady::at_ms(ms)
    }

    /// What was handed over, and is settled.
    fn broken(automod: &Automod, breaches: &mut mpsc::Receiver<Breach>) -> Vec<(UserId, Offence)> {
        let taken = std::iter::from_fn(|| breaches.try_recv().ok());
        taken
            .map(|breach| {
                automod.settled(breach.user, breach.offence);
                (breach.user, breach.offence)
            })
            .collect()
    }

    #[test]
    fn a_rule_is_broken_by_so_many_refusals_within_its_time_wherever_that_begins() {
        let (automod, mut breaches) = with_rules(Some(rule(3)), None);
        // At no time are there three within a second.
        for ms in [0, 10, 1_005, 1_010, 2_005, 3_000] {
            automod.count(user(1), Offence::Flood, at(ms));
        }
        assert_eq!(broken(&automod, &mut breaches), []);
        for ms in [3_005, 3_999] {
            automod.count(user(1), Offence::Flood, at(ms));
        }
        assert_eq!(broken(&automod, &mut breaches), [(user(1), Offence::Flood)]);
        // Counting begins anew.
        for ms in [3_999, 3_999] {
            automod.count(user(1), Offence::Flood, at(ms));
        }
        assert_eq!(broken(&automod, &mut breaches), []);
        automod.count(user(1), Offence::Flood, at(3_999));
        assert_eq!(broken(&automod, &mut breaches), [(user(1), Offence::Flood)]);
    }

    #[test]
    fn what_is_refused_while_a_breach_is_acted_on_is_part_of_it() {
        let (automod, mut breaches) = with_rules(Some(rule(2)), None);
        for _ in 0..20 {
            automod.count(user(1), Offence::Flood, at(0));
        }
        automod.forget_idle(at(10 * WITHIN_MS));
        automod.count(user(1), Offence::Flood, at(10 * WITHIN_MS));
        assert_eq!(broken(&automod, &mut breaches), [(user(1), Offence::Flood)]);
        automod.count(user(1), Offence::Flood, at(0));
        assert_eq!(broken(&automod, &mut breaches), [], "counted anew");
    }

    #[test]
    fn players_and_offences_are_counted_each_for_themselves() {
        let (automod, mut breaches) = with_rules(Some(rule(2)), Some(rule(2)));
        automod.count(user(1), Offence::Flood, at(0));
        automod.count(user(1), Offence::Filter, at(0));
        automod.count(user(2), Offence::Flood, at(0));
        assert_eq!(broken(&automod, &mut breaches), []);
        automod.count(user(2), Offence::Flood, at(1));
        automod.count(user(1), Offence::Filter, at(1));
        let found = broken(&automod, &mut breaches);
        assert_eq!(
            found,
            [(user(2), Offence::Flood), (user(1), Offence::Filter)]
        );
    }

    #[test]
    fn without_a_rule_nothing_is_kept_and_what_is_old_is_forgotten() {
        let (automod, mut breaches) = with_rules(Some(rule(2)), None);
        automod.count(user(1), Offence::Filter, at(0));
        assert!(automod.recent.is_empty());
        automod.count(user(1), Offence::Flood, at(0));
        automod.count(user(2), Offence::Flood, at(1));
        automod.forget_idle(at(WITHIN_MS));
        assert_eq!(automod.recent.len(), 1);
        automod.replace(Rules::default());
        automod.forget_idle(at(WITHIN_MS));
        assert!(automod.recent.is_empty());
        assert_eq!(broken(&automod, &mut breaches), []);
    }

    #[test]
    fn a_breach_that_finds_no_place_is_handed_over_later() {
        let (automod, mut breaches) = with_rules(Some(rule(2)), None);
        let id = |number: usize| {
            let mut id = [0; ID_BYTES];
            id[..8].copy_from_slice(&number.to_be_bytes());
            UserId::from_bytes(id)
        };
        for number in 0..=BREACHES_MAX {
            automod.count(id(number), Offence::Flood, at(0));
            automod.count(id(number), Offence::Flood, at(0));
        }
        assert_eq!(broken(&automod, &mut breaches).len(), BREACHES_MAX);
        automod.count(id(BREACHES_MAX), Offence::Flood, at(1));
        let found = broken(&automod, &mut breaches);
        assert_eq!(found, [(id(BREACHES_MAX), Offence::Flood)]);
        assert!(
            automod
                .recent
                .iter()
                .all(|recent| recent.refusals.len() <= 2),
            "what is kept has a bound"
        );
    }

    #[test]
    fn only_what_others_would_have_read_is_an_offence() {
        assert_eq!(offence(Rate::Chat, Code::RateLimited), Some(Offence::Flood));
        assert_eq!(
            offence(Rate::Write, Code::TextRefused),
            Some(Offence::Filter)
        );
        assert_eq!(
            offence(Rate::Chat, Code::TextRefused),
            Some(Offence::Filter)
        );
        for code in Code::ALL {
            if !matches!(code, Code::TextRefused) {
                assert_eq!(offence(Rate::Read, *code), None, "{code:?}");
            }
        }
    }
}
