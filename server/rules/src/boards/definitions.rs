//! The leaderboards of a game, as its file has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BoardRules, RulesError, SeasonOf, Seasons};

/// One leaderboard.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its rules.
    pub rules: Arc<BoardRules>,
    /// Its seasons.
    pub seasons: Seasons,
}

/// The leaderboards of a game.
#[derive(Clone, Debug, Default)]
pub struct Definitions(BTreeMap<String, Definition>);

impl Definitions {
    /// Those with these rules.
    ///
    /// # Errors
    /// Rules that can't be followed.
    pub fn new(boards: &BTreeMap<String, BoardRules>) -> Result<Self, RulesError> {
        let define = |(name, rules): (&String, &BoardRules)| {
            let definition = Definition {
                rules: Arc::new(rules.clone()),
                seasons: rules.check()?,
            };
            Ok((name.clone(), definition))
        };
        boards
            .iter()
            .map(define)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The leaderboard of this name.
    pub fn get(&self, board: &str) -> Option<&Definition> {
        self.0.get(board)
    }

    /// All of them, in the order of their names, behind this one.
    pub fn after(&self, board: Option<&str>) -> impl Iterator<Item = (&str, &Definition)> {
        let boards = self.0.iter().map(|(name, board)| (name.as_str(), board));
        boards.skip_while(move |(name, _)| board.is_some_and(|board| *name <= board))
    }

    /// The season of a leaderboard with this instant, in milliseconds since 1970.
    pub fn season_at(&self, board: &str, instant: u64) -> Option<SeasonOf> {
        let season = self.get(board)?.seasons.at(instant);
        Some(SeasonOf {
            board: board.to_owned(),
            season,
        })
    }

    /// Whether a season is one of those that the leaderboard has by its rules of now.
    pub fn has(&self, of: &SeasonOf) -> bool {
        let definition = self.get(&of.board);
        let season = definition.and_then(|it| it.seasons.numbered(of.season.number));
        season.is_some_and(|season| season.starts_at == of.season.starts_at)
    }

    /// When a season ends by the rules of now: none if it is not one of theirs, or if that is past and was not known when the season began.
    pub fn end_of(&self, of: &SeasonOf, now: u64) -> Option<Option<u64>> {
        let season = self.get(&of.board)?.seasons.numbered(of.season.number)?;
        let is_of_now = season.starts_at == of.season.starts_at;
        let is_known = season.ends_at == of.season.ends_at;
        let is_to_come = season.ends_at.is_none_or(|end| end > now);
        (is_of_now && (is_known || is_to_come)).then_some(season.ends_at)
    }

    /// Where a score goes that a season takes no more at this instant: the season of the instant if that is a later one, or else the
    /// one that follows. None if the leaderboard is not there any more, or no season follows.
    pub fn next(&self, of: &SeasonOf, instant: u64) -> Option<SeasonOf> {
        let seasons = &self.get(&of.board)?.seasons;
        let is_later = |season: &super::Season| season.starts_at > of.season.starts_at;
        let mut season = seasons.at(instant);
        if !is_later(&season) {
            // Of other resets the numbers have nothing to do with each other.
            let end = of.season.ends_at.unwrap_or(instant);
            season = seasons.at(end.max(of.season.starts_at));
        }
        while !is_later(&season) {
            season = seasons.numbered(season.number + 1)?;
        }
        Some(SeasonOf {
            board: of.board.clone(),
            season,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::{Direction, Operator, Reset};

    const DAY: u64 = 86_400_000;

    fn definitions(reset: Reset) -> Definitions {
        let rules = BoardRules {
            operator: Operator::Best,
            direction: Direction::Higher,
            reset,
            ..BoardRules::of(Operator::Best)
        };
        Definitions::new(&BTreeMap::from([("daily".to_owned(), rules)])).unwrap()
    }

    fn daily() -> Definitions {
        definitions(Reset::Day {
            at: "00:00".to_owned(),
            zone: "UTC".to_owned(),
        })
    }

    #[test]
    fn what_is_over_goes_to_the_season_of_the_clock_or_to_the_next_one() {
        let daily = daily();
        let season = daily.season_at("daily", 10 * DAY).unwrap();
        for (instant, begins) in [
            (10 * DAY, 11),
            // The clock went back.
            (3 * DAY, 11),
            (11 * DAY, 11),
            (20 * DAY + 1, 20),
        ] {
            let next = daily.next(&season, instant).unwrap();
            assert_eq!(next.season.starts_at, begins * DAY, "{instant}");
        }
        assert!(daily.has(&season));
        assert_eq!(daily.season_at("weekly", 0), None);
    }

    #[test]
    fn a_season_of_other_resets_is_followed_by_one_of_those_of_now() {
        let before = definitions(Reset::Never {});
        let old = before.season_at("daily", 10 * DAY).unwrap();
        let daily = daily();
        assert_eq!(before.next(&old, 10 * DAY), None);
        // Both have begun with 1970.
        assert!(daily.has(&old));
        let later = SeasonOf {
            season: super::super::Season {
                number: 70_000,
                starts_at: 10 * DAY + 7,
                ends_at: None,
            },
            ..old
        };
        assert!(!daily.has(&later));
        let next = daily.next(&later, 10 * DAY + 9).unwrap();
        assert_eq!(next.season.starts_at, 11 * DAY);
    }
}
