//! What the game's team writes about rewards.

use std::collections::BTreeMap;

use pitturu_protocol::limits::{INTEGER_MAX, ITEM_COUNT_MAX};
use pitturu_protocol::types::rewards::{RewardPlaces, RewardRule, RewardTrigger};
use serde::{Deserialize, Serialize};

use crate::boards::{Reset, Season, Seasons};

/// Most days of a streak, and most that one rule gives on a day.
const TIMES_MAX: u32 = 100_000;

/// What players get for what they do.
///
/// ```toml
/// [rewards]
/// zone = "Asia/Seoul"
/// points_per_day = 500
///
/// [rewards.rules.first_play]
/// on = "first_play"
/// points = 20
///
/// [rewards.rules.champion]
/// on = { places = { board = "weekly", from = 1, to = 1 } }
/// points = 1000
/// item = "crown"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardsData {
    /// Whose midnight begins a day: a name of the time-zone database.
    pub zone: String,
    /// Most points that rules give one player on one day; absent if there is no bound. What places give is not counted.
    pub points_per_day: Option<u64>,
    /// The rules, by their names.
    pub rules: BTreeMap<String, Rule>,
}

impl Default for RewardsData {
    fn default() -> Self {
        Self {
            zone: "UTC".to_owned(),
            points_per_day: None,
            rules: BTreeMap::new(),
        }
    }
}

/// What a rule gives for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The first game played on a day.
    FirstPlay,
    /// A game played.
    Play,
    /// A game won.
    Win,
    /// The first game on the last of so many days in a row, and of so many more.
    Streak(u32),
    /// One of these places when a season of a board ends.
    Places(Places),
}

/// Places of a leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// The leaderboard.
    pub board: String,
    /// The first place.
    pub from: u32,
    /// The last one.
    pub to: u32,
}

impl Trigger {
    /// As clients see it.
    const fn shown(&self) -> RewardTrigger {
        match self {
            Self::FirstPlay => RewardTrigger::FirstPlay,
            Self::Play => RewardTrigger::Play,
            Self::Win => RewardTrigger::Win,
            Self::Streak(_) => RewardTrigger::Streak,
            Self::Places(_) => RewardTrigger::Places,
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it gives for.
    pub on: Trigger,
    /// Only in this game.
    #[serde(default)]
    pub game: Option<String>,
    /// How many points.
    #[serde(default)]
    pub points: u64,
    /// Which item.
    #[serde(default)]
    pub item: Option<String>,
    /// How many of the item; 1 when absent.
    #[serde(default)]
    pub count: Option<u64>,
    /// How often one player gets it on one day; absent if there is no bound.
    #[serde(default)]
    pub per_day: Option<u32>,
}

impl Rule {
    /// How many of its item it gives.
    pub fn count(&self) -> u64 {
        self.item.as_ref().map_or(0, |_| self.count.unwrap_or(1))
    }

    /// The places that it gives for.
    pub const fn places(&self) -> Option<&Places> {
        match &self.on {
            Trigger::Places(places) => Some(places),
            _ => None,
        }
    }

    /// As clients see it, given so often today.
    pub fn shown(&self, name: &str, today: u32) -> RewardRule {
        RewardRule {
            rule: name.to_owned(),
            on: self.on.shown(),
            days: match self.on {
                Trigger::Streak(days) => Some(days),
                _ => None,
            },
            places: self.places().map(|places| RewardPlaces {
                board: places.board.clone(),
                from: places.from,
                to: places.to,
            }),
            game: self.game.clone(),
            points: self.points,
            item: self.item.clone(),
            count: self.count(),
            per_day: self.per_day,
            today,
        }
    }

    /// A field that can't be followed, and what is wrong with it.
    pub fn mistake(&self) -> Option<(&'static str, String)> {
        let range = |field, value: Option<u64>, least: u64, most: u64| {
            let is_out = value.is_some_and(|value| !(least..=most).contains(&value));
            is_out.then(|| (field, format!("a whole number from {least} to {most}")))
        };
        let times = u64::from(TIMES_MAX);
        let wrong = match &self.on {
            Trigger::Streak(days) => range("on.streak", Some((*days).into()), 2, times),
            Trigger::Places(Places { from, to, .. }) if *from < 1 || to < from => Some((
                "on.places",
                "from the first place, 1 or more, to the last".to_owned(),
            )),
            Trigger::Places(_) if self.game.is_some() || self.per_day.is_some() => {
                let mistake = "places are of no game, and of no day: leave out game and per_day";
                Some(("on.places", mistake.to_owned()))
            }
            _ => None,
        };
        let nothing = self.points == 0 && self.item.is_none();
        wrong
            .or_else(|| range("points", Some(self.points), 0, INTEGER_MAX))
            .or_else(|| range("count", self.count, 1, ITEM_COUNT_MAX))
            .or_else(|| range("per_day", self.per_day.map(u64::from), 1, times))
            .or_else(|| {
                nothing.then(|| ("points", "it gives neither points nor an item".to_owned()))
            })
            .or_else(|| {
                let is_left_over = self.count.is_some() && self.item.is_none();
                is_left_over.then(|| ("count", "there is no item".to_owned()))
            })
    }
}

/// The days of a time zone.
#[derive(Clone, Debug)]
pub struct Days(Seasons);

impl Days {
    /// Those of this zone; none if there is no such zone.
    pub fn of(zone: &str) -> Option<Self> {
        let reset = Reset::Day {
            at: "00:00".to_owned(),
            zone: zone.to_owned(),
        };
        Seasons::new(&reset).ok().map(Self)
    }

    /// The day with this instant, in milliseconds since 1970. Days that follow each other have numbers that do.
    pub fn at(&self, instant: u64) -> Season {
        self.0.at(instant)
    }

    /// The day that comes so many days after the one with this instant.
    #[cfg(test)]
    pub(super) fn numbered_after(&self, instant: u64, days: u64) -> Season {
        let number = self.at(instant).number + days;
        self.0.numbered(number).expect("there is such a day")
    }
}
