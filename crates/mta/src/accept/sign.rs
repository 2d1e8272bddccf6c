//! Stage: signatures, ours on top and those that came checked once more on the bytes that leave.
//!
//! RFC 6376 s.5 and s.6. Invariant: a signature that verified when the message came verifies when it leaves, or the message does not leave.

use bytes::{Bytes, BytesMut};
use directory::Directory;
use mail::evidence::{DkimCheck, DkimResult};
use mail::{Domain, Reply};
use msgauth::DkimKeys;
use store::{Flow, NewMessage};

use crate::accept::message_auth::Proof;
use crate::accept::prepare::Prepared;
use crate::queue::dispatch::World;
use crate::settings::Settings;
use crate::support::dkim_signers::Signing;
use crate::support::panic_edge::count_broken_signature;

/// Signs each message, and checks with the signers' keys that nothing was broken; without keys nothing had passed.
pub(crate) async fn seal<'a>(
    world: &World,
    directory: &Directory,
    author: Option<&Domain>,
    keys: Option<&DkimKeys>,
    mut prepared: Prepared<'a>,
) -> Result<Prepared<'a>, Reply> {
    if let (Proof::Evidence(evidence), Some(first), Some(keys)) = (&prepared.proof, prepared.messages.first(), keys)
        && !prepared.is_ours
        && let Some(broken) = broken(world, &evidence.dkim, keys, first, &prepared.whole.bytes).await
    {
        count_broken_signature();
        tracing::error!(id = %first.message.id, domain = broken, "a signature that verified does not verify on what would be sent: this is a bug, please report it");
        return Err(Reply::new(451, (4, 3, 0), "an internal error; try again later"));
    }
    sign(&world.signing, &world.settings.load_full(), directory, author, &mut prepared).await;
    Ok(prepared)
}

/// Puts our signatures on top.
pub(crate) async fn sign(
    signing: &Signing,
    settings: &Settings,
    directory: &Directory,
    author: Option<&Domain>,
    prepared: &mut Prepared<'_>,
) {
    for new in &mut prepared.messages {
        let Some(domain) = signed_as(new.message.flow, (&prepared.proof, prepared.is_ours), author, &settings.forward.srs.domain) else {
            continue;
        };
        let mut prefix = signing.sign(directory, domain, &new.message.prefix, &prepared.whole.bytes).await;
        prefix.extend_from_slice(&new.message.prefix);
        new.message.prefix = prefix.into();
    }
}

/// Whose name stands under a message: that of its author's domain only where the author gave a password.
fn signed_as<'a>(flow: Flow, (proof, is_ours): (&Proof, bool), author: Option<&'a Domain>, forwarding: &'a Domain) -> Option<&'a Domain> {
    match (flow, proof) {
        (Flow::Own | Flow::Forward, Proof::Login(_)) => author,
        (Flow::Forward, Proof::Evidence(_)) => Some(forwarding),
        (Flow::Report | Flow::TlsReport | Flow::DmarcReport, _) if is_ours => Some(forwarding),
        // A stranger's report about a message of a stranger's is nothing to vouch for.
        (Flow::Own | Flow::Report | Flow::TlsReport | Flow::DmarcReport, _) => None,
    }
}

/// The domain of a signature that verified before and does not any more. The copies of a message differ in the values of unsigned fields only, so
/// one of them stands for all.
async fn broken(world: &World, before: &[DkimCheck], keys: &DkimKeys, new: &NewMessage, whole: &Bytes) -> Option<String> {
    let passed: Vec<&DkimCheck> = before.iter().filter(|check| check.result == DkimResult::Pass).collect();
    if passed.is_empty() {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(new.message.prefix.len() + whole.len());
    bytes.extend_from_slice(&new.message.prefix);
    bytes.extend_from_slice(whole);
    let after = world.resolver.authenticator().verify_dkim_with(&bytes, keys).await;
    let same =
        |a: &DkimCheck, b: &DkimCheck| (&a.domain, &a.selector, &a.signature_prefix) == (&b.domain, &b.selector, &b.signature_prefix);
    // A key whose record cannot be had at this moment says nothing about the bytes.
    let holds = |check: &&DkimCheck| after.iter().any(|a| same(a, check) && matches!(a.result, DkimResult::Pass | DkimResult::TempError));
    passed.into_iter().find(|check| !holds(check)).map(|check| check.domain.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosted_domain_signs_for_a_password_only() {
        let (author, forwarding) = (Domain::parse("example.test").unwrap(), Domain::parse("fwd.example.test").unwrap());
        let of = |flow, proof: &Proof| signed_as(flow, (proof, false), Some(&author), &forwarding).map(Domain::as_str);
        let (login, stranger) = (Proof::Login("me@example.test".into()), Proof::Evidence(Box::default()));
        assert_eq!(of(Flow::Own, &login), Some("example.test"));
        assert_eq!(of(Flow::Forward, &login), Some("example.test"));
        assert_eq!(of(Flow::Forward, &stranger), Some("fwd.example.test"));
        assert_eq!(of(Flow::Report, &stranger), None);
    }
}
