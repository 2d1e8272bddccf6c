//! Certificates and their renewal, as values of the API.
//!
//! Invariant: no value contains a private key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The name of its order, if a CA issued it for the server.
    pub name: Option<String>,
    /// Its origin.
    #[schema(value_type = String)]
    pub origin: net::CertificateOrigin,
    /// Its file.
    pub file: String,
    /// The names in it.
    pub names: Vec<String>,
    /// The names for which clients get it.
    pub shown_for: Vec<String>,
    /// Whether clients that ask for no name or an unknown one get it.
    pub is_fallback: bool,
    /// The issuer.
    pub issuer: String,
    /// Whether it is self-signed.
    pub is_self_signed: bool,
    /// Start of validity.
    pub not_before_ms: i64,
    /// End of validity.
    pub not_after_ms: i64,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The type of its key.
    pub key_type: String,
    /// The digest of a TLSA record 3 1 1.
    pub spki_sha256: String,
    /// The same for the key of the next certificate, if it exists already.
    pub next_spki_sha256: Option<String>,
}

/// The state of a certificate order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// The name of the order.
    pub name: String,
    /// The ACME directory of the CA; empty before the first order.
    pub authority: String,
    /// The names to order.
    pub names: Vec<String>,
    /// Names that do not resolve to this server.
    pub left_out: Vec<LeftOutView>,
    /// The time of renewal.
    pub renew_at_ms: Option<i64>,
    /// What determined that time.
    pub renew_by: Option<String>,
    /// The last attempt.
    pub last_attempt_ms: Option<i64>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// The next attempt.
    pub next_attempt_ms: Option<i64>,
}

/// A name that was left out of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutView {
    /// The name.
    pub name: String,
    /// The reason.
    pub why: String,
}

/// All certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificatesView {
    /// The server's time.
    pub now_ms: i64,
    /// The certificates in use.
    pub certificates: Vec<CertificateView>,
    /// The state of the orders.
    pub orders: Vec<OrderView>,
}

/// A request to renew now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Renewal {
    /// One certificate; all if missing.
    pub name: Option<String>,
    /// Also renew certificates that are not due.
    pub force: bool,
}

/// The result of a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenewalDone {
    /// Whether the CA has finished.
    pub is_over: bool,
    /// The result for each certificate.
    pub outcomes: Vec<RenewalOutcome>,
}

/// The result for one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenewalOutcome {
    /// The certificate.
    pub name: String,
    /// Whether it succeeded.
    pub is_well: bool,
    /// What was done, or the error.
    pub text: String,
}
