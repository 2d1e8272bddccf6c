//! Stage: authenticates a DSN about a message whose DKIM2 chain we continued, so that it can be passed back in the chain.
//!
//! draft-ietf-dkim-dkim2-spec-08 s.16. Invariant: the fields that go back are those that came to us, proven by the chain itself; a DSN that is not proven is
//! passed back as any other, without them.

use mail::evidence::ChainResult;
use mail::{Domain, Mailbox, ReversePath};
use msgauth::{Authenticator, ChainEnvelope, ReturnedMessage};
use policy::AcceptedRecipient;

use crate::accept::decide::Accepted;
use crate::accept::message_auth::Proof;
use crate::context::Snapshot;
use crate::support::dkim_signers::Signing;

/// A message that comes back, as it was when it came to us.
#[derive(Debug, Clone)]
pub(crate) struct ReturnedChain {
    /// Its signed fields and the chain up to the hop before ours, with the empty line.
    pub header: Vec<u8>,
    /// The domain of ours whose DSNs that hop accepts.
    pub signs_as: Domain,
}

/// Verifies the chain of a DSN to a return address and that of the message in it; `None` if the message was not ours in a chain.
pub(crate) async fn returned_chain(
    authenticator: &Authenticator,
    accepted: &Accepted<'_>,
    snapshot: &Snapshot,
    signing: &Signing,
) -> Option<ReturnedChain> {
    let received = &accepted.received;
    let [(_, AcceptedRecipient::Sender { sender, .. })] = received.recipients.as_slice() else { return None };
    let Proof::Evidence(evidence) = &accepted.proof else { return None };
    if received.reverse_path != ReversePath::Null || evidence.dkim2.result != ChainResult::Pass {
        return None;
    }
    let to = received.forward_paths();
    let Snapshot { settings, directory } = snapshot;
    let is_ours =
        |domain: &str| Domain::parse(domain).is_ok_and(|domain| domain == settings.forward.srs.domain || directory.hosts(&domain));
    match authenticator.returned_message(&accepted.whole.bytes, ChainEnvelope { from: "", to: &to }, is_ours).await {
        Ok(returned) => passed_back(returned, sender, |domain| signing.chain_signer(directory, domain).is_some()),
        Err(reason) => {
            tracing::info!(id = %received.id, reason, "passing a DSN back without its DKIM2 chain");
            None
        }
    }
}

/// The previous hop must be the one that the return address leads to, and accept DSNs of a domain of ours that can sign.
fn passed_back(returned: ReturnedMessage, sender: &Mailbox, can_sign: impl Fn(&Domain) -> bool) -> Option<ReturnedChain> {
    let ReturnedMessage { header, return_path, domains } = returned;
    let leads_to = Mailbox::parse(return_path.trim_start_matches('<').trim_end_matches('>')).ok()?;
    let signs_as = domains.iter().filter_map(|domain| Domain::parse(domain).ok()).find(can_sign)?;
    (leads_to.key() == sender.key()).then_some(ReturnedChain { header, signs_as })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_goes_back_only_to_the_hop_that_the_return_address_leads_to() {
        let returned = |return_path: &str| ReturnedMessage {
            header: b"From: x\r\n\r\n".to_vec(),
            return_path: return_path.into(),
            domains: vec!["mail.example.test".into(), "example.test".into()],
        };
        let her = Mailbox::parse("her@foreign.test").unwrap();
        let can_sign = |domain: &Domain| domain.as_str() == "example.test";
        assert_eq!(passed_back(returned("<her@foreign.test>"), &her, can_sign).unwrap().signs_as.as_str(), "example.test");
        assert!(passed_back(returned("<other@foreign.test>"), &her, can_sign).is_none());
        assert!(passed_back(returned("<her@foreign.test>"), &her, |_| false).is_none());
    }
}
