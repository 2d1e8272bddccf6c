//! DKIM key pairs, and the DNS record of a public key.
//!
//! RFC 6376 s.3.6.1, RFC 8463 s.4, RFC 8301 s.3.2 (at least 1024 bits, 2048 recommended). Invariant: a private key is never printed.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// rsa-sha256, 2048 bits: supported by every verifier.
    Rsa,
    /// ed25519-sha256: short, but not supported by all verifiers.
    Ed25519,
}

/// A key pair.
#[derive(Clone)]
pub struct KeyPair {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The private key, PKCS #8 in DER.
    pub private: Vec<u8>,
    /// The public key, as in `p=`.
    pub public: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({:?}, {})", self.algorithm, self.public)
    }
}

/// A key could not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a DKIM key could not be {0}")]
pub struct KeyError(pub(crate) &'static str);

impl KeyPair {
    /// Makes a key pair. RSA takes some hundred milliseconds of CPU.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let made = KeyError("made");
        let (private, public) = match algorithm {
            Algorithm::Rsa => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| made.clone())?;
                let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| made.clone())?;
                let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(|_| made)?;
                (private.as_ref().to_vec(), BASE64.encode(public.as_ref()))
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(|_| made.clone())?;
                let private = pair.to_pkcs8().map_err(|_| made)?;
                (private.as_ref().to_vec(), BASE64.encode(pair.public_key().as_ref()))
            }
        };
        Ok(Self { algorithm, private, public })
    }
}

impl Algorithm {
    /// The value of `k=`.
    pub fn key_type(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads the value of `k=`.
    pub fn of_key_type(text: &str) -> Option<Self> {
        [Self::Rsa, Self::Ed25519].into_iter().find(|algorithm| algorithm.key_type() == text)
    }
}

/// The text of the DNS record.
pub fn record(algorithm: Algorithm, public: &str) -> String {
    format!("v=DKIM1; k={}; p={public}", algorithm.key_type())
}
