//! The server as a whole: what is started in which order, and the orderly way out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use pitturu_protocol::SUBPROTOCOL;
use pitturu_protocol::types::system::QuicAddress;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::values::Headers;
use crate::config::{Config, ConfigError, Loaded};
use crate::connections::address;
use crate::connections::link::{Link, Peer};
use crate::io_threads::IoThreads;
use crate::ops::health::{Health, Latch};
use crate::ops::logs::LogControl;
use crate::ops::metrics::Metrics;
use crate::ops::traces::{TraceConfig, Traces};
use crate::ops::{self, Ops};
use crate::transport::connection_limiter::ConnectionLimiter;
use crate::transport::handshake::Origins;
use crate::transport::listener::{self, AcceptContext};
use crate::transport::proxies::Proxies;
use crate::transport::quic::endpoint::QuicEndpoint;
use crate::transport::tls::{ServedCertificate, TlsAcceptor, TlsError};

mod certificates;
pub mod open_files;
mod quic;
mod reload;
mod signals;

use certificates::Certificates;
use open_files::OpenFiles;
use quic::BoundQuic;
use reload::{Reader, Reloading};
use signals::Signals;

pub use signals::EarlySignals;

/// What drives connections, with everything behind it.
pub trait Sessions: Clone + Send + Sync + 'static {
    /// What is taken over of a configuration that was read again.
    type Reloaded: Send + 'static;

    /// Drives one connection until it is closed.
    fn serve<L: Link>(
        self,
        link: L,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<Self, L> + 'static;

    /// Reads what the configuration names now. Nothing has changed yet.
    ///
    /// # Errors
    /// What the configuration names can't be followed.
    fn read_again(&self, config: &Config) -> Result<Self::Reloaded, StartError>;

    /// Goes on with what was read.
    fn take_over(&self, reloaded: Self::Reloaded);

    /// Asks every client to leave and to come back within `spread_ms`; sends what is queued and closes.
    fn go_away(&self, spread_ms: u64);

    /// Finishes what has been accepted and closes the store. The last call.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS was asked for and can't be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store can't be opened. The text names the folder and what to do.
    #[error("{0}")]
    Store(String),
    /// What a key of the configuration names can't be followed, such as the file of the game.
    #[error("{key}: {reason}")]
    Misconfigured {
        /// The key.
        key: &'static str,
        /// Why not; of a file, where.
        reason: String,
    },
    /// A part of the server can't start.
    #[error("can't start {part}: {reason}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why not.
        reason: String,
    },
    /// There are no files for connections.
    #[error(
        "the limit of open files is {limit}, of which the server itself needs nearly all: raise it to {needed} at least \
         (LimitNOFILE of systemd, ulimit -Hn of a shell), and by one for each further connection"
    )]
    OpenFiles {
        /// How many the process may have open.
        limit: u64,
        /// With how many it starts.
        needed: u64,
    },
    /// An address can't be listened at.
    #[error(
        "can't listen at {address} ({key}): {source}; choose another address if a program uses this one already"
    )]
    Listen {
        /// The key of the configuration that has the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl StartError {
    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(_) | Self::Misconfigured { .. } => 2,
            Self::Store(_) => 3,
            Self::Listen { .. } => 4,
            Self::Part { .. } | Self::OpenFiles { .. } => 1,
        }
    }
}

/// What a server is started with.
pub struct Setup {
    /// The configuration.
    pub loaded: Loaded,
    /// Reads the configuration again, from where it came from.
    pub again: Box<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>,
    /// Levels of logs.
    pub logs: LogControl,
    /// What must not end the process.
    pub signals: EarlySignals,
}

/// Serves until a signal asks for the end, then shuts down in order. `start` builds what is behind the connections.
pub async fn run<S, F>(setup: Setup, start: F) -> Result<(), StartError>
where
    S: Sessions,
    F: AsyncFnOnce(
        &Config,
        &IoThreads,
        &Ops,
        watch::Receiver<Option<QuicAddress>>,
    ) -> Result<S, StartError>,
{
    let config = setup.loaded.config.clone();
    address::show(config.log.addresses);
    warn_of(&setup.loaded);
    let signals = Signals::listen(setup.signals).map_err(|error| part("signals", &error))?;
    let ops = Metrics::install().map(Ops::new).map(Arc::new);
    let ops = ops.map_err(|error| part("metrics", &error))?;
    let listening = ops.health.latch("listeners");
    let open_files = OpenFiles::raise();
    let traces = Traces::start(&trace_config(&config)).map_err(|error| part("traces", &error))?;

    let (io_threads, _threads) =
        IoThreads::start(config.server.threads).map_err(|error| part("threads", &error))?;
    let over_tcp = open_files.for_connections(config.listen.connections_max, io_threads.count())?;
    let mut certificates = Certificates::load(&config)?;
    let quic = BoundQuic::bind(&config, &certificates)?;
    let (tell, told) = watch::channel(quic_address(quic.as_ref(), &certificates));
    let sessions = start(&config, &io_threads, &ops, told.clone()).await?;
    certificates.make_up(&config)?;
    let context = Arc::new(accept_context(&config, io_threads, over_tcp, &ops.health));

    let (stop_ops, ops_stopped) = watch::channel(false);
    let (stop_accepting, accepting) = watch::channel(false);
    let listeners = Listeners::open(&config, certificates.for_websocket()).await?;
    let addresses = Addresses {
        quic: quic.as_ref().map(BoundQuic::address),
        ..listeners.addresses
    };
    tokio::spawn(ops.metrics.clone().maintain());
    tokio::spawn(ops::serve(listeners.ops, ops, ops_stopped));
    for listener in listeners.players {
        serve_websockets(listener, &sessions, &context, accepting.clone());
    }
    let quic = quic
        .map(|bound| bound.open(&config, &context))
        .transpose()?;
    if let Some(quic) = quic.clone() {
        serve_quic(quic, &sessions, &context, accepting);
    }
    listening.ready();
    tokio::spawn(certificates.clone().renew(tell));
    announce(&config, &addresses, told.borrow().as_ref());

    let reader = Reader {
        again: setup.again,
        certificates,
        context: Arc::clone(&context),
        sessions: sessions.clone(),
    };
    let reloading = Reloading::new(setup.loaded.collected, setup.logs, reader);
    signals.wait_then_watch(reloading).await;
    let ways_in = WaysIn {
        connections: &context.connections,
        quic: quic.as_ref(),
        stop: &stop_accepting,
    };
    shut_down(&config, &sessions, &listening, ways_in, traces).await;
    stop_ops.send_replace(true);
    info!("stopped");
    Ok(())
}

/// Where QUIC is, as clients are told.
fn quic_address(quic: Option<&BoundQuic>, certificates: &Certificates) -> Option<QuicAddress> {
    Some(QuicAddress {
        port: quic?.address().port(),
        certificate_hashes: certificates.hashes(),
    })
}

fn serve_websockets<S: Sessions>(
    (tcp, acceptor): (TcpListener, Option<TlsAcceptor>),
    sessions: &S,
    context: &Arc<AcceptContext>,
    accepting: watch::Receiver<bool>,
) {
    let sessions = sessions.clone();
    let session = move |link, peer| sessions.clone().serve(link, peer);
    let context = Arc::clone(context);
    tokio::spawn(listener::serve(tcp, acceptor, context, session, accepting));
}

fn serve_quic<S: Sessions>(
    quic: QuicEndpoint,
    sessions: &S,
    context: &Arc<AcceptContext>,
    accepting: watch::Receiver<bool>,
) {
    let sessions = sessions.clone();
    let session = move |link, peer| sessions.clone().serve(link, peer);
    let serving = quic.serve(Arc::clone(context), session, accepting);
    context.io_threads.of_task(0).spawn(serving);
}

/// What lets connections in and knows who is there.
#[derive(Clone, Copy)]
struct WaysIn<'a> {
    connections: &'a ConnectionLimiter,
    quic: Option<&'a QuicEndpoint>,
    stop: &'a watch::Sender<bool>,
}

/// Nobody new, then everybody out, then the store.
async fn shut_down<S: Sessions>(
    config: &Config,
    sessions: &S,
    listening: &Latch,
    ways_in: WaysIn<'_>,
    traces: Traces,
) {
    let connections = ways_in.connections;
    info!(
        connections = connections.count(),
        "shutting down; a second signal ends it at once"
    );
    ways_in.stop.send_replace(true);
    listening.not_ready("shutting down");
    let spread_ms = config.server.shutdown_spread.as_millis();
    sessions.go_away(u64::try_from(spread_ms).unwrap_or(u64::MAX));
    let limit = config.server.shutdown_timeout;
    if timeout(limit, connections.wait_empty()).await.is_err() {
        warn!(
            connections = connections.count(),
            "some connections did not leave in time and are cut off"
        );
    }
    if let Some(quic) = ways_in.quic {
        quic.close().await;
    }
    sessions.close().await;
    traces.end().await;
}

fn accept_context(
    config: &Config,
    io_threads: IoThreads,
    over_tcp: usize,
    health: &Health,
) -> AcceptContext {
    let listen = &config.listen;
    let connections =
        ConnectionLimiter::new(listen.connections_max, listen.connections_per_address_max);
    connections.set_over_tcp_max(over_tcp);
    let counted = connections.clone();
    health.count("connections", move || counted.count() as u64);
    let timeout = listen.handshake_timeout;
    let context = AcceptContext::new(connections, io_threads, origins(config), timeout);
    context.proxies.replace(proxies(config));
    context
}

fn trace_config(config: &Config) -> TraceConfig {
    let traces = &config.traces;
    let headers = traces.headers.iter().flat_map(Headers::each);
    TraceConfig {
        endpoint: traces.endpoint.as_ref().map(|url| url.reveal().to_owned()),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        sampled: traces.sampled.0,
    }
}

fn proxies(config: &Config) -> Proxies {
    let listen = &config.listen;
    Proxies::new(listen.proxies.clone(), listen.proxy_protocol)
}

fn origins(config: &Config) -> Origins {
    match config.listen.origins.as_slice() {
        [] if config.dev => Origins::Any,
        [] => Origins::SameHost,
        listed => Origins::Listed(
            listed
                .iter()
                .map(|origin| origin.as_str().to_owned())
                .collect(),
        ),
    }
}

fn warn_of(loaded: &Loaded) {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
}

/// The listening sockets.
struct Listeners {
    ops: TcpListener,
    players: Vec<(TcpListener, Option<TlsAcceptor>)>,
    addresses: Addresses,
}

/// Where the server really listens; a configured port 0 has become a free one.
#[derive(Clone, Debug)]
struct Addresses {
    ws: SocketAddr,
    tls: Option<SocketAddr>,
    quic: Option<SocketAddr>,
    ops: SocketAddr,
}

impl Listeners {
    async fn open(
        config: &Config,
        certificate: Option<&Arc<ServedCertificate>>,
    ) -> Result<Self, StartError> {
        let refused = |key, address| {
            move |source| StartError::Listen {
                key,
                address,
                source,
            }
        };
        let listen = &config.listen;
        let acceptor = certificate.map(ServedCertificate::acceptor).transpose()?;
        let ops_address = config.ops.listen;
        let ops = ops::bind(ops_address)
            .await
            .map_err(refused("ops.listen", ops_address))?;
        let ws = listener::bind(listen.ws).map_err(refused("listen.ws", listen.ws))?;
        let local = |tcp: &TcpListener, configured| tcp.local_addr().unwrap_or(configured);
        let mut addresses = Addresses {
            ws: local(&ws, listen.ws),
            tls: None,
            quic: None,
            ops: local(&ops, ops_address),
        };
        let mut players = vec![(ws, None)];
        if let Some((acceptor, address)) = acceptor.zip(listen.tls) {
            let tcp = listener::bind(address).map_err(refused("listen.tls", address))?;
            addresses.tls = Some(local(&tcp, address));
            players.push((tcp, Some(acceptor)));
        }
        Ok(Self {
            ops,
            players,
            addresses,
        })
    }
}

fn announce(config: &Config, addresses: &Addresses, quic: Option<&QuicAddress>) {
    info!(
        ws = %addresses.ws,
        tls = addresses.tls.map(tracing::field::display),
        quic = addresses.quic.map(tracing::field::display),
        ops = %addresses.ops,
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    if config.dev {
        let banner = banner(config, addresses, quic);
        // Whoever closed the output does not want the banner.
        let _ = io::Write::write_all(&mut io::stdout(), banner.as_bytes());
    }
}

fn banner(config: &Config, addresses: &Addresses, quic: Option<&QuicAddress>) -> String {
    let data = config.store.dir.display();
    let secure = addresses.tls.map_or(String::new(), |address| {
        format!("  secure   wss://{address} (trust {data}/dev-cert.pem)\n")
    });
    let quic = addresses
        .quic
        .zip(quic)
        .map_or(String::new(), |(at, told)| {
            let hash = told.certificate_hashes.first();
            let trust = hash.map_or(String::new(), |hash| format!(" (certificate {hash})"));
            format!("  quic     quic://{at}{trust}\n")
        });
    format!(
        "\nPittuRu {} in development mode\n\n  connect  ws://{} (subprotocol {SUBPROTOCOL})\n{secure}{quic}  \
         health   http://{}/health/detailed\n  metrics  http://{}/metrics\n  data     {data}\n\nWhat to do next, in another terminal:\n\n  make chat        chat in the terminal; once more for a second person\n  \
         make chat-node   the same room from Node\n\nStop the server with Ctrl-C.\n\n",
        env!("CARGO_PKG_VERSION"),
        addresses.ws,
        addresses.ops,
        addresses.ops,
    )
}

fn part(part: &'static str, error: &dyn std::error::Error) -> StartError {
    StartError::Part {
        part,
        reason: error.to_string(),
    }
}
