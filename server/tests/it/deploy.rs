//! What is shipped in `deploy/`: that each example is taken by the program that it is for, and names nothing that does not exist.

use std::path::{Path, PathBuf};

mod alerts;
mod configuration;
mod dashboard;
mod promql;
mod proxies;
mod proxies_tried;

/// A file or folder of the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a file of the repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text with another part in place of one that must be there.
fn replaced(text: &str, part: &str, other: &str) -> String {
    assert!(text.contains(part), "{part:?} is not in:\n{text}");
    text.replace(part, other)
}
