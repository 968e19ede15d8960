//! Folders that are refused, each with a text that names it and says what to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Engine, EngineOptions, OpenError, SCHEMA};
use super::small;
use crate::StoreError;
use crate::embedded::tables::Table;

fn refused(dir: &Path) -> OpenError {
    match Engine::open(dir, small()) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&dir.display().to_string()), "{text}");
            error
        }
    }
}

const ROWS: u8 = 40;

/// A folder that holds nothing yet and is its owner's alone, for a copy of a store.
pub(super) fn own_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    dir
}

/// A folder with some commits in it, half of them in table files and half in the journal, closed in order.
async fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        memtable_bytes: 8 * 1024,
        ..small()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    for number in 0..ROWS {
        if number == ROWS / 2 {
            while !files_below(dir.path()).iter().any(|file| {
                file.parent()
                    .is_some_and(|folder| folder.ends_with("tables"))
            }) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        engine
            .write::<_, StoreError>(move |tx| {
                tx.put(Table::EntityRows, [number], vec![number; 1_000]);
                Ok(())
            })
            .await
            .unwrap();
    }
    engine.close();
    dir
}

pub(super) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), small()).unwrap();
    let holder = std::process::id();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Locked { holder: Some(pid), .. } if pid == holder));
    engine.close();
    Engine::open(dir.path(), small()).unwrap().close();
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
    assert!(matches!(refused(dir.path()), OpenError::NotAStore { .. }));
    assert_eq!(files_below(dir.path()), [dir.path().join("thesis.txt")]);
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store");
    fs::write(&file, "").unwrap();
    assert!(matches!(refused(&file), OpenError::NotWritable { .. }));
    assert!(matches!(
        refused(&file.join("below")),
        OpenError::NotWritable { .. }
    ));
}

#[tokio::test]
async fn other_schemas_are_refused_and_left_alone() {
    let dir = filled().await;
    let schema = dir.path().join("pitturu.schema");
    let text = fs::read_to_string(&schema).unwrap();
    let with = |number: u32| text.replace(&format!("schema {SCHEMA}"), &format!("schema {number}"));
    fs::write(&schema, with(SCHEMA + 1)).unwrap();
    let before: Vec<_> = files_below(dir.path())
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::SchemaNewer { found, .. } if found == SCHEMA + 1));
    let after: Vec<_> = files_below(dir.path())
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert!(before == after, "a refused folder was changed");
    fs::write(&schema, with(0)).unwrap();
    assert!(matches!(
        refused(dir.path()),
        OpenError::SchemaOlder { found: 0, .. }
    ));
    for damaged in ["", "pitturu store\nschema x\n", "\u{fffd}"] {
        fs::write(&schema, damaged).unwrap();
        assert!(
            matches!(refused(dir.path()), OpenError::Damaged { .. }),
            "{damaged:?}"
        );
    }
    fs::write(&schema, text).unwrap();
    Engine::open(dir.path(), small()).unwrap().close();
}

/// Every file in turn (of tables: the library's own, the engine's and one with rows) is emptied, removed, cut in half and has a byte turned over. The store is
/// refused as damaged, or says so of the rows that it cannot read, or has them all; it never passes over one.
#[tokio::test]
async fn damage_is_noticed_or_harmless() {
    let original = filled().await;
    // Opening it once more cuts the unused part of the journal off, 64 MiB that would be copied each time.
    Engine::open(original.path(), small()).unwrap().close();
    let files = files_below(original.path());
    let mut noticed = 0;
    let tables = original.path().join("data/keyspaces");
    let mut tried = 0;
    for file in &files {
        let table = file.strip_prefix(&tables).ok();
        if table.is_some_and(|table| !["0", "1", "4"].iter().any(|id| table.starts_with(id))) {
            continue;
        }
        tried += 1;
        let bytes = fs::read(file).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        let mut turned = bytes.clone();
        if let Some(byte) = turned.get_mut(used / 2) {
            *byte ^= 0x55;
        }
        let damages = [
            ("emptied", Some(Vec::new())),
            ("removed", None),
            ("cut", Some(bytes[..used / 2].to_vec())),
            ("turned", Some(turned)),
        ];
        for (damage, contents) in damages {
            let dir = own_dir();
            for path in &files {
                let relative = path.strip_prefix(original.path()).unwrap();
                let target = dir.path().join(relative);
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                match &contents {
                    Some(contents) if path == file => fs::write(&target, contents).unwrap(),
                    None if path == file => {}
                    _ => drop(fs::copy(path, &target).unwrap()),
                }
            }
            let place = format!("{} {damage}", file.display());
            match Engine::open(dir.path(), small()) {
                Ok(engine) => {
                    let mut unreadable = false;
                    for number in 0..ROWS {
                        match engine.get(Table::EntityRows, &[number]) {
                            Ok(Some(row)) => assert_eq!(row, [number; 1_000], "{place}"),
                            Ok(None) => panic!("{place}: row {number} is lost"),
                            Err(StoreError::Damaged(_)) => unreadable = true,
                            Err(other) => panic!("{place}: {other}"),
                        }
                    }
                    noticed += usize::from(unreadable);
                    engine.close();
                }
                Err(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) => noticed += 1,
                Err(other) => panic!("{place}: {other}"),
            }
        }
    }
    println!(
        "{noticed} of {} damages were noticed, the others harmless",
        4 * tried
    );
    assert!(noticed > 10, "only {noticed} damages were noticed");
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = filled().await;
    fs::write(dir.path().join("pitturu.schema"), "new\n").unwrap();
    fs::remove_file(dir.path().join("data/version")).unwrap();
    fs::remove_file(dir.path().join("pitturu.commits")).unwrap();
    let engine = Engine::open(dir.path(), small()).unwrap();
    assert!(engine.get(Table::EntityRows, &[1]).unwrap().is_none());
    engine.close();
}

#[tokio::test]
async fn a_folder_that_others_may_use_is_refused_with_the_command_that_closes_it() {
    let dir = filled().await;
    for mode in 0o700..=0o777_u32 {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        if mode == 0o700 {
            Engine::open(dir.path(), small()).unwrap().close();
            continue;
        }
        let error = refused(dir.path());
        assert!(matches!(error, OpenError::Exposed { mode: found, .. } if found == mode));
        let command = format!("chmod 700 '{}'", dir.path().display());
        assert!(error.to_string().ends_with(&command), "{error}");
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    Engine::open(dir.path(), small()).unwrap().close();
}

#[test]
fn a_new_or_empty_folder_is_closed_to_others() {
    let above = tempfile::tempdir().unwrap();
    let new = above.path().join("a").join("b");
    let empty = above.path().join("c");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, Permissions::from_mode(0o777)).unwrap();
    for dir in [&new, &empty] {
        Engine::open(dir, small()).unwrap().close();
        let mode = fs::metadata(dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{}", dir.display());
    }
}
