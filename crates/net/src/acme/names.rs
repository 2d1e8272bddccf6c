//! The certificates that are wanted, and which of their names resolve to this server.
//!
//! Invariant: a name that does not resolve to this server is never ordered: one name that cannot be validated fails the whole order.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mail::Domain;
use policy::RouteFailure;

use super::state::LeftOut;
use crate::resolver::Resolver;

/// The names below a hosted domain that clients and servers look up.
const LABELS: [&str; 3] = ["mta-sts", "autoconfig", "autodiscover"];

/// A certificate that the server should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedCertificate {
    /// Its name, and that of its directory.
    pub name: String,
    /// The names to certify, as far as they resolve to this server.
    pub hosts: Vec<Domain>,
}

/// One certificate for the server's own name, one for each hosted domain.
pub(super) fn wanted_certificates(hostname: &Domain, hosted: &[Domain]) -> Vec<WantedCertificate> {
    let mut wanted_certificates = vec![WantedCertificate { name: hostname.to_string(), hosts: vec![hostname.clone()] }];
    for domain in hosted {
        let hosts = LABELS.iter().filter_map(|label| Domain::parse(&format!("{label}.{domain}")).ok()).filter(|host| host != hostname);
        match wanted_certificates.iter_mut().find(|want| want.name == domain.to_string()) {
            Some(want) => want.hosts.extend(hosts),
            None => wanted_certificates.push(WantedCertificate { name: domain.to_string(), hosts: hosts.collect() }),
        }
    }
    wanted_certificates
}

/// The names that resolve to this server, and the others. `certified` are the names of the current certificate: one of them is kept if DNS does not
/// answer.
pub(super) async fn resolving_here(
    resolver: &Resolver,
    hostname: &Domain,
    hosts: &[Domain],
    certified: &[String],
) -> (Vec<String>, Vec<LeftOut>) {
    let (mut names, mut left_out) = (Vec::new(), Vec::new());
    let mut own: Option<BTreeSet<IpAddr>> = None;
    for host in hosts {
        if host == hostname {
            names.push(host.to_string());
            continue;
        }
        if own.is_none() {
            own = Some(resolver.addresses(hostname, true).await.unwrap_or_default().into_iter().collect());
        }
        let answer = resolver.addresses(host, true).await;
        match check_addresses(answer, own.as_ref().unwrap_or(&BTreeSet::new()), certified.contains(&host.to_string())) {
            Ok(()) => names.push(host.to_string()),
            Err(why) => left_out.push(LeftOut { name: host.to_string(), why }),
        }
    }
    (names, left_out)
}

fn check_addresses(answer: Result<Vec<IpAddr>, RouteFailure>, own: &BTreeSet<IpAddr>, is_certified: bool) -> Result<(), String> {
    match answer {
        Ok(_) if own.is_empty() && is_certified => Ok(()),
        Ok(_) if own.is_empty() => Err("the addresses of this server's own name are unknown".into()),
        Ok(found) => match found.iter().find(|address| !own.contains(address)) {
            None => Ok(()),
            Some(other) => Err(format!("it resolves to {other}, which is not this server")),
        },
        Err(RouteFailure::Temporary(_)) if is_certified => Ok(()),
        Err(RouteFailure::Temporary(text)) => Err(format!("DNS did not answer: {text}")),
        Err(RouteFailure::NoSuchDomain | RouteFailure::NoAddress) => Err("it has no address in DNS".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn the_host_and_each_domain_get_one_certificate() {
        let shown = |hostname: &str| -> Vec<String> {
            let wanted_certificates = wanted_certificates(&domain(hostname), &[domain("example.com"), domain("example.org")]);
            wanted_certificates
                .iter()
                .map(|w| format!("{}: {}", w.name, w.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
                .collect()
        };
        let org = "example.org: mta-sts.example.org autoconfig.example.org autodiscover.example.org";
        let com = "mta-sts.example.com autoconfig.example.com autodiscover.example.com";
        assert_eq!(shown("mx.example.com"), ["mx.example.com: mx.example.com", &format!("example.com: {com}"), org]);
        assert_eq!(shown("example.com"), [&format!("example.com: example.com {com}"), org]);
    }

    #[test]
    fn a_name_that_resolves_elsewhere_is_left_out() {
        let own = BTreeSet::from([IpAddr::from([192, 0, 2, 1])]);
        let at = |last: u8| Ok(vec![IpAddr::from([192, 0, 2, last])]);
        assert_eq!(check_addresses(at(1), &own, false), Ok(()));
        assert!(check_addresses(at(2), &own, true).unwrap_err().contains("192.0.2.2"));
        assert!(check_addresses(Err(RouteFailure::NoAddress), &own, true).is_err());
        assert_eq!(check_addresses(Err(RouteFailure::Temporary("no".into())), &own, true), Ok(()));
        assert!(check_addresses(Err(RouteFailure::Temporary("no".into())), &own, false).is_err());
    }
}
