//! As much of X.509 as hints and warnings need: when a certificate is good, and what kind of key it has. Nothing is trusted by it.

use std::time::{Duration, SystemTime};

use x509_parser::asn1_rs::Oid;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSASSAPSS, OID_SIG_ED448,
};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
}

/// When a certificate is good. None: it is no certificate.
pub(super) fn validity(certificate: &[u8]) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some(Validity {
        from: time(validity.not_before),
        to: time(validity.not_after),
    })
}

/// What lies before 1970 is as good as 1970 here.
fn time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The kind of a certificate's key, in words, where it is none that signs here.
pub(super) fn kind_of_key(certificate: &[u8]) -> String {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map_or_else(
        |_| "an unknown kind".to_owned(),
        |(_, certificate)| kind(certificate.public_key()),
    )
}

fn kind(key: &SubjectPublicKeyInfo<'_>) -> String {
    if let Ok(PublicKey::RSA(key)) = key.parsed() {
        return format!("RSA with {} bits", key.key_size());
    }
    let is = |oid: &Oid<'_>| key.algorithm.algorithm == *oid;
    if is(&OID_KEY_TYPE_EC_PUBLIC_KEY) {
        let parameters = key.algorithm.parameters.as_ref();
        let curve = parameters.and_then(|curve| curve.as_oid().ok());
        return format!("ECDSA with {}", curve.map_or("another curve", curve_name));
    }
    let others = [
        (OID_SIG_ED448, "Ed448"),
        (OID_KEY_TYPE_DSA, "DSA"),
        (OID_PKCS1_RSASSAPSS, "RSA-PSS"),
    ];
    let found = others.iter().find(|(oid, _)| is(oid));
    found.map_or("an unknown kind", |(_, name)| name).to_owned()
}

fn curve_name(curve: Oid<'_>) -> &'static str {
    /// SEC 2, section A.2.
    const SECP256K1: &str = "1.3.132.0.10";
    match curve {
        curve if curve == OID_EC_P256 => "P-256",
        curve if curve == OID_NIST_EC_P384 => "P-384",
        curve if curve == OID_NIST_EC_P521 => "P-521",
        curve if curve.to_id_string() == SECP256K1 => "secp256k1",
        _ => "another curve",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_certificate() {
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let der = made.cert.der().to_vec();
        let validity_of_made = validity(&der).unwrap();
        assert!(validity_of_made.from < validity_of_made.to);
        for length in 0..der.len() {
            assert!(validity(&der[..length]).is_none(), "{length}");
            // Whatever stands there, it is read without a panic.
            let mut other = der.clone();
            other[length] ^= 0xff;
            let _ = (validity(&other), kind_of_key(&other));
        }
    }
}
