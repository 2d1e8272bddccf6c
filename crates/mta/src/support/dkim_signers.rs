//! Signs with DKIM and DKIM2, and seals with ARC, off the runtime's threads and with at most one signature per processor at a time; caches the parsed keys.
//!
//! RFC 6376 s.5, RFC 8617 s.5.1, draft-ietf-dkim-dkim2-spec-08 s.12. Invariant: own mail is signed for the domain of its From field, forwards and reports for the forwarding domain, never
//! the other way round; a message that cannot be signed is sent unsigned.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use directory::{Directory, SigningKey};
use mail::evidence::ArcResult;
use mail::{Domain, Fields, Mailbox, ReversePath};
use msgauth::{Algorithm, ArcSealer, ChainEnvelope, ChainSigner, HopSigners, Signer};
use parking_lot::Mutex;
use store::Message;
use tokio::sync::Semaphore;

/// Signs, and caches the parsed keys.
#[derive(Debug)]
pub(crate) struct Signing {
    /// By record name and public key.
    parsed: Mutex<HashMap<(String, String), Arc<Signer>>>,
    /// Those for DKIM2, likewise.
    chain: Mutex<HashMap<(String, String), Arc<ChainSigner>>>,
    /// Those for ARC, likewise.
    sealers: Mutex<HashMap<(String, String), Arc<ArcSealer>>>,
    permits: Semaphore,
}

/// The envelope of a message that leaves, without brackets.
#[derive(Debug, Clone)]
pub(crate) struct OwnedEnvelope {
    /// The reverse-path; empty if null.
    pub from: String,
    /// The forward-paths.
    pub to: Vec<String>,
}

impl OwnedEnvelope {
    /// Borrows it.
    pub fn borrowed(&self) -> ChainEnvelope<'_> {
        ChainEnvelope { from: &self.from, to: &self.to }
    }
}

/// The signers of a hop of ours.
#[derive(Debug, Clone)]
pub(crate) struct OwnedSigners {
    /// The domain that the message came to, if it has to name the next one.
    pub bridge: Option<Arc<ChainSigner>>,
    /// The domain of the reverse-path.
    pub last: Arc<ChainSigner>,
}

impl OwnedSigners {
    /// Borrows them.
    pub fn borrowed(&self) -> HopSigners<'_> {
        HopSigners { bridge: self.bridge.as_deref(), last: &self.last }
    }
}

/// Whether a reverse-path follows from mail to this domain by name alone (draft-ietf-dkim-dkim2-spec-08 s.7.1): it is in the domain or below it.
fn is_under(path: &ReversePath, domain: &Domain) -> bool {
    let Some(mailbox) = path.mailbox() else { return false };
    let below = mailbox.domain.as_str().strip_suffix(domain.as_str());
    below.is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

impl Default for Signing {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { parsed: Mutex::default(), chain: Mutex::default(), sealers: Mutex::default(), permits: Semaphore::new(processors) }
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

    /// Runs a computation of signatures on a thread for blocking work; `None` if it panicked.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _permit = self.permits.acquire().await;
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// The signer of a domain's hops in DKIM2 chains; `None` if the domain has no key. One key signs: every verifier supports both algorithms, and Ed25519
    /// costs less.
    pub fn chain_signer(&self, directory: &Directory, domain: &Domain) -> Option<Arc<ChainSigner>> {
        let of = |key: &SigningKey| Algorithm::of_key_type(&key.key_type);
        let keys = || directory.signing_keys(domain).filter(|key| of(key).is_some());
        let key = keys().find(|key| of(key) == Some(Algorithm::Ed25519)).or_else(|| keys().next())?;
        let name = (key.record_name(), key.public.clone());
        let mut parsed = self.chain.lock();
        if let Some(signer) = parsed.get(&name) {
            return Some(signer.clone());
        }
        // An unusable key is reported where DKIM uses it.
        let signer = Arc::new(ChainSigner::new(of(key)?, &key.private, key.domain.as_str(), &key.selector).ok()?);
        parsed.retain(|(record, _), _| *record != name.0);
        parsed.insert(name, signer.clone());
        Some(signer)
    }

    /// Returns the fields of an ARC set of this domain, with CRLF; none if it has no RSA key, or the chain must not be sealed. The results are those in the
    /// message's prefix.
    pub async fn seal(&self, directory: &Directory, domain: &Domain, message: &Message, content: &Bytes, arrived: ArcResult) -> Vec<u8> {
        let (prefix, now_s) = (&message.prefix, message.arrived_ms / 1000);
        let keys = directory.signing_keys(domain).find(|key| Algorithm::of_key_type(&key.key_type) == Some(Algorithm::Rsa));
        let results = Fields::find_first(prefix, "Authentication-Results").map(|field| String::from_utf8_lossy(field.value).into_owned());
        let (Some(key), Some(results)) = (keys, results) else { return Vec::new() };
        let Some(sealer) = self.sealer(key) else { return Vec::new() };
        let octets = [prefix.as_ref(), content.as_ref()].concat();
        let sealed = self.compute(move || sealer.seal(&octets, &results, arrived, now_s)).await;
        match sealed {
            Some(Ok(fields)) => fields.unwrap_or_default().into_bytes(),
            Some(Err(error)) => {
                tracing::error!(%domain, %error, "cannot add an ARC set; sending the message without one");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn sealer(&self, key: &SigningKey) -> Option<Arc<ArcSealer>> {
        let name = (key.record_name(), key.public.clone());
        let mut parsed = self.sealers.lock();
        if let Some(sealer) = parsed.get(&name) {
            return Some(sealer.clone());
        }
        let sealer = Arc::new(ArcSealer::new(&key.private, key.domain.as_str(), &key.selector).ok()?);
        parsed.retain(|(record, _), _| *record != name.0);
        parsed.insert(name, sealer.clone());
        Some(sealer)
    }

    /// Returns the DKIM2 fields of the first hop of a new message, with CRLF; none if the domain has no key, or the signature would not be valid.
    pub async fn originate(
        &self,
        directory: &Directory,
        domain: &Domain,
        prefix: &[u8],
        content: &Bytes,
        envelope: OwnedEnvelope,
    ) -> Vec<u8> {
        let Some(signer) = self.chain_signer(directory, domain) else { return Vec::new() };
        let octets = [prefix, content.as_ref()].concat();
        let signed = self.compute(move || signer.originate(&octets, envelope.borrowed())).await;
        match signed {
            Some(Ok(fields)) => fields,
            Some(Err(error)) => {
                tracing::info!(%domain, %error, "not signing with DKIM2: the signature would not be valid");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The signers of a hop of ours from an alias to a target: one, or two if custody does not lead from the alias to the reverse-path by name alone.
    /// `None` if a domain has no key.
    pub fn hop_signers(
        &self,
        directory: &Directory,
        forwarding: &Domain,
        alias: &Mailbox,
        leaves_as: &ReversePath,
    ) -> Option<OwnedSigners> {
        let last = self.chain_signer(directory, forwarding)?;
        let bridge = if is_under(leaves_as, &alias.domain) { None } else { Some(self.chain_signer(directory, &alias.domain)?) };
        Some(OwnedSigners { bridge, last })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custody_leads_down_the_domain_name_only() {
        let path = |text: &str| ReversePath::Mailbox(Mailbox::parse(text).unwrap());
        let domain = |text: &str| Domain::parse(text).unwrap();
        assert!(is_under(&path("a@fwd.example.test"), &domain("example.test")));
        assert!(is_under(&path("a@example.test"), &domain("example.test")));
        assert!(!is_under(&path("a@notexample.test"), &domain("example.test")));
        assert!(!is_under(&path("a@example.test"), &domain("fwd.example.test")));
        assert!(!is_under(&ReversePath::Null, &domain("example.test")));
    }
}
