//! Which key a certificate gets: the one that it had, a new one, or one whose TLSA record was published ahead.
//!
//! RFC 7671 s.8.1. Invariant: where TLSA records are published, no certificate is ordered for a key that has none there: senders would find nothing
//! that agrees, and wait.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use mail::Domain;
use rcgen::{KeyPair, PublicKeyData};

use super::files::{Place, write};
use crate::leaf::hex;
use crate::resolver::Resolver;

/// TLSA records are those of this port.
const SMTP: u16 = 25;

/// The key of an order, and the file that holds it.
pub(super) struct Chosen {
    pub key: KeyPair,
    pub file: PathBuf,
}

/// The key in use, or the one of an attempt that failed, or a new one.
pub(super) fn choose(place: &Place, keep: bool) -> Result<Chosen, String> {
    let kept = if keep && !place.next_key().exists() { place.key() } else { place.next_key() };
    match read(&kept) {
        Some(key) => Ok(Chosen { key, file: kept }),
        None => make(place),
    }
}

/// The same where TLSA records are published: another key than the one in use only once its record is in DNS.
pub(super) async fn choose_announced(place: &Place, keep: bool, host: &Domain, resolver: &Resolver) -> Result<Chosen, String> {
    let Some(current) = read(&place.key()) else { return choose(place, false) };
    let is_announced = match next_key_digest(&place.0) {
        Some(digest) if !keep => is_in_dns(&digest, host, resolver).await,
        _ => false,
    };
    if is_announced {
        return choose(place, false);
    }
    if !keep {
        tracing::warn!(%host, "the TLSA record of the next key is not in DNS yet: the key stays for one more certificate; waypost dns check");
    }
    Ok(Chosen { key: current, file: place.key() })
}

/// Makes the next key, where there is none.
pub(super) fn prepare_next(place: &Place) {
    if read(&place.next_key()).is_none()
        && let Err(error) = make(place)
    {
        tracing::warn!(error, "the next key cannot be made; no TLSA record of it can be published ahead");
    }
}

/// What the TLSA record (3 1 1) of a certificate's next key holds, where there is one.
pub fn next_key_digest(directory: &Path) -> Option<String> {
    let key = read(&Place(directory.into()).next_key())?;
    Some(hex(digest(&SHA256, &key.subject_public_key_info()).as_ref()))
}

async fn is_in_dns(digest: &str, host: &Domain, resolver: &Resolver) -> bool {
    let Ok(found) = resolver.tlsa(host, SMTP).await else { return false };
    found.records.iter().any(|record| (record.usage, record.selector, record.matching) == (3, 1, 1) && hex(&record.data) == digest)
}

fn read(file: &Path) -> Option<KeyPair> {
    let text = std::fs::read_to_string(file).ok()?;
    let key = KeyPair::from_pem(&text);
    key.inspect_err(|error| tracing::warn!(%error, file = %file.display(), "the key cannot be used; another one is made")).ok()
}

fn make(place: &Place) -> Result<Chosen, String> {
    let (key, file) = (KeyPair::generate().map_err(|e| e.to_string())?, place.next_key());
    write(&file, &key.serialize_pem(), 0o600).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(Chosen { key, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_or_made_anew_and_survives_a_failed_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place(dir.path().into());
        let first = choose(&place, true).unwrap().key.serialize_pem();
        assert_eq!(choose(&place, true).unwrap().key.serialize_pem(), first);
        std::fs::rename(place.next_key(), place.key()).unwrap();
        assert_eq!(choose(&place, true).unwrap().key.serialize_pem(), first);
        assert_ne!(choose(&place, false).unwrap().key.serialize_pem(), first);
    }

    #[test]
    fn the_next_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place(dir.path().into());
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
