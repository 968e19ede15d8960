//! Two players and the signals under way between them.

use std::collections::VecDeque;

use pitturu_protocol::types::inbox::InboxEntry;

use super::super::{Commit, FriendEffects, FriendRefusal, FriendSignal, Relations};
use super::{Ask, agreement, ask, stale, user};

/// Signals of one player to the other: delivered in order, at least once, each applied once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// Signals that the sender has not forgotten, each with its number.
    kept: VecDeque<(u64, FriendSignal)>,
    sent: u64,
    /// Number of the newest one that was applied.
    applied: u64,
    /// Whether delivered signals are forgotten at once, so that none comes twice.
    forgets: bool,
}

impl Link {
    fn send(&mut self, signal: FriendSignal) {
        self.sent += 1;
        self.kept.push_back((self.sent, signal));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.applied == self.sent
    }

    /// How many of the kept signals may arrive next: those that came before, and the first that did not.
    fn deliverable(&self) -> usize {
        let came = self.kept.iter().filter(|(n, _)| *n <= self.applied).count();
        (came + 1).min(self.kept.len())
    }

    /// Delivers the kept signal at this place; none if it was applied before.
    fn deliver(&mut self, place: usize) -> Option<FriendSignal> {
        let (number, signal) = self.kept[place].clone();
        if number <= self.applied {
            return None;
        }
        self.applied = number;
        if self.forgets {
            self.kept.pop_front();
        }
        Some(signal)
    }

    /// Forgets the oldest delivered signal; false if there is none.
    fn forget(&mut self) -> bool {
        let came = self.kept.front().is_some_and(|(n, _)| *n <= self.applied);
        if came {
            self.kept.pop_front();
        }
        came
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Side {
    pub(super) relations: Relations,
    pub(super) out: Link,
    version: u64,
}

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A player asks something, having read the other now, or long ago.
    Ask { by: usize, what: Ask, stale: bool },
    /// The kept signal of this player at this place reaches the other.
    Deliver { by: usize, place: usize },
    /// A player hears that the oldest signal has arrived.
    Forget { by: usize },
    /// A player's friends fill up, or there is room again, on account of others.
    Fill { of: usize, friends_max: u32 },
    /// The same of received requests.
    FillRequests { of: usize, requests_max: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) sides: [Side; 2],
}

impl Pair {
    /// Two players without relations. `forgets`: no signal comes twice.
    pub(super) fn new(forgets: bool) -> Self {
        let side = |number| Side {
            relations: Relations::load(user(number), []),
            out: Link {
                forgets,
                ..Link::default()
            },
            version: 0,
        };
        Self {
            sides: [side(1), side(2)],
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.sides.iter().all(|side| side.out.is_empty())
    }

    pub(super) fn agreement(&self) -> Option<&'static str> {
        agreement(&self.sides[0].relations, &self.sides[1].relations)
    }

    /// Deliveries that are possible now.
    pub(super) fn deliveries(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (by, side) in self.sides.iter().enumerate() {
            steps.extend((0..side.out.deliverable()).map(|place| Step::Deliver { by, place }));
            steps.push(Step::Forget { by });
        }
        steps
    }

    /// Lets one thing happen. What it changed, if it was allowed and possible.
    pub(super) fn step(&mut self, step: Step) -> Result<FriendEffects, FriendRefusal> {
        let mut effects = FriendEffects::default();
        let (at, before) = match step {
            Step::Ask {
                by,
                what,
                stale: old,
            } => {
                let before = self.sides[by].relations.clone();
                effects = self.ask(by, what, old)?;
                (by, before)
            }
            Step::Deliver { by, place } => {
                let at = 1 - by;
                let before = self.sides[at].relations.clone();
                if let Some(signal) = self.sides[by].out.deliver(place) {
                    let from = user(u8::try_from(by + 1).unwrap());
                    self.sides[at].relations.apply(from, signal, &mut effects);
                }
                (at, before)
            }
            Step::Forget { by } => {
                self.sides[by].out.forget();
                return Ok(effects);
            }
            Step::Fill { of, friends_max } => {
                self.sides[of].relations.caps.friends = friends_max;
                return Ok(effects);
            }
            Step::FillRequests { of, requests_max } => {
                self.sides[of].relations.caps.requests = requests_max;
                return Ok(effects);
            }
        };
        check_effects(&before, &self.sides[at].relations, &effects);
        for (to, signal) in &effects.signals {
            assert_eq!(*to, user(u8::try_from(2 - at).unwrap()));
            self.sides[at].out.send(signal.clone());
        }
        Ok(effects)
    }

    fn ask(&mut self, by: usize, what: Ask, old: bool) -> Result<FriendEffects, FriendRefusal> {
        let one = user(u8::try_from(by + 1).unwrap());
        let other = if old {
            stale(user(u8::try_from(2 - by).unwrap()))
        } else {
            self.sides[1 - by].relations.seen_by(one)
        };
        let side = &mut self.sides[by];
        let version = side.version + 1;
        let commit = Commit {
            version,
            name: "a player",
            at: 2 * version + by as u64,
        };
        let effects = ask(&mut side.relations, what, &commit, &other)?;
        // Other versions than those of requests name nothing, so they need not be told apart.
        if what == Ask::Request && !effects.rows.is_empty() {
            side.version = version;
        }
        Ok(effects)
    }

    /// Delivers everything that is under way, and all that follows from it; what each player finds in the inbox.
    pub(super) fn drain(&mut self) -> [Vec<InboxEntry>; 2] {
        let mut inboxes = [Vec::new(), Vec::new()];
        for _ in 0..100 {
            let Some(by) = (0..2).find(|&by| !self.sides[by].out.is_empty()) else {
                return inboxes;
            };
            let place = self.sides[by].out.deliverable() - 1;
            let effects = self.step(Step::Deliver { by, place }).unwrap();
            inboxes[1 - by].extend(effects.inbox);
        }
        panic!("the two never stop telling each other: {self:?}");
    }
}

/// The effects say all that changed, and whose presence has to be worked out anew.
pub(super) fn check_effects(before: &Relations, after: &Relations, effects: &FriendEffects) {
    use super::super::Standing::{Blocked, Friends};
    let mut rows: std::collections::BTreeMap<_, _> = before.rows().collect();
    for (other, row) in &effects.rows {
        match row {
            Some(row) => rows.insert(*other, *row),
            None => rows.remove(other),
        };
    }
    assert!(rows.into_iter().eq(after.rows()), "{effects:?}");
    let standing = |relations: &Relations, other| relations.get(other).map(|row| row.standing);
    let is_friend = |relations, other| matches!(standing(relations, other), Some(Friends { .. }));
    let blocks = |relations, other| standing(relations, other) == Some(Blocked);
    let mut others: Vec<_> = before.rows().chain(after.rows()).map(|row| row.0).collect();
    others.sort_unstable();
    others.dedup();
    for other in others {
        let changed = is_friend(before, other) != is_friend(after, other);
        let told = effects.friendships.contains(&other);
        assert_eq!(changed, told, "{effects:?}");
        let changed = blocks(before, other) != blocks(after, other);
        let told = effects.blocks.iter().find(|(held, _)| *held == other);
        let expected = changed.then_some((other, blocks(after, other)));
        assert_eq!(told.copied(), expected, "{effects:?}");
    }
}
