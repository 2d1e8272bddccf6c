//! Reads a certificate: its names, validity, key.
//!
//! RFC 5280 s.4, RFC 6125 s.6.4 (wildcards), RFC 5929 s.4.1, RFC 6698 s.2.1. Invariant: reads only, and does not
//! verify.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The contents of a leaf certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Its DNS names, lower case, wildcards as written.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// Whether it names itself as its issuer.
    pub is_self_issued: bool,
    /// Valid from, Unix seconds.
    pub not_before_s: i64,
    /// Valid until, Unix seconds.
    pub not_after_s: i64,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// `ECDSA P-256`, `RSA 2048`.
    pub key_type: String,
    /// SHA-256 of the SubjectPublicKeyInfo: the data of a TLSA record `3 1 1`.
    pub spki_sha256: String,
}

impl Leaf {
    /// Reads a certificate.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, x509) = X509Certificate::from_der(certificate).map_err(|e| format!("not an X.509 certificate: {e}"))?;
        let mut names = Vec::new();
        for extension in x509.extensions() {
            if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
                names.extend(san.general_names.iter().filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                }));
            }
        }
        Ok(Self {
            names,
            issuer: printable(&x509.issuer().to_string()),
            is_self_issued: x509.issuer().as_raw() == x509.subject().as_raw(),
            not_before_s: x509.validity().not_before.timestamp(),
            not_after_s: x509.validity().not_after.timestamp(),
            serial: HEXLOWER.encode(x509.raw_serial()),
            key_type: key_type(&x509),
            spki_sha256: HEXLOWER.encode(digest::digest(&digest::SHA256, x509.public_key().raw).as_ref()),
        })
    }

    /// Whether the certificate is for this name (lower case).
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| matches(pattern, name))
    }

    /// Whether it is valid at this time.
    pub fn is_valid_at(&self, now_s: i64) -> bool {
        (self.not_before_s..=self.not_after_s).contains(&now_s)
    }
}

/// A wildcard matches exactly one label, the first.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == name,
    }
}

fn key_type(x509: &X509Certificate<'_>) -> String {
    match x509.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", if point.key_size() == 528 { 521 } else { point.key_size() }),
        _ if x509.public_key().algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".into(),
        _ => "unknown".into(),
    }
}

/// The certificate's hash for tls-server-end-point: by the algorithm of its signature, but at least SHA-256; `None` if the signature has no hash of its
/// own.
pub(crate) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, x509) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = match x509.signature_algorithm.algorithm.to_id_string().as_str() {
        // MD5, SHA-1 and SHA-256 with RSA, SHA-1 and SHA-256 with ECDSA.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => {
            &digest::SHA256
        }
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// A name in a certificate can hold anything, terminal escapes too.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_signed::self_signed;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_certificate_is_read() {
        let (pem, _) = self_signed(&["MX.example.test".into(), "*.example.test".into()]).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let leaf = Leaf::read(&der).unwrap();
        assert_eq!(leaf.names, ["mx.example.test", "*.example.test"]);
        assert!(leaf.is_self_issued && leaf.is_valid_at(leaf.not_before_s) && !leaf.is_valid_at(leaf.not_after_s + 1));
        assert_eq!((leaf.key_type.as_str(), leaf.spki_sha256.len()), ("ECDSA P-256", 64));
        assert_eq!(end_point(&der).unwrap().len(), 32);
        assert!(Leaf::read(&CertificateDer::from(b"garbage".to_vec())).is_err());
    }

    #[test]
    fn a_wildcard_matches_one_label() {
        assert!(matches("*.example.test", "mx.example.test"));
        for name in ["example.test", ".example.test", "a.mx.example.test", "*.test"] {
            assert!(!matches("*.example.test", name), "{name}");
        }
    }
}
