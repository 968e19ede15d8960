//! What the library takes on trust when it opens its files, checked before it does.
//!
//! The library checks each block of a table file when it reads it, and each batch of a journal when it replays it. Some it
//! does not check, and acts on: it follows a list of table files whatever it says, and deletes the files that are not in
//! it; it cuts a journal off where it can't read on, and goes on with the next journal; it takes the place of a batch
//! in time from a number that no checksum covers. So each bit of those files could lose, or bring back, rows that nobody
//! misses until they are asked for. Checked here, with nothing written:
//!
//! - each **list of table files** against the checksum that is kept beside it;
//! - each **journal** from its first byte to its last: every batch is whole, in the order of time, and holds the commit
//!   after the one before it. Only the last batch of the last journal may be cut short, by a crash: it was never reported
//!   as done. If the journals end before the mark of durable commits ([`super::folder`]), or before a row that is in a table
//!   file, the folder is refused.
//!
//! | damage | found | what is said |
//! |---|---|---|
//! | a list of table files, a journal, a file that is missing | at opening | [`OpenError::Damaged`](super::OpenError::Damaged), naming the file |
//! | head, index or end of a table file | at opening | the same |
//! | rows of a table file | when they are read | [`StoreError::Damaged`](crate::StoreError::Damaged); other rows can be read |
//! | the newest commit, if the process was killed before it was marked (a second) | at opening, unless its beginning or end is damaged: then it looks as if it had not been written to the end | nothing: it is missing |
//! | the place in time of the first commit in the oldest journal | not, if it became earlier | nothing: of its rows, those of some tables may be missing |
//!
//! What the operator does: keep a copy of the folder, and restore a backup. Who has none and would rather lose what was
//! written since than everything cuts the journal off at the place that is named, deletes the journals with higher numbers
//! and the mark of durable commits, and starts again.

mod journal;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// The file by which the library knows the format of a database.
const FORMAT_FILE: &str = "version";

/// The format whose files are known here. A later one is left to the library.
const FORMAT: &[u8] = b"FJL\x03";

/// Bytes of the file that says which list of table files is the newest: its number, its checksum, and how that is made.
const CURRENT_BYTES: usize = 8 + 16 + 1;

/// How the checksum of a list is made.
const XXH3: u8 = 0;

/// What is wrong.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The system refused to read.
    Io(io::Error),
    /// A file does not hold what was written; this says which, and what was found.
    Damaged(String),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The newest commit in the journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// Its number.
    pub(super) commit: u64,
    /// Its place in time, which no row in a table file is behind.
    pub(super) seqno: u64,
}

/// Checks the files of the library's database in `data`. The newest commit in its journals, if there is one.
pub(super) fn check(data: &Path, tables: &Path) -> Result<Option<Newest>, Flaw> {
    match fs::read(data.join(FORMAT_FILE)) {
        Ok(format) if format == FORMAT => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => return Ok(None),
    }
    for entry in fs::read_dir(tables)? {
        let table = entry?.path();
        if table.is_dir() {
            check_list(&table)?;
        }
    }
    journal::check(data)
}

/// Checks the newest list of the files of one table.
fn check_list(table: &Path) -> Result<(), Flaw> {
    let current = table.join("current");
    let bytes = match fs::read(&current) {
        Ok(bytes) => bytes,
        // A table that was never finished; it is counted elsewhere.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let number = bytes.first_chunk().filter(|_| bytes.len() == CURRENT_BYTES);
    let Some(number) = number.filter(|_| bytes.last() == Some(&XXH3)) else {
        return Err(damaged(&current, "it does not name a list of table files"));
    };
    let list = table.join(format!("v{}", u64::from_le_bytes(*number)));
    let listed = match fs::read(&list) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(&list, "it is missing"));
        }
        Err(error) => return Err(error.into()),
    };
    if xxh3_128(&listed).to_le_bytes() != bytes[8..24] {
        return Err(damaged(&list, "its checksum is another"));
    }
    Ok(())
}

/// Names a file by the end of its path: the folder is named by whoever reports it.
fn damaged(file: &Path, what: &str) -> Flaw {
    let mut names: Vec<_> = file
        .iter()
        .rev()
        .take_while(|name| *name != super::open::DATABASE_FOLDER)
        .map(|name| name.to_string_lossy())
        .collect();
    names.push(super::open::DATABASE_FOLDER.into());
    names.reverse();
    Flaw::Damaged(format!("{}: {what}", names.join("/")))
}
