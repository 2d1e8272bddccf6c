//! A self-signed certificate, for a server that has no public one yet.
//!
//! RFC 7435: opportunistic TLS with an unverified certificate beats none. Gmail's "Send mail as" does not take it.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::tls::TlsError;

/// Makes a key (ECDSA P-256) and a certificate for these host names; returns certificate and key as PEM.
pub fn self_signed(names: &[String]) -> Result<(String, String), TlsError> {
    let failed = |e: rcgen::Error| TlsError::Make(e.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2044, 1, 1);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
