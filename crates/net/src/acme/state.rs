//! The renewal state of a certificate, in a file beside it.
//!
//! Invariant: losing the file loses no certificate; at worst there is an order before its time. All of it blocks.

use std::fs;
use std::io;
use std::path::Path;

use mail::Domain;
use serde::{Deserialize, Serialize};

use super::files::{self, CertificateDir};

/// A name that the certificate does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// The renewal state of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateState {
    /// The directory URL of the authority that issued it.
    pub directory: String,
    /// The names that it should have.
    pub names: Vec<String>,
    /// Names that do not resolve to this server.
    pub left_out: Vec<LeftOut>,
    /// When the names were last looked up in DNS.
    pub names_checked_ms: Option<i64>,
    /// When it will be renewed.
    pub renew_at_ms: Option<i64>,
    /// What determined that time.
    pub renew_by: Option<String>,
    /// When the authority is next asked for a renewal time.
    pub ask_again_ms: Option<i64>,
    /// The last attempt.
    pub last_attempt_ms: Option<i64>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// After a failure: no attempt before this time.
    pub next_attempt_ms: Option<i64>,
}

impl CertificateState {
    /// Reads it; a file that cannot be read is a new state.
    pub(super) fn load(place: &CertificateDir) -> Self {
        let text = fs::read_to_string(place.state()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) fn save(&self, place: &CertificateDir) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        files::write(&place.state(), &text, 0o600)
    }
}

/// The states in the directory of certificates, by name.
pub fn states(certificates: &Path) -> Vec<(String, CertificateState)> {
    let Ok(entries) = fs::read_dir(certificates) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut states: Vec<(String, CertificateState)> = paths
        .filter(|path| path.join("state.json").exists())
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), CertificateState::load(&CertificateDir(path.clone())))))
        .collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

/// Whether a certificate for this domain's names was ever ordered.
pub fn has_order(certificates: &Path, domain: &Domain) -> bool {
    CertificateDir(certificates.join(domain.as_str())).state().exists()
}

/// Removes the certificate of a domain that is no longer hosted, with its key and state.
///
/// # Errors
/// The file system's.
pub fn forget(certificates: &Path, domain: &Domain) -> io::Result<()> {
    fs::remove_dir_all(certificates.join(domain.as_str()))
}
