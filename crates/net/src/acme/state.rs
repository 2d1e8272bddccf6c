//! How a certificate stands with its authority, in a file beside it.
//!
//! Invariant: losing the file loses no certificate; the worst is an order that was not due.

use std::fs;
use std::io;
use std::path::Path;

use mail::Domain;
use serde::{Deserialize, Serialize};

use super::files::{self, Place};

/// A name that the certificate does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// How a certificate stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The authority's directory that issued it.
    pub directory: String,
    /// The names that it should have.
    pub names: Vec<String>,
    /// Names that do not lead to this server.
    pub left_out: Vec<LeftOut>,
    /// When DNS was asked about the names.
    pub names_checked_ms: Option<i64>,
    /// When it will be renewed.
    pub renew_at_ms: Option<i64>,
    /// Who says so.
    pub renew_by: Option<String>,
    /// When the authority is asked again when to renew.
    pub ask_again_ms: Option<i64>,
    /// The last attempt.
    pub last_attempt_ms: Option<i64>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// After a failure: nothing is tried before.
    pub next_attempt_ms: Option<i64>,
}

impl State {
    /// Reads it; what cannot be read is as good as new.
    pub(super) fn load(place: &Place) -> Self {
        let text = fs::read_to_string(place.state()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) fn save(&self, place: &Place) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        files::write(&place.state(), &text, 0o600)
    }
}

/// The states in the directory of certificates, by name.
pub fn states(certificates: &Path) -> Vec<(String, State)> {
    let Ok(entries) = fs::read_dir(certificates) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut states: Vec<(String, State)> = paths
        .filter(|path| path.join("state.json").exists())
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), State::load(&Place(path.clone())))))
        .collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

/// Whether a certificate for the names of this domain was ordered.
pub fn has_order(certificates: &Path, domain: &Domain) -> bool {
    Place(certificates.join(domain.as_str())).state().exists()
}

/// Removes the certificate of a domain that is no longer hosted, with its key and how it stands.
///
/// # Errors
/// What the system says.
pub fn forget(certificates: &Path, domain: &Domain) -> io::Result<()> {
    fs::remove_dir_all(certificates.join(domain.as_str()))
}
