//! Whether what two players were told can have come about: every order is tried in which their calls can have been decided, and in
//! which each side can have followed the other. A call is decided between its asking and its answer; a side follows the other at any
//! time, in order.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use pitturu_protocol::codes::Code;

use super::pair::{Pair, Said, SideNo, Wish};
use crate::record::{Ask, Call, Outcome, Reply};

/// One call of one of the two.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    side: SideNo,
    wish: Wish,
    /// What it was answered; absent if nobody knows.
    said: Option<Said>,
    /// Its place in the record, and that of its answer.
    begins: usize,
    ends: usize,
    /// Calls with the same key have the same number.
    key: usize,
}

impl Attempt {
    /// A call, unless it says nothing of how the two stand.
    pub(super) fn of(side: SideNo, call: &Call, key: usize) -> Option<Self> {
        let wish = match call.ask {
            Ask::Befriend { .. } => Wish::Befriend,
            Ask::Accept { .. } => Wish::Accept,
            Ask::Unfriend { .. } => Wish::Unfriend,
            Ask::Block { .. } => Wish::Block,
            Ask::Unblock { .. } => Wish::Unblock,
            _ => return None,
        };
        let said = match &call.outcome {
            Outcome::Done(Reply::Friend(state)) => Some(Said::Stands(*state)),
            Outcome::Done(_) => Some(Said::Done),
            Outcome::Refused(Code::NotFriends | Code::NotFound) => Some(Said::Nothing),
            // It may rest on what was read of the other's side; any other refusal says nothing of theirs.
            Outcome::Refused(_) | Outcome::Unsent => return None,
            Outcome::Unknown(_) => None,
        };
        Some(Self {
            side,
            wish,
            said,
            begins: call.asked,
            ends: call.answered,
            key,
        })
    }
}

/// What is remembered under a key. What changed nothing may be forgotten, and the call acts anew then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Remembered {
    said: Said,
    has_changed: bool,
}

/// One way in which things can have gone so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Course {
    pair: Pair,
    /// Calls that have begun and are not decided.
    open: Vec<usize>,
    /// Results under keys that come again.
    remembered: Vec<(usize, Remembered)>,
}

impl Course {
    fn forget(&mut self, attempt: usize) {
        self.open.retain(|open| *open != attempt);
    }

    /// The courses after a call is decided now, as it was answered.
    fn decided(&self, number: usize, attempts: &[Attempt], comes_again: bool) -> Vec<Self> {
        let attempt = &attempts[number];
        let fits = |said| attempt.said.is_none_or(|told| told == said);
        let mut after = Vec::new();
        let mut found = self.remembered.iter();
        let before = found.find(|(key, _)| *key == attempt.key);
        if let Some((_, before)) = before
            && fits(before.said)
        {
            let mut same = self.clone();
            same.forget(number);
            after.push(same);
        }
        if before.is_some_and(|(_, before)| before.has_changed) {
            return after;
        }
        let mut course = self.clone();
        course.forget(number);
        let (has_changed, said) = course.pair.decide(attempt.side, attempt.wish, number);
        if fits(said) {
            // A refusal is not remembered.
            if comes_again && matches!(said, Said::Stands(_) | Said::Done) {
                course.remembered.retain(|(key, _)| *key != attempt.key);
                let remembered = Remembered { said, has_changed };
                course.remembered.push((attempt.key, remembered));
                course.remembered.sort_unstable_by_key(|(key, _)| *key);
            }
            after.push(course);
        }
        after
    }
}

/// Most that is on its way from one side, in the courses that are tried first, and in those that are tried last.
const WAYS: [usize; 3] = [2, 4, 8];

/// Courses that are kept at once. Beyond that the search gives up.
const COURSES_MAX: usize = 200_000;

/// What came of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Explained {
    /// It can have gone so.
    Yes,
    /// It can't. What was answered at this place of the record is the first that does not fit; absent if only the end does not.
    No(Option<usize>),
    /// There were too many ways.
    GaveUp,
}

/// Whether the two can have ended like this.
pub(super) fn explain(attempts: &[Attempt], is_the_end: impl Fn(&Pair) -> bool) -> Explained {
    let mut explained = Explained::GaveUp;
    for way in WAYS {
        explained = Search::new(attempts, way).run(&is_the_end);
        if explained == Explained::Yes {
            break;
        }
    }
    explained
}

struct Search<'a> {
    attempts: &'a [Attempt],
    way: usize,
    /// How often each key is used, and which of its calls ends last.
    uses: HashMap<usize, (usize, usize)>,
}

impl<'a> Search<'a> {
    fn new(attempts: &'a [Attempt], way: usize) -> Self {
        let mut uses = HashMap::new();
        for (number, attempt) in attempts.iter().enumerate() {
            let (count, last) = uses.entry(attempt.key).or_insert((0, number));
            *count += 1;
            if (attempts[*last].ends, *last) <= (attempt.ends, number) {
                *last = number;
            }
        }
        Self {
            attempts,
            way,
            uses,
        }
    }

    /// The courses after nobody waits for this call any more, if it was decided, and if it never was.
    fn lost(&self, courses: HashSet<Course>, number: usize) -> Option<HashSet<Course>> {
        let is_decided = |course: &Course| !course.open.contains(&number);
        let mut after = self.reach(courses.clone(), is_decided)?;
        after.extend(map(courses, |course| course.forget(number)));
        Some(after)
    }

    /// Everything that can be next.
    fn steps(&self, course: &Course) -> Vec<Course> {
        let mut steps = Vec::new();
        for from in 0..2 {
            let mut next = course.clone();
            if next.pair.follow(from) {
                steps.push(next);
            }
        }
        for number in &course.open {
            let (uses, _) = self.uses[&self.attempts[*number].key];
            let comes_again = uses > 1;
            steps.extend(course.decided(*number, self.attempts, comes_again));
        }
        steps.retain(|course| (0..2).all(|from| course.pair.waiting(from) <= self.way));
        steps
    }

    /// Without the courses that others come to by one step: whatever follows from those follows from these.
    fn earliest(&self, mut courses: HashSet<Course>) -> HashSet<Course> {
        let all: Vec<Course> = courses.iter().cloned().collect();
        for course in all {
            for step in self.steps(&course) {
                courses.remove(&step);
            }
        }
        courses
    }

    /// The courses that `is_there` holds for first, after any steps from these. Absent if there are too many.
    fn reach(
        &self,
        courses: HashSet<Course>,
        is_there: impl Fn(&Course) -> bool,
    ) -> Option<HashSet<Course>> {
        let mut reached = HashSet::new();
        let mut left: Vec<Course> = courses.iter().cloned().collect();
        let mut seen = courses;
        while let Some(course) = left.pop() {
            if is_there(&course) {
                reached.insert(course);
                continue;
            }
            for step in self.steps(&course) {
                if !seen.contains(&step) {
                    seen.insert(step.clone());
                    left.push(step);
                }
            }
            if seen.len() > COURSES_MAX {
                return None;
            }
        }
        Some(reached)
    }

    fn last_use(&self, key: usize) -> usize {
        self.uses[&key].1
    }

    fn run(&self, is_the_end: impl Fn(&Pair) -> bool) -> Explained {
        let mut moments: Vec<(usize, bool, usize)> = Vec::new();
        for (number, attempt) in self.attempts.iter().enumerate() {
            moments.push((attempt.begins, false, number));
            if attempt.ends != usize::MAX {
                moments.push((attempt.ends, true, number));
            }
        }
        moments.sort_unstable();
        let mut courses = HashSet::from([Course::default()]);
        for (place, is_end, number) in moments {
            let attempt = &self.attempts[number];
            let after = match (is_end, attempt.said) {
                (false, _) => Some(map(courses, |course| course.open.push(number))),
                // Decided as late as it can be: whatever can come before the next answer can come then.
                (true, Some(_)) => self.reach(courses, |course| !course.open.contains(&number)),
                (true, None) => self.lost(courses, number),
            };
            let Some(mut after) = after else {
                return Explained::GaveUp;
            };
            if after.is_empty() {
                return Explained::No(Some(place));
            }
            if is_end {
                after = self.earliest(after);
            }
            if is_end && self.last_use(attempt.key) == number {
                after = map(after, |course| {
                    course.remembered.retain(|(key, _)| *key != attempt.key)
                });
            }
            courses = after;
        }
        let is_still = |course: &Course| {
            let is_quiet = (0..2).all(|from| course.pair.waiting(from) == 0);
            is_quiet && is_the_end(&course.pair)
        };
        match self.reach(courses, is_still) {
            None => Explained::GaveUp,
            Some(ends) if ends.is_empty() => Explained::No(None),
            Some(_) => Explained::Yes,
        }
    }
}

fn map<T: Hash + Eq>(all: HashSet<T>, change: impl Fn(&mut T)) -> HashSet<T> {
    let changed = all.into_iter().map(|mut one| {
        change(&mut one);
        one
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use pitturu_protocol::types::friends::FriendState;

    use super::super::pair::Side;
    use super::*;

    const FRIEND: Option<FriendState> = Some(FriendState::Friend);
    const REQUESTED: Option<FriendState> = Some(FriendState::Requested);
    const RECEIVED: Option<FriendState> = Some(FriendState::Received);

    /// A call with its own key, decided between these two lines, with what it was answered.
    fn call(side: SideNo, wish: Wish, (begins, ends): (usize, usize), said: Said) -> Attempt {
        Attempt {
            side,
            wish,
            said: Some(said),
            begins,
            ends,
            key: begins,
        }
    }

    fn lost(side: SideNo, wish: Wish, (begins, ends): (usize, usize)) -> Attempt {
        Attempt {
            said: None,
            ..call(side, wish, (begins, ends), Said::Done)
        }
    }

    fn may_end(attempts: &[Attempt], one: Option<FriendState>, other: Option<FriendState>) -> bool {
        let explained = explain(attempts, |pair| {
            pair.sides.map(Side::listed) == [one, other]
        });
        assert_ne!(explained, Explained::GaveUp);
        explained == Explained::Yes
    }

    fn stands(state: Option<FriendState>) -> Said {
        state.map_or(Said::Nothing, Said::Stands)
    }

    #[test]
    fn the_last_word_counts_where_it_is_the_last_for_both() {
        let asked = call(0, Wish::Befriend, (1, 2), stands(REQUESTED));
        let accepted = call(1, Wish::Accept, (3, 4), stands(FRIEND));
        let ended = call(0, Wish::Unfriend, (5, 6), Said::Done);
        let all = [asked, accepted, ended];
        assert!(may_end(&all[..1], REQUESTED, RECEIVED));
        assert!(!may_end(&all[..1], None, None), "an answered request stays");
        assert!(
            !may_end(&all[..1], REQUESTED, None),
            "both follow in the end"
        );
        assert!(may_end(&all[..2], FRIEND, FRIEND));
        assert!(!may_end(&all[..2], REQUESTED, RECEIVED));
        assert!(may_end(&all, None, None));
        assert!(!may_end(&all, FRIEND, FRIEND));
    }

    #[test]
    fn requests_that_cross_are_an_agreement() {
        let one = call(0, Wish::Befriend, (1, 2), stands(REQUESTED));
        let other = call(1, Wish::Befriend, (3, 4), stands(REQUESTED));
        let both = [one, other];
        assert!(may_end(&both, FRIEND, FRIEND));
        assert!(!may_end(&both, REQUESTED, RECEIVED));
    }

    /// The other's side had not followed yet when it was asked again, and said what it held.
    #[test]
    fn what_a_side_says_late_is_no_new_word() {
        let befriended = [
            call(0, Wish::Befriend, (1, 2), stands(REQUESTED)),
            call(1, Wish::Accept, (3, 4), stands(FRIEND)),
            call(0, Wish::Unfriend, (5, 6), Said::Done),
            call(1, Wish::Befriend, (7, 8), stands(FRIEND)),
        ];
        assert!(may_end(&befriended, None, None));
        assert!(!may_end(&befriended, FRIEND, FRIEND));
    }

    #[test]
    fn what_nobody_was_told_may_have_happened_until_its_server_was_gone() {
        let asked = lost(0, Wish::Befriend, (1, 5));
        assert!(may_end(from_ref(&asked), None, None));
        assert!(may_end(from_ref(&asked), REQUESTED, RECEIVED));
        let taken_back = call(0, Wish::Unfriend, (6, 7), Said::Nothing);
        let both = [asked.clone(), taken_back];
        assert!(may_end(&both, None, None));
        assert!(!may_end(&both, REQUESTED, RECEIVED));
        let meanwhile = call(0, Wish::Unfriend, (2, 3), Said::Nothing);
        assert!(may_end(&[asked, meanwhile], REQUESTED, RECEIVED));
    }

    #[test]
    fn a_repetition_acts_again_only_if_nothing_had_changed() {
        let first = call(0, Wish::Block, (1, 2), Said::Done);
        let undone = call(0, Wish::Unblock, (3, 4), Said::Done);
        let mut again = call(0, Wish::Block, (5, 6), Said::Done);
        again.key = first.key;
        let blocked = Some(FriendState::Blocked);
        let changed = [first.clone(), undone.clone(), again.clone()];
        assert!(may_end(&changed, None, None));
        assert!(!may_end(&changed, blocked, None));
        let before = call(0, Wish::Block, (0, 0), Said::Done);
        let nothing = [before, first, undone, again];
        assert!(may_end(&nothing, None, None));
        assert!(may_end(&nothing, blocked, None));
    }

    /// A round as it can go: calls of two players side by side, of which some are never answered, and sides that follow late.
    fn played(rng: &mut fastrand::Rng, calls: usize) -> (Vec<Attempt>, [Option<FriendState>; 2]) {
        let wishes = [
            (Wish::Befriend, 4),
            (Wish::Accept, 2),
            (Wish::Unfriend, 1),
            (Wish::Block, 1),
            (Wish::Unblock, 2),
        ];
        let wishes: Vec<Wish> = wishes
            .iter()
            .flat_map(|(wish, weight)| std::iter::repeat_n(*wish, *weight))
            .collect();
        let mut pair = Pair::default();
        let mut attempts: Vec<Attempt> = Vec::new();
        // Of each call that has begun whether it was decided, and what was said.
        let mut open: Vec<(usize, Option<Said>)> = Vec::new();
        let mut line = 0;
        while attempts.len() < calls || !open.is_empty() {
            line += 1;
            match rng.u8(..8) {
                0..=2 if attempts.len() < calls && open.len() < 4 => {
                    let wish = wishes[rng.usize(..wishes.len())];
                    open.push((attempts.len(), None));
                    attempts.push(lost(rng.usize(..2), wish, (line, usize::MAX)));
                }
                3..=5 if !open.is_empty() => {
                    let place = rng.usize(..open.len());
                    let (number, decided) = open[place];
                    let attempt = &mut attempts[number];
                    match decided {
                        Some(said) => {
                            attempt.said = Some(said);
                            attempt.ends = line;
                            open.remove(place);
                        }
                        None if rng.u8(..4) > 0 => {
                            let (_, said) = pair.decide(attempt.side, attempt.wish, number);
                            open[place].1 = Some(said);
                        }
                        None => {}
                    }
                }
                6 => drop(pair.follow(rng.usize(..2))),
                7 if rng.u8(..20) == 0 => {
                    for (number, _) in open.drain(..) {
                        attempts[number].ends = line;
                    }
                }
                _ => {}
            }
        }
        while (0..2).any(|from| pair.follow(from)) {}
        (attempts, pair.sides.map(Side::listed))
    }

    #[test]
    fn whatever_was_played_is_explained() {
        for seed in 0..40 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (attempts, [one, other]) = played(&mut rng, 120);
            assert!(may_end(&attempts, one, other), "seed {seed}");
        }
    }
}
