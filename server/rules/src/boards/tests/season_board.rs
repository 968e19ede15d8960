//! A season from its first score to its removal.

use std::collections::BTreeMap;
use std::sync::Arc;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;

use crate::boards::season_board::{CLOSED_AFTER_MS, PLACES_AT_ONCE, REMOVED_AT_ONCE};
use crate::boards::{
    BoardEffects, BoardLoader, BoardRules, Closing, Entry, Operator, ScoreRow, Season, SeasonBoard,
    SeasonOf, Submission,
};

const END: u64 = 1_000_000;

fn player(number: u32) -> UserId {
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    UserId::from_bytes(bytes)
}

/// A season and its rows, as a store would keep them.
struct Stored {
    season: SeasonBoard,
    rows: BTreeMap<UserId, ScoreRow>,
    rules: Arc<BoardRules>,
}

impl Stored {
    fn new(places_told: u32, ends_at: Option<u64>) -> Self {
        let rules = Arc::new(BoardRules {
            places_told,
            ..BoardRules::of(Operator::Best)
        });
        let of = SeasonOf {
            board: "b".to_owned(),
            season: Season {
                number: 7,
                starts_at: 1,
                ends_at,
            },
        };
        Self {
            season: SeasonBoard::new(of, Arc::clone(&rules)),
            rows: BTreeMap::new(),
            rules,
        }
    }

    fn submit(&mut self, number: u32) -> bool {
        let submission = Submission {
            player: player(number),
            score: i64::from(number),
            metadata: String::new(),
            at: 5,
            by: None,
        };
        let mut effects = BoardEffects::default();
        let submitted = self.season.submit(submission, &mut effects).unwrap();
        self.keep(&effects);
        submitted.is_some()
    }

    fn keep(&mut self, effects: &BoardEffects) {
        for (player, row) in &effects.scores {
            match row {
                Some(row) => drop(self.rows.insert(*player, row.clone())),
                None => drop(self.rows.remove(player)),
            }
        }
    }

    /// Forgets what is in memory, and loads what is stored.
    fn reload(&mut self) {
        let mut loader = BoardLoader::new(Arc::clone(&self.rules));
        for (player, row) in &self.rows {
            let entry = Entry {
                player: *player,
                score: row.score,
                number: row.number,
                at: row.at,
                metadata: row.metadata.as_bytes(),
            };
            loader.add(0, &entry).unwrap();
        }
        self.season = SeasonBoard::load(self.season.row(), loader.finish().unwrap());
    }
}

#[test]
fn each_place_is_told_once_in_pieces_though_the_season_is_loaded_between_them() {
    let players = 3 * PLACES_AT_ONCE + 5;
    for places_told in [0, 1, PLACES_AT_ONCE, 2 * PLACES_AT_ONCE + 1, players + 100] {
        let mut stored = Stored::new(places_told, Some(END));
        for number in 1..=players {
            assert!(stored.submit(number));
        }
        let due = END + CLOSED_AFTER_MS;
        let mut effects = BoardEffects::default();
        let early = stored.season.close(due - 1, false, &mut effects);
        assert_eq!((early, effects.is_empty()), (Closing::Running, true));
        let mut told = Vec::new();
        loop {
            let mut effects = BoardEffects::default();
            let closing = stored.season.close(due, false, &mut effects);
            assert!(effects.placements.len() <= PLACES_AT_ONCE as usize);
            told.extend(effects.placements);
            stored.reload();
            if closing == Closing::Done {
                break;
            }
            assert!(stored.season.is_open());
            let mut effects = BoardEffects::default();
            let refused = stored.season.remove(player(1), &mut effects);
            assert_eq!(refused.map_err(|it| it.code), Err(Code::Unavailable));
        }
        assert!(!stored.season.is_open());
        assert!(
            !stored.submit(players + 1),
            "it is closed, whatever the clock says"
        );
        let expected =
            (1..=places_told.min(players)).map(|rank| (player(players + 1 - rank), rank));
        let found = told
            .iter()
            .map(|(player, placement)| (*player, placement.rank));
        assert!(found.eq(expected), "{places_told}");
        assert!(
            told.iter()
                .all(|(_, it)| it.count == players && it.ended_at == END)
        );
        let mut effects = BoardEffects::default();
        let again = stored.season.close(due, false, &mut effects);
        assert_eq!((again, effects.is_empty()), (Closing::Done, true));
    }
}

#[test]
fn a_season_that_never_ends_is_closed_by_force_alone() {
    let mut stored = Stored::new(1, None);
    let mut effects = BoardEffects::default();
    assert_eq!(
        stored.season.close(END, true, &mut effects),
        Closing::Running
    );
    assert!(effects.is_empty(), "nothing is stored of it");
    assert!(stored.submit(1));
    assert_eq!(
        stored.season.close(u64::MAX, false, &mut effects),
        Closing::Running
    );
    assert_eq!(stored.season.close(END, true, &mut effects), Closing::Done);
    assert_eq!(effects.placements[0].1.ended_at, END);
}

#[test]
fn what_is_kept_no_longer_goes_in_pieces_and_leaves_its_own_row() {
    let mut stored = Stored::new(0, Some(END));
    let players = REMOVED_AT_ONCE + 1;
    for number in 1..=players {
        stored.submit(number);
    }
    let mut effects = BoardEffects::default();
    assert_eq!(
        stored.season.clear(&mut effects),
        Closing::Running,
        "it goes on"
    );
    stored
        .season
        .close(END + CLOSED_AFTER_MS, false, &mut effects);
    for (left, closing) in [(1, Closing::Going), (0, Closing::Done)] {
        let mut effects = BoardEffects::default();
        assert_eq!(stored.season.clear(&mut effects), closing);
        assert_eq!(effects.scores.len(), effects.players.len());
        stored.keep(&effects);
        stored.reload();
        assert_eq!(stored.rows.len(), left);
        assert_eq!(stored.season.listed().is_some(), left > 0);
    }
    assert!(!stored.submit(1));
    let mut effects = BoardEffects::default();
    assert_eq!(stored.season.clear(&mut effects), Closing::Done);
    assert!(effects.is_empty());
}
