//! Which crate of the workspace may depend on which, by their manifests.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::sources::{Source, Violation};

/// By folder: a crate, and all crates of ours that it may depend on. The others are free, within what cargo allows.
/// Dependencies of tests and benches don't count. A crate that does not exist breaks nothing.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("protocol/text", &["protocol"]),
    ("server/rules", &["protocol", "protocol/text"]),
    ("server/metrics", &["protocol"]),
    ("server/store", &["protocol", "server/metrics"]),
    // It borrows the server's files, and so has to do without the rest of the server.
    ("server/model", &["protocol"]),
    ("client-sdk/rust", &["protocol"]),
    ("testing/lossy-link", &[]),
];

/// Crates that are for tests only, so that no crate is built with them but its tests and benches.
const FOR_TESTS: &[&str] = &["testing/lossy-link"];

pub(crate) fn check(sources: &[Source]) -> Vec<Violation> {
    let manifests: Vec<(&Source, Table)> = sources
        .iter()
        .filter(|source| folder_of(source).is_some())
        .filter_map(|source| Some((source, source.text.parse().ok()?)))
        .collect();
    let ours: BTreeMap<&str, &str> = manifests
        .iter()
        .filter_map(|(source, manifest)| {
            let name = manifest.get("package")?.get("name")?.as_str()?;
            Some((name, folder_of(source)?))
        })
        .collect();
    let shared = manifests
        .iter()
        .find(|(source, _)| source.path == "Cargo.toml")
        .and_then(|(_, root)| root.get("workspace")?.get("dependencies")?.as_table());
    let mut violations = Vec::new();
    for (source, manifest) in &manifests {
        for (key, dependency) in dependencies(manifest) {
            let name = package(key, dependency, shared);
            if let Some(target) = ours.get(name).filter(|target| FOR_TESTS.contains(target)) {
                let message =
                    format!("depends on {target}, which is for tests: name it in dev-dependencies");
                violations.push(Violation::new(
                    "layers",
                    source,
                    line_of(source, key),
                    message,
                ));
            }
        }
        let rule = DEPENDENCIES
            .iter()
            .find(|(folder, _)| folder_of(source) == Some(folder));
        let Some((folder, allowed)) = rule else {
            continue;
        };
        for (key, dependency) in dependencies(manifest) {
            let name = package(key, dependency, shared);
            if let Some(target) = ours.get(name).filter(|target| !allowed.contains(target)) {
                violations.push(violation(source, key, folder, target, allowed));
            }
        }
    }
    violations
}

fn folder_of(source: &Source) -> Option<&str> {
    let folder = source.path.strip_suffix("Cargo.toml")?;
    Some(folder.trim_end_matches('/'))
}

/// What the crate is built with, for all platforms and for some.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let of_platforms = platforms
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    [manifest]
        .into_iter()
        .chain(of_platforms)
        .flat_map(|part| [part.get("dependencies"), part.get("build-dependencies")])
        .filter_map(|listed| listed?.as_table())
        .flatten()
        .map(|(key, dependency)| (key.as_str(), dependency))
}

/// The name of the package that is meant: a dependency may be called otherwise.
fn package<'a>(key: &'a str, dependency: &'a Value, shared: Option<&'a Table>) -> &'a str {
    let named = |dependency: &'a Value| dependency.get("package")?.as_str();
    named(dependency)
        .or_else(|| named(shared?.get(key)?))
        .unwrap_or(key)
}

fn violation(
    source: &Source,
    key: &str,
    folder: &str,
    target: &str,
    allowed: &[&str],
) -> Violation {
    let allowed = match allowed {
        [] => "no crate of ours".to_owned(),
        some => format!("only {}", some.join(" and ")),
    };
    let message = format!(
        "{folder} depends on {target}: it may depend on {allowed}, so that it can be understood and tested without \
         the rest; hand in what it needs, or move what both need into what it may depend on"
    );
    Violation::new("layers", source, line_of(source, key), message)
}

/// Where the manifest names the dependency; 0 where that can't be seen.
fn line_of(source: &Source, key: &str) -> usize {
    let mut lines = source.text.lines();
    let line = lines.position(|line| line.trim_start().starts_with(key));
    line.map_or(0, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "\
        [workspace.dependencies]\n\
        pitturu-protocol = { path = \"protocol\" }\n\
        contract = { package = \"pitturu-protocol\", path = \"protocol\" }\n\
        storage = { package = \"pitturu-store\", path = \"server/store\" }\n";

    /// The messages about these manifests, each given by its folder, name and the rest.
    fn found(manifests: &[(&str, &str, &str)]) -> Vec<(String, usize)> {
        let mut sources = vec![Source::new("Cargo.toml", ROOT)];
        sources.extend(manifests.iter().map(|(folder, name, rest)| {
            let text = format!("[package]\nname = \"{name}\"\n{rest}");
            Source::new(&format!("{folder}/Cargo.toml"), &text)
        }));
        let violations = check(&sources).into_iter();
        violations.map(|it| (it.message, it.line)).collect()
    }

    /// All crates, of which one has these lines in its manifest.
    fn with(folder: &str, lines: &str) -> Vec<(String, usize)> {
        let all = [
            ("protocol", "pitturu-protocol"),
            ("server", "pitturu-server"),
            ("server/rules", "pitturu-rules"),
            ("server/store", "pitturu-store"),
            ("client-sdk/rust", "pitturu-client"),
            ("testing/lossy-link", "pitturu-lossy-link"),
        ];
        found(&all.map(|(place, name)| (place, name, if place == folder { lines } else { "" })))
    }

    /// As [`with`], for a crate that need not be among those.
    fn with_one_more(folder: &str, lines: &str) -> Vec<(String, usize)> {
        let tool = ("testing/lossy-link", "pitturu-lossy-link", "");
        found(&[tool, (folder, "another", lines)])
    }

    #[test]
    fn what_is_for_tests_is_found_in_what_is_not() {
        for folder in ["server", "loadtest"] {
            let lines = "[dependencies]\npitturu-lossy-link = \"1\"";
            let found = with_one_more(folder, lines);
            assert_eq!(found.len(), 1, "{folder}: {found:?}");
            assert!(found[0].0.contains("which is for tests"));
            assert_eq!(found[0].1, 4);
            let lines = "[dev-dependencies]\npitturu-lossy-link = \"1\"";
            assert_eq!(with_one_more(folder, lines), [], "{folder}");
        }
    }

    #[test]
    fn a_crate_that_depends_on_one_above_it_is_found_in_every_form() {
        for (folder, lines) in [
            ("protocol", "[dependencies]\npitturu-rules.workspace = true"),
            (
                "server/rules",
                "[dependencies]\npitturu-store = { path = \"../store\" }",
            ),
            ("server/rules", "[dependencies]\nstorage.workspace = true"),
            (
                "server/rules",
                "[dependencies.pitturu-server]\npath = \"..\"",
            ),
            ("server/store", "[dependencies]\npitturu-rules = \"1\""),
            (
                "server/store",
                "[dependencies]\nback = { package = \"pitturu-server\", path = \"..\" }",
            ),
            (
                "server/store",
                "[build-dependencies]\npitturu-server.workspace = true",
            ),
            (
                "client-sdk/rust",
                "[target.'cfg(unix)'.dependencies]\npitturu-rules = \"1\"",
            ),
            (
                "client-sdk/rust",
                "[dependencies]\npitturu-store = { version = \"1\", optional = true }",
            ),
        ] {
            assert_eq!(with(folder, lines).len(), 1, "{folder}: {lines}");
        }
    }

    #[test]
    fn the_message_says_what_is_allowed_and_where() {
        let lines = "[dependencies]\nserde = \"1\"\npitturu-server = \"1\"";
        let [(message, line)] = &*with("server/store", lines) else {
            panic!("one line is wrong");
        };
        assert!(message.starts_with("server/store depends on server: "));
        assert!(message.contains("only protocol and server/metrics"));
        assert_eq!(*line, 5);
        let alone = with("protocol", "[dependencies]\npitturu-server = \"1\"");
        assert!(alone[0].0.contains("no crate of ours"));
    }

    #[test]
    fn what_is_below_and_what_is_for_tests_passes() {
        for (folder, lines) in [
            ("protocol", "[dependencies]\nserde.workspace = true"),
            ("protocol", "[dev-dependencies]\npitturu-server = \"1\""),
            ("server/rules", "[dependencies]\ncontract.workspace = true"),
            ("server/store", "[dependencies]\npitturu-protocol = \"1\""),
            (
                "server",
                "[dependencies]\npitturu-store = \"1\"\npitturu-client = \"1\"",
            ),
            (
                "client-sdk/rust",
                "[target.'cfg(unix)'.dev-dependencies]\npitturu-server = \"1\"",
            ),
        ] {
            assert!(with(folder, lines).is_empty(), "{folder}: {lines}");
        }
        // Crates that do not exist yet.
        assert!(found(&[("protocol", "pitturu-protocol", "")]).is_empty());
    }
}
