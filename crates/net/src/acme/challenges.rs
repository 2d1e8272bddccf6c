//! Responses to the authority's validation of names.
//!
//! RFC 8555 s.8.3 (http-01), RFC 8737 s.3 (tls-alpn-01). Invariant: a challenge is answered only while its order runs.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::tls::TlsError;

/// The challenges of running orders. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<ActiveChallenges>>);

#[derive(Debug, Default)]
struct ActiveChallenges {
    /// By token.
    texts: HashMap<String, String>,
    /// By name.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    fn with<T>(&self, f: impl FnOnce(&mut ActiveChallenges) -> T) -> T {
        f(&mut self.0.lock())
    }

    /// The text for `/.well-known/acme-challenge/TOKEN`.
    pub fn text(&self, token: &str) -> Option<String> {
        self.with(|shown| shown.texts.get(token).cloned())
    }

    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.with(|shown| shown.certificates.get(&name.to_ascii_lowercase()).cloned())
    }

    pub(super) fn show_text(&self, token: &str, text: &str) {
        self.with(|shown| shown.texts.insert(token.to_owned(), text.to_owned()));
    }

    pub(super) fn show_certificate(&self, name: &str, digest: &[u8]) -> Result<(), TlsError> {
        let certified = Arc::new(validation_certificate(name, digest)?);
        self.with(|shown| shown.certificates.insert(name.to_ascii_lowercase(), certified));
        Ok(())
    }

    pub(super) fn clear(&self) {
        self.with(|shown| *shown = ActiveChallenges::default());
    }
}

/// A certificate for the name alone, with the digest of the key authorization in a critical extension.
fn validation_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, TlsError> {
    let failed = |e: rcgen::Error| TlsError::Make(e.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(failed)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| TlsError::Make(e.to_string()))?;
    let signer = aws_lc_rs::sign::any_supported_type(&private)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_until_it_is_cleared() {
        let challenges = Challenges::default();
        challenges.show_text("token", "token.key");
        challenges.show_certificate("MX.example.test", &[7; 32]).unwrap();
        assert_eq!(challenges.text("token").as_deref(), Some("token.key"));
        assert!(challenges.certificate("mx.example.test").is_some() && challenges.certificate("other.test").is_none());
        challenges.clone().clear();
        assert!(challenges.text("token").is_none() && challenges.certificate("mx.example.test").is_none());
    }
}
