//! Backups and what is made beside them: nothing is made in one.

use std::os::unix::fs::symlink;

use super::super::{BackupError, Engine, OpenError};
use super::backup::{backed_up, names_in, options, restore};

#[test]
fn no_store_and_no_backup_is_made_in_a_backup() {
    let (dir, backup) = backed_up();
    let link = dir.path().join("link");
    symlink(&backup.dir, &link).unwrap();
    let engine = Engine::open(&dir.path().join("store"), options()).unwrap();
    let another = engine.backup(&dir.path().join("backups/two")).unwrap();
    let before = names_in(&backup.dir);
    for inside in [
        backup.dir.join("inner"),
        backup.dir.join("data"),
        backup.dir.join("inner/deeper"),
        link.join("inner"),
    ] {
        let refused = Engine::open(&inside, options()).err().unwrap();
        assert!(matches!(refused, OpenError::Backup { .. }), "{refused}");
        if !inside.exists() {
            let refused = engine.backup(&inside).unwrap_err();
            assert!(matches!(refused, BackupError::InBackup { .. }), "{refused}");
            let refused = restore(&another.dir, &inside).unwrap_err();
            assert!(matches!(refused, BackupError::InBackup { .. }), "{refused}");
        }
        assert_eq!(names_in(&backup.dir), before);
    }
}
