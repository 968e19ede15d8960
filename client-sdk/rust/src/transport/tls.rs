//! Which servers are believed to be who they say they are.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::options::{ClientOptions, InvalidOptions};

pub(super) fn config(
    options: &ClientOptions,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, InvalidOptions> {
    let named = named(&options.roots_pem)?;
    let roots = roots(&named)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("ring has the suites of these versions");
    let hashes = options.certificate_hashes.clone();
    let verifier = Arc::new(Verifier::new(roots, named, hashes, provider));
    let config = config
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(config.with_no_client_auth())
}

fn invalid(error: &dyn std::fmt::Display) -> InvalidOptions {
    InvalidOptions::Certificate(error.to_string())
}

/// The certificates that the application trusts beside the public authorities.
fn named(roots_pem: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, InvalidOptions> {
    let mut named = Vec::new();
    for pem in roots_pem {
        let known = named.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            named.push(certificate.map_err(|error| invalid(&error))?);
        }
        if named.len() == known {
            return Err(invalid(&"no certificate in it"));
        }
    }
    Ok(named)
}

/// The public authorities, and those of the application's own.
fn roots(named: &[CertificateDer<'static>]) -> Result<RootCertStore, InvalidOptions> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in named {
        let added = roots.add(certificate.clone());
        added.map_err(|error| invalid(&error))?;
    }
    Ok(roots)
}

/// What the usual check says of an authority's certificate that a server shows as its own. It says so when the certificate's time fits,
/// and before it looks at the name.
const AUTHORITY_S: &str = "CaUsedAsEndEntity";

/// Who is believed: whoever has the key of a pinned certificate, whatever name and time it says, where some are pinned. Otherwise it is the
/// usual check, but that a certificate of the application's own may be an authority's and the server's in one, as `openssl req -x509`
/// makes it: who names a certificate means the server that has it.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
    /// SHA-256 of each certificate that is pinned.
    pinned: Vec<[u8; 32]>,
}

impl Verifier {
    fn new(
        roots: RootCertStore,
        named: Vec<CertificateDer<'static>>,
        pinned: Vec<[u8; 32]>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Self {
            usual: usual
                .expect("there are public authorities, and no lists of revoked certificates"),
            named,
            pinned,
        }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        let hash = digest(&SHA256, certificate);
        self.pinned
            .iter()
            .any(|pinned| pinned[..] == *hash.as_ref())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pinned.is_empty() {
            return match self.is_pinned(certificate) {
                true => Ok(ServerCertVerified::assertion()),
                false => Err(CertificateError::ApplicationVerificationFailure.into()),
            };
        }
        let checked = self
            .usual
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match checked {
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if why.to_string() == AUTHORITY_S && self.named.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// Within the time of all certificates here, which is the year 2026.
    const NOW: Duration = Duration::from_secs(1_780_000_000);

    const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// As `openssl req -x509` makes it.
    fn of_both(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn check(
        named: &[&CertificateDer<'static>],
        shown: &CertificateDer<'static>,
        name: &'static str,
        now: Duration,
    ) -> Result<ServerCertVerified, Error> {
        check_pinned(&[], named, shown, name, now)
    }

    fn check_pinned(
        pinned: &[[u8; 32]],
        named: &[&CertificateDer<'static>],
        shown: &CertificateDer<'static>,
        name: &'static str,
        now: Duration,
    ) -> Result<ServerCertVerified, Error> {
        let named: Vec<_> = named.iter().map(|&named| named.clone()).collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(roots(&named).unwrap(), named, pinned.to_vec(), provider);
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(now);
        verifier.verify_server_cert(shown, &[], &name, &[], now)
    }

    #[test]
    fn an_authority_s_certificate_that_is_named_is_the_server_s_as_well() {
        let (one, other) = (of_both("localhost"), of_both("localhost"));
        assert!(check(&[&one], &one, "localhost", NOW).is_ok());
        assert!(check(&[&other, &one], &one, "localhost", NOW).is_ok());
        for (named, name, now) in [
            (&[][..], "localhost", NOW),
            (&[&other], "localhost", NOW),
            (&[&one], "example.org", NOW),
            (&[&one], "localhost", NOW + YEAR),
            (&[&one], "localhost", NOW - YEAR),
        ] {
            assert!(check(named, &one, name, now).is_err(), "{name} {now:?}");
        }
    }

    #[test]
    fn where_some_are_pinned_no_other_is_believed_and_they_are_whatever_they_say() {
        let (one, other) = (of_both("localhost"), of_both("localhost"));
        let hash: [u8; 32] = digest(&SHA256, &one).as_ref().try_into().unwrap();
        assert!(check_pinned(&[hash], &[], &one, "elsewhere", NOW + YEAR).is_ok());
        let refused = check_pinned(&[hash], &[&other], &other, "localhost", NOW);
        let why = CertificateError::ApplicationVerificationFailure;
        assert_eq!(refused.unwrap_err(), why.into());
    }
}
