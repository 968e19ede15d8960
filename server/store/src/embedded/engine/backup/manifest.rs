//! What a backup says of itself: when it was made, which files it has, and what each table has to hold. Text, one line for each, and a
//! checksum of all lines at the end.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::BackupError;
use crate::embedded::engine::folder::write_file;
use crate::embedded::tables::Table;

/// The file in the backup's folder.
const MANIFEST_FILE: &str = "pitturu.backup";

/// What it begins with. The number is the version of the manifest.
const FIRST_LINE: &str = "pitturu backup 1";

/// Whether a folder says that it is a backup.
fn is_backup(dir: &Path) -> bool {
    dir.join(MANIFEST_FILE).exists()
}

/// The backup that a path leads to or into, over links too. What is not there yet would lie in the folder above it.
pub(in super::super) fn backup_around(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut above = path.ancestors();
    let there = above.find_map(|above| above.canonicalize().ok())?;
    let backup = there.ancestors().find(|above| is_backup(above));
    backup.map(Path::to_path_buf)
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    /// Of keys and rows.
    pub(super) bytes: u64,
    /// XXH3 of all keys and rows in their order, each behind its length.
    pub(super) digest: u128,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSum {
    /// Its path below the backup's folder.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// XXH3 of its bytes.
    pub(super) digest: u128,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// In milliseconds since 1970.
    pub(super) moment: u64,
    /// Number of the newest commit.
    pub(super) commit: u64,
    pub(super) tables: Vec<(Table, Tally)>,
    /// Every file but the manifest, and what a restored store makes anew.
    pub(super) files: Vec<FileSum>,
}

impl Manifest {
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(MANIFEST_FILE);
        write_file(&path, self.text().as_bytes()).map_err(|error| BackupError::io(&path, error))
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`], [`BackupError::Damaged`], [`BackupError::Io`].
    pub(super) fn read(dir: &Path) -> Result<Self, BackupError> {
        let path = dir.join(MANIFEST_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(BackupError::NotABackup {
                    dir: dir.to_path_buf(),
                    detail: format!("there is no file {MANIFEST_FILE}"),
                });
            }
            Err(error) => return Err(BackupError::io(&path, error)),
        };
        let parsed = std::str::from_utf8(&text).ok().and_then(Self::parse);
        parsed.ok_or_else(|| BackupError::Damaged {
            dir: dir.to_path_buf(),
            detail: format!("{MANIFEST_FILE} is not what was written, or of a newer program"),
        })
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{FIRST_LINE}\nmoment {}\ncommit {}\n",
            self.moment, self.commit
        );
        for (table, tally) in &self.tables {
            let Tally {
                rows,
                bytes,
                digest,
            } = tally;
            // Writing to a string does not fail.
            let _ = writeln!(text, "table {} {rows} {bytes} {digest:032x}", table.name());
        }
        for FileSum {
            name,
            bytes,
            digest,
        } in &self.files
        {
            let _ = writeln!(text, "file {bytes} {digest:032x} {name}");
        }
        let check = xxh3_128(text.as_bytes());
        let _ = writeln!(text, "check {check:032x}");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (lines, check) = text.split_at(text.rfind("check ")?);
        let check = check.strip_prefix("check ")?.strip_suffix('\n')?;
        if u128::from_str_radix(check, 16).ok()? != xxh3_128(lines.as_bytes()) {
            return None;
        }
        let mut lines = lines.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let moment = lines.next()?.strip_prefix("moment ")?.parse().ok()?;
        let commit = lines.next()?.strip_prefix("commit ")?.parse().ok()?;
        let (mut tables, mut files) = (Vec::new(), Vec::new());
        for line in lines {
            match line.split_once(' ')? {
                ("table", rest) => tables.push(table_of(rest)?),
                ("file", rest) => files.push(file_of(rest)?),
                _ => return None,
            }
        }
        Some(Self {
            moment,
            commit,
            tables,
            files,
        })
    }
}

fn table_of(rest: &str) -> Option<(Table, Tally)> {
    let mut words = rest.split(' ');
    let name = words.next()?;
    let table = Table::ALL.iter().find(|table| table.name() == name)?;
    let tally = Tally {
        rows: words.next()?.parse().ok()?,
        bytes: words.next()?.parse().ok()?,
        digest: u128::from_str_radix(words.next()?, 16).ok()?,
    };
    words.next().is_none().then_some((*table, tally))
}

fn file_of(rest: &str) -> Option<FileSum> {
    let mut words = rest.splitn(3, ' ');
    Some(FileSum {
        bytes: words.next()?.parse().ok()?,
        digest: u128::from_str_radix(words.next()?, 16).ok()?,
        name: words.next()?.to_owned(),
    })
}
