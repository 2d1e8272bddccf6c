//! The keys that a SCRAM server stores, and their computation.
//!
//! RFC 5802 s.3, RFC 7677 s.4. Invariant: the password cannot be recovered from the keys, and keys are compared in constant time.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::name;
use crate::step::{Need, ScramKeys};

/// Iterations of the password hash. RFC 7677 s.4 requires at least this many; clients do this work at each login.
pub const ITERATIONS: u32 = 15_000;

/// Maximum iterations, which bounds the cost of a login.
pub(crate) const MAX_ITERATIONS: u32 = 1_000_000;

/// The length of a salt, in octets.
pub const SALT_BYTES: usize = 16;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-1.
    Sha1,
}

impl ScramHash {
    pub(crate) fn need(self) -> Need {
        match self {
            Self::Sha256 => Need::ScramSha256,
            Self::Sha1 => Need::ScramSha1,
        }
    }

    pub(crate) fn hmac(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    fn digest(self, message: &[u8]) -> digest::Digest {
        match self {
            Self::Sha256 => digest::digest(&digest::SHA256, message),
            Self::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message),
        }
    }

    /// The length of its output, in octets.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }

    fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Zeroizing<Vec<u8>> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        };
        let mut salted = Zeroizing::new(vec![0; self.len()]);
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// Computes the keys of a password. `None` if SASLprep prohibits the password, or with 0 or too many iterations.
pub fn scram_keys(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Option<ScramKeys> {
    let iterations = NonZeroU32::new(iterations).filter(|i| i.get() <= MAX_ITERATIONS)?;
    let salted = hash.salted(&name::prepared_password(password)?, salt, iterations);
    let client_key = hash.hmac(&salted, b"Client Key");
    Some(ScramKeys {
        stored_key: hash.digest(client_key.as_ref()).as_ref().to_vec(),
        server_key: hash.hmac(&salted, b"Server Key").as_ref().to_vec(),
    })
}

/// Returns the index of the keys that match the proof. All are tried, so that timing does not reveal which.
pub(crate) fn proven(hash: ScramHash, keys: &[ScramKeys], auth_message: &[u8], proof: &[u8]) -> Option<usize> {
    let mut found = u32::MAX;
    for (place, keys) in (0..).zip(keys) {
        let signature = hash.hmac(&keys.stored_key, auth_message);
        let client_key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let is_right = hash.digest(&client_key).as_ref().ct_eq(&keys.stored_key);
        found.conditional_assign(&place, is_right);
    }
    usize::try_from(found).ok().filter(|place| *place < keys.len() && proof.len() == hash.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_password_salt_and_iterations() {
        let key = |hash, password, salt: &[u8], iterations| scram_keys(hash, password, salt, iterations).unwrap().stored_key;
        let one = key(ScramHash::Sha256, "pencil", b"salt", 4096);
        assert_eq!(one.len(), 32);
        assert_eq!(one, key(ScramHash::Sha256, "pen\u{ad}cil", b"salt", 4096), "SASLprep");
        assert_ne!(one, key(ScramHash::Sha256, "pencil", b"Salt", 4096));
        assert_ne!(one, key(ScramHash::Sha256, "pencil", b"salt", 4097));
        assert_eq!(key(ScramHash::Sha1, "pencil", b"salt", 1).len(), 20);
        for prohibited in ["", "a\u{7}", "\u{627}1"] {
            assert!(scram_keys(ScramHash::Sha1, prohibited, b"salt", 1).is_none());
        }
        assert!(scram_keys(ScramHash::Sha1, "pencil", b"salt", 0).is_none());
        assert!(scram_keys(ScramHash::Sha1, "pencil", b"salt", MAX_ITERATIONS + 1).is_none());
    }
}
