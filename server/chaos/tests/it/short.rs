//! A few rounds of the harness with fixed seeds: every kind of fault that needs no special right, half a minute in all.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "what was done and found")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program with the server that can be broken. It shares all libraries with the other builds of the workspace.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--workspace"])
        // The example comes along because it needs what the tests need: so nothing is compiled a second time.
        .args(["--bin", "pitturu-chaos", "--example", "terminal"])
        .args(["--features", "pitturu-chaos/server", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "the program does not build");
    target.join("debug/pitturu-chaos")
}

#[test]
fn broken_in_every_way_the_server_keeps_its_promises() {
    let ran = Command::new(program()).arg("--short").output().unwrap();
    println!("{}", String::from_utf8_lossy(&ran.stdout));
    eprintln!("{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}", ran.status);
}
