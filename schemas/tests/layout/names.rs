//! Names of files and modules, and what may lie at the top.

use crate::sources::{Source, Violation};
use crate::tokens::Code;

/// Everything that may lie at the top of the repository.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "client-sdk",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "loadtest",
    "protocol",
    "rustfmt.toml",
    "schemas",
    "server",
    "testing",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];

pub(crate) fn check_top_level(sources: &[Source]) -> Vec<Violation> {
    sources
        .iter()
        .filter(|source| {
            let top = source.path.split('/').next().unwrap_or_default();
            !TOP_LEVEL.contains(&top)
        })
        .map(|source| {
            let message = "does not belong at the top: see the layout in docs/architecture.md";
            Violation::new("names", source, 0, message)
        })
        .collect()
}

pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !source.is_rust() && !source.is_script() {
        return violations;
    }
    for part in source.path.split('/') {
        let name = part.split('.').next().unwrap_or_default();
        if EMPTY_NAMES.contains(&name) {
            violations.push(empty_name(source, 0, name));
        }
    }
    if source.path.ends_with("/mod.rs") {
        let message = "use foo.rs beside foo/ instead of foo/mod.rs";
        violations.push(Violation::new("names", source, 0, message));
    }
    if source.is_rust() {
        let code = Code::parse(&source.text).ok();
        for name in EMPTY_NAMES {
            for line in code.iter().flat_map(|code| code.lines_of(&["mod", name])) {
                violations.push(empty_name(source, line, name));
            }
        }
    }
    violations
}

fn empty_name(source: &Source, line: usize, name: &str) -> Violation {
    let message = format!("{name} says nothing: name it after what it does");
    Violation::new("names", source, line, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_at_the_top_are_found() {
        let sources =
            ["server/src/a.rs", "notes.txt", "scripts/a.sh"].map(|path| Source::new(path, ""));
        let found = check_top_level(&sources);
        let paths: Vec<&str> = found.iter().map(|violation| &*violation.path).collect();
        assert_eq!(paths, ["notes.txt", "scripts/a.sh"]);
    }

    #[test]
    fn empty_names_and_mod_files_are_found() {
        for (path, text) in [
            ("server/src/utils.rs", ""),
            ("server/src/common/a.rs", ""),
            ("client-sdk/typescript/src/helpers.ts", ""),
            ("server/src/store/mod.rs", ""),
            ("server/src/a.rs", "mod misc { }"),
        ] {
            assert_eq!(check(&Source::new(path, text)).len(), 1, "{path}");
        }
        assert!(check(&Source::new("server/src/store.rs", "mod model;")).is_empty());
    }
}
