//! Why a certificate or key file cannot be used, with the command that fixes it.
//!
//! RFC 7468 (PEM), RFC 5280 s.4.1.2.1 (version). Invariant: no library's type names, and nothing of a key, in a message.

use std::fs;
use std::path::Path;

use rustls::pki_types::{CertificateDer, pem};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::leaf::Leaf;

/// The part of a file that is examined to find out what it is, in octets.
const EXAMINED_MAX_BYTES: usize = 64 * 1024;

/// Why a file gives no certificate.
pub(crate) fn no_certificate(path: &Path, error: &pem::Error) -> String {
    let shown = path.display();
    match kind(path) {
        FileContent::Der => {
            format!("holds a certificate in DER form; convert it to PEM: openssl x509 -inform der -in {shown} -out {shown}.pem")
        }
        FileContent::Key => "holds a key, not a certificate; the certificate is in another file".into(),
        FileContent::ProtectedKey => "holds a protected key, not a certificate; the certificate is in another file".into(),
        FileContent::Pem | FileContent::Other => damaged(error, "certificate"),
    }
}

/// Why a file gives no key.
pub(super) fn no_key(path: &Path, error: &pem::Error) -> String {
    let shown = path.display();
    match kind(path) {
        FileContent::ProtectedKey => format!(
            "is protected by a passphrase, which the server cannot ask for at start; remove it: openssl pkey -in {shown} -out {shown}.open && mv \
             {shown}.open {shown}"
        ),
        FileContent::Der => format!("is not in PEM form; convert it: openssl pkey -inform der -in {shown} -out {shown}.pem"),
        FileContent::Pem | FileContent::Key | FileContent::Other => damaged(error, "private key"),
    }
}

/// Why a key cannot be used.
pub(super) fn unsupported_key() -> String {
    "is not a key that TLS can use (RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, Ed25519); make one: openssl genpkey -algorithm EC \
     -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
        .into()
}

/// Why a certificate cannot be used, whatever its key.
pub(super) fn unusable(certificate: &Path, key: &Path, der: &CertificateDer<'_>) -> Option<String> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    if x509.version() == X509Version::V3 {
        return None;
    }
    let common = x509.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let host = common.filter(|name| mail::Domain::parse(name).is_ok()).unwrap_or("mx.example.com").to_owned();
    Some(format!(
        "is a version 1 certificate, as `openssl x509 -req` makes it without extensions; TLS needs version 3; make it again: openssl req \
         -x509 -key {} -days 825 -subj /CN={host} -addext subjectAltName=DNS:{host} -out {}",
        key.display(),
        certificate.display()
    ))
}

/// Why certificate and key do not match.
pub(super) fn no_pair(certificate: &Path, pair: &CertifiedKey) -> String {
    let shown = certificate.display();
    let belongs_to = |der: &CertificateDer<'static>| CertifiedKey::new(vec![der.clone()], pair.key.clone()).keys_match().is_ok();
    let later = pair.cert.iter().skip(1).find(|der| belongs_to(der));
    // An authority's certificate has no DNS names: no server uses its key.
    match later.and_then(|der| Leaf::read(der).ok()?.names.first().cloned()) {
        Some(name) => format!("belongs to a later certificate in {shown} ({name}): the server's own must be the first one"),
        None => format!("does not belong to the certificate in {shown}: one of them is older, or they were made separately"),
    }
}

fn damaged(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".into(),
            std::io::ErrorKind::PermissionDenied => "cannot be read by this user".into(),
            _ => format!("cannot be read: {error}"),
        },
        pem::Error::NoItemsFound => format!("holds no {what} in PEM form (a block that begins with -----BEGIN)"),
        pem::Error::MissingSectionEnd { .. } => "ends in the middle of a PEM block: it is truncated".into(),
        pem::Error::Base64Decode(_) | pem::Error::IllegalSectionStart { .. } => {
            format!("holds a {what} in damaged PEM form: copy the file again, without an editor")
        }
        _ => format!("holds no readable {what}"),
    }
}

enum FileContent {
    Pem,
    Der,
    Key,
    ProtectedKey,
    Other,
}

fn kind(path: &Path) -> FileContent {
    let octets = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(octets.get(..EXAMINED_MAX_BYTES).unwrap_or(&octets));
    match () {
        () if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") => FileContent::ProtectedKey,
        () if text.contains("-----BEGIN CERTIFICATE") => FileContent::Pem,
        () if text.contains("PRIVATE KEY-----") => FileContent::Key,
        // A SEQUENCE with a length of two octets: how every certificate and most keys begin.
        () if octets.starts_with(&[0x30, 0x82]) => FileContent::Der,
        () => FileContent::Other,
    }
}
