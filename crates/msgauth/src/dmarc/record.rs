//! A DMARC policy record.
//!
//! RFC 9989 s.4.7. Our own, since mail-auth's gives up on a record for one tag that it cannot read, where the standard has the
//! tag's default apply. Invariant: what is not a record is none; a tag that cannot be read is as if it were not there.

use mail::evidence::DmarcPolicy;

/// Whether a name is a public suffix, as its owner says (`psd=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffix {
    Yes,
    No,
    Unsaid,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub policy: DmarcPolicy,
    pub subdomain_policy: DmarcPolicy,
    pub nonexistent_policy: DmarcPolicy,
    pub suffix: Suffix,
    pub dkim_strict: bool,
    pub spf_strict: bool,
    /// `t=y`: the owner is testing, and asks for one step less.
    pub testing: bool,
}

fn policy(value: Option<&str>) -> Option<DmarcPolicy> {
    match value?.to_ascii_lowercase().as_str() {
        "none" => Some(DmarcPolicy::None),
        "quarantine" => Some(DmarcPolicy::Quarantine),
        "reject" => Some(DmarcPolicy::Reject),
        _ => None,
    }
}

impl Record {
    /// Reads a text record; nothing where it is no DMARC record.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let mut tags = text.split(';').filter_map(|item| item.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        // The first tag, and in this case (s.4.7).
        tags.next().filter(|(name, value)| name.eq_ignore_ascii_case("v") && *value == "DMARC1")?;
        let tags: Vec<(&str, &str)> = tags.collect();
        let get = |wanted: &str| tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value);
        let is = |name: &str, wanted: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
        let reported = get("rua").is_some_and(|uris| uris.split(',').any(|uri| uri.trim().to_ascii_lowercase().starts_with("mailto:")));
        // Without a policy it is a wish for reports, or nothing at all.
        let own = policy(get("p")).or(reported.then_some(DmarcPolicy::None))?;
        let subdomain_policy = policy(get("sp")).unwrap_or(own);
        Some(Self {
            policy: own,
            subdomain_policy,
            nonexistent_policy: policy(get("np")).unwrap_or(subdomain_policy),
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
        })
    }
}

/// Whether a text record says that it is a DMARC record.
pub(crate) fn is_dmarc(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b';').next().unwrap_or_default();
    let word: Vec<u8> = first.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    word.get(1..) == Some(b"=DMARC1") && word.first().is_some_and(|v| v.eq_ignore_ascii_case(&b'v'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_cannot_be_read_is_not_there() {
        let record = Record::parse(b"v=DMARC1; p=Reject; sp=x; np=quarantine; adkim=q; aspf=s; t=y; fo=zz; =; junk").unwrap();
        assert_eq!((record.policy, record.subdomain_policy, record.nonexistent_policy), {
            (DmarcPolicy::Reject, DmarcPolicy::Reject, DmarcPolicy::Quarantine)
        });
        assert!(record.testing && record.spf_strict && !record.dkim_strict);
        assert_eq!(Record::parse(b"v=DMARC1; rua=mailto:a@b.example").unwrap().policy, DmarcPolicy::None);
        for bad in [&b"v=DMARC1"[..], b"v=DMARC1; p=x", b"p=none; v=DMARC1", b"v=dmarc1; p=none", b"v=DMARC10; p=none"] {
            assert_eq!(Record::parse(bad), None);
        }
        assert!(is_dmarc(b"v = DMARC1 ; p=none") && !is_dmarc(b"v=DMARC10;") && !is_dmarc(b""));
    }
}
