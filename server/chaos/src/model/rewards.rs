//! Rewards: for each game played what the rules give on that day, once; and for each place in a season that has ended.

use std::collections::{BTreeMap, HashMap};

use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::items::ItemReason;
use pitturu_protocol::types::points::{Movement, PointsReason};

use super::actions::{Action, Certainty};
use super::points::movements;
use super::{Evidence, Found};
use crate::game::{BOARDS, Board, CHESS, CROWN, DAY_MS, On, POINTS_PER_DAY, RULES, SEOUL_MS};
use crate::record::{Ask, PlayerNo, Reply};

const RULE: &str = "rewards are given once";

/// A rule's name and its points.
type Given<'a> = Vec<(&'a str, u64)>;

pub(super) fn check(evidence: &Evidence<'_>, found: &mut Found) {
    let plays = evidence.actions.iter();
    let plays = plays.filter(|action| matches!(action.ask, Ask::Play { .. }));
    let plays: HashMap<&str, &Action> = plays.map(|action| (action.key.as_str(), action)).collect();
    for player in 0..evidence.users.len() {
        played(evidence, found, player, &plays);
        placed(evidence, found, player);
    }
}

fn wrong(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo, message: String) {
    let about = (None, Some(evidence.users[player]));
    found.add(evidence, RULE, about, message);
}

/// What a player has played and got on the last day.
#[derive(Debug, Default)]
struct Day {
    number: u64,
    streak: u32,
    points: u64,
    times: BTreeMap<&'static str, u32>,
}

impl Day {
    /// What the rules give for a game that is played on this day, by the zone of the game.
    fn play(&mut self, number: u64, wins_chess: bool) -> Given<'static> {
        let is_first = self.streak == 0 || number > self.number;
        if is_first {
            let follows = self.streak > 0 && number == self.number + 1;
            *self = Self {
                number,
                streak: if follows { self.streak + 1 } else { 1 },
                ..Self::default()
            };
        }
        let mut given = Vec::new();
        for rule in RULES {
            let is_met = match rule.on {
                On::FirstPlay => is_first,
                On::Streak(days) => is_first && self.streak.is_multiple_of(days),
                On::Win => wins_chess,
            };
            let times = self.times.entry(rule.name).or_default();
            let is_open = rule.per_day.is_none_or(|most| *times < most);
            let points = rule.points.min(POINTS_PER_DAY - self.points);
            if is_met && is_open && points > 0 {
                *times += 1;
                self.points += points;
                given.push((rule.name, points));
            }
        }
        given
    }
}

/// What was given for one game played: lines that follow one another, with one id.
fn groups(own: &[Movement]) -> Vec<&[Movement]> {
    let by_play = |movement: &Movement| {
        let is_reward = movement.reason == PointsReason::Reward;
        movement.id.clone().filter(|_| is_reward)
    };
    let chunks = own.chunk_by(|one, other| by_play(one) == by_play(other));
    chunks
        .filter(|chunk| by_play(&chunk[0]).is_some())
        .collect()
}

/// Carries out again what was given for games played: what gives nothing leaves no line, and changes nothing.
fn played(
    evidence: &Evidence<'_>,
    found: &mut Found,
    player: PlayerNo,
    plays: &HashMap<&str, &Action>,
) {
    let mut day = Day::default();
    let mut given: HashMap<&str, Given<'_>> = HashMap::new();
    let mut is_used_up = false;
    for group in groups(movements(evidence, player)) {
        let id = group[0].id.as_deref().unwrap_or_default();
        let Some(play) = plays.get(id) else {
            // Whoever asked for the line is looked at with the points.
            continue;
        };
        let wins_chess = matches!(
            play.ask,
            Ask::Play {
                game: CHESS,
                won: true,
                ..
            }
        );
        let number = (group[0].at + SEOUL_MS) / DAY_MS;
        let due = day.play(number, wins_chess);
        is_used_up |= day.points == POINTS_PER_DAY || day.times.values().any(|times| *times >= 5);
        let lines = group.iter();
        let lines: Given<'_> = lines
            .map(|line| (line.reference.as_deref().unwrap_or_default(), line.amount))
            .collect();
        let is_again = given.insert(id, lines.clone()).is_some();
        if lines != due || is_again {
            let message = format!("{group:?}, where {due:?} is due on {day:?}");
            wrong(evidence, found, player, message);
            return;
        }
    }
    acknowledged(
        evidence,
        found,
        player,
        &Played {
            given,
            day,
            is_used_up,
        },
    );
}

/// What was given for all games that a player has played.
struct Played<'a> {
    /// By the keys of the calls.
    given: HashMap<&'a str, Given<'a>>,
    /// How the last day has ended.
    day: Day,
    /// Whether there was a moment at which a game that is won gives nothing more.
    is_used_up: bool,
}

/// What was acknowledged is there, what was refused is not.
fn acknowledged(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo, played: &Played<'_>) {
    let user = evidence.users[player];
    for action in evidence.actions {
        let Ask::Play {
            user: of,
            game,
            won,
        } = &action.ask
        else {
            continue;
        };
        if *of != user {
            continue;
        }
        let there = played.given.get(action.key.as_str());
        let is_right = match (action.outcome, &action.reply) {
            (Certainty::Done, Some(Reply::Played(answer))) => {
                let told = answer.rewards.iter();
                let told: Given<'_> = told.map(|it| (it.rule.as_str(), it.points)).collect();
                let may_give_nothing = !won || *game != CHESS || played.is_used_up;
                match there {
                    Some(there) => told == *there,
                    None => told.is_empty() && may_give_nothing && played.day.streak > 0,
                }
            }
            (Certainty::Done, _) => false,
            (Certainty::Refused, _) => there.is_none(),
            (Certainty::Unknown, _) => true,
        };
        if !is_right {
            let message = format!(
                "{:?} under {} is {:?} with {:?}, and {there:?} was given",
                action.ask, action.key, action.outcome, action.reply
            );
            found.add_until(evidence, RULE, (None, Some(user)), action.ends, message);
        }
    }
}

/// A place that a player was told of, or has to be: season, place, players, score, points.
type Place = (u64, u32, u32, i64, u64);

/// Places are in the inbox once, and were rewarded once.
fn placed(evidence: &Evidence<'_>, found: &mut Found, player: PlayerNo) {
    let audit = &evidence.audit.players[player];
    let mut rewards: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for board in BOARDS {
        let due = places(evidence, player, board);
        for (_, rank, ..) in &due {
            let (rule, points) = board.places[*rank as usize - 1];
            rewards.entry(rule).or_default().push(points);
        }
        let told = audit.inbox.values().filter_map(|entry| match entry {
            InboxEntry::SeasonPlaced {
                board: of,
                season,
                rank,
                count,
                score,
                points,
            } if of == board.name => Some((*season, *rank, *count, *score, *points)),
            _ => None,
        });
        let mut told: Vec<Place> = told.collect();
        told.sort_unstable();
        let is_complete = audit.inbox_gap == 0;
        let is_right = match is_complete {
            true => told == due,
            false => told.iter().all(|place| due.contains(place)),
        };
        if !is_right {
            let name = board.name;
            let message = format!("of {name} the places {told:?} are told, and {due:?} are due");
            wrong(evidence, found, player, message);
        }
    }
    let crowns = audit.changes.iter();
    let crowns = crowns.filter(|change| change.reason == ItemReason::Rewarded);
    let crowns = crowns.filter(|change| change.item == CROWN).count();
    let due = rewards.get("gold").map_or(0, Vec::len);
    if crowns != due {
        let message = format!("{crowns} crowns, where {due} are due");
        wrong(evidence, found, player, message);
    }
    let own = movements(evidence, player).iter();
    let own = own.filter(|it| it.reason == PointsReason::Reward && it.id.is_none());
    let mut given: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for movement in own {
        let rule = movement.reference.as_deref().unwrap_or_default();
        given.entry(rule).or_default().push(movement.amount);
    }
    if given != rewards {
        let message = format!("for places {given:?} were given, and {rewards:?} are due");
        wrong(evidence, found, player, message);
    }
}

/// The places of a player in the seasons that have ended, as far as the leaderboard tells them.
fn places(evidence: &Evidence<'_>, player: PlayerNo, board: &Board) -> Vec<Place> {
    let user = evidence.users[player];
    let seasons = evidence.audit.seasons.iter();
    let seasons = seasons.filter(|((of, _), season)| *of == board.name && season.info.ended);
    let places = seasons.filter_map(|((_, number), season)| {
        let own = season.entries.iter().find(|entry| entry.user == user)?;
        let (_, points) = board.places.get(own.rank as usize - 1)?;
        Some((*number, own.rank, season.count, own.score, *points))
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_gives_what_its_rules_say() {
        let mut day = Day::default();
        assert_eq!(day.play(7, true), [("first", 20), ("win", 6)]);
        assert_eq!(day.play(6, true), [("win", 6)], "a clock that was set back");
        assert_eq!(day.play(7, false), []);
        for _ in 0..3 {
            assert_eq!(day.play(7, true), [("win", 6)]);
        }
        assert_eq!(day.play(7, true), [], "five times a day");
        let second = [("first", 20), ("streak", 15), ("win", 6)];
        assert_eq!(day.play(8, true), second);
        for points in [6, 6, 6, 1] {
            assert_eq!(day.play(8, true), [("win", points)]);
        }
        assert_eq!(day.play(8, true), [], "sixty points a day");
        assert_eq!(day.play(10, false), [("first", 20)], "a day was left out");
    }
}
