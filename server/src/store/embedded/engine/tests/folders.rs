//! Folders that are refused, each with a text that names it and says what to do.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Engine, OpenError, SCHEMA};
use super::small;
use crate::store::StoreError;
use crate::store::embedded::tables::Table;

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

/// A folder with some commits in it, closed in order.
async fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), small()).unwrap();
    for number in 0..20_u8 {
        engine
            .write::<_, StoreError>(move |tx| {
                tx.put(Table::Rooms, [number], vec![number; 100]);
                Ok(())
            })
            .await
            .unwrap();
    }
    engine.close();
    dir
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
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

/// Every file of the database in turn is emptied, removed, cut in half and has a byte turned over. The store is either
/// refused as damaged or has all its rows; it never opens with less.
#[tokio::test]
async fn damage_is_noticed_or_harmless() {
    let original = filled().await;
    let files = files_below(original.path());
    let mut noticed = 0;
    for file in &files {
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
            let dir = tempfile::tempdir().unwrap();
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
                    for number in 0..20_u8 {
                        let row = engine.get(Table::Rooms, &[number]).unwrap();
                        assert_eq!(row.unwrap(), [number; 100], "{place}");
                    }
                    engine.close();
                }
                Err(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) => noticed += 1,
                Err(other) => panic!("{place}: {other}"),
            }
        }
    }
    assert!(noticed > 10, "only {noticed} damages were noticed");
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = filled().await;
    fs::write(dir.path().join("pitturu.schema"), "new\n").unwrap();
    fs::remove_file(dir.path().join("data/version")).unwrap();
    fs::remove_file(dir.path().join("pitturu.commits")).unwrap();
    let engine = Engine::open(dir.path(), small()).unwrap();
    assert!(engine.get(Table::Rooms, &[1]).unwrap().is_none());
    engine.close();
}
