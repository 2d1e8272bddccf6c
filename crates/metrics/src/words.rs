//! The closed lists from which labels take their values.
//!
//! Invariant: the last word of a list is `other`, which takes the place of every word that is not in it.

use policy::Cause;

/// How a message was accepted.
pub(crate) const HOW: &[&str] = &["queued", "handed-over", "held", "report", "auto-reply", "other"];

/// Whose mail it is (`store::Flow`).
pub(crate) const FLOWS: &[&str] = &["own", "forward", "report", "tls-report", "dmarc-report", "other"];

/// The outcome of an attempt, or of none.
pub(crate) const OUTCOMES: &[&str] = &["delivered", "deferred", "failed", "held-back", "not-taken", "other"];

/// The outcome of a login.
pub(crate) const LOGINS: &[&str] = &["accepted", "refused", "other"];

/// The result of SPF, DKIM, DMARC or ARC (RFC 8601 s.2.7).
pub(crate) const RESULTS: &[&str] = &["pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror", "other"];

/// The TLS version of a connection.
pub(crate) const TLS: &[&str] = &["1.3", "1.2", "none", "other"];

/// How a host's certificate was verified.
pub(crate) const VERIFIED: &[&str] = &["dane", "mta-sts", "pin", "certificate", "none", "other"];

/// The causes of refusals.
pub(crate) const CAUSES: &[&str] = Cause::NAMES;

/// Returns the place of a word in a list: the last one, `other`, if it is not in it.
pub(crate) fn place(list: &[&str], word: &str) -> usize {
    list.iter().position(|known| *known == word).unwrap_or(list.len().saturating_sub(1))
}

/// Returns the place of a result, which is the first word of a fact: `pass (example.com)`.
pub(crate) fn result_place(fact: &str) -> usize {
    let end = fact.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(fact.len());
    place(RESULTS, fact.get(..end).unwrap_or_default())
}

/// Returns the place of a TLS version: `TLSv1_3 with TLS13_AES_256_GCM_SHA384`; nothing is no TLS.
pub(crate) fn tls_place(fact: Option<&str>) -> usize {
    let version = match fact {
        None => "none",
        Some(text) if text.starts_with("TLSv1_3") => "1.3",
        Some(text) if text.starts_with("TLSv1_2") => "1.2",
        Some("none") => "none",
        Some(_) => "other",
    };
    place(TLS, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_in_the_list_is_other() {
        for list in [HOW, FLOWS, OUTCOMES, LOGINS, RESULTS, TLS, VERIFIED, CAUSES] {
            assert_eq!(list.last(), Some(&"other"));
            assert_eq!(place(list, "<script>alert(1)</script>"), list.len() - 1);
            assert_eq!(place(list, list[0]), 0);
        }
    }

    #[test]
    fn results_are_read_from_facts() {
        for (fact, result) in
            [("pass", "pass"), ("softfail (example.com)", "softfail"), ("", "other"), ("päss", "other"), ("none;x", "none")]
        {
            assert_eq!(RESULTS[result_place(fact)], result, "{fact}");
        }
        for (fact, version) in [
            (None, "none"),
            (Some("TLSv1_3 with TLS13_AES_256_GCM_SHA384"), "1.3"),
            (Some("TLSv1_2 with X"), "1.2"),
            (Some("SSLv2"), "other"),
            (Some("none"), "none"),
        ] {
            assert_eq!(TLS[tls_place(fact)], version, "{fact:?}");
        }
    }
}
