//! Signs outgoing messages with DKIM.
//!
//! RFC 6376 s.5, RFC 8463, RFC 8301. Invariant: never l=; the fields that a reader sees are oversigned, so that none can be added.

use mail::without_blanks_before_colons;
use mail_auth::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mail_auth::headers::HeaderWriter as _;
use mail_auth::signer::Ready;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::key::{Algorithm, KeyError};

/// The signed fields (or their absence), and whether the field is oversigned: one more breaks the signature.
const SIGNED: [(&str, bool); 21] = [
    ("From", true),
    ("To", true),
    ("Cc", false),
    ("Subject", true),
    ("Date", true),
    ("Message-ID", true),
    ("Reply-To", false),
    ("Sender", false),
    ("In-Reply-To", false),
    ("References", false),
    ("MIME-Version", false),
    ("Content-Type", true),
    ("Content-Transfer-Encoding", false),
    ("Content-Disposition", false),
    ("List-Id", false),
    ("List-Help", false),
    ("List-Unsubscribe", false),
    ("List-Unsubscribe-Post", false),
    ("List-Post", false),
    ("List-Owner", false),
    ("List-Archive", false),
];

/// A key with its domain and selector: makes one signature.
pub struct Signer(SignerKind);

enum SignerKind {
    Rsa(Box<DkimSigner<RsaKey<Sha256>, Ready>>),
    Ed25519(Box<DkimSigner<Ed25519Key, Ready>>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            SignerKind::Rsa(_) => "Signer(rsa)",
            SignerKind::Ed25519(_) => "Signer(ed25519)",
        })
    }
}

impl Signer {
    /// Reads a private key (PKCS #8 in DER) that is published under this selector of this domain.
    pub fn new(algorithm: Algorithm, private: &[u8], domain: &str, selector: &str) -> Result<Self, KeyError> {
        let unread = |_| KeyError("read");
        Ok(Self(match algorithm {
            Algorithm::Rsa => {
                let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private));
                SignerKind::Rsa(Box::new(signer(RsaKey::<Sha256>::from_key_der(der).map_err(unread)?, domain, selector)))
            }
            Algorithm::Ed25519 => {
                let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(private).map_err(unread)?;
                SignerKind::Ed25519(Box::new(signer(key, domain, selector)))
            }
        }))
    }

    /// The DKIM-Signature field, with CRLF, for a message in pieces.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn sign(&self, pieces: &[&[u8]]) -> Result<String, KeyError> {
        // mail-auth keeps the blank of `Subject : hi` in h=, where no verifier matches it. Relaxed, the field is `subject:hi` for all verifiers.
        let mended: Vec<_> = pieces.iter().map(|piece| without_blanks_before_colons(piece)).collect();
        let pieces = mended.iter().map(AsRef::as_ref);
        let signature = match &self.0 {
            SignerKind::Rsa(signer) => signer.sign_chained(pieces),
            SignerKind::Ed25519(signer) => signer.sign_chained(pieces),
        };
        signature.map(|signature| signature.to_header()).map_err(|_| KeyError("used"))
    }
}

fn signer<T: SigningKey>(key: T, domain: &str, selector: &str) -> DkimSigner<T, Ready> {
    // A repeated name oversigns the field.
    let names = SIGNED.iter().flat_map(|(name, oversigned)| std::iter::repeat_n(*name, 1 + usize::from(*oversigned)));
    DkimSigner::from_key(key)
        .domain(domain)
        .selector(selector)
        .headers(names)
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyPair;

    #[test]
    fn visible_fields_are_oversigned() {
        for algorithm in [Algorithm::Rsa, Algorithm::Ed25519] {
            let pair = KeyPair::generate(algorithm).unwrap();
            let signer = Signer::new(algorithm, &pair.private, "example.test", "s1").unwrap();
            let field = signer.sign(&[b"Received: x\r\n", b"From: me@example.test\r\nSubject: hi\r\n\r\nbody\r\n"]).unwrap();
            let unfolded = field.replace("\r\n\t", "").replace("\r\n ", "").replace(' ', "");
            let names = unfolded.split(";h=").nth(1).unwrap().split(';').next().unwrap().to_lowercase();
            let count = |name: &str| names.split(':').filter(|n| *n == name).count();
            assert_eq!((count("from"), count("subject"), count("to"), count("received")), (2, 2, 2, 0), "{names}");
            assert!(field.starts_with("DKIM-Signature:") && field.ends_with("\r\n"), "{field}");
            assert!(!unfolded.contains(";l="), "{field}");
            assert!(unfolded.contains("d=example.test;") && unfolded.contains("s=s1;"), "{field}");
        }
    }
}
