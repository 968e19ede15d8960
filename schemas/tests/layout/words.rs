//! Words that stay out: promises instead of work, panics without a reason, and paths of somebody's machine.

use std::env;

use crate::sources::{Source, Violation, root};
use crate::tokens::Code;

/// In halves, so that this file does not break its own rule.
const PROMISES: &[(&str, &str)] = &[("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")];

/// Beginnings of paths that exist on one machine only.
const HOMES: &[(&str, &str)] = &[("/ho", "me/"), ("/Us", "ers/"), ("C:\\Us", "ers\\")];

pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = check_promises(source);
    violations.extend(check_machine_paths(source, &machine_paths()));
    violations.extend(check_unwrap(source));
    violations
}

fn check_promises(source: &Source) -> Vec<Violation> {
    if source.is_generated() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        if let Some(word) = words.find(|word| {
            PROMISES
                .iter()
                .any(|(first, second)| word.strip_prefix(first) == Some(second))
        }) {
            let message = format!("{word}: do it, or file it");
            violations.push(Violation::new("words", source, index + 1, message));
        }
    }
    violations
}

/// Homes in general, and where the clone, the build and the home of whoever runs this lie.
fn machine_paths() -> Vec<String> {
    let mut paths: Vec<String> = HOMES
        .iter()
        .map(|(first, second)| format!("{first}{second}"))
        .collect();
    paths.push(root().display().to_string());
    for name in ["HOME", "CARGO_HOME", "CARGO_TARGET_DIR"] {
        let path = env::var(name).unwrap_or_default();
        let path = path.trim_end_matches('/');
        if path.len() > 1 {
            paths.push(format!("{path}/"));
        }
    }
    paths
}

fn check_machine_paths(source: &Source, machine: &[String]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for path in machine.iter().filter(|path| line.contains(*path)) {
            let message = format!("{path} exists on one machine only");
            violations.push(Violation::new("words", source, index + 1, message));
        }
    }
    violations
}

fn check_unwrap(source: &Source) -> Vec<Violation> {
    if !source.is_rust() || source.is_test() {
        return Vec::new();
    }
    let code = Code::parse(&source.text).ok();
    code.iter()
        .flat_map(|code| code.lines_of(&[".", "unwrap"]))
        .map(|line| {
            let message = "unwrap: say why it holds with expect, or return an error";
            Violation::new("words", source, line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_found_as_whole_words() {
        for (first, second) in PROMISES {
            let text = format!("// fine\n// {first}{second}: later");
            let found = check(&Source::new("docs/a.md", &text));
            assert_eq!(found.len(), 1, "{first}{second}");
            assert_eq!(found[0].line, 2);
            let part = format!("// {first}{second}LIST");
            assert!(check(&Source::new("docs/a.md", &part)).is_empty());
        }
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let (first, second) = HOMES[0];
        let home = format!("see {first}{second}someone/notes");
        assert_eq!(check(&Source::new("docs/a.md", &home)).len(), 1);
        let clone = format!("built in {}/server", root().display());
        assert!(!check(&Source::new("Makefile", &clone)).is_empty());
        assert!(check(&Source::new("docs/a.md", "in server/src")).is_empty());
    }

    #[test]
    fn unwrap_is_found_outside_tests() {
        let call = "fn f() { g()\n.unwrap(); }";
        assert_eq!(check(&Source::new("server/src/a.rs", call)).len(), 1);
        assert!(check(&Source::new("server/tests/a.rs", call)).is_empty());
        let tested = format!("#[cfg(test)]\nmod tests {{ {call} }}");
        assert!(check(&Source::new("server/src/a.rs", &tested)).is_empty());
        let other = "fn f() { g().unwrap_or(1); \".unwrap()\"; }";
        assert!(check(&Source::new("server/src/a.rs", other)).is_empty());
    }
}
