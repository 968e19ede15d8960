//! Backups that are asked of a server that can't make them, and restores into what a backup has.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::backup::{run, said};
use crate::launch::Server;
use crate::raw::http;

/// Longest time for the word that a server says nothing: ten seconds, and what a busy machine takes.
const SAID_WITHIN: Duration = Duration::from_secs(25);

/// A server that makes backups, and where it puts them.
fn server() -> (Server, PathBuf) {
    let folder: Arc<TempDir> = Arc::new(tempfile::tempdir().unwrap());
    let backups = folder.path().join("backups");
    let server = Server::start_in(folder, &[&format!("backup.folder={}", backups.display())]);
    (server, backups)
}

fn refused(output: &Output, code: i32, says: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    assert!(said(output).contains(says), "{}", said(output));
}

fn files_in(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn a_server_makes_no_backup_of_another_store_than_the_one_that_is_meant() {
    let (mut meant, its_backups) = server();
    let (mut other, others_backups) = server();
    let asked = run(&meant.data(), other.ops, None, &["backup", "one"]);
    refused(&asked, 3, "another store");
    assert_eq!(files_in(&others_backups) + files_in(&its_backups), 0);
    let metrics = other.ops_page("/metrics");
    assert!(
        metrics.contains("\npitturu_backups_failed_total 0\n"),
        "{metrics}"
    );

    // The same folder, over a link.
    let link = meant.data().with_file_name("link");
    symlink(meant.data(), &link).unwrap();
    for (name, data) in [("one", meant.data()), ("two", link)] {
        let made = run(&data, meant.ops, None, &["backup", name]);
        assert!(made.status.success(), "{}", said(&made));
        assert!(its_backups.join(name).is_dir());
    }
    // Whoever names no store means the one of the server that is asked.
    let request = "POST /backup?name=three HTTP/1.1\r\nHost: ops\r\nContent-Length: 0\r\n\r\n";
    let answer = http(other.ops, request);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    meant.stop();
    other.stop();
}

#[test]
fn a_server_that_stands_still_is_not_waited_for() {
    let (mut server, _) = server();
    server.signal("STOP");
    let began = Instant::now();
    let (data, ops) = (server.data(), server.ops);
    let asking = std::thread::spawn(move || run(&data, ops, None, &["backup", "one"]));
    while !asking.is_finished() && began.elapsed() < SAID_WITHIN {
        std::thread::sleep(Duration::from_millis(50));
    }
    let is_waiting = !asking.is_finished();
    server.signal("CONT");
    let asked = asking.join().unwrap();
    assert!(!is_waiting, "it has waited for {SAID_WITHIN:?}");
    refused(&asked, 3, "does not answer");
    server.stop();
}

#[test]
fn nothing_is_restored_into_a_backup_or_around_it() {
    let (mut server, backups) = server();
    let made = run(&server.data(), server.ops, None, &["backup", "one"]);
    assert!(made.status.success(), "{}", said(&made));
    server.stop();
    let backup = backups.join("one");
    let link = backups.join("link");
    symlink(&backup, &link).unwrap();
    let before = files_in(&backup);
    for data in [
        backup.join("inner"),
        backup.join("inner/deeper"),
        backup.join("../one/inner"),
        link.join("inner"),
        link,
        backup.clone(),
        backups.clone(),
    ] {
        for from in [&backup, &backups.join("link")] {
            let from = from.display().to_string();
            let asked = run(&data, free_address(), None, &["restore", &from]);
            refused(&asked, 2, "--data");
            assert_eq!(files_in(&backup), before, "{}", data.display());
        }
    }
    // Beside it, under a name that begins like its own.
    let beside = backups.join("one.restored");
    let from = backup.display().to_string();
    let restored = run(&beside, free_address(), None, &["restore", &from]);
    assert!(restored.status.success(), "{}", said(&restored));
}

/// Where nobody is asked.
fn free_address() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}
