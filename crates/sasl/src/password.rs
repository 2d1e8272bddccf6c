//! Passwords: hashing, comparing and making them.
//!
//! RFC 9106 s.4 (Argon2id). Invariant: to refuse an unknown user costs as much as to refuse a wrong password.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

/// The memory of one hash or comparison, in KiB: OWASP's second choice for Argon2id, 19 MiB.
pub const MEMORY_KIB: u32 = 19_456;

/// Passes over that memory.
pub const PASSES: u32 = 2;

/// Lanes: one, since a server has other logins to fill its cores.
pub const LANES: u32 = 1;

/// The parameters or the password were refused by Argon2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct HashError(String);

fn argon2id() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| HashError(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The verifier of a password, as a PHC string. The salt must be random and new.
pub fn hash(password: &str, salt: [u8; 16]) -> Result<String, HashError> {
    let salt = SaltString::encode_b64(&salt).map_err(|e| HashError(e.to_string()))?;
    let phc = argon2id()?.hash_password(password.as_bytes(), &salt).map_err(|e| HashError(e.to_string()))?;
    Ok(phc.to_string())
}

/// Whether the password belongs to the verifier. A verifier that cannot be read belongs to no password.
pub fn verify(password: &str, phc: &str) -> bool {
    let Ok(phc) = PasswordHash::new(phc) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &phc).is_ok()
}

/// Does the work of [`verify`] for a user who does not exist.
pub fn verify_dummy(password: &str) {
    std::hint::black_box(hash(password, [0; 16]).is_ok());
}

/// A new password that can be read aloud: 20 letters in 4 groups of 5, 100 bits of `random`.
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
