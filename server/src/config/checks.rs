//! What no single key can check, and what has no effect.

use std::net::SocketAddr;

use super::collected::Collected;
use super::table::KEYS;
use super::{Config, Source, plain};

/// Appends what is wrong with keys that each are allowed.
pub(super) fn check_together(config: &Config, mistakes: &mut Vec<String>) {
    check_certificate(config, mistakes);
    check_plain(config, mistakes);
    check_addresses(config, mistakes);
    if plain(&config.master_file()).starts_with(plain(&config.store.dir)) {
        mistakes.push(
            "accounts.master_file must not lie in store.dir, or a copy of the store has the keys to it"
                .to_owned(),
        );
    }
    if let Some(folder) = &config.backup.folder
        && plain(folder).starts_with(plain(&config.store.dir))
    {
        mistakes.push(
            "backup.folder must not lie in store.dir, or what takes the store takes its backups"
                .to_owned(),
        );
    }
    if config.accounts.access_life >= config.accounts.refresh_life {
        mistakes.push("accounts.refresh_life must be longer than accounts.access_life".to_owned());
    }
    if config.accounts.lockout_delay_first > config.accounts.lockout_delay_max {
        mistakes.push(
            "accounts.lockout_delay_first must not be longer than accounts.lockout_delay_max"
                .to_owned(),
        );
    }
}

fn check_certificate(config: &Config, mistakes: &mut Vec<String>) {
    let listen = &config.listen;
    if listen.cert.is_some() != listen.key.is_some() {
        mistakes.push("listen.cert and listen.key belong together: set both or none".to_owned());
    }
    for (key, address) in [("listen.tls", listen.tls), ("listen.quic", listen.quic)] {
        if address.is_some() && listen.cert.is_none() && !config.dev {
            mistakes.push(format!(
                "{key} needs listen.cert and listen.key; only development mode makes up a certificate"
            ));
        }
    }
    if listen.tls.is_none() && listen.quic.is_none() && listen.cert.is_some() {
        mistakes.push("listen.cert has no use without listen.tls or listen.quic".to_owned());
    }
}

/// Passwords and tokens cross no network in the clear unless somebody has said that they may.
fn check_plain(config: &Config, mistakes: &mut Vec<String>) {
    let ws = config.listen.ws;
    let stays_here = ws.ip().to_canonical().is_loopback();
    if !stays_here && !config.listen.plain && !config.dev {
        mistakes.push(format!(
            "listen.ws: at {ws} passwords and tokens would come without TLS. Set listen.tls, listen.cert and listen.key, \
             and leave listen.ws at 127.0.0.1:7350; or, behind a proxy that does TLS, set listen.plain to true"
        ));
    }
}

/// Each TCP port is taken once.
fn check_addresses(config: &Config, mistakes: &mut Vec<String>) {
    let taken: Vec<(&str, SocketAddr)> = [
        ("listen.ws", Some(config.listen.ws)),
        ("listen.tls", config.listen.tls),
        ("ops.listen", Some(config.ops.listen)),
    ]
    .into_iter()
    .filter_map(|(key, address)| Some((key, address.filter(|address| address.port() != 0)?)))
    .collect();
    for (index, (key, address)) in taken.iter().enumerate() {
        for (other, same) in &taken[..index] {
            if same == address {
                mistakes.push(format!(
                    "{other} and {key} are both {address}: give each its own"
                ));
            }
        }
    }
}

/// Keys that were set and do nothing beside the others.
pub(super) fn without_effect(config: &Config, collected: &Collected) -> Vec<String> {
    let mut warnings = Vec::new();
    let quic = set_in("quic.", collected);
    if config.listen.quic.is_none() && !quic.is_empty() {
        let keys = quic.join(", ");
        warnings.push(format!("without listen.quic this has no effect: {keys}"));
    }
    if config.listen.proxies.is_empty() && config.listen.proxy_protocol {
        let keys = "listen.proxy_protocol";
        warnings.push(format!("without listen.proxies this has no effect: {keys}"));
    }
    if config.accounts.reset_hook.is_none() && config.accounts.reset_hook_token.is_some() {
        let keys = "accounts.reset_hook_token";
        warnings.push(format!(
            "without accounts.reset_hook this has no effect: {keys}"
        ));
    }
    warnings
}

/// Keys that begin like this and that somebody has set.
fn set_in(prefix: &str, collected: &Collected) -> Vec<&'static str> {
    KEYS.iter()
        .filter(|key| key.name.starts_with(prefix))
        .filter(|key| !matches!(collected.of(key).1, Source::Default | Source::Development))
        .map(|key| key.name)
        .collect()
}
