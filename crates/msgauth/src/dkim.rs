//! Verifies DKIM signatures.
//!
//! RFC 6376 s.6, RFC 8301 s.3, RFC 8463. mail-auth verifies; this module decides what counts as a pass. Invariant: at most the first ten
//! signatures are verified, and each yields one result.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::evidence::{DkimCheck, DkimResult};
use mail::{Domain, Field, Fields, Tags, without_blanks_before_colons};
use mail_auth::dkim::{Canonicalization, DkimError, Signature};
use mail_auth::{AuthenticatedMessage, Error, MessageAuthenticator, Parameters};

use crate::canonical::{self, Form};
use crate::keys::Keys;

/// Maximum signatures that are verified.
pub(crate) const SIGNATURES_MAX: usize = 10;

fn signatures(content: &[u8]) -> Vec<Field<'_>> {
    Fields::new(content).filter(|field| field.is("DKIM-Signature")).collect()
}

/// Whether there are signatures.
pub(crate) fn is_signed(header: &[u8]) -> bool {
    !signatures(header).is_empty()
}

/// The record names of the keys of the signatures that are verified.
pub(crate) fn key_names(header: &[u8]) -> Vec<String> {
    let candidates = signatures(header).into_iter().take(SIGNATURES_MAX).map(|field| Candidate::read(&field));
    candidates.filter(|candidate| candidate.end.is_none()).map(|candidate| candidate.key_name()).collect()
}

/// Verifies the signatures with these keys, without DNS.
pub(crate) async fn verify(auth: &MessageAuthenticator, written: &[u8], keys: &Keys) -> Vec<DkimCheck> {
    // mail-auth takes `Subject : hi` for another field than `Subject`, and would miss signed fields and added ones. So it gets the header section without
    // such blanks, which is the same under relaxed canonicalization; `verify_simple` handles simple.
    let mended = without_blanks_before_colons(written);
    let content: &[u8] = &mended;
    let fields = signatures(content);
    let mut candidates: Vec<Candidate> = fields.iter().take(SIGNATURES_MAX).map(Candidate::read).collect();
    // mail-auth hashes the body once for each `l=`, before any signature can be excluded.
    let hash_parts = fields.len() <= SIGNATURES_MAX && candidates.iter().any(|c| c.length.is_some());
    let Some(mut message) = AuthenticatedMessage::parse_with_opts(content, None, !hash_parts) else { return Vec::new() };

    let known = |value: &[u8]| candidates.iter().position(|c| c.at == value.as_ptr() as usize && c.end.is_none());
    let order: Vec<Option<usize>> = message.dkim_signatures().iter().map(|header| known(header.value)).collect();
    let mut wanted = order.iter().map(Option::is_some);
    message.retain_dkim_signatures(|_| if wanted.next() == Some(true) { Ok(()) } else { Err(DkimError::UnsupportedVersion) });
    let order: Vec<usize> = order.into_iter().flatten().collect();

    let outputs = auth.verify_dkim(Parameters::new(&message).with_cache(keys)).await;
    let signatures = message.dkim_signatures();
    for output in &outputs {
        let Some(signature) = output.signature() else { continue };
        let Some(position) = signatures.iter().position(|header| std::ptr::eq(&raw const header.header, signature)) else { continue };
        let Some(candidate) = order.get(position).and_then(|index| candidates.get_mut(*index)) else { continue };
        let is_simple_valid = order.get(position).and_then(|index| verify_simple(written, *index, keys));
        let (result, reason) = match (output.result(), is_simple_valid) {
            (mail_auth::DkimResult::Pass | mail_auth::DkimResult::Fail(Error::Crypto(_)), Some(true)) => (DkimResult::Pass, String::new()),
            (mail_auth::DkimResult::Pass, Some(false)) => (DkimResult::Fail, "a header field was changed".into()),
            _ if output.is_atps() => (DkimResult::Pass, String::new()),
            (result, _) => convert_result(result),
        };
        let key = keys.refusal(&candidate.key_name());
        candidate.end = Some(match (result, key) {
            (DkimResult::Pass, None) => {
                let remark = keys.remark(&candidate.key_name()).unwrap_or_default();
                match candidate.check_length(signature, message.raw_body()) {
                    (DkimResult::Pass, _) => (DkimResult::Pass, remark.into()),
                    partly => partly,
                }
            }
            (DkimResult::Pass | DkimResult::Fail | DkimResult::PermError, Some((result, reason))) => (result, reason),
            // mail-auth takes l=0 for no limit, so that the body hash differs.
            (DkimResult::Fail, None) if candidate.length == Some(0) => (DkimResult::Policy, PARTLY.into()),
            (result, _) => (result, reason),
        });
    }
    candidates.into_iter().map(Candidate::check).collect()
}

/// Whether a signature with simple canonicalization is valid over the fields as written; `None` if none of them has a blank before its colon, or the
/// signature is relaxed.
fn verify_simple(written: &[u8], index: usize, keys: &Keys) -> Option<bool> {
    let signature = signatures(written).into_iter().nth(index)?;
    let tags = Tags::parse(signature.value)?;
    let form = tags.packed("c").unwrap_or_default();
    let covers = |field: &Field<'_>| std::str::from_utf8(field.name).is_ok_and(|name| tags.lists("h", &[name]));
    let has_blank =
        signature.has_blank_before_colon() || Fields::new(written).any(|field| field.has_blank_before_colon() && covers(&field));
    if !has_blank || form.split('/').next().is_some_and(|header| header.eq_ignore_ascii_case("relaxed")) {
        return None;
    }
    let mut data = Vec::new();
    canonical::signed_fields(&mut data, written, tags.get("h").unwrap_or_default().split(':').map(str::trim), Form::Simple);
    canonical::signature_field(&mut data, &signature, Form::Simple);
    let key = format!("{}._domainkey.{}", tags.packed("s")?, tags.packed("d")?);
    let made = STANDARD.decode(tags.packed("b")?).ok()?;
    Some(keys.verifies(&key, &tags.packed("a")?.to_ascii_lowercase(), &data, &made))
}

/// The reason for a signature over a part of the body.
const PARTLY: &str = "it covers only a part of the body (l=)";

/// A signature to verify.
struct Candidate {
    /// The address of its value in memory, which identifies it in mail-auth's results.
    at: usize,
    tags: Option<Tags>,
    length: Option<u64>,
    /// The result, once known.
    end: Option<(DkimResult, String)>,
}

impl Candidate {
    fn read(field: &Field<'_>) -> Self {
        let tags = Tags::parse(field.value);
        let end = match &tags {
            None => Some((DkimResult::PermError, "the field is not a list of tags".into())),
            Some(tags) => check_tags(tags).map(|(result, reason)| (result, reason.into())),
        };
        let length = tags.as_ref().and_then(|tags| tags.get("l")).and_then(|l| l.parse().ok());
        Self { at: field.value.as_ptr() as usize, tags, length, end }
    }

    fn tag(&self, name: &str) -> String {
        self.tags.as_ref().and_then(|tags| tags.packed(name)).unwrap_or_default()
    }

    fn key_name(&self) -> String {
        format!("{}._domainkey.{}", self.tag("s"), self.tag("d"))
    }

    /// A pass, unless `l=` leaves a part of the body unsigned (RFC 6376 s.8.2).
    fn check_length(&self, signature: &Signature, body: &[u8]) -> (DkimResult, String) {
        match self.length {
            Some(length) if length != canonical::body_len(body, form(signature.cb)) => (DkimResult::Policy, PARTLY.into()),
            _ => (DkimResult::Pass, String::new()),
        }
    }

    fn check(self) -> DkimCheck {
        let (result, reason) = match (&self.end, self.length) {
            (Some(end), _) => end.clone(),
            (None, Some(_)) => (DkimResult::Policy, "it may cover only a part of the body (l=)".into()),
            (None, None) => (DkimResult::PermError, "the signature cannot be read".into()),
        };
        DkimCheck {
            result,
            domain: self.tag("d"),
            selector: self.tag("s"),
            algorithm: self.tag("a").to_ascii_lowercase(),
            signature_prefix: self.tag("b").chars().take(8).collect(),
            reason: (!reason.is_empty()).then_some(reason),
        }
    }
}

fn form(canonicalization: Canonicalization) -> Form {
    if matches!(canonicalization, Canonicalization::Relaxed) { Form::Relaxed } else { Form::Simple }
}

/// Checks the tags; returns the result of a signature whose key need not be fetched.
fn check_tags(tags: &Tags) -> Option<(DkimResult, &'static str)> {
    let perm = |reason| Some((DkimResult::PermError, reason));
    if tags.get("v") != Some("1") {
        return perm("its version is not 1");
    }
    for required in ["a", "b", "bh", "d", "h", "s"] {
        if tags.get(required).is_none_or(str::is_empty) {
            return perm("a required tag is missing");
        }
    }
    if !tags.lists("h", &["from"]) {
        return perm("it does not cover From");
    }
    if !Domain::parse(&tags.packed("d")?).is_ok_and(|domain| domain.address().is_none()) {
        return perm("d= is not a domain");
    }
    if Domain::parse(&tags.packed("s")?).is_err() {
        return perm("s= is not a name");
    }
    if tags.get("q").is_some() && !tags.lists("q", &["dns/txt", "dns"]) {
        return perm("q= names no DNS query method");
    }
    let number = |name| tags.get(name).map(str::parse::<u64>);
    if [number("t"), number("x"), number("l")].iter().flatten().any(Result::is_err) {
        return perm("t=, x= or l= is not a number");
    }
    // mail-auth takes x=0 for "never expires".
    if number("x").is_some_and(|expires| expires == Ok(0)) {
        return Some((DkimResult::Policy, "it has expired"));
    }
    if tags.packed("a")?.eq_ignore_ascii_case("rsa-sha1") {
        return Some((DkimResult::Policy, "SHA-1 is not accepted (RFC 8301)"));
    }
    None
}

/// Converts mail-auth's result.
fn convert_result(result: &mail_auth::DkimResult) -> (DkimResult, String) {
    use mail_auth::DkimResult as Theirs;
    match result {
        Theirs::Pass => (DkimResult::Pass, String::new()),
        Theirs::Neutral(Error::Dkim(DkimError::SignatureExpired)) => (DkimResult::Policy, "it has expired".into()),
        Theirs::Neutral(Error::Dkim(DkimError::BodyHashMismatch)) => (DkimResult::Fail, "the body was changed".into()),
        Theirs::Neutral(error) => (DkimResult::Neutral, error.to_string()),
        Theirs::Fail(error) => (DkimResult::Fail, error.to_string()),
        Theirs::PermError(error) => (DkimResult::PermError, error.to_string()),
        Theirs::TempError(_) => (DkimResult::TempError, "no answer from DNS for its key".into()),
        Theirs::None => (DkimResult::Neutral, String::new()),
    }
}
