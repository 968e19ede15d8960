//! Certificates and keys from PEM files, and hints about files that hold something else.

use std::fs;
use std::path::Path;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::x509;

/// What a key has to be.
const GOOD_KEYS: &str =
    "use a key of ECDSA with P-256 or P-384, of Ed25519, or of RSA with 2048, 3072 or 4096 bits";

/// How a key loses its passphrase.
const DECRYPT: &str = "write it without one, as by `openssl pkey -in KEY -out NEW`, readable by the server's user alone";

/// The chain of certificates in a file, at least one; else why there is none.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| format!("no PEM that can be read: {error}"))?;
    if chain.is_empty() {
        return Err(hint("CERTIFICATE", &text, "listen.cert and listen.key"));
    }
    match x509::validity(&chain[0]) {
        Some(_) => Ok(chain),
        None => Err("the first certificate is damaged".to_owned()),
    }
}

/// The key in a file, which can sign; else why there is none.
pub(super) fn read_key(
    path: &Path,
    certificate: &CertificateDer<'_>,
) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    let is_encrypted = sections(&text).contains(&"ENCRYPTED PRIVATE KEY".to_owned())
        || contains(&text, b"Proc-Type: 4,ENCRYPTED");
    if is_encrypted {
        return Err(format!("the key has a passphrase; {DECRYPT}"));
    }
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match sections(&text) {
        found if found.iter().any(|name| name.ends_with("PRIVATE KEY")) => {
            format!("no key that can be read: {error}")
        }
        _ => hint("PRIVATE KEY", &text, "listen.cert and listen.key"),
    })?;
    any_supported_type(&key).map_err(|_| {
        let kind = x509::kind_of_key(certificate);
        format!("a key of {kind} can't be used here; {GOOD_KEYS}")
    })?;
    Ok(key)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("can't be read: {error}"))
}

/// What to do about a file without the section that is looked for.
fn hint(wanted: &str, text: &[u8], keys: &str) -> String {
    let found = sections(text);
    if found.is_empty() {
        let is_der = text.first() == Some(&0x30);
        let more = if is_der {
            ": it looks like DER, which `openssl` turns into PEM"
        } else {
            ""
        };
        return format!("the file has no section BEGIN {wanted}{more}");
    }
    format!(
        "the file has no section BEGIN {wanted}, but {}; perhaps {keys} are exchanged",
        found.join(", ")
    )
}

/// The names of the sections of a PEM file.
fn sections(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN "))
        .filter_map(|line| line.strip_suffix("-----"))
        .map(str::to_owned)
        .collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::Certificate;
    use super::*;

    /// A file of `openssl`'s, made by these arguments.
    fn openssl(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
        let path = folder.join(name);
        let mut command = Command::new("openssl");
        command.arg(arguments[0]).arg("-out").arg(&path);
        command.args(&arguments[1..]);
        let output = command.output().expect("openssl is part of every Debian");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        path
    }

    fn certificate_of(folder: &Path, key: &Path) -> PathBuf {
        let name = format!("{}.crt", key.file_name().unwrap().to_str().unwrap());
        let key = key.to_str().unwrap();
        let of = [
            "req",
            "-x509",
            "-new",
            "-subj",
            "/CN=localhost",
            "-days",
            "9",
            "-key",
        ];
        openssl(folder, &name, &[&of[..], &[key]].concat())
    }

    fn refusal(certificate: &Path, key: &Path) -> String {
        let refused = Certificate::from_files(certificate, key).expect_err("not to be used");
        refused.to_string()
    }

    #[test]
    fn keys_that_can_be_used_are() {
        let folder = tempfile::tempdir().unwrap();
        for (name, arguments) in [
            ("p256", &["ecparam", "-genkey", "-name", "prime256v1"][..]),
            (
                "p384",
                &[
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-384",
                ],
            ),
            ("ed25519", &["genpkey", "-algorithm", "ed25519"]),
            ("rsa2048", &["genrsa", "2048"]),
        ] {
            let key = openssl(folder.path(), name, arguments);
            let certificate = certificate_of(folder.path(), &key);
            let read = Certificate::from_files(&certificate, &key);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_named_by_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        for (name, arguments, kind) in [
            (
                "p521",
                &["ecparam", "-genkey", "-name", "secp521r1"][..],
                "P-521",
            ),
            (
                "p521-8",
                &[
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-521",
                ],
                "P-521",
            ),
            (
                "k256",
                &["ecparam", "-genkey", "-name", "secp256k1"],
                "secp256k1",
            ),
            ("ed448", &["genpkey", "-algorithm", "ed448"], "Ed448"),
            ("rsa1024", &["genrsa", "1024"], "RSA with 1024 bits"),
            (
                "rsa1024-1",
                &["genrsa", "-traditional", "1024"],
                "RSA with 1024 bits",
            ),
        ] {
            let key = openssl(folder.path(), name, arguments);
            let certificate = certificate_of(folder.path(), &key);
            let said = refusal(&certificate, &key);
            assert!(
                said.contains(kind) && said.contains("P-256"),
                "{name}: {said}"
            );
            assert!(said.contains(key.to_str().unwrap()), "{said}");
        }
    }

    #[test]
    fn files_that_hold_something_else_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let key = openssl(
            folder,
            "key",
            &["ecparam", "-genkey", "-name", "prime256v1"],
        );
        let other = openssl(
            folder,
            "other",
            &["ecparam", "-genkey", "-name", "prime256v1"],
        );
        let certificate = certificate_of(folder, &key);
        let locked = ["ec", "-aes256", "-passout", "pass:secret", "-in"];
        let locked = openssl(
            folder,
            "locked",
            &[&locked[..], &[key.to_str().unwrap()]].concat(),
        );
        let locked_8 = ["pkcs8", "-topk8", "-passout", "pass:secret", "-in"];
        let locked_8 = [&locked_8[..], &[key.to_str().unwrap()]].concat();
        let locked_8 = openssl(folder, "locked-8", &locked_8);
        let der = [
            "x509",
            "-outform",
            "DER",
            "-in",
            certificate.to_str().unwrap(),
        ];
        let der = openssl(folder, "der", &der);
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let empty = write("empty", "");
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let damaged = write("damaged", damaged);
        let missing = folder.join("missing");
        for (certificate, key, named, hint) in [
            (
                &certificate,
                &other,
                &other,
                "does not belong to the first certificate",
            ),
            (&key, &certificate, &key, "exchanged"),
            (&certificate, &certificate, &certificate, "exchanged"),
            (&certificate, &locked, &locked, "passphrase"),
            (&certificate, &locked_8, &locked_8, "passphrase"),
            (&der, &key, &der, "DER"),
            (&empty, &key, &empty, "BEGIN CERTIFICATE"),
            (&certificate, &empty, &empty, "BEGIN PRIVATE KEY"),
            (&damaged, &key, &damaged, "damaged"),
            (&missing, &key, &missing, "No such file"),
            (&certificate, &missing, &missing, "No such file"),
        ] {
            let said = refusal(certificate, key);
            assert!(said.contains(hint), "{hint}: {said}");
            assert!(said.contains(named.to_str().unwrap()), "{said}");
        }
    }
}
