//! Documents point at what exists: files of the repository, headings of a page, targets of the Makefile.

use std::collections::HashSet;

use crate::sources::{Source, Violation};

pub(crate) fn check(sources: &[Source]) -> Vec<Violation> {
    let pages = || sources.iter().filter(|source| source.path.ends_with(".md"));
    let targets = make_targets(sources);
    let mut violations = Vec::new();
    for page in pages() {
        for (line, link) in links(&page.text) {
            if !leads_somewhere(page, &link, sources) {
                let message = format!("{link} leads nowhere");
                violations.push(Violation::new("links", page, line, message));
            }
        }
        for (line, target) in make_commands(&page.text) {
            if !targets.contains(target) {
                let message = format!("the Makefile has no target {target}");
                violations.push(Violation::new("links", page, line, message));
            }
        }
    }
    violations
}

/// The page's lines outside fenced blocks, numbered.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Targets of `[text](target)`, without those on other hosts.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')')
                && !target.contains("://")
            {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

fn leads_somewhere(page: &Source, link: &str, sources: &[Source]) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return headings(&page.text).contains(anchor);
    }
    let path = resolve(&page.path, file);
    let folder = format!("{path}/");
    match sources.iter().find(|source| source.path == path) {
        Some(target) => anchor.is_empty() || headings(&target.text).contains(anchor),
        None => sources
            .iter()
            .any(|source| source.path.starts_with(&folder)),
    }
}

/// The path that `link` names on the page at `page`.
pub(crate) fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Anchors of the page's headings: lower case, hyphens for spaces, other marks left out.
fn headings(text: &str) -> HashSet<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .chars()
                .filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    '-' | '_' => Some(letter),
                    letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
                    _ => None,
                })
                .collect()
        })
        .collect()
}

fn make_targets(sources: &[Source]) -> HashSet<&str> {
    sources
        .iter()
        .filter(|source| source.path == "Makefile")
        .flat_map(|source| source.text.lines())
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .collect()
}

/// Targets of `make target`, in back-ticks or at the beginning of a line of a fenced block.
fn make_commands(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let quoted = line.split('`').skip(1).step_by(2);
        for command in quoted.chain([line]) {
            if let Some(rest) = command.strip_prefix("make ")
                && let Some(target) = rest.split(|letter: char| !is_target(letter)).next()
                && !target.is_empty()
            {
                found.push((number, target));
            }
        }
    }
    found
}

fn is_target(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> usize {
        check(&[
            Source::new("docs/a.md", page),
            Source::new("docs/b.md", "# Close codes (all)\n"),
            Source::new("server/src/main.rs", ""),
            Source::new("Makefile", "run: build\n\techo\n"),
        ])
        .len()
    }

    #[test]
    fn dead_links_are_found() {
        for page in [
            "[a](c.md)",
            "see [a](b.md) and [c](../server/c.rs)",
            "[a](b.md#codes)",
            "# Here\n[a](#there)",
            "run `make walk`",
            "```sh\nmake walk  # not there\n```",
        ] {
            assert_eq!(found(page), 1, "{page}");
        }
    }

    #[test]
    fn live_links_pass() {
        for page in [
            "[a](b.md#close-codes-all) [b](../server/src/main.rs) [c](../server/) [d](https://example.org/x)",
            "# Here I am\n[a](#here-i-am)",
            "`make run`\n```\nmake run ARGS=1\n[a](nowhere)\n```\n",
            "they make things",
        ] {
            assert_eq!(found(page), 0, "{page}");
        }
    }
}
