//! Stage: adds our signatures, and verifies those of others again on the outgoing octets.
//!
//! RFC 6376 s.5 and s.6, draft-ietf-dkim-dkim2-spec-08 s.12. Invariant: a signature that verified on arrival verifies on departure, or the message is not sent.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use events::{Event, EventKind, Fact};
use mail::evidence::{ChainCheck, ChainResult, DkimCheck, DkimResult};
use mail::{Domain, QueueId, Reply, ReversePath, one_line_at_most};
use msgauth::{Authenticator, DkimKeys};
use store::{Flow, NewMessage};

use crate::accept::chain::{self, VerifiedChain};
use crate::accept::decide::{Accepted, from_addresses};
use crate::accept::disclosed::Disclosed;
use crate::accept::message_auth::{Authenticated, Proof};
use crate::accept::prepare::Prepared;
use crate::context::{Shared, Snapshot};
use crate::support::dkim_signers::{OwnedEnvelope, Signing};
use crate::support::panic_edge::count_broken_signature;

/// Maximum characters of a domain that a message names.
const NAME_MAX_CHARS: usize = 255;

/// The means to verify the signatures of others again.
pub(crate) struct Recheck<'a> {
    pub authenticator: &'a Authenticator,
    pub keys: Arc<DkimKeys>,
    /// The DKIM2 chain, if it verified.
    pub chain: Option<VerifiedChain>,
}

/// A signature that verified on arrival and would not verify on departure: a bug.
#[derive(Debug)]
pub(crate) struct BrokenSignature {
    id: QueueId,
    reverse_path: ReversePath,
    domain: String,
}

impl BrokenSignature {
    /// The reply to the client.
    pub fn reply() -> Reply {
        Reply::new(451, (4, 3, 0), "an internal error; try again later")
    }

    /// Counts and records it; returns the reply to the client.
    pub fn reported(self, shared: &Shared) -> Reply {
        let Self { id, reverse_path, domain } = self;
        let kind = EventKind::SignatureBroken;
        count_broken_signature();
        tracing::error!(%id, domain, "{}: this is a bug, please report it", kind.words());
        shared.events.record_with(|| {
            let event = Event::new(kind, shared.clock.now_ms()).of_message(id).from(reverse_path.to_bare());
            event.fact(Fact::Domain, one_line_at_most(&domain, NAME_MAX_CHARS))
        });
        Self::reply()
    }
}

/// Fetches the keys with which [`sign_and_recheck`] verifies the signatures again; `None` if no signature passed.
pub(crate) async fn recheck<'a>(authenticator: &'a Authenticator, authenticated: &Authenticated) -> Option<Recheck<'a>> {
    let Proof::Evidence(evidence) = &authenticated.proof else { return None };
    let has_chain = evidence.dkim2.result == ChainResult::Pass;
    if !has_chain && !evidence.dkim.iter().any(|check| check.result == DkimResult::Pass) {
        return None;
    }
    let Authenticated { received, header, .. } = authenticated;
    let keys = Arc::new(authenticator.signers_keys(header).await);
    let chain = has_chain.then(|| VerifiedChain {
        authenticator: authenticator.clone(),
        keys: keys.clone(),
        envelope: OwnedEnvelope { from: received.reverse_path.to_bare(), to: received.forward_paths() },
    });
    Some(Recheck { authenticator, keys, chain })
}

/// Returns the From field's domain; for submitted mail, `judge` has checked that it is the account's.
pub(crate) fn author(accepted: &Accepted<'_>) -> Option<Domain> {
    from_addresses(&accepted.whole.bytes).ok()?.into_iter().next().map(|from| from.domain)
}

/// Signs each message, and verifies that no signature was broken; `recheck` is `None` if no signature had passed.
pub(crate) async fn sign_and_recheck<'a>(
    signing: &Signing,
    snapshot: &Snapshot,
    author: Option<&Domain>,
    recheck: Option<&Recheck<'_>>,
    mut prepared: Prepared<'a>,
) -> Result<Prepared<'a>, BrokenSignature> {
    if let (Proof::Evidence(evidence), Some(first), Some(recheck)) = (&prepared.proof, prepared.messages.first(), recheck)
        && !prepared.is_ours
        && let Some(domain) = broken(recheck, &evidence.dkim, first, &prepared.whole.bytes).await
    {
        return Err(BrokenSignature { id: first.message.id, reverse_path: first.message.reverse_path.clone(), domain });
    }
    if let (Some(chain), Some(first)) = (recheck.and_then(|recheck| recheck.chain.as_ref()), prepared.messages.first()) {
        let (id, reverse_path) = (first.message.id, first.message.reverse_path.clone());
        let broken = |check: Box<ChainCheck>| {
            let domain = check.originator().unwrap_or_default().to_owned();
            BrokenSignature { id, reverse_path, domain }
        };
        chain::extend(signing, snapshot, chain, &mut prepared).await.map_err(broken)?;
    }
    sign(signing, snapshot, author, &mut prepared).await;
    Ok(prepared)
}

/// Adds our signatures on top.
async fn sign(signing: &Signing, snapshot: &Snapshot, author: Option<&Domain>, prepared: &mut Prepared<'_>) {
    let Snapshot { settings, directory } = snapshot;
    let disclosed = Disclosed::of(&prepared.whole.bytes);
    for new in &mut prepared.messages {
        let Some(domain) = signed_as(new.message.flow, &prepared.proof, prepared.is_ours, author, &settings.forward.srs.domain) else {
            continue;
        };
        let mut prefix = signing.sign(directory, domain, &new.message.prefix, &prepared.whole.bytes).await;
        prefix.extend_from_slice(&new.message.prefix);
        new.message.prefix = prefix.into();
        if let (Proof::Evidence(evidence), Flow::Forward, true) =
            (&prepared.proof, new.message.flow, settings.forward.seal_arc && !prepared.is_ours)
        {
            let mut set = signing.seal(directory, domain, &new.message, &prepared.whole.bytes, evidence.arc).await;
            set.extend_from_slice(&new.message.prefix);
            new.message.prefix = set.into();
        }
        if let Some(domain) = &prepared.dsn_domain {
            chain::originate(signing, snapshot, domain, new, &prepared.whole.bytes).await;
        } else if settings.sign_dkim2 && prepared.proof.is_submitted() && disclosed.may_share(&new.recipients) {
            chain::originate(signing, snapshot, domain, new, &prepared.whole.bytes).await;
        }
    }
}

/// The signing domain of a message: the author's domain only if the author has logged in.
fn signed_as<'a>(flow: Flow, proof: &Proof, is_ours: bool, author: Option<&'a Domain>, forwarding: &'a Domain) -> Option<&'a Domain> {
    match (flow, proof) {
        (Flow::Own | Flow::Forward, Proof::Login(_) | Proof::Local(_)) => author,
        (Flow::Forward, Proof::Evidence(_)) => Some(forwarding),
        (Flow::Report | Flow::TlsReport | Flow::DmarcReport, _) if is_ours => Some(forwarding),
        // We do not vouch for another server's DSN.
        (Flow::Own | Flow::Report | Flow::TlsReport | Flow::DmarcReport, _) => None,
    }
}

/// Returns the domain of a signature that passed on arrival and fails now. The copies of a message differ in unsigned fields only, so
/// checking one is enough.
async fn broken(recheck: &Recheck<'_>, before: &[DkimCheck], new: &NewMessage, whole: &Bytes) -> Option<String> {
    let passed: Vec<&DkimCheck> = before.iter().filter(|check| check.result == DkimResult::Pass).collect();
    if passed.is_empty() {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(new.message.prefix.len() + whole.len());
    bytes.extend_from_slice(&new.message.prefix);
    bytes.extend_from_slice(whole);
    let after = recheck.authenticator.verify_dkim_with(&bytes, &recheck.keys).await;
    let same =
        |a: &DkimCheck, b: &DkimCheck| (&a.domain, &a.selector, &a.signature_prefix) == (&b.domain, &b.selector, &b.signature_prefix);
    // A key record that is temporarily unavailable says nothing about the octets.
    let holds = |check: &&DkimCheck| after.iter().any(|a| same(a, check) && matches!(a.result, DkimResult::Pass | DkimResult::TempError));
    passed.into_iter().find(|check| !holds(check)).map(|check| check.domain.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_domain_signs_only_after_a_login() {
        let (author, forwarding) = (Domain::parse("example.test").unwrap(), Domain::parse("fwd.example.test").unwrap());
        let of = |flow, proof: &Proof| signed_as(flow, proof, false, Some(&author), &forwarding).map(Domain::as_str);
        let (login, stranger) = (Proof::Login("me@example.test".into()), Proof::Evidence(Box::default()));
        assert_eq!(of(Flow::Own, &login), Some("example.test"));
        assert_eq!(of(Flow::Forward, &login), Some("example.test"));
        assert_eq!(of(Flow::Forward, &stranger), Some("fwd.example.test"));
        assert_eq!(of(Flow::Report, &stranger), None);
    }
}
