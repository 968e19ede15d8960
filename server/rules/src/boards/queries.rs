//! What can be asked of a board.

use pitturu_protocol::ids::UserId;

use super::board::{Board, Entry, SCORE_MAX, rank_at};

/// An entry and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked<'a> {
    /// The place, from 1.
    pub rank: u32,
    /// The entry.
    pub entry: Entry<'a>,
}

/// How many of a board's entries are behind a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    /// Entries that are behind.
    pub behind: u32,
    /// All entries.
    pub count: u32,
}

impl Percentile {
    /// The part that is behind in hundredths of a percent, 0 to 10,000, rounded down; 0 on an empty board.
    pub fn hundredths(&self) -> u16 {
        let hundredths = u64::from(self.behind) * 10_000;
        let part = hundredths.checked_div(self.count.into()).unwrap_or(0);
        u16::try_from(part).expect("what is behind is part of all")
    }
}

impl Board {
    /// How many entries there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.by_rank.len()).expect("a board has fewer entries than 2^32")
    }

    /// The entries after the best `offset`, at most `limit` of them, the best first.
    pub fn top(&self, offset: u32, limit: u32) -> impl Iterator<Item = Ranked<'_>> {
        let offset = offset as usize;
        let end = offset.saturating_add(limit as usize);
        let slots = self.by_rank.range(offset..end).enumerate();
        slots.map(move |(index, slot)| self.ranked(offset + index, slot))
    }

    /// The entry at this place, from 1.
    pub fn at_rank(&self, rank: u32) -> Option<Ranked<'_>> {
        let position = rank.checked_sub(1)? as usize;
        Some(self.ranked(position, self.by_rank.at(position)?))
    }

    /// A player's place, from 1.
    pub fn rank_of(&self, player: UserId) -> Option<u32> {
        self.slot_of(player)
            .map(|slot| rank_at(self.position_of(slot)))
    }

    /// A player's entry and place.
    pub fn entry_of(&self, player: UserId) -> Option<Ranked<'_>> {
        let slot = self.slot_of(player)?;
        Some(self.ranked(self.position_of(slot), slot))
    }

    /// A player's entry, with at most `before` of the better ones and `after` of the others next to it, the best first; none
    /// if the player is not on the board.
    pub fn around(
        &self,
        player: UserId,
        before: u32,
        after: u32,
    ) -> Option<impl Iterator<Item = Ranked<'_>>> {
        let position = self.rank_of(player)? - 1;
        let offset = position.saturating_sub(before);
        let behind = after.min(self.count() - position - 1);
        Some(self.top(offset, position - offset + 1 + behind))
    }

    /// The entries of these players, the best first. Who is not on the board is left out, who is named twice is there once.
    pub fn among(&self, players: impl IntoIterator<Item = UserId>) -> Vec<Ranked<'_>> {
        let entries = players.into_iter().filter_map(|it| self.entry_of(it));
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by_key(|ranked| ranked.rank);
        entries.dedup_by_key(|ranked| ranked.rank);
        entries
    }

    /// How many entries are behind a player's, later ones of the same score included.
    pub fn percentile_of(&self, player: UserId) -> Option<Percentile> {
        let count = self.count();
        self.rank_of(player).map(|rank| Percentile {
            behind: count - rank,
            count,
        })
    }

    /// How many entries have a score that is worse than this one, which need not be on the board.
    pub fn percentile_of_score(&self, score: i64) -> Percentile {
        let count = self.count();
        // Beyond all scores is one beyond; no number is that great, so this is behind all of the same score.
        let score = score.clamp(-SCORE_MAX - 1, SCORE_MAX + 1);
        let key = self.rank_key(score, u64::MAX);
        let position = self.by_rank.position(&key, |slot| self.rank_key_of(slot));
        Percentile {
            behind: count - (rank_at(position) - 1),
            count,
        }
    }

    fn position_of(&self, slot: u32) -> usize {
        let key = self.rank_key_of(slot);
        self.by_rank.position(&key, |slot| self.rank_key_of(slot))
    }

    fn ranked(&self, position: usize, slot: u32) -> Ranked<'_> {
        let kept = self.entries.get(slot);
        Ranked {
            rank: rank_at(position),
            entry: Entry {
                player: kept.player,
                score: kept.score,
                number: kept.number,
                at: kept.at,
                metadata: self.entries.metadata(slot),
            },
        }
    }
}
