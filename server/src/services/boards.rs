//! Leaderboards: who is where, and scores from game servers.
//!
//! - `submission`: in which season a score counts; `known` are the seasons where a key may have served before, `attempts` has those under one key wait
//!   for each other;
//! - [`following`]: connections that hear of changes; [`closing`]: the end of seasons.

mod attempts;
pub mod closing;
pub mod following;
mod known;
mod submission;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::PLACES_MAX;
use pitturu_protocol::types::boards::BoardStanding;
use pitturu_protocol::types::boards::{
    BoardDirection, BoardInfo, BoardOperator, BoardSeason, BoardSeasons, Boards, FollowBoard,
    GetScore, ListBoards, ListFriendScores, ListPlaces, ListScoresAround, ListSeasons,
    ListTopScores, Places, PlayerPlace, PlayerScore, ScoreEntry, Scores, UnfollowBoard,
};
use pitturu_protocol::types::system::Done;
use pitturu_rules::boards::{
    Definition, Definitions, Direction, ListedSeason, Operator, Percentile, SeasonOf,
};
use pitturu_rules::pages::{Page, page_items};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::attempts::Attempts;
use self::following::{Following, Unanswered};
use self::known::KnownSeasons;
use super::friends::FriendService;
use super::players_access::PlayersAccess;
use crate::boards::BoardOwners;
use crate::boards::command::{Ask, Look, Seen, Wish};
use crate::boards::store::{BoardStore, position};
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::connections::connection::Connection;

/// Looks at seasons that are over which go on at the same time: each may have its season loaded.
const PAST_LOOKS_MAX: usize = 2;

/// Looks at seasons that are over which wait for others. Beyond it, they are refused as overloaded.
const PAST_WAITING_MAX: usize = 64;

/// Seasons that are asked at the same time for one page.
const ASKED_AT_ONCE: usize = 8;

/// Rows of a player's places that one page looks through.
const PLACES_LOOKED_THROUGH_MAX: usize = 500;

/// Places of a page, unless the caller says otherwise.
const PLACES_DEFAULT: u32 = 20;

/// Scores on either side, unless the caller says otherwise.
const AROUND_DEFAULT: u32 = 5;

/// What leaderboards rest on.
#[derive(Clone)]
pub struct Parts {
    /// The game's leaderboards.
    pub definitions: Arc<Definitions>,
    /// What is stored of them.
    pub store: BoardStore,
    /// Who owns seasons.
    pub owners: BoardOwners,
    /// Players, and who may do something about others.
    pub players: PlayersAccess,
    /// Who is whose friend.
    pub friends: Arc<FriendService>,
    /// Who follows.
    pub following: Arc<Following>,
    /// For how long results under keys are kept at most, in milliseconds.
    pub keys_kept_ms: u64,
}

/// The calls of [`pitturu_protocol::types::boards`].
pub struct BoardService {
    parts: Parts,
    known: KnownSeasons,
    attempts: Attempts,
    past_looks: Semaphore,
    past_waiting: Semaphore,
}

impl BoardService {
    /// Leaderboards of these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            known: KnownSeasons::new(parts.store.clone(), Arc::clone(&parts.definitions)),
            attempts: Attempts::default(),
            past_looks: Semaphore::new(PAST_LOOKS_MAX),
            past_waiting: Semaphore::new(PAST_LOOKS_MAX + PAST_WAITING_MAX),
            parts,
        }
    }

    /// What they rest on.
    pub const fn parts(&self) -> &Parts {
        &self.parts
    }

    /// [`ListBoards`].
    pub async fn list_boards(&self, caller: &Caller, request: ListBoards) -> Result<Boards, Fault> {
        let limit = page_items(request.limit)?;
        let boards = self.parts.definitions.after(request.after.as_deref());
        let boards = boards.take(limit + 1);
        let infos = boards.map(|(name, it)| self.info(caller, name.to_owned(), it));
        let infos = few_at_once(infos.collect()).await?;
        let (boards, more) = Page::of(limit, infos).into_parts();
        Ok(Boards { boards, more })
    }

    async fn info(
        &self,
        caller: &Caller,
        board: String,
        definition: &Definition,
    ) -> Result<BoardInfo, Fault> {
        let of = self.season(caller, &board, None).await?;
        let (season, seen) = self.look(caller, &of, Look::Top(0, 0)).await?;
        let rules = &definition.rules;
        Ok(BoardInfo {
            board,
            operator: match seen.operator {
                Operator::Best => BoardOperator::Best,
                Operator::Latest => BoardOperator::Latest,
                Operator::Sum => BoardOperator::Sum,
            },
            direction: match seen.direction {
                Direction::Higher => BoardDirection::Higher,
                Direction::Lower => BoardDirection::Lower,
            },
            entries_max: rules.entries_max,
            places_told: rules.places_told,
            season,
        })
    }

    /// [`ListTopScores`].
    pub async fn top(&self, caller: &Caller, request: ListTopScores) -> Result<Scores, Fault> {
        let limit = page_items(request.limit)?;
        let of = self.season(caller, &request.board, request.season).await?;
        let offset = request.offset.unwrap_or(0);
        let look = Look::Top(offset, u32::try_from(limit).unwrap_or(u32::MAX));
        let (season, seen) = self.look(caller, &of, look).await?;
        let behind = season.count.saturating_sub(offset) as usize;
        self.scores(&season, seen.entries, limit, behind).await
    }

    /// [`ListScoresAround`].
    pub async fn around(
        &self,
        caller: &Caller,
        request: ListScoresAround,
    ) -> Result<Scores, Fault> {
        let user = request.user.map_or_else(|| caller.user(), Ok)?;
        let of = self.season(caller, &request.board, request.season).await?;
        let before = request.before.unwrap_or(AROUND_DEFAULT);
        let after = request.after.unwrap_or(AROUND_DEFAULT);
        let (season, seen) = self
            .look(caller, &of, Look::Around(user, before, after))
            .await?;
        if seen.entries.is_empty() {
            return Err(Fault::of(Code::NotFound));
        }
        let all = seen.entries.len();
        self.scores(&season, seen.entries, all, all).await
    }

    /// [`ListFriendScores`].
    pub async fn of_friends(
        &self,
        caller: &Caller,
        request: ListFriendScores,
    ) -> Result<Scores, Fault> {
        let user = caller.user()?;
        let limit = page_items(request.limit)?;
        let of = self.season(caller, &request.board, request.season).await?;
        let mut users = self.parts.friends.friends_of(user).await?;
        users.push(user);
        let (season, seen) = self.look(caller, &of, Look::Among(users)).await?;
        let offset = request.offset.unwrap_or(0) as usize;
        let mut entries = seen.entries;
        entries.drain(..offset.min(entries.len()));
        let all = entries.len();
        self.scores(&season, entries, limit, all).await
    }

    /// [`GetScore`].
    pub async fn score(&self, caller: &Caller, request: GetScore) -> Result<PlayerScore, Fault> {
        let user = request.user.map_or_else(|| caller.user(), Ok)?;
        let of = self.season(caller, &request.board, request.season).await?;
        let (season, seen) = self.look(caller, &of, Look::Among(vec![user])).await?;
        let mut entries = self.named(seen.entries).await?;
        let entry = entries.pop().ok_or_else(|| Fault::of(Code::NotFound))?;
        let mut by = None;
        if self.parts.players.is_told_who(caller).await? {
            let row = self.parts.store.score(of.id(), user).await?;
            by = row.and_then(|row| row.by);
        }
        let percentile = Percentile {
            behind: season.count.saturating_sub(entry.rank),
            count: season.count,
        };
        Ok(PlayerScore {
            season: season.number,
            entry,
            percentile: percentile.hundredths().into(),
            count: season.count,
            by,
        })
    }

    /// [`ListPlaces`].
    pub async fn places(&self, caller: &Caller, request: ListPlaces) -> Result<Places, Fault> {
        let user = request.user.map_or_else(|| caller.user(), Ok)?;
        let limit = request.limit.unwrap_or(PLACES_DEFAULT);
        if !(1..=PLACES_MAX).contains(&limit) {
            let range = format!("a page holds 1 to {PLACES_MAX} places");
            return Err(Fault::invalid("limit", range));
        }
        let with_ended = request.ended.unwrap_or(false);
        let after = request.after.as_deref();
        let rows = PLACES_LOOKED_THROUGH_MAX;
        let found = self.parts.store.places(user, after, rows).await?;
        let is_last = found.len() < rows;
        let (mut wanted, mut next) = (Vec::new(), None);
        let mut is_cut = false;
        for of in found {
            if wanted.len() == limit as usize {
                is_cut = true;
                break;
            }
            next = Some(position(&of));
            // A leaderboard that is no longer in the file is not shown.
            if self.parts.definitions.get(&of.board).is_none() {
                continue;
            }
            let running = self.season(caller, &of.board, None).await?;
            if with_ended || running.id() == of.id() {
                wanted.push(of);
            }
        }
        let places = wanted.into_iter().map(|of| self.place(caller, user, of));
        let places = few_at_once(places.collect()).await?;
        Ok(Places {
            places: places.into_iter().flatten().collect(),
            next: next.filter(|_| is_cut || !is_last),
        })
    }

    async fn place(
        &self,
        caller: &Caller,
        user: UserId,
        of: SeasonOf,
    ) -> Result<Option<PlayerPlace>, Fault> {
        let (season, seen) = self.look(caller, &of, Look::Among(vec![user])).await?;
        // A score may have been removed since the list was read.
        Ok(seen.entries.into_iter().next().map(|entry| PlayerPlace {
            board: of.board,
            season,
            rank: entry.rank,
            score: entry.score,
            at: entry.at,
        }))
    }

    /// [`ListSeasons`].
    pub async fn seasons(
        &self,
        caller: &Caller,
        request: ListSeasons,
    ) -> Result<BoardSeasons, Fault> {
        let limit = page_items(request.limit)?;
        let definitions = &self.parts.definitions;
        if definitions.get(&request.board).is_none() {
            return Err(Fault::of(Code::BoardNotFound));
        }
        let board = &request.board;
        let mut found = self
            .parts
            .store
            .seasons(board, request.before, limit + 1)
            .await?;
        let more = found.len() > limit;
        // Of other resets there may be another one under the same number, which no call can name.
        found.dedup_by(|later, kept| {
            let is_same = later.of.season.number == kept.of.season.number;
            if is_same && definitions.has(&later.of) {
                std::mem::swap(later, kept);
            }
            is_same
        });
        let seasons = found.into_iter().map(|listed| self.listed(caller, listed));
        let seasons = few_at_once(seasons.collect()).await?;
        let (seasons, is_cut) = Page::of(limit, seasons).into_parts();
        Ok(BoardSeasons {
            seasons,
            more: more || is_cut,
        })
    }

    async fn listed(&self, caller: &Caller, listed: ListedSeason) -> Result<BoardSeason, Fault> {
        if let Some(count) = listed.count {
            return Ok(shown(&listed.of, count, true));
        }
        let (season, _) = self.look(caller, &listed.of, Look::Top(0, 0)).await?;
        Ok(season)
    }

    /// [`FollowBoard`]. The connection hears of changes when what comes with the answer is dropped.
    pub async fn follow(
        &self,
        caller: &Caller,
        connection: &Arc<Connection>,
        request: FollowBoard,
    ) -> Result<(BoardStanding, Unanswered), Fault> {
        let user = caller.user()?;
        if self.parts.definitions.get(&request.board).is_none() {
            return Err(Fault::of(Code::BoardNotFound));
        }
        // Before it looks: what changes meanwhile is told.
        let unanswered = self.parts.following.add(&request.board, connection, user)?;
        match self.standing(caller, &request.board, user).await {
            Ok(standing) => Ok((standing, unanswered)),
            Err(fault) => {
                if unanswered.is_new {
                    self.parts.following.remove(&request.board, connection.id);
                }
                Err(fault)
            }
        }
    }

    async fn standing(
        &self,
        caller: &Caller,
        board: &str,
        user: UserId,
    ) -> Result<BoardStanding, Fault> {
        let of = self.season(caller, board, None).await?;
        let (season, seen) = self.look(caller, &of, Look::Glance(vec![user])).await?;
        let top = self.named(seen.entries).await?;
        let own = self.named(seen.own).await?.pop();
        Ok(BoardStanding {
            board: board.to_owned(),
            season: season.number,
            count: season.count,
            top,
            own,
        })
    }

    /// [`UnfollowBoard`].
    pub fn unfollow(
        &self,
        connection: &Connection,
        request: &UnfollowBoard,
    ) -> Result<Done, Fault> {
        self.parts.following.remove(&request.board, connection.id);
        Ok(Done {})
    }

    /// The running season of a leaderboard, or the one with this number.
    async fn season(
        &self,
        caller: &Caller,
        board: &str,
        number: Option<u64>,
    ) -> Result<SeasonOf, Fault> {
        let running = self.known.running(board, caller.now).await?;
        let Some(number) = number.filter(|number| *number != running.season.number) else {
            return Ok(running);
        };
        let listed = self.parts.store.numbered(board, number).await?;
        let seasons = listed.into_iter().map(|listed| listed.of);
        let of_now = |of: &SeasonOf| self.parts.definitions.has(of);
        let season = seasons.max_by_key(|of| (of_now(of), of.season.starts_at));
        season.ok_or_else(|| Fault::of(Code::BoardNotFound).of_field("season"))
    }

    /// Looks at a season. Few at a time look at such as are over.
    async fn look(
        &self,
        caller: &Caller,
        of: &SeasonOf,
        look: Look,
    ) -> Result<(BoardSeason, Seen), Fault> {
        let is_over = of.season.ends_at.is_some_and(|end| end <= caller.now);
        let _turn = if is_over {
            Some(self.past_turn().await?)
        } else {
            None
        };
        let wish = Wish::Look(look);
        let seen: Seen = self.parts.ask(of, wish, None, caller.now).await?;
        let season = BoardSeason {
            ends_at: seen.ends_at,
            ended: seen.is_closed || seen.ends_at.is_some_and(|end| end <= caller.now),
            ..shown(of, seen.count, false)
        };
        Ok((season, seen))
    }

    async fn past_turn(&self) -> Result<[SemaphorePermit<'_>; 2], Fault> {
        let overloaded = || Fault::of(Code::Overloaded).retry_after_ms(1_000);
        let waiting = self.past_waiting.try_acquire().map_err(|_| overloaded())?;
        let turn = self.past_looks.acquire().await.map_err(|_| overloaded())?;
        Ok([waiting, turn])
    }

    /// A page of these entries; `wanted` is how many were asked for and are there.
    async fn scores(
        &self,
        season: &BoardSeason,
        entries: Vec<ScoreEntry>,
        limit: usize,
        wanted: usize,
    ) -> Result<Scores, Fault> {
        let entries = self
            .named(entries.into_iter().take(limit).collect())
            .await?;
        let (entries, _) = Page::of(limit, entries).into_parts();
        Ok(Scores {
            season: season.number,
            count: season.count,
            more: entries.len() < wanted,
            entries,
        })
    }

    async fn named(&self, entries: Vec<ScoreEntry>) -> Result<Vec<ScoreEntry>, Fault> {
        self.parts.named(entries).await
    }
}

impl Parts {
    /// Asks a season something.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        of: &SeasonOf,
        wish: Wish,
        key: Option<(UserId, IdempotencyKey)>,
        now: u64,
    ) -> Result<T, Fault> {
        let ask = Ask {
            of: Arc::new(of.clone()),
            wish,
        };
        let answered = self.owners.ask_under(of.id(), ask, key, now).await?;
        codec::decode(&answered.body).map_err(|_| Fault::of(Code::Internal))
    }

    /// The same entries with the names of their players.
    async fn named(&self, mut entries: Vec<ScoreEntry>) -> Result<Vec<ScoreEntry>, Fault> {
        let users = entries.iter().map(|entry| entry.user).collect();
        let names: HashMap<UserId, Arc<str>> = self.players.store.display_names(users).await?;
        for entry in &mut entries {
            if let Some(name) = names.get(&entry.user) {
                entry.name = name.as_ref().to_owned();
            }
        }
        Ok(entries)
    }
}

/// What all of these come to, few at the same time, in their order.
async fn few_at_once<T>(
    asked: Vec<impl Future<Output = Result<T, Fault>>>,
) -> Result<Vec<T>, Fault> {
    let answers = stream::iter(asked).buffered(ASKED_AT_ONCE);
    answers.try_collect().await
}

/// A season as clients see it.
fn shown(of: &SeasonOf, count: u32, ended: bool) -> BoardSeason {
    BoardSeason {
        number: of.season.number,
        starts_at: of.season.starts_at,
        ends_at: of.season.ends_at,
        count,
        ended,
    }
}

#[cfg(test)]
mod tests;
