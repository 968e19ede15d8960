use std::collections::BTreeMap;

use pitturu_rules::boards::{Operator, Season};
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

/// Scores of the test's board: more than several reads take, and not a round number of them.
const LARGE: u32 = 5 * 16 * 1_024 + 17;

/// Scores of one commit.
const COMMITTED: usize = 8_000;

async fn commit(
    store: &BoardStore,
    journal: &mut Journal,
    rows: &[(UserId, ScoreRow)],
    of: &SeasonRow,
) {
    let mut commit = journal.next();
    commit.rows.push(season_row(of));
    let scores = rows
        .iter()
        .map(|(player, row)| score_row(*player, Some(row)));
    commit.rows.extend(scores);
    let reservation = store.entities.reserve(1_024).expect("there is room");
    let (reply, outcome) = oneshot::channel();
    let done = Box::new(move |outcome| drop(reply.send(outcome)));
    store.entities.commit(reservation, commit.into(), done);
    outcome.await.expect("it is told").expect("it is stored");
}

#[tokio::test]
async fn a_large_board_is_loaded_as_it_was_stored() {
    let dir = TempDir::new().unwrap();
    let embedded = Embedded::open(dir.path(), EngineOptions::default()).unwrap();
    let store = BoardStore::new(Arc::new(embedded));
    let rules = BoardRules::of(Operator::Best);
    let boards = BTreeMap::from([("all".to_owned(), rules.clone())]);
    let definitions = Arc::new(Definitions::new(&boards).unwrap());
    let of = definitions.season_at("all", 1).unwrap();
    let row = SeasonRow {
        of: of.clone(),
        operator: rules.operator,
        direction: rules.direction,
        ended: None,
    };
    let mut random = fastrand::Rng::with_seed(5);
    let mut rows: Vec<(UserId, ScoreRow)> = (1..=u64::from(LARGE))
        .map(|number| {
            let row = ScoreRow {
                score: random.i64(-1_000..1_000),
                number,
                at: number,
                metadata: if number % 7 == 0 {
                    number.to_string()
                } else {
                    String::new()
                },
                by: None,
            };
            (
                UserId::from_bytes(std::array::from_fn(|_| random.u8(..))),
                row,
            )
        })
        .collect();
    let mut journal = Journal::begin(entity(of.id()), store.entities.fence());
    for some in rows.chunks(COMMITTED) {
        commit(&store, &mut journal, some, &row).await;
    }
    let loaded = store.load(of.id(), definitions).await.unwrap();
    let season = loaded.state.board.expect("it is stored");
    // The best first; of equal ones the earlier.
    rows.sort_by_key(|(_, row)| (-row.score, row.number));
    let board = season.board();
    assert_eq!(
        (board.count(), board.last_number()),
        (LARGE, u64::from(LARGE))
    );
    for (ranked, (player, row)) in board.top(0, LARGE).zip(&rows) {
        let entry = ranked.entry;
        let found = (entry.player, entry.score, entry.number, entry.metadata);
        assert_eq!(
            found,
            (*player, row.score, row.number, row.metadata.as_bytes())
        );
    }
    for (rank, (player, _)) in (1..).zip(&rows).step_by(997) {
        assert_eq!(board.rank_of(*player), Some(rank));
    }
}

#[test]
fn parts_that_are_read_side_by_side_meet_and_miss_nothing() {
    for byte in [0, 1, 7, 200, 253, 254, 255] {
        for parts in 1..=4 {
            let first = score_key(UserId::from_bytes([byte; 10]));
            let cut = side_by_side(first.clone(), parts);
            assert_eq!(cut.len(), parts);
            assert_eq!((&cut[0].0, &cut[parts - 1].1), (&first, &None));
            for pair in cut.windows(2) {
                let end = pair[0].1.as_ref().expect("only the last has no end");
                assert_eq!(pair[1].0, *end.max(&first));
            }
        }
    }
}

#[test]
fn positions_lead_to_their_rows_and_others_are_refused() {
    let player = UserId::from_bytes([3; 10]);
    let of = SeasonOf {
        board: "a".repeat(32),
        season: Season {
            number: 7,
            starts_at: 1_700_000_000_000,
            ends_at: None,
        },
    };
    let key = place_key(player, &of, of.id());
    assert_eq!(place_key_at(player, &position(&of)), Ok(key));
    let long = format!("{}1.{}", of.id(), "x".repeat(200));
    for bad in ["", "x", "000000000000000!1.a", "00000000000000001", &long] {
        let refused = place_key_at(player, bad);
        assert_eq!(refused, Err(StoreError::InvalidPosition), "{bad:?}");
    }
}
