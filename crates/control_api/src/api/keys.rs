//! DKIM keys, as values of the API.
//!
//! Invariant: a private key is no value here.

use serde::{Deserialize, Serialize};

/// A DKIM key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub key_type: String,
    /// `next`, `active` or `retired`.
    pub state: String,
    /// Since when.
    pub since_ms: i64,
    /// The name of its TXT record.
    pub record_name: String,
    /// The record.
    pub record: String,
}

/// A key, tried with a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTest {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub key_type: String,
    /// Whether a receiver can verify the signature.
    pub verifies: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The record that should be in DNS.
    pub record: String,
}

/// A domain that is to have DKIM keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    /// The domain.
    pub domain: String,
}

/// How keys are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotateKeys {
    /// Whether DNS is not asked.
    pub force: bool,
}

/// Which keys are removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveKeys {
    /// Only that of this selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Whether keys go that mail is signed with.
    pub force: bool,
}

/// What became of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysChanged {
    /// What was changed, and what is next.
    pub changed: String,
    /// Whether anything was changed.
    pub is_new: bool,
    /// The keys that it is about.
    pub keys: Vec<KeyView>,
}
