//! What a browser and an authenticator say about a passkey: client data, authenticator data, signature.
//!
//! W3C Web Authentication Level 2 s.5.8.1, s.6.1, s.7.1, s.7.2. Attestation is not asked for: who adds a passkey has logged in, and chooses it. Pure.
//! Invariant: nothing is accepted from another origin, for another site or in another ceremony.

use net::{SignatureKey, digest_of};
use serde::Deserialize;

/// Maximum octets of what is sent, each.
const SENT_MAX_BYTES: usize = 4096;

/// The site that a passkey is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeySite {
    /// The host, without its port.
    pub id: String,
    /// The origin: `https://`, host, and port if it is not 443.
    pub origin: String,
}

/// What the browser is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceremony {
    Create,
    Get,
}

/// Why something was refused, in words for the log.
pub(crate) type Fault = &'static str;

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    is_cross_origin: bool,
}

/// Checks the client data of a ceremony; returns the challenge in it.
pub(crate) fn challenge_of(client_data: &[u8], ceremony: Ceremony, site: &PasskeySite) -> Result<String, Fault> {
    if client_data.len() > SENT_MAX_BYTES {
        return Err("the client data is too long");
    }
    let data: ClientData = serde_json::from_slice(client_data).map_err(|_| "the client data cannot be read")?;
    let kind = if ceremony == Ceremony::Create { "webauthn.create" } else { "webauthn.get" };
    if data.kind != kind {
        return Err("the client data is of another ceremony");
    }
    if data.is_cross_origin || data.origin != site.origin {
        return Err("the client data is of another origin");
    }
    Ok(data.challenge)
}

/// What an authenticator says of a ceremony.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthenticatorData {
    /// Whether it has verified its user, by a PIN or a finger.
    pub has_verified_user: bool,
    /// How many signatures it has made; 0 if it does not count.
    pub counter: u32,
    /// The name of a new passkey.
    pub credential: Option<Vec<u8>>,
}

impl AuthenticatorData {
    /// Reads it for a site.
    pub fn parse(octets: &[u8], site: &PasskeySite) -> Result<Self, Fault> {
        const SHORT: Fault = "the authenticator data is too short";
        const PRESENT: u8 = 0x01;
        const VERIFIED: u8 = 0x04;
        const ATTESTED: u8 = 0x40;
        if octets.len() > SENT_MAX_BYTES {
            return Err("the authenticator data is too long");
        }
        let (site_hash, rest) = octets.split_first_chunk::<32>().ok_or(SHORT)?;
        let (flags, rest) = rest.split_first().ok_or(SHORT)?;
        let (counter, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if *site_hash != digest_of(site.id.as_bytes()) {
            return Err("the authenticator data is for another site");
        }
        if flags & PRESENT == 0 {
            return Err("nobody was present at the authenticator");
        }
        let credential = match flags & ATTESTED {
            0 => None,
            _ => {
                let (length, rest) = rest.get(16..).and_then(<[u8]>::split_first_chunk::<2>).ok_or(SHORT)?;
                Some(rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(SHORT)?.to_vec())
            }
        };
        Ok(Self { has_verified_user: flags & VERIFIED != 0, counter: u32::from_be_bytes(*counter), credential })
    }
}

/// Whether the authenticator has signed what both say.
pub(crate) fn is_signed(key: &SignatureKey, authenticator_data: &[u8], client_data: &[u8], signature: &[u8]) -> bool {
    let signed = [authenticator_data, &digest_of(client_data)].concat();
    signature.len() <= SENT_MAX_BYTES && key.verifies(&signed, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> PasskeySite {
        PasskeySite { id: "mx.x.test".into(), origin: "https://mx.x.test:8443".into() }
    }

    fn client_data(kind: &str, origin: &str, more: &str) -> Vec<u8> {
        format!(r#"{{"type":"{kind}","challenge":"abc","origin":"{origin}"{more}}}"#).into_bytes()
    }

    #[test]
    fn client_data_is_of_this_ceremony_and_origin() {
        let right = client_data("webauthn.get", "https://mx.x.test:8443", r#","crossOrigin":false,"topOrigin":"x""#);
        assert_eq!(challenge_of(&right, Ceremony::Get, &site()).as_deref(), Ok("abc"));
        for wrong in [
            client_data("webauthn.create", "https://mx.x.test:8443", ""),
            client_data("webauthn.get", "https://mx.x.test", ""),
            client_data("webauthn.get", "https://mx.x.test:8443.evil.test", ""),
            client_data("webauthn.get", "http://mx.x.test:8443", ""),
            client_data("webauthn.get", "https://mx.x.test:8443", r#","crossOrigin":true"#),
            client_data("webauthn.get", "https://mx.x.test:8443", &format!(r#","x":"{}""#, "x".repeat(SENT_MAX_BYTES))),
            b"[]".to_vec(),
            Vec::new(),
        ] {
            assert!(challenge_of(&wrong, Ceremony::Get, &site()).is_err(), "{}", String::from_utf8_lossy(&wrong));
        }
    }

    #[test]
    fn authenticator_data_of_every_length_is_read_or_refused() {
        let octets = |flags: u8, more: &[u8]| [&digest_of(b"mx.x.test")[..], &[flags], &[0, 0, 1, 2], more].concat();
        let credential = [&[0_u8; 16][..], &[0, 3], b"abc", &[0xa5; 9]].concat();
        let whole = octets(0x45, &credential);
        let read = AuthenticatorData::parse(&whole, &site()).unwrap();
        assert_eq!(read, AuthenticatorData { has_verified_user: true, counter: 258, credential: Some(b"abc".to_vec()) });
        for length in 0..whole.len() - 9 {
            assert!(AuthenticatorData::parse(&whole[..length], &site()).is_err(), "{length}");
        }
        let plain = AuthenticatorData::parse(&octets(0x01, &[]), &site()).unwrap();
        assert!(!plain.has_verified_user && plain.credential.is_none());
        assert!(AuthenticatorData::parse(&octets(0x04, &[]), &site()).is_err(), "nobody was present");
        let other = PasskeySite { id: "evil.test".into(), ..site() };
        assert!(AuthenticatorData::parse(&whole, &other).is_err());
        assert!(AuthenticatorData::parse(&octets(0x01, &[0; SENT_MAX_BYTES]), &site()).is_err());
    }
}
