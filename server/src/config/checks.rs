//! What no single key can check, and what has no effect.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use super::collected::Collected;
use super::table::KEYS;
use super::{Config, Source, plain};
use crate::call_traces;

/// How many links that lead nowhere are followed, one after the other.
const LINKS_MAX: usize = 40;

/// Appends what is wrong with keys that each are allowed.
pub(super) fn check_together(config: &Config, mistakes: &mut Vec<String>) {
    check_certificate(config, mistakes);
    check_plain(config, mistakes);
    check_addresses(config, mistakes);
    check_traces(config, mistakes);
    if is_below(&config.master_file(), &config.store.dir) {
        mistakes.push(
            "accounts.master_file must not lie in store.dir, or a copy of the store has the keys to it"
                .to_owned(),
        );
    }
    if let Some(folder) = &config.backup.folder
        && is_below(folder, &config.store.dir)
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

/// Whether a path leads to a folder or into it, be it as it is written or over links.
pub(crate) fn is_below(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (plain(path), plain(folder));
    path.starts_with(&folder) || led_to(&path, LINKS_MAX).starts_with(led_to(&folder, LINKS_MAX))
}

/// Where a path from the root leads: over all links of what there is of it, and from there on as it is written.
fn led_to(path: &Path, links_max: usize) -> PathBuf {
    if let Ok(found) = path.canonicalize() {
        return found;
    }
    let (Some(above), Some(last)) = (path.parent(), path.components().next_back()) else {
        return path.to_path_buf();
    };
    // A link to what is not there yet.
    if links_max > 0
        && let Ok(target) = path.read_link()
    {
        return led_to(&above.join(target), links_max - 1);
    }
    let above = led_to(above, links_max);
    match last {
        Component::Normal(name) => above.join(name),
        Component::ParentDir => above.parent().unwrap_or(&above).to_path_buf(),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => above,
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

fn check_traces(config: &Config, mistakes: &mut Vec<String>) {
    if config.traces.endpoint.is_some() && !call_traces::ARE_BUILT {
        mistakes.push(
            "traces.endpoint: this server is built without traces. Build it with `--features pitturu-server/otlp`, or leave the key out"
                .to_owned(),
        );
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
    let traces: Vec<_> = set_in("traces.", collected)
        .into_iter()
        .filter(|key| *key != "traces.endpoint")
        .collect();
    if config.traces.endpoint.is_none() && !traces.is_empty() {
        let keys = traces.join(", ");
        warnings.push(format!(
            "without traces.endpoint this has no effect: {keys}"
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
