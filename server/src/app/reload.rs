//! The configuration is read again: first all that can fail, then what changes.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::certificates::Certificates;
use super::open_files::OpenFiles;
use super::{Sessions, Setup, StartError, origins, proxies, warn_of};
use crate::config::collected::Collected;
use crate::config::key::Key;
use crate::config::{ConfigError, Differences, Loaded};
use crate::connections::address;
use crate::ops::logs::{LogControl, LogError};
use crate::transport::listener::AcceptContext;

/// Everything that takes over another configuration.
pub(super) struct Reloading<S> {
    /// Reads all sources again.
    again: Box<dyn Fn() -> Result<Loaded, ConfigError> + Send>,
    /// The texts of what is in effect.
    in_effect: Collected,
    logs: LogControl,
    certificates: Certificates,
    context: Arc<AcceptContext>,
    sessions: S,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Named(#[from] StartError),
    #[error(transparent)]
    Logs(#[from] LogError),
}

impl<S: Sessions> Reloading<S> {
    pub(super) fn new(
        setup: Setup,
        certificates: Certificates,
        context: &Arc<AcceptContext>,
        sessions: &S,
    ) -> Self {
        Self {
            again: setup.again,
            in_effect: setup.loaded.collected,
            logs: setup.logs,
            certificates,
            context: Arc::clone(context),
            sessions: sessions.clone(),
        }
    }

    /// Reads the configuration again and takes over what can be. After a mistake everything stays as it is, and the log says
    /// which key it is about.
    pub(super) fn reload(&mut self) {
        match self.try_reload() {
            Ok(Differences {
                taken_over,
                need_restart,
            }) => {
                if !need_restart.is_empty() {
                    warn!("needs a restart: {}", need_restart.join(", "));
                }
                info!(changed = taken_over.join(", "), "configuration read again");
            }
            Err(error) => {
                for line in error.to_string().lines() {
                    error!("configuration not read again, nothing was changed: {line}");
                }
            }
        }
    }

    fn try_reload(&mut self) -> Result<Differences, ReloadError> {
        let loaded = (self.again)()?;
        let config = &loaded.config;
        let certificate = self.certificates.read_again(config)?;
        let reloaded = self.sessions.read_again(config)?;
        let io_threads = self.context.io_threads.count();
        let over_tcp =
            OpenFiles::now().for_connections(config.listen.connections_max, io_threads)?;
        self.logs.set_levels(config.log.level.as_str())?;
        if let Some(certificate) = certificate {
            certificate.take_over()?;
        }
        self.sessions.take_over(reloaded);
        let listen = &config.listen;
        self.context.origins.replace(origins(config));
        self.context.proxies.replace(proxies(config));
        let (total, per_address) = (listen.connections_max, listen.connections_per_address_max);
        self.context.connections.set_limits(total, per_address);
        self.context.connections.set_over_tcp_max(over_tcp);
        address::show(config.log.addresses);
        warn_of(&loaded);
        Ok(self.note(&loaded))
    }

    /// Notes what is in effect now, and says what differs.
    fn note(&mut self, loaded: &Loaded) -> Differences {
        let mut differences = Differences::between(&self.in_effect, &loaded.collected);
        // Whether there are files of certificates is decided at the start.
        if self.certificates.are_files() != loaded.config.listen.cert.is_some() {
            let (files, others): (Vec<_>, Vec<_>) = differences
                .taken_over
                .into_iter()
                .partition(|name| matches!(*name, "listen.cert" | "listen.key"));
            differences.taken_over = others;
            differences.need_restart.extend(files);
        }
        for key in differences
            .taken_over
            .iter()
            .filter_map(|name| Key::named(name))
        {
            let (text, source) = loaded.collected.of(key);
            self.in_effect.set(key, text.to_owned(), source.clone());
        }
        differences
    }
}
