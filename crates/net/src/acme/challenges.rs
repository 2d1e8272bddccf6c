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
use serde::{Deserialize, Serialize};

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
    /// The same, of the orders of this server, as another server needs it.
    own: Vec<ActiveChallenge>,
    /// Of the orders of another server.
    others: Vec<ActiveChallenge>,
}

/// A challenge, as it is told to another server that has to answer it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActiveChallenge {
    /// http-01.
    Text {
        /// The token in the path.
        token: String,
        /// The answer.
        text: String,
    },
    /// tls-alpn-01.
    Certificate {
        /// The name that is validated.
        name: String,
        /// The digest of the key authorization.
        digest: Vec<u8>,
    },
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
        self.with(|shown| {
            shown.texts.insert(token.to_owned(), text.to_owned());
            shown.own.push(ActiveChallenge::Text { token: token.to_owned(), text: text.to_owned() });
        });
    }

    pub(super) fn show_certificate(&self, name: &str, digest: &[u8]) -> Result<(), TlsError> {
        let certified = Arc::new(validation_certificate(name, digest)?);
        self.with(|shown| {
            shown.certificates.insert(name.to_ascii_lowercase(), certified);
            shown.own.push(ActiveChallenge::Certificate { name: name.to_owned(), digest: digest.to_vec() });
        });
        Ok(())
    }

    /// The challenges of this server's orders.
    pub fn own(&self) -> Vec<ActiveChallenge> {
        self.with(|shown| shown.own.clone())
    }

    /// Answers these challenges of another server's orders, in place of those that it told before.
    pub fn answer_others(&self, others: Vec<ActiveChallenge>) {
        if self.with(|shown| shown.others == others) {
            return;
        }
        let certificates = others.iter().filter_map(|other| match other {
            ActiveChallenge::Certificate { name, digest } => match validation_certificate(name, digest) {
                Ok(certified) => Some((name.to_ascii_lowercase(), Arc::new(certified))),
                Err(error) => {
                    tracing::warn!(%error, name, "cannot answer a validation for another node");
                    None
                }
            },
            ActiveChallenge::Text { .. } => None,
        });
        let certificates: Vec<_> = certificates.collect();
        self.with(|shown| {
            for before in std::mem::take(&mut shown.others) {
                match before {
                    ActiveChallenge::Text { token, .. } => drop(shown.texts.remove(&token)),
                    ActiveChallenge::Certificate { name, .. } => drop(shown.certificates.remove(&name.to_ascii_lowercase())),
                }
            }
            for other in &others {
                if let ActiveChallenge::Text { token, text } = other {
                    shown.texts.insert(token.clone(), text.clone());
                }
            }
            shown.certificates.extend(certificates);
            shown.others = others;
        });
    }

    /// Forgets those of this server's orders.
    pub(super) fn clear(&self) {
        self.with(|shown| {
            for before in std::mem::take(&mut shown.own) {
                match before {
                    ActiveChallenge::Text { token, .. } => drop(shown.texts.remove(&token)),
                    ActiveChallenge::Certificate { name, .. } => drop(shown.certificates.remove(&name.to_ascii_lowercase())),
                }
            }
        });
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

    #[test]
    fn the_challenges_of_another_server_are_answered_until_it_tells_others() {
        let (ours, theirs) = (Challenges::default(), Challenges::default());
        theirs.show_text("token", "token.key");
        theirs.show_certificate("mx.example.test", &[7; 32]).unwrap();
        ours.show_text("own", "own.key");
        ours.answer_others(theirs.own());
        assert_eq!((ours.text("token").as_deref(), ours.text("own").as_deref()), (Some("token.key"), Some("own.key")));
        assert!(ours.certificate("mx.example.test").is_some() && ours.own().len() == 1);
        ours.clear();
        assert!(ours.text("own").is_none() && ours.text("token").is_some(), "the orders of the other one go on");
        ours.answer_others(Vec::new());
        assert!(ours.text("token").is_none() && ours.certificate("mx.example.test").is_none());
    }
}
