//! One season of a leaderboard from its first score to its removal.
//!
//! While it runs it takes scores. Once it is closed it takes none, whatever the clock says, and tells the best their places, a few at a
//! time; who asks for a season that is over goes on with the next one. So each score is in one season, and each place is told once.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::ScoreSubmitted;
use serde::{Deserialize, Serialize};

use super::rows::{Ended, ListedSeason, ScoreRow, SeasonRow};
use super::{Board, BoardRules, SeasonOf, SubmitError};

/// How long after its end a season is closed, in milliseconds: calls that came before it are decided by then.
pub const CLOSED_AFTER_MS: u64 = 5_000;

/// Places that one commit tells.
pub const PLACES_AT_ONCE: u32 = 64;

/// Scores that one commit removes of a season that is kept no longer.
pub const REMOVED_AT_ONCE: u32 = 256;

/// A player's place in a season that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The leaderboard.
    pub board: String,
    /// Number of the season.
    pub season: u64,
    /// The place, from 1.
    pub rank: u32,
    /// Players who had a score.
    pub count: u32,
    /// The player's score.
    pub score: i64,
    /// When the season ended, in milliseconds since 1970.
    pub ended_at: u64,
}

/// A score on its way to a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Whose it is.
    pub player: UserId,
    /// The score.
    pub score: i64,
    /// What the game wants to show with it; empty for nothing.
    pub metadata: String,
    /// When it was reached, in milliseconds since 1970.
    pub at: u64,
    /// The service or admin who submits it.
    pub by: Option<UserId>,
}

/// What a decision changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BoardEffects {
    /// Scores that change, and what they become.
    pub scores: Vec<(UserId, Option<ScoreRow>)>,
    /// Players who are on the board now, or no longer, and were not, or were.
    pub players: Vec<(UserId, bool)>,
    /// The season's own row changes.
    pub season: bool,
    /// Players who hear of their place.
    pub placements: Vec<(UserId, Placement)>,
}

impl BoardEffects {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How far the end of a season has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// It is not over yet.
    Running,
    /// There is more to do.
    Going,
    /// Nothing is left to do.
    Done,
}

/// One season of a leaderboard.
#[derive(Debug)]
pub struct SeasonBoard {
    of: SeasonOf,
    board: Board,
    ended: Option<Ended>,
    is_stored: bool,
    /// As which it is stored, if it ends at another time now.
    moved_from: Option<SeasonOf>,
}

impl SeasonBoard {
    /// A season of which nothing is stored.
    pub fn new(of: SeasonOf, rules: Arc<BoardRules>) -> Self {
        Self {
            of,
            board: Board::new(rules),
            ended: None,
            is_stored: false,
            moved_from: None,
        }
    }

    /// A season as it is stored.
    pub fn load(row: SeasonRow, board: Board) -> Self {
        Self {
            of: row.of,
            board,
            ended: row.ended,
            is_stored: true,
            moved_from: None,
        }
    }

    /// Has a season that is not closed end when the leaderboard's rules of now say, which they may not have known, or said otherwise,
    /// when it began. The next [`close`](Self::close) stores that.
    pub fn move_end(&mut self, ends_at: Option<u64>) {
        if !self.is_closed() && ends_at != self.of.season.ends_at {
            self.moved_from.get_or_insert_with(|| self.of.clone());
            self.of.season.ends_at = ends_at;
        }
    }

    /// As which it was stored, if it ends at another time now and that is about to be stored.
    pub const fn take_moved_from(&mut self) -> Option<SeasonOf> {
        self.moved_from.take()
    }

    /// Which one.
    pub const fn of(&self) -> &SeasonOf {
        &self.of
    }

    /// Its scores.
    pub const fn board(&self) -> &Board {
        &self.board
    }

    /// Its own row.
    pub fn row(&self) -> SeasonRow {
        let rules = self.board.rules();
        SeasonRow {
            of: self.of.clone(),
            operator: rules.operator,
            direction: rules.direction,
            ended: self.ended,
        }
    }

    /// Its row in the list of the leaderboard's seasons; none once its scores are kept no longer.
    pub fn listed(&self) -> Option<ListedSeason> {
        let is_removed = self.ended.is_some_and(|ended| ended.is_removed);
        (!is_removed).then(|| ListedSeason {
            of: self.of.clone(),
            count: self.ended.map(|_| self.board.count()),
        })
    }

    /// Whether it has yet to be closed, or somebody to be told.
    pub fn is_open(&self) -> bool {
        self.ended.is_none_or(|ended| !ended.is_told())
    }

    /// Whether it is closed.
    pub const fn is_closed(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether it takes no scores of this instant, in milliseconds since 1970.
    pub fn is_over(&self, now: u64) -> bool {
        self.is_closed() || self.of.season.ends_at.is_some_and(|end| end <= now)
    }

    /// Takes a score, whatever the clock says, unless the season is closed.
    ///
    /// # Errors
    /// Those of [`Board::submit`].
    pub fn submit(
        &mut self,
        submission: Submission,
        effects: &mut BoardEffects,
    ) -> Result<Option<ScoreSubmitted>, SubmitError> {
        if self.is_closed() {
            return Ok(None);
        }
        let Submission {
            player,
            score,
            metadata,
            at,
            by,
        } = submission;
        let change = self.board.submit(player, score, at, metadata.as_bytes())?;
        let Some(change) = change else {
            let there = self.board.entry_of(player);
            let there = there.expect("only the score of who is on the board can stay as it is");
            return Ok(Some(ScoreSubmitted {
                season: self.of.season.number,
                score: there.entry.score,
                rank: there.rank,
                rank_before: Some(there.rank),
                changed: false,
            }));
        };
        let row = ScoreRow {
            score: change.after.score,
            number: change.number,
            at,
            metadata,
            by,
        };
        effects.scores.push((player, Some(row)));
        if change.before.is_none() {
            effects.players.push((player, true));
        }
        effects.season |= !self.is_stored;
        self.is_stored = true;
        Ok(Some(ScoreSubmitted {
            season: self.of.season.number,
            score: change.after.score,
            rank: change.after.rank,
            rank_before: change.before.map(|before| before.rank),
            changed: true,
        }))
    }

    /// Takes a player's score off the board.
    ///
    /// # Errors
    /// [`Code::NotFound`], and [`Code::Unavailable`] while places are told: they would be others.
    pub fn remove(&mut self, player: UserId, effects: &mut BoardEffects) -> Result<(), Fault> {
        if self.ended.is_some_and(|ended| !ended.is_told()) {
            return Err(Fault::of(Code::Unavailable).retry_after_ms(1_000));
        }
        if self.board.remove(player).is_none() {
            return Err(Fault::of(Code::NotFound));
        }
        effects.scores.push((player, None));
        effects.players.push((player, false));
        // The list says how many have a score once the season has ended.
        effects.season |= self.is_closed();
        Ok(())
    }

    /// Goes on with the end of the season: closes it once it is over for [`CLOSED_AFTER_MS`], or at once if its rules of resets are
    /// no longer those of the leaderboard and it would never end; then tells places, so many that one commit holds them.
    pub fn close(&mut self, now: u64, is_forced: bool, effects: &mut BoardEffects) -> Closing {
        let Some(ended) = &mut self.ended else {
            let ends_at = self.of.season.ends_at;
            let is_due = ends_at.is_some_and(|end| now >= end.saturating_add(CLOSED_AFTER_MS));
            if !self.is_stored || !(is_due || is_forced) {
                effects.season |= self.moved_from.is_some();
                return Closing::Running;
            }
            let count = self.board.count();
            self.ended = Some(Ended {
                count,
                places: self.board.rules().places_told.min(count),
                told: 0,
                is_removed: false,
            });
            effects.season = true;
            return self.tell(now, effects);
        };
        if ended.is_told() {
            return Closing::Done;
        }
        effects.season = true;
        self.tell(now, effects)
    }

    fn tell(&mut self, now: u64, effects: &mut BoardEffects) -> Closing {
        let ended = self.ended.as_mut().expect("it was closed before");
        let ended_at = self.of.season.ends_at.unwrap_or(now);
        let next = PLACES_AT_ONCE.min(ended.places - ended.told);
        for ranked in self.board.top(ended.told, next) {
            let placement = Placement {
                board: self.of.board.clone(),
                season: self.of.season.number,
                rank: ranked.rank,
                count: ended.count,
                score: ranked.entry.score,
                ended_at,
            };
            effects.placements.push((ranked.entry.player, placement));
        }
        ended.told += next;
        match ended.is_told() {
            true => Closing::Done,
            false => Closing::Going,
        }
    }

    /// Removes the next scores of a season that is kept no longer. Its own row stays, so that whoever comes with a score is
    /// sent on.
    pub fn clear(&mut self, effects: &mut BoardEffects) -> Closing {
        let Some(ended) = self.ended.as_mut().filter(|ended| ended.is_told()) else {
            return Closing::Running;
        };
        if ended.is_removed {
            return Closing::Done;
        }
        let top = self.board.top(0, REMOVED_AT_ONCE);
        let gone: Vec<UserId> = top.map(|ranked| ranked.entry.player).collect();
        for player in gone {
            self.board.remove(player);
            effects.scores.push((player, None));
            effects.players.push((player, false));
        }
        effects.season = true;
        ended.is_removed = self.board.count() == 0;
        match ended.is_removed {
            true => Closing::Done,
            false => Closing::Going,
        }
    }
}

impl From<SubmitError> for Fault {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::ScoreRange | SubmitError::SumRange { .. } => Self::invalid("score", text),
            SubmitError::MetadataSize => Self::invalid("metadata", text),
            SubmitError::Full { .. } => Self::new(Code::BoardFull, text),
        }
    }
}
