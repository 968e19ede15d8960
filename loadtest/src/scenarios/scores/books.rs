//! What the leaderboards have by what was answered, and whether they do.

use std::collections::BTreeMap;
use std::time::Duration;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::{
    BoardDirection, BoardInfo, BoardOperator, ListBoards, ListTopScores,
};
use tokio::time::Instant;

use crate::player::{Failed, Player};
use crate::tally::count;
use crate::thread_players::ThreadPlayers;

/// Entries of one page.
const PAGE: u32 = 200;

/// Longest time after the load until the leaderboards stand still: other threads may go on for a moment.
const STANDS_STILL_WITHIN: Duration = Duration::from_secs(10);

/// How long a leaderboard must have as many entries as before.
const STILL: Duration = Duration::from_secs(1);

type Scores = BTreeMap<UserId, i64>;

/// One leaderboard, as far as the players of a thread are on it.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) name: String,
    season: u64,
    operator: BoardOperator,
    direction: BoardDirection,
    scores: Scores,
}

impl Board {
    fn of(info: BoardInfo) -> Self {
        Self {
            name: info.board,
            season: info.season.number,
            operator: info.operator,
            direction: info.direction,
            scores: Scores::new(),
        }
    }

    /// A submission was answered. The order in which two were taken that were under way together makes no difference.
    pub(super) fn submitted(&mut self, user: UserId, score: i64) {
        let is_higher = self.direction == BoardDirection::Higher;
        let combined = |old: i64| match self.operator {
            BoardOperator::Sum => old + score,
            _ if is_higher => old.max(score),
            _ => old.min(score),
        };
        let held = self.scores.entry(user);
        held.and_modify(|old| *old = combined(*old))
            .or_insert(score);
    }

    /// All that is on it, if that is in order: places without a hole, each player once, none better than the one before. It
    /// may not be while others submit, who move entries from page to page.
    async fn read(&self, player: &mut Player) -> Result<Option<Scores>, Failed> {
        let (mut scores, mut last) = (Scores::new(), None);
        loop {
            let offset = u32::try_from(scores.len()).unwrap_or(u32::MAX);
            let request = ListTopScores {
                board: self.name.clone(),
                season: Some(self.season),
                offset: Some(offset),
                limit: Some(PAGE),
            };
            let page = player.call(&request).await?;
            for (entry, rank) in page.entries.iter().zip(offset + 1..) {
                let order = match self.direction {
                    BoardDirection::Higher => -entry.score,
                    BoardDirection::Lower => entry.score,
                };
                let is_in_order = entry.rank == rank && last.is_none_or(|last| last <= order);
                let is_twice = scores.insert(entry.user, entry.score).is_some();
                if !is_in_order || is_twice {
                    return Ok(None);
                }
                last = Some(order);
            }
            if !page.more || page.entries.is_empty() {
                return Ok(Some(scores).filter(|all| all.len() == page.count as usize));
            }
        }
    }
}

/// What the connections of one thread share.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// The players of the thread, the hot ones first.
    pub(super) players: Vec<UserId>,
    pub(super) boards: Vec<Board>,
}

impl Books {
    /// The leaderboards of these names, without scores.
    pub(super) async fn of(player: &mut Player, names: Vec<String>) -> Result<Self, Failed> {
        let (mut infos, mut after) = (Vec::new(), None);
        loop {
            let page = player.call(&ListBoards { after, limit: None }).await?;
            after = page.boards.last().map(|info| info.board.clone());
            infos.extend(page.boards);
            if !page.more {
                break;
            }
        }
        let board = |name: String| {
            let info = infos.iter().find(|info| info.board == name).cloned();
            let info = info.ok_or_else(|| Failed::Refused(Fault::of(Code::BoardNotFound)))?;
            match info.operator {
                // Which of two that are under way together is the latest is not known.
                BoardOperator::Latest => {
                    Err(Failed::Unreadable(format!("{name} takes the latest")))
                }
                _ => Ok(Board::of(info)),
            }
        };
        Ok(Self {
            players: Vec::new(),
            boards: names.into_iter().map(board).collect::<Result<_, _>>()?,
        })
    }

    /// Takes what the players of the thread have from an earlier run, on a server that runs already.
    pub(super) async fn begin(&mut self, player: &mut Player) -> Result<(), Failed> {
        for board in &mut self.boards {
            let until = Instant::now() + STANDS_STILL_WITHIN;
            let found = loop {
                match board.read(player).await? {
                    Some(found) => break found,
                    // Another thread's players come.
                    None if Instant::now() < until => tokio::time::sleep(STILL / 20).await,
                    None => return Err(Failed::Unreadable(format!("{} moves", board.name))),
                }
            };
            let own = self.players.iter();
            board.scores = own
                .filter_map(|user| Some((*user, *found.get(user)?)))
                .collect();
        }
        Ok(())
    }

    pub(super) fn some_board(&self) -> &Board {
        &self.boards[fastrand::usize(..self.boards.len())]
    }

    /// One of the players, or of the first so many.
    pub(super) fn some_player(&self, among: Option<u64>) -> UserId {
        let among = among.and_then(|it| usize::try_from(it).ok());
        let among = among.map_or(self.players.len(), |it| it.min(self.players.len()));
        self.players[fastrand::usize(..among)]
    }
}

/// Pages through every leaderboard and counts which entries of the thread's players are right, and, on the first thread, all that
/// are there.
pub(super) async fn compare(thread: &ThreadPlayers, mut player: Player, books: &Books) {
    let is_first = thread.players.start == 0;
    for board in &books.boards {
        let outcome = compare_one(&mut player, board, books, is_first).await;
        let (right, wrong, counted) = outcome.unwrap_or((0, 1, 0));
        thread.tally.count(count::SCORES_RIGHT, right);
        thread.tally.count(count::SCORES_WRONG, wrong);
        thread.tally.count(count::SCORES_COUNTED, counted);
    }
    player.close().await;
}

/// How many entries are right, how many wrong, and how many there are.
async fn compare_one(
    player: &mut Player,
    board: &Board,
    books: &Books,
    is_first: bool,
) -> Result<(u64, u64, u64), Failed> {
    let until = Instant::now() + STANDS_STILL_WITHIN;
    let mut before = None;
    loop {
        let found = board.read(player).await?;
        let is_late = Instant::now() >= until;
        let count = found.as_ref().map(Scores::len);
        let is_still = !is_first || (count.is_some() && count == before);
        let Some(found) = found.filter(|_| is_still || is_late) else {
            if is_late {
                return Ok((0, 1, 0));
            }
            before = count;
            tokio::time::sleep(STILL).await;
            continue;
        };
        let is_right = |user: &&UserId| found.get(user) == board.scores.get(user);
        let right = books.players.iter().filter(is_right).count();
        let wrong = books.players.len() - right;
        if wrong == 0 || is_late {
            let counted = if is_first { found.len() } else { 0 };
            return Ok((right as u64, wrong as u64, counted as u64));
        }
        tokio::time::sleep(STILL / 20).await;
    }
}
