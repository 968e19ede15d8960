//! Boards against a vector that is sorted anew for each question.

use std::sync::Arc;

use pitturu_protocol::ids::UserId;
use proptest::prelude::*;

use crate::boards::{
    Board, BoardRules, Change, Direction, Entry, LoadError, METADATA_BYTES_MAX, Operator,
    Percentile, Ranked, Reset, SCORE_MAX, Standing, SubmitError,
};

const OPERATORS: [Operator; 3] = [Operator::Best, Operator::Latest, Operator::Sum];
const DIRECTIONS: [Direction; 2] = [Direction::Higher, Direction::Lower];

fn rules(operator: Operator, direction: Direction, entries_max: u32) -> Arc<BoardRules> {
    Arc::new(BoardRules {
        operator,
        direction,
        reset: Reset::default(),
        entries_max,
        ..BoardRules::of(Operator::Best)
    })
}

/// Ids whose order is not that of their numbers.
fn player(number: u32) -> UserId {
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    bytes[6..].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    player: UserId,
    score: i64,
    number: u64,
    at: u64,
    metadata: Vec<u8>,
}

impl Row {
    fn entry(&self) -> Entry<'_> {
        Entry {
            player: self.player,
            score: self.score,
            number: self.number,
            at: self.at,
            metadata: &self.metadata,
        }
    }
}

/// What a board is to be: rows, the best first.
struct Model {
    rules: Arc<BoardRules>,
    rows: Vec<Row>,
    last_number: u64,
}

impl Model {
    fn standing(&self, player: UserId) -> Option<Standing> {
        let index = self.rows.iter().position(|row| row.player == player)?;
        Some(Standing {
            score: self.rows[index].score,
            rank: u32::try_from(index).unwrap() + 1,
        })
    }

    fn submit(
        &mut self,
        player: UserId,
        score: i64,
        at: u64,
        metadata: &[u8],
    ) -> Result<Option<Change>, SubmitError> {
        if score.unsigned_abs() > SCORE_MAX.unsigned_abs() {
            return Err(SubmitError::ScoreRange);
        }
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(SubmitError::MetadataSize);
        }
        let before = self.standing(player);
        let new = match (before.map(|before| before.score), self.rules.operator) {
            (None, _) | (_, Operator::Latest) => score,
            (Some(old), Operator::Sum) => old + score,
            (Some(old), Operator::Best) if self.rules.direction == Direction::Higher => {
                old.max(score)
            }
            (Some(old), Operator::Best) => old.min(score),
        };
        if new.abs() > SCORE_MAX {
            let score = before.unwrap().score;
            return Err(SubmitError::SumRange { score });
        }
        if before.is_some_and(|before| before.score == new) {
            return Ok(None);
        }
        let entries_max = self.rules.entries_max;
        if before.is_none() && self.rows.len() == entries_max as usize {
            return Err(SubmitError::Full { entries_max });
        }
        self.last_number += 1;
        self.rows.retain(|row| row.player != player);
        self.rows.push(Row {
            player,
            score: new,
            number: self.last_number,
            at,
            metadata: metadata.to_vec(),
        });
        match self.rules.direction {
            Direction::Higher => self
                .rows
                .sort_by(|a, b| b.score.cmp(&a.score).then(a.number.cmp(&b.number))),
            Direction::Lower => self
                .rows
                .sort_by(|a, b| a.score.cmp(&b.score).then(a.number.cmp(&b.number))),
        }
        Ok(Some(Change {
            player,
            number: self.last_number,
            before,
            after: self.standing(player).unwrap(),
        }))
    }

    fn remove(&mut self, player: UserId) -> Option<Standing> {
        let standing = self.standing(player);
        self.rows.retain(|row| row.player != player);
        standing
    }

    /// Rows `from` to `to`, as far as there are any, with their places.
    fn ranked(&self, from: usize, to: usize) -> Vec<Ranked<'_>> {
        let rows = self.rows.iter().enumerate().take(to).skip(from);
        rows.map(|(index, row)| Ranked {
            rank: u32::try_from(index).unwrap() + 1,
            entry: row.entry(),
        })
        .collect()
    }

    fn load(&self, rows: &[Row]) -> Board {
        let rows = rows.iter().map(Row::entry);
        Board::load(self.rules.clone(), rows, self.last_number).unwrap()
    }
}

/// Asks everything that can be asked.
fn compare(board: &Board, model: &Model, players: u32, scores: &[i64]) {
    board.check();
    let len = model.rows.len();
    let count = u32::try_from(len).unwrap();
    assert_eq!(board.count(), count);
    assert_eq!(board.last_number(), model.last_number);
    for offset in 0..=count + 1 {
        for limit in [0, 1, 3, u32::MAX] {
            let to = (offset as usize).saturating_add(limit as usize);
            let top: Vec<_> = board.top(offset, limit).collect();
            assert_eq!(top, model.ranked(offset as usize, to));
        }
    }
    assert_eq!(board.at_rank(0), None);
    assert_eq!(board.at_rank(u32::MAX), None);
    for rank in 1..=count + 1 {
        let index = rank as usize;
        let model = model.ranked(index - 1, index).pop();
        assert_eq!(board.at_rank(rank), model);
    }
    let all: Vec<UserId> = (0..players).map(player).collect();
    for &player in &all {
        let standing = model.standing(player);
        let rank = standing.map(|standing| standing.rank);
        assert_eq!(board.rank_of(player), rank);
        let ranked = rank.and_then(|rank| board.at_rank(rank));
        assert_eq!(board.entry_of(player), ranked);
        let percentile = rank.map(|rank| Percentile {
            behind: count - rank,
            count,
        });
        assert_eq!(board.percentile_of(player), percentile);
        for (before, after) in [(0, 0), (1, 2), (3, 0), (0, 3), (u32::MAX, u32::MAX)] {
            let around = board.around(player, before, after);
            let around = around.map(|around| around.collect::<Vec<_>>());
            let model = rank.map(|rank| {
                let from = (rank - 1).saturating_sub(before) as usize;
                model.ranked(from, (rank as usize).saturating_add(after as usize))
            });
            assert_eq!(around, model);
        }
    }
    for some in [&all[..], &all[1..], &[all[0], all[2], all[0]]] {
        let mut among = model.ranked(0, len);
        among.retain(|ranked| some.contains(&ranked.entry.player));
        assert_eq!(board.among(some.iter().rev().copied()), among);
    }
    for &score in scores {
        let worse = |row: &&Row| match model.rules.direction {
            Direction::Higher => row.score < score,
            Direction::Lower => row.score > score,
        };
        let behind = u32::try_from(model.rows.iter().filter(worse).count()).unwrap();
        assert_eq!(
            board.percentile_of_score(score),
            Percentile { behind, count }
        );
    }
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u32, i64, u64, Vec<u8>),
    Remove(u32),
    Reload(u64),
}

const PLAYERS: u32 = 9;

/// Scores whose percentiles are asked.
const SCORES: [i64; 9] = [i64::MIN, -SCORE_MAX, -3, -1, 0, 1, 3, SCORE_MAX, i64::MAX];

fn score() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => -3..=3_i64,
        1 => Just(SCORE_MAX),
        1 => Just(-SCORE_MAX),
        1 => -SCORE_MAX..=SCORE_MAX,
        1 => prop_oneof![Just(SCORE_MAX + 1), Just(-SCORE_MAX - 1), Just(i64::MAX), Just(i64::MIN)],
    ]
}

fn metadata() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(Vec::new()),
        3 => proptest::collection::vec(any::<u8>(), 1..9),
        1 => Just(vec![7; METADATA_BYTES_MAX]),
        1 => Just(vec![7; METADATA_BYTES_MAX + 1]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..PLAYERS, score(), 0..1_u64 << 48, metadata())
            .prop_map(|(player, score, at, metadata)| Step::Submit(player, score, at, metadata)),
        2 => (0..PLAYERS).prop_map(Step::Remove),
        1 => any::<u64>().prop_map(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_board_agrees_with_a_sorted_vector(
        operator in prop::sample::select(&OPERATORS),
        direction in prop::sample::select(&DIRECTIONS),
        entries_max in prop_oneof![Just(5_u32), Just(100)],
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let rules = rules(operator, direction, entries_max);
        let mut board = Board::new(rules.clone());
        let mut model = Model { rules, rows: Vec::new(), last_number: 0 };
        for step in steps {
            match step {
                Step::Submit(number, score, at, metadata) => {
                    let player = player(number);
                    let change = board.submit(player, score, at, &metadata);
                    prop_assert_eq!(change, model.submit(player, score, at, &metadata));
                }
                Step::Remove(number) => {
                    let player = player(number);
                    prop_assert_eq!(board.remove(player), model.remove(player));
                }
                Step::Reload(seed) => {
                    let mut rows = model.rows.clone();
                    fastrand::Rng::with_seed(seed).shuffle(&mut rows);
                    board = model.load(&rows);
                }
            }
            compare(&board, &model, PLAYERS + 1, &SCORES);
        }
    }
}

#[test]
fn many_players_are_where_sorting_puts_them() {
    for (operator, direction) in OPERATORS.into_iter().zip(DIRECTIONS.into_iter().cycle()) {
        let mut random = fastrand::Rng::with_seed(5);
        let mut board = Board::new(rules(operator, direction, 1 << 20));
        for _ in 0..60_000 {
            let player = player(random.u32(..30_000));
            if random.u8(..8) == 0 {
                board.remove(player);
            } else {
                board.submit(player, random.i64(-500..500), 1, b"").unwrap();
            }
        }
        board.check();
        let all: Vec<_> = board.top(0, u32::MAX).collect();
        assert!(all.len() > 20_000);
        for (pair, rank) in all.windows(2).zip(1..) {
            let (better, worse) = (pair[0].entry, pair[1].entry);
            assert!(
                direction.is_better(better.score, worse.score)
                    || better.score == worse.score && better.number < worse.number
            );
            assert_eq!(pair[0].rank, rank);
            assert_eq!(board.rank_of(better.player), Some(rank));
        }
        let rows = all.iter().map(|ranked| ranked.entry);
        let again = Board::load(board.rules().clone(), rows, board.last_number()).unwrap();
        again.check();
        assert!(again.top(0, u32::MAX).eq(all));
    }
}

#[test]
fn players_who_come_and_go_leave_nothing_behind() {
    let mut board = Board::new(rules(Operator::Sum, Direction::Higher, 1 << 20));
    let mut turn = |turn: u32| {
        for number in 0..5_000 {
            // Others each time: ids must not stay either.
            let player = player(turn * 5_000 + number);
            board.submit(player, number.into(), 0, b"axe").unwrap();
        }
        let full = board.bytes();
        for number in (0..5_000).rev() {
            assert!(board.remove(player(turn * 5_000 + number)).is_some());
        }
        board.check();
        assert_eq!(board.entries.slots(), 5_000);
        assert_eq!(board.count(), 0);
        full
    };
    turn(0);
    let full = turn(1);
    for again in 2..8 {
        assert!(turn(again) <= full + full / 10);
    }
}

#[test]
fn what_changes_nothing_keeps_number_time_and_metadata() {
    for (operator, same) in [
        (Operator::Best, 5),
        (Operator::Best, 4),
        (Operator::Latest, 5),
        (Operator::Sum, 0),
    ] {
        let mut board = Board::new(rules(operator, Direction::Higher, 10));
        board.submit(player(1), 5, 100, b"bow").unwrap();
        board.submit(player(2), 5, 200, b"axe").unwrap();
        assert_eq!(board.submit(player(1), same, 300, b"new"), Ok(None));
        let first = board.at_rank(1).unwrap().entry;
        assert_eq!(
            (first.number, first.at, first.metadata),
            (1, 100, &b"bow"[..])
        );
        assert_eq!(first.player, player(1));
        assert_eq!(board.last_number(), 2);
    }
}

#[test]
fn parts_are_rounded_down() {
    for (behind, count, hundredths) in [
        (0, 0, 0),
        (0, 1, 0),
        (2, 3, 6_666),
        (9, 10, 9_000),
        (u32::MAX, u32::MAX, 10_000),
    ] {
        assert_eq!(Percentile { behind, count }.hundredths(), hundredths);
    }
}

/// Makes a row one that a board can't have.
type Spoil = fn(&mut Row);

#[test]
fn rows_that_are_no_board_are_refused() {
    let rules = rules(Operator::Best, Direction::Higher, 1);
    let row = |number: u32| Row {
        player: player(number),
        score: 3,
        number: u64::from(number),
        at: 0,
        metadata: Vec::new(),
    };
    let load = |second: Row| {
        let rows = [row(1), second];
        Board::load(rules.clone(), rows.iter().map(Row::entry), 2).err()
    };
    assert_eq!(load(row(2)), None);
    let of_two = player(2);
    let cases: [(Spoil, LoadError); 6] = [
        (
            |row| row.score = SCORE_MAX + 1,
            LoadError::ScoreRange(of_two),
        ),
        (|row| row.score = i64::MIN, LoadError::ScoreRange(of_two)),
        (
            |row| row.metadata = vec![0; 257],
            LoadError::MetadataSize(of_two),
        ),
        (|row| row.number = 3, LoadError::Number(of_two)),
        (|row| row.number = 0, LoadError::Number(of_two)),
        (
            |row| row.player = player(1),
            LoadError::SamePlayer(player(1)),
        ),
    ];
    for (change, error) in cases {
        let mut second = row(2);
        change(&mut second);
        assert_eq!(load(second), Some(error));
    }
    let mut second = row(2);
    second.number = 1;
    assert!(matches!(load(second), Some(LoadError::SameNumber(_))));
}
