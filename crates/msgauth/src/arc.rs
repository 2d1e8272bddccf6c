//! The ARC chain of a message.
//!
//! RFC 8617 s.5.2. Verified by mail-auth, with keys fetched beforehand. Invariant: a chain passes only if every seal, the newest
//! message signature and all of their keys do; ARC has no temporary error, so what DNS does not answer fails.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use mail::evidence::ArcResult;
use mail_auth::dkim::VerifySignature as _;
use mail_auth::{AuthenticatedMessage, MessageAuthenticator, Parameters};

use crate::keys::Keys;

/// As many sets as a chain may have (RFC 8617 s.4.2.1).
const MAX_SETS: usize = 50;

/// Verifies the chain; keys that are not there after `wait` fail it.
pub(crate) async fn verify(auth: &MessageAuthenticator, dns: &TokioResolver, content: &[u8], wait: Duration) -> ArcResult {
    let Some(message) = AuthenticatedMessage::parse(content) else { return ArcResult::None };
    let is_arc = |name: &[u8]| name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"ARC-"));
    if !message.headers().iter().any(|(name, _)| is_arc(name)) {
        return ArcResult::None;
    }
    let (seals, signatures) = (message.arc_seals(), message.arc_message_signatures());
    let mut keys = Keys::default();
    let mut names: Vec<String> = Vec::new();
    if seals.len() == signatures.len() && seals.len() <= MAX_SETS && !message.has_arc_errors() {
        names.extend(seals.iter().map(|seal| seal.header.domain_key()));
        // Of the message signatures only the newest is verified; they are in order by now.
        names.extend(signatures.last().map(|signature| signature.header.domain_key()));
        keys = Keys::fetch(dns, names.clone(), wait).await;
    }
    let output = auth.verify_arc(Parameters::new(&message).with_cache(&keys)).await;
    match output.result() {
        mail_auth::ArcResult::Pass if names.iter().all(|name| keys.refusal(name).is_none()) => ArcResult::Pass,
        mail_auth::ArcResult::None => ArcResult::None,
        _ => ArcResult::Fail,
    }
}
