//! Blocklists: whether they list the server's addresses.
//!
//! RFC 5782 s.2.1, RFC 5782 s.2.4. Invariant: an answer that refuses the query never counts as a listing.

use std::net::{IpAddr, Ipv4Addr};

use mail::Domain;

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

/// Blocklists that receivers use, and whether they list IPv6.
const LISTS: [(&str, bool); 3] = [("zen.spamhaus.org", true), ("bl.spamcop.net", false), ("b.barracudacentral.org", false)];

/// Every list contains this address, for testing a resolver (RFC 5782 s.5).
const ALWAYS_LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const CHECK: &str = "blocklist";

/// The answer of a blocklist about an address.
enum Listing {
    Codes(Vec<Ipv4Addr>),
    NotListed,
    None(String),
}

/// Queries each list about a public address. Lists that refuse this resolver share a finding.
pub(super) async fn check(context: &DoctorContext, address: IpAddr) -> Vec<Finding> {
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    };
    let (mut findings, mut refusing) = (Vec::new(), Vec::new());
    for (list, _) in LISTS.iter().filter(|(_, has_ipv6)| !is_private && (address.is_ipv4() || *has_ipv6)) {
        let about = format!("{address} at {list}");
        match query(context, address, list).await {
            Listing::Codes(codes) if is_refusal(&codes) => refusing.push(*list),
            Listing::Codes(codes) => findings.push(judge_listing(about, list, &codes)),
            // A list that omits even the test address says nothing about this one.
            Listing::NotListed if !matches!(query(context, ALWAYS_LISTED, list).await, Listing::Codes(codes) if !is_refusal(&codes)) => {
                refusing.push(*list);
            }
            Listing::NotListed => findings.push(Finding::good(CHECK, about, "not listed")),
            Listing::None(error) => {
                findings.push(Finding::bad(Severity::Notice, CHECK, about, format!("no answer: {error}"), "try again later"))
            }
        }
    }
    if !refusing.is_empty() {
        let fix = "use your own resolver: install unbound, and set servers = [\"127.0.0.1:53\"] under [dns]";
        let about = format!("{address} at {}", refusing.join(", "));
        let found =
            if refusing.len() == 1 { "the list refuses queries from this resolver" } else { "the lists refuse queries from this resolver" };
        findings.push(Finding::bad(Severity::Notice, CHECK, about, found, fix));
    }
    findings
}

/// The address in reverse, as in a query to a list.
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect::<Vec<_>>().join("."),
        IpAddr::V6(v6) => v6.octets().iter().rev().map(|octet| format!("{:x}.{:x}", octet & 15, octet >> 4)).collect::<Vec<_>>().join("."),
    }
}

async fn query(context: &DoctorContext, address: IpAddr, list: &str) -> Listing {
    let name = match Domain::parse(&format!("{}.{list}", reversed(address))) {
        Ok(name) => name,
        Err(error) => return Listing::None(error.to_string()),
    };
    match context.resolver.addresses(&name, false).await {
        Ok(codes) => Listing::Codes(codes.into_iter().filter_map(|code| if let IpAddr::V4(v4) = code { Some(v4) } else { None }).collect()),
        Err(policy::RouteFailure::NoSuchDomain | policy::RouteFailure::NoAddress) => Listing::NotListed,
        Err(policy::RouteFailure::Temporary(error)) => Listing::None(error),
    }
}

/// 127.255.255.x: the list refuses this resolver. An answer outside of 127/8 comes from a resolver that invents answers.
fn is_refusal(codes: &[Ipv4Addr]) -> bool {
    codes.iter().any(|code| code.octets().starts_with(&[127, 255, 255]) || !code.is_loopback())
}

fn judge_listing(about: String, list: &str, codes: &[Ipv4Addr]) -> Finding {
    let shown: Vec<String> = codes.iter().map(ToString::to_string).collect();
    let found = format!("listed ({})", shown.join(", "));
    // Spamhaus PBL: ranges that should send no mail, as declared by their network.
    if list.starts_with("zen.") && codes.iter().all(|code| matches!(code.octets(), [127, 0, 0, 10 | 11])) {
        let fix = "its hoster declares that this range sends no mail: request removal at https://check.spamhaus.org, or send through a smarthost ([[route]])";
        return Finding::bad(Severity::Error, CHECK, about, found, fix);
    }
    let fix = format!(
        "find out what was sent from there (waypost account list, queue list), stop it, then request removal: https://check.{}",
        list.trim_start_matches("zen.")
    );
    Finding::bad(Severity::Error, CHECK, about, found, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed_and_refusals_recognised() {
        assert_eq!(reversed("192.0.2.10".parse().unwrap()), "10.2.0.192");
        assert!(
            reversed("2001:db8::1".parse().unwrap()).starts_with("1.0.0.0.")
                && reversed("2001:db8::1".parse().unwrap()).ends_with(".8.b.d.0.1.0.0.2")
        );
        let is_refused = |codes: &[[u8; 4]]| is_refusal(&codes.iter().map(|c| Ipv4Addr::from(*c)).collect::<Vec<_>>());
        assert!(!is_refused(&[[127, 0, 0, 2]]) && !is_refused(&[[127, 0, 0, 11]]));
        for codes in [&[[127, 255, 255, 254]][..], &[[203, 0, 113, 5]], &[[127, 0, 0, 4], [127, 255, 255, 254]]] {
            assert!(is_refused(codes), "{codes:?}");
        }
        assert_eq!(judge_listing("it".into(), "zen.spamhaus.org", &[Ipv4Addr::new(127, 0, 0, 11)]).severity, Severity::Error);
    }
}
