//! Items, and what rules give.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::items::ItemReason;
use pitturu_protocol::types::rewards::PlayRecorded;
use pitturu_rules::boards::Placement;
use pitturu_rules::items::inventory::ItemChanged;
use pitturu_rules::items::orders::Purchase;
use pitturu_rules::items::{ItemRefusal, ItemsCommit, ItemsSignal};
use pitturu_rules::rewards::{Given, Play};
use pitturu_store::clock::now_ms;

use super::super::command::{ItemsAsk, ItemsWish};
use super::{Effects, Player, encoded};

impl Player {
    pub(super) fn change_items(
        &mut self,
        ask: &ItemsAsk,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        if self.account.row().is_none() {
            return Err(Fault::of(Code::NotFound));
        }
        let commit = &ItemsCommit {
            id: ask.id.as_deref(),
            by: ask.by,
            at: now,
        };
        let note = ask.note.as_deref();
        let why = |reason| ItemChanged {
            note,
            ..ItemChanged::by(reason)
        };
        let catalogue = &self.game.data.items;
        let item = |name: &str| catalogue.get(name).ok_or(ItemRefusal::NoItem);
        let (inventory, items) = (&mut self.inventory, &mut effects.items);
        Ok(match &ask.wish {
            ItemsWish::Buy { item, count, price } => {
                let purchase = Purchase {
                    item,
                    count: *count,
                    price: *price,
                };
                let both = (items, &mut effects.points);
                let wallet = &mut self.wallet;
                encoded(&inventory.buy(wallet, commit, purchase, catalogue, both)?)
            }
            ItemsWish::Use { item: name, count } => {
                let item = (name.as_str(), item(name)?);
                encoded(&inventory.use_up(commit, item, *count, items)?)
            }
            ItemsWish::Give { item: name, count } => {
                let item = (name.as_str(), item(name)?);
                let why = why(ItemReason::Granted);
                encoded(&inventory.give(commit, item, *count, why, items)?)
            }
            ItemsWish::Take { item: name, count } => {
                let item = (name.as_str(), catalogue.get(name));
                let why = why(ItemReason::Taken);
                encoded(&inventory.take(commit, item, *count, why, items)?)
            }
            ItemsWish::Played(play) => {
                // What gives nothing is kept as well: on another day a repetition would be given something.
                effects.is_committed_anyway = true;
                encoded(&self.play(commit, play, effects))
            }
        })
    }

    /// Gives what there is for a game played.
    fn play(
        &mut self,
        commit: &ItemsCommit<'_>,
        play: &Play,
        effects: &mut Effects,
    ) -> PlayRecorded {
        let game = Arc::clone(&self.game);
        let mut row = self.rewards.clone();
        let rewards = self.given(effects).play(&mut row, &game.days, commit, play);
        let streak = row.streak;
        if row != self.rewards {
            self.rewards = row;
            effects.rewards = Some(self.rewards.clone());
        }
        PlayRecorded { streak, rewards }
    }

    /// A match tells that the player has played it.
    pub(super) fn take_play(&mut self, play: &Play, at: u64, effects: &mut Effects) {
        if self.account.row().is_some() {
            let commit = ItemsCommit {
                at,
                ..ItemsCommit::default()
            };
            self.play(&commit, play, effects);
        }
    }

    /// A leaderboard tells at which place the player was when its season ended: what there is for it is given, and the player finds the place
    /// in the inbox.
    pub(super) fn take_place(&mut self, place: &Placement, effects: &mut Effects) {
        let commit = ItemsCommit {
            at: now_ms(),
            ..ItemsCommit::default()
        };
        let rewards = match self.account.row() {
            Some(_) => self
                .given(effects)
                .place(&commit, &place.board, place.season, place.rank),
            // Whoever has no account has no wallet either.
            None => Vec::new(),
        };
        let entry = InboxEntry::SeasonPlaced {
            board: place.board.clone(),
            season: place.season,
            rank: place.rank,
            count: place.count,
            score: place.score,
            points: rewards.iter().map(|reward| reward.points).sum(),
        };
        self.take_entry(entry, place.ended_at, effects);
    }

    /// What rules give from, and to.
    fn given<'a>(&'a mut self, effects: &'a mut Effects) -> Given<'a> {
        Given {
            data: &self.game.data.rewards,
            catalogue: &self.game.data.items,
            wallet: &mut self.wallet,
            inventory: &mut self.inventory,
            points: &mut effects.points,
            items: &mut effects.items,
        }
    }

    /// A stock tells what came of an order.
    pub(super) fn settle_order(&mut self, signal: ItemsSignal, at: u64, effects: &mut Effects) {
        let both = (&mut effects.items, &mut effects.points);
        let catalogue = &self.game.data.items;
        self.inventory
            .settle(&mut self.wallet, signal, at, catalogue, both);
    }
}
