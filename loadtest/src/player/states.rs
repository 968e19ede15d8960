//! The newest state of a game that a player has, and how old it is.

/// Nanoseconds between two looks at the age.
const LOOK_EVERY: u64 = 1_000_000;

/// What a player knows of a game.
#[derive(Debug, Default)]
pub(super) struct States {
    newest: Option<Newest>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    tick: u64,
    /// When it was made.
    made: u64,
    /// When its age is looked at next.
    next_look: u64,
}

/// Looks at what was the newest state up to now: when it was made, and the moments of the looks.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    pub(super) made: u64,
    pub(super) moments: std::iter::StepBy<std::ops::Range<u64>>,
}

impl States {
    /// A state has come. None: it is not newer than what is there. Else the looks at what was there until now.
    pub(super) fn came(&mut self, tick: u64, made: u64, now: u64) -> Option<Looks> {
        let Some(before) = self.newest else {
            self.newest = Some(Newest {
                tick,
                made,
                next_look: now,
            });
            return Some(Looks {
                made,
                moments: looks(now, now),
            });
        };
        if tick <= before.tick {
            return None;
        }
        let first = before.next_look;
        let count = now.saturating_sub(first).div_ceil(LOOK_EVERY);
        self.newest = Some(Newest {
            tick,
            made,
            next_look: first + count * LOOK_EVERY,
        });
        Some(Looks {
            made: before.made,
            moments: looks(first, now),
        })
    }
}

fn looks(from: u64, to: u64) -> std::iter::StepBy<std::ops::Range<u64>> {
    let every = usize::try_from(LOOK_EVERY).expect("a million fits anywhere");
    (from..to).step_by(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = LOOK_EVERY;

    fn ages(looks: Option<Looks>) -> Vec<u64> {
        let Looks { made, moments } = looks.unwrap();
        moments.map(|at| (at - made) / MS).collect()
    }

    #[test]
    fn the_age_grows_until_a_newer_state_comes() {
        let mut states = States::default();
        assert!(ages(states.came(1, 100 * MS, 140 * MS)).is_empty());
        // Made 3 ms later, and 40 ms under way as well.
        assert_eq!(ages(states.came(2, 103 * MS, 143 * MS)), [40, 41, 42]);
        // One is lost.
        assert_eq!(
            ages(states.came(4, 109 * MS, 149 * MS)),
            [40, 41, 42, 43, 44, 45]
        );
        assert_eq!(ages(states.came(5, 112 * MS, 150 * MS)), [40]);
    }

    #[test]
    fn what_is_old_changes_nothing() {
        let mut states = States::default();
        states.came(5, 100 * MS, 140 * MS);
        for tick in [1, 4, 5] {
            assert!(states.came(tick, 90 * MS, 141 * MS).is_none());
        }
        assert_eq!(ages(states.came(6, 110 * MS, 143 * MS)), [40, 41, 42]);
    }

    #[test]
    fn looks_keep_their_pace_whenever_states_come() {
        let mut states = States::default();
        let mut looked = 0;
        states.came(0, 0, 0);
        for tick in 1..=1_000 {
            looked += ages(states.came(tick, 0, tick * MS / 3)).len();
        }
        assert_eq!(looked, 334);
    }
}
