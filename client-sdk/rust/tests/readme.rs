//! The README begins with the example that is run against a server by the server's tests.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// The code of these lines, without what only a formatter decides.
fn code<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(str::split_whitespace).collect()
}

/// The lines of the first block of Rust that readers see, without imports.
fn first_lines(readme: &str) -> Vec<&str> {
    let block = readme.split("```rust,no_run\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let shown = |line: &&str| !line.is_empty() && !line.starts_with(['#']);
    let lines = block.lines().filter(shown);
    lines.filter(|line| !line.starts_with("use ")).collect()
}

/// Everything here that prints.
const PRINTING: [(&str, &str); 8] = [
    ("README.md", include_str!("../README.md")),
    ("lib.rs", include_str!("../src/lib.rs")),
    ("client.rs", include_str!("../src/client.rs")),
    ("quickstart.rs", include_str!("../examples/quickstart.rs")),
    ("hello.rs", include_str!("../examples/hello.rs")),
    ("game_loop.rs", include_str!("../examples/game_loop.rs")),
    ("wallet.rs", include_str!("../examples/wallet.rs")),
    ("leaderboard.rs", include_str!("../examples/leaderboard.rs")),
];

#[test]
fn text_of_strangers_is_cleaned_before_it_is_printed() {
    let mut found = 0;
    for (file, text) in PRINTING {
        for statement in text
            .split(';')
            .filter_map(|statement| statement.split_once("println!("))
        {
            let printed = statement.1;
            let fields = [".name", ".text", "{name}", "{text}"];
            let fields: usize = fields
                .iter()
                .map(|field| printed.matches(field).count())
                .sum();
            found += fields;
            let cleaned = printed.matches("one_line(").count();
            assert!(cleaned >= fields, "{file}: {printed}");
        }
    }
    assert!(found >= 8, "{found}");
}

#[test]
fn the_readme_begins_with_the_example_that_is_run() {
    let example = code(include_str!("../examples/quickstart.rs").lines());
    let lines = first_lines(include_str!("../README.md"));
    assert!(lines.len() <= 10, "ten lines: {lines:#?}");
    assert!(
        example.contains(&code(lines.iter().copied())),
        "{lines:#?} are not the lines of examples/quickstart.rs"
    );
}
