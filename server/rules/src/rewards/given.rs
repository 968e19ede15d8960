//! What is given for a game played, and for a place on a leaderboard.

use std::collections::BTreeMap;

use pitturu_protocol::types::items::ItemReason;
use pitturu_protocol::types::rewards::{PlayOutcome, Reward};
use serde::{Deserialize, Serialize};

use super::data::{Days, RewardsData, Rule, Trigger};
use crate::items::{Catalogue, Inventory, ItemChanged, ItemsCommit, ItemsEffects};
use crate::points::wallet::About;
use crate::points::{Flow, PointsCommit, PointsEffects, Wallet};

/// What is kept of a player's rewards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardsRow {
    /// The last day on which the player played.
    #[serde(rename = "d")]
    pub day: u64,
    /// Days in a row up to that one; 0 if the player has never played.
    #[serde(rename = "s")]
    pub streak: u32,
    /// Points that rules gave on that day.
    #[serde(rename = "p", default)]
    pub points: u64,
    /// How often rules gave on that day, by their names.
    #[serde(rename = "r", default)]
    pub given: BTreeMap<String, u32>,
}

/// A game that was played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Play {
    /// Which game.
    pub game: String,
    /// How it came out.
    pub outcome: PlayOutcome,
}

/// What a player has, all of which one commit changes.
#[derive(Debug)]
pub struct Given<'a> {
    /// What rules there are.
    pub data: &'a RewardsData,
    /// What items there are.
    pub catalogue: &'a Catalogue,
    /// The player's points.
    pub wallet: &'a mut Wallet,
    /// Their items.
    pub inventory: &'a mut Inventory,
    /// What changes of points.
    pub points: &'a mut PointsEffects,
    /// What changes of items.
    pub items: &'a mut ItemsEffects,
}

impl Given<'_> {
    /// Gives what there is for a game played. A clock that was set back adds to the last day.
    pub fn play(
        &mut self,
        row: &mut RewardsRow,
        days: &Days,
        commit: &ItemsCommit<'_>,
        play: &Play,
    ) -> Vec<Reward> {
        let is_first = row.begin(days.at(commit.at).number);
        let mut rewards = Vec::new();
        for (name, rule) in &self.data.rules {
            let times = row.given.get(name).copied().unwrap_or(0);
            // Of one game it may not be the first of the day, but the first that this rule is about.
            let is_first = is_first || (rule.game.is_some() && times == 0);
            let is_met = match rule.on {
                Trigger::FirstPlay => is_first,
                Trigger::Play => true,
                Trigger::Win => play.outcome == PlayOutcome::Won,
                Trigger::Streak(days) => is_first && row.streak.is_multiple_of(days.max(1)),
                Trigger::Places(_) => false,
            };
            let is_open = rule.per_day.is_none_or(|most| times < most);
            let is_of_game = rule.game.as_ref().is_none_or(|game| *game == play.game);
            if !(is_met && is_open && is_of_game) {
                continue;
            }
            let left = self.data.points_per_day;
            let left = left.map_or(u64::MAX, |most| most.saturating_sub(row.points));
            let points = rule.points.min(left);
            if let Some(reward) = self.give(commit, (name, rule), points, &play.game) {
                row.points += reward.points;
                row.given.insert(name.clone(), times + 1);
                rewards.push(reward);
            }
        }
        rewards
    }

    /// Gives what there is for a place on a board.
    pub fn place(
        &mut self,
        commit: &ItemsCommit<'_>,
        board: &str,
        season: u64,
        rank: u32,
    ) -> Vec<Reward> {
        let rules = self.data.rules.iter();
        let met = rules.filter(|(_, rule)| {
            let places = rule.places();
            places.is_some_and(|it| it.board == board && (it.from..=it.to).contains(&rank))
        });
        let note = format!("{board}, season {season}: place {rank}");
        let mut rewards = Vec::new();
        for (name, rule) in met {
            rewards.extend(self.give(commit, (name, rule), rule.points, &note));
        }
        rewards
    }

    /// Gives the points, if books can count them, and the item, if the player can own more. Nothing if neither is so.
    fn give(
        &mut self,
        commit: &ItemsCommit<'_>,
        (name, rule): (&str, &Rule),
        points: u64,
        note: &str,
    ) -> Option<Reward> {
        let points_commit = PointsCommit {
            id: commit.id,
            by: commit.by,
            at: commit.at,
        };
        let about = About {
            reference: Some(name),
            note: Some(note),
        };
        let moved = self
            .wallet
            .flow(&points_commit, (Flow::Reward, points), about, self.points);
        let item = rule.item.as_deref();
        let item = item.and_then(|item| Some((item, self.catalogue.get(item)?)));
        let owned = item.filter(|item| {
            let why = ItemChanged {
                note: Some(name),
                ..ItemChanged::by(ItemReason::Rewarded)
            };
            self.inventory
                .give(commit, *item, rule.count(), why, self.items)
                .is_ok()
        });
        if moved.is_err() && owned.is_none() {
            return None;
        }
        Some(Reward {
            rule: name.to_owned(),
            points: moved.map_or(0, |movement| movement.amount),
            item: owned.map(|(item, _)| item.to_owned()),
            count: owned.map_or(0, |_| rule.count()),
        })
    }
}

impl RewardsRow {
    /// Begins a day, unless it has begun. Whether this is the first game on it.
    fn begin(&mut self, day: u64) -> bool {
        if self.streak > 0 && day <= self.day {
            return false;
        }
        let follows = self.streak > 0 && day == self.day + 1;
        *self = Self {
            day,
            streak: if follows {
                self.streak.saturating_add(1)
            } else {
                1
            },
            ..Self::default()
        };
        true
    }

    /// What is so on this day: what was kept of an earlier one is over, but a streak that yesterday has carried on.
    pub fn on(&self, day: u64) -> Self {
        match self.streak {
            0 => Self::default(),
            _ if day <= self.day => self.clone(),
            streak if day == self.day + 1 => Self {
                day: self.day,
                streak,
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}
