//! Configuration: one table of keys, read from a file, the environment and the command line.
//!
//! [`table`] is the table; parsing ([`values`]), checks, `pitturu config` and `docs/configuration.md` ([`report`])
//! derive from it. Later sources win: default, file, environment (`PITTURU_SECTION__KEY`), flags. A key or value that
//! is not allowed stops the start, and every mistake is reported at once.
//!
//! To add a key: add a row to the table, then run `pitturu config --markdown > docs/configuration.md`.

mod checks;
pub mod collected;
pub mod flags;
pub mod key;
pub mod report;
pub mod sources;
pub mod table;
pub mod values;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use checks::is_below;
pub use table::Config;
use table::KEYS;

use crate::config::collected::Collected;
use crate::config::flags::Flags;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table.
    Default,
    /// The table, for development mode.
    Development,
    /// A file with this name.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Development => f.write_str("default of development mode"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Config {
    /// The file of master keys: beside the store's folder, unless it is set. A copy of the folder has it not.
    pub fn master_file(&self) -> PathBuf {
        match &self.accounts.master_file {
            Some(path) => path.to_path_buf(),
            None => {
                let mut path = plain(&self.store.dir).into_os_string();
                path.push(".master");
                path.into()
            }
        }
    }
}

/// The path from the root, without what says nothing in it, such as a slash at its end.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.components().collect()
}

/// Everything that is wrong with the configuration, one mistake per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// A configuration and the text and source of each of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The texts that they were parsed from.
    pub collected: Collected,
    /// What is allowed and still not meant, each in one line with its keys.
    pub warnings: Vec<String>,
}

/// What differs between the configuration in effect and one that was read later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Keys that are taken over.
    pub taken_over: Vec<&'static str>,
    /// Keys that stay as they are until a restart.
    pub need_restart: Vec<&'static str>,
}

impl Differences {
    /// Between the texts of what is in effect and those that were read later.
    pub fn between(in_effect: &Collected, later: &Collected) -> Self {
        let mut differences = Self::default();
        for key in KEYS {
            if in_effect.of(key).0 != later.of(key).0 {
                match key.reloads {
                    true => differences.taken_over.push(key.name),
                    false => differences.need_restart.push(key.name),
                }
            }
        }
        differences
    }
}

/// Reads all sources and checks the result.
///
/// # Errors
/// Every mistake at once.
pub fn load(flags: &Flags) -> Result<Loaded, ConfigError> {
    let collected = sources::collect(flags, std::env::vars_os())?;
    let config = parse(&collected, flags.dev)?;
    let warnings = checks::without_effect(&config, &collected);
    Ok(Loaded {
        config,
        collected,
        warnings,
    })
}

fn parse(collected: &Collected, dev: bool) -> Result<Config, ConfigError> {
    let mut mistakes = Vec::new();
    let config = Config::parse(collected, dev, &mut mistakes);
    if let Some(config) = &config {
        checks::check_together(config, &mut mistakes);
    }
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(ConfigError(mistakes)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;

    fn load_from(
        file: &str,
        environment: &[(&str, &str)],
        sets: &[&str],
    ) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pitturu.toml");
        std::fs::write(&path, file).unwrap();
        let flags = Flags {
            config: Some(path),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            ..Flags::default()
        };
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        sources::collect(&flags, environment)
            .and_then(|collected| parse(&collected, flags.dev))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_win() {
        let file = "[listen]\nplain = true\nws = \"10.0.0.1:1\"\nconnections_max = 7\n[accounts]\nadmins = [\"ann\", \"bob\"]\n";
        let environment = [
            ("PITTURU_LISTEN__WS", "10.0.0.2:2"),
            ("PITTURU_HEARTBEAT__PING", "7s"),
            ("PATH", "/bin"),
        ];
        let config = load_from(file, &environment, &["listen.ws=10.0.0.3:3"]).unwrap();
        assert_eq!(
            config.listen.ws,
            "10.0.0.3:3".parse::<SocketAddr>().unwrap()
        );
        assert_eq!(config.listen.connections_max, 7);
        assert_eq!(config.heartbeat.ping, Duration::from_secs(7));
        let admins = config
            .accounts
            .admins
            .iter()
            .map(|name| name.shown.as_str());
        assert_eq!(admins.collect::<Vec<_>>(), ["ann", "bob"]);
        let config = load_from(file, &environment, &[]).unwrap();
        assert_eq!(
            config.listen.ws,
            "10.0.0.2:2".parse::<SocketAddr>().unwrap()
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        for (file, environment, sets) in [
            ("[listen]\nconections_max = 7\n", &[][..], &[][..]),
            ("", &[("PITTURU_LISTEN__CONECTIONS_MAX", "7")], &[]),
            ("", &[], &["listen.conections_max=7"]),
        ] {
            let error = load_from(file, environment, sets).unwrap_err();
            assert!(
                error.contains("conections_max") || error.contains("CONECTIONS_MAX"),
                "{error}"
            );
            assert!(error.contains("listen.connections_max"), "{error}");
        }
    }

    #[test]
    fn a_single_underscore_in_the_environment_is_not_overlooked() {
        let error = load_from("", &[("PITTURU_LISTEN_WS", "10.0.0.1:1")], &[]).unwrap_err();
        assert!(error.contains("PITTURU_LISTEN__WS"), "{error}");
    }

    #[test]
    fn every_mistake_is_named_with_its_key_and_range() {
        let file =
            "[listen]\nws = \"nowhere\"\nconnections_max = 0\n[heartbeat]\nping = \"5 parsecs\"\n";
        let error = load_from(file, &[], &["log.format=xml"]).unwrap_err();
        for part in [
            "listen.ws",
            "listen.connections_max",
            "at least 1",
            "heartbeat.ping",
            "15m",
            "log.format",
            "json",
        ] {
            assert!(error.contains(part), "{part} is missing in:\n{error}");
        }
        assert_eq!(error.lines().count(), 4, "{error}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_named_with_the_line() {
        let error = load_from("[listen]\nws = \n", &[], &[]).unwrap_err();
        assert!(
            error.contains("pitturu.toml") && error.contains('2'),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_is_an_error_only_when_asked_for() {
        let flags = Flags {
            config: Some("/nowhere/pitturu.toml".into()),
            ..Flags::default()
        };
        let error = sources::collect(&flags, std::iter::empty()).unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/pitturu.toml"),
            "{error}"
        );
    }

    #[test]
    fn keys_that_need_each_other_are_checked_together() {
        for (sets, named) in [
            (&["listen.tls=127.0.0.1:1"][..], "listen.cert"),
            (&["listen.quic=127.0.0.1:1"][..], "listen.cert"),
            (&["listen.cert=a.pem"][..], "listen.key"),
            (
                &["listen.cert=a.pem", "listen.key=b.pem"][..],
                "listen.quic",
            ),
            (
                &[
                    "listen.cert=a.pem",
                    "listen.key=b.pem",
                    "listen.tls=127.0.0.1:7350",
                ][..],
                "listen.ws",
            ),
            (&["ops.listen=127.0.0.1:7350"][..], "ops.listen"),
            (&["accounts.refresh_life=1m"][..], "accounts.refresh_life"),
            (
                &["store.dir=a/b/", "accounts.master_file=./a/b/c/keys"][..],
                "accounts.master_file",
            ),
        ] {
            let error = load_from("", &[], sets).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn what_must_not_lie_in_the_store_lies_there_over_no_link_either() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("store/data")).unwrap();
        for (link, target) in [
            ("link", at("store")),
            ("relative", "store/data".into()),
            ("later", at("store/not-yet")),
            ("around", at("around")),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let refused = |store: &str, key: &str, path: &str| {
            let sets = [
                format!("store.dir={}", at(store).display()),
                format!("{key}={}", at(path).display()),
            ];
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            load_from("", &[], &sets)
                .is_err_and(|error| error.contains("must not lie in store.dir"))
        };
        for key in ["backup.folder", "accounts.master_file"] {
            for path in [
                "link/a/b",
                "relative/a",
                "later/a",
                "later",
                "store/a",
                "nothing/../store/a",
                "link/data/../a",
            ] {
                assert!(refused("store", key, path), "{key} {path}");
            }
            assert!(refused("link", key, "store/a"), "{key}");
            assert!(refused("later/deep", key, "store/not-yet/deep/a"), "{key}");
            for path in ["beside/a", "relative/../../beside", "store-2", "around/a"] {
                assert!(!refused("store", key, path), "{key} {path}");
            }
        }
    }

    #[test]
    fn a_short_flag_and_its_key_are_not_both_set() {
        let both = |flags: Flags| {
            sources::collect(&flags, std::iter::empty())
                .unwrap_err()
                .to_string()
        };
        let sets = vec![
            "store.dir = b".to_owned(),
            "listen.ws=127.0.0.1:2".to_owned(),
        ];
        let error = both(Flags {
            data: Some("a".to_owned()),
            listen: Some("127.0.0.1:1".to_owned()),
            sets,
            ..Flags::default()
        });
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(
            error.contains("--data") && error.contains("--set store.dir"),
            "{error}"
        );
        assert!(
            error.contains("--listen") && error.contains("--set listen.ws"),
            "{error}"
        );
        // One way to listen may be taken out.
        let flags = Flags {
            dev: true,
            listen: Some("127.0.0.1:1".to_owned()),
            sets: vec!["listen.quic=".to_owned()],
            ..Flags::default()
        };
        let collected = sources::collect(&flags, std::iter::empty()).unwrap();
        let quic = key::Key::named("listen.quic").unwrap();
        assert_eq!(collected.of(quic).0, "");
    }

    #[test]
    fn what_has_no_tls_stays_on_the_machine_unless_it_is_asked_for() {
        for (ws, stays) in [
            ("127.0.0.1:7350", true),
            ("127.1.2.3:7350", true),
            ("[::1]:7350", true),
            ("[::ffff:127.0.0.1]:7350", true),
            ("0.0.0.0:7350", false),
            ("[::]:7350", false),
            ("192.168.0.1:7350", false),
            ("[::ffff:192.168.0.1]:7350", false),
        ] {
            let set = format!("listen.ws={ws}");
            let outcome = load_from("", &[], &[&set]);
            assert_eq!(outcome.is_ok(), stays, "{ws}");
            if let Err(said) = outcome {
                for part in ["listen.ws", ws, "listen.tls", "listen.plain"] {
                    assert!(said.contains(part), "{part} is missing in: {said}");
                }
            }
            assert!(load_from("", &[], &[&set, "listen.plain=true"]).is_ok());
            let flags = Flags {
                dev: true,
                sets: vec![set],
                ..Flags::default()
            };
            let collected = sources::collect(&flags, std::iter::empty()).unwrap();
            assert!(parse(&collected, true).is_ok(), "{ws}");
        }
    }

    #[test]
    fn the_master_keys_lie_beside_the_store() {
        for (dir, file) in [("/data", "/data.master"), ("/data/./x//", "/data/x.master")] {
            let config = load_from("", &[], &[format!("store.dir={dir}").as_str()]).unwrap();
            assert_eq!(config.master_file(), Path::new(file));
        }
        let config = load_from("", &[], &["accounts.master_file=/etc/keys"]).unwrap();
        assert_eq!(config.master_file(), Path::new("/etc/keys"));
    }

    #[test]
    fn development_mode_has_its_own_defaults() {
        let flags = Flags {
            dev: true,
            ..Flags::default()
        };
        let collected = sources::collect(&flags, std::iter::empty()).unwrap();
        let config = parse(&collected, true).unwrap();
        assert!(config.listen.ws.ip().is_loopback());
        assert_eq!(config.listen.quic, Some(config.listen.ws));
        let production = load_from("", &[], &[]).unwrap();
        assert!(production.listen.ws.ip().is_loopback());
        assert_eq!(production.listen.quic, None);
    }

    #[test]
    fn an_address_to_listen_at_is_that_of_quic_too_in_development_mode() {
        let at: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        for (dev, sets, quic) in [
            (true, &[][..], Some(at)),
            (true, &["listen.quic="][..], None),
            (false, &[][..], None),
        ] {
            let flags = Flags {
                dev,
                listen: Some(at.to_string()),
                sets: sets.iter().map(ToString::to_string).collect(),
                ..Flags::default()
            };
            let collected = sources::collect(&flags, std::iter::empty()).unwrap();
            let config = parse(&collected, dev).unwrap();
            assert_eq!((config.listen.ws, config.listen.quic), (at, quic));
        }
    }
}
