//! All certificates, and the choice of one by the name that the client asks for.
//!
//! RFC 6066 s.3. Invariant: any name, garbage too, gets a certificate and never an error that reveals the names (threats.md 75); an expired one is
//! presented only if no other fits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::TlsError;
use super::pair::{CertifiedPair, PairFiles};
use crate::acme;

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateOrigin {
    /// `[tls]`: used if no other fits better.
    Default,
    /// `[[tls.pair]]`.
    CertifiedPair,
    /// Issued by ACME.
    Issued,
}

/// Where the certificates are.
#[derive(Debug, Clone, Default)]
pub struct CertificateSources {
    /// The server's own name: for clients that ask for no known name.
    pub hostname: String,
    /// The first pair.
    pub default: Option<PairFiles>,
    /// Further pairs.
    pub pairs: Vec<PairFiles>,
    /// The directory of those issued by ACME: NAME/cert.pem and NAME/key.pem.
    pub issued: Option<PathBuf>,
}

/// All certificates at one moment.
#[derive(Debug, Clone)]
pub(super) struct CertificateSet {
    hostname: String,
    issued: Option<PathBuf>,
    pub entries: Vec<(CertificateOrigin, CertifiedPair)>,
}

impl CertificateSet {
    /// Loads everything. A configured pair must load; an issued one that does not is left out, with a warning.
    pub fn load(sources: &CertificateSources) -> Result<Self, TlsError> {
        let mut entries = Vec::new();
        if let Some(files) = &sources.default {
            entries.push((CertificateOrigin::Default, CertifiedPair::load(files.clone())?));
        }
        for files in &sources.pairs {
            entries.push((CertificateOrigin::CertifiedPair, CertifiedPair::load(files.clone())?));
        }
        let mut set = Self { hostname: sources.hostname.to_ascii_lowercase(), issued: sources.issued.clone(), entries };
        set.read_issued();
        if set.entries.is_empty() {
            return Err(TlsError::None);
        }
        Ok(set)
    }

    fn read_issued(&mut self) {
        let Some(directory) = &self.issued else { return };
        let mut old: Vec<CertifiedPair> = Vec::new();
        self.entries.retain(|(origin, pair)| {
            let is_issued = *origin == CertificateOrigin::Issued;
            if is_issued {
                old.push(pair.clone());
            }
            !is_issued
        });
        for files in issued(directory) {
            match CertifiedPair::load(files.clone()) {
                Ok(pair) => self.entries.push((CertificateOrigin::Issued, pair)),
                Err(error) => {
                    tracing::warn!(%error, "a certificate issued by ACME does not load");
                    self.entries.extend(old.iter().find(|pair| pair.files == files).map(|pair| (CertificateOrigin::Issued, pair.clone())));
                }
            }
        }
    }

    /// The set as the files are now; `None` if nothing has changed.
    pub fn refreshed(&self, with_issued: bool) -> Option<Self> {
        let is_watched = |origin: CertificateOrigin| origin != CertificateOrigin::Issued;
        if !with_issued && !self.entries.iter().any(|(origin, pair)| is_watched(*origin) && pair.has_changed()) {
            return None;
        }
        let mut next = self.clone();
        for (origin, pair) in &mut next.entries {
            if is_watched(*origin) && pair.has_changed() {
                *pair = pair.reloaded();
            }
        }
        if with_issued {
            next.read_issued();
        }
        Some(next)
    }

    /// The best certificate for the name that the client asks for.
    pub fn choose(&self, asked: Option<&str>, now_s: i64) -> Option<Arc<CertifiedKey>> {
        self.position(asked, now_s).and_then(|position| self.entries.get(position)).map(|(_, pair)| pair.certified.clone())
    }

    /// Its index in the entries.
    pub fn position(&self, asked: Option<&str>, now_s: i64) -> Option<usize> {
        let asked = asked.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        asked.and_then(|name| self.best_for(&name, now_s)).or_else(|| self.best_for(&self.hostname, now_s)).or(Some(0))
    }

    /// Valid beats expired, issued beats self-signed, the name itself beats a wildcard; then the first one wins.
    fn best_for(&self, name: &str, now_s: i64) -> Option<usize> {
        let rank = |pair: &CertifiedPair| {
            let leaf = &pair.leaf;
            (leaf.is_valid_at(now_s), !leaf.is_self_issued, leaf.names.iter().any(|n| n == name))
        };
        let fitting = self.entries.iter().enumerate().filter(|(_, (_, pair))| pair.leaf.is_for(name));
        // `max_by_key` keeps the last of equals; the first must win.
        fitting.rev().max_by_key(|(_, (_, pair))| rank(pair)).map(|(position, _)| position)
    }
}

/// The pairs in the directory of issued certificates. Finishes an installation that a crash interrupted.
pub(crate) fn issued(directory: &Path) -> Vec<PairFiles> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    names.sort();
    let pair = |path: PathBuf| {
        acme::files::finish(&path);
        let files = PairFiles { certificate: path.join("cert.pem"), key: path.join("key.pem") };
        (files.certificate.exists() && files.key.exists()).then_some(files)
    };
    names.into_iter().filter_map(pair).collect()
}
