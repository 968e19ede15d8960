//! Leaderboards meanwhile: what is read shows what was acknowledged or told before, to anybody, and nothing that was refused; and whoever
//! follows one is never told of an earlier state than before.

use std::collections::{BTreeSet, HashMap};

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::{BoardOperator, BoardStanding, ScoreEntry, Scores};

use super::boards::{Submitted, submitted};
use super::{Evidence, Found};
use crate::game::{BOARDS, Board, board};
use crate::record::{Ask, CallNo, Heard, Look, Outcome, PlayerNo, Reply, What};

const RULE: &str = "a leaderboard is right at once";

/// What anybody was told of a leaderboard.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The newest season that has scores.
    season: Option<u64>,
    /// How good each player's score was, by season.
    worth: HashMap<(u64, UserId), i64>,
}

impl Known {
    fn take(&mut self, board: &Board, season: u64, user: UserId, score: i64) {
        self.season = self.season.max(Some(season));
        let worth = self.worth.entry((season, user)).or_insert(i64::MIN);
        *worth = board.worth(score).max(*worth);
    }

    fn take_entries(&mut self, board: &Board, season: u64, entries: &[ScoreEntry]) {
        for entry in entries {
            self.take(board, season, entry.user, entry.score);
        }
    }
}

/// What a connection was told of a leaderboard that it follows.
#[derive(Debug, Default)]
struct Followed {
    known: Known,
    /// Season, and how many were on it.
    count: (u64, u32),
}

struct Reads<'a, 'e> {
    evidence: &'a Evidence<'e>,
    submitted: HashMap<&'e str, Submitted<'e>>,
    known: HashMap<&'static str, Known>,
    /// What was known when a look began.
    begun: HashMap<CallNo, (Known, usize)>,
    followed: HashMap<(PlayerNo, &'static str), Followed>,
    /// Follows without an answer.
    asked: BTreeSet<(PlayerNo, CallNo)>,
}

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let mut reads = Reads {
        evidence,
        submitted: submitted(evidence),
        known: BOARDS
            .iter()
            .map(|it| (it.name, Known::default()))
            .collect(),
        begun: HashMap::new(),
        followed: HashMap::new(),
        asked: BTreeSet::new(),
    };
    for (place, line) in evidence.lines.iter().enumerate() {
        match &line.what {
            What::Asked(call, Ask::Look { board, .. }, _) => {
                let known = reads.known.get(board).cloned().unwrap_or_default();
                reads.begun.insert(*call, (known, place));
            }
            What::Asked(call, Ask::Follow { .. }, _) => {
                reads.asked.insert((line.player, *call));
            }
            What::Answered(call, outcome) => {
                reads.answered(found, place, line.player, *call, outcome);
            }
            What::Heard(Heard::Standing(standing)) => {
                reads.heard(found, place, line.player, standing);
            }
            What::Heard(Heard::Disconnected) => {
                reads
                    .followed
                    .retain(|(player, _), _| *player != line.player);
            }
            _ => {}
        }
    }
}

impl Reads<'_, '_> {
    fn wrong(&self, found: &mut Found, place: usize, player: PlayerNo, message: String) {
        let about = (None, Some(self.evidence.users[player]));
        found.add_until(self.evidence, RULE, about, place, message);
    }

    fn answered(
        &mut self,
        found: &mut Found,
        place: usize,
        player: PlayerNo,
        call: CallNo,
        outcome: &Outcome,
    ) {
        self.asked.remove(&(player, call));
        let Some(ask) = self.evidence.calls.get(&call).map(|call| &call.ask) else {
            return;
        };
        match (ask, outcome) {
            (
                Ask::Score {
                    board: name, user, ..
                },
                Outcome::Done(Reply::Score(told)),
            ) => {
                if let (Some(board), Some(known)) = (board(name), self.known.get_mut(name)) {
                    known.take(board, told.season, *user, told.score);
                }
            }
            (Ask::Look { board: name, look }, outcome) => {
                let (Some(board), Some((before, begun))) = (board(name), self.begun.remove(&call))
                else {
                    return;
                };
                match outcome {
                    Outcome::Done(Reply::Scores(scores)) => {
                        let seen = Seen {
                            board,
                            look: *look,
                            scores,
                            before: &before,
                        };
                        self.looked(found, (begun, place), player, &seen);
                    }
                    Outcome::Refused(Code::NotFound) => {
                        self.missed(found, place, player, (board, *look), &before);
                    }
                    _ => {}
                }
            }
            (Ask::Follow { .. }, Outcome::Done(Reply::Standing(standing))) => {
                self.stands(found, place, player, standing);
            }
            _ => {}
        }
    }

    /// Whoever is not found was not there when the look began: on a leaderboard that never begins anew.
    fn missed(
        &self,
        found: &mut Found,
        place: usize,
        player: PlayerNo,
        (board, look): (&Board, Look),
        before: &Known,
    ) {
        let (Look::One(user) | Look::Around(user)) = look else {
            return;
        };
        if board.operator == BoardOperator::Best && before.worth.contains_key(&(0, user)) {
            let name = self.evidence.name(user);
            let message = format!("{name} is not found on {}, and was there", board.name);
            self.wrong(found, place, player, message);
        }
    }

    fn looked(
        &mut self,
        found: &mut Found,
        (begun, place): (usize, usize),
        player: PlayerNo,
        seen: &Seen<'_>,
    ) {
        if let Err(why) = seen.is_right() {
            let message = format!("{} shows {:?}: {why}", seen.board.name, seen.scores);
            self.wrong(found, place, player, message);
        }
        let Scores {
            season, entries, ..
        } = seen.scores;
        for entry in entries {
            let shown = (seen.board, *season, entry);
            if let Err(why) = self.is_submitted(shown, Some(begun), place) {
                let message = format!("{} shows {entry:?}: {why}", seen.board.name);
                self.wrong(found, place, player, message);
            }
        }
        if let Some(known) = self.known.get_mut(seen.board.name) {
            known.take_entries(seen.board, *season, entries);
        }
    }

    /// Whether a score that is shown was submitted, and, if the look began at a known place, not replaced by then.
    fn is_submitted(
        &self,
        (board, season, entry): (&Board, u64, &ScoreEntry),
        begun: Option<usize>,
        place: usize,
    ) -> Result<(), String> {
        let words = entry.metadata.as_deref().unwrap_or_default();
        let from = self.submitted.get(words).ok_or("nobody submitted it")?;
        let is_whole = board.operator == BoardOperator::Sum || from.score == entry.score;
        if from.board.name != board.name || from.user != entry.user || !is_whole {
            return Err(format!("it comes from {from:?}"));
        }
        if from.action.begins > place {
            return Err(format!("it is submitted later: {from:?}"));
        }
        let (BoardOperator::Latest, Some(begun)) = (board.operator, begun) else {
            return Ok(());
        };
        let mut later = self.submitted.values().filter(|one| {
            let is_here = one.told.is_some_and(|(told, _)| told == season);
            is_here && one.board.name == board.name && one.user == entry.user
        });
        match later.find(|one| from.action.ends < one.action.begins && one.action.ends < begun) {
            Some(later) => Err(format!("it was replaced by {later:?}")),
            None => Ok(()),
        }
    }

    /// A connection that follows a leaderboard hears of it.
    fn heard(
        &mut self,
        found: &mut Found,
        place: usize,
        player: PlayerNo,
        standing: &BoardStanding,
    ) {
        let Some(board) = board(&standing.board) else {
            return;
        };
        let is_asked = self.asked.range((player, 0)..=(player, CallNo::MAX)).next();
        let before = self.followed.get(&(player, board.name));
        if before.is_none() && is_asked.is_none() && self.evidence.raw[player] {
            let message = format!("{} is not followed, and {standing:?} came", board.name);
            self.wrong(found, place, player, message);
        }
        if let Some(before) = before
            && let Err(why) = before.goes_on_with(board, standing)
        {
            let message = format!("{standing:?} came: {why}");
            self.wrong(found, place, player, message);
        }
        self.stands(found, place, player, standing);
    }

    /// Notes what a follower was told.
    fn stands(
        &mut self,
        found: &mut Found,
        place: usize,
        player: PlayerNo,
        standing: &BoardStanding,
    ) {
        let Some(board) = board(&standing.board) else {
            return;
        };
        let season = standing.season;
        let shown = standing.top.iter().chain(&standing.own);
        for entry in shown {
            if let Err(why) = self.is_submitted((board, season, entry), None, place) {
                let message = format!("{entry:?} is told of {}: {why}", board.name);
                self.wrong(found, place, player, message);
            }
        }
        let own = standing.own.as_slice();
        let followed = self.followed.entry((player, board.name)).or_default();
        let known = self.known.entry(board.name).or_default();
        for known in [&mut followed.known, known] {
            known.take_entries(board, season, &standing.top);
            known.take_entries(board, season, own);
        }
        if standing.count > 0 {
            followed.count = followed.count.max((season, standing.count));
        }
    }
}

impl Followed {
    /// Whether a follower may be told this after what it was told before.
    fn goes_on_with(&self, board: &Board, standing: &BoardStanding) -> Result<(), String> {
        let (season, count) = self.count;
        let is_earlier =
            standing.season < season || (standing.season == season && standing.count < count);
        if is_earlier {
            return Err(format!("season {season} was told with {count} players"));
        }
        let shown = standing.top.iter().chain(&standing.own);
        for entry in shown {
            is_not_worse(board, standing.season, entry, &self.known)?;
        }
        Ok(())
    }
}

/// Scores that only grow better are not worse than anybody was told before.
fn is_not_worse(
    board: &Board,
    season: u64,
    entry: &ScoreEntry,
    known: &Known,
) -> Result<(), String> {
    let before = known.worth.get(&(season, entry.user)).copied();
    let only_grows = board.operator != BoardOperator::Latest;
    match before {
        Some(before) if only_grows && before > board.worth(entry.score) => {
            Err(format!("{before} was told before"))
        }
        _ => Ok(()),
    }
}

/// A look at a leaderboard.
struct Seen<'a> {
    board: &'a Board,
    look: Look,
    scores: &'a Scores,
    /// What was known when it began.
    before: &'a Known,
}

impl Seen<'_> {
    fn is_right(&self) -> Result<(), String> {
        let Scores {
            season,
            count,
            entries,
            ..
        } = self.scores;
        if self.before.season.is_some_and(|before| *season < before) {
            return Err(format!("season {:?} was told before", self.before.season));
        }
        let is_in_order = entries.windows(2).all(|pair| {
            let [one, next] = pair else {
                return true;
            };
            let is_better = self.board.worth(one.score) >= self.board.worth(next.score);
            one.rank + 1 == next.rank && is_better
        });
        let is_counted = entries.iter().all(|entry| entry.rank <= *count);
        if !is_in_order || !is_counted {
            return Err("that is no order".to_owned());
        }
        for entry in entries {
            is_not_worse(self.board, *season, entry, self.before)?;
        }
        let is_there = |user: UserId| entries.iter().any(|entry| entry.user == user);
        match self.look {
            Look::All => {
                let is_all = entries.len() == *count as usize;
                let mut known = self.before.worth.keys();
                let missing = known.find(|(of, user)| of == season && !is_there(*user));
                match (
                    missing,
                    is_all && entries.first().is_none_or(|it| it.rank == 1),
                ) {
                    (None, true) => Ok(()),
                    (missing, _) => Err(format!("{missing:?} is not there")),
                }
            }
            Look::Around(user) | Look::One(user) if is_there(user) => Ok(()),
            Look::Around(_) | Look::One(_) => Err("it is about another player".to_owned()),
        }
    }
}
