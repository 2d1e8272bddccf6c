//! The ARC chain of a message.
//!
//! RFC 8617 s.5.2. Our own, since mail-auth knows neither a message signature without `c=` nor one with an empty `h=`, and lets pass what the standard
//! does not. Invariant: a chain passes only if every seal, the newest message signature and all of their keys do; ARC has no temporary error, so what
//! DNS does not answer fails.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::TokioResolver;
use mail::evidence::ArcResult;
use mail::{Field, Fields, Tags, header_len};

use crate::canonical::{self, Form};
use crate::keys::Keys;

/// As many sets as a chain may have (RFC 8617 s.4.2.1).
const MAX_SETS: usize = 50;

const SEAL: &str = "ARC-Seal";
const SIGNATURE: &str = "ARC-Message-Signature";
const RESULTS: &str = "ARC-Authentication-Results";

/// The forms under which a message signature without `c=` may have been made: the default of RFC 6376 s.3.5, and what those write who leave it out.
const UNSAID: [(Form, Form); 2] = [(Form::Simple, Form::Simple), (Form::Relaxed, Form::Relaxed)];

/// One set of the chain.
#[derive(Default)]
struct Set<'a> {
    seal: Option<(Field<'a>, Tags)>,
    signature: Option<(Field<'a>, Tags)>,
    results: Option<Field<'a>>,
}

/// A complete set.
struct Link<'a> {
    seal: (Field<'a>, Tags),
    signature: (Field<'a>, Tags),
    results: Field<'a>,
}

/// Whether there is a chain, good or bad.
pub(crate) fn is_chained(header: &[u8]) -> bool {
    Fields::new(header).any(|field| [SEAL, SIGNATURE, RESULTS].iter().any(|name| field.is(name)))
}

/// Fetches the keys of the chain in this header section; what is not there after `wait` fails it.
pub(crate) async fn keys(dns: &TokioResolver, header: &[u8], wait: Duration) -> Keys {
    let chain = chain(header).unwrap_or_default();
    let newest = chain.last().map(|link| key_name(&link.signature.1));
    Keys::fetch(dns, chain.iter().map(|link| key_name(&link.seal.1)).chain(newest), wait).await
}

/// Verifies the chain with these keys; DNS is not asked.
pub(crate) fn verify(content: &[u8], keys: &Keys) -> ArcResult {
    if !is_chained(content) {
        return ArcResult::None;
    }
    // There are fields of a chain, so one that is not there is broken.
    let Some(chain) = chain(content) else { return ArcResult::Fail };
    let Some(newest) = chain.last() else { return ArcResult::Fail };
    let holds = holds(content, newest, keys)
        && (0..chain.len()).all(|n| is_sealed(chain.get(..=n).unwrap_or_default(), keys))
        && is_body_whole(content, &newest.signature.1);
    if holds { ArcResult::Pass } else { ArcResult::Fail }
}

/// The sets in their order, where there is one of each field for each number, and every seal says what it must of the chain before it.
fn chain(content: &[u8]) -> Option<Vec<Link<'_>>> {
    let mut sets: Vec<Set<'_>> = Vec::new();
    for field in Fields::new(content) {
        let (is_seal, is_signature, is_results) = (field.is(SEAL), field.is(SIGNATURE), field.is(RESULTS));
        if !is_seal && !is_signature && !is_results {
            continue;
        }
        let tags = if is_results { None } else { Some(Tags::parse(field.value)?) };
        let place = tags.as_ref().map_or_else(|| results_instance(field.value), |tags| instance(tags.get("i")?))?;
        if sets.len() < place {
            sets.resize_with(place, Set::default);
        }
        let set = sets.get_mut(place - 1)?;
        let is_second = match tags {
            Some(tags) if is_seal => is_seal_whole(&tags).then(|| set.seal.replace((field, tags)))?.is_some(),
            Some(tags) => is_signature_whole(&tags).then(|| set.signature.replace((field, tags)))?.is_some(),
            None => set.results.replace(field).is_some(),
        };
        if is_second {
            return None;
        }
    }
    let links = sets.into_iter().map(|set| Some(Link { seal: set.seal?, signature: set.signature?, results: set.results? }));
    let links: Vec<Link<'_>> = links.collect::<Option<_>>()?;
    let says = |(n, link): (usize, &Link<'_>)| {
        let wanted = if n == 0 { "none" } else { "pass" };
        link.seal.1.packed("cv").is_some_and(|cv| cv.eq_ignore_ascii_case(wanted))
    };
    links.iter().enumerate().all(says).then_some(links)
}

/// i=, from 1 to 50.
fn instance(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|n| (1..=MAX_SETS).contains(n))
}

/// i= of the results, which are no list of tags but for it.
fn results_instance(value: &[u8]) -> Option<usize> {
    let mut tags = value.split(|b| *b == b';').filter_map(|tag| std::str::from_utf8(tag).ok()?.split_once('='));
    tags.find(|(name, _)| name.trim() == "i").and_then(|(_, value)| instance(value))
}

fn has(tags: &Tags, names: &[&str]) -> bool {
    let is_known = |a: String| ["rsa-sha256", "ed25519-sha256"].iter().any(|known| a.eq_ignore_ascii_case(known));
    names.iter().all(|name| tags.get(name).is_some_and(|value| !value.is_empty())) && tags.packed("a").is_some_and(is_known)
}

/// A seal covers what it covers, and says nothing of that (RFC 8617 s.4.1.3).
fn is_seal_whole(tags: &Tags) -> bool {
    has(tags, &["a", "b", "cv", "d", "i", "s"]) && tags.get("h").is_none()
}

/// A message signature has `h=`, which may be empty, covers no seal, and all of the body.
fn is_signature_whole(tags: &Tags) -> bool {
    let number = |name| tags.get(name).map(str::parse::<u64>);
    has(tags, &["a", "b", "bh", "d", "i", "s"])
        && tags.get("h").is_some()
        && !tags.lists("h", &[SEAL])
        && tags.get("l").is_none()
        && forms(tags).is_some()
        && ![number("t"), number("x")].iter().flatten().any(Result::is_err)
}

/// The forms of header fields and body that `c=` names.
fn forms(tags: &Tags) -> Option<Vec<(Form, Form)>> {
    let Some(named) = tags.packed("c") else { return Some(UNSAID.to_vec()) };
    let form = |word: &str| match word.to_ascii_lowercase().as_str() {
        "relaxed" => Some(Form::Relaxed),
        "simple" => Some(Form::Simple),
        _ => None,
    };
    let (header, body) = named.split_once('/').unwrap_or((&named, "simple"));
    Some(vec![(form(header)?, form(body)?)])
}

fn key_name(tags: &Tags) -> String {
    format!("{}._domainkey.{}", tags.packed("s").unwrap_or_default(), tags.packed("d").unwrap_or_default())
}

fn decoded(tags: &Tags, name: &str) -> Option<Vec<u8>> {
    STANDARD.decode(tags.packed(name)?).ok()
}

/// Whether the body is the one that was signed, under any form that the signature may mean, and the signature has not expired.
#[allow(clippy::disallowed_methods)] // the time of day, as mail-auth takes it for DKIM's x=
fn is_body_whole(content: &[u8], tags: &Tags) -> bool {
    let number = |name| tags.get(name).and_then(|text| text.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let is_over = number("x").is_some_and(|expires| expires <= now || number("t").is_some_and(|made| expires <= made));
    let body = content.get(header_len(content)..).unwrap_or_default();
    let hashed = |(_, form): &(Form, Form)| {
        let mut context = Context::new(&SHA256);
        canonical::body(body, *form, |piece| context.update(piece));
        decoded(tags, "bh").is_some_and(|bh| bh == context.finish().as_ref())
    };
    !is_over && forms(tags).unwrap_or_default().iter().any(hashed)
}

/// Whether the message signature holds.
fn holds(content: &[u8], link: &Link<'_>, keys: &Keys) -> bool {
    let (field, tags) = &link.signature;
    let names: Vec<&str> = tags.get("h").unwrap_or_default().split(':').map(str::trim).filter(|name| !name.is_empty()).collect();
    let under = |(form, _): &(Form, Form)| {
        let mut data = Vec::new();
        canonical::signed_fields(&mut data, content, names.iter().copied(), *form);
        canonical::signature_field(&mut data, field, *form);
        is_signed(tags, &data, keys)
    };
    forms(tags).unwrap_or_default().iter().any(under)
}

/// Whether the seal of the last of these sets holds (RFC 8617 s.5.1.1: relaxed, all sets up to it in their order).
fn is_sealed(chain: &[Link<'_>], keys: &Keys) -> bool {
    let Some((newest, before)) = chain.split_last() else { return false };
    let mut data = Vec::new();
    for link in before {
        canonical::field(&mut data, &link.results, Form::Relaxed);
        canonical::field(&mut data, &link.signature.0, Form::Relaxed);
        canonical::field(&mut data, &link.seal.0, Form::Relaxed);
    }
    canonical::field(&mut data, &newest.results, Form::Relaxed);
    canonical::field(&mut data, &newest.signature.0, Form::Relaxed);
    canonical::signature_field(&mut data, &newest.seal.0, Form::Relaxed);
    is_signed(&newest.seal.1, &data, keys)
}

fn is_signed(tags: &Tags, data: &[u8], keys: &Keys) -> bool {
    let algorithm = tags.packed("a").unwrap_or_default().to_ascii_lowercase();
    decoded(tags, "b").is_some_and(|signature| keys.verifies(&key_name(tags), &algorithm, data, &signature))
}
