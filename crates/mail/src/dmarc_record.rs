//! A DMARC policy record: the parser for verification and for `waypost dns check`.
//!
//! RFC 9989 s.4.7. Our own, since mail-auth's rejects a record for one invalid tag, where the standard applies the tag's default.
//! Invariant: an invalid record is no record; an invalid tag is ignored.

use crate::address::Mailbox;
use crate::evidence::{DmarcPolicy, DmarcRecord};

/// Maximum characters of rua= kept.
const REPORT_URIS_MAX: usize = 4000;

/// Whether a name is a public suffix, by `psd=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suffix {
    /// It is one.
    Yes,
    /// It is not.
    No,
    /// Not specified.
    Unsaid,
}

/// A policy record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcPolicyRecord {
    /// `p=`; `none` if there are only addresses for reports.
    pub policy: DmarcPolicy,
    /// `sp=`, or else `p=`.
    pub subdomain_policy: DmarcPolicy,
    /// `np=`, or else `sp=`.
    pub nonexistent_policy: DmarcPolicy,
    /// `psd=`.
    pub suffix: Suffix,
    /// `adkim=s`.
    pub dkim_strict: bool,
    /// `aspf=s`.
    pub spf_strict: bool,
    /// `t=y`: the domain is testing, and asks for the next weaker policy.
    pub testing: bool,
    /// Whether there is a valid `p=`.
    pub has_policy: bool,
    /// `sp=` and `np=`, if present.
    written: (Option<DmarcPolicy>, Option<DmarcPolicy>),
    /// `fo=`.
    failure_options: Option<String>,
    /// `rua=`.
    pub report_uris: String,
}

fn policy(value: Option<&str>) -> Option<DmarcPolicy> {
    match value?.to_ascii_lowercase().as_str() {
        "none" => Some(DmarcPolicy::None),
        "quarantine" => Some(DmarcPolicy::Quarantine),
        "reject" => Some(DmarcPolicy::Reject),
        _ => None,
    }
}

impl DmarcPolicyRecord {
    /// Reads a text record; `None` if it is not a DMARC record.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if !is_dmarc(text) {
            return None;
        }
        let text = String::from_utf8_lossy(text);
        let mut tags = text.split(';').filter_map(|item| item.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        // The first tag, and in this case (s.4.7).
        tags.next().filter(|(name, value)| name.eq_ignore_ascii_case("v") && *value == "DMARC1")?;
        let tags: Vec<(&str, &str)> = tags.collect();
        let get = |wanted: &str| tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value);
        let is = |name: &str, wanted: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
        let reported = get("rua").is_some_and(|uris| uris.split(',').any(is_mail_address));
        // Without a policy it only asks for reports, or is no record.
        let stated = policy(get("p"));
        let own = stated.or(reported.then_some(DmarcPolicy::None))?;
        let written = (policy(get("sp")), policy(get("np")));
        let subdomain_policy = written.0.unwrap_or(own);
        Some(Self {
            policy: own,
            has_policy: stated.is_some(),
            subdomain_policy,
            nonexistent_policy: written.1.unwrap_or(subdomain_policy),
            suffix: if is("psd", "y") {
                Suffix::Yes
            } else if is("psd", "n") {
                Suffix::No
            } else {
                Suffix::Unsaid
            },
            dkim_strict: is("adkim", "s"),
            spf_strict: is("aspf", "s"),
            testing: is("t", "y"),
            written,
            failure_options: get("fo").filter(|options| is_failure_options(options)).map(str::to_ascii_lowercase),
            report_uris: get("rua").unwrap_or_default().chars().take(REPORT_URIS_MAX).collect(),
        })
    }

    /// Whether reports can be sent: one URI is `mailto:` with a mailbox.
    pub fn has_report_address(&self) -> bool {
        self.report_uris.split(',').any(is_mail_address)
    }

    /// The record as reports repeat it; `domain` is the name of the record.
    pub fn published(&self, domain: &str) -> DmarcRecord {
        DmarcRecord {
            domain: domain.to_owned(),
            policy: self.policy,
            subdomain_policy: self.written.0,
            nonexistent_policy: self.written.1,
            dkim_strict: self.dkim_strict,
            spf_strict: self.spf_strict,
            testing: self.testing,
            failure_options: self.failure_options.clone(),
            report_uris: self.report_uris.clone(),
        }
    }
}

/// Whether a URI of `rua=` leads to a mailbox. A size after an exclamation mark, as in older DMARC, is ignored.
fn is_mail_address(uri: &str) -> bool {
    let uri = uri.trim().split(['!', '?']).next().unwrap_or_default();
    let scheme = uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    scheme && uri.get(7..).is_some_and(|address| address.contains('%') || Mailbox::parse(address).is_ok())
}

/// RFC 9989 s.4.7: letters separated by colons.
fn is_failure_options(text: &str) -> bool {
    let is_option = |option: &str| ["0", "1", "d", "s"].iter().any(|known| known.eq_ignore_ascii_case(option.trim()));
    text.len() <= 20 && text.split(':').all(is_option)
}

/// Whether a text record claims to be a DMARC record.
pub fn is_dmarc(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b';').next().unwrap_or_default();
    let word: Vec<u8> = first.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    word.get(1..) == Some(b"=DMARC1") && word.first().is_some_and(|v| v.eq_ignore_ascii_case(&b'v'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_tags_are_ignored() {
        let record = DmarcPolicyRecord::parse(b"v=DMARC1; p=Reject; sp=x; np=quarantine; adkim=q; aspf=s; t=y; fo=zz; =; junk").unwrap();
        assert_eq!((record.policy, record.subdomain_policy, record.nonexistent_policy), {
            (DmarcPolicy::Reject, DmarcPolicy::Reject, DmarcPolicy::Quarantine)
        });
        assert!(record.testing && record.spf_strict && !record.dkim_strict);
        let published = record.published("a.example");
        assert_eq!((published.subdomain_policy, published.nonexistent_policy), (None, Some(DmarcPolicy::Quarantine)));
        assert_eq!((published.failure_options, published.report_uris.as_str()), (None, ""));
        let long = DmarcPolicyRecord::parse(format!("v=DMARC1; p=none; fo=1:D; rua={}", "x".repeat(9999)).as_bytes()).unwrap();
        assert_eq!((long.failure_options.as_deref(), long.report_uris.len()), (Some("1:d"), REPORT_URIS_MAX));
        assert_eq!(DmarcPolicyRecord::parse(b"v=DMARC1; rua=mailto:a@b.example").unwrap().policy, DmarcPolicy::None);
        for (rua, reaches) in
            [("mailto:a@b.example!10m", true), ("https://b.example, MAILTO:a@b.example", true), ("a@b.example", false), ("mailto:a", false)]
        {
            let record = DmarcPolicyRecord::parse(format!("v=DMARC1; p=none; rua={rua}").as_bytes()).unwrap();
            assert_eq!(record.has_report_address(), reaches, "{rua}");
        }
        for bad in [
            &b"v=DMARC1"[..],
            b"v=DMARC1; p=x",
            b"p=none; v=DMARC1",
            b"DMARC1; v=DMARC1; p=none",
            b"v=dmarc1; p=none",
            b"v=DMARC10; p=none",
        ] {
            assert_eq!(DmarcPolicyRecord::parse(bad), None);
        }
        assert!(is_dmarc(b"v = DMARC1 ; p=none") && !is_dmarc(b"v=DMARC10;") && !is_dmarc(b""));
    }
}
