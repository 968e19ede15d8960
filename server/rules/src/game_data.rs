//! What a game's team writes about its game, in one file.
//!
//! ```toml
//! [boards.weekly]
//! operator = "best"
//! reset = { every = "week", day = "monday", at = "00:00", zone = "Asia/Seoul" }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::boards::BoardRules;

/// Most bytes of a name in the file: of a board, an item or a reward.
pub const NAME_BYTES_MAX: usize = 32;

/// Most of each kind in the file.
pub const NAMED_MAX: usize = 1_000;

/// What a game's team writes about its game. Names are what clients and game servers call things by: 1 to [`NAME_BYTES_MAX`] lower-case
/// letters, digits, `_` and `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GameData {
    /// Leaderboards.
    pub boards: BTreeMap<String, BoardRules>,
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
    fn new(place: impl Into<String>, mistake: impl ToString) -> Self {
        Self {
            place: place.into(),
            mistake: mistake.to_string(),
        }
    }
}

impl GameData {
    /// Everything that can't be followed, each with its place.
    pub fn mistakes(&self) -> Vec<GameDataError> {
        let mut mistakes = Vec::new();
        check_names("boards", self.boards.keys(), &mut mistakes);
        for (name, rules) in &self.boards {
            if let Err(error) = rules.check() {
                let place = format!("boards.{name}.{}", error.field);
                mistakes.push(GameDataError::new(place, error.mistake));
            }
        }
        mistakes
    }
}

fn check_names<'a>(
    section: &str,
    names: impl ExactSizeIterator<Item = &'a String>,
    mistakes: &mut Vec<GameDataError>,
) {
    if names.len() > NAMED_MAX {
        let mistake = format!("{} are more than {NAMED_MAX}", names.len());
        mistakes.push(GameDataError::new(section, mistake));
    }
    for name in names.filter(|name| !is_name(name)) {
        let mistake =
            format!("a name is 1 to {NAME_BYTES_MAX} lower-case letters (a-z), digits, _ and -");
        mistakes.push(GameDataError::new(format!("{section}.{name}"), mistake));
    }
}

fn is_name(name: &str) -> bool {
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
    fn what_is_not_known_is_refused() {
        assert!(toml::from_str::<GameData>("[bards.daily]\noperator = 'best'").is_err());
    }
}
