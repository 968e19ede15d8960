//! What a client is made with.

use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::backoff::BackOff;
use pitturu_protocol::types::system::Resume;

use crate::tokens::TokenStore;
use crate::transport_choice::TransportPreference;

/// Calls without a deadline of their own end after this long.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach the server, and what to remember. [`ClientOptions::new`] is enough to begin with.
#[derive(Clone)]
pub struct ClientOptions {
    pub(crate) url: String,
    pub(crate) tokens: Option<Arc<dyn TokenStore>>,
    pub(crate) resume: Resume,
    pub(crate) back_off: BackOff,
    pub(crate) call_timeout: Duration,
    pub(crate) roots_pem: Vec<Vec<u8>>,
    pub(crate) certificate_hashes: Vec<[u8; 32]>,
    pub(crate) transport: TransportPreference,
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("url", &self.url)
            .field("resume", &self.resume)
            .field("back_off", &self.back_off)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

impl ClientOptions {
    /// Options with defaults for everything but the address, such as `ws://localhost:7350`, `wss://play.example.com` or
    /// `quic://play.example.com:7443`, which needs the crate's feature `quic`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tokens: None,
            resume: Resume {
                epoch: None,
                inbox: Some(0),
                rooms: Vec::new(),
            },
            back_off: BackOff::default(),
            call_timeout: CALL_TIMEOUT,
            roots_pem: Vec::new(),
            certificate_hashes: Vec::new(),
            transport: TransportPreference::Auto,
        }
    }

    /// Where tokens are kept between runs, such as [`FileTokens`](crate::FileTokens). By default they are forgotten at the end of
    /// the program.
    #[must_use]
    pub fn tokens(mut self, store: impl TokenStore) -> Self {
        self.tokens = Some(Arc::new(store));
        self
    }

    /// Streams to follow from the first sign-in on, as [`Client::cursors`](crate::Client::cursors) gave them in an earlier
    /// run. By default the inbox from its beginning, and no rooms; without `inbox` the inbox is not followed.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// Waits between attempts to connect. A longest one below [`CAP_MS_MIN`](BackOff::CAP_MS_MIN), 100 ms, counts as that; what are no
    /// waits that grow is refused with [`InvalidOptions::BackOff`].
    #[must_use]
    pub fn back_off(mut self, back_off: BackOff) -> Self {
        self.back_off = back_off;
        self
    }

    /// How long calls may take that are given no deadline of their own, waiting for a connection included. 30 seconds by
    /// default.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Trusts the certificates in this PEM text beside the public authorities: those of a development server, or of an
    /// authority of one's own. A server that shows exactly one of them is trusted if its name and time fit, even where it is an
    /// authority's, as plain `openssl req -x509` makes it.
    #[must_use]
    pub fn trust_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem.push(pem.into());
        self
    }

    /// Which transport to use, where the server takes both. See [`TransportPreference`]; [`Client::prefer_transport`](crate::Client::prefer_transport)
    /// changes it later. A `quic://` address means QUIC alone.
    #[must_use]
    pub fn transport(mut self, preference: TransportPreference) -> Self {
        self.transport = preference;
        self
    }

    /// Trusts the certificate with this SHA-256, and none that is not named so: no authority, name or time is looked at. For a server
    /// in development mode, which tells the hash of the certificate that it has made up for QUIC.
    #[must_use]
    pub fn trust_certificate_hash(mut self, hash: [u8; 32]) -> Self {
        self.certificate_hashes.push(hash);
        self
    }
}

/// Options that no client can be made with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// Not the address of a server.
    #[error("the url {0:?} does not begin with ws://, wss:// or quic:// and name a host")]
    Url(String),
    /// Not a certificate in PEM form.
    #[error("a trusted certificate is not in PEM form: {0}")]
    Certificate(String),
    /// No waits that grow: `base_ms` is at least 1, `cap_ms` at least `base_ms` and at most [`CAP_MS_MAX`](BackOff::CAP_MS_MAX), a day.
    #[error(
        "waits of up to {} ms, at first {} ms: the first is at least 1 ms, the longest no shorter than it and at most {} ms",
        .0.cap_ms, .0.base_ms, BackOff::CAP_MS_MAX
    )]
    BackOff(BackOff),
    /// [`Client::connect`](crate::Client::connect) was called where there is no tokio runtime to run the client on.
    #[error(
        "there is no tokio runtime here: call Client::connect within one, such as after Runtime::enter, or spawn the task of Client::new"
    )]
    NoRuntime,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}
