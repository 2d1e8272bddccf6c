//! A DKIM key of a domain and its state: published ahead, signing, retired.
//!
//! RFC 6376 s.3.1 and s.3.6.1, RFC 6376 s.8.1 (keys are changed). Invariant: the private half is never printed.

use std::fmt;

use mail::Domain;

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It will sign; its record is published first.
    Next,
    /// It signs.
    Active,
    /// It no longer signs; its record stays for mail in transit.
    Retired,
}

impl KeyState {
    /// The word for JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    /// Parses the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retired].into_iter().find(|state| state.as_str() == text)
    }
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// d=.
    pub domain: Domain,
    /// s=: the record is at `selector._domainkey.domain`.
    pub selector: String,
    /// k=: `rsa` or `ed25519`.
    pub key_type: String,
    /// The private half, PKCS #8 in DER.
    pub private: Vec<u8>,
    /// The public half, as in p=.
    pub public: String,
    /// Its state.
    pub state: KeyState,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
}

impl SigningKey {
    /// Returns the name of its record.
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// Returns the number at the end of the selector: `r1`, `e1`, then `r2`, `e2`.
    pub fn number(&self) -> u32 {
        self.selector.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.record_name(), self.state.as_str())
    }
}
