//! The library's journals, read as its format 3 has them.
//!
//! A journal is a file of batches, one behind the other, then zeros up to the size that was reserved. A batch is a head
//! (tag, number of items, place in time), its items, and an end (tag, checksum of the items, four letters). Each batch of
//! ours is one commit, and its number is in one of the items; a batch that empties a table has none.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::super::open::COMMIT_KEY;
use super::{Flaw, Newest, damaged};

const HEAD: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// How a batch ends.
const TRAILER: &[u8] = b"FJL\x03";

/// Bytes of an item before its key: tag, kind of change, compression, table, length of the key, length of the value before
/// and after compression.
const ITEM_HEAD_BYTES: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;

/// The library's number of [`Table::Meta`](crate::embedded::tables::Table::Meta), the first table that a store creates.
const META: u64 = 1;

/// Most by which the place in time grows from one commit to the next. Each commit takes one; flushes and compactions between
/// two commits take a few more.
const STEP_MAX: u64 = 1 << 32;

/// Most bytes that are looked at for a batch behind the end of a journal: they may hold whatever players wrote, and
/// should cost no more than reading them.
const SEARCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A batch that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    /// Its place in time.
    seqno: u64,
    /// Number of the commit, if it is one.
    commit: Option<u64>,
}

/// The newest commit so far.
#[derive(Default)]
struct Chain {
    newest: Option<(u64, u64)>,
}

impl Chain {
    /// What is wrong with a batch that comes next.
    fn follow(&mut self, batch: Batch) -> Result<(), String> {
        let Some(commit) = batch.commit else {
            return Ok(());
        };
        if let Some((newest, seqno)) = self.newest {
            if commit != newest + 1 {
                return Err(format!("commit {newest} is followed by commit {commit}"));
            }
            let step = batch.seqno.saturating_sub(seqno);
            if !(1..=STEP_MAX).contains(&step) {
                return Err(format!("commit {commit} is out of its place in time"));
            }
        }
        self.newest = Some((commit, batch.seqno));
        Ok(())
    }

    /// Whether there were commits before this one that were not read.
    fn misses(&self, batch: Batch) -> bool {
        match (self.newest, batch.commit) {
            (Some((newest, _)), Some(commit)) => commit > newest + 1,
            _ => false,
        }
    }

    /// Whether a batch was written after all that was read.
    fn precedes(&self, batch: Batch) -> bool {
        match (self.newest, batch.commit) {
            (Some((newest, seqno)), Some(commit)) => commit > newest && batch.seqno > seqno,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

/// Checks the journals in `data`. The newest commit in them, if there is one.
pub(super) fn check(data: &Path) -> Result<Option<Newest>, Flaw> {
    let journals = journals(data)?;
    let mut chain = Chain::default();
    for (place, path) in journals.iter().enumerate() {
        let before = place
            .checked_sub(1)
            .map(|before| journals[before].as_path());
        let last = place + 1 == journals.len();
        check_journal(path, before, last, &mut chain)?;
    }
    Ok(chain.newest.map(|(commit, seqno)| Newest { commit, seqno }))
}

/// Journals in the order in which they were written.
fn journals(data: &Path) -> Result<Vec<PathBuf>, Flaw> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "jnl") {
            let number = path.file_stem().and_then(|name| name.to_str());
            let number: u64 = number
                .and_then(|name| name.parse().ok())
                .ok_or_else(|| damaged(&path, "a journal's name is a number"))?;
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn check_journal(
    path: &Path,
    before: Option<&Path>,
    last: bool,
    chain: &mut Chain,
) -> Result<(), Flaw> {
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path)?);
    let mut buffer = Vec::new();
    let mut at = 0;
    let at_byte = |at: u64, what: &str| damaged(path, &format!("at byte {at}, {what}"));
    while let Some((batch, bytes)) = read_batch(&mut file, &mut buffer)? {
        if let Some(before) = before.filter(|_| at == 0 && chain.misses(batch)) {
            return Err(damaged(
                before,
                "its end is missing: the next journal begins later",
            ));
        }
        chain.follow(batch).map_err(|what| at_byte(at, &what))?;
        at += bytes;
    }
    let rest = rest_of(&mut file, at)?;
    if !last {
        if at == 0 {
            return Err(damaged(path, "it holds nothing, and another one follows"));
        }
        if !rest.is_empty() {
            return Err(at_byte(at, "a batch is not whole"));
        }
    } else if let Some(later) = later_batch(&rest, chain, &mut buffer)? {
        let what = format!(
            "a batch is not whole, and one follows at byte {}",
            at + later
        );
        return Err(at_byte(at, &what));
    } else if !rest.is_empty() {
        let bytes = rest.len();
        tracing::info!(journal = %path.display(), bytes, "the last batch was cut short, and is dropped");
    }
    Ok(())
}

/// What follows the batches, without the zeros at the end.
fn rest_of(file: &mut BufReader<File>, at: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut rest = Vec::new();
    let mut zeros = 0;
    let mut chunk = vec![0; 256 * 1024];
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => return Ok(rest),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match chunk[..read].iter().rposition(|&byte| byte != 0) {
            Some(used) => {
                rest.resize(rest.len() + zeros, 0);
                rest.extend_from_slice(&chunk[..=used]);
                zeros = read - used - 1;
            }
            None => zeros += read,
        }
    }
}

/// Where in `rest` a later commit begins. After a crash there is none: a commit is written when the one before it is on
/// disk.
fn later_batch(rest: &[u8], chain: &Chain, buffer: &mut Vec<u8>) -> Result<Option<u64>, Flaw> {
    let mut looked_at = 0;
    for (place, _) in rest.iter().enumerate().filter(|(_, byte)| **byte == HEAD) {
        let mut from = Counted {
            inner: &rest[place..],
            bytes: 0,
        };
        if let Some((batch, _)) = read_batch(&mut from, buffer)?
            && chain.precedes(batch)
        {
            return Ok(Some(place as u64));
        }
        looked_at += from.bytes;
        if looked_at > SEARCH_BYTES_MAX {
            break;
        }
    }
    Ok(None)
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// The next batch and its bytes; none if what follows is not a whole one.
fn read_batch(from: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Option<(Batch, u64)>, Flaw> {
    let mut from = Counted {
        inner: from,
        bytes: 0,
    };
    match whole_batch(&mut from, buffer) {
        Ok(batch) => Ok(batch.map(|batch| (batch, from.bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn whole_batch(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<Batch>> {
    if take::<1>(from)? != [HEAD] {
        return Ok(None);
    }
    let count = u32::from_le_bytes(take(from)?);
    let seqno = u64::from_le_bytes(take(from)?);
    let mut checksum = Xxh3::new();
    let mut commit = None;
    for _ in 0..count {
        buffer.clear();
        match take(from)? {
            [ITEM] => {
                commit = commit.or(read_item(from, buffer)?);
            }
            [CLEAR] => {
                buffer.push(CLEAR);
                buffer.extend(take::<8>(from)?);
            }
            _ => return Ok(None),
        }
        checksum.update(buffer);
    }
    if take(from)? != [END]
        || u64::from_le_bytes(take(from)?) != checksum.digest()
        || take::<4>(from)? != TRAILER
    {
        return Ok(None);
    }
    Ok(Some(Batch { seqno, commit }))
}

/// Reads an item behind its tag, all of it into `buffer`. The number of the commit, if it is the item that holds it.
fn read_item(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
    buffer.push(ITEM);
    buffer.extend(take::<{ ITEM_HEAD_BYTES - 1 }>(from)?);
    let table = number::<8>(buffer, 3).map(u64::from_le_bytes);
    let key_bytes = number(buffer, 11).map_or(0, u16::from_le_bytes);
    let value_bytes = number(buffer, 17).map_or(0, u32::from_le_bytes);
    // Not made room for: a damaged length may be that of nothing that is there.
    let rest = u64::from(key_bytes) + u64::from(value_bytes);
    if from.take(rest).read_to_end(buffer)? as u64 != rest {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let (key, value) = buffer[ITEM_HEAD_BYTES..].split_at(usize::from(key_bytes));
    let is_commit = table == Some(META) && key == COMMIT_KEY;
    Ok(is_commit
        .then(|| value.try_into().ok().map(u64::from_be_bytes))
        .flatten())
}

/// The bytes of a number at this place of an item.
fn number<const N: usize>(item: &[u8], at: usize) -> Option<[u8; N]> {
    item.get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .copied()
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
