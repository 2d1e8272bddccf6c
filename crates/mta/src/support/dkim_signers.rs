//! Signs with DKIM, off the runtime's threads and with at most one signature per processor at a time; caches the parsed keys.
//!
//! RFC 6376 s.5. Invariant: own mail is signed for the domain of its From field, forwards and reports for the forwarding domain, never
//! the other way round; a message that cannot be signed is sent unsigned.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use directory::Directory;
use mail::Domain;
use msgauth::{Algorithm, Signer};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Signs, and caches the parsed keys.
#[derive(Debug)]
pub(crate) struct Signing {
    /// By record name and public key.
    parsed: Mutex<HashMap<(String, String), Arc<Signer>>>,
    permits: Semaphore,
}

impl Default for Signing {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { parsed: Mutex::default(), permits: Semaphore::new(processors) }
    }
}

impl Signing {
    /// Signs a message for a domain. Returns whole DKIM-Signature fields, none if the domain has no key.
    pub async fn sign(&self, directory: &Directory, domain: &Domain, prefix: &[u8], content: &Bytes) -> Vec<u8> {
        let signers = self.signers(directory, domain);
        if signers.is_empty() {
            return Vec::new();
        }
        let (prefix, content) = (prefix.to_vec(), content.clone());
        // An error would mean a closed semaphore; it is never closed.
        let _permit = self.permits.acquire().await;
        let signed = tokio::task::spawn_blocking(move || {
            let mut fields = Vec::new();
            for signer in signers {
                match signer.sign(&[&prefix, &content]) {
                    Ok(field) => fields.extend_from_slice(field.as_bytes()),
                    Err(error) => tracing::error!(%error, "cannot sign with DKIM; sending the message unsigned"),
                }
            }
            fields
        });
        signed.await.unwrap_or_default()
    }

    fn signers(&self, directory: &Directory, domain: &Domain) -> Vec<Arc<Signer>> {
        let mut parsed = self.parsed.lock();
        let mut signers = Vec::new();
        for key in directory.signing_keys(domain) {
            let name = (key.record_name(), key.public.clone());
            if let Some(signer) = parsed.get(&name) {
                signers.push(signer.clone());
                continue;
            }
            let Some(algorithm) = Algorithm::of_key_type(&key.key_type) else { continue };
            match Signer::new(algorithm, &key.private, key.domain.as_str(), &key.selector) {
                Ok(signer) => {
                    let signer = Arc::new(signer);
                    parsed.retain(|(record, _), _| *record != name.0);
                    parsed.insert(name, signer.clone());
                    signers.push(signer);
                }
                Err(error) => {
                    tracing::error!(key = key.record_name(), %error, "a DKIM key is unusable; `waypost key rotate` makes a new one")
                }
            }
        }
        signers
    }
}
