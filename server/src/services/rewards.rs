//! Rewards: games that servers of the game have seen played, and what the rules have for a player.

use std::sync::Arc;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::limits::TIME_MS_MAX;
use pitturu_protocol::types::rewards::{GetRewards, PlayRecorded, RecordPlay, Rewards};
use pitturu_rules::game_data::{Game, NAME_BYTES_MAX, is_name};
use pitturu_rules::rewards::Play;

use crate::connections::caller::Caller;
use crate::players::command::{Ask, ItemsAsk, ItemsWish};
use crate::services::players_access::PlayersAccess;

/// The calls of [`pitturu_protocol::types::rewards`].
pub struct RewardsService {
    players: PlayersAccess,
    game: Arc<Game>,
}

impl RewardsService {
    /// Rewards of these players.
    pub const fn new(players: PlayersAccess, game: Arc<Game>) -> Self {
        Self { players, game }
    }

    /// [`RecordPlay`].
    pub async fn record_play(
        &self,
        caller: &Caller,
        request: RecordPlay,
    ) -> Result<PlayRecorded, Fault> {
        let by = self.players.staff.service(caller).await?.user;
        let RecordPlay {
            user,
            game,
            outcome,
        } = request;
        if !is_name(&game) {
            let rule = format!("1 to {NAME_BYTES_MAX} lower-case letters (a-z), digits, _ and -");
            return Err(Fault::invalid("game", rule));
        }
        let ask = Ask::Items(Box::new(ItemsAsk {
            wish: ItemsWish::Played(Play { game, outcome }),
            id: caller.key.as_ref().map(|key| key.key.to_string()),
            by: Some(by),
            note: None,
        }));
        self.players.decide(caller, user, ask).await
    }

    /// [`GetRewards`].
    pub async fn get_rewards(
        &self,
        caller: &Caller,
        request: GetRewards,
    ) -> Result<Rewards, Fault> {
        let user = self.players.whose(caller, request.user).await?;
        let (_, row) = self.players.store.items_head(user).await?;
        let day = self.game.days.at(caller.now);
        let row = row.on(day.number);
        let data = &self.game.data.rewards;
        let rules = data.rules.iter().map(|(name, rule)| {
            let today = row.given.get(name).copied().unwrap_or(0);
            rule.shown(name, today)
        });
        Ok(Rewards {
            streak: row.streak,
            has_played: row.streak > 0 && row.day >= day.number,
            points: row.points,
            points_max: data.points_per_day,
            day_ends_at: day.ends_at.unwrap_or(TIME_MS_MAX),
            rules: rules.collect(),
        })
    }
}
