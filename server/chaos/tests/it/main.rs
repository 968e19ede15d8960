//! The harness and its server, as a short form for every run of the tests.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "what was done and found")]

mod clock;
mod full_way;
mod ledger;
mod short;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The program with the server that can be broken. It shares all libraries with the other builds of the workspace.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
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
});
