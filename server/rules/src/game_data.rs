//! What a game's team writes about its game, in one file.
//!
//! ```toml
//! [boards.weekly]
//! operator = "best"
//! reset = { every = "week", day = "monday", at = "00:00", zone = "Asia/Seoul" }
//!
//! [points.gifts]
//! least = 10
//!
//! [items.crown]
//! most = 1
//!
//! [rewards.rules.champion]
//! on = { places = { board = "weekly", from = 1, to = 1 } }
//! item = "crown"
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use pitturu_protocol::limits::{GAME_NAME_BYTES_MAX, INTEGER_MAX, REWARD_RULES_MAX};
use serde::{Deserialize, Serialize};

use crate::boards::{BoardRules, Definitions};
use crate::items::Catalogue;
use crate::points::PointsData;
use crate::rewards::{Days, RewardsData};

/// Most bytes of a name in the file: of a board, an item or a reward.
pub const NAME_BYTES_MAX: usize = GAME_NAME_BYTES_MAX;

/// Most leaderboards and most items in the file.
pub const NAMED_MAX: usize = 1_000;

/// What a game's team writes about its game. Names are what clients and game servers call things by: 1 to [`NAME_BYTES_MAX`] lower-case
/// letters, digits, `_` and `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GameData {
    /// Leaderboards.
    pub boards: BTreeMap<String, BoardRules>,
    /// Points.
    pub points: PointsData,
    /// Items.
    pub items: Catalogue,
    /// Rewards.
    pub rewards: RewardsData,
}

/// A game's data, checked, with what follows from it.
#[derive(Clone, Debug)]
pub struct Game {
    /// The data.
    pub data: GameData,
    /// The days of rewards.
    pub days: Days,
    /// The leaderboards.
    pub boards: Arc<Definitions>,
}

impl Game {
    /// The game of this data.
    ///
    /// # Errors
    /// Everything that can't be followed, each with its place.
    pub fn of(data: GameData) -> Result<Self, Vec<GameDataError>> {
        let mistakes = data.mistakes();
        match (Days::of(&data.rewards.zone), Definitions::new(&data.boards)) {
            (Some(days), Ok(boards)) if mistakes.is_empty() => Ok(Self {
                data,
                days,
                boards: Arc::new(boards),
            }),
            _ => Err(mistakes),
        }
    }
}

impl Default for Game {
    fn default() -> Self {
        Self::of(GameData::default()).expect("a game without anything can be followed")
    }
}

/// What is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {mistake}")]
pub struct GameDataError {
    /// Where, such as `boards.weekly.reset.at`.
    pub place: String,
    /// What.
    pub mistake: String,
}

impl GameDataError {
    fn new(place: impl Into<String>, mistake: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            mistake: mistake.into(),
        }
    }
}

impl GameData {
    /// Everything that can't be followed, each with its place.
    fn mistakes(&self) -> Vec<GameDataError> {
        let mut mistakes = Vec::new();
        check_names("boards", self.boards.keys(), NAMED_MAX, &mut mistakes);
        for (name, rules) in &self.boards {
            if let Err(error) = rules.check() {
                let place = format!("boards.{name}.{}", error.field);
                mistakes.push(GameDataError::new(place, error.mistake.to_string()));
            }
        }
        if let Some((field, mistake)) = self.points.gifts.mistake() {
            let place = format!("points.gifts.{field}");
            mistakes.push(GameDataError::new(place, mistake));
        }
        check_names("items", self.items.keys(), NAMED_MAX, &mut mistakes);
        for (name, item) in &self.items {
            if let Some((field, mistake)) = item.mistake() {
                let place = format!("items.{name}.{field}");
                mistakes.push(GameDataError::new(place, mistake));
            }
        }
        self.check_rewards(&mut mistakes);
        mistakes
    }

    fn check_rewards(&self, mistakes: &mut Vec<GameDataError>) {
        let rewards = &self.rewards;
        let names = rewards.rules.keys();
        check_names("rewards.rules", names, REWARD_RULES_MAX, mistakes);
        if Days::of(&rewards.zone).is_none() {
            let mistake = format!("{:?} is no time zone such as Asia/Seoul", rewards.zone);
            mistakes.push(GameDataError::new("rewards.zone", mistake));
        }
        if rewards
            .points_per_day
            .is_some_and(|most| most > INTEGER_MAX)
        {
            let mistake = format!("a whole number up to {INTEGER_MAX}");
            mistakes.push(GameDataError::new("rewards.points_per_day", mistake));
        }
        for (name, rule) in &rewards.rules {
            let unknown = |field: &'static str, is_known: bool, what: &str| {
                (!is_known).then(|| (field, format!("there is no such {what}")))
            };
            let item = rule.item.as_ref();
            let item = item.and_then(|item| {
                unknown("item", self.items.contains_key(item), "item among [items]")
            });
            let board = rule.places();
            let board = board.and_then(|places| {
                let is_known = self.boards.contains_key(&places.board);
                unknown("on.places.board", is_known, "board among [boards]")
            });
            let untold = rule.places().and_then(|places| {
                let told = self.boards.get(&places.board)?.places_told;
                let mistake = format!("the board tells only {told} places: see places_told");
                (places.to > told).then_some(("on.places.to", mistake))
            });
            let misnamed = rule.game.as_deref().filter(|game| !is_name(game));
            let misnamed = misnamed.map(|_| ("game", A_NAME.to_owned()));
            let wrong = rule.mistake().into_iter();
            for (field, mistake) in wrong.chain(misnamed).chain(item).chain(board).chain(untold) {
                let place = format!("rewards.rules.{name}.{field}");
                mistakes.push(GameDataError::new(place, mistake));
            }
        }
    }
}

fn check_names<'a>(
    section: &str,
    names: impl ExactSizeIterator<Item = &'a String>,
    max: usize,
    mistakes: &mut Vec<GameDataError>,
) {
    if names.len() > max {
        let mistake = format!("{} are more than {max}", names.len());
        mistakes.push(GameDataError::new(section, &mistake));
    }
    for name in names.filter(|name| !is_name(name)) {
        mistakes.push(GameDataError::new(format!("{section}.{name}"), A_NAME));
    }
}

const A_NAME: &str = "a name is 1 to 32 lower-case letters (a-z), digits, _ and -";

const _: () = assert!(NAME_BYTES_MAX == 32);

/// Whether this can be a name.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let data: GameData = toml::from_str(text).expect("game data");
        data.mistakes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_empty_file_is_a_game_without_boards() {
        assert_eq!(mistakes(""), [""; 0]);
    }

    #[test]
    fn names_are_short_and_plain() {
        let text = format!(
            "[boards.ok-1_a]\noperator = 'sum'\n[boards.Big]\noperator = 'sum'\n[boards.{}]\noperator = 'sum'",
            "x".repeat(NAME_BYTES_MAX + 1)
        );
        let found = mistakes(&text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("boards.Big: a name is"), "{found:?}");
    }

    #[test]
    fn a_mistake_names_its_place() {
        let text = "[boards.daily]\noperator = 'best'\nreset = { every = 'day', at = '25:00', zone = 'Asia/Seoul' }";
        let found = mistakes(text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("boards.daily.reset.at: "), "{found:?}");
    }

    #[test]
    fn gifts_have_a_least_amount_that_can_be_given() {
        for least in [0, INTEGER_MAX + 1] {
            let found = mistakes(&format!("[points.gifts]\nleast = {least}"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("points.gifts.least: "), "{found:?}");
        }
        assert_eq!(
            mistakes("[points.gifts]\nenabled = false\nleast = 1"),
            [""; 0]
        );
        assert!(toml::from_str::<GameData>("[points.gifts]\nmost = 1").is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(toml::from_str::<GameData>("[bards.daily]\noperator = 'best'").is_err());
    }
}
