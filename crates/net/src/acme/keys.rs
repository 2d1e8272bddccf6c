//! Chooses the key of a certificate: the current one, a new one, or one whose TLSA record was published ahead.
//!
//! RFC 7671 s.8.1. Invariant: if TLSA records are published, no certificate is ordered for a key without one: senders would find no match,
//! and defer.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use mail::Domain;
use rcgen::{KeyPair, PublicKeyData};

use super::files::{CertificateDir, write};
use crate::blocking::blocking;
use crate::resolver::Resolver;

/// The port of the TLSA records.
const SMTP_PORT: u16 = 25;

/// The key of an order, and its file.
pub(super) struct OrderKey {
    pub key: KeyPair,
    pub file: PathBuf,
}

/// The current key, or the one of a failed attempt, or a new one. Blocks.
pub(super) fn choose(place: &CertificateDir, keep: bool) -> Result<OrderKey, String> {
    let kept = if keep && !place.next_key().exists() { place.key() } else { place.next_key() };
    match read(&kept) {
        Some(key) => Ok(OrderKey { key, file: kept }),
        None => make(place),
    }
}

/// The same if TLSA records are published: another key than the current one only once its record is in DNS.
pub(super) async fn choose_announced(place: &CertificateDir, keep: bool, host: &Domain, resolver: &Resolver) -> Result<OrderKey, String> {
    let dir = place.clone();
    let (current, next_digest) = blocking(move || (read(&dir.key()), next_key_digest(&dir.0))).await;
    let Some(current) = current else { return choose_off_runtime(place, false).await };
    let is_announced = match next_digest {
        Some(digest) if !keep => is_in_dns(&digest, host, resolver).await,
        _ => false,
    };
    if is_announced {
        return choose_off_runtime(place, false).await;
    }
    if !keep {
        tracing::warn!(%host, "the TLSA record of the next key is not in DNS yet: the current key is used for one more certificate; waypost dns check");
    }
    Ok(OrderKey { key: current, file: place.key() })
}

/// [`choose`], on a thread that may block.
pub(super) async fn choose_off_runtime(place: &CertificateDir, keep: bool) -> Result<OrderKey, String> {
    let dir = place.clone();
    blocking(move || choose(&dir, keep)).await
}

/// Makes the next key, if there is none. Blocks.
pub(super) fn prepare_next(place: &CertificateDir) {
    if read(&place.next_key()).is_none()
        && let Err(error) = make(place)
    {
        tracing::warn!(error, "the next key cannot be made, so its TLSA record cannot be published ahead");
    }
}

/// The TLSA digest (3 1 1) of a certificate's next key, if there is one. Blocks.
pub fn next_key_digest(directory: &Path) -> Option<String> {
    let key = read(&CertificateDir(directory.into()).next_key())?;
    Some(HEXLOWER.encode(digest(&SHA256, &key.subject_public_key_info()).as_ref()))
}

async fn is_in_dns(digest: &str, host: &Domain, resolver: &Resolver) -> bool {
    let Ok(found) = resolver.tlsa(host, SMTP_PORT).await else { return false };
    found
        .records
        .iter()
        .any(|record| (record.usage, record.selector, record.matching) == (3, 1, 1) && HEXLOWER.encode(&record.data) == digest)
}

fn read(file: &Path) -> Option<KeyPair> {
    let text = std::fs::read_to_string(file).ok()?;
    let key = KeyPair::from_pem(&text);
    key.inspect_err(|error| tracing::warn!(%error, file = %file.display(), "the key cannot be used; making a new one")).ok()
}

fn make(place: &CertificateDir) -> Result<OrderKey, String> {
    let (key, file) = (KeyPair::generate().map_err(|e| e.to_string())?, place.next_key());
    write(&file, &key.serialize_pem(), 0o600).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(OrderKey { key, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_or_replaced_and_survives_a_failed_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let place = CertificateDir(dir.path().into());
        let first = choose(&place, true).unwrap().key.serialize_pem();
        assert_eq!(choose(&place, true).unwrap().key.serialize_pem(), first);
        std::fs::rename(place.next_key(), place.key()).unwrap();
        assert_eq!(choose(&place, true).unwrap().key.serialize_pem(), first);
        assert_ne!(choose(&place, false).unwrap().key.serialize_pem(), first);
    }

    #[test]
    fn the_next_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = CertificateDir(dir.path().into());
        assert_eq!(next_key_digest(dir.path()), None);
        prepare_next(&place);
        let first = next_key_digest(dir.path()).unwrap();
        assert_eq!(first.len(), 64);
        prepare_next(&place);
        assert_eq!(next_key_digest(dir.path()), Some(first.clone()));
        std::fs::write(place.next_key(), "damaged").unwrap();
        prepare_next(&place);
        assert_ne!(next_key_digest(dir.path()), Some(first));
    }
}
