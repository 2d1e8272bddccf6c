//! Signatures of passkeys (AWS-LC): ES256, EdDSA and RS256, as COSE names them.
//!
//! RFC 9053 s.2.1, RFC 9053 s.2.2, RFC 8812 s.2. Invariant: a key is used with one algorithm only, the one that it was added with.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm};

/// A public key with its algorithm.
#[derive(Debug, Clone)]
pub struct SignatureKey(ParsedPublicKey);

impl SignatureKey {
    /// The numbers of the algorithms (COSE), the preferred one first.
    pub const ALGORITHMS: [i32; 3] = [-7, -8, -257];

    /// Reads a SubjectPublicKeyInfo for an algorithm; `None` if either is unknown or invalid.
    pub fn parse(algorithm: i32, public_key: &[u8]) -> Option<Self> {
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            -7 => &ECDSA_P256_SHA256_ASN1,
            -8 => &ED25519,
            -257 => &RSA_PKCS1_2048_8192_SHA256,
            _ => return None,
        };
        ParsedPublicKey::new(verification, public_key).ok().map(Self)
    }

    /// Whether the signature of the message is right.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn only_the_key_and_its_algorithm_verify() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
        let key = SignatureKey::parse(-7, public.as_ref()).unwrap();
        assert!(key.verifies(b"message", signature.as_ref()));
        assert!(!key.verifies(b"another", signature.as_ref()) && !key.verifies(b"message", b""));
        let edwards = Ed25519KeyPair::generate().unwrap();
        let of_edwards: PublicKeyX509Der<'_> = edwards.public_key().as_der().unwrap();
        assert!(SignatureKey::parse(-8, of_edwards.as_ref()).unwrap().verifies(b"message", edwards.sign(b"message").as_ref()));
        for (algorithm, public) in
            [(-7, of_edwards.as_ref()), (-8, public.as_ref()), (-257, public.as_ref()), (-35, public.as_ref()), (-7, &[][..])]
        {
            assert!(SignatureKey::parse(algorithm, public).is_none(), "{algorithm}");
        }
    }
}
