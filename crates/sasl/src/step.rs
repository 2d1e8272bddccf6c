//! What an exchange says to its driver, and what the driver answers.
//!
//! RFC 4422 s.3. Invariant: nothing here prints a password or a key.

use std::fmt;

use subtle::{Choice, ConditionallySelectable};

use crate::secret::Secret;

/// Who the client says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whom to act as; empty where that is `authcid`.
    pub authzid: String,
    /// Whose password this is.
    pub authcid: String,
    /// The password.
    pub password: Secret,
}

/// What comes next in an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this, which may be empty, and wait for a response.
    Challenge(Vec<u8>),
    /// PLAIN and LOGIN: the client has said all, check it.
    Credentials(Credentials),
    /// Look the name up, and go on with [`Exchange::found`](crate::Exchange::found).
    Lookup(Lookup),
    /// OAUTHBEARER and XOAUTH2: check the token, and go on with [`Exchange::token_checked`](crate::Exchange::token_checked).
    Token(Token),
    /// EXTERNAL: check the certificate of the client. Ends the exchange.
    External {
        /// Whom to act as; empty where that is whomever the certificate names.
        authzid: String,
    },
    /// The client has proven who it is. Ends the exchange.
    Proven(Proven),
    /// A wrong proof, an unknown user or what cannot be understood (535 5.7.8). Nothing follows it.
    Refused,
}

/// A name to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The user name, after SASLprep, without white space around it and without control characters.
    pub name: String,
    /// What the exchange goes on with.
    pub need: Need,
}

/// What an exchange needs to know of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// [`Found::Scram`] with keys of SHA-256.
    ScramSha256,
    /// [`Found::Scram`] with keys of SHA-1.
    ScramSha1,
    /// [`Found::Secrets`].
    Secrets,
}

/// What the driver found. A user can have several passwords, and any of them will do.
#[derive(Debug)]
pub enum Found {
    /// No such user, or none that could log in by this mechanism.
    NoSuchUser,
    /// The keys of all the user's passwords, which share one salt.
    Scram {
        /// The salt: [`SALT_BYTES`](crate::SALT_BYTES) long and the same for each hash, or unknown users look different.
        salt: Vec<u8>,
        /// How often the password was hashed: [`ITERATIONS`](crate::ITERATIONS), or unknown users look different.
        iterations: u32,
        /// One for each password.
        keys: Vec<ScramKeys>,
    },
    /// The passwords themselves.
    Secrets(Vec<Secret>),
}

impl Found {
    /// The place of the password that is right. All are tried, so that time does not tell which, and for nobody one that
    /// never is.
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

/// What a server keeps of a password for SCRAM (RFC 5802 s.3).
#[derive(Clone)]
pub struct ScramKeys {
    /// `StoredKey`, as long as the hash.
    pub stored_key: Vec<u8>,
    /// `ServerKey`, as long as the hash.
    pub server_key: Vec<u8>,
}

impl ScramKeys {
    /// Both keys, one after the other, to be stored.
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

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The name as in [`Lookup`], or as in the answer about a token.
    pub name: String,
    /// Which of the keys or passwords in [`Found`] it was; 0 with a token.
    pub password: usize,
}

/// An access token to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose token it is, as far as the client says so.
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
