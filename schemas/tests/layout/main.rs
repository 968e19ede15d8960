//! Holds the repository to its layout: who may name what, which way imports point, how long files and functions grow, and which words stay
//! out. Every rule has a test beside it that shows the rule failing.

mod boundaries;
mod layers;
mod links;
mod names;
mod size;
mod sources;
mod tokens;
mod typescript;
mod words;

use sources::{Source, Violation};

/// A rule looks at one file at a time.
type Rule = fn(&Source) -> Vec<Violation>;

const RULES: &[Rule] = &[
    boundaries::check,
    names::check,
    size::check,
    typescript::check,
    words::check,
];

#[test]
fn the_repository_keeps_its_layout() {
    let sources = sources::tracked();
    let mut violations = names::check_top_level(&sources);
    violations.extend(links::check(&sources));
    violations.extend(layers::check(&sources));
    for source in &sources {
        violations.extend(RULES.iter().flat_map(|rule| rule(source)));
    }
    let listed: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(
        listed.is_empty(),
        "{} violations:\n{}",
        listed.len(),
        listed.join("\n")
    );
}

#[test]
fn the_rules_see_the_code() {
    let sources = sources::tracked();
    for path in ["protocol/src/frame.rs", "server/src/main.rs", "Cargo.toml"] {
        assert!(
            sources.iter().any(|source| source.path == path),
            "{path} was not read"
        );
    }
}
