//! Many players at random, with lists that hold two.

use std::collections::{HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Commit, FriendEffects, FriendSignal, Other, Relations};
use super::pair::check_effects;
use super::{ASKS, Ask, agreement, ask, recounted, stale, user, with_caps};

const PLAYERS: u8 = 5;
const CAP: u32 = 2;

#[derive(Clone, Copy, Debug)]
enum Act {
    Ask {
        what: Ask,
        by: u8,
        of: u8,
        stale: bool,
    },
    Deliver {
        by: u8,
        to: u8,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let pair = (1..=PLAYERS, 1..PLAYERS).prop_map(|(one, step)| {
        let other = 1 + (one - 1 + step) % PLAYERS;
        (one, other)
    });
    let what = prop_oneof![
        4 => Just(Ask::Request),
        4 => Just(Ask::Accept),
        1 => proptest::sample::select(&ASKS[..]),
    ];
    let asked = (pair.clone(), what, any::<bool>());
    let act = prop_oneof![
        asked.prop_map(|((by, of), what, stale)| Act::Ask {
            what,
            by,
            of,
            stale
        }),
        pair.prop_map(|(by, to)| Act::Deliver { by, to }),
    ];
    vec(act, 1..300)
}

struct World {
    players: Vec<Relations>,
    version: u64,
    under_way: HashMap<(u8, u8), VecDeque<FriendSignal>>,
    asked: usize,
}

impl World {
    fn new() -> Self {
        Self {
            players: (1..=PLAYERS)
                .map(|number| with_caps(user(number), CAP, CAP, CAP))
                .collect(),
            version: 0,
            under_way: HashMap::new(),
            asked: 0,
        }
    }

    fn player(&mut self, number: u8) -> &mut Relations {
        &mut self.players[usize::from(number) - 1]
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Ask {
                what,
                by,
                of,
                stale: old,
            } => {
                let other = if old {
                    stale(user(of))
                } else {
                    self.player(of).seen_by(user(by))
                };
                self.ask(what, by, &other);
            }
            Act::Deliver { by, to } => {
                let waiting = self.under_way.entry((by, to)).or_default();
                let Some(signal) = waiting.pop_front() else {
                    return;
                };
                let mut effects = FriendEffects::default();
                let before = self.player(to).clone();
                self.player(to).apply(user(by), signal, &mut effects);
                self.note(to, &before, effects);
            }
        }
    }

    fn ask(&mut self, what: Ask, by: u8, other: &Other) {
        self.version += 1;
        let commit = Commit {
            version: self.version,
            name: "a player",
            at: self.version,
        };
        let before = self.player(by).clone();
        match ask(self.player(by), what, &commit, other) {
            Ok(effects) => {
                self.asked += 1;
                self.note(by, &before, effects);
            }
            Err(_) => assert_eq!(*self.player(by), before, "refused and yet changed"),
        }
    }

    fn note(&mut self, by: u8, before: &Relations, effects: FriendEffects) {
        let after = &self.players[usize::from(by) - 1];
        check_effects(before, after, &effects);
        let counts = after.counts();
        assert_eq!(counts, recounted(after));
        let held = [
            counts.friends,
            counts.requested,
            counts.received,
            counts.blocked,
        ];
        assert!(held.iter().all(|&count| count <= CAP), "{counts:?}");
        for (to, signal) in effects.signals {
            let waiting = self.under_way.entry((by, to.as_bytes()[0]));
            waiting.or_default().push_back(signal);
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            let next = self
                .under_way
                .iter()
                .find(|(_, signals)| !signals.is_empty());
            let Some((&(by, to), _)) = next else { return };
            self.act(Act::Deliver { by, to });
        }
        panic!("the players never stop telling each other");
    }
}

proptest! {
    /// Counts are those of the rows, no list is longer than it may be, and once nothing is under way all agree.
    #[test]
    fn counts_hold_and_all_agree_in_the_end(acts in acts()) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        world.drain();
        for (place, one) in world.players.iter().enumerate() {
            for other in &world.players[place + 1..] {
                prop_assert!(agreement(one, other).is_some(), "{one:#?} {other:#?}");
            }
        }
    }
}
