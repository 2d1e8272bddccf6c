//! Verifies the ARC chain of a message.
//!
//! RFC 8617 s.5.2. Not by mail-auth, which supports neither a message signature without `c=` nor one with an empty `h=`, and accepts chains that
//! the standard does not. Invariant: a chain passes only if every seal and the newest message signature verify; ARC has no temporary error, so without an
//! answer from DNS the chain fails.

use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::evidence::ArcResult;
use mail::{Field, Fields, Tags, header_len};

use crate::canonical::{self, Form};
use crate::keys::Keys;

/// Maximum sets of a chain (RFC 8617 s.4.2.1).
pub(crate) const SETS_MAX: usize = 50;

const SEAL: &str = "ARC-Seal";
const SIGNATURE: &str = "ARC-Message-Signature";
const RESULTS: &str = "ARC-Authentication-Results";

/// Canonicalizations to try without `c=`: the default of RFC 6376 s.3.5, and the one that signers use who leave it out.
const DEFAULT_FORMS: [(Form, Form); 2] = [(Form::Simple, Form::Simple), (Form::Relaxed, Form::Relaxed)];

/// One set of the chain, perhaps incomplete.
#[derive(Default)]
struct PartialSet<'a> {
    seal: Option<(Field<'a>, Tags)>,
    signature: Option<(Field<'a>, Tags)>,
    results: Option<Field<'a>>,
}

/// A complete set.
struct ArcSet<'a> {
    seal: (Field<'a>, Tags),
    signature: (Field<'a>, Tags),
    results: Field<'a>,
}

/// Whether a field belongs to an ARC set.
pub fn is_arc_field(field: &Field<'_>) -> bool {
    [SEAL, SIGNATURE, RESULTS].iter().any(|name| field.is(name))
}

/// What the topmost seal in these fields says of the chain below it; `None` without a seal.
pub fn sealed_result(header: &[u8]) -> Option<ArcResult> {
    let seal = Fields::find_first(header, SEAL)?;
    let cv = Tags::parse(seal.value)?.packed("cv")?;
    Some(match cv.to_ascii_lowercase().as_str() {
        "none" => ArcResult::None,
        "pass" => ArcResult::Pass,
        _ => ArcResult::Fail,
    })
}

/// Whether there are fields of a chain.
pub(crate) fn is_chained(header: &[u8]) -> bool {
    Fields::new(header).any(|field| is_arc_field(&field))
}

/// The record names of the keys of the chain; it fails if one is missing.
pub(crate) fn key_names(header: &[u8]) -> Vec<String> {
    let chain = chain(header).unwrap_or_default();
    let newest = chain.last().map(|link| key_name(&link.signature.1));
    chain.iter().map(|link| key_name(&link.seal.1)).chain(newest).collect()
}

/// Verifies the chain with these keys, without DNS.
pub(crate) fn verify(content: &[u8], keys: &Keys) -> ArcResult {
    if !is_chained(content) {
        return ArcResult::None;
    }
    // There are fields, so a missing chain is a broken one.
    let Some(chain) = chain(content) else { return ArcResult::Fail };
    let Some(newest) = chain.last() else { return ArcResult::Fail };
    let is_valid = is_signature_valid(content, newest, keys)
        && (0..chain.len()).all(|n| is_seal_valid(chain.get(..=n).unwrap_or_default(), keys))
        && is_body_hash_valid(content, &newest.signature.1);
    if is_valid { ArcResult::Pass } else { ArcResult::Fail }
}

/// The fields of each set in the order of a seal (RFC 8617 s.5.1.1); `None` if a set is incomplete.
pub(crate) fn sets<'a>(content: &'a [u8]) -> Option<Vec<[Field<'a>; 3]>> {
    let fields = |set: ArcSet<'a>| [set.results, set.signature.0, set.seal.0];
    Some(chain(content)?.into_iter().map(fields).collect())
}

/// The sets in order, if each instance has one field of each kind, and every seal has the right `cv=`.
fn chain<'a>(content: &'a [u8]) -> Option<Vec<ArcSet<'a>>> {
    let mut sets: Vec<PartialSet<'_>> = Vec::new();
    for field in Fields::new(content) {
        let (is_seal, is_signature, is_results) = (field.is(SEAL), field.is(SIGNATURE), field.is(RESULTS));
        if !is_seal && !is_signature && !is_results {
            continue;
        }
        let tags = if is_results { None } else { Some(Tags::parse(field.value)?) };
        let place = tags.as_ref().map_or_else(|| results_instance(field.value), |tags| instance(tags.get("i")?))?;
        if sets.len() < place {
            sets.resize_with(place, PartialSet::default);
        }
        let set = sets.get_mut(place - 1)?;
        let is_second = match tags {
            Some(tags) if is_seal => is_seal_complete(&tags).then(|| set.seal.replace((field, tags)))?.is_some(),
            Some(tags) => is_signature_complete(&tags).then(|| set.signature.replace((field, tags)))?.is_some(),
            None => set.results.replace(field).is_some(),
        };
        if is_second {
            return None;
        }
    }
    let links = sets.into_iter().map(|set| Some(ArcSet { seal: set.seal?, signature: set.signature?, results: set.results? }));
    let links: Vec<ArcSet<'_>> = links.collect::<Option<_>>()?;
    let has_right_cv = |(n, link): (usize, &ArcSet<'_>)| {
        let wanted = if n == 0 { "none" } else { "pass" };
        link.seal.1.packed("cv").is_some_and(|cv| cv.eq_ignore_ascii_case(wanted))
    };
    links.iter().enumerate().all(has_right_cv).then_some(links)
}

/// i=, from 1 to 50.
fn instance(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|n| (1..=SETS_MAX).contains(n))
}

/// i= of the results, the only tag there.
fn results_instance(value: &[u8]) -> Option<usize> {
    let mut tags = value.split(|b| *b == b';').filter_map(|tag| std::str::from_utf8(tag).ok()?.split_once('='));
    tags.find(|(name, _)| name.trim() == "i").and_then(|(_, value)| instance(value))
}

fn has(tags: &Tags, names: &[&str]) -> bool {
    let is_known = |a: String| ["rsa-sha256", "ed25519-sha256"].iter().any(|known| a.eq_ignore_ascii_case(known));
    names.iter().all(|name| tags.get(name).is_some_and(|value| !value.is_empty())) && tags.packed("a").is_some_and(is_known)
}

/// A seal has a fixed scope, and no `h=` (RFC 8617 s.4.1.3).
fn is_seal_complete(tags: &Tags) -> bool {
    has(tags, &["a", "b", "cv", "d", "i", "s"]) && tags.get("h").is_none()
}

/// A message signature has `h=`, perhaps empty, covers no seal, and the whole body.
fn is_signature_complete(tags: &Tags) -> bool {
    let number = |name| tags.get(name).map(str::parse::<u64>);
    has(tags, &["a", "b", "bh", "d", "i", "s"])
        && tags.get("h").is_some()
        && !tags.lists("h", &[SEAL])
        && tags.get("l").is_none()
        && forms(tags).is_some()
        && ![number("t"), number("x")].iter().flatten().any(Result::is_err)
}

/// The canonicalizations of header and body in `c=`.
fn forms(tags: &Tags) -> Option<Vec<(Form, Form)>> {
    let Some(named) = tags.packed("c") else { return Some(DEFAULT_FORMS.to_vec()) };
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

/// Whether the body hash matches under a possible canonicalization, and the signature has not expired.
#[allow(clippy::disallowed_methods)] // the system clock, as mail-auth does for DKIM's x=
fn is_body_hash_valid(content: &[u8], tags: &Tags) -> bool {
    let number = |name| tags.get(name).and_then(|text| text.parse::<u64>().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let is_expired = number("x").is_some_and(|expires| expires <= now || number("t").is_some_and(|made| expires <= made));
    let body = content.get(header_len(content)..).unwrap_or_default();
    let hashed = |(_, form): &(Form, Form)| {
        let mut context = Context::new(&SHA256);
        canonical::body(body, *form, |piece| context.update(piece));
        decoded(tags, "bh").is_some_and(|bh| bh == context.finish().as_ref())
    };
    !is_expired && forms(tags).unwrap_or_default().iter().any(hashed)
}

/// Whether the message signature is valid.
fn is_signature_valid(content: &[u8], link: &ArcSet<'_>, keys: &Keys) -> bool {
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

/// Whether the seal of the last set is valid (RFC 8617 s.5.1.1: relaxed, over all sets up to it in order).
fn is_seal_valid(chain: &[ArcSet<'_>], keys: &Keys) -> bool {
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
