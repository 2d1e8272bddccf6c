//! The credentials of an account: passwords, one per client, and client certificates.
//!
//! RFC 4422, RFC 5802 s.5. Invariant: no stored value is enough to log in, except a password that is sealed with a key outside the
//! database; none is printed.

use std::fmt;

/// A password, as the values that verify it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The name of its client, given by the owner.
    pub name: String,
    /// The verifier: a PHC string of Argon2id, or an imported one (crypt(3), Dovecot).
    pub verifier: String,
    /// StoredKey and ServerKey of SCRAM-SHA-256, concatenated; `None` for an imported verifier until the first login.
    pub scram_sha256: Option<Vec<u8>>,
    /// StoredKey and ServerKey of SCRAM-SHA-1.
    pub scram_sha1: Option<Vec<u8>>,
    /// The password itself, sealed, if a mechanism of the account needs it.
    pub sealed: Option<Vec<u8>>,
    /// When it was created, Unix milliseconds.
    pub made_ms: i64,
}

/// A certificate of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The name of its client.
    pub name: String,
    /// The SHA-256 of its DER, in lower-case hexadecimal digits.
    pub sha256: String,
    /// When it was added, Unix milliseconds.
    pub made_ms: i64,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("name", &self.name).field("made_ms", &self.made_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_not_printed() {
        let secret = Some(b"secret".to_vec());
        let password = Password {
            name: "phone".into(),
            verifier: "secret".into(),
            scram_sha256: secret.clone(),
            scram_sha1: secret.clone(),
            sealed: secret,
            made_ms: 0,
        };
        let shown = format!("{password:?}");
        assert!(shown.contains("phone") && !shown.contains("secret") && !shown.contains("115"), "{shown}");
    }
}
