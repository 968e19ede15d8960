//! TLS: certificates from PEM files, or made up for development.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
pub use tokio_rustls::TlsAcceptor;

mod served;

pub use served::{ServedCertificate, ShortLived};

/// Life of a certificate that is trusted by its hash. Browsers take at most 14 days.
pub const SHORT_LIFE: Duration = Duration::from_hours(10 * 24);

/// How far the clock of a client may be behind that of the server.
const CLOCK_MARGIN: Duration = Duration::from_hours(12);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds no PEM of the right kind.
    #[error("can't read {what} from {}: {reason}", path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error(
        "the certificate and the key can't be used: {0}; check that the key belongs to the first certificate of the file"
    )]
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
    /// Reads a chain of certificates, the server's own first, and its key.
    ///
    /// # Errors
    /// [`TlsError::File`].
    pub fn from_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let refused = |what, path: &Path, reason: String| TlsError::File {
            what,
            path: path.to_owned(),
            reason,
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificates)
            .and_then(Iterator::collect)
            .map_err(|error| refused("a certificate", certificates, error.to_string()))?;
        if chain.is_empty() {
            return Err(refused(
                "a certificate",
                certificates,
                "the file has no section BEGIN CERTIFICATE".to_owned(),
            ));
        }
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| refused("a private key", key, error.to_string()))?;
        Ok(Self { chain, key })
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
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        let error = Certificate::from_files(&missing, &missing).err().unwrap();
        assert!(error.to_string().contains("missing.pem"), "{error}");

        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        let error = Certificate::from_files(&empty, &missing).err().unwrap();
        assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let one = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["b".to_owned()]).unwrap();
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        fs::write(&cert, one.cert.pem()).unwrap();
        fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        let read = Certificate::from_files(&cert, &key).unwrap();
        let error = ServedCertificate::new(&read).err().unwrap();
        assert!(error.to_string().contains("belongs"), "{error}");
    }
}
