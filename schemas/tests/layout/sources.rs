//! The files that the rules look at.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file of the repository.
pub(crate) struct Source {
    /// Path from the repository's top, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// A file that exists only in a test of a rule.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Whether the file is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file is TypeScript or JavaScript.
    pub(crate) fn is_script(&self) -> bool {
        [".ts", ".mts", ".tsx", ".js", ".mjs"]
            .iter()
            .any(|ending| self.path.ends_with(ending))
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| matches!(part, "tests" | "test" | "tests.rs" | "benches" | "fuzz"))
            || self.path.contains(".test.")
    }

    /// Whether a program wrote the file.
    pub(crate) fn is_generated(&self) -> bool {
        let head: String = self.text.lines().take(3).collect();
        head.to_lowercase().contains("generated")
            || self.path.contains("/generated/")
            || self.path.ends_with("package-lock.json")
            || self.path == "Cargo.lock"
    }
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule's name.
    pub(crate) rule: &'static str,
    /// The file.
    pub(crate) path: String,
    /// Line from 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Violation {
    pub(crate) fn new(
        rule: &'static str,
        source: &Source,
        line: usize,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            path: source.path.clone(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {} ({})",
            self.path, self.line, self.message, self.rule
        )
    }
}

/// Top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies one level below the top")
        .to_owned()
}

/// Every text file that git tracks or would track, so that a rule speaks before the commit does.
pub(crate) fn tracked() -> Vec<Source> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root())
        .output()
        .expect("git runs: the layout is that of a clone");
    assert!(
        listing.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listing.stderr)
    );
    let paths = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    paths
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(path)).ok()?;
            Some(Source {
                path: path.to_owned(),
                text,
            })
        })
        .collect()
}
