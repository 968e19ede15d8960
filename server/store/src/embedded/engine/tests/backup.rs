//! Backups: consistent while the store is written, refused when damaged, restored as another epoch.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::{Backup, BackupError, Engine, EngineOptions, Limit, OpenError, Range};
use super::folders::files_below;
use super::small;
use crate::StoreError;
use crate::embedded::tables::Table;

/// Writes before the backup: several pages of rows, in table files and in memory.
const FILLED: u64 = 3_000;

const ROW_BYTES: usize = 1_000;

pub(super) fn options() -> EngineOptions {
    EngineOptions {
        memtable_bytes: 256 * 1024,
        ..small()
    }
}

/// Each write changes three tables, one of which says which one it was.
async fn write(engine: &Engine, number: u64) -> Result<(), StoreError> {
    let job = move |tx: &mut super::super::Tx<'_>| {
        let key = number.to_be_bytes();
        tx.put(Table::EntityRows, key, vec![key[7]; ROW_BYTES]);
        tx.put(Table::Lists, key, key);
        tx.put(Table::Claims, b"newest", key);
        Ok(())
    };
    engine.write(job).await
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// The newest write in a store, which holds every one before it, whole, and nothing behind it.
fn newest(engine: &Engine) -> u64 {
    let row = engine.get(Table::Claims, b"newest").unwrap().unwrap();
    let newest = number_of(&row);
    let limit = Limit::new(usize::MAX, usize::MAX);
    for table in [Table::EntityRows, Table::Lists] {
        let rows = engine.scan(table, &Range::all(), false, limit).unwrap();
        let numbers: Vec<_> = rows.iter().map(|(key, _)| number_of(key)).collect();
        assert_eq!(numbers, (1..=newest).collect::<Vec<_>>(), "{table:?}");
        for (key, row) in rows {
            let expected = match table {
                Table::Lists => key.to_vec(),
                _ => vec![key[7]; ROW_BYTES],
            };
            assert_eq!(row.as_ref(), expected, "{table:?} {}", number_of(&key));
        }
    }
    newest
}

fn filled(dir: &Path, writes: u64) -> Engine {
    let engine = Engine::open(dir, options()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let writes = (1..=writes).map(|number| write(&engine, number));
        for written in futures_util::future::join_all(writes).await {
            written.unwrap();
        }
    });
    engine
}

/// Restores without any reserve.
pub(super) fn restore(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    super::super::restore(from, to, 0)
}

/// Restores into a folder of its own, and opens that.
fn restored(backup: &Path, to: &Path) -> Engine {
    restore(backup, to).unwrap();
    Engine::open(to, options()).unwrap()
}

#[test]
fn a_backup_under_load_is_a_prefix_of_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(&dir.path().join("store"), FILLED);
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(FILLED));
    let writing = std::thread::spawn({
        let (engine, stop) = (engine.clone(), Arc::clone(&stop));
        let acknowledged = Arc::clone(&acknowledged);
        move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let mut number = FILLED;
            while !stop.load(Ordering::Acquire) {
                number += 1;
                runtime.block_on(write(&engine, number)).unwrap();
                acknowledged.store(number, Ordering::Release);
            }
            number
        }
    });
    let mut backups = Vec::new();
    for number in 0..3 {
        let before = acknowledged.load(Ordering::Acquire);
        let to = dir.path().join(format!("backups/{number}"));
        let backup = engine.backup(&to).unwrap();
        let after = acknowledged.load(Ordering::Acquire);
        assert!(after > before, "writes went on: {before} to {after}");
        backups.push((backup, before, after));
    }
    stop.store(true, Ordering::Release);
    writing.join().unwrap();
    let epoch = engine.epoch();
    engine.close();
    for (backup, before, after) in backups {
        let to = dir.path().join(format!("restored from {before}"));
        let again = restored(&backup.dir, &to);
        let newest = newest(&again);
        assert!(
            (before..=after + 1).contains(&newest),
            "{before} {newest} {after}"
        );
        assert_ne!(again.epoch(), epoch);
        assert_eq!(backup.tables, Table::ALL.len());
        assert!(backup.rows >= 2 * newest && backup.bytes > newest * ROW_BYTES as u64);
        // It goes on, and is found whole by the next start.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(write(&again, newest + 1)).unwrap();
        let epoch = again.epoch();
        again.close();
        let again = Engine::open(&to, options()).unwrap();
        assert_eq!(self::newest(&again), newest + 1);
        assert_eq!(again.epoch(), epoch, "an epoch lasts");
        again.close();
    }
}

/// A store with a few writes and its backup.
pub(super) fn backed_up() -> (tempfile::TempDir, Backup) {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(&dir.path().join("store"), 200);
    let backup = engine.backup(&dir.path().join("backups/one")).unwrap();
    engine.close();
    (dir, backup)
}

#[test]
fn a_backup_is_its_owners_alone_and_no_store() {
    let (dir, backup) = backed_up();
    for file in files_below(&backup.dir) {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert_eq!(mode(file.parent().unwrap()), 0o700, "{}", file.display());
    }
    let refused = Engine::open(&backup.dir, options()).err().unwrap();
    assert!(matches!(refused, OpenError::Backup { .. }), "{refused}");
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    let refused = engine.backup(&backup.dir).unwrap_err();
    assert!(matches!(refused, BackupError::Exists { .. }), "{refused}");
    assert_eq!(newest(&engine), 200, "the store goes on");
}

#[test]
fn nothing_is_restored_over_what_is_there() {
    let (dir, backup) = backed_up();
    let store = dir.path().join("store");
    let refused = restore(&backup.dir, &store).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty { .. }), "{refused}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        restore(&backup.dir, &file),
        Err(BackupError::NotEmpty { .. })
    ));
    for not_one in [&store, &dir.path().join("nothing")] {
        let refused = restore(not_one, &dir.path().join("new")).unwrap_err();
        assert!(
            matches!(refused, BackupError::NotABackup { .. }),
            "{refused}"
        );
    }
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(newest(&restored(&backup.dir, &empty)), 200);
}

pub(super) fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn what_a_killed_copy_left_is_removed_and_what_another_makes_is_not() {
    let (dir, backup) = backed_up();
    let backups = dir.path().join("backups");
    let begun = |name: &str| {
        let part = backups.join(name);
        fs::create_dir_all(part.join("data")).unwrap();
        fs::write(part.join("pitturu.part"), "").unwrap();
        part
    };
    let left = begun("two.pitturu-part");
    let made = begun("three.pitturu-part");
    let lock = File::open(&made).unwrap();
    lock.try_lock().unwrap();
    assert!(
        restore(&left, &dir.path().join("new")).is_err(),
        "it is no backup"
    );
    // It was killed before it could write anything.
    fs::create_dir(backups.join("four.pitturu-part")).unwrap();
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    let refused = engine.backup(&backups.join("three")).unwrap_err();
    assert!(matches!(refused, BackupError::InUse { .. }), "{refused}");
    assert!(made.exists() && !left.exists());
    drop(lock);
    engine.backup(&backups.join("four")).unwrap();
    assert_eq!(names_in(&backups), ["four", "one"]);
    assert_eq!(backup.dir, backups.join("one"));
    for made in ["one", "four"] {
        assert!(!backups.join(made).join("pitturu.part").exists());
    }
}

#[test]
fn a_folder_that_no_copy_has_begun_is_removed_by_none() {
    let (dir, backup) = backed_up();
    let backups = dir.path().join("backups");
    let strangers = ["photos.pitturu-part", "two.pitturu-part"];
    for above in [&backups, &dir.path().to_path_buf()] {
        for stranger in strangers {
            fs::create_dir(above.join(stranger)).unwrap();
            fs::write(above.join(stranger).join("theirs"), "").unwrap();
        }
    }
    // A backup that somebody has renamed.
    fs::rename(&backup.dir, backups.join("one.pitturu-part")).unwrap();
    let from = backups.join("one.pitturu-part");
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    engine.backup(&backups.join("three")).unwrap();
    let refused = engine.backup(&backups.join("two")).unwrap_err();
    assert!(matches!(refused, BackupError::NotBegun { .. }), "{refused}");
    engine.close();
    assert_eq!(newest(&restored(&from, &dir.path().join("new"))), 200);
    let refused = restore(&from, &dir.path().join("two")).unwrap_err();
    assert!(matches!(refused, BackupError::NotBegun { .. }), "{refused}");
    for above in [&backups, &dir.path().to_path_buf()] {
        for stranger in strangers {
            assert!(above.join(stranger).join("theirs").exists(), "{stranger}");
        }
    }
}

#[test]
fn nothing_is_called_what_unfinished_folders_are_called() {
    let (dir, backup) = backed_up();
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    for name in ["two.pitturu-part", ".pitturu-part", "two.PITTURU-part"] {
        let to = dir.path().join("backups").join(name);
        let refused = engine.backup(&to).unwrap_err();
        assert!(matches!(refused, BackupError::Reserved { .. }), "{refused}");
        let refused = restore(&backup.dir, &dir.path().join(name)).unwrap_err();
        assert!(matches!(refused, BackupError::Reserved { .. }), "{refused}");
        assert!(!to.exists() && !dir.path().join(name).exists());
    }
}

#[test]
fn what_is_restored_takes_no_link_s_place() {
    let (dir, backup) = backed_up();
    let (link, leads_to) = (dir.path().join("link"), dir.path().join("elsewhere"));
    std::os::unix::fs::symlink(&leads_to, &link).unwrap();
    for is_there in [false, true] {
        if is_there {
            fs::create_dir(&leads_to).unwrap();
        }
        for to in [link.clone(), dir.path().join("link/")] {
            let refused = restore(&backup.dir, &to).unwrap_err();
            assert!(matches!(refused, BackupError::Fixed { .. }), "{refused}");
            assert!(refused.to_string().contains("--data"), "{refused}");
        }
    }
    assert_eq!(newest(&restored(&backup.dir, &leads_to)), 200);
}

#[test]
fn one_backup_is_made_at_a_time_and_a_store_that_closes_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(&dir.path().join("store"), FILLED);
    let first = std::thread::spawn({
        let (engine, to) = (engine.clone(), dir.path().join("backups/first"));
        move || engine.backup(&to)
    });
    let part = dir.path().join("backups/first.pitturu-part");
    while !part.exists() {
        assert!(!first.is_finished(), "it was too fast to be seen");
        std::thread::sleep(Duration::from_millis(1));
    }
    let refused = engine
        .backup(&dir.path().join("backups/second"))
        .unwrap_err();
    assert!(matches!(refused, BackupError::UnderWay), "{refused}");
    engine.close();
    let ended = first.join().unwrap().unwrap_err();
    assert!(matches!(ended, BackupError::Store(_)), "{ended}");
    assert_eq!(fs::read_dir(dir.path().join("backups")).unwrap().count(), 0);
}

/// What the store keeps in reserve is not for backups, which may lie on its disk.
#[test]
fn a_backup_ends_before_it_takes_the_reserve() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    filled(&store, 10).close();
    let options = EngineOptions {
        free_bytes_min: u64::MAX,
        ..options()
    };
    let engine = Engine::open(&store, options).unwrap();
    let refused = engine.backup(&dir.path().join("backups/one")).unwrap_err();
    assert!(matches!(refused, BackupError::Full { .. }), "{refused}");
    assert_eq!(fs::read_dir(dir.path().join("backups")).unwrap().count(), 0);
    assert_eq!(newest(&engine), 10);
}

#[test]
fn a_restore_ends_before_it_takes_the_reserve() {
    let (dir, backup) = backed_up();
    let to = dir.path().join("new");
    let refused = super::super::restore(&backup.dir, &to, u64::MAX).unwrap_err();
    assert!(matches!(refused, BackupError::Full { .. }), "{refused}");
    assert_eq!(names_in(dir.path()), ["backups", "store"]);
}

/// A copy of a backup with one file changed.
fn damaged(backup: &Path, to: &Path, file: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    for source in files_below(backup) {
        let target = to.join(source.strip_prefix(backup).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&source, target).unwrap();
    }
    let path = to.join(file);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
    to.to_path_buf()
}

/// Whatever file it is: a restore is refused and leaves nothing, or brings exactly what was copied.
#[test]
fn a_damaged_backup_is_refused_or_brings_all_of_it() {
    let (dir, backup) = backed_up();
    let mut refused = 0;
    for (number, file) in files_below(&backup.dir).iter().enumerate() {
        let name = file.strip_prefix(&backup.dir).unwrap();
        let bytes = usize::try_from(fs::metadata(file).unwrap().len()).unwrap();
        let is_rows = name
            .parent()
            .is_some_and(|folder| folder.ends_with("tables"));
        for (way, flip) in [
            ("cut", None),
            ("flip", Some(bytes / 3)),
            ("flip end", bytes.checked_sub(1)),
        ] {
            let from = dir.path().join(format!("damaged {number} {way}"));
            let from = damaged(&backup.dir, &from, name, |bytes| match flip {
                None => bytes.truncate(bytes.len() / 2),
                Some(at) if at < bytes.len() => bytes[at] ^= 4,
                Some(_) => {}
            });
            let to = dir.path().join(format!("restored {number} {way}"));
            match restore(&from, &to) {
                Ok(_) => {
                    assert!(
                        !is_rows || bytes == 0,
                        "{way} of {} was not found",
                        name.display()
                    );
                    let engine = Engine::open(&to, options()).unwrap();
                    assert_eq!(newest(&engine), 200, "{way} of {}", name.display());
                    engine.close();
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    assert!(!to.exists(), "{text}");
                    assert!(
                        matches!(error, BackupError::Damaged { .. } | BackupError::Open(_)),
                        "{error:?}"
                    );
                    assert!(
                        !is_rows || text.contains("table ") || text.contains("data/"),
                        "{way} of {}: {text}",
                        name.display()
                    );
                }
            }
            let _ = fs::remove_dir_all(&from);
            let _ = fs::remove_dir_all(&to);
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_row_that_is_missing_is_named_with_its_table() {
    let (dir, backup) = backed_up();
    let manifest = backup.dir.join("pitturu.backup");
    let text = fs::read_to_string(&manifest).unwrap();
    let (lines, _) = text.split_at(text.rfind("check ").unwrap());
    // As if one had been lost on the way, in a table whose files are in order.
    let changed = lines.replace("table lists 200 ", "table lists 201 ");
    assert_ne!(changed, lines);
    let check = xxhash_rust::xxh3::xxh3_128(changed.as_bytes());
    fs::write(&manifest, format!("{changed}check {check:032x}\n")).unwrap();
    let refused = restore(&backup.dir, &dir.path().join("new")).unwrap_err();
    assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
    assert!(
        refused.to_string().contains("table lists has 200 rows"),
        "{refused}"
    );
}

#[test]
fn an_epoch_that_was_lost_is_drawn_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let engine = filled(&store, 1);
    let first = engine.epoch();
    assert!((1..1 << 53).contains(&first));
    engine.close();
    for text in [
        None,
        Some(""),
        Some("0000000000000000\n"),
        Some("zzzzzzzzzzzzzzzz\n"),
        Some("ffffffffffffffff\n"),
    ] {
        let file = store.join("pitturu.epoch");
        match text {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let engine = Engine::open(&store, options()).unwrap();
        assert_ne!(engine.epoch(), first);
        assert!((1..1 << 53).contains(&engine.epoch()));
        assert_eq!(newest(&engine), 1);
        engine.close();
    }
}
