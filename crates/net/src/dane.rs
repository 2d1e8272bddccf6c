//! DANE: checks a certificate chain against TLSA records.
//!
//! RFC 7672 s.3.1, RFC 7672 s.3.2, RFC 7671 s.5.1, RFC 7671 s.5.2, RFC 7671 s.9, RFC 6698 s.2.1. Invariant: pure, and trusts nothing but the
//! records; the caller knows whether those are secure.

use std::fmt::{self, Write as _};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use mail::Domain;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::key_pin::KeyPin;
use crate::tls_client::TlsFault;

/// DANE-TA: the record names an authority.
const TRUST_ANCHOR: u8 = 2;
/// DANE-EE: the record names the leaf.
const END_ENTITY: u8 = 3;

/// Matching type Full: no digest.
const FULL: u8 = 0;

/// Digits of a digest in messages.
const SHOWN_DIGITS: usize = 16;

/// One TLSA record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage: 3 the leaf, 2 an authority in the chain; SMTP uses no others.
    pub usage: u8,
    /// Selector: 0 the certificate, 1 its public key.
    pub selector: u8,
    /// Matching type: 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// The data to compare.
    pub data: Vec<u8>,
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = HEXLOWER.encode(&self.data);
        let shown = digits.get(..SHOWN_DIGITS).map_or_else(|| digits.clone(), |start| format!("{start}.."));
        write!(f, "{} {} {} {shown}", self.usage, self.selector, self.matching)
    }
}

impl Tlsa {
    /// Whether a certificate can be checked against it (RFC 7672 s.3.1.3: SMTP does not use usages 0 and 1).
    pub fn is_usable(&self) -> bool {
        let fits = match self.matching {
            FULL => !self.data.is_empty(),
            1 => self.data.len() == digest::SHA256_OUTPUT_LEN,
            2 => self.data.len() == digest::SHA512_OUTPUT_LEN,
            _ => false,
        };
        fits && matches!(self.usage, TRUST_ANCHOR | END_ENTITY) && self.selector <= 1
    }

    /// The record in zone file form, with all of its data.
    pub fn text(&self) -> String {
        format!("{} {} {} {}", self.usage, self.selector, self.matching, HEXLOWER.encode(&self.data))
    }

    /// The data of such a record for this certificate.
    fn of(&self, certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
        let selected = match self.selector {
            0 => certificate.to_vec(),
            1 => X509Certificate::from_der(certificate).ok()?.1.public_key().raw.to_vec(),
            _ => return None,
        };
        Some(match self.matching {
            FULL => selected,
            1 => digest::digest(&digest::SHA256, &selected).as_ref().to_vec(),
            2 => digest::digest(&digest::SHA512, &selected).as_ref().to_vec(),
            _ => return None,
        })
    }

    fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        self.of(certificate).is_some_and(|data| data == self.data)
    }
}

/// What a host's certificate must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dane {
    /// The usable records, at least one.
    records: Vec<Tlsa>,
    /// The TLSA base domain; also the name in SNI.
    base: Domain,
    /// The domain that the mail is for. A certificate under a DANE-TA record must name one of the two.
    next_hop: Domain,
    /// Whether the operator configured them, instead of the receiver.
    is_pin: bool,
}

/// Why a certificate does not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate of {host} does not match its {what}: {found}; expected {expected}")]
pub struct DaneError {
    host: Domain,
    what: &'static str,
    found: String,
    expected: String,
    fault: TlsFault,
}

impl DaneError {
    /// The kind of fault.
    pub fn fault(&self) -> TlsFault {
        self.fault
    }
}

impl Dane {
    /// `None` if no record is usable.
    pub fn new(records: Vec<Tlsa>, base: Domain, next_hop: &Domain) -> Option<Self> {
        let records: Vec<Tlsa> = records.into_iter().filter(Tlsa::is_usable).collect();
        (!records.is_empty()).then(|| Self { records, base, next_hop: next_hop.clone(), is_pin: false })
    }

    /// A host that must have one of these keys, by the operator's configuration.
    pub fn pinned(pins: &[KeyPin], host: &Domain) -> Option<Self> {
        let record = |pin: &KeyPin| Tlsa { usage: END_ENTITY, selector: 1, matching: 1, data: pin.0.to_vec() };
        Self::new(pins.iter().map(record).collect(), host.clone(), host).map(|dane| Self { is_pin: true, ..dane })
    }

    /// The usable records.
    pub fn records(&self) -> &[Tlsa] {
        &self.records
    }

    /// The records that count: of those with the same usage and selector, only the ones with the strongest digest (RFC 7671 s.9), so that a broken
    /// algorithm is of no use to an attacker where a better one is published. Matching type Full is no digest and always counts.
    fn effective_records(&self) -> impl Iterator<Item = &Tlsa> {
        let is_stronger = |other: &Tlsa, record: &Tlsa| {
            (other.usage, other.selector) == (record.usage, record.selector) && other.matching > record.matching
        };
        self.records.iter().filter(move |record| record.matching == FULL || !self.records.iter().any(|other| is_stronger(other, record)))
    }

    /// The TLSA base domain: the name for SNI.
    pub fn base(&self) -> &Domain {
        &self.base
    }

    /// Checks a chain, leaf first. A leaf that a record names is accepted whatever its name and validity; one by an authority that a record names must have
    /// the right name and be valid.
    pub fn check(&self, chain: &[CertificateDer<'_>], algorithms: &WebPkiSupportedAlgorithms, now: UnixTime) -> Result<(), DaneError> {
        let Some((leaf, above)) = chain.split_first() else { return Err(self.error("it presented none".into(), TlsFault::Other)) };
        let (mut found, mut fault) = (String::new(), TlsFault::HostMismatch);
        for record in self.effective_records() {
            let outcome = match record.usage {
                END_ENTITY if record.is_of(leaf) => return Ok(()),
                END_ENTITY => Err(None),
                _ => self.check_anchor(record, leaf, above, algorithms, now),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(Some((why, what))) => {
                    fault = what;
                    let _ = write!(found, "the chain has the authority of {record}, but {why}; ");
                }
                Err(None) => {}
            }
        }
        let like = self.effective_records().find(|record| record.usage == END_ENTITY).or(self.records.first());
        let shown = like.and_then(|record| Some(Tlsa { usage: END_ENTITY, data: record.of(leaf)?, ..record.clone() }));
        let shown = shown.map_or_else(|| "an unreadable one".into(), |tlsa| tlsa.to_string());
        Err(self.error(format!("{found}found {shown} and {} above it", above.len()), fault))
    }

    /// The error is `None` if the record's authority is not in the chain.
    fn check_anchor(
        &self,
        record: &Tlsa,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<(), Option<(String, TlsFault)>> {
        // A record with the whole certificate supplies the authority itself.
        let is_whole = (record.selector, record.matching) == (0, FULL);
        let supplied = is_whole.then(|| CertificateDer::from(record.data.as_slice()));
        let presented = above.iter().filter(|certificate| record.is_of(certificate));
        let authorities: Vec<&CertificateDer<'_>> = presented.chain(supplied.as_ref()).collect();
        let anchors: Vec<TrustAnchor<'_>> = authorities.iter().filter_map(|der| anchor_from_trusted_cert(der).ok()).collect();
        if anchors.is_empty() {
            return Err(None);
        }
        let failed = |error: webpki::Error| {
            let fault = if matches!(error, webpki::Error::CertExpired { .. }) { TlsFault::Expired } else { TlsFault::NotTrusted };
            Some((error.to_string(), fault))
        };
        let certificate = EndEntityCert::try_from(leaf).map_err(failed)?;
        certificate.verify_for_usage(algorithms.all, &anchors, above, now, KeyUsage::server_auth(), None, None).map_err(failed)?;
        let is_named = |name: &Domain| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if is_named(&self.base) || is_named(&self.next_hop) {
            return Ok(());
        }
        Err(Some((format!("the certificate names neither {} nor {}", self.base, self.next_hop), TlsFault::HostMismatch)))
    }

    fn error(&self, found: String, fault: TlsFault) -> DaneError {
        let expected: Vec<String> = self.effective_records().map(ToString::to_string).collect();
        let what = match expected.as_slice() {
            _ if self.is_pin => "pin",
            [_] => "TLSA record",
            _ => "TLSA records",
        };
        DaneError { host: self.base.clone(), what, found, expected: expected.join(" or "), fault }
    }
}

#[cfg(test)]
#[path = "dane_tests.rs"]
mod tests;
