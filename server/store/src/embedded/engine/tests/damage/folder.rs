//! Stores with rows, and what becomes of a copy with one fault in it.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::super::folder::read_commit_mark;
use super::super::super::{Engine, EngineOptions, Limit, OpenError, Range};
use super::super::folders::{files_below, own_dir};
use super::super::small;
use crate::StoreError;
use crate::embedded::tables::Table;

/// How long opening, reading and closing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tables with rows: some whose rows are in table files, one whose rows are in the journal only.
pub(super) const TABLES: [Table; 4] = [
    Table::EntityRows,
    Table::Lists,
    Table::Entries,
    Table::Signals,
];

const COMMITS: usize = 60;

/// All rows, by table and key.
pub(super) type Rows = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// Numbers that look random, and come again with the same seed.
pub(super) struct Random {
    pub(super) seed: u64,
    state: u64,
}

impl Random {
    pub(super) fn new() -> Self {
        let mut drawn = [0; 8];
        getrandom::fill(&mut drawn).unwrap();
        let seed = u64::from_le_bytes(drawn) | 1;
        println!("seed {seed}");
        Self { seed, state: seed }
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % bound as u64).unwrap()
    }
}

/// One fault of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    /// This bit of this byte is another.
    Flip(usize, usize),
    /// Nothing follows from this byte on.
    Cut(usize),
}

impl Damage {
    pub(super) fn apply(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        match self {
            Self::Flip(place, bit) => bytes[place] ^= 1 << bit,
            Self::Cut(place) => bytes.truncate(place),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// What became of a damaged store.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was not opened, in these words.
    Refused(String),
    /// It was opened, and some rows are said to be damaged; all others are right.
    Unreadable,
    /// It holds exactly the rows of so many commits.
    Holds(usize),
}

/// A store that was closed in order, and what it held after each commit.
pub(super) struct Filled {
    pub(super) dir: tempfile::TempDir,
    history: Vec<Rows>,
}

impl Filled {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            memtable_bytes: 8 * 1024,
            ..small()
        };
        let engine = Engine::open(dir.path(), options).unwrap();
        let mut history = vec![Rows::new()];
        for number in 0..COMMITS {
            if number == COMMITS / 2 {
                wait_for_table_files(dir.path());
            }
            let changes = changes_of(number);
            let mut rows = history[number].clone();
            note(&mut rows, &changes);
            history.push(rows);
            commit(&engine, changes);
        }
        engine.close();
        // Opening once more cuts the unused part of the journal off, 64 MiB that would be copied each time.
        Engine::open(dir.path(), small()).unwrap().close();
        Self { dir, history }
    }

    pub(super) fn of(dir: tempfile::TempDir, history: Vec<Rows>) -> Self {
        Self { dir, history }
    }

    /// How many commits with rows there were.
    pub(super) fn commits(&self) -> usize {
        self.history.len() - 1
    }

    pub(super) fn marked(&self) -> Option<u64> {
        read_commit_mark(self.dir.path())
    }

    /// All files, below the folder.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let root = self.dir.path();
        let files = files_below(root);
        let below = files.iter().map(|file| file.strip_prefix(root).unwrap());
        below.map(Path::to_path_buf).collect()
    }

    /// The only journal.
    pub(super) fn journal(&self) -> PathBuf {
        let journals: Vec<_> = self
            .files()
            .into_iter()
            .filter(|file| file.extension().is_some_and(|kind| kind == "jnl"))
            .collect();
        assert_eq!(journals.len(), 1);
        journals[0].clone()
    }

    /// A copy. Table files are never written again, so they are shared.
    pub(super) fn copy(&self, damaged: &Path) -> tempfile::TempDir {
        let dir = own_dir();
        for file in self.files() {
            let target = dir.path().join(&file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            let source = self.dir.path().join(&file);
            if file != damaged && file.parent().unwrap().ends_with("tables") {
                fs::hard_link(source, target).unwrap();
            } else {
                fs::copy(source, target).unwrap();
            }
        }
        dir
    }
}

/// Tables and rows that a commit changes; removed without a value.
type Changes = Vec<(Table, Vec<u8>, Option<Vec<u8>>)>;

fn changes_of(number: usize) -> Changes {
    let byte = u8::try_from(number).unwrap();
    let text = format!("{number} ");
    let mut changes = vec![
        (
            Table::EntityRows,
            vec![byte % 7],
            Some(text.repeat(250).into()),
        ),
        (Table::Lists, vec![byte, 1], Some(text.repeat(90).into())),
        (Table::Entries, vec![byte], Some(vec![byte; 5_000])),
        (Table::Signals, vec![byte % 9], Some(text.into())),
    ];
    if number % 5 == 4 {
        changes.push((Table::Lists, vec![byte - 3, 1], None));
        changes.push((Table::Signals, vec![byte % 9], None));
    }
    changes
}

pub(super) fn note(rows: &mut Rows, changes: &Changes) {
    for (table, key, value) in changes {
        match value {
            Some(value) => rows.insert((table.index(), key.clone()), value.clone()),
            None => rows.remove(&(table.index(), key.clone())),
        };
    }
}

pub(super) fn commit(engine: &Engine, changes: Changes) {
    let (done, outcome) = mpsc::channel();
    let reservation = engine.reserve(1).unwrap();
    engine.submit(
        reservation,
        1,
        Box::new(move |tx| {
            for (table, key, value) in changes {
                match value {
                    Some(value) => tx.put(table, key, value),
                    None => tx.delete(table, key),
                }
            }
            Ok(())
        }),
        Box::new(move |outcome| done.send(outcome).unwrap()),
    );
    outcome.recv().unwrap().unwrap();
}

fn wait_for_table_files(dir: &Path) {
    let table_files = || {
        let files = files_below(dir);
        let tables = files
            .iter()
            .filter(|file| file.parent().unwrap().ends_with("tables"));
        tables.count()
    };
    let began = Instant::now();
    // The library keeps some of its own.
    let own = 4;
    while table_files() < own && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Damages a copy, opens it twice and reads everything each time.
///
/// # Panics
/// On every other outcome: a panic of the library, a wrong or lost row, an error of another kind, a wait without end.
pub(super) fn try_out(filled: &Filled, file: &Path, damage: Damage, place: &str) -> Outcome {
    let dir = filled.copy(file);
    damage.apply(&dir.path().join(file));
    let (done, outcome) = mpsc::channel();
    let history = filled.history.clone();
    let folder = dir.path().to_path_buf();
    std::thread::spawn(move || {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let first = open_and_read(&folder, &history);
            // What the library did meanwhile, merging files among it, has not turned damage into loss.
            let second = open_and_read(&folder, &history);
            match (&first, &second) {
                (Outcome::Holds(commits), Outcome::Holds(again)) => assert_eq!(commits, again),
                (Outcome::Holds(_), _) => panic!("{first:?}, then {second:?}"),
                (Outcome::Refused(_), Outcome::Holds(_)) => panic!("refused, then opened"),
                _ => {}
            }
            first
        }));
        done.send(tried).ok();
    });
    match outcome.recv_timeout(PATIENCE) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("{place}: {}", text.unwrap_or("it broke off"));
        }
        Err(_) => panic!("{place}: no end after {PATIENCE:?}"),
    }
}

/// Opens a folder that this test closed before. A child that another test begins has a copy of the lock until it runs its program.
fn open_alone(dir: &Path) -> Result<Engine, OpenError> {
    let began = Instant::now();
    loop {
        match Engine::open(dir, small()) {
            Err(OpenError::Locked { .. }) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

fn open_and_read(dir: &Path, history: &[Rows]) -> Outcome {
    let engine = match open_alone(dir) {
        Ok(engine) => engine,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&dir.display().to_string()), "{text}");
            match error {
                OpenError::Damaged { .. }
                | OpenError::NotAStore { .. }
                | OpenError::SchemaNewer { .. }
                | OpenError::SchemaOlder { .. } => return Outcome::Refused(text),
                _ => panic!("{text}"),
            }
        }
    };
    let newest = history.last().unwrap();
    let outcome = match read_all(&engine) {
        Ok(rows) => {
            let commits = history.iter().rposition(|then| *then == rows);
            Outcome::Holds(commits.expect("the rows are those after some commit"))
        }
        Err(StoreError::Damaged(_)) => {
            for ((table, key), value) in newest {
                match engine.get(Table::ALL[*table], key) {
                    Ok(Some(row)) => assert!(row == *value, "a row of {table} is wrong"),
                    Ok(None) => panic!("a row of {table} is lost"),
                    Err(StoreError::Damaged(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            Outcome::Unreadable
        }
        Err(other) => panic!("{other}"),
    };
    engine.close();
    outcome
}

/// All rows, found in the order of their keys, against it, and one by one.
fn read_all(engine: &Engine) -> Result<Rows, StoreError> {
    let limit = Limit::new(usize::MAX, usize::MAX);
    let mut rows = Rows::new();
    for table in TABLES {
        let forth = engine.scan(table, &Range::all(), false, limit)?;
        let mut back = engine.scan(table, &Range::all(), true, limit)?;
        back.reverse();
        assert!(forth == back, "{table:?} is another one from its end");
        for (key, value) in forth {
            let one = engine.get(table, &key)?;
            assert_eq!(one.as_ref(), Some(&value), "{table:?}");
            rows.insert((table.index(), key.to_vec()), value.to_vec());
        }
    }
    Ok(rows)
}
