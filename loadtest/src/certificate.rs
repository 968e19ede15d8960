//! A certificate for one run: of the kind that the server makes up for development, so that handshakes cost what they cost there.

use rcgen::{CertificateParams, CertifiedKey, KeyPair, PKCS_ECDSA_P256_SHA256};

/// Makes a certificate for this machine with a key of ECDSA with P-256.
pub fn make() -> Result<CertifiedKey<KeyPair>, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let params = CertificateParams::new(names)?;
    let signing_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params.self_signed(&signing_key)?;
    Ok(CertifiedKey { cert, signing_key })
}
