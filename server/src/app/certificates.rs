//! The certificates of all listeners: where they come from, and when they become others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pitturu_protocol::types::system::QuicAddress;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::config::Config;
use crate::config::table::Listen;
use crate::transport::tls::{Certificate, ServedCertificate, ShortLived, TlsError};

/// How often it is looked whether a made-up certificate has served its time.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// What listeners serve, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// From files, for WebSocket and QUIC.
    files: Option<Files>,
    /// Made up for WebSocket.
    saved: Option<Arc<ServedCertificate>>,
    /// Made up for QUIC, where clients trust it by its hash.
    short_lived: Option<Arc<ShortLived>>,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    served: Arc<ServedCertificate>,
}

impl Certificates {
    /// Those that the configuration asks for, but for what [`Self::make_up`] makes.
    pub(super) fn load(config: &Config) -> Result<Self, TlsError> {
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
            let read = Certificate::from_files(certificate, key)?;
            certificates.files = Some(Files {
                certificate: certificate.clone(),
                key: key.clone(),
                served: ServedCertificate::new(&read)?,
            });
            return Ok(certificates);
        }
        if quic.is_some() {
            let made = ShortLived::new(SystemTime::now())?;
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
        let files = self.files.as_ref().map(|files| &files.served);
        files.or(self.saved.as_ref())
    }

    /// What QUIC serves.
    pub(super) fn for_quic(&self) -> Option<&Arc<ServedCertificate>> {
        let files = self.files.as_ref().map(|files| &files.served);
        files.or(self.short_lived.as_ref().map(|made| made.served()))
    }

    /// Hashes of certificates that no authority vouches for.
    pub(super) fn hashes(&self) -> Vec<String> {
        let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hashes = self.short_lived.as_ref().map(|made| made.hashes());
        hashes.iter().flatten().map(hex).collect()
    }

    /// Reads the files again. New handshakes get what is in them; when that is not good, the certificate of before stays, and the
    /// log says why.
    pub(super) fn reload(&self) {
        let Some(files) = &self.files else {
            info!("no certificate comes from a file; nothing is read again");
            return;
        };
        let read = Certificate::from_files(&files.certificate, &files.key);
        match read.and_then(|read| files.served.replace(&read)) {
            Ok(()) => info!(file = %files.certificate.display(), "certificate read again"),
            Err(error) => {
                error!(%error, "the certificate was not read again; the one of before stays")
            }
        }
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
