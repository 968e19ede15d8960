//! The configuration for people: what is in effect and where it comes from, and the page of all keys.

use std::fmt::Write;

use crate::config::Loaded;
use crate::config::key::Key;
use crate::config::table::{KEYS, SECTIONS};

/// Stands for a secret.
const MASKED: &str = "********";

/// The configuration in effect as TOML, with the source of each value. Secrets are masked.
pub fn effective(loaded: &Loaded) -> String {
    let mut out = String::new();
    for (section, _) in SECTIONS {
        let _ = writeln!(out, "[{section}]");
        for key in keys_of(section) {
            let (text, source) = loaded.collected.of(key);
            let value = if key.secret && !text.is_empty() {
                MASKED
            } else {
                text
            };
            let _ = writeln!(out, "{} = {value:?} # {source}", short(key));
        }
        out.push('\n');
    }
    out
}

/// The page of all keys.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Written by `pitturu config --markdown`; do not edit by hand.\n\n\
         Values come from, each over the one before it: the defaults below, a TOML file (`--config PATH`, else \
         `./pitturu.toml` if there is one), the environment (`PITTURU_SECTION__KEY`, as in `PITTURU_LISTEN__WS`), flags \
         (`--set section.key=value`, `--listen`, `--data`). `--dev` selects the defaults of development mode. A key or \
         value that is not allowed, or a file named here that can't be followed, stops the start with exit code 2; a \
         store or master keys that can't be opened with 3, an address that can't be listened at with 4, anything else \
         with 1. On the signal SIGHUP all of it is read again, and what the column says is taken over \
         ([operations](operations.md#reload)). `pitturu config` prints what is in effect and where each value comes \
         from.\n",
    );
    for (section, about) in SECTIONS {
        let _ = write!(
            out,
            "\n## {section}\n{}\n\n| key | default | on SIGHUP | meaning |\n|---|---|---|---|\n",
            about.trim()
        );
        for key in keys_of(section) {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} Written as {}. |",
                key.name,
                default(key),
                if key.reloads {
                    "taken over"
                } else {
                    "needs a restart"
                },
                key.meaning.trim(),
                allowed(key)
            );
        }
    }
    out
}

fn default(key: &Key) -> String {
    let shown = |text: &str| match text {
        "" => "not set".to_owned(),
        text => format!("`{text}`"),
    };
    match key.dev {
        Some(dev) => format!("{}; in development {}", shown(key.default), shown(dev)),
        None => shown(key.default),
    }
}

fn allowed(key: &Key) -> String {
    match key.range {
        Some((least, greatest)) => format!("{}, from `{least}` to `{greatest}`", key.written),
        None => key.written.to_owned(),
    }
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter()
        .filter(move |key| key.name.split('.').next() == Some(section))
}

fn short(key: &Key) -> &'static str {
    key.name.split_once('.').map_or(key.name, |(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::collected::Collected;
    use crate::config::flags::Flags;
    use crate::config::sources::{collect, defaults};
    use crate::config::{Config, Source};

    fn loaded(collected: Collected) -> Loaded {
        let config = Config::parse(&collected, false, &mut Vec::new()).unwrap();
        Loaded {
            config,
            collected,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_page_of_keys_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "run: cargo run -p pitturu-server -- config --markdown > docs/configuration.md"
        );
    }

    #[test]
    fn the_page_of_the_protocol_says_the_default_for_hello() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        let default = loaded(defaults(false)).config.heartbeat.hello_timeout;
        let said = format!(
            "within {} seconds (`heartbeat.hello_timeout`)",
            default.as_secs()
        );
        assert!(page.contains(&said), "{said}");
    }

    #[test]
    fn what_is_in_effect_can_be_read_back() {
        let mut collected = defaults(false);
        let key = Key::named("listen.connections_max").unwrap();
        collected.set(key, "77".to_owned(), Source::Flag("--set"));
        let text = effective(&loaded(collected));
        assert!(
            text.contains("connections_max = \"77\" # flag --set"),
            "{text}"
        );

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("again.toml");
        std::fs::write(&path, text).unwrap();
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        let again = loaded(collect(&flags, std::iter::empty()).unwrap());
        assert_eq!(again.config.listen.connections_max, 77);
    }

    #[test]
    fn what_can_hold_a_secret_is_one() {
        // Addresses of hooks may carry one in their path or query.
        let words = ["hook", "token", "secret", "password"];
        let named = |key: &&Key| words.iter().any(|word| key.name.contains(word));
        assert!(KEYS.iter().filter(named).count() >= 2);
        for key in KEYS.iter().filter(named) {
            assert!(key.secret, "{}", key.name);
        }
    }

    #[test]
    fn secrets_are_masked() {
        for key in KEYS.iter().filter(|key| key.secret) {
            let mut collected = defaults(false);
            let secret = match key.name {
                "traces.headers" => "x-key=hunter2",
                _ => "https://hunter2.example/0123456789abcdef",
            };
            collected.set(key, secret.to_owned(), Source::Flag("--set"));
            let text = effective(&loaded(collected));
            assert!(!text.contains("hunter2"), "{}", key.name);
        }
    }
}
