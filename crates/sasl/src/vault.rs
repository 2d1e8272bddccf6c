//! The vault: encrypts the passwords that some mechanisms need in plaintext.
//!
//! AES-256-GCM (RFC 5116 s.5.2). Invariant: a password sealed for one login opens for no other, and the key is stored
//! apart from the sealed passwords.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The version of the sealed format: this octet, the nonce, the ciphertext with its tag.
const FORMAT: u8 = 1;

/// Seals and opens passwords.
pub struct Vault {
    key: Option<LessSafeKey>,
}

impl Vault {
    /// Creates a vault with this key, which must be random and secret.
    pub fn new(key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        // The length is right, so this is `Some`.
        Self { key: UnboundKey::new(&AES_256_GCM, key.as_slice()).ok().map(LessSafeKey::new) }
    }

    /// Seals a password. `about` names its login and itself; the nonce must be random and new. Returns nothing on failure.
    pub fn seal(&self, about: &str, secret: &Secret, nonce: [u8; 12]) -> Vec<u8> {
        let mut text = Zeroizing::new(secret.expose().as_bytes().to_vec());
        let seal =
            |key: &LessSafeKey| key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut text).ok();
        match self.key.as_ref().and_then(seal) {
            Some(tag) => [&[FORMAT], nonce.as_slice(), &text, tag.as_ref()].concat(),
            None => Vec::new(),
        }
    }

    /// Opens a password that was sealed with the same `about` and key.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, text) = sealed.strip_prefix(&[FORMAT])?.split_first_chunk::<12>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.key.as_ref()?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(about), &mut text).ok()?;
        std::str::from_utf8(opened).ok().map(Secret::new)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_login_only() {
        let vault = Vault::new([7; 32]);
        let secret = Secret::new("tanstaaf");
        let sealed = vault.seal("tim@x.test/phone", &secret, [1; 12]);
        assert_eq!(sealed.len(), 1 + 12 + 8 + 16);
        assert!(!sealed.windows(4).any(|w| w == b"tans"));
        assert_eq!(vault.open("tim@x.test/phone", &sealed), Some(secret.clone()));
        assert_eq!(vault.open("tom@x.test/phone", &sealed), None);
        assert_eq!(Vault::new([8; 32]).open("tim@x.test/phone", &sealed), None);
        assert_ne!(vault.seal("tim@x.test/phone", &secret, [2; 12]), sealed);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(vault.open("tim@x.test/phone", &changed), None, "{place}");
            assert_eq!(vault.open("tim@x.test/phone", &sealed[..place]), None, "{place}");
        }
        assert_eq!(format!("{vault:?}"), "Vault");
    }
}
