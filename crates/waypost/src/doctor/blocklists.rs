//! What blocklists say of the server's addresses.
//!
//! RFC 5782 s.2.1, RFC 5782 s.2.4. Invariant: an answer that means "I do not answer you" is never taken for a listing.

use std::net::{IpAddr, Ipv4Addr};

use mail::Domain;

use super::Patient;
use super::finding::{Finding, Severity};

/// Blocklists that receivers use, and whether they know IPv6.
const LISTS: [(&str, bool); 3] = [("zen.spamhaus.org", true), ("bl.spamcop.net", false), ("b.barracudacentral.org", false)];

/// Asks each list about an address that may be on one.
pub(super) async fn check(patient: &Patient, address: IpAddr) -> Vec<Finding> {
    let is_private = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    };
    let mut findings = Vec::new();
    for (list, _) in LISTS.iter().filter(|(_, has_ipv6)| !is_private && (address.is_ipv4() || *has_ipv6)) {
        findings.extend(listed(patient, address, list).await);
    }
    findings
}

/// The address in reverse, as lists are asked about it.
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect::<Vec<_>>().join("."),
        IpAddr::V6(v6) => v6.octets().iter().rev().map(|octet| format!("{:x}.{:x}", octet & 15, octet >> 4)).collect::<Vec<_>>().join("."),
    }
}

async fn listed(patient: &Patient, address: IpAddr, list: &str) -> Option<Finding> {
    let name = Domain::parse(&format!("{}.{list}", reversed(address))).ok()?;
    let about = format!("{address} at {list}");
    Some(match patient.resolver.addresses(&name, false).await {
        Ok(codes) => answered(
            about,
            list,
            &codes.into_iter().filter_map(|code| if let IpAddr::V4(v4) = code { Some(v4) } else { None }).collect::<Vec<_>>(),
        ),
        Err(policy::RouteFailure::NoSuchDomain | policy::RouteFailure::NoAddress) => Finding::good("blocklist", about, "not listed"),
        Err(policy::RouteFailure::Temporary(error)) => {
            Finding::bad(Severity::Notice, "blocklist", about, format!("no answer: {error}"), "try again later")
        }
    })
}

fn answered(about: String, list: &str, codes: &[Ipv4Addr]) -> Finding {
    // 127.255.255.x: no answer for this resolver. Anything outside of 127/8 is a resolver that makes answers up.
    let is_refusal = codes.iter().any(|code| code.octets().starts_with(&[127, 255, 255]) || !code.is_loopback());
    if is_refusal {
        let fix = "ask from a resolver of your own: install unbound, and name it under [dns]";
        return Finding::bad(Severity::Notice, "blocklist", about, "the list does not answer this resolver", fix);
    }
    let shown: Vec<String> = codes.iter().map(ToString::to_string).collect();
    let found = format!("listed ({})", shown.join(", "));
    // Spamhaus' PBL: addresses that should not send at all, by what their network says.
    if list.starts_with("zen.") && codes.iter().all(|code| matches!(code.octets(), [127, 0, 0, 10 | 11])) {
        let fix = "it is a range that sends no mail by the word of its hoster: ask for removal at https://check.spamhaus.org, or send by a smarthost ([[route]])";
        return Finding::bad(Severity::Error, "blocklist", about, found, fix);
    }
    let fix = format!(
        "find out what was sent from there (waypost account list, queue list), stop it, then ask for removal: https://check.{}",
        list.trim_start_matches("zen.")
    );
    Finding::bad(Severity::Error, "blocklist", about, found, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_read_as_the_lists_mean_them() {
        assert_eq!(reversed("192.0.2.10".parse().unwrap()), "10.2.0.192");
        assert!(
            reversed("2001:db8::1".parse().unwrap()).starts_with("1.0.0.0.")
                && reversed("2001:db8::1".parse().unwrap()).ends_with(".8.b.d.0.1.0.0.2")
        );
        let severity = |codes: &[[u8; 4]]| {
            answered("it".into(), "zen.spamhaus.org", &codes.iter().map(|c| Ipv4Addr::from(*c)).collect::<Vec<_>>()).severity
        };
        assert_eq!(severity(&[[127, 0, 0, 2]]), Severity::Error);
        assert_eq!(severity(&[[127, 0, 0, 11]]), Severity::Error);
        assert_eq!(severity(&[[127, 255, 255, 254]]), Severity::Notice);
        assert_eq!(severity(&[[203, 0, 113, 5]]), Severity::Notice);
        assert_eq!(severity(&[[127, 0, 0, 4], [127, 255, 255, 254]]), Severity::Notice);
    }
}
