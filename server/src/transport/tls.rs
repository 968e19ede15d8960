//! TLS: certificates from PEM files, or one made up for development.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
pub use tokio_rustls::TlsAcceptor;

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

/// Reads a chain of certificates, the server's own first, and its key.
pub fn from_files(certificates: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
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
    acceptor(chain, key)
}

/// Makes up a certificate for `localhost` and saves it as `dev-cert.pem` in `folder`, so that clients can be told to trust it.
pub fn made_up(folder: &Path) -> Result<TlsAcceptor, TlsError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names.to_vec())?;
    let path = folder.join("dev-cert.pem");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, made.cert.pem()))
        .map_err(|source| TlsError::Save { path, source })?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    acceptor(vec![made.cert.into()], key)
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_certificate_can_be_used() {
        let folder = tempfile::tempdir().unwrap();
        made_up(folder.path()).unwrap();
        assert!(folder.path().join("dev-cert.pem").exists());
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        let error = from_files(&missing, &missing).err().unwrap();
        assert!(error.to_string().contains("missing.pem"), "{error}");

        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        let error = from_files(&empty, &missing).err().unwrap();
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
        let error = from_files(&cert, &key).err().unwrap();
        assert!(error.to_string().contains("belongs"), "{error}");
    }
}
