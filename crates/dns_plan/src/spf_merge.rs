//! Merges existing SPF records and the planned one, so that every server that sends for the domain today stays allowed.
//!
//! RFC 7208 s.3.2 (one record), s.4.6.4 (ten lookups), s.6.1 (redirect counts only without `all`). Invariant: every existing mechanism is kept, except one
//! that allows every server, and invalid terms.

use super::spf::{allows_all, terms};

/// Returns the planned record with the terms of the existing ones.
pub(super) fn merged(planned: &str, found: &[&str]) -> String {
    let (mut kept, mut end) = (Vec::new(), None);
    let mut keep = |term: &str, is_ours: bool| match bare(term) {
        "all" => {
            if is_ours || (!allows_all(term) && !term.starts_with('?')) {
                end = Some(term.to_owned());
            }
        }
        word => {
            if is_known(word) && !kept.iter().any(|there: &String| bare(there).eq_ignore_ascii_case(word)) {
                kept.push(term.to_owned());
            }
        }
    };
    terms(planned).for_each(|term| keep(term, true));
    for term in found.iter().flat_map(|record| terms(record)) {
        match term.get(..9).filter(|name| name.eq_ignore_ascii_case("redirect=")).and_then(|_| term.get(9..)) {
            // With `all` it would be ignored.
            Some(target) => keep(&format!("include:{target}"), false),
            None => keep(term, false),
        }
    }
    let end = end.into_iter();
    std::iter::once("v=spf1".to_owned()).chain(kept).chain(end).collect::<Vec<_>>().join(" ")
}

/// An invalid mechanism makes receivers ignore the whole record.
fn is_known(mechanism: &str) -> bool {
    let name = mechanism.split([':', '/']).next().unwrap_or_default().to_ascii_lowercase();
    mechanism.contains('=') || ["include", "a", "mx", "ptr", "ip4", "ip6", "exists"].contains(&name.as_str())
}

/// The number of lookups of its own terms, without those of included records.
pub(super) fn lookups(record: &str) -> usize {
    let asks = |term: &&str| {
        let name = bare(term).split([':', '/', '=']).next().unwrap_or_default().to_ascii_lowercase();
        ["include", "a", "mx", "ptr", "exists", "redirect"].contains(&name.as_str())
    };
    terms(record).filter(asks).count()
}

/// A term without its qualifier.
fn bare(term: &str) -> &str {
    term.trim_start_matches(['+', '-', '~', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_send_today_are_kept() {
        let planned = "v=spf1 mx ip4:192.0.2.10 ~all";
        for (found, expected) in [
            ("v=spf1 include:_spf.google.com ~all", "v=spf1 mx ip4:192.0.2.10 include:_spf.google.com ~all"),
            ("v=spf1 +MX a -all", "v=spf1 mx ip4:192.0.2.10 a -all"),
            ("v=spf1 redirect=_spf.example.net", "v=spf1 mx ip4:192.0.2.10 include:_spf.example.net ~all"),
            ("v=spf1 ip4:198.51.100.0/24 +all", "v=spf1 mx ip4:192.0.2.10 ip4:198.51.100.0/24 ~all"),
            ("v=spf1 ipv4:198.51.100.1 a ?all", "v=spf1 mx ip4:192.0.2.10 a ~all"),
            ("v=spf1 ?all", "v=spf1 mx ip4:192.0.2.10 ~all"),
        ] {
            assert_eq!(merged(planned, &[found]), expected, "{found}");
        }
        let both = merged(planned, &["v=spf1 include:a.test ~all", "v=spf1 include:b.test -all"]);
        assert_eq!(both, "v=spf1 mx ip4:192.0.2.10 include:a.test include:b.test -all");
        assert_eq!(lookups(&both), 3);
    }
}
