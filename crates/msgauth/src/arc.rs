//! The ARC chain of a message.
//!
//! RFC 8617 s.5.2. Verified by mail-auth, with keys fetched beforehand. Invariant: a chain passes only if every seal, the newest
//! message signature and all of their keys do; ARC has no temporary error, so what DNS does not answer fails.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use mail::evidence::ArcResult;
use mail::{Field, Fields, Tags, without_blanks_before_colons};
use mail_auth::dkim::VerifySignature as _;
use mail_auth::{AuthenticatedMessage, MessageAuthenticator, Parameters};

use crate::dkim::{covers_blank, has_simple_header};
use crate::keys::Keys;

/// As many sets as a chain may have (RFC 8617 s.4.2.1).
const MAX_SETS: usize = 50;
/// The fields of a set.
const NAMES: [&str; 3] = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

/// The keys of a chain.
#[derive(Default)]
pub(crate) struct ChainKeys {
    names: Vec<String>,
    keys: Keys,
}

fn fields(content: &[u8]) -> Vec<Field<'_>> {
    Fields::new(content).filter(|field| NAMES.iter().any(|name| field.is(name))).collect()
}

/// Whether there is a chain, good or bad.
pub(crate) fn is_chained(header: &[u8]) -> bool {
    !fields(header).is_empty()
}

/// Fetches the keys of the chain in this header section; what is not there after `wait` fails it.
pub(crate) async fn keys(dns: &TokioResolver, header: &[u8], wait: Duration) -> ChainKeys {
    let fields = fields(header);
    if fields.is_empty() || !fields.iter().all(is_well_formed) {
        return ChainKeys::default();
    }
    let mended = without_blanks_before_colons(header);
    let Some(message) = AuthenticatedMessage::parse(&mended) else { return ChainKeys::default() };
    let (seals, signatures) = (message.arc_seals(), message.arc_message_signatures());
    if seals.len() != signatures.len() || seals.len() > MAX_SETS || message.has_arc_errors() {
        return ChainKeys::default();
    }
    let mut names: Vec<String> = seals.iter().map(|seal| seal.header.domain_key()).collect();
    // Of the message signatures only the newest is verified; they are in order by now.
    names.extend(signatures.last().map(|signature| signature.header.domain_key()));
    ChainKeys { keys: Keys::fetch(dns, names.clone(), wait).await, names }
}

/// Verifies the chain with these keys; DNS is not asked.
pub(crate) async fn verify(auth: &MessageAuthenticator, content: &[u8], keys: &ChainKeys) -> ArcResult {
    let fields = fields(content);
    if fields.is_empty() {
        return ArcResult::None;
    }
    if !fields.iter().all(is_well_formed) {
        return ArcResult::Fail;
    }
    // As for DKIM: what has a blank before its colon is the same field, under relaxed canonicalization.
    if fields.iter().any(|field| field.is(NAMES[1]) && has_simple_header(field.value) && covers_blank(content, field)) {
        return ArcResult::Fail;
    }
    let mended = without_blanks_before_colons(content);
    let Some(message) = AuthenticatedMessage::parse(&mended) else { return ArcResult::Fail };
    let output = auth.verify_arc(Parameters::new(&message).with_cache(&keys.keys)).await;
    match output.result() {
        mail_auth::ArcResult::Pass if keys.names.iter().all(|name| keys.keys.refusal(name).is_none()) => ArcResult::Pass,
        // There are fields of a chain, so one that is not there is broken.
        _ => ArcResult::Fail,
    }
}

/// What mail-auth lets pass: tags twice, missing or in the wrong case, SHA-1, a message signature that covers a seal.
fn is_well_formed(field: &Field<'_>) -> bool {
    let required: &[&str] = match () {
        () if field.is(NAMES[0]) => &["a", "b", "cv", "d", "i", "s"],
        () if field.is(NAMES[1]) => &["a", "b", "bh", "d", "h", "i", "s"],
        () => return true,
    };
    let Some(tags) = Tags::parse(field.value) else { return false };
    required.iter().all(|tag| tags.get(tag).is_some_and(|value| !value.is_empty()))
        && tags.packed("a").is_some_and(|a| ["rsa-sha256", "ed25519-sha256"].iter().any(|known| a.eq_ignore_ascii_case(known)))
        && !tags.lists("h", &[NAMES[0]])
}
