//! How seasons are stored, and the lists that lead to them.
//!
//! An entity has one row of its season and one for each score; the board in memory is built of these.

#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::sync::Arc;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use pitturu_protocol::codec;
use pitturu_protocol::ids::{BoardId, ID_BYTES, ID_CHARS, UserId};
use pitturu_rules::boards::{
    Board, BoardLoader, BoardRules, Definitions, Entry, ListedSeason, LoadError, ScoreRow,
    SeasonBoard, SeasonOf, SeasonRow,
};
use pitturu_store::StoreError;
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{
    Bounds, Entities, EntityId, List, LoadedPart, PAGE_ROWS_MAX, Part, RowKey, RowRange, TakeRow,
};
use serde::de::DeserializeOwned;

use super::entity;
use super::season::LiveSeason;
use crate::owners::answering::Loaded;
use crate::owners::journal::Journal;

/// The row of the season.
const SEASON: &[u8] = b"s";

/// Rows of scores: player.
const SCORES: &[u8] = b"p";

/// Seasons that are not closed, or have yet to tell places: when they end, the entity.
const OPEN: List = List(6);

/// The seasons in which a player has a score: player, leaderboard, a zero byte, when the season began (the newest first), the entity.
const PLACES: List = List(7);

/// The seasons of a leaderboard: leaderboard, a zero byte, number (the newest first), the entity.
const SEASONS: List = List(8);

/// Scores that one read takes: others wait for their turn so long.
const SHOWN_AT_ONCE: usize = 16 * 1_024;

/// Most threads that read one board.
const READERS_MAX: usize = 4;

/// How many bytes there are.
const BYTES: usize = 256;

/// A change of a list.
type Listing = (List, RowKey, Option<Vec<u8>>);

/// The row of a season, as a change of a commit.
pub(super) fn season_row(row: &SeasonRow) -> (RowKey, Option<Vec<u8>>) {
    (SEASON.to_vec(), Some(codec::encode(row)))
}

fn score_key(player: UserId) -> RowKey {
    [SCORES, player.as_bytes()].concat()
}

/// The row of a score, as a change of a commit.
pub(super) fn score_row(player: UserId, row: Option<&ScoreRow>) -> (RowKey, Option<Vec<u8>>) {
    (score_key(player), row.map(codec::encode))
}

fn open_key(of: &SeasonOf) -> RowKey {
    let ends_at = of.season.ends_at.unwrap_or(u64::MAX);
    [&ends_at.to_be_bytes()[..], of.id().as_bytes()].concat()
}

fn of_board(board: &str) -> RowKey {
    [board.as_bytes(), &[0]].concat()
}

fn season_key(of: &SeasonOf) -> RowKey {
    let newest_first = !of.season.number;
    let number = newest_first.to_be_bytes();
    [
        of_board(&of.board),
        number.to_vec(),
        of.id().as_bytes().to_vec(),
    ]
    .concat()
}

fn place_key(player: UserId, of: &SeasonOf, id: BoardId) -> RowKey {
    let newest_first = !of.season.starts_at;
    let began = newest_first.to_be_bytes();
    let board = of_board(&of.board);
    [&player.as_bytes()[..], &board, &began, id.as_bytes()].concat()
}

/// What brings the lists in line with a season: with its own row if that has changed, and with who has come or gone.
pub(super) fn list_rows(
    season: &mut SeasonBoard,
    has_changed: bool,
    players: Vec<(UserId, bool)>,
) -> Vec<Listing> {
    let mut changes = Vec::new();
    if has_changed && let Some(before) = season.take_moved_from() {
        changes.push((OPEN, open_key(&before), None));
    }
    let of = season.of();
    if has_changed {
        let row = season.is_open().then(|| codec::encode(of));
        changes.push((OPEN, open_key(of), row));
        let row = season.listed().map(|listed| codec::encode(&listed));
        changes.push((SEASONS, season_key(of), row));
    }
    if players.is_empty() {
        return changes;
    }
    let (id, row) = (of.id(), codec::encode(of));
    changes.extend(players.into_iter().map(|(player, is_there)| {
        let row = is_there.then(|| row.clone());
        (PLACES, place_key(player, of, id), row)
    }));
    changes
}

/// Where a page of a player's places goes on.
fn place_key_at(player: UserId, position: &str) -> Result<RowKey, StoreError> {
    let parse = || {
        let (id, rest) = position.split_at_checked(ID_CHARS)?;
        let (began, board) = rest.split_once('.')?;
        let id: BoardId = id.parse().ok()?;
        let newest_first = !began.parse::<u64>().ok()?;
        let board = of_board(board);
        let began = newest_first.to_be_bytes();
        Some([&player.as_bytes()[..], &board, &began, id.as_bytes()].concat())
    };
    let is_key = |key: &RowKey| key.len() <= 200;
    parse().filter(is_key).ok_or(StoreError::InvalidPosition)
}

/// The position behind a season in the list of a player's places.
pub fn position(of: &SeasonOf) -> String {
    format!("{}{}.{}", of.id(), of.season.starts_at, of.board)
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes).map_err(|error| {
        tracing::error!(what, %error, "a stored row is damaged");
        StoreError::damaged(format!("{what}: {error}"))
    })
}

/// The leaderboards of a store.
#[derive(Clone)]
pub struct BoardStore {
    entities: Arc<dyn Entities>,
}

impl BoardStore {
    /// The leaderboards among these entities.
    pub const fn new(entities: Arc<dyn Entities>) -> Self {
        Self { entities }
    }

    /// The entities underneath.
    pub const fn entities(&self) -> &Arc<dyn Entities> {
        &self.entities
    }

    /// A season as its owner takes it up.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(
        &self,
        id: BoardId,
        definitions: Arc<Definitions>,
    ) -> Result<Loaded<LiveSeason>, StoreError> {
        let entity = entity(id);
        // Before the read: a failure in between makes the fence old, not the state.
        let fence = self.entities.fence();
        let parts = vec![Part::Rows(RowRange::prefix(SEASON))];
        let loaded = self.entities.load(entity, parts).await?;
        let Some(loaded) = loaded else {
            return Ok(Loaded {
                journal: Journal::begin(entity, fence),
                state: LiveSeason {
                    id,
                    definitions,
                    board: None,
                },
                undelivered: Vec::new(),
            });
        };
        let row = match loaded.parts.as_slice() {
            [LoadedPart::Rows(rows)] => rows.first(),
            _ => return Err(StoreError::damaged("a season was loaded in other parts")),
        };
        let board = match row {
            None => None,
            Some((_, row)) => {
                let row: SeasonRow = decode("season", row)?;
                let rules = rules_of(&row, &definitions);
                // Nobody else writes to it, and whatever an earlier life has handed over is there since `load`.
                let board = self.board(entity, rules).await?;
                let ends_at = definitions.end_of(&row.of, now_ms());
                let mut season = SeasonBoard::load(row, board);
                if let Some(ends_at) = ends_at {
                    season.move_end(ends_at);
                }
                Some(season)
            }
        };
        Ok(Loaded {
            journal: Journal::of(entity, &loaded),
            state: LiveSeason {
                id,
                definitions,
                board,
            },
            undelivered: loaded.undelivered,
        })
    }

    /// The scores of a season, whose board is built by those who read them.
    async fn board(&self, entity: EntityId, rules: Arc<BoardRules>) -> Result<Board, StoreError> {
        let loader = Arc::new(Mutex::new(BoardLoader::new(rules)));
        let all = RowRange::prefix(SCORES);
        let on = self.show(&loader, entity, all.clone(), 0).await?;
        if let Some(first) = on {
            // A large one.
            let ranges = (1..).zip(side_by_side(first, readers()));
            let reading = ranges.map(|(part, (after, before))| {
                let range = RowRange {
                    after: Some(after),
                    before,
                    ..all.clone()
                };
                self.show_all(&loader, entity, range, part)
            });
            try_join_all(reading).await?;
        }
        let finish = move || {
            let loader = Arc::into_inner(loader).map(Mutex::into_inner);
            let loader = loader.ok_or_else(|| StoreError::unavailable("a read goes on"))?;
            loader.finish().map_err(damaged)
        };
        let built = tokio::task::spawn_blocking(finish).await;
        built.map_err(|error| StoreError::unavailable(error.to_string()))?
    }

    async fn show_all(
        &self,
        loader: &Arc<Mutex<BoardLoader>>,
        entity: EntityId,
        mut range: RowRange,
        part: usize,
    ) -> Result<(), StoreError> {
        loop {
            match self.show(loader, entity, range.clone(), part).await? {
                None => return Ok(()),
                on => range = range.after(on),
            }
        }
    }

    /// Has the board take the next scores of a range, and says behind which key it goes on.
    async fn show(
        &self,
        loader: &Arc<Mutex<BoardLoader>>,
        entity: EntityId,
        range: RowRange,
        part: usize,
    ) -> Result<Option<RowKey>, StoreError> {
        let loader = Arc::clone(loader);
        let take: TakeRow = Box::new(move |key, row| {
            let (player, row) = score_of(key, row)?;
            add(&mut loader.lock(), part, player, &row)
        });
        self.entities.show(entity, range, SHOWN_AT_ONCE, take).await
    }

    /// A player's row in a season.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn score(&self, id: BoardId, player: UserId) -> Result<Option<ScoreRow>, StoreError> {
        let wanted = vec![(entity(id), score_key(player))];
        let rows = self.entities.rows_of(wanted).await?;
        let row = rows.into_iter().flatten().next();
        row.map(|row| decode("score", &row)).transpose()
    }

    /// Seasons that have yet to be closed, or to tell places, and end before this instant, or all of them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(&self, before: Option<u64>) -> Result<Vec<SeasonOf>, StoreError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let range = RowRange {
                after,
                before: before.map(|instant| instant.to_be_bytes().to_vec()),
                ..RowRange::default()
            };
            let bounds = Bounds::rows(PAGE_ROWS_MAX);
            let rows = self.entities.list(OPEN, range, bounds).await?;
            for (_, row) in &rows {
                found.push(decode("open season", row)?);
            }
            if rows.len() < PAGE_ROWS_MAX {
                return Ok(found);
            }
            after = rows.last().map(|(key, _)| key.clone());
        }
    }

    /// The seasons of a leaderboard before this number, the newest first, at most so many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn seasons(
        &self,
        board: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedSeason>, StoreError> {
        let prefix = of_board(board);
        // Behind every entity of the number that is not wanted.
        let after = before.map(|number| {
            let newest_first = !number;
            [
                &prefix[..],
                &newest_first.to_be_bytes(),
                &[u8::MAX; ID_BYTES],
            ]
            .concat()
        });
        let range = RowRange::prefix(prefix).after(after);
        let rows = self.entities.list(SEASONS, range, Bounds::rows(limit));
        let rows = rows.await?;
        rows.iter().map(|(_, row)| decode("season", row)).collect()
    }

    /// The seasons of a leaderboard with this number: there are several if its resets were changed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn numbered(
        &self,
        board: &str,
        number: u64,
    ) -> Result<Vec<ListedSeason>, StoreError> {
        let newest_first = !number;
        let prefix = [of_board(board), newest_first.to_be_bytes().to_vec()].concat();
        let bounds = Bounds::rows(PAGE_ROWS_MAX);
        let rows = self
            .entities
            .list(SEASONS, RowRange::prefix(prefix), bounds);
        let rows = rows.await?;
        rows.iter().map(|(_, row)| decode("season", row)).collect()
    }

    /// The seasons in which a player has a score, by leaderboard and the newest first, behind a position, at most so many.
    ///
    /// # Errors
    /// [`StoreError::InvalidPosition`] for an `after` that is no [`position`], and those of the store.
    pub async fn places(
        &self,
        player: UserId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SeasonOf>, StoreError> {
        let after = after.map(|it| place_key_at(player, it)).transpose()?;
        let range = RowRange::prefix(player.as_bytes().as_slice()).after(after);
        let rows = self.entities.list(PLACES, range, Bounds::rows(limit));
        let rows = rows.await?;
        rows.iter().map(|(_, row)| decode("place", row)).collect()
    }
}

/// The rules of a stored season: what ranks its scores stays as it was, the rest is that of the file.
fn rules_of(row: &SeasonRow, definitions: &Definitions) -> Arc<BoardRules> {
    let of_file = definitions.get(&row.of.board).map(|it| &it.rules);
    if let Some(rules) = of_file
        && (rules.operator, rules.direction) == (row.operator, row.direction)
    {
        return Arc::clone(rules);
    }
    let rules = of_file.map_or_else(|| BoardRules::of(row.operator), |it| (**it).clone());
    Arc::new(BoardRules {
        operator: row.operator,
        direction: row.direction,
        ..rules
    })
}

/// Threads that read one board side by side: as many as there are cores, and a part of those that may read.
fn readers() -> usize {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, NonZero::get).min(READERS_MAX)
}

/// The rest of a season's scores behind a key, in so many parts of about the same size, for ids of players are random: behind which
/// key each begins, and before which it ends.
fn side_by_side(first: RowKey, parts: usize) -> Vec<(RowKey, Option<RowKey>)> {
    let begin = usize::from(first.get(SCORES.len()).copied().unwrap_or_default());
    let cut = |part: usize| {
        let byte = begin + (BYTES - begin) * part / parts;
        // The key of no row, before those of all players whose ids begin with the byte.
        u8::try_from(byte)
            .ok()
            .map(|byte| [SCORES, &[byte]].concat())
    };
    let ends = (1..=parts).map(cut);
    let mut begins = first;
    let part = |end: Option<RowKey>| {
        // The first part may be empty, and ends where it begins then.
        let next = end.clone().unwrap_or_default().max(begins.clone());
        (std::mem::replace(&mut begins, next), end)
    };
    ends.map(part).collect()
}

fn score_of(key: &[u8], row: &[u8]) -> Result<(UserId, ScoreRow), StoreError> {
    let player = key.last_chunk().copied().map(UserId::from_bytes);
    let player = player.ok_or_else(|| StoreError::damaged("a key of scores is none"))?;
    Ok((player, decode("score", row)?))
}

fn add(
    loader: &mut BoardLoader,
    part: usize,
    player: UserId,
    row: &ScoreRow,
) -> Result<(), StoreError> {
    let entry = Entry {
        player,
        score: row.score,
        number: row.number,
        at: row.at,
        metadata: row.metadata.as_bytes(),
    };
    loader.add(part, &entry).map_err(damaged)
}

fn damaged(error: LoadError) -> StoreError {
    tracing::error!(%error, "stored scores are damaged");
    StoreError::damaged(error.to_string())
}
