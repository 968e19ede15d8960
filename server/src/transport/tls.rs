//! TLS: certificates from PEM files, or made up for development.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
pub use tokio_rustls::TlsAcceptor;

mod files;
mod served;
mod x509;

pub use served::{ServedCertificate, ShortLived};

/// Life of a certificate that is trusted by its hash. Browsers take at most 14 days.
pub const SHORT_LIFE: Duration = Duration::from_hours(10 * 24);

/// How far the clock of a client may be behind that of the server.
const CLOCK_MARGIN: Duration = Duration::from_hours(12);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of certificates can't be read, or holds none that can be used.
    #[error("{}: {reason}", path.display())]
    Certificate {
        /// Where.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// The file of the key can't be read, or its key can't be used with the certificate.
    #[error("{}: {reason}", path.display())]
    Key {
        /// Where.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// The library of TLS does not take them.
    #[error("the certificate and its key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The made-up certificate could not be made.
    #[error("can't make a certificate for development: {0}")]
    MakeUp(#[from] rcgen::Error),
    /// The made-up certificate could not be saved.
    #[error("can't write {}: {source}", path.display())]
    Save {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A chain of certificates, the server's own first, and its key.
#[derive(Debug)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// Reads a chain of certificates, the server's own first, and its key, and sees that they belong together.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] and [`TlsError::Key`].
    pub fn from_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = files::read_chain(certificates).map_err(|reason| TlsError::Certificate {
            path: certificates.to_owned(),
            reason,
        })?;
        let read = files::read_key(key, &chain[0]).map_err(|reason| TlsError::Key {
            path: key.to_owned(),
            reason,
        })?;
        let certificate = Self { chain, key: read };
        match certificate.certified() {
            Ok(_) => Ok(certificate),
            Err(TlsError::Unusable(rustls::Error::InconsistentKeys(_))) => Err(TlsError::Key {
                path: key.to_owned(),
                reason: format!(
                    "the key does not belong to the first certificate of {}, which must be the server's own",
                    certificates.display()
                ),
            }),
            Err(error) => Err(TlsError::Certificate {
                path: certificates.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// What is wrong with the time in which the server's own certificate is good, for people. None: nothing.
    pub fn out_of_time(&self, now: SystemTime) -> Option<String> {
        let validity = x509::validity(&self.chain[0])?;
        let since = |from: SystemTime, to: SystemTime| {
            let hours = to.duration_since(from).unwrap_or_default().as_secs() / 3_600;
            match hours {
                0..48 => format!("{hours} hours"),
                hours => format!("{} days", hours / 24),
            }
        };
        if now < validity.from {
            let wait = since(now, validity.from);
            return Some(format!("the certificate is not good yet, but in {wait}"));
        }
        (now > validity.to).then(|| {
            let ago = since(validity.to, now);
            format!("the certificate has run out, {ago} ago: clients refuse it")
        })
    }

    /// Makes up a certificate for `localhost` and saves it as `dev-cert.pem` in `folder`, so that clients can be told to trust it.
    ///
    /// # Errors
    /// [`TlsError::MakeUp`] and [`TlsError::Save`].
    pub fn made_up(folder: &Path) -> Result<Self, TlsError> {
        let made = rcgen::generate_simple_self_signed(local_names())?;
        let path = folder.join("dev-cert.pem");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, made.cert.pem()))
            .map_err(|source| TlsError::Save { path, source })?;
        Ok(Self::of(made))
    }

    /// Makes up a certificate for `localhost` that clients trust by its [hash](Self::hash): ECDSA with P-256, as browsers want it
    /// for that, and good for [`SHORT_LIFE`] from some time before `from` on. It is kept in memory only.
    ///
    /// # Errors
    /// [`TlsError::MakeUp`].
    pub fn short_lived(from: SystemTime) -> Result<Self, TlsError> {
        let mut params = rcgen::CertificateParams::new(local_names())?;
        params.not_before = (from - CLOCK_MARGIN).into();
        params.not_after = (from - CLOCK_MARGIN + SHORT_LIFE).into();
        let signing_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let cert = params.self_signed(&signing_key)?;
        Ok(Self::of(rcgen::CertifiedKey { cert, signing_key }))
    }

    fn of(made: rcgen::CertifiedKey<rcgen::KeyPair>) -> Self {
        Self {
            key: PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
            chain: vec![made.cert.into()],
        }
    }

    /// SHA-256 of the server's own certificate.
    pub fn hash(&self) -> [u8; 32] {
        let digest = digest(&SHA256, self.chain.first().map_or(&[], |own| &own[..]));
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        hash
    }

    /// The server's own certificate.
    #[cfg(test)]
    pub(super) fn own(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The key that signs handshakes.
    fn certified(&self) -> Result<CertifiedKey, TlsError> {
        let provider = rustls::crypto::ring::default_provider();
        let (chain, key) = (self.chain.clone(), self.key.clone_key());
        Ok(CertifiedKey::from_der(chain, key, &provider)?)
    }
}

fn local_names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_certificate_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let made = Certificate::made_up(folder.path()).unwrap();
        ServedCertificate::new(&made).unwrap().acceptor().unwrap();
        assert!(folder.path().join("dev-cert.pem").exists());
    }

    #[test]
    fn the_time_of_a_certificate_is_read() {
        let now = SystemTime::now();
        let day = Duration::from_hours(24);
        let made = Certificate::short_lived(now).unwrap();
        assert_eq!(made.out_of_time(now), None);
        assert_eq!(made.out_of_time(now + 9 * day), None);
        let late = made.out_of_time(now + 20 * day).unwrap();
        assert!(late.contains("run out, 10 days ago"), "{late}");
        let early = made.out_of_time(now - 2 * day - Duration::from_secs(5));
        let early = early.unwrap();
        assert!(early.contains("not good yet, but in 36 hours"), "{early}");
    }
}
