//! The options about certificates: their files, the orders from a CA, and the HTTP addresses.
//!
//! Invariant: nothing here reads a certificate.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use net::acme::{AcmeSettings, Challenge, Directories, LETS_ENCRYPT, LETS_ENCRYPT_STAGING};
use net::{CertificateSources, PairFiles};

use super::error::{self, ConfigError};
use super::load::Config;
use super::options::FileOptions;
use super::values::Text;
use super::words::ChallengeWord;

impl Config {
    /// Returns the file of the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.file.tls.certificate.clone().unwrap_or_else(|| self.file.data_dir.join("tls/cert.pem"))
    }

    /// Returns the file of its private key.
    pub fn key(&self) -> PathBuf {
        self.file.tls.key.clone().unwrap_or_else(|| self.file.data_dir.join("tls/key.pem"))
    }

    /// Returns all certificates: the first pair (if it exists or is configured), further pairs, those issued by a CA.
    pub fn certificate_sources(&self) -> CertificateSources {
        let default = PairFiles { certificate: self.certificate(), key: self.key() };
        let is_there = self.file.tls.certificate.is_some() || default.certificate.exists();
        let pairs = self.file.tls.pair.iter().map(toml::Spanned::get_ref).filter_map(|pair| {
            let (certificate, key) = (pair.certificate.clone()?, pair.key.clone()?);
            Some(PairFiles { certificate, key })
        });
        CertificateSources {
            hostname: self.settings.hostname.to_string(),
            default: is_there.then_some(default),
            pairs: pairs.collect(),
            issued: Some(self.certificate_directories().certificates),
        }
    }

    /// Returns the directories of ACME accounts and issued certificates.
    pub fn certificate_directories(&self) -> Directories {
        Directories::within(&self.file.data_dir)
    }

    /// Returns the settings of ACME; `None` if no certificates are ordered.
    pub fn acme(&self) -> Option<AcmeSettings> {
        let acme = &self.file.acme;
        let challenge = match (acme.challenge, &acme.dns_hook) {
            (ChallengeWord::Http, _) => Challenge::Http,
            (ChallengeWord::TlsAlpn, _) => Challenge::TlsAlpn,
            (ChallengeWord::Dns, hook) => Challenge::Dns(hook.clone()?),
        };
        acme.enabled.then(|| AcmeSettings {
            directory: if acme.staging { LETS_ENCRYPT_STAGING.into() } else { acme.directory.clone() },
            contact: acme.contact.iter().map(|address| address.0.to_string()).collect(),
            challenge,
            authorities: acme.authority_root.clone(),
            keep_key: acme.keep_key,
            announce: self.file.dns.tlsa,
        })
    }

    /// Returns the addresses of HTTP and HTTPS.
    pub fn web_addresses(&self) -> [public_http::Addresses; 2] {
        let listen = &self.file.listen;
        [addresses(listen.http.as_deref(), 80), addresses(listen.https.as_deref(), 443)]
    }

    /// Returns the addresses of the owner's page alone; `None`: those of HTTPS. An empty list disables it.
    pub fn owner_addresses(&self) -> Option<public_http::Addresses> {
        let listen = &self.file.listen;
        listen.admin.as_deref().map(|named| addresses(Some(named), 443))
    }
}

fn addresses(named: Option<&[Text<SocketAddr>]>, port: u16) -> public_http::Addresses {
    let any = || [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])].map(|ip| SocketAddr::new(ip, port)).to_vec();
    let list = named.map_or_else(any, |list| list.iter().map(|address| address.0).collect());
    public_http::Addresses { list, must: named.is_some() }
}

/// Checks these options.
pub(super) fn check(path: &Path, text: &str, file: &FileOptions, errors: &mut Vec<ConfigError>) {
    let mut wrong = |start: usize, what: &str, hint: &str| errors.push(error::at(path, text, start..start, what, Some(hint)));
    let section = |header: &str| text.find(header).unwrap_or(0);
    if file.tls.certificate.is_some() != file.tls.key.is_some() {
        wrong(
            section("[tls]"),
            "only one of tls.certificate and tls.key is set",
            "set both, or neither to use the pair that setup created",
        );
    }
    for pair in &file.tls.pair {
        if pair.get_ref().certificate.is_none() || pair.get_ref().key.is_none() {
            wrong(pair.span().start, "this pair lacks its certificate or its key", "set both, or remove the section");
        }
    }
    let acme = &file.acme;
    if acme.enabled && acme.challenge == ChallengeWord::Dns && acme.dns_hook.is_none() {
        wrong(section("[acme]"), "dns-01 needs a program that changes DNS", "set it: dns_hook = \"/etc/waypost/dns-hook\"");
    }
    if !acme.directory.starts_with("https://") {
        wrong(section("[acme]"), "acme.directory is not an https:// URL", "use the URL of the CA's ACME directory");
    }
    if acme.staging && acme.directory != LETS_ENCRYPT {
        wrong(section("[acme]"), "acme.staging is about Let's Encrypt, but acme.directory names another CA", "set only one of the two");
    }
}
