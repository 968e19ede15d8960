//! Two players in every order of what they ask and of what reaches them.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use pitturu_protocol::types::friends::FriendState::{self, Blocked, Friend, Received, Requested};
use pitturu_protocol::types::inbox::InboxEntry;

use super::super::{FRIEND_REQUESTS_MAX, FRIENDS_MAX};
use super::pair::{Pair, Step};
use super::{ASKS, Ask, user};

/// What a search may do beside delivering signals.
struct Search {
    /// Most things asked, and lists filled, in one run.
    asked_max: usize,
    /// Whether signals come more than once.
    repeats: bool,
    /// Whether lists fill up and have room again.
    fills: bool,
}

fn print_of(state: &(Pair, usize)) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl Search {
    fn steps(&self, pair: &Pair, asked: usize) -> Vec<Step> {
        let mut steps = pair.deliveries();
        if asked == self.asked_max {
            return steps;
        }
        for by in 0..2 {
            for what in ASKS {
                for stale in [false, true] {
                    steps.push(Step::Ask { by, what, stale });
                }
            }
            if self.fills {
                for full in [false, true] {
                    steps.push(Step::Fill {
                        of: by,
                        friends_max: if full { 0 } else { FRIENDS_MAX },
                    });
                    steps.push(Step::FillRequests {
                        of: by,
                        requests_max: if full { 0 } else { FRIEND_REQUESTS_MAX },
                    });
                }
            }
        }
        steps
    }

    /// Visits every state that can be reached, the nearest first. How many there are, and in which ways the two ended in
    /// agreement.
    fn run(&self) -> (usize, BTreeMap<&'static str, usize>) {
        let start = (Pair::new(!self.repeats), 0);
        let first = print_of(&start);
        let mut came: HashMap<u64, Option<(u64, Step)>> = HashMap::from([(first, None)]);
        let mut ends = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(state) = waiting.pop_front() {
            let here = print_of(&state);
            let (pair, asked) = &state;
            if pair.is_quiet() {
                match pair.agreement() {
                    Some(end) => *ends.entry(end).or_insert(0) += 1,
                    None => panic!("after {:#?} the two disagree: {pair:#?}", way(&came, here)),
                }
            }
            for step in self.steps(pair, *asked) {
                let mut next = (pair.clone(), *asked);
                if next.0.step(step).is_err() || next.0 == *pair {
                    continue;
                }
                next.1 += usize::from(!matches!(step, Step::Deliver { .. } | Step::Forget { .. }));
                if let Entry::Vacant(entry) = came.entry(print_of(&next)) {
                    entry.insert(Some((here, step)));
                    waiting.push_back(next);
                }
            }
            // Whatever is under way comes to an end.
            let mut rest = pair.clone();
            rest.drain();
        }
        (came.len(), ends)
    }
}

/// The steps that lead to a state.
fn way(came: &HashMap<u64, Option<(u64, Step)>>, mut to: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((from, step)) = came[&to] {
        steps.push(step);
        to = from;
    }
    steps.reverse();
    steps
}

const ENDS: [&str; 6] = [
    "a request",
    "friends",
    "friends who crossed",
    "nothing",
    "one block",
    "two blocks",
];

fn check(search: &Search, states_min: usize) {
    let (states, ends) = search.run();
    println!("{states} states; quiet ones: {ends:?}");
    assert!(states > states_min, "only {states} states were visited");
    assert!(ends.keys().copied().eq(ENDS), "{ends:?}");
}

#[test]
fn in_every_order_two_players_end_in_agreement() {
    let search = Search {
        asked_max: 7,
        repeats: false,
        fills: false,
    };
    check(&search, 40_000);
}

#[test]
fn in_every_order_full_lists_end_in_agreement() {
    let search = Search {
        asked_max: 5,
        repeats: false,
        fills: true,
    };
    check(&search, 10_000);
}

#[test]
fn in_every_order_repeated_signals_change_nothing() {
    let search = Search {
        asked_max: 5,
        repeats: true,
        fills: false,
    };
    check(&search, 40_000);
}

/// Friendship as it was with both rows in one transaction: what each sees, and what is in whose inbox.
#[derive(Clone, Default)]
struct Model {
    rows: [Option<FriendState>; 2],
    told: [Vec<&'static str>; 2],
}

impl Model {
    /// Whether it is allowed.
    fn apply(&mut self, by: usize, what: Ask) -> bool {
        let other = 1 - by;
        let blocked = self.rows.contains(&Some(Blocked));
        match (what, self.rows[by]) {
            (Ask::Request, _) if blocked => return false,
            (Ask::Request | Ask::Accept, Some(Received)) => {
                self.rows = [Some(Friend); 2];
                self.told[other].push("accepted");
            }
            (Ask::Request, None) => {
                self.rows[by] = Some(Requested);
                self.rows[other] = Some(Received);
                self.told[other].push("requested");
            }
            (Ask::Request, _) | (Ask::Accept, Some(Friend)) | (Ask::Block, Some(Blocked)) => {}
            (Ask::Remove, Some(Friend | Requested | Received)) => {
                self.rows = [None; 2];
                self.told[other].push("removed");
            }
            (Ask::Block, before) => {
                if before.is_some() {
                    self.rows[other] = None;
                    self.told[other].push("removed");
                }
                self.rows[by] = Some(Blocked);
            }
            (Ask::Unblock, Some(Blocked)) => self.rows[by] = None,
            _ => return false,
        }
        true
    }
}

fn kind(entry: &InboxEntry) -> &'static str {
    match entry {
        InboxEntry::FriendRequested { .. } => "requested",
        InboxEntry::FriendAccepted { .. } => "accepted",
        InboxEntry::FriendRemoved { .. } => "removed",
        _ => "something else",
    }
}

/// Where every signal arrives before the next thing is asked, it is as if both rows were changed at once.
#[test]
fn one_after_the_other_it_is_as_in_one_transaction() {
    const LENGTH: usize = 7;
    let mut tried = 0;
    let mut seen = BTreeSet::new();
    let mut waiting = vec![(Pair::new(true), Model::default(), 0)];
    while let Some((pair, model, length)) = waiting.pop() {
        for by in 0..2 {
            for what in ASKS {
                let (mut pair, mut model) = (pair.clone(), model.clone());
                let step = Step::Ask {
                    by,
                    what,
                    stale: false,
                };
                let place = format!("{step:?} after {:?}", model.rows);
                let allowed = model.apply(by, what);
                let asked = pair.step(step);
                assert_eq!(asked.is_ok(), allowed, "{place}: {asked:?}");
                tried += 1;
                let Ok(effects) = asked else { continue };
                assert!(
                    effects.inbox.is_empty(),
                    "{place}: told to the one who asked"
                );
                let told = pair.drain();
                for (side, entries) in told.iter().enumerate() {
                    let kinds: Vec<_> = entries.iter().map(kind).collect();
                    let expected = std::mem::take(&mut model.told[side]);
                    assert_eq!(kinds, expected, "{place}");
                }
                let states = [0, 1].map(|side| {
                    let other = user(u8::try_from(2 - side).unwrap());
                    let row = pair.sides[side].relations.get(other);
                    row.map(|row| row.standing.state())
                });
                assert_eq!(states, model.rows, "{place}");
                seen.insert(format!("{states:?}"));
                if length + 1 < LENGTH && !effects.rows.is_empty() {
                    waiting.push((pair, model, length + 1));
                }
            }
        }
    }
    println!("{tried} calls");
    assert!(tried > 10_000, "{tried} calls");
    assert_eq!(seen.len(), 7, "{seen:?}");
}
