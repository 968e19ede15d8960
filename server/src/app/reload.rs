//! The configuration is read again: first all that can fail, on a thread of its own, then what changes.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::certificates::{Certificates, ReadAgain};
use super::open_files::OpenFiles;
use super::{Sessions, StartError, origins, proxies, warn_of};
use crate::config::collected::Collected;
use crate::config::key::Key;
use crate::config::{ConfigError, Differences, Loaded};
use crate::connections::address;
use crate::ops::logs::{LogControl, LogError};
use crate::ops::traces;
use crate::transport::listener::AcceptContext;

/// Reads all sources of the configuration.
type Again = dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync;

/// Everything that takes over another configuration.
pub(super) struct Reloading<S: Sessions> {
    reader: Arc<Reader<S>>,
    /// The texts of what is in effect.
    in_effect: Collected,
    logs: LogControl,
    /// What a thread of its own is reading: a file may be slow for as long as its disk is, and nobody waits for it meanwhile.
    under_way: Option<oneshot::Receiver<Result<Reading<S>, ReloadError>>>,
    /// Whether it is to be read once more when that has ended, for it may have been read before the change.
    once_more: bool,
}

/// Reads and checks all that is taken over.
pub(super) struct Reader<S> {
    pub(super) again: Box<Again>,
    pub(super) certificates: Certificates,
    pub(super) context: Arc<AcceptContext>,
    pub(super) sessions: S,
}

/// What was read and can be taken over.
pub(super) struct Reading<S: Sessions> {
    loaded: Loaded,
    certificate: Option<ReadAgain>,
    reloaded: S::Reloaded,
    over_tcp: usize,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Named(#[from] StartError),
    #[error(transparent)]
    Logs(#[from] LogError),
    #[error("no thread can be started to read it: {0}")]
    Thread(#[from] io::Error),
    #[error("reading it broke off, which is a fault of the server")]
    BrokeOff,
}

impl<S: Sessions> Reader<S> {
    fn read(&self) -> Result<Reading<S>, ReloadError> {
        let loaded = (self.again)()?;
        let config = &loaded.config;
        let certificate = self.certificates.read_again(config)?;
        let reloaded = self.sessions.read_again(config)?;
        let io_threads = self.context.io_threads.count();
        let over_tcp =
            OpenFiles::now().for_connections(config.listen.connections_max, io_threads)?;
        Ok(Reading {
            loaded,
            certificate,
            reloaded,
            over_tcp,
        })
    }
}

impl<S: Sessions> Reloading<S> {
    /// Goes on from what is in effect.
    pub(super) fn new(in_effect: Collected, logs: LogControl, reader: Reader<S>) -> Self {
        Self {
            reader: Arc::new(reader),
            in_effect,
            logs,
            under_way: None,
            once_more: false,
        }
    }

    /// Begins to read the configuration again. Where it is being read, that is done once more afterwards.
    pub(super) fn reload(&mut self) {
        if self.under_way.is_some() {
            self.once_more = true;
            info!("the configuration is being read; afterwards it is read once more");
            return;
        }
        let (ended, under_way) = oneshot::channel();
        let reader = Arc::clone(&self.reader);
        // None of the runtime's threads, for whose end the process would wait.
        let started = thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                // Nobody listens any more when the server ends.
                let _ = ended.send(reader.read());
            });
        match started {
            Ok(_) => self.under_way = Some(under_way),
            Err(error) => tell(Err(error.into())),
        }
    }

    /// Waits until what is being read was read; forever where nothing is.
    pub(super) async fn ended(&mut self) -> Result<Reading<S>, ReloadError> {
        match &mut self.under_way {
            Some(under_way) => under_way.await.unwrap_or(Err(ReloadError::BrokeOff)),
            None => pending().await,
        }
    }

    /// Takes over what can be of what was read. After a mistake everything stays as it is, and the log says which key it is about.
    pub(super) fn go_on(&mut self, read: Result<Reading<S>, ReloadError>) {
        self.under_way = None;
        tell(read.and_then(|reading| self.take_over(reading)));
        if std::mem::take(&mut self.once_more) {
            self.reload();
        }
    }

    fn take_over(&mut self, reading: Reading<S>) -> Result<Differences, ReloadError> {
        let loaded = reading.loaded;
        let config = &loaded.config;
        self.logs.set_levels(config.log.level.as_str())?;
        if let Some(certificate) = reading.certificate {
            certificate.take_over()?;
        }
        let Reader {
            context, sessions, ..
        } = &*self.reader;
        sessions.take_over(reading.reloaded);
        let listen = &config.listen;
        context.origins.replace(origins(config));
        context.proxies.replace(proxies(config));
        let (total, per_address) = (listen.connections_max, listen.connections_per_address_max);
        context.connections.set_limits(total, per_address);
        context.connections.set_over_tcp_max(reading.over_tcp);
        address::show(config.log.addresses);
        traces::set_sampled(config.traces.sampled.0);
        warn_of(&loaded);
        Ok(self.note(&loaded))
    }

    /// Notes what is in effect now, and says what differs.
    fn note(&mut self, loaded: &Loaded) -> Differences {
        let mut differences = Differences::between(&self.in_effect, &loaded.collected);
        // Whether there are files of certificates is decided at the start.
        if self.reader.certificates.are_files() != loaded.config.listen.cert.is_some() {
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

/// Says in the log what came of it.
fn tell(taken_over: Result<Differences, ReloadError>) {
    match taken_over {
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
