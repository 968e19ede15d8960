//! A journal that is full, followed by another one: what is lost from the first is not covered up by the second.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::super::super::integrity;
use super::super::super::{Engine, EngineOptions};
use super::super::small;
use super::folder::{Damage, Filled, Outcome, Random, Rows, commit, note, try_out};
use crate::embedded::tables::Table;

/// Bytes of a row: they can't be compressed, so that a journal fills with few.
const ROW_BYTES: usize = 1_000_000;

/// Damages that are tried. Each replays the journals.
const TRIED: usize = 10;

/// A store with two journals: the first is kept for the rows of a table that has no files yet.
fn filled(random: &mut Random) -> Filled {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        memtable_bytes: 20 * 1024 * 1024,
        ..small()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    let mut history = vec![Rows::new()];
    let mut after = 0;
    for number in 0_u32.. {
        let mut row = vec![0; ROW_BYTES];
        for chunk in row.chunks_mut(8) {
            let bytes = random.below(usize::MAX).to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        let small_row = number.to_be_bytes().to_vec();
        let changes = vec![
            (
                Table::EntityRows,
                number.to_be_bytes().to_vec(),
                Some(small_row),
            ),
            (Table::Entries, vec![0], Some(row)),
        ];
        let mut rows = history.last().unwrap().clone();
        note(&mut rows, &changes);
        // Only the newest states are compared with: each holds a row of a megabyte.
        if history.len() == 2 {
            history.remove(0);
        }
        history.push(rows);
        commit(&engine, changes);
        after += usize::from(dir.path().join("data/1.jnl").exists());
        if after == 5 {
            break;
        }
        assert!(number < 200, "the first journal never ends");
    }
    engine.close();
    Filled::of(dir, history)
}

/// Where the batches of a journal end.
fn ends(journal: &[u8]) -> Vec<usize> {
    const TRAILER: &[u8] = b"FJL\x03";
    let found = journal.windows(TRAILER.len()).enumerate();
    found
        .filter(|(_, bytes)| *bytes == TRAILER)
        .map(|(place, _)| place + TRAILER.len())
        .collect()
}

#[test]
fn a_full_journal_is_whole_or_refused() {
    let mut random = Random::new();
    let filled = filled(&mut random);
    let full = PathBuf::from("data/0.jnl");
    let path = filled.dir.path().join(&full);
    let began = Instant::now();
    let data = filled.dir.path().join("data");
    let newest = integrity::check(&data, &data.join("keyspaces")).unwrap();
    let checked = began.elapsed();
    assert_eq!(newest.map(|newest| newest.commit), filled.marked());
    let whole = try_out(&filled, &full, Damage::Cut(usize::MAX), "whole");
    assert!(matches!(whole, Outcome::Holds(_)), "{whole:?}");

    let bytes = fs::read(&path).unwrap();
    let ends = ends(&bytes);
    let used = *ends.last().unwrap();
    println!(
        "{} commits in {used} bytes, checked in {checked:?}",
        ends.len()
    );
    assert!(ends.len() > 50, "{} batches", ends.len());
    // Cut between two batches, nothing is torn: only the next journal shows that some are missing.
    let mut damages = vec![
        Damage::Cut(0),
        Damage::Cut(ends[ends.len() / 2]),
        Damage::Cut(ends[ends.len() - 2]),
        // The place in time of a batch in the middle, which no checksum covers.
        Damage::Flip(ends[ends.len() / 2] + 6, 5),
        Damage::Flip(ends[ends.len() / 2] + 9, 0),
    ];
    while damages.len() < TRIED {
        damages.push(match damages.len() % 2 {
            0 => Damage::Cut(random.below(used)),
            _ => Damage::Flip(random.below(used), random.below(8)),
        });
    }
    for damage in damages {
        let place = format!("seed {}, {damage:?}", random.seed);
        match try_out(&filled, &full, damage, &place) {
            Outcome::Refused(text) => assert!(text.contains("data/0.jnl"), "{place}: {text}"),
            other => panic!("{place}: {other:?}"),
        }
    }
}
