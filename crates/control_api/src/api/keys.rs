//! DKIM keys, as values of the API.
//!
//! Invariant: no value contains a private key.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A DKIM key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub key_type: String,
    /// `next`, `active` or `retired`.
    pub state: String,
    /// Start of this state.
    pub since_ms: i64,
    /// The name of its TXT record.
    pub record_name: String,
    /// The record.
    pub record: String,
}

/// The test of a key with a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// A domain that needs DKIM keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    /// The domain.
    pub domain: String,
}

/// How keys are rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RotateKeys {
    /// Whether to skip the check in DNS.
    pub force: bool,
}

/// Selects the keys to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveKeys {
    /// Only the key of this selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Whether to remove active keys too.
    pub force: bool,
}

/// The result of a change of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeysChanged {
    /// What was changed, and the next step.
    pub changed: String,
    /// Whether anything was changed.
    pub is_new: bool,
    /// The keys concerned.
    pub keys: Vec<KeyView>,
}
