//! The README begins with the example that is run against a server by the server's tests.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// The first block of Rust, without what readers do not see.
fn first_lines(readme: &str) -> Vec<&str> {
    let block = readme.split("```rust,no_run\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let body = block.lines().filter(|line| !line.starts_with('#'));
    body.map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("use "))
        .collect()
}

#[test]
fn the_readme_begins_with_the_example_that_is_run() {
    let example = include_str!("../examples/quickstart.rs");
    let lines = first_lines(include_str!("../README.md"));
    assert!(lines.len() <= 12, "ten lines, more or less");
    let code: Vec<&str> = example.lines().map(str::trim).collect();
    let code: Vec<&str> = code.into_iter().filter(|line| !line.is_empty()).collect();
    let found = code.windows(lines.len()).any(|window| window == lines);
    assert!(
        found,
        "{lines:#?} are not the lines of examples/quickstart.rs"
    );
}
