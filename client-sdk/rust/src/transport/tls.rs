//! Which servers are believed to be who they say they are.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::options::{ClientOptions, InvalidOptions};

pub(super) fn config(
    options: &ClientOptions,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, InvalidOptions> {
    let roots = roots(&options.roots_pem)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("ring has the suites of these versions");
    let config = if options.certificate_hashes.is_empty() {
        config.with_root_certificates(roots)
    } else {
        config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                hashes: options.certificate_hashes.clone(),
                provider,
            }))
    };
    Ok(config.with_no_client_auth())
}

/// The public authorities, and those of the application's own.
fn roots(roots_pem: &[Vec<u8>]) -> Result<RootCertStore, InvalidOptions> {
    let invalid = |error: &dyn std::fmt::Display| InvalidOptions::Certificate(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for pem in roots_pem {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| invalid(&error))?;
            roots.add(certificate).map_err(|error| invalid(&error))?;
            found = true;
        }
        if !found {
            return Err(invalid(&"no certificate in it"));
        }
    }
    Ok(roots)
}

/// Believes whoever has the key of one of these certificates, whatever name and time they say.
#[derive(Debug)]
struct Pinned {
    /// SHA-256 of each.
    hashes: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash = digest(&SHA256, certificate);
        if self
            .hashes
            .iter()
            .any(|pinned| pinned[..] == *hash.as_ref())
        {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
