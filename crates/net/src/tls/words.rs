//! Why a certificate or a key cannot be used, in the words of who made it, with the command that mends it.
//!
//! RFC 7468 (PEM), RFC 5280 s.4.1.2.1 (version). Invariant: no type of a library's is named, and nothing of a key is shown.

use std::fs;
use std::path::Path;

use rustls::pki_types::{CertificateDer, pem};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::leaf::Leaf;

/// A file of which so much is looked at to say what it is, in octets.
const LOOKED_AT: usize = 64 * 1024;

/// Why no certificate could be read from a file.
pub(crate) fn no_certificate(path: &Path, error: &pem::Error) -> String {
    let shown = path.display();
    match kind(path) {
        Kind::Der => format!("holds a certificate in DER form; make PEM of it: openssl x509 -inform der -in {shown} -out {shown}.pem"),
        Kind::Key => "holds a key and no certificate; the certificate is another file".into(),
        Kind::ProtectedKey => "holds a protected key and no certificate; the certificate is another file".into(),
        Kind::Pem | Kind::Other => damaged(error, "certificate"),
    }
}

/// Why no key could be read from a file.
pub(super) fn no_key(path: &Path, error: &pem::Error) -> String {
    let shown = path.display();
    match kind(path) {
        Kind::ProtectedKey => format!(
            "is protected by a passphrase, which nobody types when the server starts; take it off: openssl pkey -in {shown} -out {shown}.open && mv \
             {shown}.open {shown}"
        ),
        Kind::Der => format!("holds no PEM form; make it: openssl pkey -inform der -in {shown} -out {shown}.pem"),
        Kind::Pem | Kind::Key | Kind::Other => damaged(error, "private key"),
    }
}

/// Why a key that was read is of no use.
pub(super) fn unsupported_key() -> String {
    "is no key that TLS can use (RSA of 2048 bits or more, ECDSA P-256, P-384 or P-521, Ed25519); make one: openssl genpkey -algorithm EC \
     -pkeyopt ec_paramgen_curve:P-256 -out key.pem"
        .into()
}

/// Why a certificate that was read is of no use, where that can be seen from it alone.
pub(super) fn unusable(certificate: &Path, key: &Path, der: &CertificateDer<'_>) -> Option<String> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    if x509.version() == X509Version::V3 {
        return None;
    }
    let common = x509.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let host = common.filter(|name| mail::Domain::parse(name).is_ok()).unwrap_or("mx.example.com").to_owned();
    Some(format!(
        "is a certificate of version 1, as `openssl x509 -req` makes it without extensions, and TLS takes version 3 only; make it anew: openssl req \
         -x509 -key {} -days 825 -subj /CN={host} -addext subjectAltName=DNS:{host} -out {}",
        key.display(),
        certificate.display()
    ))
}

/// Why certificate and key are no pair.
pub(super) fn no_pair(certificate: &Path, pair: &CertifiedKey) -> String {
    let shown = certificate.display();
    let belongs_to = |der: &CertificateDer<'static>| CertifiedKey::new(vec![der.clone()], pair.key.clone()).keys_match().is_ok();
    let later = pair.cert.iter().skip(1).find(|der| belongs_to(der));
    // An authority has no such names: its key is nobody's for a server.
    match later.and_then(|der| Leaf::read(der).ok()?.names.first().cloned()) {
        Some(name) => format!("belongs to a later certificate in {shown} ({name}): the server's own must be the first one there"),
        None => format!("does not belong to the certificate in {shown}: they were made apart, or one of them is older"),
    }
}

fn damaged(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::NotFound => "is not there".into(),
            std::io::ErrorKind::PermissionDenied => "cannot be read by this user".into(),
            _ => format!("cannot be read: {error}"),
        },
        pem::Error::NoItemsFound => format!("holds no {what} in PEM form (a block that begins with -----BEGIN)"),
        pem::Error::MissingSectionEnd { .. } => "ends in the middle of a PEM block: it was cut off".into(),
        pem::Error::Base64Decode(_) | pem::Error::IllegalSectionStart { .. } => {
            format!("holds a {what} whose PEM form is damaged: copy the file again, without an editor")
        }
        _ => format!("holds no {what} that can be read"),
    }
}

enum Kind {
    Pem,
    Der,
    Key,
    ProtectedKey,
    Other,
}

fn kind(path: &Path) -> Kind {
    let octets = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(octets.get(..LOOKED_AT).unwrap_or(&octets));
    match () {
        () if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") => Kind::ProtectedKey,
        () if text.contains("-----BEGIN CERTIFICATE") => Kind::Pem,
        () if text.contains("PRIVATE KEY-----") => Kind::Key,
        // A SEQUENCE of a length in two octets, as every certificate and most keys begin.
        () if octets.starts_with(&[0x30, 0x82]) => Kind::Der,
        () => Kind::Other,
    }
}
