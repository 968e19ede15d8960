//! The certificates of all listeners: where they come from, and when they become others.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pitturu_protocol::types::system::QuicAddress;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::StartError;
use crate::config::Config;
use crate::config::table::Listen;
use crate::transport::tls::{Certificate, ServedCertificate, ShortLived, TlsError};

/// How often it is looked whether a made-up certificate has served its time.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// What listeners serve, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// From files, for WebSocket and QUIC.
    files: Option<Arc<ServedCertificate>>,
    /// Made up for WebSocket.
    saved: Option<Arc<ServedCertificate>>,
    /// Made up for QUIC, where clients trust it by its hash.
    short_lived: Option<Arc<ShortLived>>,
}

/// A certificate that was read again and is not served yet.
#[derive(Debug)]
pub(super) struct ReadAgain {
    served: Arc<ServedCertificate>,
    certificate: Certificate,
}

impl ReadAgain {
    /// Has new handshakes get it.
    pub(super) fn take_over(self) -> Result<(), StartError> {
        self.served.replace(&self.certificate).map_err(unusable)
    }
}

/// Reads a certificate and its key, and warns when clients will refuse it for its time.
fn read(certificate: &Path, key: &Path) -> Result<Certificate, StartError> {
    let read = Certificate::from_files(certificate, key).map_err(unusable)?;
    if let Some(problem) = read.out_of_time(SystemTime::now()) {
        warn!(file = %certificate.display(), "listen.cert: {problem}");
    }
    Ok(read)
}

/// The key of the configuration that a certificate can't be used for.
pub(super) fn unusable(error: TlsError) -> StartError {
    let key = match &error {
        TlsError::Certificate { .. } => "listen.cert",
        TlsError::Key { .. } => "listen.key",
        TlsError::Unusable(_) | TlsError::MakeUp(_) | TlsError::Save { .. } => {
            return StartError::Tls(error);
        }
    };
    StartError::Misconfigured {
        key,
        reason: error.to_string(),
    }
}

impl Certificates {
    /// Those that the configuration asks for, but for what [`Self::make_up`] makes.
    pub(super) fn load(config: &Config) -> Result<Self, StartError> {
        let Listen {
            tls,
            quic,
            cert,
            key,
            ..
        } = &config.listen;
        let mut certificates = Self {
            files: None,
            saved: None,
            short_lived: None,
        };
        if tls.is_none() && quic.is_none() {
            return Ok(certificates);
        }
        if let (Some(certificate), Some(key)) = (cert, key) {
            let read = read(certificate, key)?;
            certificates.files = Some(ServedCertificate::new(&read).map_err(unusable)?);
            return Ok(certificates);
        }
        if quic.is_some() {
            let made = ShortLived::new(SystemTime::now()).map_err(unusable)?;
            certificates.short_lived = Some(Arc::new(made));
        }
        Ok(certificates)
    }

    /// Makes one up for WebSocket where that needs one and no file has it. It is kept beside the data, so the store has to be open: a
    /// store begins in no folder that holds files of others.
    pub(super) fn make_up(&mut self, config: &Config) -> Result<(), TlsError> {
        if config.listen.tls.is_some() && self.files.is_none() {
            let made = Certificate::made_up(&config.store.dir)?;
            self.saved = Some(ServedCertificate::new(&made)?);
        }
        Ok(())
    }

    /// What WebSocket serves.
    pub(super) fn for_websocket(&self) -> Option<&Arc<ServedCertificate>> {
        self.files.as_ref().or(self.saved.as_ref())
    }

    /// What QUIC serves.
    pub(super) fn for_quic(&self) -> Option<&Arc<ServedCertificate>> {
        let files = self.files.as_ref();
        files.or(self.short_lived.as_ref().map(|made| made.served()))
    }

    /// Hashes of certificates that no authority vouches for.
    pub(super) fn hashes(&self) -> Vec<String> {
        let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hashes = self.short_lived.as_ref().map(|made| made.hashes());
        hashes.iter().flatten().map(hex).collect()
    }

    /// Whether the certificate comes from files, which can be read again.
    pub(super) const fn are_files(&self) -> bool {
        self.files.is_some()
    }

    /// Reads what the configuration names now, which may be other files. None: nothing here comes from files.
    pub(super) fn read_again(&self, config: &Config) -> Result<Option<ReadAgain>, StartError> {
        let named = config
            .listen
            .cert
            .as_deref()
            .zip(config.listen.key.as_deref());
        let Some((served, (certificate, key))) = self.files.as_ref().zip(named) else {
            return Ok(None);
        };
        let certificate = read(certificate, key)?;
        Ok(Some(ReadAgain {
            served: Arc::clone(served),
            certificate,
        }))
    }

    /// Makes the made-up certificates anew in time, and tells it to new connections.
    pub(super) async fn renew(self, told: watch::Sender<Option<QuicAddress>>) {
        let Some(made) = &self.short_lived else {
            return;
        };
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match made.renew(SystemTime::now()) {
                Ok(false) => {}
                Ok(true) => {
                    info!("the made-up certificate of QUIC is another one now");
                    let hashes = self.hashes();
                    told.send_modify(|told| {
                        if let Some(address) = told {
                            address.certificate_hashes = hashes;
                        }
                    });
                }
                Err(error) => error!(%error, "the made-up certificate of QUIC stays as it is"),
            }
        }
    }
}
