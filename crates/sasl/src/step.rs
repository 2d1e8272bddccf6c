//! The steps of an exchange, and the answers of its driver.
//!
//! RFC 4422 s.3. Invariant: nothing here prints a password or a key.

use std::fmt;

use subtle::{Choice, ConditionallySelectable};

use crate::secret::Secret;

/// The credentials that the client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user to act as; empty if it is `authcid`.
    pub authzid: String,
    /// The user of the password.
    pub authcid: String,
    /// The password.
    pub password: Secret,
}

/// The next step of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this, which may be empty, and wait for a response.
    Challenge(Vec<u8>),
    /// PLAIN and LOGIN: check the credentials. Ends the exchange.
    Credentials(Credentials),
    /// Look up the name, and continue with [`Exchange::found`](crate::Exchange::found).
    Lookup(Lookup),
    /// OAUTHBEARER and XOAUTH2: check the token, and continue with [`Exchange::token_checked`](crate::Exchange::token_checked).
    Token(Token),
    /// EXTERNAL: check the client certificate. Ends the exchange.
    External {
        /// The user to act as; empty if it is the user of the certificate.
        authzid: String,
    },
    /// The client is authenticated. Ends the exchange.
    Proven(Proven),
    /// A wrong proof, an unknown user or a malformed message (535 5.7.8). Ends the exchange.
    Refused,
}

/// A name to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The user name after SASLprep, trimmed, without control characters.
    pub name: String,
    /// What the exchange needs.
    pub need: Need,
}

/// What an exchange needs to know about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// [`Found::Scram`] with keys of SHA-256.
    ScramSha256,
    /// [`Found::Scram`] with keys of SHA-1.
    ScramSha1,
    /// [`Found::Secrets`].
    Secrets,
}

/// The result of a lookup. A user can have several passwords, each of which is accepted.
#[derive(Debug)]
pub enum Found {
    /// No such user, or no password for this mechanism.
    NoSuchUser,
    /// The keys of all the user's passwords, which share one salt.
    Scram {
        /// The salt: [`SALT_BYTES`](crate::SALT_BYTES) long and the same for each hash, or unknown users look different.
        salt: Vec<u8>,
        /// The iterations: [`ITERATIONS`](crate::ITERATIONS), or unknown users look different.
        iterations: u32,
        /// One per password.
        keys: Vec<ScramKeys>,
    },
    /// The passwords themselves.
    Secrets(Vec<Secret>),
}

impl Found {
    /// Returns the index of the matching password. All are tried, and for an unknown user one that never matches, so that
    /// timing reveals neither.
    pub(crate) fn matching(&self, is_right: impl Fn(&str) -> Choice) -> Option<usize> {
        let secrets = match self {
            Self::Secrets(secrets) if !secrets.is_empty() => secrets,
            Self::NoSuchUser | Self::Scram { .. } | Self::Secrets(_) => {
                std::hint::black_box(is_right("nobody"));
                return None;
            }
        };
        let mut found = u32::MAX;
        for (place, secret) in (0..).zip(secrets) {
            found.conditional_assign(&place, is_right(secret.expose()));
        }
        usize::try_from(found).ok().filter(|place| *place < secrets.len())
    }
}

/// The keys that a SCRAM server stores for a password (RFC 5802 s.3).
#[derive(Clone)]
pub struct ScramKeys {
    /// `StoredKey`, as long as the hash.
    pub stored_key: Vec<u8>,
    /// `ServerKey`, as long as the hash.
    pub server_key: Vec<u8>,
}

impl ScramKeys {
    /// Concatenates both keys, for storage.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.stored_key.as_slice(), &self.server_key].concat()
    }

    /// The reverse of [`ScramKeys::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (stored_key, server_key) = bytes.split_at_checked(bytes.len() / 2)?;
        let is_sane = [20, 32].contains(&stored_key.len()) && stored_key.len() == server_key.len();
        is_sane.then(|| Self { stored_key: stored_key.to_vec(), server_key: server_key.to_vec() })
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys")
    }
}

/// The authenticated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The name as in [`Lookup`], or the login of the token.
    pub name: String,
    /// The index of the matching keys or password in [`Found`]; 0 with a token.
    pub password: usize,
}

/// An access token to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The user, if the client names one.
    pub user: Option<String>,
    /// The token.
    pub token: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stored_and_not_printed() {
        let keys = ScramKeys { stored_key: vec![1; 32], server_key: vec![2; 32] };
        assert_eq!(format!("{keys:?}"), "ScramKeys");
        let read = ScramKeys::from_bytes(&keys.to_bytes()).unwrap();
        assert_eq!((&read.stored_key, &read.server_key), (&keys.stored_key, &keys.server_key));
        for length in [0, 1, 39, 41, 63, 65, 128] {
            assert!(ScramKeys::from_bytes(&vec![0; length]).is_none(), "{length}");
        }
    }
}
