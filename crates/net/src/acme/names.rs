//! Which certificates there should be, and which names lead to this server.
//!
//! Invariant: a name that does not lead here is never ordered, since one that cannot be validated fails the order for all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mail::Domain;
use policy::RouteFailure;

use super::state::LeftOut;
use crate::resolver::Resolver;

/// The names below a hosted domain that clients and servers look for.
const LABELS: [&str; 3] = ["mta-sts", "autoconfig", "autodiscover"];

/// A certificate that there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    /// What it is called, and its directory.
    pub name: String,
    /// The names that it is for, where they lead here.
    pub hosts: Vec<Domain>,
}

/// One for the server's own name, one for each hosted domain.
pub(super) fn wants(hostname: &Domain, hosted: &[Domain]) -> Vec<Want> {
    let mut wants = vec![Want { name: hostname.to_string(), hosts: vec![hostname.clone()] }];
    for domain in hosted {
        let hosts = LABELS.iter().filter_map(|label| Domain::parse(&format!("{label}.{domain}")).ok()).filter(|host| host != hostname);
        match wants.iter_mut().find(|want| want.name == domain.to_string()) {
            Some(want) => want.hosts.extend(hosts),
            None => wants.push(Want { name: domain.to_string(), hosts: hosts.collect() }),
        }
    }
    wants
}

/// Those that lead here, and the others. `certified` are the names of the certificate in use: one of them is kept where DNS does not answer.
pub(super) async fn leading_here(
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
        match judge(answer, own.as_ref().unwrap_or(&BTreeSet::new()), certified.contains(&host.to_string())) {
            Ok(()) => names.push(host.to_string()),
            Err(why) => left_out.push(LeftOut { name: host.to_string(), why }),
        }
    }
    (names, left_out)
}

fn judge(answer: Result<Vec<IpAddr>, RouteFailure>, own: &BTreeSet<IpAddr>, is_certified: bool) -> Result<(), String> {
    match answer {
        Ok(_) if own.is_empty() && is_certified => Ok(()),
        Ok(_) if own.is_empty() => Err("the addresses of this server's own name are not known".into()),
        Ok(found) => match found.iter().find(|address| !own.contains(address)) {
            None => Ok(()),
            Some(other) => Err(format!("it leads to {other}, which is not this server")),
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
    fn there_is_one_for_the_host_and_one_for_each_domain() {
        let shown = |hostname: &str| -> Vec<String> {
            let wants = wants(&domain(hostname), &[domain("example.com"), domain("example.org")]);
            wants.iter().map(|w| format!("{}: {}", w.name, w.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))).collect()
        };
        let org = "example.org: mta-sts.example.org autoconfig.example.org autodiscover.example.org";
        let com = "mta-sts.example.com autoconfig.example.com autodiscover.example.com";
        assert_eq!(shown("mx.example.com"), ["mx.example.com: mx.example.com", &format!("example.com: {com}"), org]);
        assert_eq!(shown("example.com"), [&format!("example.com: example.com {com}"), org]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_left_out() {
        let own = BTreeSet::from([IpAddr::from([192, 0, 2, 1])]);
        let at = |last: u8| Ok(vec![IpAddr::from([192, 0, 2, last])]);
        assert_eq!(judge(at(1), &own, false), Ok(()));
        assert!(judge(at(2), &own, true).unwrap_err().contains("192.0.2.2"));
        assert!(judge(Err(RouteFailure::NoAddress), &own, true).is_err());
        assert_eq!(judge(Err(RouteFailure::Temporary("no".into())), &own, true), Ok(()));
        assert!(judge(Err(RouteFailure::Temporary("no".into())), &own, false).is_err());
    }
}
