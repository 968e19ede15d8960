//! The certificate that handshakes get, which may become another one while the server runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::{Certificate, SHORT_LIFE, TlsError};
use crate::replaceable::Replaceable;

/// How long a certificate that is trusted by its hash is in use.
const SHORT_USE: Duration = Duration::from_hours(7 * 24);

const _: () = assert!(SHORT_USE.as_secs() < SHORT_LIFE.as_secs());

/// A certificate that all listeners with it read for each handshake. Connections that there are keep theirs.
#[derive(Debug)]
pub struct ServedCertificate(Replaceable<CertifiedKey>);

impl ServedCertificate {
    /// Begins with this one.
    ///
    /// # Errors
    /// [`TlsError::Unusable`].
    pub fn new(certificate: &Certificate) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(Replaceable::new(certificate.certified()?))))
    }

    /// Goes on with this one.
    ///
    /// # Errors
    /// [`TlsError::Unusable`]; then the one before stays.
    pub fn replace(&self, certificate: &Certificate) -> Result<(), TlsError> {
        self.0.replace(certificate.certified()?);
        Ok(())
    }

    /// Accepts TLS for WebSockets.
    ///
    /// # Errors
    /// [`TlsError::Unusable`].
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let config = self.config(rustls::DEFAULT_VERSIONS, &[b"http/1.1"])?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// What these versions of TLS need to serve these application protocols. No early data: it can be replayed.
    pub(in crate::transport) fn config(
        self: &Arc<Self>,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }
}

/// Certificates that clients trust by their hashes: one in use, and the one that comes after it, so that who was told both may
/// come back within a week.
#[derive(Debug)]
pub struct ShortLived {
    served: Arc<ServedCertificate>,
    pair: Mutex<Pair>,
}

#[derive(Debug)]
struct Pair {
    /// When the one in use came into use.
    since: SystemTime,
    used: [u8; 32],
    next: Certificate,
}

impl Pair {
    fn made(since: SystemTime) -> Result<(Self, Certificate), TlsError> {
        let used = Certificate::short_lived(since)?;
        let pair = Self {
            since,
            used: used.hash(),
            next: Certificate::short_lived(since + SHORT_USE)?,
        };
        Ok((pair, used))
    }
}

impl ShortLived {
    /// Makes both up.
    ///
    /// # Errors
    /// [`TlsError::MakeUp`].
    pub fn new(now: SystemTime) -> Result<Self, TlsError> {
        let (pair, used) = Pair::made(now)?;
        Ok(Self {
            served: ServedCertificate::new(&used)?,
            pair: Mutex::new(pair),
        })
    }

    /// What handshakes get.
    pub const fn served(&self) -> &Arc<ServedCertificate> {
        &self.served
    }

    /// SHA-256 of the one in use and of the one after it.
    pub fn hashes(&self) -> [[u8; 32]; 2] {
        let pair = self.pair.lock();
        [pair.used, pair.next.hash()]
    }

    /// Changes over to the next one when it is time. Whether it was; a process that was asleep for too long gets two new ones, and
    /// so does one whose clock was set back.
    ///
    /// # Errors
    /// [`TlsError::MakeUp`]; then the one before stays.
    pub fn renew(&self, now: SystemTime) -> Result<bool, TlsError> {
        let mut pair = self.pair.lock();
        match now.duration_since(pair.since) {
            Ok(used) if used < SHORT_USE => return Ok(false),
            Ok(used) if used < 2 * SHORT_USE => {
                let since = pair.since + SHORT_USE;
                let after = Certificate::short_lived(since + SHORT_USE)?;
                self.served.replace(&pair.next)?;
                *pair = Pair {
                    since,
                    used: pair.next.hash(),
                    next: after,
                };
            }
            // Within the margin that certificates have for clocks.
            Err(ahead) if ahead.duration() < super::CLOCK_MARGIN => return Ok(false),
            _ => {
                let (made, used) = Pair::made(now)?;
                self.served.replace(&used)?;
                *pair = made;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn leaf(served: &ServedCertificate) -> Vec<u8> {
        served.0.get().cert[0].to_vec()
    }

    fn hash(served: &ServedCertificate) -> [u8; 32] {
        let mut hash = [0; 32];
        let digest = ring::digest::digest(&ring::digest::SHA256, &leaf(served));
        hash.copy_from_slice(digest.as_ref());
        hash
    }

    #[test]
    fn the_next_certificate_is_told_a_week_before_it_comes() {
        let start = SystemTime::now();
        let certificates = ShortLived::new(start).unwrap();
        let first = certificates.hashes();
        assert_ne!(first[0], first[1]);
        assert_eq!(hash(certificates.served()), first[0]);
        assert!(
            !certificates
                .renew(start + 7 * DAY - Duration::from_secs(1))
                .unwrap()
        );
        assert!(!certificates.renew(start - Duration::from_hours(1)).unwrap());
        assert_eq!(certificates.hashes(), first);

        assert!(certificates.renew(start + 7 * DAY).unwrap());
        let second = certificates.hashes();
        assert_eq!(second[0], first[1]);
        assert!(!first.contains(&second[1]));
        assert_eq!(hash(certificates.served()), second[0]);
        // A late look takes nothing from the one after it.
        assert!(certificates.renew(start + 16 * DAY).unwrap());
        assert_eq!(certificates.hashes()[0], second[1]);
        assert!(!certificates.renew(start + 20 * DAY).unwrap());
        assert!(certificates.renew(start + 21 * DAY).unwrap());
    }

    #[test]
    fn a_process_that_was_asleep_or_whose_clock_was_set_gets_new_ones() {
        let start = SystemTime::now();
        for then in [start + 15 * DAY, start + 400 * DAY, start - 2 * DAY] {
            let certificates = ShortLived::new(start).unwrap();
            let before = certificates.hashes();
            assert!(certificates.renew(then).unwrap());
            let after = certificates.hashes();
            assert!(before.iter().all(|hash| !after.contains(hash)));
            assert_eq!(hash(certificates.served()), after[0]);
            assert!(!certificates.renew(then + DAY).unwrap());
        }
    }

    #[test]
    fn a_certificate_that_is_not_good_takes_nobodys_place() {
        let good = Certificate::short_lived(SystemTime::now()).unwrap();
        let other = Certificate::short_lived(SystemTime::now()).unwrap();
        let served = ServedCertificate::new(&good).unwrap();
        let bad = Certificate {
            chain: good.chain.clone(),
            key: other.key.clone_key(),
        };
        assert!(matches!(served.replace(&bad), Err(TlsError::Unusable(_))));
        assert_eq!(leaf(&served), good.own().to_vec());
        served.replace(&other).unwrap();
        assert_eq!(leaf(&served), other.own().to_vec());
    }
}
