//! A private certificate authority, its certificates, and certificate requests.
//!
//! RFC 5280 s.4.2, RFC 2986. Invariant: the authority signs server certificates only, and no other authority.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::tls::TlsError;

/// Validity of the authority, in days.
const AUTHORITY_DAYS: i64 = 3650;

/// Certificates are valid from an hour ago, since clocks differ.
const BACKDATING: Duration = Duration::hours(1);

/// An authority: its certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its certificate, which clients must trust.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// An issued certificate, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Leaf and authority.
    pub chain: String,
    /// The leaf's key.
    pub key: String,
}

fn failed(error: rcgen::Error) -> TlsError {
    TlsError::Make(error.to_string())
}

fn time(now_s: i64) -> Result<OffsetDateTime, TlsError> {
    OffsetDateTime::from_unix_timestamp(now_s).map_err(|e| TlsError::Make(e.to_string()))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

impl Authority {
    /// Makes an authority.
    pub fn new(name: &str, now_s: i64) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let now = time(now_s)?;
        params.not_before = now - BACKDATING;
        params.not_after = now + Duration::days(AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Makes a key and a certificate for a server.
    pub fn issue(&self, names: &[String], days: u32, now_s: i64) -> Result<Issued, TlsError> {
        let signing = KeyPair::from_pem(&self.key).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, signing).map_err(failed)?;
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        params.distinguished_name = names.first().map(|name| named(name)).unwrap_or_default();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = time(now_s)?;
        params.not_before = now - BACKDATING;
        params.not_after = now + Duration::days(i64::from(days));
        let leaf = params.signed_by(&key, &issuer).map_err(failed)?;
        Ok(Issued { chain: leaf.pem() + &self.certificate, key: key.serialize_pem() })
    }
}

/// Makes a certificate request for these names, with the key (PEM) or a new one. Returns the request and its key as PEM.
pub fn request(names: &[String], key: Option<&str>) -> Result<(String, String), TlsError> {
    let key = key.map_or_else(KeyPair::generate, KeyPair::from_pem).map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = names.first().map(|name| named(name)).unwrap_or_default();
    let request = params.serialize_request(&key).map_err(failed)?;
    Ok((request.pem().map_err(failed)?, key.serialize_pem()))
}
