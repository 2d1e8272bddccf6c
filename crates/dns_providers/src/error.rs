//! What can go wrong with a change at a provider, with what to do about it.
//!
//! Invariant: a provider's own words are escaped and at most 400 characters; a token is in none of them.

use dns_plan::RecordType;

/// Why a provider did not read or change records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The provider needs another kind of credentials.
    #[error("the provider needs other credentials\n  hint: rfc2136 needs a server and a key (TSIG), every other provider a token")]
    OtherCredentials,
    /// The library refuses the credentials before it sends them.
    #[error("the token or key cannot be used\n  hint: check that it was copied whole")]
    UnusableCredentials,
    /// The provider needs the id of a key and its secret.
    #[error("the token for this provider is the id of a key, a colon, and its secret\n  hint: make a key that may change this zone only")]
    NotAKeyPair,
    /// The TSIG secret is not Base64.
    #[error("the secret of the key is not Base64\n  hint: write only the secret of the key into the file")]
    NotBase64,
    /// The provider refuses the credentials.
    #[error("the provider refuses the token or key\n  hint: check that it may change this zone, and that it was copied whole")]
    Unauthorized,
    /// The provider has no such zone.
    #[error("the provider does not know the zone\n  hint: check that the zone is in this account")]
    UnknownZone,
    /// The provider has not answered in time.
    #[error("no answer from the provider within {timeout_s} s\n  hint: try again later")]
    Timeout {
        /// In seconds.
        timeout_s: u64,
    },
    /// A record set has a value that this crate cannot write.
    #[error("{name} {record_type} has a value that waypost cannot write\n  hint: remove it by hand: {value}")]
    Unwritable {
        /// Its owner name.
        name: String,
        /// Its type.
        record_type: RecordType,
        /// The value to be removed.
        value: String,
    },
    /// The provider reports success, and the value is still there.
    #[error("the provider reports success, but the record is still there\n  hint: remove it by hand: {value}")]
    StillThere {
        /// The value to be removed.
        value: String,
    },
    /// The provider's own words.
    #[error("{0}")]
    Provider(String),
}

/// Maximum characters of a provider's own words in an error.
const WORDS_MAX: usize = 400;

impl From<dns_update::Error> for ProviderError {
    fn from(error: dns_update::Error) -> Self {
        match error {
            dns_update::Error::Unauthorized => Self::Unauthorized,
            dns_update::Error::NotFound => Self::UnknownZone,
            other => Self::Provider(other.to_string().chars().flat_map(char::escape_default).take(WORDS_MAX).collect()),
        }
    }
}
