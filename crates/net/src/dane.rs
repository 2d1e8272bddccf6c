//! Whether a certificate is the one that the receiver's TLSA records name.
//!
//! RFC 7672 s.3.1, RFC 7672 s.3.2, RFC 7671 s.5.1, RFC 7671 s.5.2, RFC 6698 s.2.1. Invariant: pure, and it knows no other authority than the records;
//! whether those are secure is for the caller to know.

use std::fmt::{self, Write as _};

use aws_lc_rs::digest;
use mail::Domain;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::leaf::hex;
use crate::tls_client::TlsFault;

/// The authority stands in the record.
const TRUST_ANCHOR: u8 = 2;
/// The certificate itself does.
const END_ENTITY: u8 = 3;

/// Of a digest so many digits are shown.
const SHOWN_DIGITS: usize = 16;

/// One TLSA record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage: 3 the leaf, 2 an authority in the chain; SMTP uses no other.
    pub usage: u8,
    /// Selector: 0 the certificate, 1 its public key.
    pub selector: u8,
    /// Matching type: 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// What is compared.
    pub data: Vec<u8>,
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex(&self.data);
        let shown = digits.get(..SHOWN_DIGITS).map_or_else(|| digits.clone(), |start| format!("{start}.."));
        write!(f, "{} {} {} {shown}", self.usage, self.selector, self.matching)
    }
}

impl Tlsa {
    /// Whether something can be checked by it (RFC 7672 s.3.1.3: usages 0 and 1 are of no use to SMTP).
    pub fn is_usable(&self) -> bool {
        let fits = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == digest::SHA256_OUTPUT_LEN,
            2 => self.data.len() == digest::SHA512_OUTPUT_LEN,
            _ => false,
        };
        fits && matches!(self.usage, TRUST_ANCHOR | END_ENTITY) && self.selector <= 1
    }

    /// The record as a zone has it, with all of its data.
    pub fn text(&self) -> String {
        format!("{} {} {} {}", self.usage, self.selector, self.matching, hex(&self.data))
    }

    /// What the record would hold if it were made from this certificate.
    fn of(&self, certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
        let selected = match self.selector {
            0 => certificate.to_vec(),
            1 => X509Certificate::from_der(certificate).ok()?.1.public_key().raw.to_vec(),
            _ => return None,
        };
        Some(match self.matching {
            0 => selected,
            1 => digest::digest(&digest::SHA256, &selected).as_ref().to_vec(),
            2 => digest::digest(&digest::SHA512, &selected).as_ref().to_vec(),
            _ => return None,
        })
    }

    fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        self.of(certificate).is_some_and(|data| data == self.data)
    }
}

/// What a host must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dane {
    /// Its usable records, at least one.
    records: Vec<Tlsa>,
    /// The TLSA base domain, which is the name in SNI too.
    base: Domain,
    /// The domain that the mail is for. A certificate by an authority must name one of the two.
    next_hop: Domain,
}

/// Why a certificate is not the one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate of {host} does not match its TLSA {}: {found}; expected {expected}", if *.is_one { "record" } else { "records" })]
pub struct DaneError {
    host: Domain,
    is_one: bool,
    found: String,
    expected: String,
    fault: TlsFault,
}

impl DaneError {
    /// What is wrong, in a word.
    pub fn fault(&self) -> TlsFault {
        self.fault
    }
}

impl Dane {
    /// `None` where no record is usable.
    pub fn new(records: Vec<Tlsa>, base: Domain, next_hop: &Domain) -> Option<Self> {
        let records: Vec<Tlsa> = records.into_iter().filter(Tlsa::is_usable).collect();
        (!records.is_empty()).then(|| Self { records, base, next_hop: next_hop.clone() })
    }

    /// The usable records.
    pub fn records(&self) -> &[Tlsa] {
        &self.records
    }

    /// The TLSA base domain: the name for SNI.
    pub fn base(&self) -> &Domain {
        &self.base
    }

    /// Checks a chain, leaf first. A leaf that a record names needs neither name nor time; one by an authority that a record names needs both.
    pub fn check(&self, chain: &[CertificateDer<'_>], algorithms: &WebPkiSupportedAlgorithms, now: UnixTime) -> Result<(), DaneError> {
        let Some((leaf, above)) = chain.split_first() else { return Err(self.error("it showed none".into(), TlsFault::Other)) };
        let (mut found, mut fault) = (String::new(), TlsFault::HostMismatch);
        for record in &self.records {
            let outcome = match record.usage {
                END_ENTITY if record.is_of(leaf) => return Ok(()),
                END_ENTITY => Err(None),
                _ => self.check_anchor(record, leaf, above, algorithms, now),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(Some((why, what))) => {
                    fault = what;
                    let _ = write!(found, "the authority of {record} is there, but {why}; ");
                }
                Err(None) => {}
            }
        }
        let like = self.records.iter().find(|record| record.usage == END_ENTITY).or(self.records.first());
        let shown = like.and_then(|record| Some(Tlsa { usage: END_ENTITY, data: record.of(leaf)?, ..record.clone() }));
        let shown = shown.map_or_else(|| "one that cannot be read".into(), |tlsa| tlsa.to_string());
        Err(self.error(format!("{found}found {shown} and {} above it", above.len()), fault))
    }

    /// `None` where the record's authority is not in the chain.
    fn check_anchor(
        &self,
        record: &Tlsa,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<(), Option<(String, TlsFault)>> {
        // A record with the whole certificate brings the authority itself.
        let brought = (record.selector, record.matching) == (0, 0);
        let brought = brought.then(|| CertificateDer::from(record.data.as_slice()));
        let shown = above.iter().filter(|certificate| record.is_of(certificate));
        let authorities: Vec<&CertificateDer<'_>> = shown.chain(brought.as_ref()).collect();
        let anchors: Vec<TrustAnchor<'_>> = authorities.iter().filter_map(|der| anchor_from_trusted_cert(der).ok()).collect();
        if anchors.is_empty() {
            return Err(None);
        }
        let said = |error: webpki::Error| {
            let fault = if matches!(error, webpki::Error::CertExpired { .. }) { TlsFault::Expired } else { TlsFault::NotTrusted };
            Some((error.to_string(), fault))
        };
        let certificate = EndEntityCert::try_from(leaf).map_err(said)?;
        certificate.verify_for_usage(algorithms.all, &anchors, above, now, KeyUsage::server_auth(), None, None).map_err(said)?;
        let is_named = |name: &Domain| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if is_named(&self.base) || is_named(&self.next_hop) {
            return Ok(());
        }
        Err(Some((format!("the certificate names neither {} nor {}", self.base, self.next_hop), TlsFault::HostMismatch)))
    }

    fn error(&self, found: String, fault: TlsFault) -> DaneError {
        let expected: Vec<String> = self.records.iter().map(ToString::to_string).collect();
        DaneError { host: self.base.clone(), is_one: self.records.len() == 1, found, expected: expected.join(" or "), fault }
    }
}

#[cfg(test)]
#[path = "dane_tests.rs"]
mod tests;
