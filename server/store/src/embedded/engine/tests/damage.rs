//! Bits that flip and files that are cut off: found and named, never served.

mod folder;
mod journals;

use std::fs;
use std::path::Path;

use parking_lot::Mutex;

use self::folder::{Damage, Filled, Outcome, Random, try_out};
use super::super::folder::write_commit_mark;
use super::super::integrity;

/// Flips and cuts of each file that holds something of ours.
const EACH: usize = 12;

/// The same of a file that belongs to a table without rows.
const EACH_OF_EMPTY: usize = 3;

/// How many copies are tried out at once.
const AT_ONCE: usize = 6;

/// Places in a file: its ends and its middle, then at random.
fn damages(random: &mut Random, bytes: usize, count: usize) -> Vec<Damage> {
    let mut damages = vec![
        Damage::Cut(0),
        Damage::Flip(0, 0),
        Damage::Flip(bytes - 1, 7),
        Damage::Flip(bytes / 2, 3),
        Damage::Cut(bytes - 1),
    ];
    while damages.len() < count {
        let place = random.below(bytes);
        damages.push(match damages.len() % 4 {
            0 => Damage::Cut(place),
            _ => Damage::Flip(place, random.below(8)),
        });
    }
    damages.truncate(count);
    damages
}

/// Whether a file is one of a table without rows.
fn is_of_empty_table(file: &Path, filled: &Filled) -> bool {
    let table = file.parent().filter(|table| {
        let above = table.parent();
        above.is_some_and(|above| above.ends_with("keyspaces"))
    });
    table.is_some_and(|table| {
        let rows = filled.dir.path().join(table).join("tables");
        fs::read_dir(rows).is_ok_and(|mut files| files.next().is_none())
    })
}

/// Any file, anywhere: the store is refused, or says which rows it can't read, or has exactly those that were committed.
#[test]
fn one_bit_or_one_cut_is_found_or_harmless() {
    let mut random = Random::new();
    let filled = Filled::new();
    let mut trials = Vec::new();
    for file in filled.files() {
        let bytes = fs::metadata(filled.dir.path().join(&file)).unwrap().len();
        let bytes = usize::try_from(bytes).unwrap();
        if bytes == 0 {
            continue;
        }
        let count = if is_of_empty_table(&file, &filled) {
            EACH_OF_EMPTY
        } else {
            EACH
        };
        let damages = damages(&mut random, bytes, count);
        trials.extend(damages.into_iter().map(|damage| (file.clone(), damage)));
    }
    let flips = trials
        .iter()
        .filter(|(_, damage)| matches!(damage, Damage::Flip(..)))
        .count();
    let cuts = trials.len() - flips;
    let totals = Mutex::new((0, 0));
    let (seed, found, store) = (random.seed, &totals, &filled);
    // Several at once: most of the time goes into waiting for the disk.
    std::thread::scope(|scope| {
        for share in trials.chunks(trials.len().div_ceil(AT_ONCE)) {
            scope.spawn(move || {
                for (file, damage) in share {
                    let place = format!("seed {seed}, {} {damage:?}", file.display());
                    match try_out(store, file, *damage, &place) {
                        Outcome::Refused(_) => found.lock().0 += 1,
                        Outcome::Unreadable => found.lock().1 += 1,
                        Outcome::Holds(commits) => {
                            assert_eq!(commits, store.commits(), "{place}: commits are missing");
                        }
                    }
                }
            });
        }
    });
    let (refused, unreadable) = *totals.lock();
    println!("{flips} flips, {cuts} cuts: {refused} refused, {unreadable} found when reading");
    assert!(flips >= 200 && cuts >= 60, "{flips} flips, {cuts} cuts");
    assert!(refused >= 100 && unreadable >= 5, "{refused} {unreadable}");
}

/// The process was killed before the newest commits were marked: damage before the last of them is found all the same.
#[test]
fn damage_of_a_journal_is_found_without_the_mark() {
    let mut random = Random::new();
    let filled = Filled::new();
    write_commit_mark(filled.dir.path(), 1).unwrap();
    let journal = filled.journal();
    let bytes = fs::read(filled.dir.path().join(&journal)).unwrap().len();
    let (mut refused, mut cut_short) = (0, 0);
    let mut damages = vec![Damage::Cut(bytes - 3)];
    damages.resize_with(60, || Damage::Flip(random.below(bytes), random.below(8)));
    for damage in damages {
        let place = format!("seed {}, {damage:?} of {bytes}", random.seed);
        match try_out(&filled, &journal, damage, &place) {
            Outcome::Refused(text) => {
                let named = [".jnl", "JournalRecovery", "journals do not end"];
                assert!(named.iter().any(|name| text.contains(name)), "{text}");
                refused += 1;
            }
            Outcome::Unreadable => panic!("{place}: opened, and yet damaged"),
            Outcome::Holds(commits) => {
                // As if the last one had not been written to the end.
                assert!(
                    commits + 1 >= filled.commits(),
                    "{place}: {commits} are left"
                );
                cut_short += usize::from(commits < filled.commits());
            }
        }
    }
    println!("{refused} refused, {cut_short} without the last commit");
    assert!(refused >= 30, "{refused} refused");
}

/// What is checked before opening is all there is: the journal is read to its end.
#[test]
fn what_was_not_damaged_is_read_to_its_end() {
    let filled = Filled::new();
    let data = filled.dir.path().join("data");
    let newest = integrity::check(&data, &data.join("keyspaces")).unwrap();
    assert!(newest.is_some());
    assert_eq!(newest.map(|newest| newest.commit), filled.marked());
    let journal = filled.journal();
    let outcome = try_out(&filled, &journal, Damage::Cut(usize::MAX), "whole");
    assert!(matches!(outcome, Outcome::Holds(commits) if commits == filled.commits()));
}
