//! Verifies the DKIM2 chain of a message, envelope included.
//!
//! draft-ietf-dkim-dkim2-spec-08 s.13 and s.14, by mail-auth; this module bounds what it computes and looks up. Invariant: a chain beyond the limits is
//! never verified and never passes; keys come from [`Keys`], so verification does no IO.

use futures_util::FutureExt as _;
use mail::evidence::{ChainCheck, ChainHop, ChainResult, HopSent};
use mail::{Field, Fields, one_line_at_most};
use mail_auth::dkim2::{ChainBinding, Envelope, MessageInstance, Signature};
use mail_auth::{AuthenticatedMessage, Dkim2Output, Dkim2Result, Error, MessageAuthenticator, Parameters};

use crate::keys::Keys;

/// Maximum hops of a chain that are verified. The draft allows any number, mail-auth 50.
pub(crate) const HOPS_MAX: usize = 20;
/// Maximum keys that are looked up for one chain; a hop may name eight.
pub(crate) const KEYS_MAX: usize = 20;
/// Maximum body recipes that are applied: each makes and hashes the body once more, as each DKIM signature may.
pub(crate) const BODY_RECIPES_MAX: usize = 10;
/// Maximum characters of a reason.
const REASON_MAX_CHARS: usize = 200;

const SIGNATURE: &str = "DKIM2-Signature";
const INSTANCE: &str = "Message-Instance";

/// The envelope with which a message came or leaves.
#[derive(Debug, Clone, Copy)]
pub struct ChainEnvelope<'a> {
    /// The reverse-path without brackets; empty if null.
    pub from: &'a str,
    /// The forward-paths without brackets.
    pub to: &'a [String],
}

impl ChainEnvelope<'_> {
    fn of_mail_auth(&self) -> Envelope<String, Vec<String>> {
        Envelope::new(format!("<{}>", self.from), self.to.iter().map(|to| format!("<{to}>")).collect())
    }
}

/// Whether a field belongs to a chain.
pub fn is_chain_field(field: &Field<'_>) -> bool {
    field.is(SIGNATURE) || field.is(INSTANCE)
}

/// Whether there are fields of a chain.
pub(crate) fn is_chained(header: &[u8]) -> bool {
    Fields::new(header).any(|field| is_chain_field(&field))
}

/// The signatures and the number of body recipes, if the chain is within the limits.
fn bounded(header: &[u8]) -> Result<Vec<Signature>, &'static str> {
    let count = |name| Fields::new(header).filter(|field| field.is(name)).count();
    if count(SIGNATURE) > HOPS_MAX || count(INSTANCE) > HOPS_MAX {
        return Err("the chain has more than 20 hops");
    }
    // Malformed ones fail in mail-auth, with their own reason.
    let signatures: Vec<Signature> =
        Fields::new(header).filter(|field| field.is(SIGNATURE)).filter_map(|field| Signature::parse(field.value).ok()).collect();
    if signatures.iter().map(|signature| signature.s.len()).sum::<usize>() > KEYS_MAX {
        return Err("the chain names more than 20 keys");
    }
    let instances = Fields::new(header).filter(|field| field.is(INSTANCE)).filter_map(|field| MessageInstance::parse(field.value).ok());
    let changes_body = |instance: &MessageInstance| {
        instance.recipe.as_ref().is_some_and(|recipe| !matches!(recipe.body, mail_auth::dkim2::BodyRecipe::None))
    };
    if instances.filter(changes_body).count() > BODY_RECIPES_MAX {
        return Err("the body was changed by more than 10 hops");
    }
    Ok(signatures)
}

/// Whether the chain is within the limits.
pub(crate) fn is_bounded(content: &[u8]) -> bool {
    bounded(content).is_ok()
}

/// The record names of the keys of the chain; none if it is beyond the limits.
pub(crate) fn key_names(header: &[u8]) -> Vec<String> {
    let signatures = if is_chained(header) { bounded(header).unwrap_or_default() } else { Vec::new() };
    let names = |signature: &Signature| {
        let name = |selector: &str| format!("{selector}._domainkey.{}", signature.d);
        signature.s.iter().map(|value| name(&value.selector)).collect::<Vec<_>>()
    };
    signatures.iter().flat_map(names).collect()
}

/// The hops that the chain of a message claims, by number; none if it is beyond the limits.
pub fn chain_hops(header: &[u8]) -> Vec<ChainHop> {
    hops(bounded(header).unwrap_or_default())
}

/// Verifies the chain with these keys.
pub(crate) fn verify(auth: &MessageAuthenticator, content: &[u8], envelope: ChainEnvelope<'_>, keys: &Keys) -> ChainCheck {
    if !is_chained(content) {
        return ChainCheck::default();
    }
    let signatures = match bounded(content) {
        Ok(signatures) => signatures,
        Err(beyond) => return ChainCheck { result: ChainResult::PermError, reason: Some(beyond.into()), ..ChainCheck::default() },
    };
    let parts = Parts::of(content);
    let Some(message) = parts.parsed() else { return unreadable() };
    let output = output(auth, &message, envelope, keys);
    let (result, failed_hop, reason) = converted(output.as_ref().map(Dkim2Output::result), &signatures);
    ChainCheck { result, hops: hops(signatures), failed_hop, reason }
}

/// A message in two parts, as mail-auth is to read it: it would hash the body for each DKIM-Signature, so these fields, which a chain does not cover, are left
/// out.
pub(crate) struct Parts<'a> {
    /// The other fields; empty if the header section is not a plain list of fields.
    fields: Vec<u8>,
    /// The empty line and the body, or all of a message whose header section is not plain.
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    pub fn of(content: &'a [u8]) -> Self {
        let fields_len = Fields::new(content).map(|field| field.raw.len()).sum::<usize>();
        let rest = content.get(fields_len..).unwrap_or_default();
        if !rest.starts_with(b"\r\n") {
            return Self { fields: Vec::new(), rest: content };
        }
        let kept = Fields::new(content).filter(|field| !field.is("DKIM-Signature"));
        Self { fields: kept.flat_map(|field| field.raw.iter().copied()).collect(), rest }
    }

    /// The message for mail-auth. Its `raw_message` is not the whole.
    pub fn parsed(&self) -> Option<AuthenticatedMessage<'_>> {
        AuthenticatedMessage::parse_with_opts(self.rest, Some(&self.fields), true)
    }
}

fn unreadable() -> ChainCheck {
    ChainCheck { result: ChainResult::PermError, reason: Some("the message has no readable field".into()), ..ChainCheck::default() }
}

/// The result of mail-auth; `None` if it would have waited for something, which it has no reason to.
pub(crate) fn output<'x>(
    auth: &MessageAuthenticator,
    message: &'x AuthenticatedMessage<'x>,
    envelope: ChainEnvelope<'_>,
    keys: &'x Keys,
) -> Option<Dkim2Output<'x>> {
    auth.verify_dkim2(Parameters::new(message).with_cache(keys), envelope.of_mail_auth()).now_or_never()
}

/// The result, the hop that it is about, and the reason.
fn converted(result: Option<&Dkim2Result>, signatures: &[Signature]) -> (ChainResult, Option<u32>, Option<String>) {
    let (result, error) = match result {
        Some(Dkim2Result::Pass) => return (ChainResult::Pass, None, None),
        Some(Dkim2Result::None) => return (ChainResult::None, None, None),
        Some(Dkim2Result::Fail(error)) => (ChainResult::Fail, error),
        Some(Dkim2Result::PermError(error)) => (ChainResult::PermError, error),
        Some(Dkim2Result::TempError(error)) => (ChainResult::TempError, error),
        None => return (ChainResult::TempError, None, Some("the keys were not at hand".into())),
    };
    // The texts are those of the draft (s.14); they name the hop or the revision.
    let text = match error {
        Error::Dkim2(error) => error.to_string(),
        other => other.to_string(),
    };
    let hop = number_after(&text, " i=").or_else(|| {
        let revision = number_after(&text, " m=")?;
        signatures.iter().filter(|signature| signature.m >= revision).map(|signature| signature.i).min()
    });
    (result, hop.filter(|hop| *hop > 0), Some(one_line_at_most(&text, REASON_MAX_CHARS)))
}

fn number_after(text: &str, tag: &str) -> Option<u32> {
    let (_, rest) = text.split_once(tag)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The hops as the signatures name them, by number.
fn hops(mut signatures: Vec<Signature>) -> Vec<ChainHop> {
    signatures.sort_by_key(|signature| signature.i);
    let hop = |signature: Signature| ChainHop {
        number: signature.i,
        domain: signature.d,
        revision: signature.m,
        sent: match signature.chain {
            ChainBinding::Envelope { mail_from, rcpt_to } => HopSent::Envelope { from: mail_from, to: rcpt_to },
            ChainBinding::NextDomain(domain) => HopSent::Domain(domain),
        },
    };
    signatures.into_iter().map(hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(i: usize, keys: usize) -> String {
        let values: Vec<String> = (0..keys).map(|n| format!("s{i}x{n}:ed25519-sha256:YQ==")).collect();
        format!("DKIM2-Signature: i={i}; m=1; t=1; d=a.test; mf=PD4=; rt=PGFAYi50ZXN0Pg==; s={};\r\n", values.join("|"))
    }

    #[test]
    fn chains_beyond_the_limits_are_not_verified() {
        let chain = |hops: usize, keys: usize| (1..=hops).map(|i| signature(i, keys)).collect::<String>();
        assert_eq!(bounded(chain(20, 1).as_bytes()).unwrap().len(), 20);
        assert!(bounded(chain(21, 1).as_bytes()).unwrap_err().contains("20 hops"));
        assert!(bounded(chain(3, 7).as_bytes()).unwrap_err().contains("20 keys"));
        // {"b":[{"c":[1,1]}]}
        let instance = |m: usize| format!("Message-Instance: m={m}; h=sha256:YQ==:YQ==; r=eyJiIjpbeyJjIjpbMSwxXX1dfQ==;\r\n");
        let changes = |count: usize| (1..=count).map(instance).collect::<String>() + &signature(1, 1);
        assert!(bounded(changes(10).as_bytes()).is_ok());
        assert!(bounded(changes(11).as_bytes()).unwrap_err().contains("10 hops"));
    }

    #[test]
    fn the_hop_at_fault_is_named() {
        let signatures: Vec<Signature> = [(1, 1), (2, 2)]
            .into_iter()
            .map(|(i, m)| {
                Signature::parse(signature(i, 1).replace("m=1", &format!("m={m}")).split_once(':').unwrap().1.as_bytes()).unwrap()
            })
            .collect();
        let error = |error| Dkim2Result::Fail(Error::Dkim2(error));
        let hop = |result: Dkim2Result| converted(Some(&result), &signatures).1;
        assert_eq!(hop(error(mail_auth::dkim2::Dkim2Error::FromNotAuthentic(2))), Some(2));
        assert_eq!(hop(error(mail_auth::dkim2::Dkim2Error::NullBodyRecipe(2))), Some(2));
        assert_eq!(hop(error(mail_auth::dkim2::Dkim2Error::ChainTooLong)), None);
    }

    #[test]
    fn the_parts_are_the_message_without_its_dkim_signatures() {
        let plain = b"A: 1\r\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=s; h=from; bh=YQ==; b=YQ==\r\nFrom: a@a.test\r\n\r\nbody\r\n";
        let parts = Parts::of(plain);
        let message = parts.parsed().unwrap();
        assert_eq!((parts.fields.as_slice(), message.raw_body()), (b"A: 1\r\nFrom: a@a.test\r\n".as_slice(), b"body\r\n".as_slice()));
        assert!(message.dkim_signatures().is_empty() && message.first_from_address() == "a@a.test");
        for odd in [b"A: 1\r\nno field\r\n\r\nbody".as_slice(), b"A: 1\r\n", b"A: 1\n\nbody"] {
            let parts = Parts::of(odd);
            let (message, whole) = (parts.parsed().unwrap(), AuthenticatedMessage::parse(odd).unwrap());
            assert_eq!((message.headers(), message.raw_body()), (whole.headers(), whole.raw_body()), "{:?}", String::from_utf8_lossy(odd));
        }
        let empty = b"A: 1\r\n\r\n";
        assert_eq!(Parts::of(empty).parsed().unwrap().raw_body(), b"");
    }
}
