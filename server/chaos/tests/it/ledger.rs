//! Points under kills, in the short form; and that it would notice what the server keeps points right by.

use std::process::Command;

use crate::PROGRAM;

/// Runs the short form. What it has said, if it ended as it should.
fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(&*PROGRAM);
    let ran = command.args(["ledger", "--short"]).args(arguments);
    let ran = ran.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    println!("{said}");
    eprintln!("{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{arguments:?}: {}", ran.status);
    said
}

#[test]
fn killed_on_the_way_of_points_the_server_keeps_every_movement_once() {
    let said = run(&[]);
    // The run has done what it is for.
    let count = |what: &str| {
        let line = said.lines().find_map(|line| line.strip_suffix(what));
        let line = line.unwrap_or_else(|| panic!("nothing is said of {what}"));
        line.trim().parse::<u64>().unwrap()
    };
    assert!(count(" ends without warning, by fail point") >= 10);
    assert!(count(" acknowledged movements") >= 10_000);
    for what in [
        "retries of such",
        "duplicates of answered calls",
        "duplicates beside an attempt under way",
        "calls sent long after they were made",
        "keys used for another request",
        "histories by random filters",
    ] {
        assert!(count(&format!("  {what}")) > 20, "{what}");
    }
}

#[test]
fn a_gift_that_arrives_twice_would_be_noticed() {
    let said = run(&[
        "--must-find",
        "--undo",
        "signal_deduplication",
        "--points",
        "signal.applied,signal.answered,store.reported,owner.reported",
    ]);
    // Which of the two arrives twice depends on where the process ends: the gift with its receiver, or what is refused with its giver.
    let marks = ["arrived 2 times, and came back 0 times", "came back before"];
    let found = marks.iter().any(|mark| said.contains(mark));
    assert!(found, "no gift arrived or came back twice");
}

#[test]
fn a_key_that_is_forgotten_by_a_restart_would_be_noticed() {
    let said = run(&["--must-find", "--undo", "lasting_keys"]);
    let rule = "VIOLATION of \"the first movement comes back\"";
    assert!(said.contains(rule), "no movement was made twice");
}
