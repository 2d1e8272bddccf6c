//! Public keys of signers: fetched concurrently, checked, then passed to mail-auth as its cache.
//!
//! RFC 6376 s.3.6, RFC 8301 s.3.2, RFC 8463 s.4. mail-auth would fetch one key after another. Invariant: mail-auth itself does not
//! use DNS; a key without an answer is a temporary error, never a missing key.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::dkim_key::KeyRecord;
use mail::evidence::DkimResult;
use mail_auth::dkim::DomainKey;
use mail_auth::dns::TxtRecordParser as _;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::{DnsCache, DnsError, Error, NoCache, ResolverCache, TxtRecord};
use tokio::task::JoinSet;

use crate::dns::Dns;
use crate::lookup::{Answer, Lookup as _, Missing};

/// Minimum length of an RSA key (RFC 8301 s.3.2).
const RSA_MIN_BITS: usize = 1024;

/// Why a key must not be used, although mail-auth can read it.
pub(crate) type KeyRefusal = (DkimResult, String);

/// The remark on a key that is used although its record breaks the standard.
const LATE_VERSION: &str = "v= is not the first tag of the key record";

/// The keys of one message.
#[derive(Default)]
pub(crate) struct Keys {
    records: HashMap<Box<str>, TxtRecord>,
    refused: HashMap<Box<str>, KeyRefusal>,
    usable: HashMap<Box<str>, KeyRecord>,
}

impl Keys {
    /// Fetches the keys of these names, all at once, for at most `wait`.
    pub async fn fetch(dns: &Dns, names: impl IntoIterator<Item = String>, wait: Duration) -> Self {
        let mut keys = Self::default();
        let mut asked = JoinSet::new();
        for name in names {
            let name = cache_key(&name);
            // Replaced by the answer, if there is one.
            if keys.records.insert(name.clone(), TxtRecord::Error(Error::Dns(DnsError::Resolver("no answer".into())))).is_none() {
                let dns = dns.clone();
                asked.spawn(async move {
                    let answer = dns.txt(&name).await;
                    (name, answer)
                });
            }
        }
        let all = async {
            while let Some(joined) = asked.join_next().await {
                if let Ok((name, answer)) = joined {
                    keys.take(name, answer);
                }
            }
        };
        let _ = tokio::time::timeout(wait, all).await;
        keys
    }

    fn take(&mut self, name: Box<str>, answer: Answer<Vec<u8>>) {
        let record = match answer {
            Ok(texts) => {
                // mail-auth takes the first record that it can read; mostly there is one, which is not read twice.
                let readable = || texts.iter().find(|text| DomainKey::parse(text).is_ok());
                let used = if texts.len() > 1 { readable().or(texts.first()) } else { texts.first() };
                match used.map(|text| check_record(text)) {
                    Some(Err(refusal)) => drop(self.refused.insert(name.clone(), refusal)),
                    Some(Ok(record)) => drop(self.usable.insert(name.clone(), record)),
                    None => {}
                }
                TxtRecord::from(DomainKey::parse_records(&texts))
            }
            Err(Missing::Temporary) => return,
            Err(Missing::Name) => TxtRecord::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain))),
            Err(Missing::Record) => TxtRecord::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NoError))),
        };
        self.records.insert(name, record);
    }

    /// Why this key must not be used; `None` if it may, or is missing.
    pub fn refusal(&self, name: &str) -> Option<KeyRefusal> {
        self.refused.get(&cache_key(name)).cloned()
    }

    /// A remark on this key, which may be used nevertheless.
    pub fn remark(&self, name: &str) -> Option<&'static str> {
        self.usable.get(&cache_key(name)).filter(|record| record.is_version_late).map(|_| LATE_VERSION)
    }

    /// Whether this key made this signature of `data`. False if the key is missing or must not be used.
    pub fn verifies(&self, name: &str, algorithm: &str, data: &[u8], signature: &[u8]) -> bool {
        let Some(record) = self.usable.get(&cache_key(name)) else { return false };
        let Ok(key) = STANDARD.decode(&record.public) else { return false };
        let verified = match (record.kind.as_str(), algorithm) {
            ("rsa", "rsa-sha256") => {
                UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, bare_key(&key)).verify(data, signature)
            }
            ("ed25519", "ed25519-sha256") => {
                UnparsedPublicKey::new(&ED25519, key.as_slice()).verify(digest(&SHA256, data).as_ref(), signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

/// The cache key that mail-auth uses for a name.
fn cache_key(name: &str) -> Box<str> {
    let mut name = name.trim_end_matches('.').to_lowercase();
    name.push('.');
    name.into()
}

/// Checks what mail-auth does not check in a key record.
fn check_record(text: &[u8]) -> Result<KeyRecord, KeyRefusal> {
    let record = KeyRecord::parse(text).map_err(|fault| (DkimResult::PermError, fault.to_string()))?;
    let key = STANDARD.decode(&record.public).ok();
    match key.as_deref().and_then(rsa_bits) {
        Some(bits) if record.kind == "rsa" && bits < RSA_MIN_BITS => {
            Err((DkimResult::Policy, "the RSA key is shorter than 1024 bits".into()))
        }
        _ => Ok(record),
    }
}

/// One DER element: its tag, its content, the rest.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 128 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 127))?;
        (length.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// An RSA key without its SubjectPublicKeyInfo, if it has one.
fn bare_key(key: &[u8]) -> &[u8] {
    let unwrapped = || {
        let (0x30, content, _) = der(key)? else { return None };
        let (0x30, _, rest) = der(content)? else { return None };
        let (0x03, bits, _) = der(rest)? else { return None };
        bits.get(1..)
    };
    unwrapped().unwrap_or(key)
}

/// The length of an RSA key's modulus, in bits.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (0x30, content, _) = der(bare_key(key))? else { return None };
    let (0x02, modulus, _) = der(content)? else { return None };
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let significant = modulus.get(first..)?;
    Some(significant.len() * 8 - usize::try_from(significant.first()?.leading_zeros()).ok()?)
}

impl ResolverCache<Box<str>, TxtRecord> for Keys {
    fn get<Q>(&self, name: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // Names that were not fetched do not exist: RFC 6651 (reporting) and RFC 6541 (third-party signatures) are not used.
        let missing = || TxtRecord::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)));
        Some(self.records.get(name).cloned().unwrap_or_else(missing))
    }

    fn remove<Q>(&self, _: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: TxtRecord, _: Instant) {}
}

impl DnsCache for Keys {
    type Txt = Self;
    type Mx = NoCache;
    type Ipv4 = NoCache;
    type Ipv6 = NoCache;
    type Ptr = NoCache;

    fn txt(&self) -> Option<&Self> {
        Some(self)
    }

    fn mx(&self) -> Option<&NoCache> {
        None
    }

    fn ipv4(&self) -> Option<&NoCache> {
        None
    }

    fn ipv6(&self) -> Option<&NoCache> {
        None
    }

    fn ptr(&self) -> Option<&NoCache> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 1024-bit key of RFC 6376 appendix C.
    const KEY: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSs\
        q631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";

    #[test]
    fn key_records_are_checked() {
        assert_eq!(rsa_bits(&STANDARD.decode(KEY).unwrap()), Some(1024));
        assert!(check_record(format!("v=DKIM1; p={KEY}").as_bytes()).is_ok());
        assert!(check_record(format!("k=rsa; s=*; h=sha1:sha256; p={KEY}").as_bytes()).is_ok());
        assert!(check_record(b"p=").is_ok(), "revoked, which mail-auth reports");
        assert!(check_record(format!("p={KEY}; v=DKIM1").as_bytes()).is_ok_and(|record| record.is_version_late));
        for bad in ["v=DKIM2; p=", "p=; v=DKIM2", "s=tlsrpt; p=", "h=sha1; p="] {
            assert_eq!(check_record(bad.as_bytes()).unwrap_err().0, DkimResult::PermError, "{bad}");
        }
    }
}
