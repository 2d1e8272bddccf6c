//! Certificates and their renewal, as values of the API.
//!
//! Invariant: a private key is no value here.

use serde::{Deserialize, Serialize};

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// What it is called, where an authority issued it by order.
    pub name: Option<String>,
    /// Where it comes from.
    pub origin: net::CertificateOrigin,
    /// Its file.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Those for which clients get it.
    pub shown_for: Vec<String>,
    /// Whether clients get it that ask for no name, or for one that no certificate has.
    pub is_fallback: bool,
    /// Who issued it.
    pub issuer: String,
    /// Whether nobody but itself vouches for it.
    pub is_self_signed: bool,
    /// From when on.
    pub not_before_ms: i64,
    /// Until when.
    pub not_after_ms: i64,
    /// Its number, in hexadecimal.
    pub serial: String,
    /// The kind of its key.
    pub key_type: String,
    /// What a TLSA record 3 1 1 holds.
    pub spki_sha256: String,
    /// The same for the key of the certificate after it, where that is made already.
    pub next_spki_sha256: Option<String>,
}

/// How the order of a certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// What the certificate is called.
    pub name: String,
    /// The directory of the authority that issued it; empty where none has.
    pub authority: String,
    /// The names that it should have.
    pub names: Vec<String>,
    /// Names that do not lead here.
    pub left_out: Vec<LeftOutView>,
    /// When it is renewed.
    pub renew_at_ms: Option<i64>,
    /// Who says so.
    pub renew_by: Option<String>,
    /// The last attempt.
    pub last_attempt_ms: Option<i64>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// Nothing is tried before.
    pub next_attempt_ms: Option<i64>,
}

/// A name that a certificate does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutView {
    /// The name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// All certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatesView {
    /// The server's time.
    pub now_ms: i64,
    /// Those in use.
    pub certificates: Vec<CertificateView>,
    /// How the orders stand.
    pub orders: Vec<OrderView>,
}

/// A renewal to try now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renewal {
    /// One certificate; all where it is not named.
    pub name: Option<String>,
    /// Also what is not due.
    pub force: bool,
}

/// What came of a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalDone {
    /// False where the authority is not done yet.
    pub is_over: bool,
    /// Each certificate.
    pub outcomes: Vec<RenewalOutcome>,
}

/// What came of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalOutcome {
    /// The certificate.
    pub name: String,
    /// Whether it is as it should be.
    pub is_well: bool,
    /// What was done, or what went wrong.
    pub text: String,
}
