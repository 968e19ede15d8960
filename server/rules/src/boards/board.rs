//! The scores of one season, and what changes them.

use std::sync::Arc;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::SCORE_METADATA_BYTES_MAX;

use super::entries::{Entries, Kept, U48_MAX};
use super::rules::{BoardRules, Direction, Operator};
use super::slots::SlotList;

/// Greatest score; the least is its negative. Numbers of JavaScript are exact up to here.
pub const SCORE_MAX: i64 = (1 << 53) - 1;

/// Most bytes of an entry's metadata.
pub const METADATA_BYTES_MAX: usize = SCORE_METADATA_BYTES_MAX;

/// A player's entry. What is stored of it, and what [`Board::load`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose it is.
    pub player: UserId,
    /// The score.
    pub score: i64,
    /// The number at which the score was reached: the earlier of equal scores is the better one.
    pub number: u64,
    /// When it was reached, in milliseconds since 1970; what is beyond 2^48 is kept as that.
    pub at: u64,
    /// What was submitted with it; empty if nothing was.
    pub metadata: &'a [u8],
}

/// A score and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The score.
    pub score: i64,
    /// The place, from 1.
    pub rank: u32,
}

/// What a score has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose entry it is.
    pub player: UserId,
    /// The number at which the new score was reached: the board's [`last_number`](Board::last_number) from now on.
    pub number: u64,
    /// What was before, if the player was on the board.
    pub before: Option<Standing>,
    /// What is now.
    pub after: Standing,
}

/// Why a score is refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The score is beyond [`SCORE_MAX`] or its negative.
    #[error("a score is within -{SCORE_MAX} and {SCORE_MAX}")]
    ScoreRange,
    /// The sum would be.
    #[error("the sum with {score} is beyond {SCORE_MAX}")]
    SumRange {
        /// The score that is there.
        score: i64,
    },
    /// There are more bytes of metadata than [`METADATA_BYTES_MAX`].
    #[error("more than {METADATA_BYTES_MAX} bytes of metadata")]
    MetadataSize,
    /// The player is new, and the board has as many as its rules allow.
    #[error("the board has {entries_max} players, its most")]
    Full {
        /// As many.
        entries_max: u32,
    },
}

/// Why rows are no board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A score that could not have been submitted.
    #[error("the score of {0} is out of range")]
    ScoreRange(UserId),
    /// Too much metadata.
    #[error("the metadata of {0} is too long")]
    MetadataSize(UserId),
    /// A number that is greater than the last one that was given.
    #[error("the number of {0} was never given")]
    Number(UserId),
    /// Two rows of one player.
    #[error("{0} has two rows")]
    SamePlayer(UserId),
    /// The same score was reached at the same number by two players, so that neither is before the other.
    #[error("the number of {0} was given twice")]
    SameNumber(UserId),
    /// More rows than slots can count.
    #[error("more than 2^31 rows")]
    TooMany,
}

/// The key by which entries are ranked: the better score first, then the earlier number.
pub(super) type RankKey = (i64, u64);

/// The scores of one season of a board, each player's place among them known at any time.
///
/// A change costs a few searches of sorted lists, whatever the number of players; so does each result of a query. Entries
/// take about 38 bytes each, metadata aside, and those that are removed leave nothing behind but room for others.
#[derive(Clone, Debug)]
pub struct Board {
    rules: Arc<BoardRules>,
    pub(super) entries: Entries,
    pub(super) by_rank: SlotList<RankKey>,
    pub(super) by_player: SlotList<UserId>,
    last_number: u64,
}

impl Board {
    /// A season without scores.
    pub fn new(rules: Arc<BoardRules>) -> Self {
        Self {
            rules,
            entries: Entries::default(),
            by_rank: SlotList::new(),
            by_player: SlotList::new(),
            last_number: 0,
        }
    }

    /// The season with these rows, in any order; the quickest is that of players. `last_number` is that of the board when
    /// they were stored. More than the rules allow now are taken.
    pub fn load<'a>(
        rules: Arc<BoardRules>,
        rows: impl IntoIterator<Item = Entry<'a>>,
        last_number: u64,
    ) -> Result<Self, LoadError> {
        let rows = rows.into_iter();
        let mut loader = BoardLoader::new(rules);
        for row in rows {
            if row.number > last_number {
                return Err(LoadError::Number(row.player));
            }
            loader.add(0, &row)?;
        }
        let mut board = loader.finish()?;
        board.last_number = last_number;
        Ok(board)
    }

    /// Lists the slots of a board that has none listed.
    fn indexed(mut board: Self, parts: Vec<Vec<u32>>) -> Result<Self, LoadError> {
        let parts = board.by_player(parts)?;
        let count = parts.iter().map(Vec::len).sum();
        // Dropped before the next list is made: at millions of rows they are large.
        let slots = parts.into_iter().flatten();
        board.by_player = SlotList::from_sorted(slots, |slot| board.entries.player(slot));
        let mut by_rank = Vec::with_capacity(count);
        let slots = board.by_player.range(0..count);
        by_rank.extend(slots.map(|slot| (board.rank_key_of(slot), slot)));
        by_rank.sort_unstable();
        if let Some(pair) = by_rank.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LoadError::SameNumber(board.entries.player(pair[1].1)));
        }
        let slots = by_rank.into_iter().map(|(_, slot)| slot);
        board.by_rank = SlotList::from_sorted(slots, |slot| board.rank_key_of(slot));
        Ok(board)
    }

    /// These slots in the order of players.
    fn by_player(&self, parts: Vec<Vec<u32>>) -> Result<Vec<Vec<u32>>, LoadError> {
        let slots = parts.iter().flatten();
        if slots.is_sorted_by_key(|&slot| self.entries.player(slot)) {
            self.check_players(parts.iter().flatten())?;
            return Ok(parts);
        }
        let key = |slot| (self.entries.player(slot), slot);
        let mut by_player: Vec<(UserId, u32)> = parts.into_iter().flatten().map(key).collect();
        by_player.sort_unstable();
        let slots: Vec<u32> = by_player.into_iter().map(|(_, slot)| slot).collect();
        self.check_players(&slots)?;
        Ok(vec![slots])
    }

    /// Whether no player has two of these slots, which are in the order of players.
    fn check_players<'a>(&self, slots: impl IntoIterator<Item = &'a u32>) -> Result<(), LoadError> {
        let mut before = None;
        for &slot in slots {
            let player = self.entries.player(slot);
            if before.replace(player) == Some(player) {
                return Err(LoadError::SamePlayer(player));
            }
        }
        Ok(())
    }

    fn take_row(&mut self, row: &Entry<'_>) -> Result<u32, LoadError> {
        let player = row.player;
        if !(-SCORE_MAX..=SCORE_MAX).contains(&row.score) {
            return Err(LoadError::ScoreRange(player));
        }
        if row.metadata.len() > METADATA_BYTES_MAX {
            return Err(LoadError::MetadataSize(player));
        }
        if row.number == 0 || row.number > U48_MAX {
            return Err(LoadError::Number(player));
        }
        let slot = self.entries.add(&Kept {
            player,
            score: row.score,
            number: row.number,
            at: row.at.min(U48_MAX),
        });
        self.entries.set_metadata(slot, row.metadata);
        self.last_number = self.last_number.max(row.number);
        if slot < 1 << 31 {
            Ok(slot)
        } else {
            Err(LoadError::TooMany)
        }
    }

    /// The rules.
    pub const fn rules(&self) -> &Arc<BoardRules> {
        &self.rules
    }

    /// The number at which the last score was reached, 0 if none was. The next is one more; a removal does not count.
    pub const fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Takes a player's score, reached at `at` (milliseconds since 1970), with opaque metadata, which may be empty.
    ///
    /// Nothing changes, metadata included, if the operator leaves the score as it was: one that is not better for `best`, the
    /// same for `latest`, 0 for `sum`. The score of a player who is not on the board yet is always a change.
    pub fn submit(
        &mut self,
        player: UserId,
        score: i64,
        at: u64,
        metadata: &[u8],
    ) -> Result<Option<Change>, SubmitError> {
        if !(-SCORE_MAX..=SCORE_MAX).contains(&score) {
            return Err(SubmitError::ScoreRange);
        }
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(SubmitError::MetadataSize);
        }
        let slot = self.slot_of(player);
        let old = slot.map(|slot| self.entries.score(slot));
        let Some(score) = self.combine(old.map(|(score, _)| score), score)? else {
            return Ok(None);
        };
        let entries_max = self.rules.entries_max;
        if slot.is_none() && self.by_rank.len() >= entries_max as usize {
            return Err(SubmitError::Full { entries_max });
        }
        self.last_number += 1;
        let kept = Kept {
            player,
            score,
            number: self.last_number,
            at: at.min(U48_MAX),
        };
        let before = old.map(|(score, number)| Standing {
            score,
            rank: self.unrank(score, number),
        });
        let slot = self.keep(slot, &kept);
        self.entries.set_metadata(slot, metadata);
        Ok(Some(Change {
            player,
            number: kept.number,
            before,
            after: Standing {
                score,
                rank: self.rank(slot),
            },
        }))
    }

    /// What the player's score becomes, if it changes.
    fn combine(&self, old: Option<i64>, score: i64) -> Result<Option<i64>, SubmitError> {
        let Some(old) = old else {
            return Ok(Some(score));
        };
        let new = match self.rules.operator {
            Operator::Best if self.rules.direction.is_better(score, old) => score,
            Operator::Best => old,
            Operator::Latest => score,
            // Two scores fit by far.
            Operator::Sum => old + score,
        };
        if !(-SCORE_MAX..=SCORE_MAX).contains(&new) {
            return Err(SubmitError::SumRange { score: old });
        }
        Ok((new != old).then_some(new))
    }

    /// Puts an entry into its slot, or into a new one.
    fn keep(&mut self, slot: Option<u32>, kept: &Kept) -> u32 {
        if let Some(slot) = slot {
            self.entries.set(slot, kept);
            return slot;
        }
        let slot = self.entries.add(kept);
        let entries = &self.entries;
        self.by_player
            .insert(slot, kept.player, |slot| entries.player(slot));
        slot
    }

    /// Ranks an entry that is in its slot, and says at which place.
    fn rank(&mut self, slot: u32) -> u32 {
        let key = self.rank_key_of(slot);
        let (entries, direction) = (&self.entries, self.rules.direction);
        let key_of = |slot| rank_key(direction, entries.score(slot));
        rank_at(self.by_rank.insert(slot, key, key_of))
    }

    /// Takes the place from the entry with this score and number, and says which it was.
    fn unrank(&mut self, score: i64, number: u64) -> u32 {
        let key = self.rank_key(score, number);
        let (entries, direction) = (&self.entries, self.rules.direction);
        let key_of = |slot| rank_key(direction, entries.score(slot));
        let removed = self.by_rank.remove(&key, key_of);
        let (position, _) = removed.expect("each entry is ranked by its score and number");
        rank_at(position)
    }

    /// Takes a player off the board, and says what is gone.
    pub fn remove(&mut self, player: UserId) -> Option<Standing> {
        let entries = &self.entries;
        let (_, slot) = self
            .by_player
            .remove(&player, |slot| entries.player(slot))?;
        let (score, number) = self.entries.score(slot);
        let rank = self.unrank(score, number);
        self.entries.free(slot);
        Some(Standing { score, rank })
    }

    pub(super) fn slot_of(&self, player: UserId) -> Option<u32> {
        let key_of = |slot| self.entries.player(slot);
        self.by_player.find(&player, key_of)
    }

    pub(super) fn rank_key(&self, score: i64, number: u64) -> RankKey {
        rank_key(self.rules.direction, (score, number))
    }

    pub(super) fn rank_key_of(&self, slot: u32) -> RankKey {
        rank_key(self.rules.direction, self.entries.score(slot))
    }

    /// Bytes that the board has allocated, but for metadata. Counting them passes over the board.
    pub fn bytes(&self) -> usize {
        self.entries.bytes() + self.by_rank.bytes() + self.by_player.bytes()
    }

    /// Whether what is promised of its parts holds.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.by_player.check(|slot| self.entries.player(slot));
        self.by_rank.check(|slot| self.rank_key_of(slot));
        assert_eq!(self.by_player.len(), self.by_rank.len());
    }
}

/// Takes the rows of a season one by one, so that nobody has to hold them all.
#[derive(Debug)]
pub struct BoardLoader {
    board: Board,
    /// Slots, in the order in which the rows of each part came.
    parts: Vec<Vec<u32>>,
}

impl BoardLoader {
    /// A season by these rules, without rows yet.
    pub fn new(rules: Arc<BoardRules>) -> Self {
        Self {
            board: Board::new(rules),
            parts: Vec::new(),
        }
    }

    /// Takes a row of one of the parts, numbered from 0, in which rows are read side by side. They come in any order; the quickest is
    /// that of players, first by part.
    ///
    /// # Errors
    /// It could not have been stored.
    pub fn add(&mut self, part: usize, row: &Entry<'_>) -> Result<(), LoadError> {
        let slot = self.board.take_row(row)?;
        if self.parts.len() <= part {
            self.parts.resize_with(part + 1, Vec::new);
        }
        self.parts[part].push(slot);
        Ok(())
    }

    /// The season with these rows. Its last number is the greatest of theirs: that of what was removed since may be given again,
    /// for nobody is compared with it.
    ///
    /// # Errors
    /// Two rows can't both have been stored.
    pub fn finish(self) -> Result<Board, LoadError> {
        Board::indexed(self.board, self.parts)
    }
}

/// Better scores have lesser keys. Scores have negatives, so that this is exact.
const fn rank_key(direction: Direction, (score, number): (i64, u64)) -> RankKey {
    match direction {
        Direction::Higher => (-score, number),
        Direction::Lower => (score, number),
    }
}

/// The rank of what has so many before it.
pub(super) fn rank_at(position: usize) -> u32 {
    u32::try_from(position + 1).expect("a board has fewer entries than 2^32")
}
