//! Gathers the text of each key from defaults, file, environment and flags.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::collected::Collected;
use crate::config::flags::Flags;
use crate::config::key::Key;
use crate::config::table::{KEYS, SECTIONS};
use crate::config::{ConfigError, Source};

/// Beginning of the environment variables that set keys.
const PREFIX: &str = "PITTURU_";

/// Read when no other file is named.
const USUAL_FILE: &str = "pitturu.toml";

/// The table's own values.
pub fn defaults(dev: bool) -> Collected {
    let of = |key: &Key| match key.dev {
        Some(text) if dev => (text.to_owned(), Source::Development),
        _ => (key.default.to_owned(), Source::Default),
    };
    Collected::new(KEYS.iter().map(|key| (key.name, of(key))))
}

fn set_named(
    collected: &mut Collected,
    name: &str,
    text: String,
    source: Source,
) -> Result<(), String> {
    match Key::named(name) {
        Some(key) => {
            collected.set(key, text, source);
            Ok(())
        }
        None => Err(unknown(name, &source)),
    }
}

/// Reads all sources, each over the one before it.
pub fn collect(
    flags: &Flags,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Collected, ConfigError> {
    let mut collected = defaults(flags.dev);
    let mut mistakes = Vec::new();
    read_file(flags.config.as_deref(), &mut collected, &mut mistakes);
    read_environment(environment, &mut collected, &mut mistakes);
    read_flags(flags, &mut collected, &mut mistakes);
    if mistakes.is_empty() {
        Ok(collected)
    } else {
        Err(ConfigError(mistakes))
    }
}

fn read_file(named: Option<&Path>, collected: &mut Collected, mistakes: &mut Vec<String>) {
    let path = named.map_or_else(|| PathBuf::from(USUAL_FILE), Path::to_owned);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            mistakes.push(format!("can't read {}: {error}", path.display()));
            return;
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let message = error.to_string();
            let oneline: Vec<&str> = message.split_whitespace().collect();
            mistakes.push(format!("{}: {}", path.display(), oneline.join(" ")));
            return;
        }
    };
    let source = Source::File(path.display().to_string());
    for (section, value) in table {
        let toml::Value::Table(keys) = value else {
            mistakes.push(unknown(&section, &source));
            continue;
        };
        for (key, value) in keys {
            let name = format!("{section}.{key}");
            let result = match text_of(&value) {
                Some(text) => set_named(collected, &name, text, source.clone()),
                None => Err(format!(
                    "{name} ({source}): a {} is not allowed here",
                    value.type_str()
                )),
            };
            mistakes.extend(result.err());
        }
    }
}

/// A TOML value as the other sources would write it.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text_of).collect();
            Some(items?.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn read_environment(
    environment: impl Iterator<Item = (OsString, OsString)>,
    collected: &mut Collected,
    mistakes: &mut Vec<String>,
) {
    for (variable, text) in environment {
        let Some(variable) = variable.to_str() else {
            continue;
        };
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let source = Source::Environment(variable.to_owned());
        let result = match rest.to_ascii_lowercase().split_once("__") {
            Some((section, key)) => match text.into_string() {
                Ok(text) => set_named(collected, &format!("{section}.{key}"), text, source),
                Err(_) => Err(format!("{variable}: the value is not UTF-8")),
            },
            None => meant_two_underscores(rest).map_or(Ok(()), |right| {
                Err(format!("{variable} sets nothing; you may mean {right}"))
            }),
        };
        mistakes.extend(result.err());
    }
}

/// The variable of the key that is written with a single underscore here.
fn meant_two_underscores(rest: &str) -> Option<String> {
    let flat = rest.to_ascii_lowercase();
    let key = KEYS.iter().find(|key| key.name.replace('.', "_") == flat)?;
    Some(format!(
        "{PREFIX}{}",
        key.name.replace('.', "__").to_ascii_uppercase()
    ))
}

fn read_flags(flags: &Flags, collected: &mut Collected, mistakes: &mut Vec<String>) {
    let quic = flags.listen.clone().filter(|_| flags.dev);
    for (flag, name, text) in [
        ("--listen", "listen.ws", &flags.listen),
        ("--listen", "listen.quic", &quic),
        ("--data", "store.dir", &flags.data),
    ] {
        if let Some(text) = text {
            let result = set_named(collected, name, text.clone(), Source::Flag(flag));
            mistakes.extend(result.err());
        }
    }
    for (flag, name, is_given) in [
        ("--listen", "listen.ws", flags.listen.is_some()),
        ("--data", "store.dir", flags.data.is_some()),
    ] {
        let is_set = |set: &String| {
            set.split_once('=')
                .is_some_and(|(key, _)| key.trim() == name)
        };
        if is_given && flags.sets.iter().any(is_set) {
            mistakes.push(format!(
                "{flag} is short for --set {name}: give one of them"
            ));
        }
    }
    for set in &flags.sets {
        let result = match set.split_once('=') {
            Some((name, text)) => set_named(
                collected,
                name.trim(),
                text.trim().to_owned(),
                Source::Flag("--set"),
            ),
            None => Err(format!("--set {set}: write it as section.key=value")),
        };
        mistakes.extend(result.err());
    }
}

fn unknown(name: &str, source: &Source) -> String {
    let nearest = KEYS
        .iter()
        .map(|key| (edits(name, key.name), key.name))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3);
    let help = match nearest {
        Some((_, nearest)) => format!("you may mean {nearest}"),
        None => {
            let sections: Vec<&str> = SECTIONS.iter().map(|(section, _)| *section).collect();
            format!(
                "the sections are {}; `pitturu config` lists their keys",
                sections.join(", ")
            )
        }
    };
    format!("{name} ({source}) is no key of the configuration; {help}")
}

/// Insertions, deletions and replacements that turn one text into the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (one, other, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
        ] {
            assert_eq!(edits(one, other), count, "{one} {other}");
            assert_eq!(edits(other, one), count, "{other} {one}");
        }
    }
}
