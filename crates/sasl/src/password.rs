//! Passwords: hashing, verification and generation.
//!
//! RFC 9106 s.4 (Argon2id). Invariant: refusing an unknown user costs as much as refusing a wrong password whose
//! verifier was made here; verifiers of other programs have costs of their own.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::crypt::Verifier;
pub use crate::crypt::{MAX_BCRYPT_COST, MAX_SHA_CRYPT_ROUNDS};
use crate::name;
use crate::secret::Secret;

/// Memory per hash, in KiB: OWASP's second recommendation for Argon2id, 19 MiB.
pub const MEMORY_KIB: u32 = 19_456;

/// Passes over that memory.
pub const PASSES: u32 = 2;

/// Lanes: one, since other logins use the other cores.
pub const LANES: u32 = 1;

/// Maximum memory for verifiers of other programs, in KiB.
pub const MAX_MEMORY_KIB: u32 = 262_144;

/// Maximum passes for verifiers of other programs.
pub const MAX_PASSES: u32 = 10;

/// Maximum lanes for verifiers of other programs.
pub const MAX_LANES: u32 = 16;

/// Argon2 refused the parameters or the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct HashError(String);

fn argon2id() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| HashError(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes a password to a verifier, a PHC string. The salt must be random and new.
pub fn hash(password: &str, salt: [u8; 16]) -> Result<String, HashError> {
    let salt = SaltString::encode_b64(&salt).map_err(|e| HashError(e.to_string()))?;
    let phc = argon2id()?.hash_password(password.as_bytes(), &salt).map_err(|e| HashError(e.to_string()))?;
    Ok(phc.to_string())
}

/// Whether the password matches the verifier, made here or by another program. A verifier that cannot be parsed or exceeds
/// the limits matches no password.
pub fn verify(password: &str, verifier: &str) -> bool {
    match Verifier::read(verifier) {
        Some(Verifier::Argon2(phc)) => verify_argon2(password, phc),
        Some(other) => other.verify(password),
        None => {
            verify_dummy(password);
            false
        }
    }
}

/// Whether two passwords are equal after SASLprep (RFC 4013); passwords that it prohibits are compared unchanged.
pub fn is_same(one: &Secret, other: &Secret) -> bool {
    let prepared = |secret: &Secret| name::prepared_password(secret.expose()).map_or_else(|| secret.clone(), |text| Secret::new(&text));
    prepared(one) == prepared(other)
}

/// Whether the format of a verifier is supported.
pub fn is_known(verifier: &str) -> bool {
    Verifier::read(verifier).is_some()
}

/// Whether a verifier differs in format or costs from those of [`hash`], so that the next login should replace it.
pub fn needs_rehash(verifier: &str) -> bool {
    !verifier.starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"))
}

fn verify_argon2(password: &str, phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|phc| Argon2::default().verify_password(password.as_bytes(), &phc).is_ok())
}

/// Whether a verifier of Argon2 is complete and within the limits.
pub(crate) fn is_affordable(phc: &str) -> bool {
    let Ok(phc) = PasswordHash::new(phc) else { return false };
    let is_bounded = Params::try_from(&phc)
        .is_ok_and(|params| params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_LANES);
    is_bounded && phc.salt.is_some() && phc.hash.is_some()
}

/// Does the work of [`verify`] for a user who does not exist.
pub fn verify_dummy(password: &str) {
    std::hint::black_box(hash(password, [0; 16]).is_ok());
}

/// Generates a password that can be read aloud: 20 letters in 4 groups of 5, 100 bits of `random`.
pub fn generate(random: [u8; 16]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bits = u128::from_le_bytes(random);
    let mut password = String::with_capacity(23);
    for place in 0..20 {
        if place > 0 && place % 5 == 0 {
            password.push('-');
        }
        let letter = usize::try_from(bits & 31).ok().and_then(|i| LETTERS.get(i));
        password.extend(letter.map(|b| char::from(*b)));
        bits >>= 5;
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_only() {
        let phc = hash("tanstaaf", [7; 16]).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify("tanstaaf", &phc));
        assert!(is_known(&phc) && !needs_rehash(&phc));
        assert!(!verify("Tanstaaf", &phc));
        assert!(!verify("", &phc));
        assert_ne!(hash("tanstaaf", [8; 16]).unwrap(), phc);
    }

    /// From the test suite of the reference implementation (argon2id, v=19, t=2, m=256, p=1).
    #[test]
    fn a_verifier_of_the_reference_implementation_matches() {
        let phc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(verify("password", phc));
        assert!(is_known(phc) && needs_rehash(phc));
        assert!(!verify("passwort", phc));
    }

    #[test]
    fn a_malformed_or_expensive_verifier_matches_no_password() {
        let salt_and_hash = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for phc in [
            String::new(),
            "x".into(),
            "$argon2id$v=19$m=19456,t=2,p=1".into(),
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ".into(),
            format!("$argon2id$v=19$m=4000000000,t=2,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=256,t=4000000000,p=1${salt_and_hash}"),
            format!("$scrypt$ln=1,r=8,p=1${salt_and_hash}"),
            "{SSHA}c29tZXNhbHQ".into(),
        ] {
            assert!(!verify("password", &phc), "{phc}");
            assert!(!is_known(&phc), "{phc}");
        }
    }

    #[test]
    fn generated_passwords_can_be_read_aloud() {
        assert_eq!(generate([0; 16]), "aaaaa-aaaaa-aaaaa-aaaaa");
        assert_eq!(generate([255; 16]), "99999-99999-99999-99999");
        let one = generate(*b"0123456789abcdef");
        assert_eq!(one.len(), 23);
        assert!(one.chars().all(|c| c == '-' || (c.is_ascii_alphanumeric() && !"lo01".contains(c))));
        assert_ne!(one, generate(*b"1123456789abcdef"));
    }

    #[test]
    fn the_dummy_verification_succeeds() {
        verify_dummy("tanstaaf");
        assert!(hash("x", [0; 16]).is_ok(), "the work of the dummy is real");
    }
}
