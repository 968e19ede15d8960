//! Leaderboards at rest: every score that was taken counts in one season, once, and places follow from scores.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::{BoardOperator, ScoreEntry};

use super::actions::Action;
use super::registers::{Write, may_hold};
use super::{Evidence, Found};
use crate::audit::SeasonAudit;
use crate::game::{BOARDS, Board, board};
use crate::record::{Ask, Reply};

const RULE: &str = "leaderboards are exact";

/// A score that somebody submitted and was not refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submitted<'a> {
    /// What was asked, and what became of it.
    pub action: &'a Action,
    /// The leaderboard.
    pub board: &'static Board,
    /// Whose score.
    pub user: UserId,
    /// How much.
    pub score: i64,
    /// In which season it counts, and the player's score after it; absent if nobody was told.
    pub told: Option<(u64, i64)>,
}

/// All submissions that may have been taken, by their words.
pub(super) fn submitted<'a>(evidence: &Evidence<'a>) -> HashMap<&'a str, Submitted<'a>> {
    let actions: &'a [Action] = evidence.actions;
    let taken = actions.iter().filter(|action| !action.is_refused());
    let submitted = taken.filter_map(|action| {
        let Ask::Score {
            board: name,
            user,
            score,
            words,
        } = &action.ask
        else {
            return None;
        };
        let told = match &action.reply {
            Some(Reply::Score(told)) if action.is_done() => Some((told.season, told.score)),
            _ => None,
        };
        let submitted = Submitted {
            action,
            board: board(name)?,
            user: *user,
            score: *score,
            told,
        };
        Some((words.as_str(), submitted))
    });
    submitted.collect()
}

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let submitted = submitted(evidence);
    for ((name, number), season) in &evidence.audit.seasons {
        let Some(board) = board(name) else {
            continue;
        };
        order(evidence, found, board, season);
        ties(evidence, found, board, season, &submitted);
        for entry in &season.entries {
            let all = of(&submitted, board, entry.user);
            if let Err(wrong) = is_explained(board, *number, entry, &all, &submitted) {
                let message = format!("{name}, season {number}: {wrong}: {entry:?}");
                let about = (None, Some(entry.user));
                found.add(evidence, RULE, about, message);
            }
        }
    }
    for one in submitted.values() {
        is_there(evidence, found, one);
    }
    for board in BOARDS {
        if board.operator == BoardOperator::Sum {
            for user in evidence.users {
                sums(evidence, found, board, *user, &submitted);
            }
        }
    }
}

/// A player's submissions to a leaderboard.
fn of<'a>(
    submitted: &HashMap<&str, Submitted<'a>>,
    board: &Board,
    user: UserId,
) -> Vec<Submitted<'a>> {
    let all = submitted.values().copied();
    let all = all.filter(|one| one.board.name == board.name && one.user == user);
    all.collect()
}

/// Whoever is better is before the other, and nobody is there twice.
fn order(evidence: &Evidence<'_>, found: &mut Found, board: &Board, season: &SeasonAudit) {
    let SeasonAudit {
        info,
        count,
        entries,
    } = season;
    let users: BTreeSet<UserId> = entries.iter().map(|entry| entry.user).collect();
    let is_right = *count == info.count
        && *count as usize == users.len()
        && entries.len() == users.len()
        && (1..).zip(entries).all(|(rank, entry)| entry.rank == rank)
        && entries.is_sorted_by(|one, next| board.worth(one.score) >= board.worth(next.score));
    if !is_right {
        let message = format!("{} has {season:?}", board.name);
        found.add(evidence, RULE, (None, None), message);
    }
}

/// Of equal scores the one that was reached first is before the other, where that can be told.
fn ties(
    evidence: &Evidence<'_>,
    found: &mut Found,
    board: &Board,
    season: &SeasonAudit,
    submitted: &HashMap<&str, Submitted<'_>>,
) {
    if board.operator != BoardOperator::Best {
        return;
    }
    let reached = |entry: &ScoreEntry| {
        let words = entry.metadata.as_deref()?;
        submitted.get(words).map(|one| one.action)
    };
    for pair in season.entries.windows(2) {
        let ([one, next], true) = (pair, pair[0].score == pair[1].score) else {
            continue;
        };
        if let (Some(first), Some(second)) = (reached(one), reached(next))
            && second.ends < first.begins
        {
            let message = format!("{next:?} was reached before {one:?}");
            let about = (None, Some(next.user));
            found.add_until(evidence, "earliest wins ties", about, second.ends, message);
        }
    }
}

/// Whether a player's score in a season is what some order of the submissions leads to.
fn is_explained(
    board: &Board,
    season: u64,
    entry: &ScoreEntry,
    all: &[Submitted<'_>],
    submitted: &HashMap<&str, Submitted<'_>>,
) -> Result<(), String> {
    // What nobody was told of may count in any season.
    let here = |one: &&Submitted<'_>| one.told.is_none_or(|(told, _)| told == season);
    let words = entry.metadata.as_deref().unwrap_or_default();
    let from = submitted.get(words).ok_or("nobody submitted it")?;
    if from.board.name != board.name || from.user != entry.user || !here(&from) {
        return Err(format!("it comes from {from:?}"));
    }
    match board.operator {
        BoardOperator::Sum => {}
        _ if from.score != entry.score => return Err(format!("it comes from {from:?}")),
        BoardOperator::Best => {
            let sure = all.iter().filter(|one| one.told.is_some()).filter(here);
            let worth = |one: &&Submitted<'_>| board.worth(one.score);
            if let Some(best) = sure.max_by_key(worth)
                && board.worth(best.score) > board.worth(entry.score)
            {
                return Err(format!("{best:?} is better"));
            }
        }
        BoardOperator::Latest => {
            let writes = all.iter().filter(here);
            let writes = writes.filter_map(|one| Write::of(one.action, one.score));
            let writes: Vec<Write<i64>> = writes.collect();
            if !may_hold(&writes, &entry.score) {
                return Err("it was not the last".to_owned());
            }
        }
    }
    Ok(())
}

/// Whoever was acknowledged a score is on the leaderboard, in that season, and not with less than was told.
fn is_there(evidence: &Evidence<'_>, found: &mut Found, one: &Submitted<'_>) {
    let Some((number, score)) = one.told else {
        return;
    };
    let Submitted { board, user, .. } = *one;
    let season = evidence.audit.seasons.get(&(board.name, number));
    let mut entries = season.iter().flat_map(|season| &season.entries);
    let entry = entries.find(|entry| entry.user == user);
    let is_right = entry.is_some_and(|entry| {
        let may_be_less = board.operator == BoardOperator::Latest;
        may_be_less || board.worth(entry.score) >= board.worth(score)
    });
    if !is_right {
        let message = format!("{one:?} was acknowledged, and there is {entry:?}");
        let about = (None, Some(user));
        let rule = "acknowledged is durable";
        found.add_until(evidence, rule, about, one.action.ends, message);
    }
}

/// A player's sums are made of what was acknowledged in each season, and of some of what nobody was told of.
fn sums(
    evidence: &Evidence<'_>,
    found: &mut Found,
    board: &Board,
    user: UserId,
    submitted: &HashMap<&str, Submitted<'_>>,
) {
    let all = of(submitted, board, user);
    let unsure: Vec<i64> = all
        .iter()
        .filter(|one| one.told.is_none())
        .map(|one| one.score)
        .collect();
    let possible = subset_sums(&unsure);
    let mut due: BTreeMap<u64, i64> = BTreeMap::new();
    for one in &all {
        if let Some((season, _)) = one.told {
            *due.entry(season).or_default() += one.score;
        }
    }
    let mut more = 0;
    for ((name, number), season) in &evidence.audit.seasons {
        let own = season.entries.iter().find(|entry| entry.user == user);
        let (true, Some(own)) = (*name == board.name, own) else {
            continue;
        };
        let sure = due.get(number).copied().unwrap_or(0);
        more += own.score - sure;
        if !possible.contains(&(own.score - sure)) {
            let message = format!(
                "season {number}: {own:?}, where {sure} were acknowledged, and nobody was told of {unsure:?}"
            );
            found.add(evidence, RULE, (None, Some(user)), message);
        }
    }
    if !possible.contains(&more) {
        let message =
            format!("{more} more than was acknowledged, and nobody was told of {unsure:?}");
        found.add(evidence, RULE, (None, Some(user)), message);
    }
}

/// All that some of these numbers add up to.
fn subset_sums(numbers: &[i64]) -> BTreeSet<i64> {
    let mut sums = BTreeSet::from([0]);
    for number in numbers {
        let with: Vec<i64> = sums.iter().map(|sum| sum + number).collect();
        sums.extend(with);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_some_or_none() {
        let sums = subset_sums(&[3, 5, 5]);
        assert_eq!(sums, BTreeSet::from([0, 3, 5, 8, 10, 13]));
    }
}
