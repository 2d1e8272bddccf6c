//! SHA-256 (AWS-LC): over several pieces, and of certificates.
//!
//! Invariant: the boundaries between pieces are part of the digest.

use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};

/// The digest of the pieces.
pub fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for piece in pieces {
        context.update(&(piece.len() as u64).to_be_bytes());
        context.update(piece);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// The plain SHA-256 of these octets.
pub fn digest_of(octets: &[u8]) -> [u8; 32] {
    let mut plain = [0; 32];
    plain.copy_from_slice(digest(&SHA256, octets).as_ref());
    plain
}

/// The SHA-256 of a certificate's DER, in lower-case hexadecimal: as `openssl x509 -fingerprint -sha256` prints it.
pub fn certificate_digest(der: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, der).as_ref())
}

/// The digest of the first certificate in a PEM file. The error says what is wrong with the file.
pub fn certificate_file_digest(path: &Path) -> Result<String, String> {
    let certificate = CertificateDer::from_pem_file(path).map_err(|e| match e {
        Error::NoItemsFound => format!("{} holds no certificate in PEM form", path.display()),
        other => format!("{}: {other}", path.display()),
    })?;
    Ok(certificate_digest(&certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_between_pieces_change_the_digest() {
        assert_ne!(sha256(&[b"ab", b"c"]), sha256(&[b"a", b"bc"]));
        assert_eq!(sha256(&[b"ab", b"c"]), sha256(&[b"ab", b"c"]));
    }
}
