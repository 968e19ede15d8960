//! What copies leave that are killed before they can say whose folder it is, or while that is removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::{BackupError, Engine};
use super::backup::{backed_up, names_in, options, restore};

/// What a copy has put into its folder when it is killed at its beginning, one step after the other.
const BEGINNINGS: [&[&str]; 4] = [
    &[],
    &["pitturu.draft"],
    &["pitturu.part"],
    // The manifest's draft.
    &["pitturu.part", "pitturu.draft"],
];

fn folder_with(dir: &Path, files: &[&str]) {
    fs::create_dir(dir).unwrap();
    for file in files {
        fs::write(dir.join(file), "").unwrap();
    }
}

#[test]
fn a_copy_that_was_killed_at_its_beginning_is_in_nobody_s_way() {
    let (dir, backup) = backed_up();
    let backups = dir.path().join("backups");
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    for (number, files) in BEGINNINGS.into_iter().enumerate() {
        let (same, other) = (format!("same {number}"), format!("other {number}"));
        let left = |above: &Path, name: &str| {
            folder_with(&above.join(format!("{name}.pitturu-part")), files);
        };
        left(&backups, &same);
        left(&backups, &other);
        engine.backup(&backups.join(&same)).unwrap();
        left(dir.path(), &same);
        left(dir.path(), &other);
        restore(&backup.dir, &dir.path().join(&same)).unwrap();
        for above in [&backups, dir.path()] {
            let names = names_in(above);
            assert!(names.contains(&same), "{files:?}: {names:?}");
            let is_left = names.iter().any(|name| name.ends_with("part"));
            assert!(!is_left, "{files:?}: {names:?}");
            let made = names_in(&above.join(&same));
            assert!(!made.contains(&"pitturu.part".to_owned()), "{made:?}");
            assert!(!made.contains(&"pitturu.draft".to_owned()), "{made:?}");
        }
    }
}

#[test]
fn what_only_looks_like_a_beginning_stays() {
    let (dir, backup) = backed_up();
    let backups = dir.path().join("backups");
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let part = |name: &str| backups.join(format!("{name}.pitturu-part"));
    folder_with(&part("draft and more"), &["pitturu.draft", "theirs"]);
    folder_with(&part("another"), &["theirs"]);
    folder_with(&part("folder"), &[]);
    fs::create_dir(part("folder").join("pitturu.draft")).unwrap();
    symlink(&elsewhere, part("link")).unwrap();
    fs::write(part("file"), "").unwrap();
    let before = names_in(&backups);
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    for name in ["draft and more", "another", "folder", "link", "file"] {
        let refused = engine.backup(&backups.join(name)).unwrap_err();
        assert!(matches!(refused, BackupError::NotBegun { .. }), "{refused}");
        let refused = restore(&backup.dir, &backups.join(name)).unwrap_err();
        assert!(matches!(refused, BackupError::NotBegun { .. }), "{refused}");
    }
    assert_eq!(names_in(&backups), before);
    assert!(part("draft and more").join("pitturu.draft").exists());
    assert!(part("folder").join("pitturu.draft").exists());
    assert!(elsewhere.exists());
}
