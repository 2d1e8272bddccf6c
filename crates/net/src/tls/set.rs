//! Which certificate a client gets: all that there are, and the choice by the name that it asked for.
//!
//! RFC 6066 s.3. Invariant: any name, garbage too, gets a certificate and never an error that tells which names there are
//! (threats.md 75); one whose time has passed is shown only where there is no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::TlsError;
use super::pair::{Pair, PairFiles};
use crate::acme;

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `[tls]`: shown where nothing fits better.
    Default,
    /// `[[tls.pair]]`.
    Pair,
    /// Got by ACME.
    Issued,
}

/// Where the certificates are.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The server's own name: who asks for no name that is known wants this one.
    pub hostname: String,
    /// The first pair.
    pub default: Option<PairFiles>,
    /// Further pairs.
    pub pairs: Vec<PairFiles>,
    /// The directory of those that ACME got: NAME/cert.pem and NAME/key.pem.
    pub issued: Option<PathBuf>,
}

/// All certificates at one moment.
#[derive(Debug, Clone)]
pub(super) struct Set {
    hostname: String,
    issued: Option<PathBuf>,
    pub entries: Vec<(Origin, Pair)>,
}

impl Set {
    /// Loads everything. What the configuration names must load; an issued one that does not is left out, with a warning.
    pub fn load(sources: &Sources) -> Result<Self, TlsError> {
        let mut entries = Vec::new();
        if let Some(files) = &sources.default {
            entries.push((Origin::Default, Pair::load(files.clone())?));
        }
        for files in &sources.pairs {
            entries.push((Origin::Pair, Pair::load(files.clone())?));
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
        let mut old: Vec<Pair> = Vec::new();
        self.entries.retain(|(origin, pair)| {
            let is_issued = *origin == Origin::Issued;
            if is_issued {
                old.push(pair.clone());
            }
            !is_issued
        });
        for files in issued(directory) {
            match Pair::load(files.clone()) {
                Ok(pair) => self.entries.push((Origin::Issued, pair)),
                Err(error) => {
                    tracing::warn!(%error, "a certificate got by ACME does not load");
                    self.entries.extend(old.iter().find(|pair| pair.files == files).map(|pair| (Origin::Issued, pair.clone())));
                }
            }
        }
    }

    /// The set as the files are now; `None` where nothing has changed.
    pub fn refreshed(&self, with_issued: bool) -> Option<Self> {
        let is_watched = |origin: Origin| origin != Origin::Issued;
        if !with_issued && !self.entries.iter().any(|(origin, pair)| is_watched(*origin) && pair.has_changed()) {
            return None;
        }
        let mut next = self.clone();
        for (origin, pair) in &mut next.entries {
            if is_watched(*origin) && pair.has_changed() {
                *pair = pair.again();
            }
        }
        if with_issued {
            next.read_issued();
        }
        Some(next)
    }

    /// The best certificate for what the client asked for.
    pub fn choose(&self, asked: Option<&str>, now_s: i64) -> Option<Arc<CertifiedKey>> {
        self.place(asked, now_s).and_then(|place| self.entries.get(place)).map(|(_, pair)| pair.certified.clone())
    }

    /// Where it stands among the entries.
    pub fn place(&self, asked: Option<&str>, now_s: i64) -> Option<usize> {
        let asked = asked.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        asked.and_then(|name| self.best_for(&name, now_s)).or_else(|| self.best_for(&self.hostname, now_s)).or(Some(0))
    }

    /// One that is valid beats one that is not, somebody's word beats one's own, the name itself beats a wildcard; then the order counts.
    fn best_for(&self, name: &str, now_s: i64) -> Option<usize> {
        let rank = |pair: &Pair| {
            let leaf = &pair.leaf;
            (leaf.is_valid_at(now_s), !leaf.is_self_issued, leaf.names.iter().any(|n| n == name))
        };
        let fitting = self.entries.iter().enumerate().filter(|(_, (_, pair))| pair.leaf.is_for(name));
        // `max_by_key` keeps the last of equals; the first is wanted.
        fitting.rev().max_by_key(|(_, (_, pair))| rank(pair)).map(|(place, _)| place)
    }
}

/// The pairs in the directory of issued certificates. A change that a crash interrupted is finished first.
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
